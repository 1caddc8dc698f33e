//! Who starves at a cap gets the next server under it that is released, once it has waited longer than
//! anybody whom that would be lent to.
//!
//! An idle server is closed for it at once (`Command::EvictIdle`); where all are busy the ledger makes a
//! claim on those that are lent, and a worker that releases one compares. The price is a close and a
//! login for each server that changes its pool, so it does not for less than `limits::FAIR_LEAD_US`. So
//! nobody waits longer than the longest of the others by more than that, the rest of a transaction and a
//! login for each of those who starve longer; who needs a place at two such caps, some of these times more
//! (`supply/ledger/starving.rs`). PgBouncer knows no such rule: there a pool whose servers are never idle
//! keeps them (evict_connection() in src/objects.c).

use crate::base::{Micros, PoolId, limits};
use crate::core::scope::Scope;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Who starves: the clients of a pool that any of its servers serves, or those that want one of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::core) struct Claimant {
    pub pool: PoolId,
    pub is_replication: bool,
}

impl Claimant {
    /// Whether a server that a pool lends may be closed for it: any of another pool; of its own only where it
    /// cannot be lent that one itself.
    pub(in crate::core) fn may_take_from(self, pool: PoolId) -> bool {
        self.pool != pool || self.is_replication
    }
}

/// A claim on one server of those that are lent in a scope.
#[derive(Debug)]
pub(crate) struct Claim {
    claimant: Claimant,
    /// Since when the longest waiting client waits.
    since: Micros,
    /// Where.
    scope: Scope,
    taken: AtomicBool,
}

impl Claim {
    /// For a client that waits since then, on a server of `scope`.
    pub(in crate::core) fn new(claimant: Claimant, since: Micros, scope: Scope) -> Arc<Self> {
        Arc::new(Self { claimant, since, scope, taken: AtomicBool::new(false) })
    }

    /// Who starves.
    pub(in crate::core) fn claimant(&self) -> Claimant {
        self.claimant
    }

    /// Since when its client waits.
    pub(in crate::core) fn since(&self) -> Micros {
        self.since
    }

    /// Where a server is closed for it.
    pub(in crate::core) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Whether no server is being closed for it yet.
    pub(in crate::core) fn is_open(&self) -> bool {
        !self.taken.load(Ordering::Acquire)
    }

    pub(in crate::core) fn take(&self) -> bool {
        !self.taken.swap(true, Ordering::AcqRel)
    }
}

