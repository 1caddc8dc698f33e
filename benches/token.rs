//! What minting one RDS IAM token costs. Defends the decision to make a token for each login and to keep
//! none: the budget is 100 us, against the milliseconds of a login with TLS.

#![allow(missing_docs, reason = "criterion's macros make functions without any")]

use criterion::{Criterion, criterion_group, criterion_main};
use pgweir::iam::{Credentials, Endpoint, Token};
use std::hint::black_box;
use std::time::{Duration, SystemTime};

fn mint(c: &mut Criterion) {
    let endpoint = Endpoint::new("app.cluster-abc.eu-west-1.rds.amazonaws.com", 5432, None).expect("is one");
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_724_709_600);
    let mut cost = |name: &str, session: Option<String>| {
        let credentials = Credentials::made_of("ASIAEXAMPLE", "wJalrXUtnFEMI/K7MDENG", session, None);
        c.bench_function(name, |b| {
            b.iter(|| {
                let token = Token::mint(&endpoint, black_box("app@corp.example"), &credentials, now);
                assert!(token.is_ok_and(|token| token.is_fresh(now)));
            });
        });
    };
    cost("mint", None);
    cost("mint_session_1k", Some("IQoJb3JpZ2luX2Vj".repeat(64)));
}

criterion_group!(benches, mint);
criterion_main!(benches);
