//! What is kept of a user's password: the password itself, its md5 hash, or SCRAM's derived keys.
//!
//! Never shows any of it: `Debug` tells only the kind. The text forms are those of `pg_authid.rolpassword`
//! and of auth_file (PgBouncer, doc/config.md, "Authentication file format").

use super::keys::ScramSecret;
use super::{md5, scram};
use crate::base::Password;
use std::sync::Arc;
use subtle::ConstantTimeEq;

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

impl Secret {
    /// What `user` must answer to a server that asks for md5 with `salt`; `None` where the secret is of a
    /// kind that cannot prove this.
    pub fn md5_answer(&self, user: &str, salt: [u8; 4]) -> Option<Password> {
        match self {
            Self::Plain(password) if password.is_empty() => None,
            Self::Plain(password) => md5::answer(&md5::hash(password.expose().as_bytes(), user), salt),
            Self::Md5(hash) => md5::answer(hash, salt),
            Self::Scram(_) => None,
        }
    }

    /// Whether `given` is the right answer of `user` to `salt`.
    pub fn is_md5_answer(&self, user: &str, salt: [u8; 4], given: &[u8]) -> bool {
        self.md5_answer(user, salt).is_some_and(|right| right.expose().as_bytes().ct_eq(given).into())
    }

    /// A secret that nothing proves: of users known without one, and auth_query's NULL.
    pub fn none() -> Self {
        Self::Plain(Password::default())
    }

    /// Reads the text form. What is neither a well-formed md5 hash nor a well-formed
    /// SCRAM verifier is a password.
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

    /// Whether `password`, as `user` sent it in clear, is the one behind this secret. Takes
    /// PBKDF2's time for SCRAM.
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

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
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

    #[test]
    fn password_and_hash_give_the_same_answer() {
        let plain = Secret::parse("secret");
        let hashed = Secret::parse(md5::hash(b"secret", "bob").expose());
        let answer = plain.md5_answer("bob", *b"salt").unwrap();
        assert!(hashed.is_md5_answer("bob", *b"salt", answer.expose().as_bytes()));
        assert!(!hashed.is_md5_answer("bob", *b"tlas", answer.expose().as_bytes()));
        assert!(!plain.is_md5_answer("eve", *b"salt", answer.expose().as_bytes()));
        assert!(!plain.is_md5_answer("bob", *b"salt", b""));
        assert!(!Secret::none().is_md5_answer("bob", *b"salt", answer.expose().as_bytes()));
    }
}
