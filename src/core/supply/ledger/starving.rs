//! The ledger's rules for those who starve at a cap at which room can be made: a pool at a cap that it
//! shares, a replication client also at its own pool's size. An idle server is closed for them, or they
//! claim the next one that is released; and a place that comes back is theirs who have waited longest.
//!
//! Who needs a place at several caps waits at one of them at a time, and what was given up for it at the
//! others is kept for it meanwhile. Else rivals that share but one of the caps with it would take the places
//! in turns, each from where it does not wait, and it would never find all. A place is kept
//! for as long as its client has waited by then: longer each time, so that this ends, and no longer, since
//! a server at another cap may be busy for hours. So who has waited longest at two caps, where a place is
//! given up within a time T, has both within 3 T and `limits::FAIR_LEAD_US`: once it has waited for T, the
//! next place that is given up, within T, is kept until there is the other one, within T. With three, the
//! first of them may be lost once before: 6 T.

use super::account::{Account, MakingRoom};
use super::{Ledger, Use, Verdict, Want, named_scopes, shared_caps};
use crate::base::{Micros, PoolId};
use crate::config::PoolRules;
use crate::core::pool::{Claim, Claimant, PoolShare, goes_before};
use crate::core::scope::Scope;
use std::sync::Arc;

/// Whoever was denied for the sake of a cap at which room can be made, until it has its server or wants
/// none.
#[derive(Debug)]
pub(super) struct Starving {
    /// Whose cap that was, the last time.
    at: Scope,
    /// Since when its longest waiting client waits; [`Micros::NEVER`] where none does.
    since: Micros,
    /// The places that were given up for it before it starved here, one for each cap.
    kept: Vec<Kept>,
    /// It is looked at again, since a place came back or somebody asked: whether it starves is judged anew.
    is_asked_again: bool,
}

/// A place that nobody takes who comes later than whom it is kept for.
#[derive(Debug)]
struct Kept {
    at: Scope,
    until: Micros,
}

impl Starving {
    /// What is kept for it when it starves at `at` from now on: where it has starved so far, too, until then.
    fn kept_beside(self, at: &Scope, until: Micros, now: Micros) -> Vec<Kept> {
        let Self { at: before, since, mut kept, .. } = self;
        if before != *at && since != Micros::NEVER {
            kept.retain(|kept| kept.at != before);
            kept.push(Kept { at: before, until });
        }
        kept.retain(|kept| kept.at != *at && now < kept.until);
        kept
    }

    /// Whether a place that is free in `scope` is for it.
    fn has_place_in(&self, scope: &Scope, now: Micros) -> bool {
        self.at == *scope || self.kept.iter().any(|kept| kept.at == *scope && now < kept.until)
    }
}

impl Want {
    /// Who starves where it is denied.
    pub(super) fn claimant(self, pool: PoolId) -> Claimant {
        Claimant { pool, is_replication: self.is_replication() }
    }
}

impl Ledger {
    /// What is to be done where a cap that the pool shares has no place for `want`.
    pub(super) fn judge_shared_caps(
        &mut self,
        pool: &PoolShare,
        rules: &PoolRules,
        want: Want,
        now: Micros,
    ) -> Option<Verdict> {
        for (scope, servers_max) in self.caps_in_order(pool, rules, want) {
            let servers = self.servers_in(&scope);
            if servers >= servers_max {
                return Some(self.make_room(pool.id, scope, want, now));
            }
            if self.go_before(pool.id, want, &scope, now) >= servers_max - servers {
                self.starve(pool.id, scope, want, now);
                return Some(Verdict::Full);
            }
        }
        None
    }

    /// The caps that a pool shares, in the order in which it asks for a place: first that where all servers
    /// are its own, since no other pool can give one up; then the one where it starved last. Before it has a
    /// place there, what is given up at the other one is given up for nothing.
    fn caps_in_order(&self, pool: &PoolShare, rules: &PoolRules, want: Want) -> Vec<(Scope, u32)> {
        let own = self.accounts.get(&pool.id).map_or(0, Account::servers);
        let last = self.starved.get(&want.claimant(pool.id)).map(|starving| &starving.at);
        let caps = shared_caps(pool, rules).into_iter();
        let mut caps: Vec<_> = caps.filter(|(_, servers_max)| *servers_max > 0).collect();
        caps.sort_by_key(|(scope, servers_max)| (own < *servers_max, last != Some(scope)));
        caps
    }

    /// How many have a place in `scope` whose clients go before that of `want`: they starve there, or what
    /// they were given there is kept for them.
    pub(super) fn go_before(&self, pool: PoolId, want: Want, scope: &Scope, now: Micros) -> u32 {
        let own = want.claimant(pool);
        let first = |(who, starving): &(Claimant, &Starving)| {
            *who != own && starving.has_place_in(scope, now) && goes_before(starving.since, want.since())
        };
        self.starving().filter(first).count() as u32
    }

    /// Those who starve, as far as is known, and are still served.
    fn starving(&self) -> impl Iterator<Item = (Claimant, &Starving)> {
        let is_served = |id| self.accounts.get(id).is_some_and(|account| !account.share.is_removed());
        let starving = self.starved.iter().filter(|(_, starving)| !starving.is_asked_again);
        starving.filter(move |(who, _)| is_served(&who.pool)).map(|(who, starving)| (*who, starving))
    }

