//! An issuer for tests: keys of each kind, tokens that are signed by them, and sets of its public keys.

use crate::identity::{Algorithm, ClaimName, IssuerRules, KeySet};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
    RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// When tests take place, in seconds since the epoch.
pub(super) const NOW_S: u64 = 1_750_000_000;

pub(super) const ISSUER: &str = "https://issuer.example.org";

pub(super) const AUDIENCE: &str = "pgweir.example.org";

pub(super) fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of a member of a key.
pub(super) fn decoded(text: &Value) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()
}

fn header(algorithm: Algorithm) -> Value {
    json!({"alg": algorithm.name(), "typ": "JWT", "kid": "k1"})
}

/// A private key.
pub(super) enum Signer {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    /// A new key for that algorithm.
    pub(super) fn for_algorithm(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::ES256 => Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
            Algorithm::ES384 => Self::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()),
            Algorithm::EdDSA => Self::Ed25519(Ed25519KeyPair::generate().unwrap()),
            _ => Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
        }
    }

    /// The public key as a member of a set, without `alg`.
    pub(super) fn jwk(&self, kid: &str) -> Value {
        let point = |pair: &EcdsaKeyPair, curve: &str, length: usize| {
            let bytes = pair.public_key().as_ref();
            let [x, y] = [&bytes[1..=length], &bytes[1 + length..]].map(encoded);
            json!({"kty": "EC", "crv": curve, "kid": kid, "use": "sig", "x": x, "y": y})
        };
        match self {
            Self::Rsa(pair) => {
                let [n, e] = [
                    pair.public_key().modulus().big_endian_without_leading_zero(),
                    pair.public_key().exponent().big_endian_without_leading_zero(),
                ]
                .map(encoded);
                json!({"kty": "RSA", "kid": kid, "use": "sig", "n": n, "e": e})
            }
            Self::P256(pair) => point(pair, "P-256", 32),
            Self::P384(pair) => point(pair, "P-384", 48),
            Self::Ed25519(pair) => {
                let x = encoded(pair.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "use": "sig", "x": x})
            }
        }
    }

    pub(super) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let padding: &'static dyn RsaEncoding = match algorithm {
                    Algorithm::RS256 => &RSA_PKCS1_SHA256,
                    Algorithm::RS384 => &RSA_PKCS1_SHA384,
                    Algorithm::RS512 => &RSA_PKCS1_SHA512,
                    Algorithm::PS256 => &RSA_PSS_SHA256,
                    Algorithm::PS384 => &RSA_PSS_SHA384,
                    Algorithm::PS512 => &RSA_PSS_SHA512,
                    other => panic!("{other:?} takes no key of RSA"),
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
            Self::P256(pair) | Self::P384(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// An issuer with one key.
pub(super) struct Mint {
    pub(super) algorithm: Algorithm,
    pub(super) signer: Signer,
    pub(super) keys: KeySet,
}

impl Mint {
    pub(super) fn of(algorithm: Algorithm) -> Self {
        let signer = Signer::for_algorithm(algorithm);
        let keys = KeySet::parse(&set(&[signer.jwk("k1")])).unwrap();
        Self { algorithm, signer, keys }
    }

    /// One of its own, unless its key would be one of RSA: those take a second to make.
    pub(super) fn of_if_not_rsa(algorithm: Algorithm) -> Option<Self> {
        let is_other = matches!(algorithm, Algorithm::ES256 | Algorithm::ES384 | Algorithm::EdDSA);
        is_other.then(|| Self::of(algorithm))
    }

    /// The header that its tokens have.
    pub(super) fn header(&self) -> Value {
        header(self.algorithm)
    }

    /// A token with these claims, by another algorithm of the same kind of key.
    pub(super) fn token_by(&self, algorithm: Algorithm, claims: &Value) -> String {
        let signed = format!("{}.{}", encoded(header(algorithm).to_string()), encoded(claims.to_string()));
        let signature = self.signer.sign(algorithm, signed.as_bytes());
        format!("{signed}.{}", encoded(signature))
    }

    /// A token with these claims.
    pub(super) fn token(&self, claims: &Value) -> String {
        self.token_of(&self.header().to_string(), &claims.to_string())
    }

    /// A token of any text as header and payload.
    pub(super) fn token_of(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", encoded(header), encoded(payload));
        let signature = self.signer.sign(self.algorithm, signed.as_bytes());
        format!("{signed}.{}", encoded(signature))
    }
}

/// A set of keys.
pub(super) fn set(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

/// Rules that accept what [`claims`] says.
pub(super) fn rules() -> IssuerRules {
    IssuerRules {
        name: "test".into(),
        issuer: ISSUER.into(),
        audience_claim: name("aud"),
        audiences: vec![AUDIENCE.into()],
        algorithms: Algorithm::ALL.to_vec(),
        leeway_s: 30,
        token_lifetime_max_s: 3_600,
        required: Vec::new(),
        principal: name("sub"),
        audit: Vec::new(),
    }
}

/// Claims of a good token.
pub(super) fn claims() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": NOW_S - 10, "exp": NOW_S + 600})
}

/// [`claims`] with one more or another one; `null` takes it away.
pub(super) fn claims_with(claim: &str, value: Value) -> Value {
    let mut all = claims();
    let members = all.as_object_mut().unwrap();
    match value {
        Value::Null => members.remove(claim),
        value => members.insert(claim.to_owned(), value),
    };
    all
}

pub(super) fn name(text: &str) -> ClaimName {
    ClaimName::named(text).unwrap()
}
