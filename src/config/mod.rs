//! Files -> one immutable [`Snapshot`], validated whole.
//!
//! Pure but for reading the files named to it: knows no socket, no clock, nothing of what runs. A setting is
//! one row of one table (`settings.rs`), a key of a database, user or peer is one row of one of the tables
//! in `keys.rs`; whatever has several readers (SHOW CONFIG, SET, the reference page, reload) walks those
//! tables. Invariant: a `Snapshot` that exists is valid; a load that fails returns every error with file and
//! line and changes nothing.

mod choices;
mod ciphers;
mod connstr;
mod context_keys;
mod database;
mod diff;
pub mod differences;
mod doubts;
mod errors;
mod file_stamp;
mod iam;
mod ini;
mod instance_caps;
mod instances;
mod issuers;
mod keys;
mod ldap_text;
mod load;
pub mod manual;
mod name_template;
mod peers;
mod read_file;
pub mod reference;
mod rules;
mod sections;
mod setting;
mod settings;
mod snapshot;
mod value;

pub(crate) use choices::Recheck;
pub(crate) use choices::{AuditLog, AuditOverflow, AuditStatements};
pub(crate) use choices::{
    AuthType, Choice, LoadBalance, LogFormat, SslMode, Tls13Suites, TlsNegotiation, TlsProtocols,
};
pub use choices::{ClientIamMode, IoBackend, Workers};
pub use choices::{OnDenied, OnExpired, PoolMode, SessionState, TimeoutAction};
pub(crate) use ciphers::{CipherList, Curve, Curves};
pub use database::Database;
pub(crate) use database::{DSQL_DATABASE, Host, UserEntry};
pub use diff::{Changes, DatabaseChange};
pub(crate) use errors::{ConfigError, ConfigErrors, EntryProblem, Problem, keyword_shown, shown};
pub use errors::{Place, Places};
pub use file_stamp::FileStamp;
pub(crate) use iam::{AllDenied, AuthSecretPlace, IamIdentity, SecretPlace, ServerAuth};
pub use ini::BYTE_ORDER_MARK;
pub use instance_caps::InstanceCap;
pub use instances::{Endpoints, InstanceEntry, Instances};
pub use issuers::{IssuerEntry, KeysAt, Seconds, WebAddress, Words};
pub(crate) use load::Refused;
pub use name_template::{NameFrame, NameTemplate, NameWords};
pub(crate) use peers::PeerEntry;
pub use peers::PeerId;
pub(crate) use read_file::read_file;
pub(crate) use rules::ClientLimits;
pub use rules::{ClientRules, PoolRules};
pub use settings::{Setting, Settings, TABLE};
pub use snapshot::Snapshot;
pub(crate) use value::BadValue;
pub use value::Value;

/// The console's own database: never an entry of a file.
pub const CONSOLE_DATABASE: &str = "pgbouncer";
