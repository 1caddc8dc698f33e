//! A pool that needs a place at two caps, each of which it shares with another pool.

use super::*;
use proptest::prelude::*;

const SINCE: Micros = Micros::from_secs(10);
/// A client that has come so late goes behind who waits since `SINCE`.
const LATER: Micros = Micros(SINCE.0 + 2 * limits::FAIR_LEAD_US);

/// Two databases and two users, with a place each: pool 1 has its database's, pool 2 its user's, and a client
/// of pool 0, which needs both, waits for the first one.
struct Bench {
    pools: Vec<Arc<PoolShare>>,
    ledger: Ledger,
}

impl Bench {
    fn new() -> Self {
        let caps = PoolRules { max_db_connections: 1, max_user_connections: 1, ..rules() };
        let pools = pools(2, 2, &PoolRules { min_pool_size: 1, ..caps });
        let mut bench = Self { pools, ledger: Ledger::default() };
        launch(&mut bench.ledger, &bench.pools[1], Micros(1));
        launch(&mut bench.ledger, &bench.pools[2], Micros(1));
        bench.has_to_evict(Scope::Database("d0".into()), SINCE);
        bench
    }

    fn asks(&mut self, at: usize, since: Micros, now: Micros) -> Verdict {
        self.ledger.consider(&self.pools[at], Want::Waiter { since }, now)
    }

    /// Pool 0 does.
    fn has_to_evict(&mut self, scope: Scope, now: Micros) {
        assert_eq!(self.asks(0, SINCE, now), Verdict::EvictFirst(scope.clone()));
        self.ledger.nothing_to_evict(&scope);
    }

    /// A server of the pool is closed, and those who starve are looked at: pool 0 has waited longest.
    fn returns(&mut self, at: usize) {
        self.ledger.returned(&self.pools[at], &live());
        self.ledger.revived_by(&self.pools[at]);
    }

    /// Pool 1 has given up its server for pool 0, which then starves at its user's cap.
    fn half_served(now: Micros) -> Self {
        let mut bench = Self::new();
        bench.returns(1);
        bench.has_to_evict(Scope::User("u0".into()), now);
        bench
    }
}

#[test]
fn it_gets_both_places_whichever_comes_first() {
    let mut bench = Bench::half_served(LATER);
    assert_eq!(bench.asks(1, LATER, LATER), Verdict::Full, "it has given that up for who still waits");
    bench.returns(2);
    assert!(matches!(bench.asks(0, SINCE, LATER), Verdict::Launch(_)));
}

#[test]
fn its_first_place_is_kept_for_as_long_as_it_has_waited() {
    let mut bench = Bench::half_served(LATER);
    let over = LATER + LATER.since(SINCE);
    assert_eq!(bench.asks(1, LATER, over.since(Micros(1))), Verdict::Full);
    bench.has_to_evict(Scope::User("u0".into()), over.since(Micros(1)));
    assert!(matches!(bench.asks(1, LATER, over), Verdict::Launch(_)), "pool 2 may be busy for hours");
}

#[test]
fn its_minimum_keeps_it_no_longer() {
    let mut bench = Bench::half_served(LATER);
    let over = LATER + LATER.since(SINCE);
    assert_eq!(bench.asks(1, LATER, LATER), Verdict::Full);
    for now in [LATER, over.since(Micros(1))] {
        bench.has_to_evict(Scope::User("u0".into()), now);
        assert_eq!(bench.ledger.consider(&bench.pools[0], Want::Minimum, now), Verdict::Full);
    }
    assert!(matches!(bench.asks(1, LATER, over), Verdict::Launch(_)));
}

#[test]
fn while_one_cap_yields_nothing_no_server_is_closed_at_the_other() {
    let mut bench = Bench::half_served(LATER);
    let over = LATER + LATER.since(SINCE);
    assert!(matches!(bench.asks(1, LATER, over), Verdict::Launch(_)));
    for seconds in [0, 1, 100] {
        bench.has_to_evict(Scope::User("u0".into()), over + Micros::from_secs(seconds));
        assert!(!bench.pools[1].is_claimed() && bench.pools[2].is_claimed());
    }
}

#[test]
fn who_has_all_places_of_a_cap_itself_takes_none_at_the_other() {
    let pools = pools(1, 2, &PoolRules { max_db_connections: 2, max_user_connections: 1, ..rules() });
    let mut ledger = Ledger::default();
    pools.iter().for_each(|pool| launch(&mut ledger, pool, Micros(1)));
    let verdict = ledger.consider(&pools[0], Want::Waiter { since: SINCE }, SINCE);
    assert_eq!(verdict, Verdict::EvictFirst(Scope::User("u0".into())));
    ledger.nothing_to_evict(&Scope::User("u0".into()));
    assert!(!pools[1].is_claimed());
}

