//! Files -> one immutable [`Snapshot`], validated whole.
//!
//! Pure but for reading the files named to it: knows no socket, no clock, nothing of what runs. A setting is
//! one row of one table (`settings.rs`), a key of a database, user or peer is one row of one of the tables
//! in `keys.rs`; whatever has several readers (SHOW CONFIG, SET, the reference page, reload) walks those
//! tables. Invariant: a `Snapshot` that exists is valid; a load that fails returns every error with file and
//! line and changes nothing.

mod choices;
mod connstr;
mod database;
mod diff;
mod doubts;
mod errors;
mod iam;
mod ini;
mod keys;
mod load;
mod peers;
pub mod reference;
mod rules;
mod sections;
mod settings;
mod snapshot;
mod value;

pub use choices::PoolMode;
pub(crate) use choices::{
    AuthType, Choice, LoadBalance, LogFormat, SslMode, Tls13Suites, TlsNegotiation, TlsProtocols,
};
pub use choices::{IoBackend, Workers};
pub use database::Database;
pub(crate) use database::{DSQL_DATABASE, Host, UserEntry};
pub use diff::{Changes, DatabaseChange};
pub(crate) use errors::{ConfigError, ConfigErrors, EntryProblem, Problem, shown};
pub use errors::{Place, Places};
pub(crate) use iam::{AllDenied, IamIdentity, ServerAuth};
pub(crate) use load::{Refused, read_up_to};
pub(crate) use peers::PeerEntry;
pub use peers::PeerId;
pub(crate) use rules::ClientLimits;
pub use rules::{ClientRules, PoolRules};
pub use settings::{Setting, Settings, TABLE};
pub use snapshot::Snapshot;
pub(crate) use value::BadValue;
pub use value::Value;

/// The console's own database: never an entry of a file.
pub const CONSOLE_DATABASE: &str = "pgbouncer";
