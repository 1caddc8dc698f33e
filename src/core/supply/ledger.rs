//! The ledger: how many servers there are, and whether one more may be opened. The one place that keeps every
//! cap exact, over all workers.
//!
//! Never does I/O, never reads a clock, never opens or closes anything: it counts places and gives
//! verdicts. Its owner (`control::places`) guards it with one lock, which is touched when connections open
//! and close, never by a transaction.
//!
//! Invariants, whatever the order of calls: servers of a pool (logging in or live) never exceed `pool_size`
//! and `reserve_pool_size`, those of a database `max_db_connections`, those of a pool user
//! `max_user_connections`, those at one server of PostgreSQL `max_server_connections`. A renewal keeps them,
//! too: where no place is free, a server is retired first. Lowered caps are kept from then on: nothing is
//! launched until the counts have come down. A pool has at most `server_login_concurrency` logins in
//! progress, and one while nothing shows that they succeed; beyond the first one of each pool, an endpoint
//! has no more than that either. Both count those for clients by themselves: renewals, which may be slow or
//! hang, take none of their places. Source: PgBouncer, src/objects.c (launch_new_connection), src/janitor.c.

mod account;
mod endpoint_counts;
mod logins;
mod opening;
mod renewals;
mod shortfall;
mod starving;
mod timetable;

use self::endpoint_counts::EndpointCounts;
use self::logins::{Held, Logins};
pub(crate) use self::renewals::{PACE_PERCENT, REPLACED_BY_PERCENT};
use self::shortfall::Asked;
pub use self::shortfall::Bound;
pub(crate) use self::shortfall::{Lateness, Shortfall};
use self::starving::Starving;
use self::timetable::Timetable;
use crate::base::{Micros, PoolId, limits};
use crate::config::PoolRules;
use crate::core::pool::{Claimant, PoolShare};
use crate::core::scope::Scope;
use account::{Account, MakingRoom};
pub use opening::{Opening, Use, Verdict, Want};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The counts of all pools.
#[derive(Debug, Default)]
pub struct Ledger {
    accounts: HashMap<PoolId, Account>,
    /// Servers of each database entry and each pool user that has any.
    servers: HashMap<Scope, u32>,
    /// Servers at each endpoint that has any, logging in or live.
    endpoints: EndpointCounts,
    /// Where room is being made for those who starve.
    making_room: HashMap<Scope, MakingRoom>,
    /// Logins in progress at each endpoint that has any.
    logins_at: HashMap<Arc<str>, Logins>,
    /// Who waits for a place among them.
    held_at: HashMap<Arc<str>, Held>,
    /// When servers at each endpoint are to be replaced.
    renewals_at: HashMap<Arc<str>, Timetable>,
    /// What pools want of each endpoint, as last added up.
    asked: HashMap<Arc<str>, Asked>,
    /// Those that were denied for the sake of a database's or user's cap, replication clients also for that
    /// of their pool's: asked again when a place there is returned. Who has a place kept is in here, too.
    starved: BTreeMap<Claimant, Starving>,
}

impl Ledger {
    /// Whether `want` gets a server now. [`Verdict::Launch`] has taken the place. Keeps
    /// [`PoolShare::is_full`] up to date.
    pub fn consider(&mut self, pool: &Arc<PoolShare>, want: Want, now: Micros) -> Verdict {
        if want.is_for_client() {
            self.ask_again(want.claimant(pool.id));
        }
        let verdict = self.judge(pool, want, now);
        match (want, &verdict) {
            (Want::Waiter { .. }, Verdict::Full | Verdict::EvictFirst(_) | Verdict::Later(_)) => {
                pool.set_full(true);
            }
            (Want::Waiter { .. }, Verdict::Launch(_)) => pool.set_full(false),
            (Want::Renewal, Verdict::Later(at)) => pool.postpone_renewal(*at),
            (Want::Renewal, Verdict::Nothing) => {
                pool.postpone_renewal(now + Micros::from_millis(limits::JANITOR_PERIOD_MS));
            }
            _ => {}
        }
        if let Verdict::Launch(opening) = &verdict {
            self.launch(pool, opening);
        }
        verdict
    }

    /// Whoever a server is opened for, it is the replacement of one that was retired, if one was.
    fn launch(&mut self, pool: &Arc<PoolShare>, opening: &Opening) {
        self.starved.remove(&opening.want.claimant(pool.id));
        let account = self.account(pool);
        if opening.renews && account.renewing == 0 {
            pool.forget_departed();
        }
        account.logging_in += 1;
        account.renewing += u32::from(opening.renews);
        account.renewals_under_way += u32::from(opening.want == Want::Renewal);
        match opening.want {
            Want::Replication { .. } => account.replication_logins += 1,
            _ => account.owed = account.owed.saturating_sub(1),
        }
        let there = self.logins_at.entry(Arc::clone(&opening.endpoint)).or_default();
        there.all += 1;
        there.for_clients += u32::from(opening.want.is_for_client());
        self.endpoints.login_begins(&opening.endpoints);
        for scope in named_scopes(pool) {
            *self.servers.entry(scope).or_default() += 1;
        }
    }

