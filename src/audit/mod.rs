//! The audit log: who has logged in, whose transaction ran on which server, and what was changed, as JSON
//! lines.
//!
//! Workers leave records in rings of their own ([`Tap`]), the login plane leaves events ([`Audit::post`]); a
//! thread makes lines of both and writes them to a file, standard output or syslog. Never on a worker's path:
//! formatting, writing, waiting. Never holds a secret. docs/audit.md has the schema.

#[expect(clippy::module_inception, reason = "the room's one value")]
mod audit;
mod digest;
mod event;
pub(crate) mod json;
mod line;
mod output;
mod record;
mod redact;
mod ring;
mod shared;
mod shown;
mod writer;

pub use audit::{Audit, AuditOrder, Room};
pub use digest::TextDigest;
pub use event::{Change, Credentials, Event, Login, RefusedLogin, Secret};
pub use line::Statements;
pub use output::{Output, Target};
pub use record::{
    LoginCredential, Logout, Outcome, Pairs, Record, ServerClosed, ServerFacts, Statement, StatementKind,
    Totals, Transaction, Who,
};
pub(crate) use redact::may_hold_secrets;
pub use ring::{Overflow, Tap};
