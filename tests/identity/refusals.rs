//! What the audit log tells of those by tokens that are not let in: a principal only where the issuer's
//! signature names it.

use crate::common::Pooler;
use crate::issuer::{Issuer, now_s};
use crate::lines::{audited, field, file, hold_to_schema, text, wait_for};
use crate::{log_in, log_in_to, no_token_in, with_tokens};
use serde_json::json;

const JWT: &str = "JWT authentication failed";

type Case = (String, &'static str, Option<&'static str>, Option<&'static str>, &'static str);

/// A login that is refused, and what its record tells: the one of that number.
fn refused(pooler: &Pooler, count: usize, (token, reason, principal, claimed, detail): &Case) {
    assert!(log_in(pooler, "app", token).is_err(), "{detail}");
    let line = wait_for(pooler, "login_refused", count).remove(count - 1);
    assert_eq!((field(&line, "method"), field(&line, "user")), ("jwt", "app"), "{line}");
    assert_eq!(field(&line, "reason"), *reason, "{line}");
    assert_eq!(field(&line, "principal"), principal.unwrap_or("null"), "{line}");
    assert_eq!(line.contains("\"issuer\":\"tests\""), principal.is_some(), "{line}");
    assert_eq!(line.contains("\"claims\":{\"team\":\""), principal.is_some(), "{line}");
    assert_eq!(field(&line, "claimed_issuer"), claimed.unwrap_or_default(), "{line}");
    assert!(line.contains(detail), "{line}");
    assert_eq!(line.contains("\"detail\":"), !detail.is_empty(), "{line}");
    no_token_in("the audit log", &text(pooler), token);
}

#[test]
fn a_refusal_names_a_principal_that_the_signature_names_and_no_other() {
    let issuer = Issuer::start();
    let pooler = with_tokens(audited(), &issuer, "map=teams audit_claims=team")
        .set("auth_claims_file", "claims.conf")
        .file("claims.conf", "teams team red app\n")
        .set("deny_principals", "denied")
        .file("denied", "mallory\n")
        .set("max_user_client_connections", 1)
        .start();
    let mut claims = issuer.claims("alice");
    claims["team"] = json!("red");
    let sign = |name: &str, value: serde_json::Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        issuer.sign("k1", "RS256", &claims)
    };
    let good = sign("x", json!(1));
    let (head, signature) = good.rsplit_once('.').expect("three parts");
    let forged = format!("{head}.{}", signature.replace(['a', 'b', 'c'], "d"));
    let _held = log_in(&pooler, "app", &good).expect("it is a good token");
    let no_key = "issuer tests: the token's signature is not that of key k1";
    let (alice, mallory, tests) = (Some("alice"), Some("mallory"), Some("tests"));
    let elsewhere = sign("iss", json!("https://b.example.org/mallory"));
    // the token; the reason; whom it names; what is claimed; what the detail says
    let cases: [Case; 9] = [
        ("no token".to_owned(), JWT, None, None, "it is no signed JSON web token"),
        (forged, JWT, None, tests, no_key),
        (elsewhere, JWT, None, None, "no issuer in use"),
        (sign("exp", json!(now_s() - 600)), JWT, alice, None, "issuer tests: the token expired"),
        (
            sign("aud", json!("others")),
            JWT,
            alice,
            None,
            "claim aud is others, which is none of the audiences",
        ),
        (sign("team", json!("blue")), JWT, alice, None, "in no line of map teams for this role"),
        (sign("sub", json!("a\nb")), JWT, None, tests, "claim sub cannot name a principal"),
        (sign("sub", json!("mallory")), "principal is denied", mallory, None, ""),
        (good.clone(), "client connections exceeded (max_user_client_connections)", alice, None, ""),
    ];
    for (count, case) in (1..).zip(cases) {
        refused(&pooler, count, &case);
    }
    hold_to_schema(&file(&pooler));
}

/// Above 16 KB it is read and refused; above what a password message may have, it is not even read.
#[test]
fn a_token_that_is_too_long_is_told_to_be_so_whatever_its_length() {
    let issuer = Issuer::start();
    let pooler = with_tokens(audited(), &issuer, "").start();
    let too_long = "the token is too long: at most 16384 bytes";
    for (count, bytes) in (1..).zip([16_385, 27_000, 65_000, 65_530, 65_536, 70_000, 200_000]) {
        let error = log_in(&pooler, "app", &"e".repeat(bytes)).err().unwrap_or_default();
        assert!(error.contains(JWT), "{bytes}: {error}");
        let line = wait_for(&pooler, "login_refused", count).remove(count - 1);
        assert_eq!((field(&line, "method"), field(&line, "reason")), ("jwt", JWT), "{bytes}: {line}");
        assert!(line.contains(&format!("\"detail\":\"{too_long}\"")), "{bytes}: {line}");
    }
    assert_eq!(pooler.log().matches(&format!("JWT login failed: {too_long}")).count(), 7);
    hold_to_schema(&file(&pooler));
}

#[test]
fn who_may_not_enter_a_database_has_proven_who_he_is() {
    let issuer = Issuer::start();
    let pooler = with_tokens(audited(), &issuer, "").start();
    assert!(log_in_to(&pooler, "app", "no-such", &issuer.token("app")).is_err());
    let line = wait_for(&pooler, "login_refused", 1).remove(0);
    assert_eq!((field(&line, "principal"), field(&line, "issuer")), ("app", "tests"), "{line}");
    assert_eq!(field(&line, "reason"), "no such database: no-such", "{line}");
    hold_to_schema(&file(&pooler));
}
