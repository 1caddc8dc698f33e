//! Sockets, TLS sessions, buffers and the drivers: the only room that may hold `unsafe`.
//!
//! Never knows a pool, a user or a setting's name; never decides what to send.

mod channel;

pub use channel::{Channel, Guard};
