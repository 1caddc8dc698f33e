//! Signatures, keys and claims: tokens that are accepted, and those that are not.

use super::mint::*;
use crate::base::limits;
use crate::identity::{
    Algorithm, IssuerRules, KeptClaims, KeySet, Refusal, RequiredClaim, issuer_of, verify, verify_again,
};
use aws_lc_rs::hmac;
use serde_json::{Value, json};

fn ed() -> Mint {
    Mint::of(Algorithm::EdDSA)
}

/// What is said of a token with these claims, by these rules.
fn judged_by(rules: &IssuerRules, claims: &Value) -> Result<u64, Refusal> {
    let mint = ed();
    verify(&mint.token(claims), rules, &mint.keys, NOW_S).map(|claims| claims.expires_at_epoch_s)
}

fn judged(claims: &Value) -> Result<u64, Refusal> {
    judged_by(&rules(), claims)
}

fn no_claim(claim: &str) -> Refusal {
    Refusal::NoClaim { claim: claim.to_owned() }
}

#[test]
fn a_token_of_each_algorithm_is_accepted() {
    let rsa = Mint::of(Algorithm::RS256);
    for algorithm in Algorithm::ALL {
        let other = Mint::of_if_not_rsa(algorithm);
        let mint = other.as_ref().unwrap_or(&rsa);
        let token = mint.token_by(algorithm, &claims());
        let accepted = verify(&token, &rules(), &mint.keys, NOW_S).unwrap();
        assert_eq!(accepted.principal(&rules()).unwrap(), "alice");
        assert_eq!(accepted.expires_at_epoch_s, NOW_S + 600);
        assert_eq!(issuer_of(&token).unwrap(), ISSUER);
        let mut without = rules();
        without.algorithms.retain(|allowed| *allowed != algorithm);
        let alg = algorithm.name().to_owned();
        let refused = Err(Refusal::AlgorithmNotAllowed { alg });
        assert_eq!(verify(&token, &without, &mint.keys, NOW_S), refused);
        assert_eq!(Algorithm::named(algorithm.name()), Some(algorithm));
    }
}

#[test]
fn no_signature_is_no_algorithm() {
    let mint = ed();
    for alg in ["none", "None", "NONE", "nOnE", "", "eddsa", "RS256 ", "HS256", "ES512", "dir"] {
        let header = json!({"alg": alg, "kid": "k1"}).to_string();
        let signed = format!("{}.{}", encoded(header), encoded(claims().to_string()));
        for signature in ["", "AAAA"] {
            let told = verify(&format!("{signed}.{signature}"), &rules(), &mint.keys, NOW_S);
            assert_eq!(told, Err(Refusal::AlgorithmNotAllowed { alg: alg.to_owned() }));
        }
        assert_eq!(Algorithm::named(alg), None);
    }
    let empty = format!("{}.{}.", encoded(mint.header().to_string()), encoded(claims().to_string()));
    assert_eq!(verify(&empty, &rules(), &mint.keys, NOW_S), Err(Refusal::BadSignature { kid: "k1".into() }));
}

