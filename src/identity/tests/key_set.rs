//! Sets of keys: which keys of them are used, and which sets are none.

use super::mint::*;
use crate::base::limits;
use crate::identity::{Algorithm, BadKey, BadKeySet, KeySet};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::RsaKeyPair;
use serde_json::{Value, json};

fn good() -> Value {
    Signer::for_algorithm(Algorithm::EdDSA).jwk("good")
}

/// Why `key` is left out beside a good one.
fn left_out(key: Value) -> BadKey {
    let keys = KeySet::parse(&set(&[good(), key])).unwrap();
    assert_eq!((keys.len(), keys.has("good"), keys.left_out().len()), (1, true, 1));
    assert_eq!(KeySet::parse(&set(&[good()])).unwrap().left_out(), []);
    keys.left_out()[0].why
}

fn with(mut key: Value, name: &str, value: impl Into<Value>) -> Value {
    key[name] = value.into();
    key
}

#[test]
fn keys_of_each_kind_are_used() {
    let kinds = [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA];
    let jwks = kinds.map(|algorithm| {
        with(Signer::for_algorithm(algorithm).jwk(algorithm.name()), "alg", algorithm.name())
    });
    let keys = KeySet::parse(&set(&jwks)).unwrap();
    assert_eq!(keys.len(), 4);
    assert!(!keys.is_empty() && keys.has("ES384") && !keys.has("es384"));
    assert_eq!(keys.kids().collect::<Vec<_>>(), ["ES256", "ES384", "EdDSA", "RS256"]);
    assert_eq!(format!("{keys:?}"), r#"{"ES256", "ES384", "EdDSA", "RS256"}"#);
}

#[test]
fn keys_that_are_not_for_us_are_left_out() {
    let ed = || Signer::for_algorithm(Algorithm::EdDSA).jwk("k");
    let ec = || Signer::for_algorithm(Algorithm::ES256).jwk("k");
    assert_eq!(left_out(with(ed(), "use", "enc")), BadKey::OtherUse);
    assert_eq!(left_out(with(ed(), "use", 1)), BadKey::OtherUse);
    assert_eq!(left_out(with(ed(), "key_ops", json!(["encrypt"]))), BadKey::OtherUse);
    assert_eq!(left_out(with(ed(), "alg", "ES256")), BadKey::OtherAlgorithm);
    assert_eq!(left_out(with(ed(), "alg", "HS256")), BadKey::OtherAlgorithm);
    assert_eq!(left_out(with(ed(), "alg", 1)), BadKey::OtherAlgorithm);
    assert_eq!(left_out(with(ec(), "crv", "secp256k1")), BadKey::OtherKind);
    assert_eq!(left_out(with(ec(), "crv", "P-521")), BadKey::OtherKind);
    assert_eq!(left_out(with(ed(), "crv", "Ed448")), BadKey::OtherKind);
    assert_eq!(
        left_out(json!({"kty": "oct", "kid": "k", "alg": "HS256", "k": "c2VjcmV0"})),
        BadKey::OtherKind
    );
    assert_eq!(left_out(json!({"kid": "k"})), BadKey::OtherKind);
    assert_eq!(left_out(json!("k")), BadKey::NotAnObject);
    for kid in [Value::Null, json!(""), json!(7), json!("k".repeat(limits::KEY_ID_BYTES_MAX + 1))] {
        assert_eq!(left_out(with(ed(), "kid", kid)), BadKey::NoId);
    }
    let used = with(with(ed(), "key_ops", json!(["verify"])), "kid", "k".repeat(limits::KEY_ID_BYTES_MAX));
    assert_eq!(KeySet::parse(&set(&[used])).unwrap().len(), 1);
}

#[test]
fn keys_that_are_none_are_left_out() {
    let ec = |algorithm| Signer::for_algorithm(algorithm).jwk("k");
    let (p256, p384) = (ec(Algorithm::ES256), ec(Algorithm::ES384));
    assert_eq!(left_out(with(p256.clone(), "x", p256["y"].clone())), BadKey::Invalid, "not on the curve");
    assert_eq!(left_out(with(p256.clone(), "x", encoded([0; 31]))), BadKey::Invalid);
    assert_eq!(left_out(with(p256.clone(), "crv", "P-384")), BadKey::Invalid);
    assert_eq!(left_out(with(p384, "crv", "P-256")), BadKey::Invalid);
    assert_eq!(left_out(with(p256.clone(), "y", Value::Null)), BadKey::Invalid);
    assert_eq!(left_out(with(p256, "x", "not base64!")), BadKey::Invalid);
    let ed = ec(Algorithm::EdDSA);
    assert_eq!(left_out(with(ed.clone(), "x", encoded([1; 31]))), BadKey::Invalid);
    assert_eq!(left_out(with(ed, "x", 7)), BadKey::Invalid);
}

#[test]
fn keys_of_rsa_have_a_size() {
    let rsa = |n: &[u8], e: &[u8]| json!({"kty": "RSA", "kid": "k", "n": encoded(n), "e": encoded(e)});
    let exponent: &[u8] = &[1, 0, 1];
    for bits in [0, 512, 1_024, 2_040, 8_200, 16_384] {
        assert_eq!(left_out(rsa(&vec![0xff; bits / 8], exponent)), BadKey::Size, "{bits}");
    }
    let mut short = vec![0xff; 256];
    short[0] = 0x7f;
    assert_eq!(left_out(rsa(&short, exponent)), BadKey::Size, "2047 bits");
    let mut even = vec![0xff; 256];
    even[255] = 0xfe;
    assert_eq!(left_out(rsa(&even, exponent)), BadKey::Invalid);
    for exponent in [&[][..], &[0], &[1], &[2], &[1, 0, 0], &[1, 0, 0, 0, 1]] {
        assert_eq!(left_out(rsa(&[0xff; 256], exponent)), BadKey::Invalid, "{exponent:?}");
    }
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let jwk = Signer::Rsa(pair).jwk("k");
    let padded = [&[0][..], &decoded(&jwk["n"])].concat();
    let keys = KeySet::parse(&set(&[with(jwk, "n", encoded(padded))])).unwrap();
    assert!(keys.has("k"), "a zero in front, as some issuers write it");
}

#[test]
fn a_set_is_refused_as_a_whole() {
    let twice = set(&[good(), Signer::for_algorithm(Algorithm::ES256).jwk("good")]);
    let told = |bytes: &[u8]| KeySet::parse(bytes).unwrap_err();
    assert_eq!(told(&twice), BadKeySet::DuplicateKey { kid: "good".into() });
    let other_use = with(good(), "use", "enc");
    assert!(KeySet::parse(&set(&[good(), other_use])).is_ok(), "of those that are used");
    let private = with(good(), "d", "AAAA");
    assert_eq!(told(&set(&[private])), BadKeySet::PrivateKey { kid: "good".into() });
    assert_eq!(told(&set(&[])), BadKeySet::NoKeys);
    assert_eq!(told(&set(&[json!({"kty": "oct", "kid": "a", "k": "AAAA"})])), BadKeySet::NoKeys);
    for text in ["", "{}", "[]", "{\"keys\":{}}", "{\"keys\":null}", "<html>", "{\"keys\":[]}x"] {
        assert_eq!(told(text.as_bytes()), BadKeySet::NotASet, "{text}");
    }
    let member = r#"{"keys":[{"kty":"oct","kid":"a\n","kid":"b"}]}"#;
    assert_eq!(told(member.as_bytes()), BadKeySet::DuplicateMember { name: "kid".into() });
}

#[test]
fn a_set_has_an_end() {
    let told = |bytes: &[u8]| KeySet::parse(bytes).unwrap_err();
    let keys = |number: usize| {
        set(&(0..number).map(|number| with(good(), "kid", format!("k{number}"))).collect::<Vec<_>>())
    };
    assert_eq!(KeySet::parse(&keys(limits::JWKS_KEYS_MAX)).unwrap().len(), limits::JWKS_KEYS_MAX);
    assert_eq!(told(&keys(limits::JWKS_KEYS_MAX + 1)), BadKeySet::TooManyKeys);
    let many = format!(r#"{{"keys":[{}]}}"#, vec![r#"{"kty":"oct"}"#; 10_000].join(","));
    assert!(many.len() < limits::JWKS_BYTES_MAX);
    assert_eq!(told(many.as_bytes()), BadKeySet::TooManyValues);
    let mut long = set(&[good()]);
    long.resize(limits::JWKS_BYTES_MAX, b' ');
    assert!(KeySet::parse(&long).is_ok());
    long.push(b' ');
    assert_eq!(told(&long), BadKeySet::TooLong);
    let deep = format!(r#"{{"keys":{}"#, "[".repeat(100_000));
    assert_eq!(told(deep.as_bytes()), BadKeySet::TooManyValues);
}

/// How many values there are in one, itself counted.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(elements) => elements.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

#[test]
fn a_set_has_so_many_values_so_deep_and_no_more() {
    let with_more = |more: Value| json!({"keys": [good()], "more": more});
    let is_read = |set: &Value| KeySet::parse(set.to_string().as_bytes()).map(|keys| keys.len());
    let wide = |values: usize| {
        let others = count(&with_more(json!([])));
        let set = with_more(json!(vec![0; values - others]));
        assert_eq!(count(&set), values);
        is_read(&set)
    };
    assert_eq!(wide(limits::JWKS_VALUES_MAX), Ok(1));
    assert_eq!(wide(limits::JWKS_VALUES_MAX + 1), Err(BadKeySet::TooManyValues));
    let deep = |depth: usize| is_read(&with_more((2..depth).fold(json!([]), |inside, _| json!([inside]))));
    assert_eq!(deep(limits::JWKS_DEPTH_MAX), Ok(1));
    assert_eq!(deep(limits::JWKS_DEPTH_MAX + 1), Err(BadKeySet::TooManyValues));
}
