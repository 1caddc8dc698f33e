//! The data plane without I/O: client sessions, server connections, pools, and the relay between a linked pair.
//!
//! A [`Core`] is one worker's heart: it takes events (bytes, sent, closed, time, command) and answers through [`Net`]. It
//! never touches a socket, never reads a clock, never keeps a peer's bytes (the driver keeps what was not consumed), never
//! waits. Invariant above all: a server is lent only when idle, in sync, reset and of the right database and user.

mod age;
mod bounds;
mod claim;
mod client;
mod command;
mod commands;
mod downstream;
mod engine;
mod expect;
mod handover;
mod hold;
mod janitor;
mod launcher;
mod ledger;
mod lend;
mod load;
mod moved;
#[cfg(all(test, feature = "model"))]
mod models {
    mod tests;
}
mod moved_host;
mod moved_server;
mod net;
mod note;
mod pool;
mod server;
mod share;
mod share_statements;
mod socket_index;
mod statement_memory;
mod statements;
mod turn;
mod upstream;
mod walk;

pub use bounds::Bounds;
pub use command::{
    Answer, CancelFate, ClientRow, ClientRulesOf, ClientState, Command, PoolRow, Scope, ServerRow,
    ServerState,
};
pub use engine::Core;
pub use handover::{Authorization, CancelKey, ClientIdentity, ClientLogin, ServerIdentity, ServerLogin};
pub use launcher::{Action, Demand, Event, Launcher};
pub use ledger::{
    Bound, Lateness, Ledger, Opening, PACE_PERCENT, REPLACED_BY_PERCENT, Shortfall, Use, Verdict, Want,
};
pub use load::{ClientLoad, ServerLoad};
pub use moved_server::MovedServer;
pub use net::Net;
pub use note::{Farewell, Note};
pub use share::{DatabaseShare, Gate, Outlook, PoolShare, ServerUnderWay, Stance};
pub use statement_memory::Meter;
pub use statements::StatementRegistry;
