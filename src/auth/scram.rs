//! SCRAM-SHA-256 without channel binding, both sides, as machines that each step consumes.
//!
//! Server: [`ScramServer::start`] takes the client's first message, [`ScramServer::finish`] its last, or
//! [`ScramServer::answered`] where several passwords are right.
//! Client: [`ScramClient::start`], [`ScramClient::challenged`], [`Challenge::answer`],
//! [`ServerProof::check`]. Nonces are handed in. No step tells whether a user exists: a server started
//! without a verifier goes through the same exchange and fails at its end. Sources: RFC 5802, RFC 7677; gs2
//! and authorization identity rules as PostgreSQL has them.

use super::keys::{Key, ScramKeys, ScramSecret};
use crate::base::Password;
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::num::NonZeroU32;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Bytes of randomness in a nonce, before base64. PostgreSQL takes as many.
pub const NONCE_BYTES: usize = 18;
/// Bytes of a fresh salt. PostgreSQL takes as many.
pub const SALT_BYTES: usize = 16;

/// Why an exchange failed. The client is told only that it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// A message that does not have SCRAM's form.
    #[error("malformed SCRAM message")]
    Malformed,
    /// The client asks for channel binding, which is not offered.
    #[error("SCRAM channel binding is not supported")]
    ChannelBinding,
    /// The client asks for a mandatory extension or an authorization identity.
    #[error("unsupported SCRAM extension")]
    Unsupported,
    /// The nonce or the channel binding data is not what this exchange began with.
    #[error("SCRAM nonce or channel binding mismatch")]
    Mismatch,
    /// The client does not know the password.
    #[error("wrong SCRAM proof")]
    WrongProof,
    /// The server does not know the password: it is not who it says it is.
    #[error("invalid server signature")]
    WrongSignature,
    /// The server refused the proof.
    #[error("server refused the SCRAM proof")]
    Refused,
    /// The server asks for more work than is allowed.
    #[error("the server asks for {asked} iterations, max_scram_iterations is {allowed}")]
    TooManyIterations {
        /// What it asks for.
        asked: u32,
        /// What is allowed.
        allowed: u32,
    },
}

/// The salt that user `user` seems to have where there is no such user: always the same while `seed` is.
pub fn mock_salt(seed: &[u8; 32], user: &str) -> [u8; SALT_BYTES] {
    let mut salt = [0; SALT_BYTES];
    salt.copy_from_slice(&hmac_sha256(seed, user.as_bytes())[..SALT_BYTES]);
    salt
}

/// A nonce's text from its random bytes.
pub fn nonce_text(random: [u8; NONCE_BYTES]) -> String {
    BASE64_STANDARD.encode(random)
}

/// A server's half of an exchange after its first message.
#[derive(Debug)]
pub struct ScramServer {
    secret: Option<Arc<ScramSecret>>,
    binding: String,
    nonce: String,
    auth_message: String,
}

/// What a server proves against.
#[derive(Clone, Debug)]
pub enum Verifier {
    /// A user's own.
    Known(Arc<ScramSecret>),
    /// None: the exchange fails at its end. Salt and iterations are shown as if there were one.
    Mock {
        /// See [`mock_salt`].
        salt: [u8; SALT_BYTES],
        /// As users of this process have it.
        iterations: u32,
    },
}

impl Verifier {
    /// What the client is told to compute with: salt and iterations.
    pub fn asks(&self) -> (&[u8], u32) {
        match self {
            Self::Known(secret) => secret.asks(),
            Self::Mock { salt, iterations } => (salt, *iterations),
        }
    }
}

