//! What holds for any bytes, and for any claims.

use super::mint::*;
use crate::identity::strict_json::{Bounds, NotStrict, object};
use crate::identity::{Algorithm, ClaimName, ClaimsMap, KeySet, issuer_of, oauthbearer::Initial, verify};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

static MINTS: LazyLock<[Mint; 2]> = LazyLock::new(|| [Algorithm::EdDSA, Algorithm::ES256].map(Mint::of));

/// JSON of any shape, three levels deep at the most.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(|number: f64| json!(number.trunc())),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_object() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map(any::<String>(), any_json(), 0..6).prop_map(|all| all.into_iter().collect())
}

proptest! {
    #[test]
    fn any_text_gets_an_answer(text in ".{0,300}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mint = &MINTS[0];
        let parts = text.splitn(3, '-').map(encoded).collect::<Vec<_>>().join(".");
        for token in [&text, &parts, &String::from_utf8_lossy(&bytes).into_owned()] {
            prop_assert!(issuer_of(token).is_err());
            prop_assert!(verify(token, &rules(), &mint.keys, NOW_S).is_err());
        }
        let _ = KeySet::parse(&bytes);
        let _ = ClaimsMap::parse(&text, "claims");
        let _ = Initial::parse(&bytes);
        let _ = ClaimName::named(&text);
    }

    #[test]
    fn any_claims_that_are_signed_get_an_answer(header in any_object(), payload in any_object()) {
        let mint = &MINTS[0];
        let with = |own: &Value, more: &Map<String, Value>| {
            let mut all = own.as_object().unwrap().clone();
            all.extend(more.clone());
            Value::Object(all).to_string()
        };
        let payload_text = with(&claims(), &payload);
        let token = mint.token_of(&with(&mint.header(), &header), &payload_text);
        match verify(&token, &rules(), &mint.keys, NOW_S) {
            Ok(claims) => {
                prop_assert!(claims.principal(&rules()).is_ok());
                let _ = claims.audited(&rules());
            }
            Err(refusal) => prop_assert!(!refusal.to_string().contains('\n')),
        }
    }

    /// Accepted as it is, and by no other byte at any place.
    #[test]
    fn a_token_is_accepted_and_none_that_differs_in_a_byte(
        which in 0usize..2,
        sub in "[a-zA-Z0-9:/@ é-]{1,40}",
        lives_s in 1u64..3_000,
        age_s in 0u64..600,
        more in any_object(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mint = &MINTS[which];
        let mut claims = claims();
        claims["more"] = Value::Object(more);
        claims["sub"] = sub.as_str().into();
        claims["iat"] = (NOW_S - age_s).into();
        claims["exp"] = (NOW_S + lives_s).into();
        let token = mint.token(&claims);
        let accepted = verify(&token, &rules(), &mint.keys, NOW_S).unwrap();
        prop_assert_eq!(accepted.principal(&rules()).unwrap(), sub);
        prop_assert_eq!(accepted.expires_at_epoch_s, NOW_S + lives_s);
        let mut bytes = token.into_bytes();
        let place = place.index(bytes.len());
        for other in [byte, bytes[place] ^ 1, bytes[place] ^ 0x20, b'.', b'A'] {
            let own = std::mem::replace(&mut bytes[place], other);
            if own != other && let Ok(text) = std::str::from_utf8(&bytes) {
                prop_assert!(verify(text, &rules(), &mint.keys, NOW_S).is_err(), "{} {}", place, other);
            }
            bytes[place] = own;
        }
    }

    #[test]
    fn what_is_read_is_what_was_written(members in any_object(), twice in any::<prop::sample::Index>()) {
        let bounds = Bounds { depth: 8, values: 1_024 };
        let text = Value::Object(members.clone()).to_string();
        prop_assert_eq!(object(text.as_bytes(), bounds), Ok(members.clone()));
        if !members.is_empty() {
            let name = members.keys().nth(twice.index(members.len())).unwrap();
            let again = format!("{},{}:0}}", &text[..text.len() - 1], json!(name));
            prop_assert_eq!(object(again.as_bytes(), bounds), Err(NotStrict::Duplicate(name.clone())));
        }
    }
}
