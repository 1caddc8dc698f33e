//! Known answers: the signatures of RFC 7515, appendix A, RFC 8037, appendix A, and RFC 7520, section 4.
//!
//! Their payloads are no claims of a login, or are signed without a key's id, so that the signature alone is
//! asked for; that the tokens as a whole are refused stands beside it.

use super::mint::{NOW_S, rules, set};
use crate::identity::verify::is_signed;
use crate::identity::{Algorithm, KeySet, Refusal, verify};
use serde_json::{Value, json};

/// RFC 7515, A.1.1: claims of joe.
const CLAIMS: &str = "\
    eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl\
    fQ";
/// RFC 7515, A.2.1: the modulus.
const A2_MODULUS: &str = "\
    ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4\
    d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5re\
    xMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxX\
    FvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
/// RFC 7515, A.2.1.
const A2_SIGNATURE: &str = "\
    cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5\
    jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb\
    1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QO\
    YEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
/// RFC 7515, A.3.1.
const A3_SIGNATURE: &str = "\
    DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
/// RFC 7520, 3.3: the modulus.
const COOKBOOK_MODULUS: &str = "\
    n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmS\
    CpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-Of\
    VfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKw\
    uCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw";
/// RFC 7520, 4: what Gandalf says of the road.
const COOKBOOK_PAYLOAD: &str = "\
    SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250\
    byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hl\
    cmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";
/// RFC 7520, 4.1.2.
const RS256_SIGNATURE: &str = "\
    MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xugl\
    II7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x\
    8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE\
    _oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg";
/// RFC 7520, 4.2.2.
const PS384_SIGNATURE: &str = "\
    cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TT\
    B5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrY\
    RXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtf\
    a64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw";
/// RFC 7520, 4.3.2.
const ES512_SIGNATURE: &str = "\
    AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3\
    mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2";
/// RFC 8037, A.4.
const ED25519_SIGNATURE: &str = "\
    hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

fn encoded(text: &str) -> String {
    super::mint::encoded(text)
}

/// Whether that is the key's signature, and that it is none with another first letter.
fn assert_signed(key: Value, algorithm: Algorithm, signed: &str, signature: &str) {
    let keys = KeySet::parse(&set(&[key])).unwrap();
    let key = keys.key("k").unwrap();
    assert_eq!(is_signed(signed, signature, key, algorithm), Ok(true), "{algorithm:?}");
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let other = format!("{first}{}", &signature[1..]);
    assert_eq!(is_signed(signed, &other, key, algorithm), Ok(false), "{algorithm:?}");
    assert_eq!(is_signed(&format!("{signed}A"), signature, key, algorithm), Ok(false), "{algorithm:?}");
}

#[test]
fn rfc_7515_appendix_a() {
    let key = json!({"kty": "RSA", "kid": "k", "n": A2_MODULUS, "e": "AQAB"});
    let signed = format!("{}.{CLAIMS}", encoded(r#"{"alg":"RS256"}"#));
    assert_signed(key.clone(), Algorithm::RS256, &signed, A2_SIGNATURE);
    let key_of_a_3 = json!({
        "kty": "EC", "kid": "k", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let signed_by_ec = format!("{}.{CLAIMS}", encoded(r#"{"alg":"ES256"}"#));
    assert_signed(key_of_a_3, Algorithm::ES256, &signed_by_ec, A3_SIGNATURE);
    let keys = KeySet::parse(&set(&[key])).unwrap();
    let token = format!("{signed}.{A2_SIGNATURE}");
    assert_eq!(verify(&token, &rules(), &keys, NOW_S), Err(Refusal::NoKeyId));
}

#[test]
fn rfc_8037_appendix_a() {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let key = json!({"kty": "OKP", "kid": "k", "crv": "Ed25519", "x": x});
    let signed = format!("{}.{}", encoded(r#"{"alg":"EdDSA"}"#), encoded("Example of Ed25519 signing"));
    assert_signed(key, Algorithm::EdDSA, &signed, ED25519_SIGNATURE);
}

#[test]
fn rfc_7520_section_4() {
    let key = json!({"kty": "RSA", "kid": "k", "use": "sig", "n": COOKBOOK_MODULUS, "e": "AQAB"});
    let signed = |alg: &str| {
        let header = format!(r#"{{"alg":"{alg}","kid":"bilbo.baggins@hobbiton.example"}}"#);
        format!("{}.{COOKBOOK_PAYLOAD}", encoded(&header))
    };
    assert_signed(key.clone(), Algorithm::RS256, &signed("RS256"), RS256_SIGNATURE);
    assert_signed(key.clone(), Algorithm::PS384, &signed("PS384"), PS384_SIGNATURE);
    let mut key = key;
    key["kid"] = "bilbo.baggins@hobbiton.example".into();
    let keys = KeySet::parse(&set(&[key])).unwrap();
    let told =
        |alg: &str, signature: &str| verify(&format!("{}.{signature}", signed(alg)), &rules(), &keys, NOW_S);
    assert_eq!(told("RS256", RS256_SIGNATURE), Err(Refusal::NotAToken), "its payload is no JSON");
    let alg = "ES512".to_owned();
    assert_eq!(told("ES512", ES512_SIGNATURE), Err(Refusal::AlgorithmNotAllowed { alg }));
}
