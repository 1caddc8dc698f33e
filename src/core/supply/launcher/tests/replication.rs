//! Replication clients: each gets a server of its own, and what goes for that.

use super::*;
use crate::core::conn::CloseReason;
use crate::core::supply::ledger::Opening;

const EARLIER: Micros = Micros::from_secs(90);

impl Bench {
    /// Replication clients of pool 0 wait since these times.
    fn replicate(&mut self, since: &[Micros]) -> Vec<Action> {
        let event = Event::Again(self.wanted(since));
        self.handle(event)
    }

    fn wanted(&self, since: &[Micros]) -> Demand {
        Demand { replication: since.to_vec(), ..self.demand(0) }
    }

    /// What a pool's worker answers that was asked for an idle server.
    fn evicted(&mut self, found: bool) -> Vec<Action> {
        let scope = Scope::Pool(PoolId(0));
        let mut actions = Vec::new();
        for worker in [HERE, THERE] {
            actions = self.handle(Event::EvictionTried { scope: scope.clone(), worker, found });
        }
        actions
    }
}

/// The only login that begins, for a replication client.
fn opened(actions: &[Action]) -> &Opening {
    let opens = actions.iter().filter(|action| matches!(action, Action::Open { .. }));
    let [Action::Open { opening, want: Want::Replication { .. }, .. }] = opens.collect::<Vec<_>>()[..] else {
        panic!("{actions:?}")
    };
    opening
}

fn evicts(actions: &[Action]) -> bool {
    matches!(actions, [Action::Evict { scope: Scope::Pool(PoolId(0)), .. }])
}

#[test]
fn an_idle_server_is_none_of_its_own() {
    let mut bench = Bench::new(1, &rules());
    bench.open(0);
    bench.pools[0].set_idle(HERE, 1);
    let actions = bench.replicate(&[EARLIER]);
    bench.ledger.logged_in(&bench.pools[0], opened(&actions), &endpoint());
    let share = &bench.pools[0];
    assert_eq!((share.live_count(), share.replication_count()), (1, 1), "it serves nobody else");
    assert_eq!(bench.ledger.pool_servers(share.id), (0, 2), "and counts in the pool");
    bench.ledger.returned(&bench.pools[0], &replica());
    assert_eq!(bench.ledger.pool_servers(PoolId(0)), (0, 1));
}

#[test]
fn a_full_pool_gives_up_one_idle_server_for_each() {
    let mut bench = Bench::new(1, &rules());
    bench.open(0);
    bench.open(0);
    assert!(evicts(&bench.replicate(&[EARLIER, NOW])));
    assert!(!evicts(&bench.replicate(&[EARLIER, NOW])), "one at a time");
    assert!(bench.evicted(true).is_empty());
    bench.ledger.returned(&bench.pools[0], &live());
    let actions = bench.handle(Event::PlaceFree(vec![bench.wanted(&[EARLIER])]));
    opened(&actions);
}

#[test]
fn who_finds_no_idle_server_gets_the_next_that_is_released() {
    let mut bench = Bench::new(1, &PoolRules { pool_size: 1, ..rules() });
    bench.open(0);
    bench.replicate(&[EARLIER]);
    bench.evicted(false);
    assert!(bench.pools[0].is_claimed());
    assert_eq!(bench.pools[0].yields_server(&endpoint(), NOW), Some(CloseReason::EvictedForPool));
    bench.ledger.returned(&bench.pools[0], &live());
    bench.wait(0);
    let actions = bench.handle(Event::PlaceFree(vec![bench.wanted(&[EARLIER])]));
    opened(&actions); // and not for the client that waits since a moment ago
    assert!(!bench.pools[0].is_claimed());
}

#[test]
fn who_has_waited_longer_for_any_server_goes_first() {
    let mut bench = Bench::new(1, &PoolRules { pool_size: 1, ..rules() });
    bench.pools[0].set_waiting_since(THERE, EARLIER);
    let actions = bench.replicate(&[NOW]);
    let is_lent = |action: &Action| matches!(action, Action::Open { want: Want::Waiter { .. }, .. });
    assert!(actions.iter().any(is_lent), "{actions:?}");
}

#[test]
fn the_place_that_was_made_is_not_anothers_when_the_client_has_left() {
    let mut bench = Bench::new(1, &PoolRules { pool_size: 1, ..rules() });
    bench.open(0);
    bench.replicate(&[EARLIER]);
    bench.evicted(false);
    assert!(bench.replicate(&[]).is_empty() && !bench.pools[0].is_claimed(), "it claims nothing any more");
    bench.ledger.returned(&bench.pools[0], &live());
    bench.wait(0);
    assert!(opens(&bench.again(0), 0));
}

#[test]
fn it_may_have_a_place_of_the_reserve_once_it_has_waited_for_that() {
    let mut bench = Bench::new(1, &PoolRules { pool_size: 1, reserve_pool_size: 1, ..rules() });
    bench.open(0);
    assert!(evicts(&bench.replicate(&[NOW])), "an idle one would do");
    bench.evicted(false);
    assert!(opened(&bench.replicate(&[EARLIER])).from_reserve);
}

#[test]
fn its_login_says_nothing_of_the_others() {
    let mut bench = Bench::new(1, &rules());
    let actions = bench.replicate(&[EARLIER]);
    let opening = opened(&actions).clone();
    bench.wait(0);
    let others = bench.asked(0);
    assert!(opens(&others, 0), "both log in at the same time");
    bench.ledger.replication_postponed(&bench.pools[0], &opening, Micros::from_secs(15));
    bench.ledger.returned(&bench.pools[0], &Use::LoggingIn(opening));
    assert_eq!(bench.pools[0].failing(), None);
    assert!(bench.replicate(&[EARLIER]).is_empty(), "another waits for as long as a retry does");
    let [Action::Open { opening, .. }] = &others[..] else { panic!("{others:?}") };
    let is_answer = bench.ledger.login_failed(&bench.pools[0], opening, "no".into(), Micros(1));
    assert!(is_answer, "it was the only one of its kind");
}
