//! What the pooler proves itself with to a server, and to whom it may be shown.
//!
//! The one place that decides about secrets in clear. Never prints one. Source: PgBouncer, doc/config.md
//! ("Authentication file format"); Amazon RDS User Guide, "IAM database authentication" (a token is a
//! password, to be sent over TLS only).

use super::login_error::LoginError;
use crate::audit::LoginCredential;
use crate::auth::Secret;
use crate::auth::scram::Credentials;
use crate::base::Password;
use crate::control::Stored;
use crate::iam::{Token, WallClock};
use crate::wire::{HEADER_BYTES, authentication};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A secret shorter than this is no secret: what is said without it would show it as well.
const HIDDEN_BYTES_MIN: usize = 8;

/// What PostgreSQL says of a login by itself: a secret that is one of its words would be told by its absence.
/// What it says in other languages, and of queries, is not here.
/// Source: PostgreSQL, src/backend/libpq/auth.c (auth_failed, ClientAuthentication), utils/init/postinit.c.
const SAID_BY_ITSELF: &str = "\
    password authentication failed for user, \
    authentication failed for user: host rejected, \
    pg_hba.conf rejects connection for host, user, database, SSL encryption, \
    no pg_hba.conf entry for replication connection from host, no encryption, GSS encryption, \
    database does not exist, is not currently accepting connections, \
    permission denied for database: user does not have CONNECT privilege, \
    role is not permitted to log in, does not exist, too many connections for role, for database, \
    sorry, too many clients already, \
    remaining connection slots are reserved for roles with the SUPERUSER attribute, \
    the database system is starting up, is shutting down, is in recovery mode, is not accepting connections, \
    unrecognized configuration parameter, invalid value for parameter, unsupported frontend protocol";

/// How well the bytes to the server are hidden from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChannelSecurity {
    /// Plain TCP.
    None,
    /// A Unix socket.
    Local,
    /// TLS, to whoever answered.
    Encrypted,
    /// TLS, to a server whose certificate was verified.
    Verified,
}

/// What the pooler has to prove itself with.
#[derive(Debug)]
pub(super) enum Credential {
    /// A password, or what is stored of one.
    Stored(Stored),
    /// A token, made for this login.
    Token(TokenProof),
}

/// A token and the clock that tells whether it may still be sent.
pub struct TokenProof {
    /// The token.
    pub token: Token,
    /// The clock that it was made by.
    pub clock: Arc<dyn WallClock>,
    /// What has signed it, as the audit log names it; `None`: nothing of ours.
    pub signed_by: Option<LoginCredential>,
}

impl fmt::Debug for TokenProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenProof(***)")
    }
}

impl TokenProof {
    /// How long ago the token was made; nothing for a clock that was set back.
    fn age(&self) -> Duration {
        self.clock.now().duration_since(self.token.minted_at()).unwrap_or_default()
    }
}

impl Credential {
    /// The age of a token.
    pub(super) fn token_age(&self) -> Option<Duration> {
        match self {
            Self::Token(proof) => Some(proof.age()),
            Self::Stored(_) => None,
        }
    }

    /// What a server says, for the log and for clients. One that repeats the secret it was shown must not
    /// have it told to others. A word stays that a server says by itself, or repeats of what is `public`,
    /// since its absence would tell it.
    pub(super) fn hide_in(&self, words: &str, public: &[&str]) -> String {
        let without = |secret: &str| {
            let is_word = secret.len() < HIDDEN_BYTES_MIN || SAID_BY_ITSELF.contains(secret);
            match is_word || public.iter().any(|word| word.contains(secret)) {
                true => words.to_owned(),
                false => words.replace(secret, "***"),
            }
        };
        match self {
            Self::Stored(stored) => without(stored.secret.to_text().expose()),
            Self::Token(proof) => without(proof.token.expose()),
        }
    }

    /// Answers a server's wish for the password itself. The one place that decides whether a secret goes out
    /// in clear: PgBouncer sends whatever is stored, whoever may listen. A token goes out to a verified
    /// server only, while it is fresh.
    pub(super) fn write_cleartext(
        &self,
        security: ChannelSecurity,
        out: &mut Vec<u8>,
    ) -> Result<(), LoginError> {
        match self {
            Self::Stored(stored) => {
                let password: Password = stored.secret.to_text();
                authentication::write_password(out, password.expose().as_bytes());
            }
            Self::Token(_) if security != ChannelSecurity::Verified => return Err(LoginError::Uncovered),
            Self::Token(proof) if !proof.token.is_fresh(proof.clock.now()) => {
                return Err(LoginError::StaleToken);
            }
            Self::Token(proof) => {
                let text = proof.token.expose().as_bytes();
                // A buffer that has to grow would leave its beginning behind in freed memory.
                out.reserve(HEADER_BYTES + text.len() + 1);
                authentication::write_password(out, text);
            }
        }
        Ok(())
    }
}

impl Stored {
    /// What SCRAM proves with; never keys derived from a password for a verifier that no client has proven.
    pub(super) fn scram(&self) -> Result<Credentials, LoginError> {
        match (&*self.secret, &self.keys) {
            (Secret::Plain(password), _) if !password.is_empty() => {
                Ok(Credentials::Password(password.clone()))
            }
            (Secret::Scram(_), Some(keys)) => Ok(Credentials::Keys(keys.clone())),
            (Secret::Scram(_), None) => Err(LoginError::WrongPasswordType(
                "cannot do SCRAM authentication: password is SCRAM secret but client authentication did not \
                 provide SCRAM keys",
            )),
            _ => Err(LoginError::WrongPasswordType("cannot do SCRAM authentication: wrong password type")),
        }
    }
}
