//! The data plane without I/O: client sessions, server connections, pools, and the
//! relay between a linked pair.
//!
//! A [`Core`] is one worker's heart: it takes events (bytes, sent, closed, time, command) and answers through
//! [`Net`]. It never touches a socket, never reads a clock, never keeps a peer's bytes (the driver keeps what
//! was not consumed), never waits. Invariant above all: a server is lent only when idle, in sync, reset and
//! of the right database and user.

mod admin;
mod audit_trail;
mod bounds;
mod conn;
mod ending;
mod janitor;
mod load;
mod login_handoff;
#[cfg(all(test, feature = "model"))]
mod models {
    mod tests;
}
mod moved_server;
mod net;
mod note;
mod pool;
mod query_limits;
mod relay;
mod replication;
mod scope;
mod slots;
mod socket_index;
mod supply;
mod tenure;
mod worker_core;

pub(crate) use admin::ClientRow;
pub use admin::{
    Answer, CancelFate, ClientRulesOf, ClientState, Command, Judge, PoolRow, ServerRow, ServerState,
};
pub use bounds::Bounds;
pub use conn::ShownName;
pub use load::ServerLoad;
pub use login_handoff::{Authorization, CancelKey, ClientIdentity, ClientLogin, ServerIdentity, ServerLogin};
pub use moved_server::MovedServer;
pub use net::Net;
pub use note::{Farewell, Note};
pub use pool::{DatabaseShare, Gate, PoolShare, ServerUnderWay, Stance};
pub use relay::StatementRegistry;
pub use scope::Scope;
pub use supply::{Action, Bound, Demand, Event, Launcher, Ledger, Opening, Use, Verdict, Want};
pub(crate) use supply::{Lateness, PACE_PERCENT, REPLACED_BY_PERCENT, Shortfall};
pub use worker_core::Core;
