//! The ledger's rules for those who starve at a cap at which room can be made: a pool at a cap that it
//! shares, a replication client also at its own pool's size. An idle server is closed for them, or they
//! claim the next one that is released; and a place that comes back is theirs who have waited longest.

use super::account::MakingRoom;
use super::{Ledger, Verdict, Want};
use crate::base::{Micros, PoolId};
use crate::core::admin::Scope;
use crate::core::pool::{Claim, Claimant, PoolShare, goes_before};
use std::sync::Arc;

/// Whoever was denied for the sake of a cap at which room can be made.
#[derive(Debug)]
pub(super) struct Starving {
    /// Whose cap that was.
    at: Scope,
    /// Since when its longest waiting client waits; [`Micros::NEVER`] where none does.
    since: Micros,
}

impl Want {
    /// Who starves where it is denied.
    pub(super) fn claimant(self, pool: PoolId) -> Claimant {
        Claimant { pool, is_replication: self.is_replication() }
    }
}

impl Ledger {
    /// How many starve in `scope` whose clients go before that of `want`: a place that came back a moment ago
    /// is theirs.
    pub(super) fn go_before(&self, pool: PoolId, want: Want, scope: &Scope) -> u32 {
        let own = want.claimant(pool);
        let others =
            self.starving_in(scope).filter(|(who, since)| *who != own && goes_before(*since, want.since()));
        others.count() as u32
    }

    /// Those who starve in `scope` and are still served, and since when.
    fn starving_in(&self, scope: &Scope) -> impl Iterator<Item = (Claimant, Micros)> {
        let is_served = |id| self.accounts.get(id).is_some_and(|account| !account.share.is_removed());
        let starved =
            self.starved.iter().filter(move |(who, starving)| starving.at == *scope && is_served(&who.pool));
        starved.map(|(who, starving)| (*who, starving.since))
    }

    /// Whether somebody starves whom a place of the pool's might serve: also a replication client of its own.
    pub(super) fn others_starve(&self, pool: &PoolShare) -> bool {
        let rivals = |share: &PoolShare| share.database.name == pool.database.name || share.user == pool.user;
        let mut starved = self.starved.keys().filter(|who| who.pool != pool.id || who.is_replication);
        starved.any(|who| self.accounts.get(&who.pool).is_some_and(|account| rivals(&account.share)))
    }

    pub(super) fn starve(&mut self, pool: PoolId, at: Scope, want: Want) {
        let who = want.claimant(pool);
        let since = match (want, self.starved.get(&who)) {
            (Want::Minimum | Want::Renewal, Some(known)) => known.since,
            _ => want.since(),
        };
        self.starved.insert(who, Starving { at, since });
    }

    /// At most one eviction at a time in a scope: its place must be back before the next is asked for.
    pub(super) fn make_room(&mut self, pool: PoolId, scope: Scope, want: Want) -> Verdict {
        self.starve(pool, scope.clone(), want);
        match self.making_room(&scope) {
            Some(making_room) if want.is_for_client() && !making_room.is_under_way() => {
                making_room.evicting = true;
                self.withdraw_claim(&scope);
                Verdict::EvictFirst(scope)
            }
            _ => Verdict::Full,
        }
    }

    /// No worker had an idle server in `scope`: the next want there may try again, and whoever starves
    /// longest has a claim on the next one that is released.
    pub fn nothing_to_evict(&mut self, scope: &Scope) {
        let Some(making_room) = self.making_room(scope) else { return };
        making_room.evicting = false;
        self.withdraw_claim(scope);
        let waiting = self.starving_in(scope).filter(|(_, since)| *since != Micros::NEVER);
        let Some((claimant, since)) = waiting.min_by_key(|(_, since)| *since) else { return };
        let claim = Claim::new(claimant, since, scope.eviction());
        let rivals = self.accounts.values().filter(|account| account.pooled() > 0);
        for rival in rivals.filter(|account| scope.holds(&account.share)) {
            if claimant.may_take_from(rival.share.id) {
                rival.share.set_claim(Some(Arc::clone(&claim)));
            }
        }
        if let Some(making_room) = self.making_room(scope) {
            making_room.claim = Some(claim);
        }
    }

    fn withdraw_claim(&mut self, scope: &Scope) {
        let claim = self.making_room(scope).and_then(|making_room| making_room.claim.take());
        let Some(claim) = claim else { return };
        let has_it = |share: &PoolShare| share.claim().is_some_and(|its| Arc::ptr_eq(&its, &claim));
        for share in self.accounts.values().map(|account| &account.share).filter(|share| scope.holds(share)) {
            if share.is_claimed() && has_it(share) {
                share.set_claim(None);
            }
        }
    }

    /// Nobody waits for a server of `pool` that is lent: it does not starve, and claims nothing.
    pub fn wants_nothing(&mut self, pool: &PoolShare) {
        self.is_content(Claimant { pool: pool.id, is_replication: false });
    }

    /// The same of replication clients.
    pub fn wants_no_replication(&mut self, pool: &PoolShare) {
        self.is_content(Claimant { pool: pool.id, is_replication: true });
    }

    fn is_content(&mut self, who: Claimant) {
        let Some(Starving { at, .. }) = self.starved.remove(&who) else { return };
        let is_its = |making_room: &MakingRoom| {
            making_room.claim.as_ref().is_some_and(|claim| claim.claimant() == who)
        };
        // for a claim that is taken a place comes back all the same
        if self.making_room(&at).is_some_and(|there| is_its(there) && !there.is_under_way()) {
            self.withdraw_claim(&at);
        }
    }

    /// A place in the scope is free again, and with it what was done to make room.
    pub(super) fn give_back(&mut self, scope: &Scope) {
        if let Some(room) = self.room(scope) {
            room.servers -= 1;
        }
        if let Some(making_room) = self.making_room(scope) {
            making_room.evicting = false;
        }
        self.withdraw_claim(scope);
    }

    /// What is being done to make room in a scope.
    fn making_room(&mut self, scope: &Scope) -> Option<&mut MakingRoom> {
        match scope {
            Scope::Pool(id) => self.accounts.get_mut(id).map(|account| &mut account.making_room),
            scope => self.room(scope).map(|room| &mut room.making_room),
        }
    }

    /// The pools whose wants may be met now that a place of `pool` was returned: itself, and
    /// those that starve in the same database or for the same user. They may be asked for again,
    /// so their workers are told.
    pub fn revived_by(&mut self, pool: &PoolShare) -> Vec<Arc<PoolShare>> {
        let starved: Vec<Claimant> = self.starved.keys().copied().collect();
        let mut revived: Vec<Arc<PoolShare>> = Vec::new();
        for who in starved.into_iter().filter(|who| who.pool != pool.id) {
            let Some(account) = self.accounts.get(&who.pool) else { continue };
            let share = &account.share;
            if share.database.name == pool.database.name || share.user == pool.user {
                share.set_full(false);
                // who starves in two ways is looked at once for both
                if revived.last().is_none_or(|last| last.id != share.id) {
                    revived.push(Arc::clone(share));
                }
                self.starved.remove(&who);
            }
        }
        revived.extend(self.accounts.get(&pool.id).map(|account| Arc::clone(&account.share)));
        revived
    }
}
