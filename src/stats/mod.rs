//! Counting: plain integers and histograms that one worker owns, and what merges them when someone looks.
//!
//! Never takes a lock, never knows a clock; never counts per query more than a few additions.

mod ages;
mod counters;
mod histogram;
mod levels;
mod logins;
mod merge;
pub mod names;
mod recent;
mod totals;
mod window;

pub(crate) use ages::Ages;
pub use counters::PoolCounters;
pub(crate) use histogram::Histogram;
pub(crate) use levels::{
    CLIENT_LIMITS, DatabaseLevels, FETCH_RESULTS, HANDSHAKE_KINDS, InstanceLevels, IssuerLevels, PeerLevels,
    PoolLevels, ProcessLevels, SystemLevels, TOKEN_OUTCOMES,
};
pub use logins::Outcome;
pub(crate) use logins::{CredentialLevels, LOGIN_FAILURES, LoginCounters};
pub(crate) use recent::Recent;
pub(crate) use totals::Totals;
pub use totals::{Per, STATS};
pub(crate) use window::Window;
