//! Why a client's connection ends, as the client reads it: one variant = one row of [`Fault::text`].
//!
//! PgBouncer answers everything of its own with FATAL 08P01 and short fixed texts that scripts match; we
//! answer the same. A text never holds a secret or SQL, and a host only where it is the endpoint that a
//! role cannot be logged in to.

use super::sqlstate;
use crate::base::DenyReason;
use std::borrow::Cow;

/// Why the pooler ends (or refuses) a client connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is told by its text in `Fault::text`")]
pub enum Fault {
    // --- startup
    SslRequired,
    OldProtocol,
    BadPacketHeader {
        hex: String,
    },
    NoUser,
    UnsupportedParameter {
        name: String,
    },
    UnsupportedParameterInOptions {
        name: String,
    },
    UnsupportedOptions,
    StartupUnterminated,
    StartupRepeated,
    PasswordBeforeStartup,
    NameTooLong,
    NotUtf8,
    UnencryptedAfterSsl,
    UnencryptedAfterGss,
    // --- limits
    TooManyClients,
    TooManyDatabaseClients,
    TooManyUserClients,
    // --- authentication
    PasswordWrong,
    EmptyPassword,
    SaslFailed,
    SaslMechanism,
    /// A proof is wrong by what is known, and a secret that others keep is not.
    SecretsUnknown,
    TrustFailed,
    CertificateFailed,
    PeerRejected,
    LdapFailed,
    PamFailed,
    JwtFailed,
    AuthorizationIdentity,
    CallerFailed,
    RdsTokenFailed,
    LoginRejected,
    NoMethod,
    /// A principal that `deny_principals` names wants to log in.
    LoginDenied,
    NoSuchUser,
    NoSuchDatabase {
        name: String,
    },
    DatabaseDisabled {
        name: String,
    },
    Config,
    NotAllowed,
    ShuttingDown,
    // --- waiting
    QueryWaitTimeout,
    /// A wait for a server has ended, and it is known why none could be had: the name of the
    /// time limit, and the reason.
    NoServer {
        limit: &'static str,
        why: String,
    },
    /// `query_timeout` counts for the wait too.
    QueryTimeoutWaiting,
    LoginTimeout,
    LoginTimeoutServerDown,
    ServerShuttingDown,
    LoginFailing {
        cached: String,
    },
    WrongPasswordType,
    /// A server has refused a replication client: the log has its words.
    LoginFailed,
    /// A server's own login error, passed on with its SQLSTATE and text.
    Relayed {
        sqlstate: String,
        text: String,
    },
    // --- running
    ClientIdleTimeout,
    ServerCrashed,
    DatabaseRemoved,
    AdminDisconnect,
    SuspendTimeout,
    InvalidServerParameter,
    StatementModeTransaction,
    PqexecDisallowed,
    UnknownPacket,
    StatementExists,
    StatementMissing,
    /// A Parse longer than any that is kept.
    StatementTooLong,
    /// No room for one more statement: its database's, or that of all.
    StatementsFull,
    /// The same, of one client.
    ClientStatementsFull,
    /// A `SET` of the context in a text longer than any that is looked at whole.
    ContextTooLong,
    // --- the end of an identity
    TokenExpired,
    PrincipalDenied,
    RoleNotGiven,
    NoRuleAnyMore,
    OtherMethod,
    IssuerGone,
    TokenNotAccepted,
    UserGone,
    MalformedPacket {
        name: &'static str,
    },
    /// A server was closed under its client for the reason that the log names too.
    ServerClosed {
        reason: &'static str,
    },
}

impl Fault {
    /// A server's words, passed on; where its code is none, which drivers would stumble over, with 08P01.
    pub fn relayed(code: &str, text: impl Into<String>) -> Self {
        let code = if code.len() == sqlstate::BYTES { code } else { sqlstate::PROTOCOL_VIOLATION };
        Self::Relayed { sqlstate: code.to_owned(), text: text.into() }
    }

