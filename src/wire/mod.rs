//! Bytes <-> meaning: the PostgreSQL frontend/backend protocol, version 3.0 with negotiation of 3.2.
//!
//! Pure: no socket, no clock, no task. Tag bytes and SQLSTATEs are written nowhere else.
//! Source: PostgreSQL documentation, chapter "Frontend/Backend Protocol".

pub mod authentication;
pub mod backend;
mod cstr;
pub mod encode;
mod fault;
mod frame;
pub mod frontend;
mod letters;
mod params;
pub mod request_context;
pub mod sql_tokens;
pub mod sqlstate;
pub mod startup;
pub mod tags;

pub use fault::Fault;
pub(crate) use frame::WireError;
pub use frame::{FrameHeader, HEADER_BYTES};
pub use letters::masked;
pub use params::{ParamMask, ParamSet, TrackedNames};
