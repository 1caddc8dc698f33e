//! Settings that are one word out of a few: each enum with its words, and the words of PgBouncer
//! that this version refuses.
//!
//! Words are matched whatever their case and shown as listed here. Source: PgBouncer, doc/config.md.

mod audit;
mod identity;
mod tls;

pub(crate) use audit::{AuditLog, AuditOverflow, AuditStatements};
pub(crate) use identity::Recheck;
pub use identity::{OnDenied, OnExpired};
pub(crate) use tls::{Tls13Suites, TlsProtocols};

use super::value::{BadValue, Value, not_accepted};
use crate::base::limits;
use std::sync::Arc;

/// An enum of which each value has one word.
pub trait Choice: Copy + PartialEq + 'static {
    /// Every word with its value.
    const WORDS: &'static [(&'static str, Self)];
    /// Words that PgBouncer knows and this version refuses, each with the reason.
    const REFUSED: &'static [(&'static str, &'static str)] = &[];

    /// The word of this value.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("", |(word, _)| word)
    }
}

impl<T: Choice> Value for T {
    fn parse(text: &str) -> Result<Self, BadValue> {
        if let Some((_, value)) = Self::WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)) {
            return Ok(*value);
        }
        match Self::REFUSED.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)) {
            Some((_, why)) => Err(BadValue::Refused(format!("{why}; accepted: {}", Self::accepted()))),
            None => Err(not_accepted::<Self>()),
        }
    }
    fn show(&self) -> Option<String> {
        Some(self.word().to_owned())
    }
    fn accepted() -> String {
        Self::WORDS.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ")
    }
}

/// When a server goes back to its pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PoolMode {
    /// When the client disconnects.
    #[default]
    Session,
    /// When the transaction ends.
    Transaction,
    /// After each statement; transaction blocks are refused.
    Statement,
}

impl Choice for PoolMode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("session", Self::Session), ("transaction", Self::Transaction), ("statement", Self::Statement)];
}

/// Whose rules a client's session state keeps to where a server is shared (`session_state`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// PgBouncer's.
    #[default]
    Pgbouncer,
    /// PostgreSQL's, as far as no server of its own is needed.
    Follow,
}

impl Choice for SessionState {
    const WORDS: &'static [(&'static str, Self)] =
        &[("pgbouncer", Self::Pgbouncer), ("follow", Self::Follow)];
}

/// What becomes of a query or transaction that has taken too long (`timeout_action`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimeoutAction {
    /// Its server is closed, and its client with it.
    #[default]
    Close,
    /// The query is cancelled, and the session goes on.
    Cancel,
}

impl Choice for TimeoutAction {
    const WORDS: &'static [(&'static str, Self)] = &[("close", Self::Close), ("cancel", Self::Cancel)];
}

/// What becomes of tokens of RDS that clients send (`client_iam_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientIamMode {
    /// They prove nobody.
    #[default]
    Off,
    /// Each is shown to the endpoint that it is for, whose verdict counts.
    PassThrough,
}

impl Choice for ClientIamMode {
    const WORDS: &'static [(&'static str, Self)] = &[("off", Self::Off), ("pass_through", Self::PassThrough)];
}

/// How clients prove who they are (`auth_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthType {
    /// No check; everybody becomes the database's forced user.
    Any,
    /// No check, but the user must be known.
    Trust,
    /// The password in clear text.
    Plain,
    /// MD5 challenge; SCRAM for users whose stored secret is a SCRAM one.
    Md5,
    /// SCRAM-SHA-256.
    ScramSha256,
    /// The certificate of the TLS handshake.
    Cert,
    /// The account at the other end of a Unix socket.
    Peer,
    /// A password that the directory of `auth_ldap_options` takes.
    Ldap,
    /// A password that PAM takes.
    Pam,
    /// A token that an issuer of `[issuers]` has signed.
    Jwt,
    /// A presigned request that AWS STS answers with who has signed it.
    IamCaller,
    /// A token of RDS that the endpoint of the client's database takes.
    RdsIam,
    /// What the rule of `auth_hba_file` says that fits.
    Hba,
}