impl ScramServer {
    /// Takes the client's first message; gives the machine and the message to answer. `nonce` is the server's
    /// part, fresh for each exchange, of printable ASCII without commas.
    ///
    /// # Errors
    /// [`ScramError::Malformed`], [`ScramError::ChannelBinding`], [`ScramError::Unsupported`].
    pub fn start(verifier: Verifier, client_first: &[u8], nonce: &str) -> Result<(Self, String), ScramError> {
        let message = std::str::from_utf8(client_first).map_err(|_| ScramError::Malformed)?;
        let (flag, rest) = message.split_once(',').ok_or(ScramError::Malformed)?;
        match flag {
            "n" | "y" => {}
            flag if flag.starts_with("p=") => return Err(ScramError::ChannelBinding),
            _ => return Err(ScramError::Malformed),
        }
        let (identity, bare) = rest.split_once(',').ok_or(ScramError::Malformed)?;
        if !identity.is_empty() || bare.starts_with("m=") {
            return Err(ScramError::Unsupported);
        }
        // The name in `n=` is passed over, as PostgreSQL does: who logs in was said in the StartupMessage.
        let (_name, rest) = attribute(bare, 'n')?;
        let (client_nonce, _extensions) = attribute(rest, 'r')?;
        if client_nonce.is_empty() || !client_nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ScramError::Malformed);
        }
        let (salt, iterations) = verifier.asks();
        let salt = BASE64_STANDARD.encode(salt);
        let secret = match verifier {
            Verifier::Known(secret) => Some(secret),
            Verifier::Mock { .. } => None,
        };
        let nonce = format!("{client_nonce}{nonce}");
        let server_first = format!("r={nonce},s={salt},i={iterations}");
        let auth_message = format!("{bare},{server_first}");
        let binding = BASE64_STANDARD.encode(format!("{flag},,"));
        Ok((Self { secret, binding, nonce, auth_message }, server_first))
    }

    /// Takes the client's last message, and holds it against the verifier that the exchange began with; gives
    /// the message to answer and the keys that the client has proven to hold.
    ///
    /// # Errors
    /// [`ScramError::WrongProof`], also at the end of a mock exchange; [`ScramError::Malformed`],
    /// [`ScramError::Mismatch`].
    pub fn finish(mut self, client_final: &[u8]) -> Result<(String, ScramKeys), ScramError> {
        let secret = self.secret.take();
        let answer = self.answered(client_final)?;
        secret.and_then(|secret| answer.proves(&secret)).ok_or(ScramError::WrongProof)
    }

    /// Takes the client's last message, to be held against any number of verifiers with the salt and the
    /// iterations that the client was told.
    ///
    /// # Errors
    /// [`ScramError::Malformed`], [`ScramError::Mismatch`].
    pub fn answered(self, client_final: &[u8]) -> Result<ScramAnswer, ScramError> {
        let message = std::str::from_utf8(client_final).map_err(|_| ScramError::Malformed)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(ScramError::Malformed)?;
        let (binding, rest) = attribute(without_proof, 'c')?;
        let (nonce, _extensions) = attribute(rest, 'r')?;
        if binding != self.binding || nonce != self.nonce {
            return Err(ScramError::Mismatch);
        }
        let proof: Key = decode(proof)?.try_into().map_err(|_| ScramError::Malformed)?;
        let auth_message = format!("{},{without_proof}", self.auth_message);
        Ok(ScramAnswer { auth_message, proof: Zeroizing::new(proof) })
    }
}

/// A client's proof that is not held against anything yet.
pub struct ScramAnswer {
    auth_message: String,
    proof: Zeroizing<Key>,
}

impl ScramAnswer {
    /// The message to answer and the keys that the client holds, where it knows the password of `secret`.
    /// What it is answered is of that verifier alone: of others that it does not fit it hears nothing.
    pub fn proves(&self, secret: &ScramSecret) -> Option<(String, ScramKeys)> {
        let signature = hmac_sha256(secret.stored_key.as_slice(), self.auth_message.as_bytes());
        let client_key = xor(&self.proof, &signature);
        if !bool::from(stored_key(&client_key).as_slice().ct_eq(secret.stored_key.as_slice())) {
            return None;
        }
        let signature = hmac_sha256(secret.server_key.as_slice(), self.auth_message.as_bytes());
        let server_final = format!("v={}", BASE64_STANDARD.encode(signature.as_slice()));
        Some((server_final, ScramKeys { client_key, server_key: secret.server_key.clone() }))
    }
}

