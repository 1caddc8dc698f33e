//! What a login by a token costs: verifying one by each algorithm, its issuer's name, and a map of claims.
//! Defends verifying at each login, with no memory of tokens that were good: the budget is 200 us, against
//! the milliseconds of a login with TLS.

#![allow(missing_docs, reason = "criterion's macros make functions without any")]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use criterion::{Criterion, criterion_group, criterion_main};
use pgweir::identity::{Algorithm, ClaimName, Claims, ClaimsMap, IssuerRules, KeySet, issuer_of, verify};
use std::hint::black_box;

const NOW_S: u64 = 1_750_000_000;

/// A Kubernetes service account's, of usual size.
const CLAIMS: &str = r#"{"aud":["pgweir"],"exp":1750003600,"iat":1750000000,"nbf":1750000000,
    "iss":"https://issuer.example.org","jti":"c0ffee00-0000-4000-8000-000000000001",
    "kubernetes.io":{"namespace":"shop","node":{"name":"ip-10-0-1-2.eu-west-1.compute.internal",
    "uid":"c0ffee00-0000-4000-8000-000000000002"},"pod":{"name":"api-6d4cf56db6-xk2lp",
    "uid":"c0ffee00-0000-4000-8000-000000000003"},"serviceaccount":{"name":"api",
    "uid":"c0ffee00-0000-4000-8000-000000000004"}},"sub":"system:serviceaccount:shop:api"}"#;

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn rules() -> IssuerRules {
    IssuerRules {
        name: "bench".into(),
        issuer: "https://issuer.example.org".into(),
        audience_claim: ClaimName::named("aud").expect("a name"),
        audiences: vec!["pgweir".into()],
        algorithms: Algorithm::ALL.to_vec(),
        leeway_s: 30,
        token_lifetime_max_s: 3_600,
        required: Vec::new(),
        principal: ClaimName::named("sub").expect("a name"),
        audit: Vec::new(),
    }
}

/// A token by a new key of that algorithm, and the set with its public half.
fn minted(algorithm: Algorithm) -> (String, KeySet) {
    let (alg, random) = (algorithm.name(), SystemRandom::new());
    let signed = format!("{}.{}", encoded(format!(r#"{{"alg":"{alg}","kid":"k"}}"#)), encoded(CLAIMS));
    let message = signed.as_bytes();
    let (members, signature) = match algorithm {
        Algorithm::RS256 => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("it signs");
            let n = encoded(pair.public_key().modulus().big_endian_without_leading_zero());
            (format!(r#""kty":"RSA","n":"{n}","e":"AQAB""#), signature)
        }
        Algorithm::EdDSA => {
            let pair = Ed25519KeyPair::generate().expect("a key");
            let x = encoded(pair.public_key().as_ref());
            (format!(r#""kty":"OKP","crv":"Ed25519","x":"{x}""#), pair.sign(message).as_ref().to_vec())
        }
        _ => {
            let (curve, kind, length) = match algorithm {
                Algorithm::ES256 => ("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING, 32),
                _ => ("P-384", &ECDSA_P384_SHA384_FIXED_SIGNING, 48),
            };
            let pair = EcdsaKeyPair::generate(kind).expect("a key");
            let point = pair.public_key().as_ref();
            let [x, y] = [&point[1..=length], &point[1 + length..]].map(encoded);
            let members = format!(r#""kty":"EC","crv":"{curve}","x":"{x}","y":"{y}""#);
            (members, pair.sign(&random, message).expect("it signs").as_ref().to_vec())
        }
    };
    let set = format!(r#"{{"keys":[{{"kid":"k",{members}}}]}}"#);
    (format!("{signed}.{}", encoded(signature)), KeySet::parse(set.as_bytes()).expect("a set"))
}

fn judge(token: &str, keys: &KeySet) -> Claims {
    verify(token, &rules(), keys, NOW_S).expect("it is good")
}

fn verification(c: &mut Criterion) {
    let rules = rules();
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA] {
        let (token, keys) = minted(algorithm);
        c.bench_function(&format!("verify_{}", algorithm.name()), |b| {
            b.iter(|| verify(black_box(&token), &rules, &keys, NOW_S).expect("it is good"));
        });
    }
    let (token, _) = minted(Algorithm::EdDSA);
    c.bench_function("issuer_of", |b| b.iter(|| issuer_of(black_box(&token)).expect("it has one")));
}

/// The last line of as many as there may be, and of as many patterns.
fn mapping(c: &mut Criterion) {
    let (token, keys) = minted(Algorithm::EdDSA);
    let claims = judge(&token, &keys);
    let last = r#"m sub "/system:serviceaccount:shop:([a-z]{1,20})" shop_\1"#;
    let exact: String = (0..9_999).map(|number| format!("m sub user{number} shop_{number}\n")).collect();
    let patterns: String = (0..999).map(|number| format!("m sub \"/user{number}-(.*)\" \\1\n")).collect();
    for (name, lines) in [("map_10000_lines", exact), ("map_1000_patterns", patterns)] {
        let map = ClaimsMap::parse(&(lines + last), "claims").expect("a map");
        c.bench_function(name, |b| {
            b.iter(|| map.admits("m", black_box(&claims), "shop_api").expect("it is let in"));
        });
    }
}

criterion_group!(benches, verification, mapping);
criterion_main!(benches);
