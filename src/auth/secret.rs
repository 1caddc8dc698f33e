//! What is kept of a user's password: the password itself, its md5 hash, or SCRAM's derived keys.
//!
//! Never shows any of it: `Debug` tells only the kind. The text forms are those of `pg_authid.rolpassword` and of auth_file
//! (PgBouncer, doc/config.md, "Authentication file format").

use super::{md5, scram};
use crate::base::Password;
use crate::wire::authentication::SCRAM_SHA_256;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// One of SCRAM's keys: the output of SHA-256.
pub(super) type Key = [u8; 32];

/// A stored secret. An empty `Plain` stands for "known user without a password": nothing proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// The password itself.
    Plain(Password),
    /// `md5` and 32 hexadecimal digits: the hash of password and user name.
    Md5(Password),
    /// SCRAM-SHA-256's verifier.
    Scram(Arc<ScramSecret>),
}

/// SCRAM-SHA-256's verifier: enough to check a proof, not enough to make one.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramSecret {
    /// PBKDF2's iteration count, at least 1.
    pub iterations: u32,
    /// PBKDF2's salt.
    pub salt: Box<[u8]>,
    /// Hash of the client key.
    pub stored_key: Zeroizing<Key>,
    /// Signs the server's last message.
    pub server_key: Zeroizing<Key>,
}

/// Both of SCRAM's keys: enough to log in to any server that holds the verifier they belong to.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// Proves that its owner knows the password.
    pub client_key: Zeroizing<Key>,
    /// Checks the server's last message.
    pub server_key: Zeroizing<Key>,
}

impl fmt::Debug for ScramSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramSecret(***)")
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramKeys(***)")
    }
}

impl Secret {
    /// A secret that nothing proves: of users known without one, and auth_query's NULL.
    pub fn none() -> Self {
        Self::Plain(Password::default())
    }

    /// Reads the text form. What is neither a well-formed md5 hash nor a well-formed SCRAM verifier is a password.
    pub fn parse(text: &str) -> Self {
        if md5::is_hash(text) {
            return Self::Md5(Password::new(text));
        }
        match ScramSecret::parse(text) {
            Some(secret) => Self::Scram(Arc::new(secret)),
            None => Self::Plain(Password::new(text)),
        }
    }

    /// The text form, as a server that asks for a cleartext password is sent it.
    pub fn to_text(&self) -> Password {
        match self {
            Self::Plain(text) | Self::Md5(text) => text.clone(),
            Self::Scram(secret) => Password::new(secret.to_text()),
        }
    }

    /// Bytes that it holds, beyond its own size.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Plain(text) | Self::Md5(text) => text.expose().len(),
            Self::Scram(secret) => size_of::<ScramSecret>() + secret.salt.len(),
        }
    }

    /// Whether this is [`Secret::none`].
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Plain(password) if password.is_empty())
    }

    /// Whether `password`, as `user` sent it in clear, is the one behind this secret. Takes PBKDF2's time for SCRAM.
    pub fn is_password(&self, user: &str, password: &[u8]) -> bool {
        match self {
            Self::Plain(own) => !own.is_empty() && bool::from(own.expose().as_bytes().ct_eq(password)),
            Self::Md5(own) => {
                let hash = md5::hash(password, user);
                own.expose().as_bytes().ct_eq(hash.expose().as_bytes()).into()
            }
            Self::Scram(own) => {
                let keys = scram::derive_keys(password, &own.salt, own.iterations);
                own.server_key.as_slice().ct_eq(keys.server_key.as_slice()).into()
            }
        }
    }
}

impl ScramSecret {
    /// The verifier of `password`. Takes PBKDF2's time.
    pub fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let keys = scram::derive_keys(password, salt, iterations);
        Self {
            iterations,
            salt: salt.into(),
            stored_key: scram::stored_key(&keys.client_key),
            server_key: keys.server_key,
        }
    }

    /// Reads `SCRAM-SHA-256$iterations:salt$stored key:server key`.
    fn parse(text: &str) -> Option<Self> {
        let (iterations, rest) = text.strip_prefix(SCRAM_SHA_256)?.strip_prefix('$')?.split_once(':')?;
        let (salt, keys) = rest.split_once('$')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let iterations = iterations.bytes().all(|digit| digit.is_ascii_digit()).then_some(iterations)?;
        Some(Self {
            iterations: iterations.parse().ok().filter(|count| *count > 0)?,
            salt: BASE64_STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?.into(),
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        })
    }

    fn to_text(&self) -> String {
        format!(
            "{SCRAM_SHA_256}${}:{}${}:{}",
            self.iterations,
            BASE64_STANDARD.encode(&self.salt),
            BASE64_STANDARD.encode(self.stored_key.as_slice()),
            BASE64_STANDARD.encode(self.server_key.as_slice()),
        )
    }
}

fn key(text: &str) -> Option<Zeroizing<Key>> {
    let bytes = Zeroizing::new(BASE64_STANDARD.decode(text).ok()?);
    Some(Zeroizing::new(bytes.as_slice().try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The salt of RFC 7677's example.
    const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";

    fn scram_text() -> String {
        let salt = BASE64_STANDARD.decode(SALT).unwrap();
        ScramSecret::derive(b"pencil", &salt, 4096).to_text()
    }

    #[test]
    fn the_three_kinds_are_told_apart() {
        assert!(matches!(Secret::parse("secret"), Secret::Plain(_)));
        assert!(matches!(Secret::parse("md54b5f41e8a9b1a0a1ee1ae5a2d5a2d5a2"), Secret::Md5(_)));
        assert!(matches!(Secret::parse(&scram_text()), Secret::Scram(_)));
        assert!(Secret::parse("").is_empty());
        assert!(!Secret::parse("x").is_empty());
    }

    #[test]
    fn nearly_well_formed_ones_are_passwords() {
        let scram = scram_text();
        for text in [
            "md5",
            "md54B5F41E8A9B1A0A1EE1AE5A2D5A2D5A2",
            "md54b5f41e8a9b1a0a1ee1ae5a2d5a2d5a",
            "SCRAM-SHA-256$",
            &scram.replace("4096", "0"),
            &scram.replace("4096", "+4096"),
            &scram.replace("4096", "99999999999"),
            &scram.replace(SALT, ""),
            &scram.replace(SALT, "?"),
            &scram[..scram.len() - 4],
            &format!("{scram}x"),
        ] {
            assert!(matches!(Secret::parse(text), Secret::Plain(_)), "{text}");
        }
    }

    #[test]
    fn a_password_in_clear_is_checked_against_every_kind() {
        let hash = md5::hash(b"pencil", "user");
        for text in ["pencil", hash.expose(), &scram_text()] {
            let secret = Secret::parse(text);
            assert!(secret.is_password("user", b"pencil"), "{text}");
            assert!(!secret.is_password("user", b"Pencil"), "{text}");
            assert!(!secret.is_password("user", b""), "{text}");
            assert_eq!(secret.to_text().expose(), text);
        }
        assert!(!Secret::none().is_password("user", b""));
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?} {:?}", Secret::parse("pencil"), Secret::parse(&scram_text()));
        assert_eq!(shown, "Plain(Password(***)) Scram(ScramSecret(***))");
    }

    proptest! {
        #[test]
        fn any_text_is_a_secret_and_stays_what_it_is(text in ".{0,80}") {
            let shown = Secret::parse(&text).to_text();
            prop_assert_eq!(shown.expose(), text.as_str());
        }
    }
}
