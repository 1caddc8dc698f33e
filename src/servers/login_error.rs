//! Why a login to a server failed: what is logged, what clients hear, and what it shows.
//!
//! Never holds a secret. Source: PgBouncer, src/server.c and src/proto.c (the log's texts).

use crate::auth::scram::ScramError;
use crate::iam::denial::Asked;
use crate::wire::{Fault, WireError, sqlstate, tags};
use std::borrow::Cow;
use tags::server as tag;

/// Why a login failed. Which clients hear of it: [`LoginError::fault`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LoginError {
    /// The server's own words.
    Refused {
        /// `FATAL`, …
        severity: String,
        /// Its SQLSTATE.
        sqlstate: String,
        /// Its message.
        text: String,
    },
    /// What is stored cannot answer what the server asked for; the text is for the log.
    WrongPasswordType(&'static str),
    /// The server does not know the password: it is not who it says it is.
    BadSignature,
    /// The server asked for something that a token must not answer.
    NotForTokens(Asked),
    /// The server asked for a token where others may listen, or pose as it: none was sent.
    Uncovered,
    /// The token had grown too old when the server asked for it: it was not sent.
    StaleToken,
    /// None of the server's SASL mechanisms is spoken here.
    NoMechanism,
    /// Kerberos, GSSAPI, SSPI, …
    UnsupportedMethod(u32),
    /// SCRAM went wrong otherwise.
    Scram(ScramError),
    /// Bytes that are no message.
    Wire(WireError),
    /// A message that has no place here.
    UnknownPacket(u8),
    /// More parameters, or longer ones, than any server has.
    TooMuch,
}

impl LoginError {
    /// Whether the server has refused us for who we are, or has asked for a proof that is not known.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Refused { sqlstate, .. } => {
                [sqlstate::INVALID_AUTHORIZATION, sqlstate::INVALID_PASSWORD].contains(&&**sqlstate)
            }
            Self::WrongPasswordType(_) | Self::NotForTokens(_) => true,
            _ => false,
        }
    }

    /// The reason in "closing because: …", and what later clients are told of as the cached error.
    pub(super) fn reason(&self) -> Cow<'_, str> {
        Cow::Borrowed(match self {
            Self::Refused { text, .. } => text,
            Self::WrongPasswordType(_)
            | Self::BadSignature
            | Self::NotForTokens(_)
            | Self::Uncovered
            | Self::StaleToken
            | Self::NoMechanism
            | Self::UnsupportedMethod(_)
            | Self::Scram(_) => "failed to answer authreq",
            Self::Wire(WireError::BadLength { .. }) => "bad pkt header",
            Self::Wire(WireError::Malformed { tag: tag::PARAMETER_STATUS }) => {
                "broken ParameterStatus packet"
            }
            Self::Wire(WireError::Malformed { tag: tag::BACKEND_KEY_DATA }) => "bad cancel key",
            Self::Wire(WireError::Malformed { .. }) => "bad packet",
            Self::UnknownPacket(_) => "unknown pkt from server",
            Self::TooMuch => "failed to store ParameterStatus",
        })
    }

    /// Whether the server has answered that this database or this role is not to be had, in its own words.
    pub(super) fn is_answer(&self) -> bool {
        let is_answer =
            |sqlstate: &str| sqlstate == sqlstate::INVALID_CATALOG_NAME || sqlstate.starts_with("28");
        matches!(self, Self::Refused { sqlstate, .. } if is_answer(sqlstate))
    }

    /// What the pool's waiting clients are told and ended with; `None` = they go on
    /// waiting, since it may pass.
    pub(super) fn fault(&self) -> Option<Fault> {
        let own = |text: &str| {
            Some(Fault::Relayed { sqlstate: sqlstate::PROTOCOL_VIOLATION.into(), text: text.into() })
        };
        match self {
            Self::Refused { sqlstate, .. } if sqlstate == sqlstate::CANNOT_CONNECT_NOW => None,
            Self::Refused { sqlstate, text, .. } => Some(Fault::relayed(sqlstate, &**text)),
            Self::WrongPasswordType(_) => Some(Fault::WrongPasswordType),
            Self::BadSignature => own("server login failed: invalid server signature"),
            Self::NoMechanism => {
                own("server login failed: none of the server's SASL authentication mechanisms are supported")
            }
            _ => None,
        }
    }

    /// What an operator must read beside the reason.
    pub(super) fn log(&self) -> Option<String> {
        match self {
            Self::Refused { severity, text, .. } => Some(format!("server login failed: {severity} {text}")),
            Self::WrongPasswordType(text) => Some((*text).to_owned()),
            Self::BadSignature => Some("invalid server signature".to_owned()),
            Self::NotForTokens(_) => Some("the server asked for something other than a token".to_owned()),
            Self::Uncovered => Some("no verified TLS with the server: the token was not sent".to_owned()),
            Self::StaleToken => {
                Some("the token was too old when the server asked for it: it was not sent".to_owned())
            }
            Self::NoMechanism => {
                Some("none of the server's SASL authentication mechanisms are supported".to_owned())
            }
            Self::UnsupportedMethod(code) => Some(format!("unknown/unsupported auth method: {code}")),
            Self::Scram(error) => Some(format!("SCRAM exchange failed: {error}")),
            Self::Wire(error) => Some(error.to_string()),
            Self::UnknownPacket(tag) => Some(format!("unknown pkt from server: '{}'", tag.escape_ascii())),
            Self::TooMuch => None,
        }
    }
}

impl From<WireError> for LoginError {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}
