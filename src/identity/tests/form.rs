//! Bytes that are no token, or one that two readers could read differently, or a bomb.

use super::mint::*;
use crate::base::limits;
use crate::identity::{Algorithm, Refusal, issuer_of, verify};
use serde_json::{Value, json};

/// What is said of these texts as header and payload, signed by the issuer's own key.
fn judged(header: &str, payload: &str) -> Result<u64, Refusal> {
    let mint = Mint::of(Algorithm::EdDSA);
    let token = mint.token_of(header, payload);
    verify(&token, &rules(), &mint.keys, NOW_S).map(|claims| claims.expires_at_epoch_s)
}

const HEADER: &str = r#"{"alg":"EdDSA","kid":"k1"}"#;

#[test]
fn what_has_not_three_parts_is_no_token() {
    let mint = Mint::of(Algorithm::EdDSA);
    let token = mint.token(&claims());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let padded = format!("{signed}.{signature}==");
    let wrong = [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        signed.to_owned(),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.AAAA.AAAA"),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{token}\0"),
        format!("Bearer {token}"),
        padded,
        token.replace('.', "\u{2024}"),
        "postgres".to_owned(),
        "\u{1f980}.\u{1f980}.\u{1f980}".to_owned(),
    ];
    for text in wrong {
        assert_eq!(verify(&text, &rules(), &mint.keys, NOW_S), Err(Refusal::NotAToken), "{text:?}");
    }
    assert!(verify(&token, &rules(), &mint.keys, NOW_S).is_ok());
}

/// The last letter of a part has bits that stand for nothing; other letters with the same bits would give two
/// texts for one token.
#[test]
fn a_part_is_written_in_one_way() {
    let mint = Mint::of(Algorithm::EdDSA);
    let token = mint.token(&claims());
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=";
    for letter in letters.chars().filter(|letter| !token.ends_with(*letter)) {
        let other = format!("{}{letter}", &token[..token.len() - 1]);
        assert!(verify(&other, &rules(), &mint.keys, NOW_S).is_err(), "{letter}");
    }
}

#[test]
fn a_part_is_a_json_object() {
    let texts = ["", "null", "[]", "\"x\"", "1", "{", "{}{}", "{}x", "{\"a\":1,}", "{'a':1}", "{\"a\":01}"];
    let more = ["\u{feff}{}", "{\"a\":NaN}", "{\"a\":1e400}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\n\"}"];
    for text in texts.into_iter().chain(more) {
        assert_eq!(judged(text, &claims().to_string()), Err(Refusal::NotAToken), "{text}");
        assert_eq!(judged(HEADER, text), Err(Refusal::NotAToken), "{text}");
    }
    let mint = Mint::of(Algorithm::EdDSA);
    let signed = format!("{}.{}", encoded(HEADER), encoded(b"{\"iss\":\"\xff\"}"));
    let token = format!("{signed}.{}", encoded(mint.signer.sign(Algorithm::EdDSA, signed.as_bytes())));
    assert_eq!(verify(&token, &rules(), &mint.keys, NOW_S), Err(Refusal::NotAToken), "it is UTF-8");
}

