//! Which pools something is for: an order of an operator, a cap that they share, a claim on their servers.
//!
//! Values only; which pools are in one is [`super::PoolShare::is_in`]'s.

use super::conn::CloseReason;
use crate::base::PoolId;
use crate::config::Endpoints;
use std::sync::Arc;

/// Some pools.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Every pool.
    All,
    /// Pools of one database entry.
    Database(Arc<str>),
    /// Pools of one pool user.
    User(Arc<str>),
    /// Pools with servers at one of these endpoints, which are those of one server of PostgreSQL.
    Endpoints(Endpoints),
    /// One pool.
    Pool(PoolId),
}

impl Scope {
    /// Why a server is closed that makes room here: which cap is reached.
    pub(in crate::core) fn eviction(&self) -> CloseReason {
        match self {
            Self::User(_) => CloseReason::EvictedForUser,
            Self::Endpoints(_) => CloseReason::EvictedForInstance,
            Self::Pool(_) => CloseReason::EvictedForPool,
            Self::Database(_) | Self::All => CloseReason::EvictedForDatabase,
        }
    }
}