    /// The text of the message, as PgBouncer words it (src/client.c, src/objects.c, src/janitor.c).
    #[expect(clippy::too_many_lines, reason = "a table")]
    pub fn text(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::SslRequired => "SSL required",
            Self::OldProtocol => "old V2 protocol not supported",
            Self::BadPacketHeader { hex } => return format!("bad packet header: '{hex}'").into(),
            Self::NoUser => "no username supplied",
            Self::UnsupportedParameter { name } => {
                return format!("unsupported startup parameter: {name}").into();
            }
            Self::UnsupportedParameterInOptions { name } => {
                return format!("unsupported startup parameter in options: {name}").into();
            }
            Self::UnsupportedOptions => {
                "unsupported options startup parameter: only '-c config=val' and '--config=val' are allowed"
            }
            Self::StartupUnterminated => "invalid startup packet layout: expected terminator as last byte",
            Self::StartupRepeated => "client re-sent startup pkt",
            Self::PasswordBeforeStartup => "client password pkt before startup packet",
            Self::NameTooLong => "username too long",
            Self::NotUtf8 => "startup packet is not valid UTF-8",
            Self::UnencryptedAfterSsl => "received unencrypted data after SSL request",
            Self::UnencryptedAfterGss => "received unencrypted data after GSSAPI encryption request",
            Self::TooManyClients => "no more connections allowed (max_client_conn)",
            Self::TooManyDatabaseClients => "client connections exceeded (max_db_client_connections)",
            Self::TooManyUserClients => "client connections exceeded (max_user_client_connections)",
            Self::PasswordWrong => "password authentication failed",
            Self::EmptyPassword => "empty password returned by client",
            Self::SaslFailed => "SASL authentication failed",
            Self::SaslMechanism => "client selected an invalid SASL authentication mechanism",
            Self::SecretsUnknown => "a secret that clients prove themselves by is not known yet",
            Self::TrustFailed => "\"trust\" authentication failed",
            Self::CertificateFailed => "certificate authentication failed",
            Self::PeerRejected => "unix socket login rejected",
            Self::LdapFailed => "LDAP authentication failed",
            Self::PamFailed => "PAM authentication failed",
            Self::JwtFailed => "JWT authentication failed",
            Self::AuthorizationIdentity => "client uses authorization identity, but it is not supported",
            Self::CallerFailed => "IAM caller authentication failed",
            Self::RdsTokenFailed => "RDS IAM authentication failed",
            Self::LoginRejected => "login rejected",
            Self::NoMethod => "no authentication method is found",
            Self::LoginDenied => "principal is denied",
            Self::NoSuchUser => "no such user",
            Self::NoSuchDatabase { name } => return format!("no such database: {name}").into(),
            Self::DatabaseDisabled { name } => return format!("database \"{name}\" is disabled").into(),
            Self::Config => "bouncer config error",
            Self::NotAllowed => "not allowed",
            Self::ShuttingDown => "pooler is shutting down",
            Self::QueryWaitTimeout => "query_wait_timeout",
            Self::NoServer { limit, why } => return format!("{limit}: {why}").into(),
            Self::QueryTimeoutWaiting => "query_timeout",
            Self::LoginTimeout => "client_login_timeout",
            Self::LoginTimeoutServerDown => "client_login_timeout (server down)",
            Self::ServerShuttingDown => "server shutting down",
            Self::LoginFailing { cached } => {
                let cut: String = cached.chars().take(100).collect();
                return format!("server login has been failing, cached error: {cut} (server_login_retry)")
                    .into();
            }
            Self::LoginFailed => "login failed",
            Self::WrongPasswordType => "server login failed: wrong password type",
            Self::Relayed { text, .. } => return text.clone().into(),
            Self::ClientIdleTimeout => "client_idle_timeout",
            Self::ServerCrashed => "server conn crashed?",
            Self::DatabaseRemoved => "database removed",
            Self::AdminDisconnect => "admin forced disconnect",
            Self::SuspendTimeout => "suspend_timeout",
            Self::InvalidServerParameter => "invalid server parameter",
            Self::StatementModeTransaction => "transaction blocks not allowed in statement pooling mode",
            Self::PqexecDisallowed => "PQexec disallowed",
            Self::UnknownPacket => "unknown pkt",
            Self::StatementExists => "prepared statement name is already in use",
            Self::StatementMissing => "prepared statement did not exist",
            Self::StatementTooLong => "prepared statement is too long",
            Self::StatementsFull => "prepared statements take too much memory (prepared_statements_memory)",
            Self::ClientStatementsFull => "prepared statements of one client take too much memory",
            Self::ContextTooLong => {
                "SET pgweir.context in too long a text: send it as a statement of its own"
            }
            Self::TokenExpired => "session ended: its token has expired",
            Self::PrincipalDenied => "session ended: its principal is denied",
            Self::RoleNotGiven => "session ended: its role is no longer given by the mapping",
            Self::NoRuleAnyMore => "session ended: no rule lets it in any more",
            Self::OtherMethod => "session ended: its rule asks for another authentication method now",
            Self::IssuerGone => "session ended: the issuer of its token is no longer accepted",
            Self::TokenNotAccepted => "session ended: its token is no longer accepted by its issuer's entry",
            Self::UserGone => "session ended: its user is gone",
            Self::MalformedPacket { name } => return format!("broken {name} packet").into(),
            Self::ServerClosed { reason } => reason,
        })
    }

    /// Whether it ends a session that has begun, since its identity has ended.
    pub fn is_of_identity(&self) -> bool {
        matches!(
            self,
            Self::TokenExpired
                | Self::PrincipalDenied
                | Self::RoleNotGiven
                | Self::NoRuleAnyMore
                | Self::OtherMethod
                | Self::IssuerGone
                | Self::TokenNotAccepted
                | Self::UserGone
        )
    }

    /// The SQLSTATE that goes with it: PgBouncer's 08P01, except for a server's own words, for servers that
    /// cannot be had, for tokens that prove nobody, for bounds of ours and for identities that have ended.
    pub fn sqlstate(&self) -> &str {
        match self {
            Self::Relayed { sqlstate, .. } => sqlstate,
            Self::NoServer { .. } => sqlstate::CONNECTION_FAILURE,
            Self::JwtFailed => sqlstate::INVALID_AUTHORIZATION,
            Self::SecretsUnknown => sqlstate::CANNOT_CONNECT_NOW,
            Self::AuthorizationIdentity => sqlstate::FEATURE_NOT_SUPPORTED,
            Self::CallerFailed | Self::RdsTokenFailed => sqlstate::INVALID_AUTHORIZATION,
            Self::StatementTooLong
            | Self::StatementsFull
            | Self::ClientStatementsFull
            | Self::ContextTooLong => sqlstate::OUT_OF_MEMORY,
            Self::LoginDenied => sqlstate::INVALID_AUTHORIZATION,
            _ if self.is_of_identity() => sqlstate::INVALID_AUTHORIZATION,
            _ => sqlstate::PROTOCOL_VIOLATION,
        }
    }

    /// The FATAL ErrorResponse to send, cut as PgBouncer cuts it.
    pub fn message(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        super::encode::error(&mut out, super::encode::Severity::Fatal, self.sqlstate(), &self.text());
        out
    }
}

impl From<DenyReason> for Fault {
    fn from(reason: DenyReason) -> Self {
        match reason {
            DenyReason::Denied => Self::PrincipalDenied,
            DenyReason::RoleNotGiven => Self::RoleNotGiven,
            DenyReason::NoRule => Self::NoRuleAnyMore,
            DenyReason::OtherMethod => Self::OtherMethod,
            DenyReason::IssuerGone => Self::IssuerGone,
            DenyReason::TokenNotAccepted => Self::TokenNotAccepted,
            DenyReason::UserGone => Self::UserGone,
        }
    }
}
