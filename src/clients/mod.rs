//! Clients' logins: accepting, TLS, startup, proof, limits, and the hand-over to a worker or to the console.
//!
//! A login begins as a task on a worker's loop and leaves that for a thread of its own where it wants
//! TLS. Never touches a byte of a query, never knows how a server is logged in to: what both sides share
//! is in [`crate::control`].

mod accept;
mod accepting;
pub mod auth_query;
mod authenticate;
mod callers;
mod client;
#[expect(clippy::module_inception, reason = "the room's one value has the room's name")]
mod clients;
mod greet;
pub(crate) mod issuers;
mod ldap;
mod listen;
mod login_reply;
mod loop_place;
mod pam;
mod shortage;
mod stream;
mod turns;
mod unauthenticated;
mod verifiers;
mod wake_batch;

pub(crate) use accept::Acceptors;
pub use callers::Callers;
pub use client::Arrival;
pub use clients::{Clients, ConsoleLogin, ConsoleStream, Rights};
pub(crate) use listen::{Listeners, unix_path};
pub use stream::{Fresh, Socket};
pub use unauthenticated::{UnauthenticatedClients, UnauthenticatedTable, Waited};
