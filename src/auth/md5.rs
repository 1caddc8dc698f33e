//! MD5 password authentication, both sides. Source: PostgreSQL documentation, "Message Flow", AuthenticationMD5Password:
//! `"md5" + hex(md5(hex(md5(password + user)) + salt))`.

use super::Secret;
use crate::base::Password;
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

const PREFIX: &str = "md5";

/// Whether `text` has the form of a stored hash: `md5` and 32 hexadecimal digits in lower case.
pub fn is_hash(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|digits| {
        digits.len() == 32 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// The stored form of `password`.
pub fn hash(password: &[u8], user: &str) -> Password {
    prefixed(&[password, user.as_bytes()])
}

/// What a server that sends `salt` must be answered by `user`; `None` where the secret is of a kind that cannot prove this.
pub fn answer(secret: &Secret, user: &str, salt: [u8; 4]) -> Option<Password> {
    let hash = match secret {
        Secret::Plain(password) if password.is_empty() => return None,
        Secret::Plain(password) => hash(password.expose().as_bytes(), user),
        Secret::Md5(hash) => hash.clone(),
        Secret::Scram(_) => return None,
    };
    let digits = hash.expose().strip_prefix(PREFIX)?;
    Some(prefixed(&[digits.as_bytes(), &salt]))
}

/// Whether `given` is the right answer of `user` to `salt`.
pub fn is_answer(secret: &Secret, user: &str, salt: [u8; 4], given: &[u8]) -> bool {
    answer(secret, user, salt).is_some_and(|right| right.expose().as_bytes().ct_eq(given).into())
}

fn prefixed(parts: &[&[u8]]) -> Password {
    let digest = parts.iter().fold(Md5::new(), |digest, part| digest.chain_update(part)).finalize();
    Password::new(format!("{PREFIX}{digest:032x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_postgresqls() {
        // `echo -n secretbob | md5sum`
        assert_eq!(hash(b"secret", "bob").expose(), "md521f3163f8f86fa10bdefbfbd502a8f06");
        assert!(is_hash(hash(b"secret", "bob").expose()));
    }

    #[test]
    fn password_and_hash_give_the_same_answer() {
        let plain = Secret::parse("secret");
        let hashed = Secret::parse(hash(b"secret", "bob").expose());
        let answer = answer(&plain, "bob", *b"salt").unwrap();
        assert!(is_answer(&hashed, "bob", *b"salt", answer.expose().as_bytes()));
        assert!(!is_answer(&hashed, "bob", *b"tlas", answer.expose().as_bytes()));
        assert!(!is_answer(&plain, "eve", *b"salt", answer.expose().as_bytes()));
        assert!(!is_answer(&plain, "bob", *b"salt", b""));
        assert!(!is_answer(&Secret::none(), "bob", *b"salt", answer.expose().as_bytes()));
    }
}
