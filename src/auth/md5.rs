//! MD5 password authentication, both sides. Source: PostgreSQL documentation, "Message Flow",
//! AuthenticationMD5Password: `"md5" + hex(md5(hex(md5(password + user)) + salt))`.

use crate::base::Password;
use md5::{Digest, Md5};

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

/// What proves the one behind `hash` to a server that sends `salt`; `None` where it is no hash.
pub fn answer(hash: &Password, salt: [u8; 4]) -> Option<Password> {
    let digits = hash.expose().strip_prefix(PREFIX)?;
    Some(prefixed(&[digits.as_bytes(), &salt]))
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
}
