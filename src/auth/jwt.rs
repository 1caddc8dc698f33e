//! Options of the method `jwt`: whose tokens count, what maps their claims to roles, how a client sends them.
//!
//! Pure. The names are those of entries of `[issuers]` and of maps of `auth_claims_file`: whether there are
//! such is not known here.

use super::option_words::{BadWord, word};
use crate::config::{keyword_shown, shown};
use std::sync::Arc;

/// What a rule with `jwt`, or `auth_jwt_options`, says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JwtOptions {
    /// The entry of `[issuers]` whose tokens count; `None`: those of every entry.
    pub issuer: Option<Arc<str>>,
    /// The map that says which roles a token is good for; `None`: that of the issuer's entry.
    pub map: Option<Arc<str>>,
    /// How a client sends its token.
    pub transport: Transport,
}

/// How a client sends its token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// As a password in clear text: every driver can.
    #[default]
    Password,
    /// By SASL OAUTHBEARER, as PostgreSQL 18 does.
    OauthBearer,
}

/// What is wrong with such options.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is told by its text")]
pub enum JwtOptionsError {
    #[error("quote is not closed")]
    QuoteNotClosed,
    #[error("text must be UTF-8")]
    NotUtf8,
    #[error("zero bytes are not allowed")]
    ZeroByte,
    #[error("an option of jwt is not in name=value format")]
    NoValue,
    #[error("unknown option of jwt: {0}")]
    Unknown(String),
    #[error("option {0} of jwt stands there twice")]
    Twice(&'static str),
    #[error("option {0} of jwt has no value")]
    Empty(&'static str),
    #[error("invalid transport of jwt: {0}: accepted: password, oauthbearer")]
    BadTransport(String),
}

impl From<BadWord> for JwtOptionsError {
    fn from(bad: BadWord) -> Self {
        match bad {
            BadWord::QuoteNotClosed => Self::QuoteNotClosed,
            BadWord::NotUtf8 => Self::NotUtf8,
            BadWord::ZeroByte => Self::ZeroByte,
        }
    }
}

impl JwtOptions {
    /// Reads options as a rule of an hba file has them behind its method, and `auth_jwt_options`.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub fn parse(text: &[u8]) -> Result<Self, JwtOptionsError> {
        let (mut issuer, mut map, mut transport) = (None, None, None);
        let mut rest = text;
        while let Some((word, behind)) = word(rest)? {
            rest = behind;
            let (name, value) = word.split_once('=').ok_or(JwtOptionsError::NoValue)?;
            match name {
                "issuer" => set(&mut issuer, "issuer", value.into(), value)?,
                "map" => set(&mut map, "map", value.into(), value)?,
                "transport" => set(&mut transport, "transport", Transport::named(value)?, value)?,
                _ => return Err(JwtOptionsError::Unknown(keyword_shown(name))),
            }
        }
        Ok(Self { issuer, map, transport: transport.unwrap_or_default() })
    }
}

fn set<T>(to: &mut Option<T>, name: &'static str, value: T, text: &str) -> Result<(), JwtOptionsError> {
    if text.is_empty() {
        return Err(JwtOptionsError::Empty(name));
    }
    match to.replace(value) {
        None => Ok(()),
        Some(_) => Err(JwtOptionsError::Twice(name)),
    }
}

impl Transport {
    fn named(word: &str) -> Result<Self, JwtOptionsError> {
        match word {
            "" | "password" => Ok(Self::Password), // an empty one is refused by its caller
            "oauthbearer" => Ok(Self::OauthBearer),
            _ => Err(JwtOptionsError::BadTransport(shown(word))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let read = |text: &str| JwtOptions::parse(text.as_bytes());
        assert_eq!(read(""), Ok(JwtOptions::default()));
        assert_eq!(read("  # nothing"), Ok(JwtOptions::default()));
        let all = read(" issuer=apps map=\"my map\" transport=oauthbearer").unwrap();
        assert_eq!((all.issuer.as_deref(), all.map.as_deref()), (Some("apps"), Some("my map")));
        assert_eq!(all.transport, Transport::OauthBearer);
        for (text, error) in [
            ("issuer", JwtOptionsError::NoValue),
            ("issuer=", JwtOptionsError::Empty("issuer")),
            ("transport=", JwtOptionsError::Empty("transport")),
            ("map=a map=b", JwtOptionsError::Twice("map")),
            ("scope=x", JwtOptionsError::Unknown("scope".to_owned())),
            ("transport=tcp", JwtOptionsError::BadTransport("tcp".to_owned())),
            ("map=\"a", JwtOptionsError::QuoteNotClosed),
        ] {
            assert_eq!(read(text), Err(error), "{text}");
        }
    }
}
