//! What a login to a server is wanted for, what the ledger answers, and what a place of its
//! is used for. Values only.

use crate::base::Micros;
use crate::config::Endpoints;
use crate::core::scope::Scope;
use std::sync::Arc;

/// Who wants a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// A client; the longest waiting one of the pool waits since then.
    Waiter {
        /// When its wait began.
        since: Micros,
    },
    /// A replication client, for one of its own: whom the pool's servers do not serve. An idle server of the
    /// pool goes for it where `pool_size` is reached.
    Replication {
        /// When its wait began.
        since: Micros,
    },
    /// `min_pool_size`: nobody waits, so nothing is evicted for it and the reserve is not touched.
    Minimum,
    /// A server past its soft age is to be replaced: comes after all others, evicts nothing,
    /// takes nothing of the reserve.
    Renewal,
}

impl Want {
    /// Since when the client waits that it is for; [`Micros::NEVER`] where none does.
    pub(super) fn since(self) -> Micros {
        match self {
            Self::Waiter { since } | Self::Replication { since } => since,
            Self::Minimum | Self::Renewal => Micros::NEVER,
        }
    }

    /// Whether a client waits for it.
    pub(super) fn is_for_client(self) -> bool {
        matches!(self, Self::Waiter { .. } | Self::Replication { .. })
    }

    /// Whether it is for one client alone, for good.
    pub fn is_replication(self) -> bool {
        matches!(self, Self::Replication { .. })
    }
}

/// What is to be done about a want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A place has been taken: open a server. It ends with [`super::Ledger::returned`].
    Launch(Opening),
    /// A cap that pools share is reached, or `pool_size` by one for a replication client:
    /// close an idle server there, ask again when its place is back. If there is none to close, say so by
    /// [`super::Ledger::nothing_to_evict`].
    EvictFirst(Scope),
    /// A renewal at a cap: a server past its soft age is retired first
    /// ([`crate::core::PoolShare::want_retirement`] has been said; workers see it when one is released, at
    /// their pass, or at a sweep). Its place is then a replacement's, as
    /// [`super::Ledger::owes_replacement`] says.
    RetireFirst,
    /// No place; asking again is in vain until one is returned or the rules change.
    Full,
    /// Not before this time.
    Later(Micros),
    /// Nothing is to be done: enough logins are in progress, the database is paused,
    /// or the minimum is reached.
    Nothing,
}

/// A server that is being opened, as it stood when its place was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The place is one of `reserve_pool_size`.
    pub from_reserve: bool,
    /// When it has logged in, a server past its soft age retires.
    pub(super) renews: bool,
    /// What it is for.
    pub(super) want: Want,
    /// The pool's.
    pub(super) generation: u32,
    pub(super) began_at: Micros,
    /// How many logins of the pool had failed by then.
    pub(super) failures: u32,
    /// Where it goes.
    pub(super) endpoint: Arc<str>,
    /// At which of these it ends is not known yet.
    pub(super) endpoints: Endpoints,
}

impl Opening {
    /// Whether all of `endpoints` are those that it may end at.
    pub fn is_for(&self, endpoints: &[Arc<str>]) -> bool {
        endpoints.iter().all(|endpoint| self.endpoints.contains(endpoint))
    }

    /// Whom it is opened for.
    pub fn want(&self) -> Want {
        self.want
    }
}

/// What a place is used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// A server that is connecting or logging in.
    LoggingIn(Opening),
    /// A login that has failed, and whose connection has not ended yet.
    Failed(Opening),
    /// A server past its login, at that endpoint.
    Live(Arc<str>),
    /// A replication client's server past its login, at that endpoint.
    Replication(Arc<str>),
    /// A connection that carries a cancel request.
    Cancel,
}

impl Use {
    /// Where its connection is, or may come to be; nowhere where that does not count.
    pub(super) fn endpoints(&self) -> &[Arc<str>] {
        match self {
            Self::LoggingIn(opening) | Self::Failed(opening) => &opening.endpoints,
            Self::Live(endpoint) | Self::Replication(endpoint) => std::slice::from_ref(endpoint),
            Self::Cancel => &[],
        }
    }
}
