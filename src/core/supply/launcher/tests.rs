//! What the launcher decides, event by event; that it decides well over time is the
//! simulation's to show (tests/sim).

mod renewals;
mod replication;

use super::*;
use crate::config::PoolRules;
use crate::core::supply::ledger::Use;
use crate::core::supply::ledger::tests::{endpoint, live, pools, replica, rules};

const HERE: WorkerId = WorkerId(0);
const THERE: WorkerId = WorkerId(1);
const NOW: Micros = Micros::from_secs(100);

/// Pools of one database and several users, seen by two workers.
struct Bench {
    launcher: Launcher,
    ledger: Ledger,
    pools: Vec<Arc<PoolShare>>,
}

impl Bench {
    fn new(users: u32, rules: &PoolRules) -> Self {
        Self { launcher: Launcher::new(2), ledger: Ledger::default(), pools: pools(1, users, rules) }
    }

    fn demand(&self, at: usize) -> Demand {
        let share = Arc::clone(&self.pools[at]);
        Demand { share, welcome_since: None, replication: Vec::new(), clients: 1, is_forced: false }
    }

    fn handle(&mut self, event: Event) -> Vec<Action> {
        self.launcher.handle(event, &mut self.ledger, NOW)
    }

    fn asked(&mut self, at: usize) -> Vec<Action> {
        self.handle(Event::Asked(self.demand(at)))
    }

    fn again(&mut self, at: usize) -> Vec<Action> {
        self.handle(Event::Again(self.demand(at)))
    }

    /// A client of worker `THERE` waits.
    fn wait(&self, at: usize) {
        self.pools[at].set_waiting_since(THERE, NOW - Micros(10));
    }

    fn open(&mut self, at: usize) {
        self.wait(at);
        let actions = self.asked(at);
        let [Action::Open { opening, .. }] = &actions[..] else { panic!("{actions:?}") };
        self.ledger.logged_in(&self.pools[at], opening, &endpoint());
        self.pools[at].set_waiting_since(THERE, Micros::NEVER);
    }
}

fn opens(actions: &[Action], at: usize) -> bool {
    matches!(actions, [Action::Open { pool, want: Want::Waiter { .. }, .. }] if pool.id == PoolId(at as u64))
}

#[test]
fn who_waits_gets_a_server_and_nobody_else() {
    let mut bench = Bench::new(1, &rules());
    assert!(bench.asked(0).is_empty(), "whoever asked has been served meanwhile");
    bench.wait(0);
    assert!(opens(&bench.asked(0), 0));
    assert!(bench.asked(0).is_empty(), "one login at a time");
}

#[test]
fn each_one_that_waits_gets_a_server_at_the_same_time() {
    let mut bench = Bench::new(1, &PoolRules { pool_size: 9, server_login_concurrency: 8, ..rules() });
    bench.wait(0);
    bench.pools[0].set_waiting(THERE, 5);
    assert!(opens(&bench.asked(0), 0), "one, as long as nothing is known of its server");
    bench.pools[0].set_waiting(THERE, 0);
    let mut bench = Bench::new(1, &PoolRules { pool_size: 9, server_login_concurrency: 8, ..rules() });
    bench.open(0);
    bench.wait(0);
    bench.pools[0].set_waiting(THERE, 5);
    bench.pools[0].server_leaves();
    let opened = |actions: &[Action]| {
        let opens = actions.iter().filter(|action| matches!(action, Action::Open { .. }));
        (opens.count(), actions.len())
    };
    assert_eq!(opened(&bench.asked(0)), (4, 4), "a server is on its way to one of them");
    assert_eq!(opened(&bench.asked(0)), (0, 0), "and four more are now");
    bench.pools[0].set_waiting(THERE, 20);
    assert_eq!(opened(&bench.again(0)), (4, 4), "no more at once than that");
    bench.pools[0].set_waiting(THERE, 2);
    assert!(bench.again(0).is_empty(), "more than enough are on their way");
}

#[test]
fn a_pool_that_its_endpoint_had_no_place_for_is_looked_at_when_a_login_there_ends() {
    let mut bench = Bench::new(3, &PoolRules { pool_size: 9, server_login_concurrency: 3, ..rules() });
    let mut logins = Vec::new();
    (0..3).for_each(|at| bench.open(at));
    for at in 0..3 {
        bench.wait(at);
        bench.pools[at].set_waiting(THERE, 3);
        let opened = bench.asked(at).into_iter().map(|action| match action {
            Action::Open { opening, .. } => (at, opening),
            other => panic!("{other:?}"),
        });
        logins.push(opened.collect::<Vec<_>>());
    }
    let begun: Vec<_> = logins.iter().map(Vec::len).collect();
    assert_eq!(begun, [3, 1, 1], "the first one of each always may");
    for expected in [None, None, Some(PoolId(1))] {
        let (at, opening) = logins[0].pop().unwrap();
        bench.ledger.logged_in(&bench.pools[at], &opening, &endpoint());
        bench.pools[at].set_waiting(THERE, 0);
        bench.pools[at].set_waiting_since(THERE, Micros::NEVER);
        let told = bench.again(at).into_iter().map(|action| match action {
            Action::LookAgain(pool, after) => (pool, after),
            other => panic!("{other:?}"),
        });
        assert_eq!(told.collect::<Vec<_>>(), Vec::from_iter(expected.map(|pool| (pool, Micros(0)))));
    }
    let actions = bench.again(1);
    assert!(
        matches!(actions[..], [Action::Open { .. }]),
        "the place is taken, and the next one waits on: {actions:?}"
    );
}

