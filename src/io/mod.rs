//! Sockets, TLS sessions, buffers and the drivers: the only room that may hold `unsafe`.
//!
//! Never knows a pool or a user; never decides what to send. Only `tls.rs` knows settings: those that name its files.

mod burst;
mod channel;
mod clock;
mod conn;
mod epoll;
mod kernel;
pub mod leaf;
mod linger;
pub mod listener;
mod machine;
pub mod options;
mod outgoing;
mod session;
mod socket;
mod table;
#[cfg(test)]
mod tests;
pub mod tls;

pub use burst::Burst;
pub use channel::{Channel, Guard};
pub use clock::Clock;
pub use epoll::{Epoll, READS_PER_TURN, Turn};
pub use kernel::{Kernel, Linux, Ring, Socket, WAKE, Write};
pub use linger::DISCARDS_PER_TURN;
pub use machine::Machine;
pub use table::{Call, Departure};
