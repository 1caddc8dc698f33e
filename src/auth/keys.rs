//! What SCRAM keeps of a password: a verifier that checks a proof, and keys that make one.
//!
//! Never shows any of it. The text form is that of `pg_authid.rolpassword`.

use crate::wire::authentication::SCRAM_SHA_256;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::fmt;
use zeroize::Zeroizing;

/// One of SCRAM's keys: the output of SHA-256.
pub(super) type Key = [u8; 32];

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

impl ScramSecret {
    /// Reads `SCRAM-SHA-256$iterations:salt$stored key:server key`.
    pub(super) fn parse(text: &str) -> Option<Self> {
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

    pub(super) fn to_text(&self) -> String {
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