/// What a client proves with.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// The password: PBKDF2's time is spent on it.
    Password(Password),
    /// Keys that a client of ours has proven to hold, good for the same verifier only.
    Keys(ScramKeys),
}

/// A client's half of an exchange before the server has answered.
#[derive(Debug)]
pub struct ScramClient {
    nonce: String,
    bare: String,
}

/// A client's half of an exchange that the server has answered: what is missing is a proof.
#[derive(Debug)]
pub struct Challenge {
    /// Both first messages.
    auth_message: String,
    nonce: String,
    salt: Vec<u8>,
    iterations: u32,
}

/// What it takes to make keys of a password for one server: PBKDF2's time.
#[derive(Debug)]
pub struct Sum {
    password: Password,
    salt: Vec<u8>,
    iterations: u32,
}

impl Sum {
    /// Both keys.
    pub fn compute(self) -> ScramKeys {
        derive_keys(self.password.expose().as_bytes(), &self.salt, self.iterations)
    }
}

/// What the server must still show: that it knows the verifier.
#[derive(Debug)]
pub struct ServerProof {
    signature: Zeroizing<Key>,
}

impl ScramClient {
    /// Begins; gives the machine and the first message. `nonce` is fresh for each
    /// exchange, see [`nonce_text`].
    pub fn start(nonce: String) -> (Self, String) {
        // PostgreSQL passes over the name here and takes the StartupMessage's.
        Self::start_as("", nonce)
    }

    fn start_as(name: &str, nonce: String) -> (Self, String) {
        let bare = format!("n={name},r={nonce}");
        let first = format!("{GS2_HEADER}{bare}");
        (Self { nonce, bare }, first)
    }

    /// Takes the server's first message, which may ask for at most `iterations_max` iterations.
    ///
    /// # Errors
    /// [`ScramError::Malformed`], [`ScramError::Unsupported`], [`ScramError::TooManyIterations`],
    /// [`ScramError::Mismatch`] where the nonce is not made from ours.
    pub fn challenged(self, server_first: &[u8], iterations_max: u32) -> Result<Challenge, ScramError> {
        let server_first = std::str::from_utf8(server_first).map_err(|_| ScramError::Malformed)?;
        if server_first.starts_with("m=") {
            return Err(ScramError::Unsupported);
        }
        let (nonce, rest) = attribute(server_first, 'r')?;
        let (salt, rest) = attribute(rest, 's')?;
        let (iterations, _extensions) = attribute(rest, 'i')?;
        if nonce.strip_prefix(&*self.nonce).is_none_or(str::is_empty) {
            return Err(ScramError::Mismatch);
        }
        let salt = decode(salt)?;
        let iterations: u32 = iterations.parse().map_err(|_| ScramError::Malformed)?;
        if iterations == 0 {
            return Err(ScramError::Unsupported);
        }
        if iterations > iterations_max {
            return Err(ScramError::TooManyIterations { asked: iterations, allowed: iterations_max });
        }
        let auth_message = format!("{},{server_first}", self.bare);
        Ok(Challenge { auth_message, nonce: nonce.to_owned(), salt, iterations })
    }
}

impl Challenge {
    /// What makes keys for it of a password.
    pub fn sum(&self, password: &Password) -> Sum {
        Sum { password: password.clone(), salt: self.salt.clone(), iterations: self.iterations }
    }