impl Choice for AuthType {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("any", Self::Any),
        ("trust", Self::Trust),
        ("plain", Self::Plain),
        ("md5", Self::Md5),
        ("scram-sha-256", Self::ScramSha256),
        ("cert", Self::Cert),
        ("peer", Self::Peer),
        ("ldap", Self::Ldap),
        ("pam", Self::Pam),
        ("iam_caller", Self::IamCaller),
        ("rds_iam", Self::RdsIam),
        ("hba", Self::Hba),
        ("jwt", Self::Jwt),
    ];
}

/// Whether TLS is used and what of the peer is verified (`client_tls_sslmode`, `server_tls_sslmode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the client wants it; towards servers as `prefer`.
    Allow,
    /// TLS where the other side has it.
    Prefer,
    /// TLS or nothing.
    Require,
    /// TLS, and the peer's certificate must come from a known authority.
    VerifyCa,
    /// As `verify-ca`, and the certificate must be for the host named.
    VerifyFull,
}

impl Choice for SslMode {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("disable", Self::Disable),
        ("allow", Self::Allow),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
    ];
}

/// How connections are spread over a database's list of hosts (`load_balance_hosts`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LoadBalance {
    /// Each new connection goes to the next host.
    #[default]
    RoundRobin,
    /// Stay on one host until a connect fails there.
    Disable,
}

impl Choice for LoadBalance {
    const WORDS: &'static [(&'static str, Self)] =
        &[("round-robin", Self::RoundRobin), ("disable", Self::Disable)];
}

/// How the data workers talk to the kernel (`io_backend`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IoBackend {
    /// epoll, with a turn's small writes in one call through an io_uring where the kernel gives one.
    Auto,
    /// epoll, with a system call for each write.
    Epoll,
}

impl Choice for IoBackend {
    const WORDS: &'static [(&'static str, Self)] = &[("auto", Self::Auto), ("epoll", Self::Epoll)];
    const REFUSED: &'static [(&'static str, &'static str)] =
        &[("io_uring", "the io_uring backend is not available in this version")];
}

/// How log lines look (`log_format`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// PgBouncer's lines.
    Text,
    /// One JSON object a line.
    Json,
}

impl Choice for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

/// Where syslog files our lines (`syslog_facility`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SyslogFacility {
    Auth,
    Authpriv,
    Daemon,
    User,
    Local0,
    Local1,
    Local2,
    Local3,
    Local4,
    Local5,
    Local6,
    Local7,
}

impl Choice for SyslogFacility {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auth", Self::Auth),
        ("authpriv", Self::Authpriv),
        ("daemon", Self::Daemon),
        ("user", Self::User),
        ("local0", Self::Local0),
        ("local1", Self::Local1),
        ("local2", Self::Local2),
        ("local3", Self::Local3),
        ("local4", Self::Local4),
        ("local5", Self::Local5),
        ("local6", Self::Local6),
        ("local7", Self::Local7),
    ];
}

/// How many data workers run (`workers`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One per core.
    Auto,
    /// So many, from 1 to `limits::WORKERS_MAX`.
    Fixed(usize),
}

impl Workers {
    /// The number of workers on a machine of `cores` cores: at least 1, at most `limits::WORKERS_MAX`.
    pub fn count(self, cores: usize) -> usize {
        match self {
            Self::Auto => cores.clamp(1, limits::WORKERS_MAX),
            Self::Fixed(count) => count,
        }
    }
}

