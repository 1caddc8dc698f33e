//! Names of claims, and what is read of them.

use super::mint::*;
use crate::base::limits;
use crate::identity::{Algorithm, BadClaimName, ClaimName, Claims, Refusal, verify};
use serde_json::{Value, json};

fn accepted(claims: &Value) -> Claims {
    let mint = Mint::of(Algorithm::EdDSA);
    verify(&mint.token(claims), &rules(), &mint.keys, NOW_S).unwrap()
}

fn text(claims: &Claims, of: &str) -> Option<String> {
    claims.text(&name(of)).map(Into::into)
}

#[test]
fn a_name_is_a_member_or_a_pointer() {
    let mut all = claims();
    all["https://sts.example.org/"] = json!({"principal_tags": {"team": "db", "a~b": "tilde", "": "empty"}});
    all["kubernetes.io"] = json!({"serviceaccount": {"name": "api"}});
    all["groups"] = json!(["a", "b"]);
    all["a/b"] = json!("slash");
    let claims = accepted(&all);
    let pairs = [
        ("sub", "alice"),
        ("a/b", "slash"),
        ("/a~1b", "slash"),
        ("/sub", "alice"),
        ("/https:~1~1sts.example.org~1/principal_tags/team", "db"),
        ("/https:~1~1sts.example.org~1/principal_tags/a~0b", "tilde"),
        ("/https:~1~1sts.example.org~1/principal_tags/", "empty"),
        ("/kubernetes.io/serviceaccount/name", "api"),
        ("/groups/1", "b"),
    ];
    for (of, value) in pairs {
        assert_eq!(text(&claims, of).as_deref(), Some(value), "{of}");
    }
    for of in
        ["Sub", "/kubernetes.io", "/kubernetes.io/x/name", "/groups/2", "/groups/01", "/groups/+1", "/sub/0"]
    {
        assert_eq!(text(&claims, of), None, "{of}");
    }
}

#[test]
fn what_names_no_claim() {
    let long = "x".repeat(limits::CLAIM_NAME_BYTES_MAX);
    assert!(ClaimName::named(&long).is_ok());
    assert_eq!(ClaimName::named(&format!("{long}x")), Err(BadClaimName::TooLong));
    assert_eq!(ClaimName::named(""), Err(BadClaimName::Empty));
    assert_eq!(ClaimName::named("a\nb"), Err(BadClaimName::NotPrintable));
    for pointer in ["/a~", "/a~2", "/~/b"] {
        assert_eq!(ClaimName::named(pointer), Err(BadClaimName::BadEscape), "{pointer}");
    }
    assert_eq!(name("a~b").as_str(), "a~b", "only a pointer has escapes");
}

#[test]
fn texts_are_elements_words_or_one_text() {
    let mut all = claims();
    all["groups"] = json!(["dba", 7, true, null, ["x"], {"y": 1}, "a b"]);
    all["scope"] = "openid  read write".into();
    all["scp"] = json!(["one two", "three"]);
    all["n"] = json!(123_456_789_012_u64);
    all["is"] = json!(false);
    let claims = accepted(&all);
    let texts = |of: &str| claims.texts(&name(of)).into_iter().map(String::from).collect::<Vec<_>>();
    assert_eq!(texts("groups"), ["dba", "7", "true", "a b"]);
    assert_eq!(texts("scope"), ["openid", "read", "write"]);
    assert_eq!(texts("scp"), ["one two", "three"]);
    assert_eq!(texts("n"), ["123456789012"]);
    assert_eq!(texts("is"), ["false"]);
    assert_eq!(texts("sub"), ["alice"]);
    assert!(texts("none").is_empty());
    assert_eq!(text(&claims, "groups"), None);
}

#[test]
fn a_principal_is_one_printable_line() {
    let long = "x".repeat(limits::PRINCIPAL_BYTES_MAX);
    let arn = "arn:aws:iam::123456789012:role/app";
    for sub in ["alice", arn, "Zoë Ångström", "a \"b\" 'c'", &long] {
        let claims = accepted(&claims_with("sub", sub.into()));
        assert_eq!(claims.principal(&rules()).as_deref(), Ok(sub));
    }
    let hidden =
        ["a\nb", "a\0", "\u{7f}", "a\r", "a\u{85}", "a\u{2028}b", "\u{202e}x", "a\u{200b}", "\u{feff}a"];
    let too_long = format!("{long}x");
    for sub in hidden.into_iter().chain(["", &too_long]) {
        let claims = accepted(&claims_with("sub", sub.into()));
        assert_eq!(claims.principal(&rules()), Err(Refusal::BadPrincipal { claim: "sub".into() }), "{sub:?}");
    }
    for sub in [Value::Null, json!(["alice"]), json!({})] {
        let claims = accepted(&claims_with("sub", sub));
        assert_eq!(claims.principal(&rules()), Err(Refusal::NoClaim { claim: "sub".into() }));
    }
}

#[test]
fn audited_claims_are_lines_with_an_end() {
    let mut all = claims();
    all["email"] = "a\nb\0\u{2028}c".into();
    all["groups"] = json!(["x\ny", {"z": 1}]);
    all["long"] = "é".repeat(4_000).into();
    let mut rules = rules();
    rules.audit = ["email", "groups", "long", "none", "/sub"].map(name).into();
    let audited = accepted(&all).audited(&rules);
    let texts: Vec<_> = audited.iter().map(|(name, text)| (&**name, &**text)).collect();
    assert_eq!(texts[0], ("email", r"a\nb\u{0}\u{2028}c"));
    assert_eq!(texts[1], ("groups", r#"["x\ny",{"z":1}]"#));
    assert!(texts[2].1.len() <= limits::CLAIM_SHOWN_BYTES_MAX + 8 && texts[2].1.ends_with('…'));
    assert_eq!(texts[3], ("/sub", "alice"));
    assert_eq!(texts.len(), 4);
    assert_eq!(format!("{:?}", accepted(&all)), "Claims(8 members)");
}