#[test]
fn members_are_there_once() {
    let twice = |name: &str| Err(Refusal::DuplicateMember { name: name.to_owned() });
    let good = claims().to_string();
    let with = |more: &str| format!("{}{more}}}", &good[..good.len() - 1]);
    assert_eq!(judged(HEADER, &with(r#","sub":"root""#)), twice("sub"));
    assert_eq!(judged(HEADER, &with(r#","s\u0075b":"root""#)), twice("sub"), "however it is written");
    assert_eq!(judged(HEADER, &with(r#","iss":"x""#)), twice("iss"));
    assert_eq!(judged(HEADER, &with(r#","a":{"b":[{"c":1,"c":1}]}"#)), twice("c"), "however deep");
    assert_eq!(judged(HEADER, &with(r#","a\n":1,"a\n":2"#)), twice("a\\n"), "on one line");
    let header = r#"{"alg":"EdDSA","kid":"k1","alg":"none"}"#;
    assert_eq!(judged(header, &good), twice("alg"));
    let mint = Mint::of(Algorithm::EdDSA);
    let token = mint.token_of(HEADER, &with(r#","iss":"x""#));
    assert_eq!(issuer_of(&token), Err(Refusal::DuplicateMember { name: "iss".into() }));
}

#[test]
fn values_nest_so_deep_and_no_deeper() {
    let nested = |levels: usize| {
        let inside = format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        format!("{},\"a\":{inside}}}", claims().to_string().trim_end_matches('}'))
    };
    assert!(judged(HEADER, &nested(limits::JWT_DEPTH_MAX - 1)).is_ok());
    assert_eq!(judged(HEADER, &nested(limits::JWT_DEPTH_MAX)), Err(Refusal::TooDeep));
    assert_eq!(judged(HEADER, &nested(4_000)), Err(Refusal::TooDeep));
    assert_eq!(judged(HEADER, &"[".repeat(10_000)), Err(Refusal::TooDeep));
    assert_eq!(judged(&"{\"a\":".repeat(2_000), &claims().to_string()), Err(Refusal::TooDeep));
}

#[test]
fn a_token_of_1024_values_is_read_and_one_more_refuses_it() {
    let with = |more: usize| {
        let list = vec!["1"; more].join(",");
        format!("{},\"a\":[{list}]}}", claims().to_string().trim_end_matches('}'))
    };
    // The object, its five claims and the list are values, too.
    let most = limits::JWT_VALUES_MAX - 7;
    assert!(judged(HEADER, &with(most)).is_ok());
    assert_eq!(judged(HEADER, &with(most + 1)), Err(Refusal::TooManyValues));
}

#[test]
fn a_token_is_so_long_and_no_longer() {
    let mint = Mint::of(Algorithm::EdDSA);
    let of_length = |letters: usize| mint.token(&claims_with("a", "x".repeat(letters).into()));
    let shortest = of_length(0).len();
    let longest = (limits::JWT_BYTES_MAX - shortest) / 4 * 3 - 4;
    let token = of_length(longest);
    assert!((limits::JWT_BYTES_MAX - 16..=limits::JWT_BYTES_MAX).contains(&token.len()));
    assert!(verify(&token, &rules(), &mint.keys, NOW_S).is_ok());
    for letters in [longest + 16, 75_000] {
        let token = of_length(letters);
        assert_eq!(verify(&token, &rules(), &mint.keys, NOW_S), Err(Refusal::TooLong));
        assert_eq!(issuer_of(&token), Err(Refusal::TooLong));
    }
    assert!(of_length(75_000).len() > 100_000);
}

#[test]
fn what_must_be_understood_is_not() {
    let with = |name: &str, value: Value| {
        let header = json!({"alg": "EdDSA", "kid": "k1", name: value});
        judged(&header.to_string(), &claims().to_string())
    };
    for crit in [json!(["b64"]), json!(["exp"]), json!([]), json!("exp"), Value::Null] {
        assert_eq!(with("crit", crit), Err(Refusal::CriticalHeader));
    }
    for is_encoded in [json!(false), json!(0), json!("true"), Value::Null] {
        assert_eq!(with("b64", is_encoded), Err(Refusal::CriticalHeader));
    }
    assert!(with("b64", json!(true)).is_ok());
}

#[test]
fn a_token_is_for_logins_by_its_type() {
    let with = |typ: Value| {
        let header = json!({"alg": "EdDSA", "kid": "k1", "typ": typ});
        judged(&header.to_string(), &claims().to_string())
    };
    for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "application/jwt"] {
        assert!(with(typ.into()).is_ok(), "{typ}");
    }
    for typ in ["logout+jwt", "dpop+jwt", "secevent+jwt", "JOSE", "", "JWT ", "application/é"] {
        assert_eq!(with(typ.into()), Err(Refusal::TypeNotAllowed { typ: typ.to_owned() }));
    }
    assert_eq!(with(json!(1)), Err(Refusal::NotAToken));
    assert!(judged(HEADER, &claims().to_string()).is_ok(), "most say nothing");
    for header in [r#"{"kid":"k1"}"#, r#"{"alg":["EdDSA"],"kid":"k1"}"#, r#"{"alg":null,"kid":"k1"}"#] {
        assert_eq!(judged(header, &claims().to_string()), Err(Refusal::NotAToken));
    }
}
