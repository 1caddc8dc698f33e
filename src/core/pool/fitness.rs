//! Whether a free server may be lent as it is, needs a check first, or is to be closed.
//!
//! Decides, never acts. The ages of authorizations are `recycling.rs`'s.

use super::pool::Pool;
use crate::base::{Micros, ServerId};
use crate::core::conn::{CloseReason, Phase, Server};
use crate::core::login_handoff::Authorization;
use crate::core::worker_core::Core;

/// What has to be done with a free server before a client may have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fitness {
    Fit,
    Check,
    Close(CloseReason),
}

impl Core {
    /// What a free server needs before it is lent.
    pub(super) fn fitness(&self, id: ServerId, now: Micros) -> Fitness {
        let server = &self.servers[id];
        let pool = &self.pools[server.pool];
        if let Some(reason) = server.close_reason {
            return Fitness::Close(reason);
        }
        if server.generation != pool.share.generation() {
            return Fitness::Close(CloseReason::Obsolete);
        }
        if now >= server.authorization.hard_at {
            return self.fitness_of_old(server, pool);
        }
        self.need_of_check(server, pool)
    }

    #[cold]
    pub(super) fn fitness_of_old(&self, server: &Server, pool: &Pool) -> Fitness {
        self.too_old(server).map_or_else(|| self.need_of_check(server, pool), Fitness::Close)
    }

    /// Whether a free server has been idle for so long that it must answer a query first.
    pub(super) fn need_of_check(&self, server: &Server, pool: &Pool) -> Fitness {
        let now = self.now;
        let Phase::Idle(since) = server.phase else { return Fitness::Fit };
        let rules = &pool.rules;
        let rested = now.since(since) > rules.server_check_delay || rules.server_check_delay == Micros(0);
        if rules.server_check_query.is_some() && rested && since != now {
            return Fitness::Check;
        }
        Fitness::Fit
    }

    /// Whether a server is to be closed as soon as it is free.
    pub(in crate::core) fn is_obsolete(&self, server: &Server) -> bool {
        server.close_reason.is_some() || server.generation != self.share(server.pool).generation()
    }

    /// Whether a free server must not be lent or kept.
    pub(in crate::core) fn reason_to_close(&self, id: ServerId, now: Micros) -> Option<CloseReason> {
        let server = &self.servers[id];
        let pool = &self.pools[server.pool];
        if server.close_reason.is_some() {
            return server.close_reason;
        }
        if server.generation != pool.share.generation() {
            return Some(CloseReason::Reconfigured);
        }
        if pool.share.database.is_paused() {
            return Some(CloseReason::Paused);
        }
        if now >= server.authorization.soft_at
            && let Some(reason) = self.reason_of_old(server)
        {
            return Some(reason);
        }
        if pool.share.is_claimed()
            && let Some(reason) = pool.share.yields_server(&server.identity.endpoint, now)
        {
            return Some(reason);
        }
        self.lifetime_over(server, pool)
    }

    #[cold]
    pub(super) fn reason_of_old(&self, server: &Server) -> Option<CloseReason> {
        self.too_old(server).or_else(|| self.retires(server))
    }

    /// `server_lifetime`, spread over the pool. Where a server has an authorization its soft age stands for
    /// it: only the lifetime 0, one use, ends it here, and not while no other can be had. One whose login has
    /// taken longer than the lifetime serves whoever waits first: closed as it comes, the next would be, too.
    pub(super) fn lifetime_over(&self, server: &Server, pool: &Pool) -> Option<CloseReason> {
        let now = self.now;
        let age = now.since(server.connected_at);
        let is_over = if pool.rules.server_lifetime == Micros(0) {
            server.is_used() && server.is_expendable(&pool.share)
        } else {
            let spacing = Micros(pool.rules.server_lifetime.0 / u64::from(pool.rules.pool_size.max(1)));
            age >= pool.rules.server_lifetime
                && !self.has_just_come(server)
                && server.authorization == Authorization::ENDLESS
                && pool.share.may_close_for_age(now, spacing)
        };
        is_over.then_some(CloseReason::LifetimeOver)
    }
}
