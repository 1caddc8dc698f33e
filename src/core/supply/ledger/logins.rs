//! The ledger's rules for logins in progress: how many at a time, and what the end of one says of the next.
//!
//! A pool has one while nothing shows that they succeed, then several. Those for clients are counted by
//! themselves, in the pool and at its endpoint: renewals that wait for the pace, are slow or hang, take none
//! of their places. The first login of each pool always may begin. A pool that its endpoint has no place for
//! is asked again as soon as there is one ([`Ledger::next_held`]).

use super::{Ledger, Opening, Want};
use crate::base::{Micros, PoolId, limits};
use crate::config::PoolRules;
use crate::core::pool::PoolShare;
use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// Logins in progress at an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Logins {
    pub all: u32,
    pub for_clients: u32,
}

impl Logins {
    /// Those beside which one for `want` would begin.
    fn beside(self, want: Want) -> u32 {
        if want.is_for_client() { self.for_clients } else { self.all }
    }
}

/// Pools with clients that their endpoint had no place for, in the order in which they asked. Each is in the
/// one that its account names ([`super::account::Account::held_at`]), once, and in no other.
pub(super) type Held = VecDeque<PoolId>;

impl Ledger {
    /// A login that begins now.
    pub(super) fn opening(
        &mut self,
        pool: &Arc<PoolShare>,
        want: Want,
        from_reserve: bool,
        now: Micros,
    ) -> Opening {
        let rules = pool.rules();
        let (endpoint, endpoints) = (Arc::clone(&rules.endpoint), Arc::clone(&rules.endpoints));
        let account = self.account(pool);
        let renews = want == Want::Renewal && account.owed == 0;
        let (generation, failures) = (pool.generation(), account.failures);
        Opening { from_reserve, renews, want, generation, began_at: now, failures, endpoint, endpoints }
    }

    /// Whether one more login may begin beside those in progress. Renewals that wait for the endpoint's pace,
    /// are slow or hang, keep no client from a server, in their own pool as little as in others.
    pub(super) fn may_log_in(&mut self, pool: &Arc<PoolShare>, rules: &PoolRules, want: Want) -> bool {
        let most = rules.server_login_concurrency;
        let there = self.logins_at.get(&rules.endpoint).copied().unwrap_or_default();
        let has_place = there.beside(want) < most;
        let account = self.account(pool);
        let here = match want {
            Want::Waiter { .. } => account.coming(),
            Want::Replication { .. } => account.replication_logins,
            Want::Minimum | Want::Renewal => account.pooled_logins(),
        };
        let may_have_another = account.is_proven() && here < most;
        let may = here == 0 || may_have_another && has_place;
        if !may && may_have_another && want.is_for_client() {
            self.hold(pool, &rules.endpoint);
        }
        may
    }

    /// A login has succeeded: its place is a live server's from now on. Where another one has failed since it
    /// began, the server may not take as many: the next one is tried by itself, and not at once, but no later
    /// than a second after this one's begin.
    /// `endpoint` is where it has ended.
    pub fn logged_in(&mut self, pool: &Arc<PoolShare>, opening: &Opening, endpoint: &Arc<str>) {
        self.login_is_over(pool, opening);
        self.endpoints.server_begins(endpoint);
        if opening.want.is_replication() {
            let account = self.account(pool);
            account.replication += 1;
            account.replication_retry_at = Micros(0);
            return pool.set_replication_count(account.replication);
        }
        let account = self.account(pool);
        // The server that was to be replaced may have ended by itself meanwhile.
        if opening.renews && !pool.take_departed() {
            pool.want_retirement();
            account.retiring += 1;
        }
        account.live += 1;
        if opening.failures == account.failures {
            account.retry_at = Micros(0);
            account.proven = Some(opening.generation);
        } else {
            let soon = opening.began_at + Micros::from_millis(limits::LOGIN_RETRY_MS);
            account.retry_at = account.retry_at.min(soon);
        }
        pool.set_live_count(account.live);
        pool.set_failing(None);
    }

    /// A login has failed: no other is tried until `retry` after its start, unless the pool has a new
    /// generation since. `reason` is what clients that need a server meanwhile are told. Returns whether this
    /// is the answer to those who wait: as long as other logins are under way it is not, since each of these
    /// may still serve them; the last one that fails is. The place itself, from now on one of
    /// [`super::Use::Failed`], comes back by [`Ledger::returned`].
    pub fn login_failed(
        &mut self,
        pool: &Arc<PoolShare>,
        opening: &Opening,
        reason: String,
        retry: Micros,
    ) -> bool {
        let is_of_today = self.postpone(pool, opening, retry);
        let account = self.account(pool);
        let is_answer = is_of_today && account.pooled_logins() == account.failed;
        if is_answer {
            pool.set_failing(Some(reason));
        }
        is_answer
    }

