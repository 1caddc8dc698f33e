//! Files -> one immutable [`Snapshot`], validated whole.
//!
//! Pure but for reading the files named to it: knows no socket, no clock, nothing of what runs. A setting is one row of
//! one table (`settings.rs`), a key of a database, user or peer is one row of one of the tables in `keys.rs`; whatever has
//! several readers (SHOW CONFIG, SET, the reference page, reload) walks those tables.
//! Invariant: a `Snapshot` that exists is valid; a load that fails returns every error with file and line and changes nothing.

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
pub mod reference;
mod rules;
mod sections;
mod settings;
mod snapshot;
mod value;

pub use choices::PoolMode;
pub use choices::{
    AuthDbname, AuthType, Choice, CipherList, IoBackend, LoadBalance, LogFormat, SslMode, SyslogFacility,
    Tls13Suites, TlsProtocols, Workers,
};
pub use connstr::{ConnStrError, pairs};
pub use database::{DSQL_DATABASE, Database, Host, PeerEntry, UserEntry};
pub use diff::{Changes, DatabaseChange};
pub use errors::{ConfigError, ConfigErrors, EntryProblem, Place, Places, Problem};
pub use iam::{AllDenied, IamEndpoint, IamIdentity, ServerAuth};
pub use keys::{DATABASE_KEYS, Key, PEER_KEYS, USER_KEYS};
pub use load::{Refused, Remains, SetError};
pub use rules::{ClientLimits, ClientRules, PoolRules};
pub use settings::{Change, Effect, Setting, Settings, TABLE};
pub use snapshot::{ConfigRow, Snapshot};
pub use value::{BadValue, FileMode, List, ListenOn, Value};

/// The console's own database: never an entry of a file.
pub const CONSOLE_DATABASE: &str = "pgbouncer";
