//! What must hold for any bytes as a token, as an issuer's set of keys, as a map of claims, and as a client's
//! message of OAUTHBEARER: no panic, the same answer twice, and nobody let in by what nobody has signed.
//! `tests/corpus.rs` replays the corpus through this.
//!
//! The first byte says which; a token's header and payload are divided by a zero byte. Tokens are judged
//! twice: as they are, and with a signature that fits, so that what is read behind it is reached, too.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use pgweir::identity::oauthbearer::{self, Initial};
use pgweir::identity::{Algorithm, ClaimName, Claims, ClaimsMap, IssuerRules, KeySet, issuer_of, verify};

/// When the tokens are judged, in seconds since the epoch.
const NOW_S: u64 = 1_750_000_000;

/// Runs the part of it that the first byte asks for.
pub fn run(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    match kind % 4 {
        0 => token(data),
        1 => keys(data),
        2 => map(data),
        _ => message(data),
    }
}

fn encoded(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn signer() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed")
}

fn own_keys() -> KeySet {
    let x = encoded(signer().public_key().as_ref());
    let set = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"{x}"}}]}}"#);
    KeySet::parse(set.as_bytes()).expect("a set")
}

fn rules() -> IssuerRules {
    let name = |text: &str| ClaimName::named(text).expect("a name");
    IssuerRules {
        name: "fuzz".into(),
        issuer: "https://issuer.example.org".into(),
        audience_claim: name("aud"),
        audiences: vec!["pgweir".into()],
        algorithms: Algorithm::ALL.to_vec(),
        leeway_s: 30,
        token_lifetime_max_s: 3_600,
        required: Vec::new(),
        principal: name("sub"),
        audit: ["email", "/a/b", "groups"].map(name).into(),
    }
}

/// A line of a log: one, and not without end.
fn is_line(text: &str) -> bool {
    text.len() < 1_000 && !text.contains(['\n', '\r', '\0'])
}

fn token(data: &[u8]) {
    let (rules, keys) = (rules(), own_keys());
    let text = String::from_utf8_lossy(data);
    let _ = issuer_of(&text);
    assert!(verify(&text, &rules, &keys, NOW_S).is_err(), "nobody has signed it");
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let [header, payload] = [(); 2].map(|()| encoded(parts.next().unwrap_or_default()));
    let signed = format!("{header}.{payload}");
    let token = format!("{signed}.{}", encoded(signer().sign(signed.as_bytes()).as_ref()));
    let verdict = verify(&token, &rules, &keys, NOW_S);
    assert_eq!(verdict, verify(&token, &rules, &keys, NOW_S));
    match verdict {
        Ok(claims) => accepted(&claims, &rules, &token),
        Err(refusal) => assert!(is_line(&refusal.to_string()), "{refusal}"),
    }
}

fn accepted(claims: &Claims, rules: &IssuerRules, token: &str) {
    assert_eq!(issuer_of(token).as_deref(), Ok(&*rules.issuer));
    assert!((NOW_S - rules.leeway_s..=NOW_S + 2 * 3_600).contains(&claims.expires_at_epoch_s));
    assert!(claims.audited(rules).iter().all(|(_, text)| is_line(text)));
    let all = ClaimsMap::parse("m sub /(?s)(.*) \\1\n", "claims").expect("a map");
    if let Ok(principal) = claims.principal(rules) {
        assert!(is_line(&principal));
        assert_eq!(all.admits("m", claims, &principal).is_some(), principal.len() <= 63);
        assert!(all.admits("m", claims, "postgres").is_none() || principal == "postgres");
    }
}

fn keys(data: &[u8]) {
    match KeySet::parse(data) {
        Ok(keys) => {
            assert!(!keys.is_empty() && keys.len() + keys.left_out().len() <= 100);
            assert!(keys.kids().all(|kid| keys.has(kid)));
            assert!(keys.left_out().iter().all(|key| is_line(&key.to_string())));
        }
        Err(why) => assert!(is_line(&why.to_string()), "{why}"),
    }
}

/// A token by which maps are tried.
fn holder() -> Claims {
    let header = encoded(br#"{"alg":"EdDSA","kid":"k1"}"#);
    let claims = format!(
        r#"{{"iss":"https://issuer.example.org","aud":"pgweir","exp":{},"sub":"alice","groups":["dba","x-y"]}}"#,
        NOW_S + 60
    );
    let signed = format!("{header}.{}", encoded(claims.as_bytes()));
    let token = format!("{signed}.{}", encoded(signer().sign(signed.as_bytes()).as_ref()));
    verify(&token, &rules(), &own_keys(), NOW_S).expect("a good one")
}

fn map(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match ClaimsMap::parse(&text, "claims") {
        Ok(map) => {
            let holder = holder();
            for role in ["alice", "dba", "postgres", "", "a\"b"] {
                if let Some(admitted) = map.admits("m", &holder, role) {
                    assert!(map.has("m") && (1..=text.split('\n').count()).contains(&admitted.line));
                    assert!(!role.is_empty());
                }
            }
        }
        Err(errors) => assert!(!errors.is_empty() && errors.iter().all(|error| is_line(&error.to_string()))),
    }
}

fn message(data: &[u8]) {
    if let Ok(Initial::Token(token)) = Initial::parse(data) {
        assert!(!token.is_empty() && token.expose().bytes().all(|byte| byte.is_ascii_graphic()));
        let again = format!("y,,\x01x=\x01auth=BEARER {}\x01\x01", token.expose());
        assert_eq!(Initial::parse(again.as_bytes()), Ok(Initial::Token(token)));
    }
    let text = String::from_utf8_lossy(data);
    let (issuer, scope) = text.split_once('\n').unwrap_or((&text, ""));
    let answer = oauthbearer::failure(issuer, scope);
    assert!(answer.starts_with('{') && answer.ends_with('}') && !answer.contains('\n'));
}
