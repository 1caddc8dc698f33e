//! The two ends of a link as a core knows them: a client's session, a server's connection, and why
//! either is not read from.
//!
//! States with one door each. Never decides who gets which server.

mod client;
mod client_context;
mod client_params;
mod close_reason;
mod flow_control;
mod server;
mod session_sql;
mod shown_name;
mod tally;
mod tenure;

pub(in crate::core) use client::{Canceled, Client, Request, Stand};
pub(in crate::core) use client_context::{ContextChange, ContextNote};
pub(in crate::core) use close_reason::{CloseReason, Leave};
pub(in crate::core) use flow_control::{FlowControl, Hold, Partial, Reason};
pub(in crate::core) use server::{Debt, HalfSent, IDLE, Phase, Server, Task};
pub(in crate::core) use session_sql::Sets;
pub use shown_name::ShownName;
pub(in crate::core) use tally::Tally;
pub(in crate::core) use tenure::{EndCause, Tenure};
