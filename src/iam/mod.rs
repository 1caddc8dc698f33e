//! Server logins by AWS IAM: credentials from AWS, tokens made of them, and what follows from a refusal.
//!
//! What AWS is asked happens here, in one task for each source of credentials, and never on a login's path; a
//! token is made by arithmetic from what is in memory. The rules of reaction ([`denial`]), of pace
//! ([`budget`]) and of age ([`age`]) are pure: time and dice come in as arguments. This room opens no
//! connection to a database and knows no pool: [`crate::servers`] sends tokens, and only inside verified TLS,
//! into a request for a cleartext password. Invariant: no secret is printed, logged, or kept after its use.

mod advice;
pub mod age;
mod aws_source;
pub mod budget;
pub mod caller;
mod clock;
mod credentials;
pub mod denial;
mod endpoint;
mod environment;
mod explain;
mod failure;
pub(crate) mod fetch;
pub(crate) mod file;
mod http;
pub(crate) mod json;
mod keeper;
mod pace;
mod process;
mod profile;
mod report;
mod role;
pub mod rules;
mod schedule;
mod secrets_manager;
mod service;
mod skew;
mod source;
mod sources;
mod sso;
mod sts;
mod tls_refusal;
mod token;
mod uri_encoding;
pub(crate) mod web;

pub use aws_source::AwsSource;
pub use clock::SystemClock;
pub(crate) use clock::WallClock;
pub use credentials::{CredentialState, Credentials};
pub(crate) use endpoint::authorities;
pub use endpoint::{Endpoint, Region};
pub use explain::Explanation;
pub use failure::{FetchError, Reason, reason_of_text};
pub use fetch::{Fetch, Fetched};
pub use http::Http;
pub use keeper::{Source, StaticStability};
pub(crate) use report::SourceReport;
pub use secrets_manager::{CallError, SecretValue, SecretsApi};
pub(crate) use service::DSQL_PORT;
pub use service::Service;
pub(crate) use skew::{Alarm, Skew};
pub(crate) use source::BadName;
pub use source::{Role, SessionName, SourceKey, SourceKind};
pub use sources::Sources;
pub(crate) use token::MintError;
pub use token::Token;