impl Value for Workers {
    fn parse(text: &str) -> Result<Self, BadValue> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        let count = u32::parse(text).ok().and_then(|n| usize::try_from(n).ok());
        let count = count.filter(|n| (1..=limits::WORKERS_MAX).contains(n));
        count.map(Self::Fixed).ok_or_else(not_accepted::<Self>)
    }
    fn show(&self) -> Option<String> {
        Some(match self {
            Self::Auto => "auto".to_owned(),
            Self::Fixed(count) => count.to_string(),
        })
    }
    fn accepted() -> String {
        format!("auto, or an integer from 1 to {}", limits::WORKERS_MAX)
    }
}

/// How TLS with a server begins (`server_tls_negotiation`), by the words of libpq's `sslnegotiation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TlsNegotiation {
    /// PostgreSQL is asked for it first.
    #[default]
    Postgres,
    /// With the first byte: PostgreSQL 17 and later.
    Direct,
}

impl Choice for TlsNegotiation {
    const WORDS: &'static [(&'static str, Self)] = &[("postgres", Self::Postgres), ("direct", Self::Direct)];
}

/// An entry of `[databases]` that is not the console's own (`auth_dbname`; what an entry itself says under
/// that name is looked at when one of its clients logs in, as PgBouncer does).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthDbname(pub Arc<str>);

impl Value for AuthDbname {
    fn parse(text: &str) -> Result<Self, BadValue> {
        if text == super::CONSOLE_DATABASE {
            let why =
                format!("cannot use the reserved \"{}\" database as an auth_dbname", super::CONSOLE_DATABASE);
            return Err(BadValue::Refused(why));
        }
        Ok(Self(text.into()))
    }
    fn show(&self) -> Option<String> {
        Some(self.0.as_ref().to_owned())
    }
    fn accepted() -> String {
        "the name of an entry in [databases]".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_matched_whatever_their_case() {
        assert_eq!(AuthType::parse("SCRAM-SHA-256"), Ok(AuthType::ScramSha256));
        assert_eq!(PoolMode::parse("Transaction").unwrap().show().as_deref(), Some("transaction"));
        let refused = SslMode::parse("maybe").unwrap_err().to_string();
        assert_eq!(refused, "accepted: disable, allow, prefer, require, verify-ca, verify-full");
    }

    #[test]
    fn what_this_version_lacks_is_refused_with_a_reason() {
        assert!(
            IoBackend::parse("io_uring").unwrap_err().to_string().contains("not available in this version")
        );
    }

    #[test]
    fn tls_versions_add_up() {
        let spoken = |text: &str| TlsProtocols::parse(text).map(|p| (p.tls12(), p.tls13())).ok();
        assert_eq!(spoken("secure"), Some((true, true)));
        assert_eq!(spoken(""), Some((true, true)));
        assert_eq!(spoken("tlsv1.3"), Some((false, true)));
        assert_eq!(spoken("tlsv1.0:tlsv1.2"), Some((true, false)));
        assert_eq!(spoken("!tlsv1.3"), Some((true, false)));
        assert_eq!(spoken("all, !tlsv1.2"), Some((false, true)));
        assert_eq!(spoken("tlsv1.0,tlsv1.1"), Some((false, false)));
        assert_eq!(spoken("!all"), None);
        assert_eq!(spoken("ssl3"), None);
        let caveat = TlsProtocols::parse("tlsv1.0").unwrap().caveat();
        assert!(caveat.is_some_and(|text| text.contains("there is no TLS")));
        assert!(TlsProtocols::parse("tlsv1.1,tlsv1.2").unwrap().caveat().is_some());
        assert!(TlsProtocols::parse("all").unwrap().caveat().is_none());
    }

    #[test]
    fn workers_are_bounded() {
        assert_eq!(Workers::parse("AUTO"), Ok(Workers::Auto));
        assert_eq!(Workers::parse("3"), Ok(Workers::Fixed(3)));
        assert!(
            Workers::parse("0").is_err() && Workers::parse("65").is_err() && Workers::parse("two").is_err()
        );
        assert_eq!(Workers::Auto.count(200), limits::WORKERS_MAX);
        assert_eq!(Workers::Auto.count(0), 1);
    }
}
