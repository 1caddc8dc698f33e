//! The public keys of an issuer, as its JSON web key set lists them.
//!
//! A key that cannot be used (of another kind, for encryption, too weak, wrong in itself) is left out and
//! told; a set that two readers could read differently, or that holds a private key, is refused as a whole.
//! Sources: RFC 7517, sections 4 and 5; RFC 7518, section 6; RFC 8037, section 2.

use super::algorithm::{Algorithm, Kind};
use super::strict_json::{Bounds, NotStrict, object};
use super::text::shown;
use crate::base::limits;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// The keys of an issuer that its tokens may be signed by.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: BTreeMap<Box<str>, Key>,
    left_out: Vec<LeftOut>,
}

/// One key.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) kind: Kind,
    /// The only algorithm that it is for; `None`: all those of its kind.
    algorithm: Option<Algorithm>,
    pub(super) key: DecodingKey,
}

/// Why a set of keys is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is told by its text")]
pub enum BadKeySet {
    #[error("the set of keys is too long: at most {most} bytes", most = limits::JWKS_BYTES_MAX)]
    TooLong,
    #[error("it is no JSON web key set")]
    NotASet,
    #[error("member {name} is in the set of keys twice")]
    DuplicateMember { name: String },
    #[error("too many keys are in the set: at most {most}", most = limits::JWKS_KEYS_MAX)]
    TooManyKeys,
    #[error("the set of keys has too many values, or they nest too deep")]
    TooManyValues,
    #[error("key {kid} is in the set twice")]
    DuplicateKey { kid: String },
    #[error("key {kid} is a private key: whoever can read the set can sign tokens")]
    PrivateKey { kid: String },
    #[error("no key of the set can be used")]
    NoKeys,
}

/// A key of a set that is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key {kid} of the set is not used: {why}")]
pub struct LeftOut {
    /// Its id on one line; its place in the set where it has none.
    pub kid: String,
    /// Why.
    pub why: BadKey,
}

/// Why a key is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is told by its text")]
pub enum BadKey {
    #[error("it is no object")]
    NotAnObject,
    #[error("it has no id, or a too long one")]
    NoId,
    #[error("it is not for verifying signatures")]
    OtherUse,
    #[error("its kind or curve is not supported")]
    OtherKind,
    #[error("its algorithm is not supported, or not one of its kind")]
    OtherAlgorithm,
    #[error("it has fewer than 2048 bits, or more than 8192")]
    Size,
    #[error("it is no valid key")]
    Invalid,
}

impl KeySet {
    /// Reads a set of keys.
    ///
    /// # Errors
    /// Why none of it can be used.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadKeySet> {
        if bytes.len() > limits::JWKS_BYTES_MAX {
            return Err(BadKeySet::TooLong);
        }
        let bounds = Bounds { depth: limits::JWKS_DEPTH_MAX, values: limits::JWKS_VALUES_MAX };
        let members = object(bytes, bounds)?;
        let listed = members.get("keys").and_then(Value::as_array).ok_or(BadKeySet::NotASet)?;
        if listed.len() > limits::JWKS_KEYS_MAX {
            return Err(BadKeySet::TooManyKeys);
        }
        let mut set = Self::default();
        for (value, number) in listed.iter().zip(1..) {
            set.add(value, number)?;
        }
        if set.keys.is_empty() { Err(BadKeySet::NoKeys) } else { Ok(set) }
    }

    /// How many keys can be used.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether the key of that id can be used.
    pub fn has(&self, kid: &str) -> bool {
        self.keys.contains_key(kid)
    }

    /// The ids of the keys that can be used.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(|kid| &**kid)
    }

    /// The keys of the set that cannot.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    pub(super) fn key(&self, kid: &str) -> Option<&Key> {
        self.keys.get(kid)
    }

    fn add(&mut self, value: &Value, number: usize) -> Result<(), BadKeySet> {
        let kid = value.get("kid").and_then(Value::as_str).filter(|kid| !kid.is_empty());
        let name = kid.map_or_else(|| format!("number {number}"), shown);
        if value.get("kty").and_then(Value::as_str) != Some("oct") && value.get("d").is_some() {
            return Err(BadKeySet::PrivateKey { kid: name });
        }
        let read = value.as_object().ok_or(BadKey::NotAnObject).and_then(Key::read);
        match (kid.filter(|kid| kid.len() <= limits::KEY_ID_BYTES_MAX), read) {
            (Some(kid), Ok(key)) => match self.keys.insert(kid.into(), key) {
                Some(_) => return Err(BadKeySet::DuplicateKey { kid: name }),
                None => return Ok(()),
            },
            (_, Err(why)) => self.left_out.push(LeftOut { kid: name, why }),
            (None, Ok(_)) => self.left_out.push(LeftOut { kid: name, why: BadKey::NoId }),
        }
        Ok(())
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.kids()).finish()
    }
}

