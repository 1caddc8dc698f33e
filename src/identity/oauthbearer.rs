//! OAUTHBEARER's messages, as PostgreSQL 18 speaks it: what a client sends, and what it is told when its
//! token is not accepted or it asks where to get one.
//!
//! A token is never in an error; what was malformed of a message is told without a byte of it. Sources: RFC
//! 7628, sections 3.1 and 3.2; RFC 6750, section 2.1; PostgreSQL, src/backend/libpq/auth-oauth.c.

use crate::base::{Password, limits};
use serde_json::Value;

/// Its name among the mechanisms of SASL.
pub const MECHANISM: &str = "OAUTHBEARER";

/// What ends each key with its value, and the message; alone it is a client's answer to a failure.
const SEPARATOR: u8 = 1;

/// What a client's first message brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Initial {
    /// A token.
    Token(Password),
    /// The question where to get one.
    Discovery,
    /// Something else in a token's place: it fails as a wrong token does.
    NoToken(NoToken),
}

/// Why what stands in a token's place is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is told by its text")]
pub enum NoToken {
    #[error("the client authenticates by another scheme than Bearer")]
    OtherScheme,
    #[error("the bearer token is empty")]
    Empty,
    #[error("the bearer token has characters that none may have")]
    Form,
}

/// Why a message cannot be read; it ends the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is told by its text")]
pub enum Malformed {
    #[error("malformed OAUTHBEARER message: it is empty")]
    Empty,
    #[error("malformed OAUTHBEARER message: it is too long")]
    TooLong,
    #[error("malformed OAUTHBEARER message: it has a zero byte")]
    ZeroByte,
    #[error("malformed OAUTHBEARER message: it binds a channel, and there is no binding for OAuth")]
    ChannelBinding,
    #[error("malformed OAUTHBEARER message: its header is not that of GS2")]
    Header,
    #[error("client uses authorization identity, but it is not supported")]
    AuthorizationIdentity,
    #[error("malformed OAUTHBEARER message: a pair of key and value is not terminated")]
    PairNotTerminated,
    #[error("malformed OAUTHBEARER message: a key has no value")]
    NoValue,
    #[error("malformed OAUTHBEARER message: the name of a key is empty, or not of letters")]
    BadKey,
    #[error("malformed OAUTHBEARER message: a value has bytes that none may have")]
    BadValue,
    #[error("malformed OAUTHBEARER message: it has more than one auth value")]
    AuthTwice,
    #[error("malformed OAUTHBEARER message: it has no auth value")]
    NoAuth,
    #[error("malformed OAUTHBEARER message: it has no final terminator")]
    NotTerminated,
    #[error("malformed OAUTHBEARER message: something follows the final terminator")]
    Excess,
}

impl Malformed {
    /// Whether it could be read, and asks for what is not supported.
    pub fn is_unsupported(self) -> bool {
        self == Self::AuthorizationIdentity
    }
}

impl Initial {
    /// Reads a client's first message. One that comes without (in its SASLInitialResponse is no response) is
    /// asked for it by an empty challenge.
    ///
    /// # Errors
    /// What is wrong with the message.
    pub fn parse(message: &[u8]) -> Result<Self, Malformed> {
        if message.is_empty() {
            return Err(Malformed::Empty);
        }
        if message.len() > limits::PASSWORD_MESSAGE_BYTES_MAX {
            return Err(Malformed::TooLong);
        }
        if message.contains(&0) {
            return Err(Malformed::ZeroByte);
        }
        Ok(Self::of_authorization(authorization(behind_header(message)?)?))
    }

    /// What the value of HTTP's `Authorization` brings.
    fn of_authorization(value: &[u8]) -> Self {
        const SCHEME: &[u8] = b"Bearer ";
        if value.is_empty() {
            return Self::Discovery;
        }
        let Some((scheme, token)) = value.split_at_checked(SCHEME.len()) else {
            return Self::NoToken(NoToken::OtherScheme);
        };
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Self::NoToken(NoToken::OtherScheme);
        }
        let token = &token[token.iter().take_while(|byte| **byte == b' ').count()..];
        let padding = token.iter().rev().take_while(|byte| **byte == b'=').count();
        let is_of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
        if token.is_empty() {
            return Self::NoToken(NoToken::Empty);
        }
        match std::str::from_utf8(token) {
            Ok(text) if token[..token.len() - padding].iter().all(is_of_token) => {
                Self::Token(Password::new(text))
            }
            _ => Self::NoToken(NoToken::Form),
        }
    }
}

/// What follows GS2's header (RFC 5801, section 4) and the separator behind that.
fn behind_header(message: &[u8]) -> Result<&[u8], Malformed> {
    let rest = match message {
        [b'p', ..] => return Err(Malformed::ChannelBinding),
        [b'n' | b'y', b',', rest @ ..] => rest,
        _ => return Err(Malformed::Header),
    };
    match rest {
        [b'a', ..] => Err(Malformed::AuthorizationIdentity),
        [b',', SEPARATOR, rest @ ..] => Ok(rest),
        _ => Err(Malformed::Header),
    }
}

/// The value of `auth`. Keys that are not known are passed over, as section 3.1 wants it.
fn authorization(mut pairs: &[u8]) -> Result<&[u8], Malformed> {
    let mut auth = None;
    while !pairs.is_empty() {
        let end = pairs.iter().position(|byte| *byte == SEPARATOR).ok_or(Malformed::PairNotTerminated)?;
        let (pair, rest) = (&pairs[..end], &pairs[end + 1..]);
        if pair.is_empty() {
            return if rest.is_empty() { auth.ok_or(Malformed::NoAuth) } else { Err(Malformed::Excess) };
        }
        let equals = pair.iter().position(|byte| *byte == b'=').ok_or(Malformed::NoValue)?;
        let (key, value) = (&pair[..equals], &pair[equals + 1..]);
        if key.is_empty() || !key.iter().all(u8::is_ascii_alphabetic) {
            return Err(Malformed::BadKey);
        }
        if !value.iter().all(|byte| byte.is_ascii_graphic() || b" \t\r\n".contains(byte)) {
            return Err(Malformed::BadValue);
        }
        if key == b"auth" && auth.replace(value).is_some() {
            return Err(Malformed::AuthTwice);
        }
        pairs = rest;
    }
    Err(Malformed::NotTerminated)
}

/// What a client is sent whose token is not accepted, and one that asks where to get one: how to find the
/// issuer's endpoints, and for which scope a token must be. It answers by [`is_end_of_failure`].
pub fn failure(issuer: &str, scope: &str) -> String {
    const WELL_KNOWN: &str = "/.well-known/";
    let mut discovery = issuer.to_owned();
    if !issuer.contains(WELL_KNOWN) {
        discovery = format!("{}{WELL_KNOWN}openid-configuration", issuer.trim_end_matches('/'));
    }
    let [discovery, scope] = [&*discovery, scope].map(Value::from);
    format!(r#"{{"status":"invalid_token","openid-configuration":{discovery},"scope":{scope}}}"#)
}

/// Whether a message is the one answer that a client has to a failure.
pub fn is_end_of_failure(message: &[u8]) -> bool {
    message == [SEPARATOR]
}

#[cfg(test)]
mod tests;
