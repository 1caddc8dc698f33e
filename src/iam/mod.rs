//! Server logins by AWS IAM: credentials from AWS, tokens made of them, and what follows from a refusal.
//!
//! What AWS is asked happens here, in one task for each source of credentials, and never on a login's path; a token is made by
//! arithmetic from what is in memory. The rules of reaction ([`denial`]), of pace ([`budget`]) and of age ([`age`]) are pure:
//! time and dice come in as arguments. This room opens no connection to a database and knows no pool: [`crate::login`] sends
//! tokens, and only inside verified TLS, into a request for a cleartext password.
//! Invariant: no secret is printed, logged, or kept after its use.

pub mod age;
mod aws_source;
pub mod budget;
mod clock;
mod credentials;
pub mod denial;
mod endpoint;
mod environment;
mod explain;
mod failure;
mod fetch;
mod file;
mod http;
mod keeper;
mod pace;
mod process;
mod profile;
mod report;
mod role;
pub mod rules;
mod schedule;
mod service;
mod skew;
mod source;
mod sources;
mod sso;
mod sts;
mod tls_refusal;
mod token;
mod uri_encoding;

pub use aws_source::AwsSource;
pub use clock::{SystemClock, WallClock};
pub use credentials::{CredentialState, Credentials};
pub use endpoint::{BadEndpoint, BadRegion, Doubt, Endpoint, Region, authorities};
pub use explain::Explanation;
pub use failure::{FetchError, Reason, reason_of_text};
pub use fetch::{Fetch, Fetched, Fetching};
pub use http::Http;
pub use keeper::{Source, StaticStability};
pub use report::SourceReport;
pub use schedule::Schedule;
pub use service::{DSQL_PORT, Service};
pub use skew::{Alarm, Skew};
pub use source::{BadName, Role, SESSION_NAME, SessionName, SourceKey, SourceKind};
pub use sources::Sources;
pub use token::{MintError, TOKEN_AGE_MAX, TOKEN_LIFETIME, Token};
