//! How a login by IAM can end, and what kind of failure that is. Values only.
//!
//! Source: PostgreSQL documentation, "PostgreSQL Error Codes"; Amazon RDS User Guide, "IAM
//! database authentication".

use crate::iam::denial::Class;
use crate::wire::sqlstate;

/// How far a login had come when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The server had not asked for a password yet.
    Greeting,
    /// The token was sent and not yet answered.
    TokenSent,
    /// The server had accepted the token.
    Authenticated,
}

/// What a server asks for in place of a cleartext password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// AuthenticationSASL.
    Scram,
    /// AuthenticationMD5Password.
    Md5,
    /// Nothing: it let us in without a proof.
    Nothing,
    /// Another kind.
    Other,
}

/// How a login with a token failed, as the one who tried it saw it.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// An ErrorResponse.
    Error {
        /// Its SQLSTATE.
        sqlstate: &'a str,
        /// Its primary message.
        message: &'a str,
        /// When it came.
        stage: Stage,
    },
    /// A request that a token must not answer.
    Asked(Asked),
    /// The connection ended without a word.
    Ended(Stage),
    /// No connection, or no answer in time.
    Unreachable,
    /// No TLS, or a certificate that does not prove the server's name.
    Untrusted,
}

impl Outcome<'_> {
    /// Whether the server had accepted the token, and something else went wrong then.
    pub(super) fn came_after_acceptance(&self, kind: Kind) -> bool {
        let is_behind = matches!(self, Self::Ended(Stage::Authenticated))
            || matches!(self, Self::Error { stage: Stage::Authenticated, .. });
        is_behind && !kind.is_the_servers_word()
    }
}

/// What a failure is, as far as the server told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The token was refused; no reason given.
    TokenRefused,
    /// An RDS Proxy said that there are too many logins.
    TooMany,
    /// The role is no member of `rds_iam`: the server asked for this instead.
    NotMember(Asked),
    /// The server let us in without asking for a proof.
    NoProofAsked,
    /// The role's entry in PostgreSQL forbids the login (NOLOGIN, or no such role).
    RoleForbidden,
    /// No rule of the server lets this connection in.
    NoRule,
    /// The server takes no connections now, or no more.
    Busy,
    /// The connection ended while the token was looked at: the IAM service was slow.
    EndedInLogin,
    /// No connection.
    Unreachable,
    /// TLS failed; no token was sent.
    Untrusted,
}

impl Kind {
    /// Whether the server has said itself that this login is not to be.
    pub(super) fn is_the_servers_word(self) -> bool {
        matches!(self, Self::NotMember(_) | Self::NoProofAsked | Self::RoleForbidden | Self::NoRule)
    }

    /// Whether the server was there, and did not let this login in.
    pub(super) fn is_a_refusal(self) -> bool {
        matches!(self, Self::TokenRefused | Self::TooMany) || self.is_the_servers_word()
    }

    /// What it means by itself; `None`: that depends on what explains it.
    pub(super) fn class(self) -> Option<Class> {
        match self {
            Self::TokenRefused => None,
            Self::TooMany => Some(Class::Throttled),
            Self::NotMember(_) | Self::NoProofAsked | Self::RoleForbidden | Self::NoRule => {
                Some(Class::Denied)
            }
            Self::Busy | Self::EndedInLogin | Self::Unreachable | Self::Untrusted => Some(Class::Unreachable),
        }
    }

    /// Reads an outcome. `None`: the token was not the matter (a database that does not exist, and the like).
    pub fn of(outcome: &Outcome<'_>) -> Option<Self> {
        Some(match *outcome {
            Outcome::Asked(Asked::Nothing) => Self::NoProofAsked,
            Outcome::Asked(asked) => Self::NotMember(asked),
            Outcome::Ended(Stage::TokenSent) => Self::EndedInLogin,
            Outcome::Ended(_) | Outcome::Unreachable => Self::Unreachable,
            Outcome::Untrusted => Self::Untrusted,
            // RDS Proxy is the one that gives a reason, in these words (Amazon RDS User Guide,
            // "RDS Proxy limitations").
            Outcome::Error { message, .. } if message.contains("too many competing requests") => {
                Self::TooMany
            }
            Outcome::Error { sqlstate: state, stage, .. } => {
                let is_refusal =
                    [sqlstate::INVALID_AUTHORIZATION, sqlstate::INVALID_PASSWORD].contains(&state);
                let is_busy = [sqlstate::CANNOT_CONNECT_NOW, sqlstate::TOO_MANY_CONNECTIONS].contains(&state);
                match stage {
                    _ if is_busy => Self::Busy,
                    Stage::TokenSent if is_refusal => Self::TokenRefused,
                    Stage::Greeting if is_refusal => Self::NoRule,
                    Stage::Authenticated if is_refusal => Self::RoleForbidden,
                    _ => return None,
                }
            }
        })
    }
}
