//! Counting: plain integers and histograms that one worker owns, and what merges them when someone looks.
//!
//! Never takes a lock, never knows a clock; never counts per query more than a few additions.

mod ages;
mod counters;
mod histogram;
mod levels;
mod logins;
pub mod names;
mod recent;
mod totals;
mod window;

pub use ages::Ages;
pub use counters::PoolCounters;
pub use histogram::Histogram;
pub use levels::{PoolLevels, ProcessLevels};
pub use logins::{CredentialLevels, LOGIN_FAILURES, LoginCounters, Outcome};
pub use recent::Recent;
pub use totals::{Per, STATS, Stat, Totals};
pub use window::Window;
