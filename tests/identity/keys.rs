//! Keys of issuers: how often they are fetched, what comes of rotation, of outages, of issuers that
//! misbehave.

use crate::common::certs::certs;
use crate::common::wait_until;
use crate::issuer::{Answer, DISCOVERY, Issuer, KEYS};
use crate::{log_in, setup};
use serde_json::json;

const REFUSED: &str = "FATAL 28000: JWT authentication failed";

/// Bytes that a set of keys, and a discovery document, have at the most.
const KEYS_BYTES_MAX: usize = 256 * 1024;
const DISCOVERY_BYTES_MAX: usize = 64 * 1024;

#[test]
fn a_storm_of_logins_makes_one_fetch() {
    let issuer = Issuer::start();
    let pooler = setup(&issuer, "").start();
    let token = issuer.token("app");
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                for _ in 0..15 {
                    assert!(log_in(&pooler, "app", &token).is_ok());
                }
            });
        }
    });
    assert_eq!((issuer.asked(KEYS), issuer.asked(DISCOVERY)), (1, 1));
}

#[test]
fn a_new_key_refuses_nobody() {
    let issuer = Issuer::start();
    let pooler = setup(&issuer, "").set("client_login_timeout", 3).start();
    assert!(log_in(&pooler, "app", &issuer.token("app")).is_ok());
    issuer.add_key("k2", "ES256");
    issuer.remove_key("k1");
    let token = issuer.sign("k2", "ES256", &issuer.claims("app"));
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert!(log_in(&pooler, "app", &token).is_ok()));
        }
    });
    assert_eq!(issuer.asked(KEYS), 2, "one more, for all of them");
    assert!(log_in(&pooler, "app", &issuer.token("app")).is_err(), "k1 is gone");
}

#[test]
fn a_flood_of_unknown_keys_makes_a_bounded_number_of_fetches() {
    let issuer = Issuer::start();
    issuer.make_key("nobody", "ES256");
    let pooler = setup(&issuer, "").set("client_login_timeout", 4).start();
    assert!(log_in(&pooler, "app", &issuer.token("app")).is_ok());
    let claims = issuer.claims("app");
    let tokens: Vec<_> = (0..60)
        .map(|number| {
            let kid = format!("made-up-{number}");
            issuer.sign_with("nobody", "ES256", &claims, &json!({"kid": kid}))
        })
        .collect();
    std::thread::scope(|scope| {
        for token in &tokens {
            scope.spawn(|| assert!(log_in(&pooler, "app", token).is_err()));
        }
    });
    assert!(log_in(&pooler, "app", &issuer.token("app")).is_ok(), "who has a known key goes on");
    assert!((2..=3).contains(&issuer.asked(KEYS)), "{}", issuer.asked(KEYS));
    pooler.wait_for_log("issuer tests: the issuer has no key made-up-");
}

#[test]
fn through_an_outage_the_last_keys_count_for_a_stated_time() {
    let issuer = Issuer::start();
    let pooler = setup(&issuer, "refresh=1 keys_max_age=3").start();
    let token = issuer.token("app");
    assert!(log_in(&pooler, "app", &token).is_ok());
    issuer.answer(Answer::Status(503));
    pooler.wait_for_log("issuer tests: fetching keys failed: ");
    assert!(log_in(&pooler, "app", &token).is_ok());
    wait_until("the keys are too old", || log_in(&pooler, "app", &token).is_err());
    pooler.wait_for_log("more than keys_max_age, and no newer ones come: ");
    pooler.wait_for_log("the answer is HTTP 503");
    issuer.answer(Answer::Serve);
    wait_until("keys come again", || log_in(&pooler, "app", &token).is_ok());
    pooler.wait_for_log("issuer tests: keys fetched again (1)");
    assert_eq!(pooler.log().matches("WARNING issuer tests: fetching keys failed").count(), 1);
}

