//! Logins by IAM: what an entry says of them, one attempt, what is known of each endpoint, probes, and
//! what operators are told.
//!
//! Tokens, credentials and the rules of reaction are the room `iam`'s; this one sends tokens, and only inside
//! verified TLS, into a request for a cleartext password.

mod attempt;
mod endpoint_state;
pub mod entry;
mod gate;
pub mod preflight;
mod probe;
mod rate_limiter;
mod refreshed;
mod report;
mod shared;
mod signer;

pub use endpoint_state::{EndpointState, LoginReport, Tally};
pub use rate_limiter::{RateLimiter, RateState};
pub use refreshed::Refreshed;
pub use report::IamRow;
pub use shared::Iam;
pub(in crate::servers) use signer::MakesTokens;
pub use signer::{NoToken, Signer};