/// Whether a client of one pool that waits since `one` is served before another's that waits since `other`.
pub(in crate::core) fn goes_before(one: Micros, other: Micros) -> bool {
    one + Micros(limits::FAIR_LEAD_US) < other
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::WorkerId;
    use crate::config::PoolRules;
    use crate::core::conn::CloseReason;
    use crate::core::pool::pool_share::PoolShare;
    use crate::core::supply::tests::{begin, endpoint, launch, live, pools, rules};
    use crate::core::supply::{Ledger, Verdict, Want};

    fn waiter(since: Micros) -> Want {
        Want::Waiter { since }
    }

    /// Two pools of a database that is full of the first one's servers, all busy; a client of the
    /// second waits since then.
    fn starving(since: Micros) -> (Vec<Arc<PoolShare>>, Ledger) {
        let pools = pools(1, 2, &PoolRules { max_db_connections: 2, ..rules() });
        let mut ledger = Ledger::default();
        launch(&mut ledger, &pools[0], Micros(1));
        launch(&mut ledger, &pools[0], Micros(1));
        assert!(matches!(ledger.consider(&pools[1], waiter(since), since), Verdict::EvictFirst(_)));
        assert!(!pools[0].is_claimed(), "an idle server would do");
        ledger.nothing_to_evict(&Scope::Database("d0".into()));
        (pools, ledger)
    }

    const LEAD: Micros = Micros(limits::FAIR_LEAD_US);

    #[test]
    fn who_starves_claims_the_next_server_and_gets_one() {
        let since = Micros::from_secs(10);
        let (pools, mut ledger) = starving(since);
        let (busy, starved) = (&pools[0], &pools[1]);
        assert!(busy.is_claimed() && !starved.is_claimed());
        assert_eq!(busy.yields_server(&endpoint(), since + LEAD), None, "its client has not waited for long");
        assert_eq!(
            busy.yields_server(&endpoint(), since + LEAD + Micros(1)),
            Some(CloseReason::EvictedForDatabase)
        );
        assert_eq!(busy.yields_server(&endpoint(), since + LEAD + LEAD), None, "one server, not all of them");
        assert_eq!(
            ledger.consider(starved, waiter(since), since + LEAD),
            Verdict::Full,
            "its place is on its way"
        );
        ledger.returned(busy, &live());
        assert!(!busy.is_claimed());
        let now = since + LEAD + LEAD;
        assert_eq!(
            ledger.consider(busy, waiter(now), now),
            Verdict::Full,
            "the place is not theirs who come later"
        );
        begin(&mut ledger, starved, waiter(since), now);
    }

    #[test]
    fn a_claim_takes_nothing_from_those_who_wait_as_long() {
        let since = Micros::from_secs(10);
        let (pools, mut ledger) = starving(since);
        let now = since + LEAD + LEAD;
        pools[0].set_waiting_since(WorkerId(1), since + LEAD);
        assert_eq!(
            pools[0].yields_server(&endpoint(), now),
            None,
            "the other one goes first by no more than its lead"
        );
        pools[0].set_waiting_since(WorkerId(1), since + LEAD + Micros(1));
        assert!(pools[0].yields_server(&endpoint(), now).is_some());
        ledger.returned(&pools[0], &live());
        // Nor does the place that is free.
        begin(&mut ledger, &pools[0], waiter(since + LEAD), now);
    }

    #[test]
    fn a_claim_ends_with_the_want() {
        let (pools, mut ledger) = starving(Micros::from_secs(10));
        ledger.wants_nothing(&pools[1]);
        assert!(!pools[0].is_claimed());
        ledger.returned(&pools[0], &live());
        let now = Micros::from_secs(20);
        begin(&mut ledger, &pools[0], waiter(now), now);
    }

    #[test]
    fn another_pools_claim_outlives_a_want_that_ends() {
        let rules = PoolRules { max_db_connections: 1, ..rules() };
        for is_forgotten in [false, true] {
            let pools = pools(1, 3, &rules);
            let mut ledger = Ledger::default();
            launch(&mut ledger, &pools[0], Micros(1));
            for (pool, since) in [(&pools[1], 10), (&pools[2], 20)] {
                let since = Micros::from_secs(since);
                let _ = ledger.consider(pool, waiter(since), since);
            }
            ledger.nothing_to_evict(&Scope::Database("d0".into()));
            assert!(pools[0].is_claimed(), "by the second pool, which starves longest");
            let ends = |ledger: &mut Ledger, pool: &PoolShare| {
                if is_forgotten { assert!(ledger.forget(pool)) } else { ledger.wants_nothing(pool) }
            };
            ends(&mut ledger, &pools[2]);
            assert!(pools[0].is_claimed(), "it was none of the third pool's");
            ends(&mut ledger, &pools[1]);
            assert!(!pools[0].is_claimed(), "nobody is left who would want a server that is closed for it");
        }
    }

    #[test]
    fn who_is_removed_while_it_starves_is_nobody_to_wait_for() {
        let (pools, mut ledger) = starving(Micros::from_secs(10));
        pools[1].set_removed();
        ledger.returned(&pools[0], &live());
        let now = Micros::from_secs(20);
        begin(&mut ledger, &pools[0], waiter(now), now);
    }

    #[test]
    fn who_starves_at_one_cap_keeps_nobody_from_what_another_cap_leaves() {
        let since = Micros::from_secs(10);
        let rules = PoolRules { max_db_connections: 2, max_user_connections: 1, ..rules() };
        let pools = pools(2, 2, &rules);
        let mut ledger = Ledger::default();
        launch(&mut ledger, &pools[2], Micros(1));
        let starves = ledger.consider(&pools[0], waiter(since), since);
        assert_eq!(starves, Verdict::EvictFirst(Scope::User("u0".into())));
        let one_place = Arc::new(PoolRules { max_db_connections: 1, ..rules });
        pools.iter().for_each(|pool| pool.set_rules(Arc::clone(&one_place)));
        begin(&mut ledger, &pools[1], waiter(since + LEAD + LEAD), since);
    }
}
