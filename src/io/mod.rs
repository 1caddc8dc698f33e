//! Sockets, TLS sessions, buffers and the drivers: the only room that may hold `unsafe`.
//!
//! Never knows a pool or a user; never decides what to send.

mod burst;
mod channel;
mod clock;
mod conn;
pub(crate) mod descriptors;
mod door;
mod epoll;
mod kernel;
mod key;
mod linger;
pub mod listener;
mod machine;
pub mod options;
mod outgoing;
mod peer;
mod session;
mod socket;
mod table;
#[cfg(test)]
mod tests;
mod watch;

pub use burst::Burst;
pub use channel::Channel;
pub(crate) use channel::Guard;
pub use clock::Clock;
pub use door::Door;
pub(crate) use door::{Accepted, Listening};
pub use epoll::{Epoll, READS_PER_TURN, Turn};
pub use kernel::{Kernel, Linux, Ring, Socket, WAKE, Write};
pub use linger::DISCARDS_PER_TURN;
pub use machine::Machine;
pub(crate) use peer::{PeerProcess, has_hung_up};
pub(crate) use watch::Interest;
pub use watch::Watch;
