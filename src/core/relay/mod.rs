//! The relay between a linked pair: frames of a client on their way up, a server's answers on their way down,
//! the answers owed, and prepared statements that live on whichever server is at hand.

mod boundary;
mod canceled;
mod context;
mod copy_data;
mod downstream;
mod draining;
mod expect;
mod held_statements;
mod naming;
mod pending_replies;
mod request_context;
mod statement_memory;
mod statement_rewrite;
mod statements;
mod upstream;
mod walk;

pub(in crate::core) use held_statements::{ClientStatements, ServerStatements};
pub(in crate::core) use pending_replies::Expected;
pub(crate) use statement_memory::Meter;
#[cfg(all(test, feature = "model"))]
pub(in crate::core) use statements::Named;
pub use statements::StatementRegistry;