#[test]
fn who_waits_for_a_welcome_gets_one_although_the_pool_has_idle_servers() {
    let mut bench = Bench::new(1, &rules());
    bench.open(0);
    bench.pools[0].set_idle(HERE, 1);
    let welcome = Demand { welcome_since: Some(NOW), ..bench.demand(0) };
    assert!(opens(&bench.handle(Event::Asked(welcome)), 0), "they are of a generation that is no more");
}

#[test]
fn an_idle_server_elsewhere_comes_before_a_new_one() {
    let mut bench = Bench::new(1, &rules());
    bench.open(0);
    bench.pools[0].set_idle(HERE, 1);
    bench.wait(0);
    let actions = bench.asked(0);
    assert!(matches!(actions[..], [Action::Nudge { idle_at: HERE, by: THERE, .. }]), "{actions:?}");
    assert!(bench.again(0).is_empty(), "it is on its way");
}

#[test]
fn a_lost_nudge_is_sent_again_by_the_pass() {
    let mut bench = Bench::new(1, &rules());
    bench.open(0);
    bench.pools[0].set_idle(HERE, 1);
    bench.wait(0);
    assert!(bench.handle(Event::Pass(bench.demand(0))).is_empty(), "it may still come");
    bench.pools[0].set_waiting_since(THERE, NOW - Micros::from_millis(limits::JANITOR_PERIOD_MS));
    let actions = bench.handle(Event::Pass(bench.demand(0)));
    assert!(matches!(actions[..], [Action::Nudge { .. }]), "{actions:?}");
}

#[test]
fn while_a_server_moves_the_launcher_looks_again_a_little_later() {
    let mut bench = Bench::new(1, &rules());
    bench.open(0);
    bench.wait(0);
    bench.pools[0].server_leaves();
    let actions = bench.asked(0);
    assert!(matches!(actions[..], [Action::LookAgain(PoolId(0), LETTER_TIME)]), "{actions:?}");
    bench.pools[0].server_arrives();
    assert!(opens(&bench.again(0), 0), "it has not helped");
}

#[test]
fn workers_are_asked_for_an_idle_server_one_after_the_other() {
    let mut bench = Bench::new(2, &PoolRules { max_db_connections: 1, ..rules() });
    bench.open(0);
    bench.wait(1);
    let asks = |actions: Vec<Action>| match &actions[..] {
        [Action::Evict { scope, worker }] => Some((scope.clone(), *worker)),
        _ => None,
    };
    let (scope, first) = asks(bench.asked(1)).expect("an idle one would do");
    let tried = |worker, found| Event::EvictionTried { scope: scope.clone(), worker, found };
    let (_, second) = asks(bench.handle(tried(first, false))).expect("the next worker may have one");
    assert_eq!((first, second), (HERE, THERE));
    assert!(bench.handle(tried(second, true)).is_empty());
    bench.ledger.returned(&bench.pools[0].clone(), &live());
    let demands = vec![bench.demand(0), bench.demand(1)];
    assert!(opens(&bench.handle(Event::PlaceFree(demands)), 1));
}

#[test]
fn a_place_goes_to_the_pool_that_has_waited_longest() {
    let mut bench = Bench::new(3, &PoolRules { max_db_connections: 1, ..rules() });
    bench.open(0);
    for (at, waited_us) in [(0, 5), (1, 20), (2, 90)] {
        bench.pools[at].set_waiting_since(HERE, NOW - Micros(waited_us));
    }
    bench.ledger.returned(&bench.pools[0].clone(), &live());
    let demands = (0..3).map(|at| bench.demand(at)).collect();
    let actions = bench.handle(Event::PlaceFree(demands));
    assert!(opens(&actions[..1], 2), "{actions:?}");
}

#[test]
fn a_renewal_at_a_cap_waits_until_a_login_is_sure() {
    let mut bench = Bench::new(1, &PoolRules { pool_size: 1, ..rules() });
    bench.open(0);
    let actions = bench.handle(Event::PastSoftAge(bench.demand(0)));
    assert!(matches!(actions[..], [Action::MakeSure(PoolId(0))]), "{actions:?}");
    assert!(!bench.pools[0].is_retirement_wanted());
    let actions = bench.handle(Event::SureOfLogin(bench.demand(0)));
    assert!(matches!(actions[..], [Action::Retire(PoolId(0))]), "{actions:?}");
    assert!(bench.pools[0].take_retirement());
    bench.ledger.returned(&bench.pools[0].clone(), &live());
    let actions = bench.handle(Event::PlaceFree(vec![bench.demand(0)]));
    assert!(matches!(actions[..], [Action::Open { want: Want::Renewal, .. }]), "{actions:?}");
}

#[test]
fn an_old_server_that_nobody_would_miss_is_not_replaced() {
    let mut bench = Bench::new(1, &rules());
    bench.open(0);
    let nobody = Demand { clients: 0, ..bench.demand(0) };
    let actions = bench.handle(Event::PastSoftAge(nobody));
    assert!(matches!(actions[..], [Action::Retire(PoolId(0))]), "{actions:?}");
}

#[test]
fn the_pass_keeps_the_minimum_of_pools_that_are_used_or_forced() {
    let mut bench = Bench::new(1, &PoolRules { min_pool_size: 1, ..rules() });
    let unused = Demand { clients: 0, ..bench.demand(0) };
    assert!(bench.handle(Event::Pass(unused.clone())).is_empty());
    let forced = Demand { is_forced: true, ..unused };
    let actions = bench.handle(Event::Pass(forced));
    assert!(matches!(actions[..], [Action::Open { want: Want::Minimum, .. }]), "{actions:?}");
}