    /// What to check the server's last message with, and the message to answer.
    pub fn answer(self, keys: &ScramKeys) -> (ServerProof, String) {
        let without_proof = format!("c={},r={}", BASE64_STANDARD.encode(GS2_HEADER), self.nonce);
        let auth_message = format!("{},{without_proof}", self.auth_message);
        let signature = hmac_sha256(stored_key(&keys.client_key).as_slice(), auth_message.as_bytes());
        let proof = xor(&keys.client_key, &signature);
        let client_final = format!("{without_proof},p={}", BASE64_STANDARD.encode(proof.as_slice()));
        let signature = hmac_sha256(keys.server_key.as_slice(), auth_message.as_bytes());
        (ServerProof { signature }, client_final)
    }
}

impl ServerProof {
    /// Takes the server's last message.
    ///
    /// # Errors
    /// [`ScramError::WrongSignature`], [`ScramError::Refused`], [`ScramError::Malformed`].
    pub fn check(self, server_final: &[u8]) -> Result<(), ScramError> {
        let message = std::str::from_utf8(server_final).map_err(|_| ScramError::Malformed)?;
        if message.starts_with("e=") {
            return Err(ScramError::Refused);
        }
        let (signature, _extensions) = attribute(message, 'v')?;
        if bool::from(decode(signature)?.ct_eq(self.signature.as_slice())) {
            Ok(())
        } else {
            Err(ScramError::WrongSignature)
        }
    }
}

/// "No channel binding, no authorization identity": what our client says and what a server checks.
const GS2_HEADER: &str = "n,,";

/// The value of the attribute `name` at the front of `input`, and what follows its comma.
fn attribute(input: &str, name: char) -> Result<(&str, &str), ScramError> {
    let value =
        input.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')).ok_or(ScramError::Malformed)?;
    Ok(value.split_once(',').unwrap_or((value, "")))
}

fn decode(text: &str) -> Result<Vec<u8>, ScramError> {
    BASE64_STANDARD.decode(text).map_err(|_| ScramError::Malformed)
}

impl ScramSecret {
    /// What a client has to compute with: salt and iterations.
    pub fn asks(&self) -> (&[u8], u32) {
        (&self.salt, self.iterations)
    }

    /// The verifier of `password`. Takes PBKDF2's time.
    pub fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let keys = derive_keys(password, salt, iterations);
        Self {
            iterations,
            salt: salt.into(),
            stored_key: stored_key(&keys.client_key),
            server_key: keys.server_key,
        }
    }
}

/// Both keys of `password`. Takes PBKDF2's time: about 0.3 µs an iteration.
pub fn derive_keys(password: &[u8], salt: &[u8], iterations: u32) -> ScramKeys {
    let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    let mut salted = Zeroizing::new([0; 32]);
    let prepared = prepare(password);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, &prepared, salted.as_mut_slice());
    ScramKeys {
        client_key: hmac_sha256(salted.as_slice(), b"Client Key"),
        server_key: hmac_sha256(salted.as_slice(), b"Server Key"),
    }
}

/// SASLprep; a password that it refuses (or empties, or that is not UTF-8) is taken as its raw
/// bytes, as PostgreSQL does.
fn prepare(password: &[u8]) -> Zeroizing<Vec<u8>> {
    let prepared = std::str::from_utf8(password).ok().and_then(|text| stringprep::saslprep(text).ok());
    Zeroizing::new(match prepared {
        Some(text) if !text.is_empty() => text.into_owned().into_bytes(),
        _ => password.to_vec(),
    })
}

pub(super) fn stored_key(client_key: &Key) -> Zeroizing<Key> {
    let mut key = Zeroizing::new([0; 32]);
    key.copy_from_slice(digest::digest(&digest::SHA256, client_key).as_ref());
    key
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> Zeroizing<Key> {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    let mut out = Zeroizing::new([0; 32]);
    out.copy_from_slice(tag.as_ref());
    out
}

fn xor(a: &Key, b: &Key) -> Zeroizing<Key> {
    Zeroizing::new(std::array::from_fn(|k| a[k] ^ b[k]))
}

#[cfg(test)]
mod tests;