    fn judge(&mut self, pool: &Arc<PoolShare>, want: Want, now: Micros) -> Verdict {
        let rules = pool.rules();
        if pool.database.is_paused() || !self.may_log_in(pool, &rules, want) {
            return Verdict::Nothing;
        }
        let account = self.account(pool);
        let retry_at = if want.is_replication() { account.replication_retry_at } else { account.retry_at };
        if retry_at > now {
            return Verdict::Later(retry_at);
        }
        if want == Want::Renewal {
            return self.judge_renewal(pool, now);
        }
        let servers = account.servers();
        let at_size = rules.pool_size > 0 && servers >= rules.pool_size;
        let mut from_reserve = false;
        match want {
            Want::Minimum if servers >= rules.min_pool_size || at_size => return Verdict::Nothing,
            Want::Waiter { since } | Want::Replication { since } if at_size => {
                match self.judge_reserve(pool, &rules, since, now) {
                    None => from_reserve = true,
                    Some(_) if want.is_replication() => {
                        return self.make_room(pool.id, Scope::Pool(pool.id), want, now);
                    }
                    Some(verdict) => return verdict,
                }
            }
            _ if rules.pool_size > 0
                && self.go_before(pool.id, want, &Scope::Pool(pool.id), now) >= rules.pool_size - servers =>
            {
                return Verdict::Full;
            }
            _ => {}
        }
        if let Some(verdict) = self.judge_shared_caps(pool, &rules, want, now) {
            return verdict;
        }
        Verdict::Launch(self.opening(pool, want, from_reserve, now))
    }

    /// Whether a client that waits since then may have a place of the reserve; `None`: it may.
    fn judge_reserve(
        &mut self,
        pool: &Arc<PoolShare>,
        rules: &PoolRules,
        since: Micros,
        now: Micros,
    ) -> Option<Verdict> {
        let account = self.account(pool);
        let reserve_max = rules.pool_size.saturating_add(rules.reserve_pool_size);
        if rules.reserve_pool_timeout == Micros(0) || account.servers() >= reserve_max {
            return Some(Verdict::Full);
        }
        if account.coming() > 0 {
            // who waits longest then, and since when, shows when it has logged in
            return Some(Verdict::Nothing);
        }
        let is_early = now.since(since) < rules.reserve_pool_timeout;
        is_early.then_some(Verdict::Later(since + rules.reserve_pool_timeout))
    }

    /// Takes a place for a server that a client's own token opens, where one more would be free beside it in
    /// the pool and under each cap that it shares: whether the token is any good is not known yet, and the
    /// pool's own logins must not wait for that. It counts as one that nobody waits for. `None`: there is
    /// none to spare.
    pub fn take_spare(&mut self, pool: &Arc<PoolShare>, now: Micros) -> Option<Opening> {
        let rules = pool.rules();
        let is_kept = self.others_starve(pool) || self.starved.keys().any(|who| who.pool == pool.id);
        if pool.database.is_paused() || is_kept || self.account(pool).owed > 0 {
            return None;
        }
        let own = (rules.pool_size, self.account(pool).servers());
        let shared =
            shared_caps(pool, &rules).into_iter().map(|(scope, most)| (most, self.servers_in(&scope)));
        let mut counts = shared.chain([own]);
        if counts.any(|(most, servers)| most > 0 && servers.saturating_add(1) >= most) {
            return None;
        }
        let opening = Opening { renews: false, ..self.opening(pool, Want::Renewal, false, now) };
        self.launch(pool, &opening);
        Some(opening)
    }

    /// Takes a place for a cancel request's connection: allowed while the pool's servers and cancels are
    /// fewer than twice `pool_size`, as in PgBouncer; but one at a time always is, or a small pool with a
    /// reserve, or one that was made smaller, could never cancel anything. PostgreSQL never counts such a
    /// connection as a session, so it does not count for database or user.
    pub fn take_cancel(&mut self, pool: &Arc<PoolShare>) -> bool {
        let cap = pool.rules().pool_size.saturating_mul(2);
        let account = self.account(pool);
        let free = cap == 0 || account.cancels == 0 || account.servers() + account.cancels < cap;
        account.cancels += u32::from(free);
        free
    }