#[test]
fn an_issuer_that_misbehaves_gives_no_keys() {
    let many = vec![json!({}); 10_000];
    let elsewhere = Issuer::start();
    let cases = [
        (Answer::Redirect(elsewhere.keys_url()), "is a redirect (HTTP 302), and none is followed"),
        (Answer::Status(404), "the answer is HTTP 404"),
        (Answer::Text(json!({"keys": many}).to_string()), "too many"),
        (Answer::Text("x".repeat(KEYS_BYTES_MAX)), "it is no JSON web key set"),
        (Answer::Text("x".repeat(KEYS_BYTES_MAX + 1)), "the answer is longer than 262144 bytes"),
        (Answer::Text("{\"keys\": 7}".to_owned()), "it is no JSON web key set"),
        (Answer::Hang, "no answer in time"),
    ];
    std::thread::scope(|scope| {
        for (answer, why) in cases {
            scope.spawn(move || {
                let issuer = Issuer::start();
                issuer.answer(answer);
                let more = format!("jwks_url={}", issuer.keys_url());
                let pooler = setup(&issuer, &more).start();
                let token = issuer.token("app");
                assert_eq!(log_in(&pooler, "app", &token).map(drop), Err(REFUSED.to_owned()), "{why}");
                pooler.wait_for_log("ERROR issuer tests: no keys: ");
                assert!(pooler.log().contains(why), "{why}\n{}", pooler.log());
                issuer.answer(Answer::Serve);
                wait_until("it is well again", || log_in(&pooler, "app", &token).is_ok());
            });
        }
    });
    assert_eq!(elsewhere.asked(KEYS), 0, "no redirect is followed");
}

#[test]
fn a_discovery_document_is_held_to_its_own_bound() {
    let issuer = Issuer::start();
    for (bytes, why) in [
        // What says where keys are is served as keys, too.
        (DISCOVERY_BYTES_MAX, "it is no JSON web key set"),
        (DISCOVERY_BYTES_MAX + 1, "the answer is longer than 65536 bytes"),
    ] {
        let document = json!({"issuer": issuer.url(), "jwks_uri": issuer.keys_url()}).to_string();
        let blanks = " ".repeat(bytes - document.len());
        issuer.answer(Answer::Text(document + &blanks));
        let pooler = setup(&issuer, "").start();
        assert_eq!(log_in(&pooler, "app", &issuer.token("app")).map(drop), Err(REFUSED.to_owned()), "{why}");
        pooler.wait_for_log("ERROR issuer tests: no keys: ");
        assert!(pooler.log().contains(why), "{why}\n{}", pooler.log());
    }
}

#[test]
fn keys_in_a_file_are_read_anew_when_it_changes() {
    let issuer = Issuer::start();
    let more = "jwks_file=keys.json algorithms=RS256,EdDSA";
    let pooler = setup(&issuer, more).file("keys.json", &issuer.key_set()).start();
    assert!(log_in(&pooler, "app", &issuer.token("app")).is_ok());
    issuer.add_key("k2", "EdDSA");
    let set = issuer.key_set();
    std::fs::write(pooler.directory().join("keys.json"), set).expect("it is ours");
    let token = issuer.sign("k2", "EdDSA", &issuer.claims("app"));
    assert!(log_in(&pooler, "app", &token).is_ok());
    std::fs::write(pooler.directory().join("keys.json"), "no keys").expect("it is ours");
    pooler.wait_for_log("fetching keys failed: keys.json: ");
    assert!(log_in(&pooler, "app", &token).is_ok(), "the last ones count");
    assert_eq!(issuer.asked(KEYS), 0, "nothing is fetched");
}

#[test]
fn who_serves_keys_under_tls_must_be_vouched_for() {
    let issuer = Issuer::start_tls();
    let token = issuer.token("app");
    let trusted = format!("jwks_ca_file={}", certs().ca().display());
    let pooler = setup(&issuer, &trusted).start();
    assert!(log_in(&pooler, "app", &token).is_ok(), "{}", pooler.log());
    let other = format!("jwks_ca_file={}", certs().other_ca().display());
    for (more, why) in [
        ("", "jwks_ca_file must name a file that has it"),
        (&*other, "jwks_ca_file must name a file that has it"),
        // what comes by TLS points to nothing without
        (&*trusted, "its jwks_uri is no https address"),
    ] {
        if more == trusted {
            let elsewhere = Issuer::start().keys_url();
            let document = json!({"issuer": issuer.url(), "jwks_uri": elsewhere});
            issuer.answer(Answer::Text(document.to_string()));
        }
        let pooler = setup(&issuer, more).start();
        assert_eq!(log_in(&pooler, "app", &token).map(drop), Err(REFUSED.to_owned()), "{why}");
        assert!(pooler.log().contains(why), "{why}\n{}", pooler.log());
    }
}