    /// Whether somebody starves whom a place of the pool's might serve: also a replication client of its own.
    pub(super) fn others_starve(&self, pool: &PoolShare) -> bool {
        let scopes = shared_scopes(pool);
        let mut others = self.starving().filter(|(who, _)| who.pool != pool.id || who.is_replication);
        others.any(|(who, _)| {
            self.accounts.get(&who.pool).is_some_and(|account| are_rivals(&scopes, &account.share))
        })
    }

    /// It starves where a client of it was denied, if one was; not where a server that nobody waits for was
    /// denied, too.
    fn starve(&mut self, pool: PoolId, at: Scope, want: Want, now: Micros) {
        let (who, since) = (want.claimant(pool), want.since());
        let known = if want.is_for_client() { self.starved.remove(&who) } else { None };
        let kept = known.map_or_else(Vec::new, |known| known.kept_beside(&at, now + now.since(since), now));
        self.starved.entry(who).or_insert(Starving { at, since, kept, is_asked_again: false });
    }

    /// It is about to be judged.
    pub(super) fn ask_again(&mut self, who: Claimant) {
        if let Some(starving) = self.starved.get_mut(&who) {
            starving.is_asked_again = true;
        }
    }

    /// At most one eviction at a time in a scope: its place must be back before the next is asked for.
    pub(super) fn make_room(&mut self, pool: PoolId, scope: Scope, want: Want, now: Micros) -> Verdict {
        self.starve(pool, scope.clone(), want, now);
        let is_under_way = self.making_room.get(&scope).is_some_and(MakingRoom::is_under_way);
        if !want.is_for_client() || is_under_way {
            return Verdict::Full;
        }
        self.stop_making_room(&scope);
        self.making_room.insert(scope.clone(), MakingRoom::Evicting);
        Verdict::EvictFirst(scope)
    }

    /// No worker had an idle server in `scope`: the next want there may try again, and whoever starves
    /// longest has a claim on the next one that is released.
    pub fn nothing_to_evict(&mut self, scope: &Scope) {
        if !self.making_room.contains_key(scope) {
            return; // a place has come back meanwhile, and whoever starves is looked at for that
        }
        self.stop_making_room(scope);
        let here = self.starving().filter(|(_, starving)| starving.at == *scope);
        let waiting =
            here.map(|(who, starving)| (who, starving.since)).filter(|(_, since)| *since != Micros::NEVER);
        let Some((claimant, since)) = waiting.min_by_key(|(_, since)| *since) else { return };
        let claim = Claim::new(claimant, since, scope.clone());
        let rivals = self.accounts.values().filter(|account| account.pooled() > 0);
        for rival in rivals.filter(|account| account.share.is_in(scope)) {
            if claimant.may_take_from(rival.share.id) {
                rival.share.set_claim(Some(Arc::clone(&claim)));
            }
        }
        self.making_room.insert(scope.clone(), MakingRoom::Claimed(claim));
    }

    /// Nothing is done any more to make room in `scope`.
    pub(super) fn stop_making_room(&mut self, scope: &Scope) {
        let Some(MakingRoom::Claimed(claim)) = self.making_room.remove(scope) else { return };
        let has_it = |share: &PoolShare| share.claim().is_some_and(|its| Arc::ptr_eq(&its, &claim));
        for share in self.accounts.values().map(|account| &account.share) {
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
        let its = self.making_room.get(&at).and_then(MakingRoom::claim);
        // for a claim that is taken a place comes back all the same
        if its.is_some_and(|claim| claim.claimant() == who && claim.is_open()) {
            self.stop_making_room(&at);
        }
    }

    /// A place is free again, and with it is over what was done to make room where it was.
    pub(super) fn is_given_back(&mut self, pool: &PoolShare, used_for: &Use) {
        let was_in = |scope: &&Scope| match (scope, used_for.endpoints()) {
            (Scope::Endpoints(here), endpoints) => endpoints.iter().any(|at| here.contains(at)),
            (scope, _) => pool.is_in(scope),
        };
        let scopes: Vec<Scope> = self.making_room.keys().filter(was_in).cloned().collect();
        scopes.iter().for_each(|scope| self.stop_making_room(scope));
    }

    /// The pools whose wants may be met now that a place of `pool` was returned: itself, and
    /// those that starve where it shares a cap with them. They may be asked for again,
    /// so their workers are told.
    pub fn revived_by(&mut self, pool: &PoolShare) -> Vec<Arc<PoolShare>> {
        let scopes = shared_scopes(pool);
        let starving: Vec<Claimant> = self.starving().map(|(who, _)| who).collect();
        let mut revived: Vec<Arc<PoolShare>> = Vec::new();
        for who in starving.into_iter().filter(|who| who.pool != pool.id) {
            let Some(account) = self.accounts.get(&who.pool) else { continue };
            let share = &account.share;
            if are_rivals(&scopes, share) {
                share.set_full(false);
                // who starves in two ways is looked at once for both
                if revived.last().is_none_or(|last| last.id != share.id) {
                    revived.push(Arc::clone(share));
                }
                self.ask_again(who);
            }
        }
        revived.extend(self.accounts.get(&pool.id).map(|account| Arc::clone(&account.share)));
        revived
    }
}

/// Where a place of the pool may serve others.
fn shared_scopes(pool: &PoolShare) -> Vec<Scope> {
    let rules = pool.rules();
    let at_instances = rules.instance_caps.iter().map(|cap| Scope::Endpoints(Arc::clone(&cap.endpoints)));
    named_scopes(pool).into_iter().chain(at_instances).collect()
}

/// Whether a place that comes back in one of `scopes` may serve the pool of `share`.
fn are_rivals(scopes: &[Scope], share: &PoolShare) -> bool {
    scopes.iter().any(|scope| share.is_in(scope))
}
