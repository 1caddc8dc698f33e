//! The admin database: what operators reach with `psql pgbouncer`.
//!
//! Grammar, SHOW tables and commands. Never touches a worker but by `core::Command`, never a client's or
//! server's socket; asks the process itself only through [`ProcessOrder`].

#[expect(clippy::module_inception, reason = "the room's one value has the room's name")]
mod console;
mod control;
pub mod grammar;
mod request;
mod rows;
mod session;
mod show_iam;
mod show_issuers;
mod show_pools;
mod show_process;
mod show_secrets;
mod show_sessions;
mod show_sockets;
mod show_stats;
pub mod tables;
pub mod times;

pub use console::Console;
pub use control::ProcessOrder;
pub use session::serve_all;
pub(crate) use show_process::Standing;