    /// A login has failed for a reason that may pass: as [`Ledger::login_failed`], but clients go on waiting.
    pub fn login_postponed(&mut self, pool: &Arc<PoolShare>, opening: &Opening, retry: Micros) {
        self.postpone(pool, opening, retry);
        pool.set_failing(None);
    }

    /// A login for a replication client has failed in a way that may pass: none for another is tried before
    /// `retry` after its start. Whom the pool's other servers serve is not concerned.
    pub fn replication_postponed(&mut self, pool: &Arc<PoolShare>, opening: &Opening, retry: Micros) {
        if opening.generation == pool.generation() {
            let account = self.account(pool);
            account.replication_retry_at = account.replication_retry_at.max(opening.began_at + retry);
        }
    }

    /// Whether a login's failure says anything about the next one: not where that would go
    /// elsewhere or send something else.
    fn postpone(&mut self, pool: &Arc<PoolShare>, opening: &Opening, retry: Micros) -> bool {
        let account = self.account(pool);
        account.failed += 1;
        let is_of_today = opening.generation == pool.generation();
        if is_of_today {
            account.retry_at = account.retry_at.max(opening.began_at + retry);
            account.proven = None;
            account.failures = account.failures.wrapping_add(1);
        }
        is_of_today
    }

    /// A server whose login began then has ended by itself and had answered nothing: it lets everybody in and
    /// serves nobody. The next login comes by itself after a pause, which doubles with each such end from
    /// `limits::REFUSAL_PAUSE_MS` to `longest`; those of servers that were logged in to together are one.
    /// Returns the end of the pause. (PgBouncer opens the next one at once, one at a time.)
    pub fn ended_unanswered(
        &mut self,
        pool: &Arc<PoolShare>,
        began_at: Micros,
        now: Micros,
        longest: Micros,
    ) -> Micros {
        let account = self.account(pool);
        let pause = match account.unanswered {
            Some((at, pause)) if began_at < at => pause,
            Some((at, pause)) if now.since(at + pause) <= longest => pause + pause,
            _ => Micros::from_millis(limits::REFUSAL_PAUSE_MS),
        };
        let pause = pause.min(longest);
        account.unanswered = Some((now, pause));
        account.proven = None;
        account.failures = account.failures.wrapping_add(1); // who logs in just now shows nothing
        account.retry_at = account.retry_at.max(now + pause);
        account.retry_at
    }

    pub(super) fn login_is_over(&mut self, pool: &Arc<PoolShare>, opening: &Opening) {
        let account = self.account(pool);
        assert!(account.logging_in > 0, "a login ended that never began");
        account.logging_in -= 1;
        account.renewing -= u32::from(opening.renews);
        account.renewals_under_way -= u32::from(opening.want == Want::Renewal);
        account.replication_logins -= u32::from(opening.want.is_replication());
        self.endpoints.login_ends(&opening.endpoints);
        if let Entry::Occupied(mut logins) = self.logins_at.entry(Arc::clone(&opening.endpoint)) {
            let there = logins.get_mut();
            there.all -= 1;
            there.for_clients -= u32::from(opening.want.is_for_client());
            if there.all == 0 {
                logins.remove();
            }
        }
    }

    /// The pool's endpoint answers again, as something else than a login has shown (a cancel request went
    /// through; the connect string has changed): the next login need not wait for the retry.
    pub fn forget_failure(&mut self, pool: &Arc<PoolShare>) {
        let account = self.account(pool);
        (account.retry_at, account.replication_retry_at) = (Micros(0), Micros(0));
        pool.set_failing(None); // who comes now waits for what becomes of it
    }

    /// A pool that was refused because of its endpoint, where there is a place now: the one that has asked
    /// first. It is looked at again, and refused again or not.
    pub fn next_held(&mut self, endpoint: &Arc<str>) -> Option<PoolId> {
        let there = self.logins_at.get(endpoint).copied().unwrap_or_default();
        let id = *self.held_at.get(endpoint)?.front()?;
        if there.for_clients >= self.accounts.get(&id)?.share.rules().server_login_concurrency {
            return None;
        }
        self.leave_queue(id);
        Some(id)
    }

    fn hold(&mut self, pool: &Arc<PoolShare>, endpoint: &Arc<str>) {
        if self.account(pool).held_at.as_ref() != Some(endpoint) {
            self.leave_queue(pool.id); // its entry may have had another endpoint
            self.account(pool).held_at = Some(Arc::clone(endpoint));
            self.held_at.entry(Arc::clone(endpoint)).or_default().push_back(pool.id);
        }
    }

    /// Takes a pool out of the queue that it is in, if it is in one.
    pub(super) fn leave_queue(&mut self, pool: PoolId) {
        let Some(account) = self.accounts.get_mut(&pool) else { return };
        let Some(endpoint) = account.held_at.take() else { return };
        let Entry::Occupied(mut held) = self.held_at.entry(endpoint) else { return };
        if let Some(place) = held.get().iter().position(|id| *id == pool) {
            held.get_mut().remove(place);
        }
        if held.get().is_empty() {
            held.remove();
        }
    }
}
