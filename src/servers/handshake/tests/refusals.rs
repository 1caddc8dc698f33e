//! What becomes of a server's refusal: which is passed on, and what is told of it. No socket.

use super::*;

#[test]
fn a_refusal_is_passed_on_unless_it_may_pass() {
    let refused = |state: &str| {
        let (mut handshake, _) = Handshake::start(plain());
        let message = bytes(|out| encode::error(out, Severity::Fatal, state, "no such thing"));
        feed(&mut handshake, &message).unwrap_err()
    };
    let error = refused(sqlstate::INVALID_AUTHORIZATION);
    assert_eq!(error.reason(), "no such thing");
    assert_eq!(error.log().as_deref(), Some("server login failed: FATAL no such thing"));
    let relayed =
        Fault::Relayed { sqlstate: sqlstate::INVALID_AUTHORIZATION.into(), text: "no such thing".into() };
    assert_eq!(error.fault(), Some(relayed));
    assert_eq!(refused(sqlstate::CANNOT_CONNECT_NOW).fault(), None);
}

#[test]
fn a_server_that_repeats_the_secret_has_it_told_to_nobody() {
    for secret in ["correct horse", "md54b5f41e8a9b1a0a1ee1ae5a2d5a2d5a2"] {
        let (mut handshake, _) = Handshake::start(plan(Some(Secret::parse(secret))));
        feed(&mut handshake, &bytes(authentication::write_cleartext_request)).unwrap();
        let echo = format!("wrong: {secret}, {secret}");
        let payload = format!("S{secret}\0C{secret}\0M{echo}\0\0");
        let message = bytes(|out| encode::frame(out, tag::ERROR_RESPONSE, |out| out.extend(payload.bytes())));
        let error = feed(&mut handshake, &message).unwrap_err();
        assert_eq!(error.reason(), "wrong: ***, ***");
        assert!(!format!("{error:?}").contains(secret));
    }
    let mut handshake = accepted("set x");
    handshake.plan.credential = plan(Some(Secret::parse("correct horse"))).credential;
    let answer =
        bytes(|out| encode::error(out, Severity::Error, sqlstate::PROTOCOL_VIOLATION, "correct horse"));
    feed(&mut handshake, &answer).unwrap();
    assert_eq!(handshake.query_errors(), ["ERROR: ***"]);
}

/// Its absence would tell it.
#[test]
fn a_word_that_a_server_says_by_itself_is_not_hidden() {
    let said = "password authentication failed for user \"app_of_all\", database \"database\"";
    for secret in ["user", "password", "authentication", "database", "app_of_all"] {
        let mut plan = plan(Some(Secret::parse(secret)));
        plan.user = "app_of_all".into();
        let (mut handshake, _) = Handshake::start(plan);
        let message = bytes(|out| encode::error(out, Severity::Fatal, sqlstate::INVALID_PASSWORD, said));
        assert_eq!(feed(&mut handshake, &message).unwrap_err().reason(), said, "{secret}");
    }
}

/// Whatever a server's error lacks, clients are told one that every driver can read.
#[test]
fn a_refusal_that_lacks_fields_is_told_with_a_code() {
    for (payload, text) in [
        (&b"\0"[..], ""),
        (b"SFATAL\0Mno code\0\0", "no code"),
        (b"SFATAL\0C\0Mno code\0\0", "no code"),
        (b"SFATAL\0C28\0Mhalf a code\0\0", "half a code"),
        (b"SFATAL\0C28P01 and more\0Mtoo much\0\0", "too much"),
    ] {
        let message = bytes(|out| encode::frame(out, tag::ERROR_RESPONSE, |out| out.extend(payload)));
        let fault = feed(&mut Handshake::start(plain()).0, &message).unwrap_err().fault().expect("is told");
        assert_eq!((fault.sqlstate(), &*fault.text()), (sqlstate::PROTOCOL_VIOLATION, text));
    }
    let unterminated = bytes(|out| encode::frame(out, tag::ERROR_RESPONSE, |out| out.extend(b"SFATAL\0M")));
    let error = feed(&mut Handshake::start(plain()).0, &unterminated).unwrap_err();
    assert_eq!((error.reason().as_ref(), error.fault()), ("bad packet", None));
}
