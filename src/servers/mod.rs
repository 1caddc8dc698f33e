//! Logins to servers: when one is opened, names and connections, the login itself, by a stored secret, by one
//! that others keep, or by IAM; and cancel requests, which are connections to servers, too.
//!
//! What is to be opened, and when, is decided by [`crate::core::Launcher`] alone. Never touches a byte of a
//! query, never knows how a client is let in: what both sides share is in [`crate::control`].

mod attempt;
mod cancel_queues;
mod cancel_request;
mod client_tokens;
mod connect;
mod credential;
mod dns;
mod handshake;
pub mod iam;
pub mod launcher;
mod login_error;
mod outcome;
mod peer_request;
mod peers;
mod readiness;
mod reload;
pub mod secrets;
#[expect(clippy::module_inception, reason = "the room's one value has the room's name")]
mod servers;
mod show_token;
#[cfg(test)]
mod tests;

pub use client_tokens::ClientTokens;
pub use dns::Dns;
pub use peers::Peers;
pub use servers::Servers;