    /// A place is free again: its socket has truly ended.
    pub fn returned(&mut self, pool: &Arc<PoolShare>, used_for: &Use) {
        match used_for {
            Use::LoggingIn(opening) | Use::Failed(opening) => {
                self.account(pool).failed -= u32::from(matches!(used_for, Use::Failed(_)));
                self.login_is_over(pool, opening);
                if opening.renews {
                    // It has failed: the next try is a matter of the back-off, not of the pool's pace.
                    pool.postpone_renewal(self.account(pool).retry_at);
                }
            }
            Use::Live(endpoint) => {
                self.endpoints.server_ends(endpoint);
                let account = self.account(pool);
                assert!(account.live > 0, "a place was returned that was never taken");
                account.live -= 1;
                account.retiring = account.retiring.saturating_sub(1);
                pool.set_live_count(account.live);
            }
            Use::Replication(endpoint) => {
                self.endpoints.server_ends(endpoint);
                let account = self.account(pool);
                assert!(account.replication > 0, "a place was returned that was never taken");
                account.replication -= 1;
                pool.set_replication_count(account.replication);
            }
            Use::Cancel => {
                let account = self.account(pool);
                assert!(account.cancels > 0, "a place was returned that was never taken");
                account.cancels -= 1;
                return;
            }
        }
        pool.set_full(false);
        for scope in named_scopes(pool) {
            self.uncount(scope);
        }
        self.is_given_back(pool, used_for);
    }

    fn uncount(&mut self, scope: Scope) {
        if let Entry::Occupied(mut servers) = self.servers.entry(scope) {
            *servers.get_mut() -= 1;
            if *servers.get() == 0 {
                servers.remove();
            }
        }
    }

    /// Forgets a pool that has no place in use. Returns whether it did.
    pub fn forget(&mut self, pool: &PoolShare) -> bool {
        if self.accounts.get(&pool.id).is_some_and(|account| account.servers() + account.cancels > 0) {
            return false;
        }
        self.wants_nothing(pool);
        self.wants_no_replication(pool);
        self.stop_making_room(&Scope::Pool(pool.id));
        self.leave_queue(pool.id);
        self.accounts.remove(&pool.id);
        true
    }

    /// Servers of a pool: (logging in, live). For `sv_login` of SHOW POOLS.
    pub fn pool_servers(&self, pool: PoolId) -> (u32, u32) {
        self.accounts
            .get(&pool)
            .map_or((0, 0), |account| (account.logging_in, account.live + account.replication))
    }

    /// Logins in progress that bring a pool one more server to lend than there are: not those that replace
    /// one.
    pub fn coming(&self, pool: PoolId) -> u32 {
        self.accounts.get(&pool).map_or(0, Account::coming)
    }

    /// Connections of a pool that carry cancel requests. For `sv_active_cancel` of SHOW POOLS.
    pub fn pool_cancels(&self, pool: PoolId) -> u32 {
        self.accounts.get(&pool).map_or(0, |account| account.cancels)
    }

    /// Servers in a scope whose cap pools share, logging in or live: `current_connections` of SHOW DATABASES
    /// and SHOW USERS. None of one pool, or of all.
    pub fn servers_in(&self, scope: &Scope) -> u32 {
        match scope {
            Scope::Endpoints(endpoints) => self.endpoints.at(endpoints),
            scope => self.servers.get(scope).copied().unwrap_or(0),
        }
    }

    /// Servers of all pools, logging in or live.
    pub fn all_servers(&self) -> u32 {
        self.accounts.values().map(Account::servers).sum()
    }

    fn account(&mut self, pool: &Arc<PoolShare>) -> &mut Account {
        self.accounts.entry(pool.id).or_insert_with(|| Account::new(Arc::clone(pool)))
    }
}

/// The scopes in which a pool shares a cap with others, each with that. The one table of them.
fn shared_caps(pool: &PoolShare, rules: &PoolRules) -> Vec<(Scope, u32)> {
    let named = named_scopes(pool).into_iter().zip([rules.max_db_connections, rules.max_user_connections]);
    let at_instances = rules
        .instance_caps
        .iter()
        .map(|cap| (Scope::Endpoints(Arc::clone(&cap.endpoints)), cap.max_server_connections));
    named.filter(|(_, most)| *most > 0).chain(at_instances).collect()
}

/// Those that it is in by its names, for good.
fn named_scopes(pool: &PoolShare) -> [Scope; 2] {
    [Scope::Database(Arc::clone(&pool.database.name)), Scope::User(Arc::clone(&pool.user))]
}

#[cfg(test)]
pub(in crate::core) mod tests;
