//! SASL OAUTHBEARER, as PostgreSQL 18 speaks it: libpq of that version, and every way to get it wrong.
//! Sources: RFC 7628; PostgreSQL documentation, "OAuth Authentication".

use crate::common::certs::certs;
use crate::common::raw::{Raw, frame};
use crate::common::{Pooler, PoolerSetup, programs};
use crate::issuer::Issuer;
use crate::{no_token_in, setup};
use std::process::Command;

const MALFORMED: &str = "FATAL 08P01: SASL authentication failed";
const REFUSED: &str = "FATAL 28000: JWT authentication failed";

fn bearers(issuer: &Issuer) -> PoolerSetup {
    setup(issuer, "scope='openid db'").set("auth_jwt_options", "transport=oauthbearer")
}

/// A client that has been asked for OAUTHBEARER.
fn asked(pooler: &Pooler) -> Raw {
    let mut client = Raw::tls(pooler.port, "localhost", &certs().ca());
    client.startup(&[("user", "app"), ("database", "app")]);
    let request = client.read().expect("a request");
    assert_eq!((request.tag, &request.body[..]), (b'R', &b"\0\0\0\x0aOAUTHBEARER\0\0"[..]));
    client
}

/// A SASLInitialResponse.
fn initial(mechanism: &str, message: Option<&[u8]>) -> Vec<u8> {
    let length = message.map_or(-1, |message| i32::try_from(message.len()).expect("short"));
    let body = [mechanism.as_bytes(), &[0], &length.to_be_bytes(), message.unwrap_or_default()].concat();
    frame(b'p', &body)
}

fn bearer(token: &str) -> Vec<u8> {
    format!("n,,\x01auth=Bearer {token}\x01\x01").into_bytes()
}

#[test]
fn a_token_is_answered_by_authentication_ok_at_once() {
    let issuer = Issuer::start();
    let pooler = bearers(&issuer).start();
    let token = issuer.token("app");
    for (scheme, gs2) in [("Bearer", "n"), ("bEARER", "y")] {
        let mut client = asked(&pooler);
        let message = format!("{gs2},,\x01host=db.example.org\x01auth={scheme} {token}\x01\x01");
        client.send(&initial("OAUTHBEARER", Some(message.as_bytes())));
        let ok = client.read().expect("an answer");
        assert_eq!((ok.tag, &ok.body[..]), (b'R', &[0, 0, 0, 0][..]));
    }
    let mut late = asked(&pooler);
    late.send(&initial("OAUTHBEARER", None));
    let challenge = late.read().expect("an answer");
    assert_eq!((challenge.tag, &challenge.body[..]), (b'R', &[0, 0, 0, 11][..]), "an empty challenge");
    late.send(&frame(b'p', &bearer(&token)));
    assert_eq!(late.outcome().status, Some(b'I'));
}

#[test]
fn a_message_with_a_token_that_is_too_long_is_not_read() {
    let issuer = Issuer::start();
    let pooler = bearers(&issuer).start();
    let mut client = asked(&pooler);
    client.send(&initial("OAUTHBEARER", Some(&bearer(&"e".repeat(70_000)))));
    assert_eq!(client.last_words(), REFUSED);
    pooler.wait_for_log("JWT login failed: the token is too long: at most 16384 bytes");
}

#[test]
fn a_refused_token_and_a_question_are_answered_by_where_to_get_one() {
    let issuer = Issuer::start();
    let pooler = bearers(&issuer).start();
    let expected = format!(
        concat!(
            r#"{{"status":"invalid_token","openid-configuration":"{}/.well-known/openid-configuration","#,
            r#""scope":"openid db"}}"#
        ),
        issuer.url()
    );
    let refused = issuer.token("other");
    for message in [bearer(&refused), b"n,,\x01auth=\x01\x01".to_vec()] {
        for (answer, end) in [(&b"\x01"[..], REFUSED), (b"\x01\x01", MALFORMED), (b"", MALFORMED)] {
            let mut client = asked(&pooler);
            client.send(&initial("OAUTHBEARER", Some(&message)));
            let challenge = client.read().expect("an answer");
            assert_eq!(challenge.tag, b'R');
            assert_eq!(String::from_utf8_lossy(&challenge.body[4..]), expected);
            client.send(&frame(b'p', answer));
            assert_eq!(client.last_words(), end);
        }
    }
    no_token_in("the log", &pooler.log(), &refused);
}

#[test]
fn what_is_no_message_of_oauthbearer_ends_the_login() {
    let issuer = Issuer::start();
    let pooler = bearers(&issuer).start();
    let token = issuer.token("app");
    let with = |text: &str| text.replace("TOKEN", &token).into_bytes();
    let cases = [
        (with("p=tls-server-end-point,,\x01auth=Bearer TOKEN\x01\x01"), MALFORMED),
        (
            with("n,a=other,\x01auth=Bearer TOKEN\x01\x01"),
            "FATAL 0A000: client uses authorization identity, but it is not supported",
        ),
        (with("n,,\x01auth=Bearer TOKEN\x01auth=Bearer TOKEN\x01\x01"), MALFORMED),
        (with("n,,\x01auth=Bearer TOKEN\x01\x01more"), MALFORMED),
        (with("n,,\x01auth=Bearer TOKEN\x01"), MALFORMED),
        (with("n,,\x01auth=Bearer TO\0KEN\x01\x01"), MALFORMED),
        (with("auth=Bearer TOKEN"), MALFORMED),
        (Vec::new(), MALFORMED),
    ];
    for (message, end) in cases {
        let mut client = asked(&pooler);
        client.send(&initial("OAUTHBEARER", Some(&message)));
        assert_eq!(client.last_words(), end, "{message:?}");
    }
    let mut other = asked(&pooler);
    other.send(&initial("SCRAM-SHA-256", Some(b"n,,n=,r=abc")));
    assert_eq!(other.last_words(), "FATAL 08P01: client selected an invalid SASL authentication mechanism");
    no_token_in("the log", &pooler.log(), &token);
}

#[test]
fn libpq_of_postgresql_18_finds_the_issuer_and_logs_in() {
    let issuer = Issuer::start();
    let pooler = bearers(&issuer).start();
    let to = format!(
        "host=localhost port={} user=app dbname=app sslmode=verify-full sslrootcert={} oauth_issuer={} \
         oauth_client_id=tests",
        pooler.port,
        certs().ca().display(),
        issuer.url()
    );
    let said = programs::run(
        Command::new(programs::in_repository(".venv/bin/python"))
            .arg(programs::in_repository("tests/drivers/oauthbearer_libpq.py"))
            .arg(to)
            .env("TOKEN", issuer.token("app"))
            .env("PGOAUTHDEBUG", "UNSAFE"), // an issuer without TLS
    );
    let discovery = format!("{}/.well-known/openid-configuration", issuer.url());
    assert_eq!(said.lines().last(), Some(&*format!("app {discovery} openid db")), "{said}");
}
