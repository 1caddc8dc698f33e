//! The ledger's rules for pools that starve at a cap that they share: an idle server of another is closed for
//! them, or they claim the next one that is released; and a place that comes back is theirs who have waited
//! longest.

use super::{Ledger, Room, Starving, Verdict, Want};
use crate::base::{Micros, PoolId};
use crate::core::admin::Scope;
use crate::core::pool::{Claim, PoolShare, goes_before};
use std::sync::Arc;

impl Ledger {
    /// How many pools starve in `scope` whose clients go before that of `want`: a place that came
    /// back a moment ago is theirs.
    pub(super) fn go_before(&self, pool: PoolId, want: Want, scope: &Scope) -> u32 {
        let others =
            self.starving_in(scope).filter(|(id, since)| *id != pool && goes_before(*since, want.since()));
        others.count() as u32
    }

    /// Pools that starve in `scope` and are still served, and since when.
    fn starving_in(&self, scope: &Scope) -> impl Iterator<Item = (PoolId, Micros)> {
        let is_served = |id| self.accounts.get(id).is_some_and(|account| !account.share.is_removed());
        let starved =
            self.starved.iter().filter(move |(id, starving)| starving.at == *scope && is_served(id));
        starved.map(|(id, starving)| (*id, starving.since))
    }

    pub(super) fn starve(&mut self, pool: PoolId, at: Scope, want: Want) {
        let since = match (want, self.starved.get(&pool)) {
            (Want::Minimum | Want::Renewal, Some(known)) => known.since,
            _ => want.since(),
        };
        self.starved.insert(pool, Starving { at, since });
    }

    /// At most one eviction at a time in a room: its place must be back before the next is asked for.
    pub(super) fn make_room(&mut self, pool: PoolId, scope: Scope, want: Want) -> Verdict {
        self.starve(pool, scope.clone(), want);
        let may_evict = matches!(want, Want::Waiter { .. });
        match self.room(&scope) {
            Some(room) if may_evict && !room.is_making_room() => {
                room.evicting = true;
                self.withdraw_claim(&scope);
                Verdict::EvictFirst(scope)
            }
            _ => Verdict::Full,
        }
    }

    /// No worker had an idle server in `scope`: the next want there may try again, and whoever starves
    /// longest has a claim on the next one that is released.
    pub fn nothing_to_evict(&mut self, scope: &Scope) {
        let Some(room) = self.room(scope) else { return };
        room.evicting = false;
        self.withdraw_claim(scope);
        let waiting = self.starving_in(scope).filter(|(_, since)| *since != Micros::NEVER);
        let Some((claimant, since)) = waiting.min_by_key(|(_, since)| *since) else { return };
        let claim = Claim::new(claimant, since);
        let rivals = self.accounts.values().filter(|account| account.servers() > 0);
        for rival in rivals.filter(|account| account.share.id != claimant && scope.holds(&account.share)) {
            rival.share.set_claim(Some(Arc::clone(&claim)));
        }
        if let Some(room) = self.room(scope) {
            room.claim = Some(claim);
        }
    }

    fn withdraw_claim(&mut self, scope: &Scope) {
        let Some(claim) = self.room(scope).and_then(|room| room.claim.take()) else { return };
        let has_it = |share: &PoolShare| share.claim().is_some_and(|its| Arc::ptr_eq(&its, &claim));
        for share in self.accounts.values().map(|account| &account.share).filter(|share| scope.holds(share)) {
            if share.is_claimed() && has_it(share) {
                share.set_claim(None);
            }
        }
    }

    /// Nobody waits for a server of `pool`: it does not starve, and claims nothing.
    pub fn wants_nothing(&mut self, pool: &PoolShare) {
        let Some(Starving { at, .. }) = self.starved.remove(&pool.id) else { return };
        let is_its = |room: &Room| room.claim.as_ref().is_some_and(|claim| claim.claimant() == pool.id);
        // for a claim that is taken a place comes back all the same
        if self.room(&at).is_some_and(|room| is_its(room) && !room.is_making_room()) {
            self.withdraw_claim(&at);
        }
    }

    /// A place in the room is free again, and with it what was done to make room.
    pub(super) fn give_back(&mut self, scope: &Scope) {
        if let Some(room) = self.room(scope) {
            room.servers -= 1;
            room.evicting = false;
        }
        self.withdraw_claim(scope);
    }

    /// The pools whose wants may be met now that a place of `pool` was returned: itself, and
    /// those that starve in the same database or for the same user. They may be asked for again,
    /// so their workers are told.
    pub fn revived_by(&mut self, pool: &PoolShare) -> Vec<Arc<PoolShare>> {
        let starved: Vec<PoolId> = self.starved.keys().copied().collect();
        let mut revived: Vec<Arc<PoolShare>> = Vec::new();
        for id in starved.into_iter().filter(|id| *id != pool.id) {
            let Some(account) = self.accounts.get(&id) else { continue };
            let share = &account.share;
            if share.database.name == pool.database.name || share.user == pool.user {
                share.set_full(false);
                revived.push(Arc::clone(share));
                self.starved.remove(&id);
            }
        }
        revived.extend(self.accounts.get(&pool.id).map(|account| Arc::clone(&account.share)));
        revived
    }
}
