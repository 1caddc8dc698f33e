//! Words that every room uses: ids, points in time, addresses, redacted secrets, and every
//! fixed limit with its why.
//!
//! Never imports another room, never does I/O, never reads a clock.

mod address;
mod ids;
pub mod limits;
mod log_about;
mod principal;
pub(crate) mod roff;
mod secret;
mod standing;
pub mod sync;
mod time;
mod version;
pub(crate) mod wrap;

pub use address::{Address, Network};
pub use ids::{ClientId, Peer, PoolId, ServerId, SessionId, StartId, WorkerId};
pub(crate) use log_about::{About, log_about};
pub use principal::{Expiry, MappedTimeouts, Principal, Proof};
pub use secret::Password;
pub use standing::{DenyReason, Standing};
pub use time::Micros;
pub(crate) use version::{PGBOUNCER_VERSION, PGWEIR_VERSION, VERSION};