#[test]
fn each_time_it_is_kept_longer() {
    let mut bench = Bench::half_served(LATER);
    let over = LATER + LATER.since(SINCE);
    assert!(matches!(bench.asks(1, LATER, over), Verdict::Launch(_)));
    bench.returns(2);
    bench.has_to_evict(Scope::Database("d0".into()), over);
    let late = over + over.since(SINCE);
    assert_eq!(bench.asks(2, over, late.since(Micros(1))), Verdict::Full);
    assert!(matches!(bench.asks(2, over, late), Verdict::Launch(_)));
}

#[test]
fn nothing_is_kept_for_who_wants_nothing_any_more() {
    let mut bench = Bench::half_served(LATER);
    assert_eq!(bench.asks(1, LATER, LATER), Verdict::Full);
    bench.ledger.wants_nothing(&bench.pools[0]);
    assert!(matches!(bench.asks(1, LATER, LATER), Verdict::Launch(_)));
    bench.has_to_evict(Scope::Database("d0".into()), LATER);
    bench.returns(2);
    bench.has_to_evict(Scope::Database("d0".into()), LATER);
    assert!(matches!(bench.asks(2, LATER, LATER), Verdict::Launch(_)), "it begins anew");
}

/// The same pools with one or two places at each of the caps, which the rivals have all taken, and want again
/// at any time for clients that have just come.
struct Rivalry {
    bench: Bench,
    now: Micros,
    /// Servers of the rivals: until when each is busy, and whose it is.
    busy: Vec<(Micros, usize)>,
    /// For how long the next ones are.
    times: std::iter::Cycle<std::vec::IntoIter<Micros>>,
}

impl Rivalry {
    fn new([of_database, of_user]: [u32; 2], times: Vec<Micros>) -> Self {
        let pools = pools(2, 2, &rules());
        for (pool, database, user) in [(0, of_database, of_user), (1, of_database, 0), (2, 0, of_user)] {
            let caps = PoolRules { max_db_connections: database, max_user_connections: user, ..rules() };
            pools[pool].set_rules(Arc::new(caps));
        }
        let bench = Bench { pools, ledger: Ledger::default() };
        let mut rivalry = Self { bench, now: SINCE, busy: Vec::new(), times: times.into_iter().cycle() };
        [1, 2].into_iter().for_each(|at| rivalry.rival_asks(at));
        rivalry
    }

    fn rival_asks(&mut self, at: usize) {
        loop {
            match self.bench.asks(at, self.now, self.now) {
                Verdict::Launch(opening) => {
                    self.bench.ledger.logged_in(&self.bench.pools[at], &opening, &endpoint());
                    self.busy.push((self.now + self.times.next().expect("they go round"), at));
                }
                Verdict::EvictFirst(scope) => return self.bench.ledger.nothing_to_evict(&scope),
                _ => return,
            }
        }
    }

    /// Everybody is asked, pool 0 first; whether it gets a server.
    fn asks_all(&mut self) -> bool {
        match self.bench.asks(0, SINCE, self.now) {
            Verdict::Launch(_) => return true,
            Verdict::EvictFirst(scope) => self.bench.ledger.nothing_to_evict(&scope),
            _ => {}
        }
        [1, 2].into_iter().for_each(|at| self.rival_asks(at));
        false
    }

    /// The next server of a rival's is closed, or the janitor looks; whether pool 0 gets one then. `hastily`:
    /// the rival asks before the ledger says who is to be asked.
    fn goes_on(&mut self, hastily: bool) -> bool {
        let pass = self.now + Micros::from_millis(limits::JANITOR_PERIOD_MS);
        let first = (0..self.busy.len()).min_by_key(|at| self.busy[*at]).filter(|at| self.busy[*at].0 < pass);
        let Some(first) = first else {
            self.now = pass;
            return self.asks_all();
        };
        let (until, at) = self.busy.swap_remove(first);
        self.now = until;
        self.bench.ledger.returned(&self.bench.pools[at], &live());
        if hastily {
            self.rival_asks(at);
        }
        self.bench.ledger.revived_by(&self.bench.pools[at]);
        self.asks_all()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn who_has_waited_longest_has_both_places_within_three_times_what_either_takes(
        caps in [1..=2_u32, 1..=2],
        most_ms in 10..20_000_u64,
        hundredths in proptest::collection::vec(1..=100_u64, 1..20),
        hastily in any::<bool>(),
    ) {
        let most = Micros::from_millis(most_ms);
        let times = hundredths.into_iter().map(|hundredth| Micros(most.0 / 100 * hundredth)).collect();
        let mut rivalry = Rivalry::new(caps, times);
        let latest = SINCE + Micros(3 * most.0 + limits::FAIR_LEAD_US);
        while !rivalry.goes_on(hastily) {
            prop_assert!(rivalry.now <= latest, "it waits still");
        }
    }
}
