//! Settings that are one word out of a few: each enum with its words, and the words of PgBouncer
//! that this version refuses.
//!
//! Words are matched whatever their case and shown as listed here. Source: PgBouncer, doc/config.md.

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
    /// What the rule of `auth_hba_file` says that fits.
    Hba,
}

const AUTH_REFUSED: &str = "this way of authenticating is not available in this version";

impl Choice for AuthType {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("any", Self::Any),
        ("trust", Self::Trust),
        ("plain", Self::Plain),
        ("md5", Self::Md5),
        ("scram-sha-256", Self::ScramSha256),
        ("cert", Self::Cert),
        ("peer", Self::Peer),
        ("hba", Self::Hba),
    ];
    const REFUSED: &'static [(&'static str, &'static str)] = &[("ldap", AUTH_REFUSED), ("pam", AUTH_REFUSED)];
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

/// Which TLS versions are spoken (`client_tls_protocols`, `server_tls_protocols`). Lists of TLS 1.0 and 1.1
/// alone are valid files of PgBouncer's: with one, nothing is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsProtocols {
    text: Arc<str>,
    bits: u8,
}

impl TlsProtocols {
    const TLS10: u8 = 1;
    const TLS11: u8 = 2;
    const TLS12: u8 = 4;
    const TLS13: u8 = 8;
    const SECURE: u8 = Self::TLS12 | Self::TLS13;
    const OLD: u8 = Self::TLS10 | Self::TLS11;
    const WORDS: &'static [(&'static str, u8)] = &[
        ("tlsv1.0", Self::TLS10),
        ("tlsv1.1", Self::TLS11),
        ("tlsv1.2", Self::TLS12),
        ("tlsv1.3", Self::TLS13),
        ("tlsv1", Self::SECURE | Self::OLD),
        ("all", Self::SECURE | Self::OLD),
        ("legacy", Self::SECURE | Self::OLD),
        ("secure", Self::SECURE),
        ("default", Self::SECURE),
    ];

    /// Whether TLS 1.2 is spoken.
    pub fn tls12(&self) -> bool {
        self.bits & Self::TLS12 != 0
    }

    /// Whether TLS 1.3 is spoken.
    pub fn tls13(&self) -> bool {
        self.bits & Self::TLS13 != 0
    }
}

impl Value for TlsProtocols {
    /// `!x` takes away; a list that begins so starts from all.
    fn parse(text: &str) -> Result<Self, BadValue> {
        let mut bits = None;
        for word in text.split([',', ':']).map(str::trim).filter(|word| !word.is_empty()) {
            let (negated, name) = word.strip_prefix('!').map_or((false, word), |name| (true, name));
            let named = Self::WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.trim()));
            let (_, named) = named.ok_or_else(not_accepted::<Self>)?;
            bits = Some(match (negated, bits) {
                (true, before) => before.unwrap_or(Self::SECURE | Self::OLD) & !named,
                (false, before) => before.unwrap_or(0) | named,
            });
        }
        match bits.unwrap_or(Self::SECURE) {
            0 => Err(not_accepted::<Self>()),
            bits => Ok(Self { text: text.into(), bits }),
        }
    }
    fn show(&self) -> Option<String> {
        Some(self.text.as_ref().to_owned())
    }
    fn accepted() -> String {
        "secure, default, or a list of tlsv1.2, tlsv1.3, tlsv1, all, !tlsv1.x, separated by commas or colons"
            .to_owned()
    }
    fn caveat(&self) -> Option<&'static str> {
        if self.bits & Self::SECURE == 0 {
            return Some("only TLS 1.2 and 1.3 are available in this version: without them there is no TLS");
        }
        // `all` and `tlsv1` ask for nothing in particular; naming an old version does
        let text = self.text.to_ascii_lowercase();
        let names_old = |old: &str| text.split([',', ':']).any(|word| word.trim() == old);
        (names_old("tlsv1.0") || names_old("tlsv1.1"))
            .then_some("TLS 1.0 and 1.1 are not available in this version")
    }
}

/// Cipher suites (`client_tls_ciphers`, `server_tls_ciphers`): a name for the library's own
/// choice, or an OpenSSL list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CipherList(Arc<str>);

impl Value for CipherList {
    fn parse(text: &str) -> Result<Self, BadValue> {
        Ok(Self(text.into()))
    }
    fn show(&self) -> Option<String> {
        Some(self.0.as_ref().to_owned())
    }
    fn accepted() -> String {
        "default, secure, fast, normal, or an OpenSSL cipher list".to_owned()
    }
    fn caveat(&self) -> Option<&'static str> {
        let library_default = ["", "default", "secure", "fast", "normal"];
        let own = !library_default.iter().any(|name| name.eq_ignore_ascii_case(&self.0));
        own.then_some(
            "the TLS library's own list of suites, all with forward secrecy and AEAD, is always used",
        )
    }
}

/// Suites of TLS 1.3 (`client_tls13_ciphers`, `server_tls13_ciphers`), by OpenSSL's names. Whether there are
/// such suites is known only to the TLS library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls13Suites(Arc<str>);

impl Tls13Suites {
    /// The names, in order of preference.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split([':', ',']).map(str::trim).filter(|name| !name.is_empty())
    }
}

impl Value for Tls13Suites {
    fn parse(text: &str) -> Result<Self, BadValue> {
        Ok(Self(text.into()))
    }
    fn show(&self) -> Option<String> {
        Some(self.0.as_ref().to_owned())
    }
    fn accepted() -> String {
        "a list of TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256, separated \
         by colons"
            .to_owned()
    }
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
        for word in ["ldap", "pam"] {
            let why = AuthType::parse(word).unwrap_err().to_string();
            assert!(why.contains("not available in this version"), "{why}");
        }
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