/// Whoever knows the public key, and that is everybody, makes a token by it that HMAC would take.
#[test]
fn the_public_key_is_no_secret_of_hmac() {
    let mint = ed();
    let jwk = mint.signer.jwk("k1");
    let set = set(std::slice::from_ref(&jwk));
    for secret in [jwk["x"].to_string().into_bytes(), decoded(&jwk["x"]), set] {
        let header = json!({"alg": "HS256", "typ": "JWT", "kid": "k1"}).to_string();
        let signed = format!("{}.{}", encoded(header), encoded(claims().to_string()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
        let told = verify(&format!("{signed}.{}", encoded(tag)), &rules(), &mint.keys, NOW_S);
        assert_eq!(told, Err(Refusal::AlgorithmNotAllowed { alg: "HS256".into() }));
    }
}

#[test]
fn a_key_is_for_its_kind_and_its_algorithm() {
    let mint = ed();
    let other = |alg: &'static str| Err(Refusal::KeyOfOtherKind { kid: "k1".into(), alg });
    for alg in ["RS256", "PS512", "ES256", "ES384"] {
        let header = json!({"alg": alg, "kid": "k1"}).to_string();
        let token = mint.token_of(&header, &claims().to_string());
        assert_eq!(verify(&token, &rules(), &mint.keys, NOW_S), other(alg));
    }
    let rsa = Mint::of(Algorithm::PS256);
    let mut jwk = rsa.signer.jwk("k1");
    jwk["alg"] = "PS256".into();
    let keys = KeySet::parse(&set(&[jwk])).unwrap();
    assert!(verify(&rsa.token(&claims()), &rules(), &keys, NOW_S).is_ok());
    let token = rsa.token_by(Algorithm::RS256, &claims());
    assert_eq!(verify(&token, &rules(), &keys, NOW_S), other("RS256"));
}

#[test]
fn a_signature_of_another_key_is_none() {
    let (mint, other) = (ed(), ed());
    let refused = Err(Refusal::BadSignature { kid: "k1".into() });
    assert_eq!(verify(&other.token(&claims()), &rules(), &mint.keys, NOW_S), refused);
    for algorithm in [Algorithm::ES256, Algorithm::RS256] {
        let (mint, other) = (Mint::of(algorithm), Mint::of(algorithm));
        assert_eq!(verify(&other.token(&claims()), &rules(), &mint.keys, NOW_S), refused);
    }
}

#[test]
fn the_key_is_named_and_known() {
    let mint = ed();
    for kid in [Value::Null, json!(1), json!(""), json!(["k1"])] {
        let mut header = mint.header();
        header["kid"] = kid;
        let token = mint.token_of(&header.to_string(), &claims().to_string());
        assert_eq!(verify(&token, &rules(), &mint.keys, NOW_S), Err(Refusal::NoKeyId));
    }
    for kid in ["k2", "K1", "k1 ", "k1\0", "k1\n", &"k".repeat(9_000)] {
        let mut header = mint.header();
        header["kid"] = kid.into();
        let token = mint.token_of(&header.to_string(), &claims().to_string());
        let refusal = verify(&token, &rules(), &mint.keys, NOW_S).unwrap_err();
        assert!(matches!(refusal, Refusal::UnknownKey { .. }), "{refusal:?}");
        let text = refusal.to_string();
        assert!(text.len() < limits::CLAIM_SHOWN_BYTES_MAX + 100 && !text.contains(['\n', '\0']), "{text}");
    }
}

/// A header may offer a key, or a place to get one from: whoever makes a token may write any there.
#[test]
fn keys_that_a_header_offers_are_not_looked_at() {
    let (mint, forger) = (ed(), ed());
    let offers = [
        ("jwk", forger.signer.jwk("k1")),
        ("jwk", json!("no key")),
        ("jku", json!("https://forger.example.org/keys")),
        ("x5u", json!("https://forger.example.org/chain.pem")),
        ("x5c", json!(["AAAA"])),
        ("x5t#S256", json!(7)),
    ];
    for (name, offer) in offers {
        let mut header = mint.header();
        header[name] = offer;
        let forged = forger.token_of(&header.to_string(), &claims().to_string());
        let refused = Err(Refusal::BadSignature { kid: "k1".into() });
        assert_eq!(verify(&forged, &rules(), &mint.keys, NOW_S), refused);
        let own = mint.token_of(&header.to_string(), &claims().to_string());
        assert!(verify(&own, &rules(), &mint.keys, NOW_S).is_ok(), "{name}");
    }
}

#[test]
fn the_issuer_is_one_text_letter_by_letter() {
    assert_eq!(judged(&claims_with("iss", Value::Null)), Err(no_claim("iss")));
    for iss in [json!([ISSUER]), json!({"0": ISSUER}), json!(1), json!(true)] {
        assert_eq!(judged(&claims_with("iss", iss.clone())), Err(no_claim("iss")));
        assert_eq!(issuer_of(&ed().token(&claims_with("iss", iss))), Err(no_claim("iss")));
    }
    for iss in
        ["https://issuer.example.org/", "https://ISSUER.example.org", "", " https://issuer.example.org"]
    {
        let refused = Err(Refusal::WrongIssuer { iss: iss.to_owned() });
        assert_eq!(judged(&claims_with("iss", iss.into())), refused);
    }
}

#[test]
fn the_audience_is_mandatory() {
    let refused = |found: &str| Err(Refusal::WrongAudience { claim: "aud".into(), found: found.to_owned() });
    for aud in [Value::Null, json!([]), json!(7), json!({}), json!([AUDIENCE, 7]), json!([[AUDIENCE]])] {
        assert_eq!(judged(&claims_with("aud", aud)), Err(no_claim("aud")));
    }
    assert_eq!(judged(&claims_with("aud", json!("other"))), refused("other"));
    assert_eq!(judged(&claims_with("aud", json!(["a", "b\n"]))), refused("a, b\\n"));
    assert_eq!(judged(&claims_with("aud", json!("PGWEIR.example.org"))), refused("PGWEIR.example.org"));
    assert!(judged(&claims_with("aud", json!(["other", AUDIENCE]))).is_ok());
    let mut none = rules();
    none.audiences.clear();
    assert_eq!(judged_by(&none, &claims()), refused(AUDIENCE));
    let mut two = rules();
    two.audiences.push("other".into());
    assert!(judged_by(&two, &claims_with("aud", json!("other"))).is_ok());
}

#[test]
fn another_claim_may_say_for_whom_a_token_is() {
    let mut rules = rules();
    rules.audience_claim = name("client_id");
    assert_eq!(judged_by(&rules, &claims()), Err(no_claim("client_id")));
    let mut claims = claims_with("aud", Value::Null);
    claims["client_id"] = AUDIENCE.into();
    assert!(judged_by(&rules, &claims).is_ok());
    assert_eq!(judged(&claims), Err(no_claim("aud")));
}

#[test]
fn times_are_kept_to_the_second() {
    let with = |exp: u64, nbf: u64, iat: u64| {
        let mut claims = claims();
        claims["exp"] = exp.into();
        claims["nbf"] = nbf.into();
        claims["iat"] = iat.into();
        judged(&claims)
    };
    let (past, leeway) = (NOW_S - 100, rules().leeway_s);
    assert_eq!(with(NOW_S - leeway + 1, past, past), Ok(NOW_S - leeway + 1));
    assert_eq!(with(NOW_S - leeway, past, past), Err(Refusal::Expired { ago_s: leeway }));
    assert!(with(NOW_S + 60, NOW_S + leeway, past).is_ok());
    assert_eq!(with(NOW_S + 60, NOW_S + leeway + 1, past), Err(Refusal::NotYet { ahead_s: leeway + 1 }));
    assert!(with(NOW_S + 60, past, NOW_S + leeway).is_ok());
    let early = Err(Refusal::IssuedInFuture { ahead_s: leeway + 1 });
    assert_eq!(with(NOW_S + 60, past, NOW_S + leeway + 1), early);
    assert!(with(past + 3_600, past, past).is_ok());
    let long = Err(Refusal::LivesTooLong { lifetime_s: 3_601, most_s: 3_600 });
    assert_eq!(with(past + 3_601, past, past), long);
}

#[test]
fn a_lifetime_without_iat_counts_from_now() {
    let mut claims = claims_with("iat", Value::Null);
    claims["exp"] = (NOW_S + 3_600).into();
    assert!(judged(&claims).is_ok());
    claims["exp"] = (NOW_S + 3_601).into();
    assert_eq!(judged(&claims), Err(Refusal::LivesTooLong { lifetime_s: 3_601, most_s: 3_600 }));
    let mut rules = rules();
    rules.token_lifetime_max_s = 0;
    claims["exp"] = (1u64 << 53).into();
    assert_eq!(judged_by(&rules, &claims), Ok(1 << 53));
}

#[test]
fn a_time_is_a_number_of_seconds() {
    let huge = [json!(-1), json!("1750000600"), json!(true), json!(null), json!([NOW_S]), json!(1e300)];
    let negative = [json!(-0.5), json!((1u64 << 53) + 1), json!(u64::MAX), json!(i64::MIN), json!({})];
    for time in huge.into_iter().chain(negative) {
        for claim in ["exp", "nbf", "iat"] {
            let mut claims = claims();
            claims[claim] = time.clone();
            assert_eq!(judged(&claims), Err(Refusal::BadTime { claim }), "{claim} {time}");
        }
    }
    assert_eq!(judged(&claims_with("exp", Value::Null)), Err(no_claim("exp")));
    assert_eq!(judged(&claims_with("exp", json!(0))), Err(Refusal::Expired { ago_s: NOW_S }));
    let parts = claims_with("exp", json!(NOW_S as f64 + 600.9));
    assert_eq!(judged(&parts), Ok(NOW_S + 600), "parts of a second are the token's loss");
    let late = rules().leeway_s as f64 + 0.1;
    let refused = Err(Refusal::NotYet { ahead_s: 31 });
    assert_eq!(judged(&claims_with("nbf", json!(NOW_S as f64 + late))), refused);
}

#[test]
fn claims_may_be_required() {
    let mut rules = rules();
    let wants = |name_of: &str, values: Option<&[&str]>| RequiredClaim {
        name: name(name_of),
        values: values.map(|values| values.iter().map(ToString::to_string).collect()),
    };
    rules.required = vec![wants("token_use", Some(&["access", "other"])), wants("/a/b", None)];
    let mut claims = claims();
    assert_eq!(judged_by(&rules, &claims), Err(no_claim("token_use")));
    claims["token_use"] = "id".into();
    let refused = Err(Refusal::ClaimNotAllowed { claim: "token_use".into() });
    assert_eq!(judged_by(&rules, &claims), refused);
    claims["token_use"] = json!({"access": true});
    assert_eq!(judged_by(&rules, &claims), refused);
    claims["token_use"] = json!(["id", "access"]);
    assert_eq!(judged_by(&rules, &claims), Err(no_claim("/a/b")));
    claims["a"] = json!({"b": Value::Null});
    assert_eq!(judged_by(&rules, &claims), Err(no_claim("/a/b")));
    claims["a"] = json!({"b": {"any": "thing"}});
    assert!(judged_by(&rules, &claims).is_ok());
}

#[test]
fn a_refusal_shows_nothing_of_the_token() {
    let (mint, other) = (ed(), ed());
    let mut noisy = claims();
    noisy["iss"] = "https://x\n\u{2028}\u{202e}\0.example.org".into();
    noisy["aud"] = json!(["a\nb", "c".repeat(4_000)]);
    let by_other_issuer = mint.token(&noisy);
    noisy["iss"] = ISSUER.into();
    let for_others = mint.token(&noisy);
    let expired = mint.token(&claims_with("exp", json!(1)));
    let forged = other.token(&claims());
    for token in [by_other_issuer, for_others, expired, forged, "e30.e30.AAAA".to_owned(), "AAAABBBB".into()]
    {
        let refusal = verify(&token, &rules(), &mint.keys, NOW_S).unwrap_err();
        let text = format!("{refusal} {refusal:?}");
        assert!(refusal.to_string().chars().all(|c| !c.is_control() && c != '\u{2028}' && c != '\u{202e}'));
        assert!(text.len() < 2 * (limits::CLAIM_SHOWN_BYTES_MAX + 100), "{text}");
        let parts = token.split('.').filter(|part| !part.is_empty());
        assert!(!parts.clone().any(|part| text.contains(&part[..part.len().min(8)])), "{text}");
    }
}

#[test]
fn what_is_kept_of_a_token_is_judged_again_without_its_key_and_the_time() {
    let mint = ed();
    let verified = verify(&mint.token(&claims()), &rules(), &mint.keys, NOW_S).unwrap();
    let kept = verified.to_keep();
    let again = verify_again(kept, &rules()).unwrap();
    assert_eq!(again, verified, "the same claims, the same end");
    // neither the header nor the signature is there
    assert_eq!(kept.payload(), claims().to_string().as_bytes());
    let judged = |narrow: fn(&mut IssuerRules)| {
        let mut rules = rules();
        narrow(&mut rules);
        verify_again(kept, &rules).err()
    };
    assert_eq!(judged(|rules| rules.leeway_s = 0), None);
    let lives_too_long = Refusal::LivesTooLong { lifetime_s: 610, most_s: 609 };
    assert_eq!(judged(|rules| rules.token_lifetime_max_s = 609), Some(lives_too_long));
    let alg = Refusal::AlgorithmNotAllowed { alg: "EdDSA".into() };
    assert_eq!(judged(|rules| rules.algorithms = vec![Algorithm::ES256]), Some(alg));
    let iss = Refusal::WrongIssuer { iss: ISSUER.into() };
    assert_eq!(judged(|rules| rules.issuer = "https://issuer.example.org/".into()), Some(iss));
    assert!(matches!(judged(|rules| rules.audiences.clear()), Some(Refusal::WrongAudience { .. })));
    // one that does not say when it was issued has been judged by when it came
    let without = verify(&mint.token(&claims_with("iat", Value::Null)), &rules(), &mint.keys, NOW_S).unwrap();
    let mut shorter = rules();
    shorter.token_lifetime_max_s = 1;
    assert!(verify_again(without.to_keep(), &shorter).is_ok());
    // Debug shows no claim, and the longest that there is stays within the bound
    assert_eq!(format!("{kept:?}"), format!("KeptClaims({} bytes)", claims().to_string().len()));
    let room = KeptClaims::BYTES_MAX - 600;
    let long = claims_with("x", json!("a".repeat(room)));
    let long = verify(&mint.token(&long), &rules(), &mint.keys, NOW_S).unwrap();
    assert!((room..=KeptClaims::BYTES_MAX).contains(&long.to_keep().payload().len()));
    let longer = claims_with("x", json!("a".repeat(KeptClaims::BYTES_MAX)));
    assert_eq!(verify(&mint.token(&longer), &rules(), &mint.keys, NOW_S), Err(Refusal::TooLong));
}