impl From<NotStrict> for BadKeySet {
    fn from(why: NotStrict) -> Self {
        match why {
            NotStrict::Syntax => Self::NotASet,
            NotStrict::Duplicate(name) => Self::DuplicateMember { name: shown(&name) },
            NotStrict::TooDeep | NotStrict::TooMany => Self::TooManyValues,
        }
    }
}

impl Key {
    /// Whether a signature of that algorithm may be this key's.
    pub(super) fn is_for(&self, algorithm: Algorithm) -> bool {
        self.kind == algorithm.kind() && self.algorithm.is_none_or(|only| only == algorithm)
    }

    fn read(members: &Map<String, Value>) -> Result<Self, BadKey> {
        let member = |name: &str| members.get(name).and_then(Value::as_str);
        let is_for_signatures = members.get("use").is_none_or(|purpose| purpose == "sig");
        let verifies = |operations: &Value| {
            operations.as_array().is_some_and(|all| all.iter().any(|operation| operation == "verify"))
        };
        if !is_for_signatures || !members.get("key_ops").is_none_or(verifies) {
            return Err(BadKey::OtherUse);
        }
        let kind = match (member("kty"), member("crv")) {
            (Some("RSA"), _) => Kind::Rsa,
            (Some("EC"), Some("P-256")) => Kind::P256,
            (Some("EC"), Some("P-384")) => Kind::P384,
            (Some("OKP"), Some("Ed25519")) => Kind::Ed25519,
            _ => return Err(BadKey::OtherKind),
        };
        let algorithm = match members.get("alg") {
            None => None,
            Some(name) => {
                let named = name.as_str().and_then(Algorithm::named).filter(|named| named.kind() == kind);
                Some(named.ok_or(BadKey::OtherAlgorithm)?)
            }
        };
        let bytes = |name: &str| {
            member(name).and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok()).ok_or(BadKey::Invalid)
        };
        let key = match kind {
            Kind::Rsa => rsa(&bytes("n")?, &bytes("e")?)?,
            Kind::P256 => point(&ECDSA_P256_SHA256_FIXED, &bytes("x")?, &bytes("y")?, 32)?,
            Kind::P384 => point(&ECDSA_P384_SHA384_FIXED, &bytes("x")?, &bytes("y")?, 48)?,
            Kind::Ed25519 => edwards(&bytes("x")?)?,
        };
        Ok(Self { kind, algorithm, key })
    }
}

/// A key of RSA. Zeros in front, which some issuers write against RFC 7518, section 6.3.1, are passed over.
fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<DecodingKey, BadKey> {
    const EXPONENT_BYTES_MAX: usize = 4;
    let without_zeros = |bytes: &[u8]| {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes[zeros..].to_vec()
    };
    let (n, e) = (without_zeros(modulus), without_zeros(exponent));
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    if !(2_048..=8_192).contains(&bits) {
        return Err(BadKey::Size);
    }
    let is_odd = |bytes: &[u8]| bytes.last().is_some_and(|last| last % 2 == 1);
    if !is_odd(&n) || !is_odd(&e) || e == [1] || e.len() > EXPONENT_BYTES_MAX {
        return Err(BadKey::Invalid);
    }
    let parts = RsaPublicKeyComponents { n: &n, e: &e };
    parts.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).map_err(|_| BadKey::Invalid)?;
    Ok(DecodingKey::from_rsa_raw_components(&n, &e))
}

/// A point of a curve whose coordinates have `length` bytes.
fn point(
    algorithm: &'static dyn VerificationAlgorithm,
    x: &[u8],
    y: &[u8],
    length: usize,
) -> Result<DecodingKey, BadKey> {
    if x.len() != length || y.len() != length {
        return Err(BadKey::Invalid);
    }
    /// An uncompressed point (SEC 1, section 2.3.3).
    const UNCOMPRESSED: &[u8] = &[4];
    let point = [UNCOMPRESSED, x, y].concat();
    ParsedPublicKey::new(algorithm, &point).map_err(|_| BadKey::Invalid)?;
    Ok(DecodingKey::from_ec_der(&point))
}

fn edwards(x: &[u8]) -> Result<DecodingKey, BadKey> {
    ParsedPublicKey::new(&ED25519, x).map_err(|_| BadKey::Invalid)?;
    Ok(DecodingKey::from_ed_der(x))
}
