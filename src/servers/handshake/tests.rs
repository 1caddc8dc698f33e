//! Logins by scripted bytes: every way to prove oneself, every way to fail, cut anywhere.

mod refusals;

use super::*;
use crate::auth::scram::{ScramServer, Verifier, derive_keys};
use crate::auth::{ScramSecret, Secret, md5};
use crate::iam::{Endpoint, Token, WallClock};
use crate::servers::credential::TokenProof;
use crate::wire::encode::Severity;
use crate::wire::{Fault, sqlstate};
use proptest::prelude::*;

const NONCE: &str = "client-nonce";

fn plan(secret: Option<Secret>) -> LoginPlan {
    LoginPlan {
        user: "bob".into(),
        dbname: "shop".into(),
        startup: vec![("timezone".into(), "UTC".into())],
        connect_query: None,
        credential: secret.map(|secret| Credential::Stored(Stored { secret: Arc::new(secret), keys: None })),
        security: ChannelSecurity::None,
        nonce: NONCE.into(),
        scram_iterations_max: 4,
    }
}

fn plain() -> LoginPlan {
    plan(Some(Secret::parse("pencil")))
}

fn bytes(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// What a server says behind AuthenticationOk.
fn welcome(out: &mut Vec<u8>) {
    encode::parameter_status(out, "server_version", "15.1");
    encode::parameter_status(out, "TimeZone", "GMT");
    encode::parameter_status(out, "TimeZone", "UTC");
    encode::backend_key_data(out, 77, b"0123456789abcdef");
    encode::notice(out, Severity::Notice, sqlstate::SUCCESSFUL_COMPLETION, "hello", None);
    encode::ready_for_query(out, tags::transaction::IDLE);
}

/// Feeds everything at once and expects it to be consumed; returns what is to be sent.
fn feed(handshake: &mut Handshake, input: &[u8]) -> Result<Vec<u8>, LoginError> {
    let mut out = Vec::new();
    assert_eq!(handshake.received(input, &mut out)?, input.len());
    if let Some(sum) = handshake.sum() {
        assert_eq!(handshake.received(b"more", &mut out), Ok(0), "what comes meanwhile waits");
        handshake.computed(&sum.compute(), &mut out);
    }
    Ok(out)
}

#[test]
fn the_startup_message_says_who_and_where() {
    let (_, first) = Handshake::start(plain());
    let text = String::from_utf8_lossy(&first[8..]).into_owned();
    assert_eq!(text, "user\0bob\0database\0shop\0timezone\0UTC\0\0");
}

#[test]
fn a_server_that_trusts_is_logged_in_to() {
    let (mut handshake, _) = Handshake::start(plan(None));
    assert!(!handshake.is_accepted());
    assert!(feed(&mut handshake, &bytes(authentication::write_ok)).unwrap().is_empty());
    assert!(handshake.is_accepted() && !handshake.is_done());
    assert!(feed(&mut handshake, &bytes(welcome)).unwrap().is_empty());
    assert!(handshake.is_done());
    let learnt = handshake.finish();
    let pairs =
        [("server_version", "15.1"), ("TimeZone", "UTC")].map(|(name, value)| (name.into(), value.into()));
    assert_eq!(learnt.reported, pairs);
    assert_eq!(learnt.key, CancelKey { pid: 77, secret: (*b"0123456789abcdef").into() });
}

#[test]
fn a_password_in_clear_is_whatever_is_stored() {
    for stored in ["pencil", "md54b5f41e8a9b1a0a1ee1ae5a2d5a2d5a2"] {
        let (mut handshake, _) = Handshake::start(plan(Some(Secret::parse(stored))));
        let answer = feed(&mut handshake, &bytes(authentication::write_cleartext_request)).unwrap();
        assert_eq!(answer, bytes(|out| authentication::write_password(out, stored.as_bytes())));
    }
}

#[test]
fn md5_answers_from_a_password_or_its_hash() {
    let hash = md5::hash(b"pencil", "bob");
    let answers = ["pencil", hash.expose()].map(|stored| {
        let (mut handshake, _) = Handshake::start(plan(Some(Secret::parse(stored))));
        feed(&mut handshake, &bytes(|out| authentication::write_md5_request(out, *b"salt"))).unwrap()
    });
    assert_eq!(answers[0], answers[1]);
    let payload = authentication::password(&answers[0][HEADER_BYTES..]).unwrap();
    assert!(Secret::parse("pencil").is_md5_answer("bob", *b"salt", payload));
}

/// A SCRAM exchange against a real server's half. `tamper` changes the server's last message.
fn scram(
    plan: LoginPlan,
    verifier: &Arc<ScramSecret>,
    tamper: impl Fn(String) -> String,
) -> Result<Handshake, LoginError> {
    let (mut handshake, _) = Handshake::start(plan);
    let request = bytes(|out| authentication::write_sasl_request(out, SCRAM_SHA_256));
    let first = feed(&mut handshake, &request)?;
    let (mechanism, message) = authentication::sasl_initial(&first[HEADER_BYTES..]).unwrap();
    assert_eq!(mechanism, SCRAM_SHA_256.as_bytes());
    let verifier = Verifier::Known(Arc::clone(verifier));
    let (server, challenge) = ScramServer::start(verifier, message.unwrap(), "server-nonce").unwrap();
    let proof =
        feed(&mut handshake, &bytes(|out| authentication::write_sasl_continue(out, challenge.as_bytes())))?;
    let (last, _) = server.finish(&proof[HEADER_BYTES..]).expect("a right proof");
    let last = bytes(|out| {
        authentication::write_sasl_final(out, tamper(last).as_bytes());
        authentication::write_ok(out);
    });
    feed(&mut handshake, &last)?;
    Ok(handshake)
}

fn verifier() -> Arc<ScramSecret> {
    Arc::new(ScramSecret::derive(b"pencil", b"some salt", 4))
}

#[test]
fn a_server_may_not_ask_for_more_work_than_is_allowed() {
    let verifier = |iterations| Arc::new(ScramSecret::derive(b"pencil", b"some salt", iterations));
    assert!(scram(plain(), &verifier(4), |last| last).is_ok());
    let error = scram(plain(), &verifier(5), |last| last).unwrap_err();
    assert_eq!(error, LoginError::Scram(ScramError::TooManyIterations { asked: 5, allowed: 4 }));
    let told = error.log().unwrap();
    assert!(told.ends_with("the server asks for 5 iterations, max_scram_iterations is 4"), "{told}");
}

#[test]
fn scram_proves_a_password_and_passes_proven_keys_through() {
    let verifier = verifier();
    assert!(scram(plain(), &verifier, |last| last).unwrap().is_accepted());
    let keys = derive_keys(b"pencil", b"some salt", 4);
    let credential = Credential::Stored(Stored {
        secret: Arc::new(Secret::Scram(Arc::clone(&verifier))),
        keys: Some(keys),
    });
    let passed_through = LoginPlan { credential: Some(credential), ..plain() };
    assert!(scram(passed_through, &verifier, |last| last).unwrap().is_accepted());
}

#[test]
fn a_server_that_does_not_know_the_password_is_refused() {
    let forged = scram(plain(), &verifier(), |_| "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned());
    let error = forged.map(|_| ()).unwrap_err();
    assert_eq!(error, LoginError::BadSignature);
    assert_eq!(error.fault().unwrap().text(), "server login failed: invalid server signature");
}

#[test]
fn a_server_that_skips_its_proof_is_refused() {
    let (mut handshake, _) = Handshake::start(plain());
    let request = bytes(|out| authentication::write_sasl_request(out, SCRAM_SHA_256));
    feed(&mut handshake, &request).unwrap();
    let error = feed(&mut handshake, &bytes(authentication::write_ok)).unwrap_err();
    assert_eq!(error, LoginError::Scram(ScramError::Malformed));
}

#[test]
fn what_cannot_be_proven_is_the_wrong_password_type() {
    let sasl = bytes(|out| authentication::write_sasl_request(out, SCRAM_SHA_256));
    let md5 = bytes(|out| authentication::write_md5_request(out, *b"salt"));
    let clear = bytes(authentication::write_cleartext_request);
    let verifier = || Some(Secret::Scram(verifier()));
    let hash = || Some(Secret::Md5(md5::hash(b"pencil", "bob")));
    for (secret, request) in [
        (verifier(), &sasl),
        (hash(), &sasl),
        (None, &sasl),
        (verifier(), &md5),
        (None, &md5),
        (None, &clear),
    ] {
        let (mut handshake, _) = Handshake::start(plan(secret));
        let error = feed(&mut handshake, request).unwrap_err();
        assert!(matches!(error, LoginError::WrongPasswordType(_)));
        assert_eq!(error.reason(), "failed to answer authreq");
        assert_eq!(error.fault(), Some(Fault::WrongPasswordType));
    }
}

#[test]
fn methods_that_are_not_spoken_are_named() {
    let (mut handshake, _) = Handshake::start(plain());
    let plus = bytes(|out| authentication::write_sasl_request(out, "SCRAM-SHA-256-PLUS"));
    assert_eq!(feed(&mut handshake, &plus).unwrap_err(), LoginError::NoMechanism);
    let (mut handshake, _) = Handshake::start(plain());
    let gss =
        bytes(|out| encode::frame(out, tag::AUTHENTICATION, |out| out.extend_from_slice(&[0, 0, 0, 7])));
    let error = feed(&mut handshake, &gss).unwrap_err();
    assert_eq!(error.log().as_deref(), Some("unknown/unsupported auth method: 7"));
    assert_eq!(error.fault(), None, "those who wait go on waiting");
}

fn accepted(connect_query: &str) -> Handshake {
    let connect_query = Some(connect_query.into());
    let (mut handshake, _) = Handshake::start(LoginPlan { connect_query, ..plain() });
    feed(&mut handshake, &bytes(authentication::write_ok)).unwrap();
    let query = feed(&mut handshake, &bytes(welcome)).unwrap();
    assert_eq!(query, bytes(|out| encode::query(out, "set x")));
    assert!(!handshake.is_done());
    handshake
}

#[test]
fn connect_query_runs_once_and_its_answer_is_passed_over() {
    let mut handshake = accepted("set x");
    let answer = bytes(|out| {
        encode::frame(out, tag::DATA_ROW, |out| out.extend_from_slice(&vec![0; 3 << 20]));
        encode::parameter_status(out, "TimeZone", "Asia/Tokyo");
        encode::error(out, Severity::Error, sqlstate::PROTOCOL_VIOLATION, "syntax error");
        encode::ready_for_query(out, tags::transaction::IDLE);
    });
    for part in answer.chunks(100_000) {
        let mut out = Vec::new();
        let consumed = handshake.received(part, &mut out).unwrap();
        assert!(consumed == part.len() || part.len() < 100_000, "a large row is not kept");
    }
    let mut handshake = accepted("set x");
    assert!(feed(&mut handshake, &answer).unwrap().is_empty());
    assert!(handshake.is_done());
    assert_eq!(handshake.query_errors(), ["ERROR: syntax error"]);
    assert_eq!(handshake.finish().reported[1].1, "Asia/Tokyo");
}

#[test]
fn of_connect_querys_errors_some_are_kept() {
    let mut handshake = accepted("set x");
    let error = bytes(|out| encode::error(out, Severity::Error, sqlstate::PROTOCOL_VIOLATION, "again"));
    feed(&mut handshake, &error.repeat(3 * limits::CONNECT_QUERY_ERRORS_MAX)).unwrap();
    assert_eq!(handshake.query_errors(), ["ERROR: again"; limits::CONNECT_QUERY_ERRORS_MAX]);
}

#[test]
fn what_is_kept_and_told_of_a_refusal_is_short() {
    let text = "x".repeat(1_000_000);
    let refusal = bytes(|out| encode::error(out, Severity::Fatal, sqlstate::INVALID_AUTHORIZATION, &text));
    let error = feed(&mut Handshake::start(plain()).0, &refusal).unwrap_err();
    assert_eq!(error.reason().len(), limits::ERROR_TEXT_BYTES_MAX);
    assert!(error.fault().unwrap().message().len() < 2 * limits::ERROR_TEXT_BYTES_MAX);
    assert!(error.log().unwrap().len() < 2 * limits::ERROR_TEXT_BYTES_MAX);
}

#[test]
fn a_transaction_left_open_by_connect_query_is_rolled_back() {
    let mut handshake = accepted("set x");
    let ready = |status| bytes(|out| encode::ready_for_query(out, status));
    let rollback = feed(&mut handshake, &ready(tags::transaction::OPEN)).unwrap();
    assert_eq!(rollback, bytes(|out| encode::query(out, "ROLLBACK")));
    assert!(!handshake.is_done());
    feed(&mut handshake, &ready(tags::transaction::IDLE)).unwrap();
    assert!(handshake.is_done());
    let mut stubborn = accepted("set x");
    feed(&mut stubborn, &ready(tags::transaction::OPEN)).unwrap();
    assert!(feed(&mut stubborn, &ready(tags::transaction::OPEN)).is_err());
}

#[test]
fn nothing_is_taken_behind_the_login() {
    let (mut handshake, _) = Handshake::start(plan(None));
    let mut input = bytes(|out| {
        authentication::write_ok(out);
        welcome(out);
    });
    let login = input.len();
    encode::parameter_status(&mut input, "TimeZone", "x");
    assert_eq!(handshake.received(&input, &mut Vec::new()), Ok(login));
}

#[test]
fn what_has_no_place_is_refused() {
    let before_login = bytes(welcome);
    let (mut handshake, _) = Handshake::start(plain());
    let error = feed(&mut handshake, &before_login).unwrap_err();
    assert_eq!(
        (error.reason().as_ref(), &error),
        ("unknown pkt from server", &LoginError::UnknownPacket(tag::PARAMETER_STATUS))
    );
    let (mut handshake, _) = Handshake::start(plain());
    assert_eq!(feed(&mut handshake, b"R\0\0\0\x03").unwrap_err().reason(), "bad pkt header");
    let (mut handshake, _) = Handshake::start(plain());
    assert_eq!(feed(&mut handshake, b"E\x7f\xff\xff\xff").unwrap_err().reason(), "bad pkt header");
    let (mut handshake, _) = Handshake::start(plan(None));
    let many = bytes(|out| {
        authentication::write_ok(out);
        (0..=limits::SERVER_PARAMETERS_MAX).for_each(|n| encode::parameter_status(out, &n.to_string(), ""));
    });
    assert_eq!(feed(&mut handshake, &many).unwrap_err(), LoginError::TooMuch);
    let (mut handshake, _) = Handshake::start(plan(None));
    let long = bytes(|out| {
        authentication::write_ok(out);
        (0..8).for_each(|n| {
            encode::parameter_status(out, &n.to_string(), &"x".repeat(limits::PARAMETERS_BYTES_MAX / 8));
        });
    });
    assert_eq!(feed(&mut handshake, &long).unwrap_err(), LoginError::TooMuch);
}

/// Bytes come in pieces of every size, so that each of them ends a piece once.
#[test]
fn cuts_make_no_difference() {
    let input = bytes(|out| {
        authentication::write_ok(out);
        welcome(out);
        encode::command_complete(out, "SET");
        encode::ready_for_query(out, tags::transaction::IDLE);
    });
    for size in 1..=input.len() {
        let (mut handshake, _) =
            Handshake::start(LoginPlan { connect_query: Some("set x".into()), ..plan(None) });
        let (mut pending, mut out) = (Vec::new(), Vec::new());
        for piece in input.chunks(size) {
            pending.extend_from_slice(piece);
            let consumed = handshake.received(&pending, &mut out).unwrap();
            pending.drain(..consumed);
        }
        assert!(handshake.is_done() && pending.is_empty(), "{size}");
        assert_eq!(out, bytes(|out| encode::query(out, "set x")), "{size}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(
        accepted in any::<bool>(),
        input in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        let (mut handshake, _) = Handshake::start(LoginPlan { connect_query: Some("x".into()), ..plain() });
        if accepted {
            feed(&mut handshake, &bytes(authentication::write_ok)).unwrap();
        }
        if let Ok(consumed) = handshake.received(&input, &mut Vec::new()) {
            prop_assert!(consumed <= input.len());
        }
    }
}

/// The text of the tokens of these tests.
fn token_text() -> String {
    let Some(Credential::Token(proof)) = by_token(ChannelSecurity::Verified).credential else {
        panic!("a token")
    };
    proof.token.expose().to_owned()
}

/// A clock that stands still.
#[derive(Debug)]
struct At(u64);

impl WallClock for At {
    fn now(&self) -> std::time::SystemTime {
        std::time::UNIX_EPOCH + Duration::from_secs(self.0)
    }
}

/// A login with a token made at 1,000 s that is sent at `now_s`.
fn by_token_at(security: ChannelSecurity, now_s: u64) -> LoginPlan {
    let endpoint = Endpoint::new("db.abc.eu-west-1.rds.amazonaws.com", 5432, None).unwrap();
    let credentials = crate::iam::Credentials::made_of("AKID", "secret", None, None);
    let token = Token::mint(&endpoint, "bob", &credentials, At(1_000).now()).ok().unwrap();
    let credential =
        Some(Credential::Token(TokenProof { token, clock: Arc::new(At(now_s)), signed_by: None }));
    LoginPlan { credential, security, ..plan(None) }
}

fn by_token(security: ChannelSecurity) -> LoginPlan {
    by_token_at(security, 1_001)
}

#[test]
fn a_token_answers_the_request_for_a_password_from_a_verified_server() {
    let (mut handshake, _) = Handshake::start(by_token(ChannelSecurity::Verified));
    assert_eq!(handshake.stage(), Stage::Greeting);
    let answer = feed(&mut handshake, &bytes(authentication::write_cleartext_request)).unwrap();
    assert_eq!(answer, bytes(|out| authentication::write_password(out, token_text().as_bytes())));
    assert_eq!((handshake.stage(), handshake.is_accepted()), (Stage::TokenSent, false));
    feed(&mut handshake, &bytes(authentication::write_ok)).unwrap();
    assert_eq!((handshake.stage(), handshake.is_accepted()), (Stage::Authenticated, true));
    feed(&mut handshake, &bytes(welcome)).unwrap();
    assert!(handshake.is_done());
}

#[test]
fn a_token_goes_to_nobody_else() {
    for security in [ChannelSecurity::None, ChannelSecurity::Local, ChannelSecurity::Encrypted] {
        let (mut handshake, _) = Handshake::start(by_token(security));
        let mut out = Vec::new();
        let request = bytes(authentication::write_cleartext_request);
        let error = handshake.received(&request, &mut out).unwrap_err();
        assert_eq!((error, out), (LoginError::Uncovered, Vec::new()), "{security:?}");
    }
}

#[test]
fn a_token_answers_nothing_else() {
    let gss =
        bytes(|out| encode::frame(out, tag::AUTHENTICATION, |out| out.extend_from_slice(&[0, 0, 0, 7])));
    let requests = [
        (bytes(|out| authentication::write_md5_request(out, *b"salt")), Asked::Md5),
        (bytes(|out| authentication::write_sasl_request(out, SCRAM_SHA_256)), Asked::Scram),
        (bytes(|out| authentication::write_sasl_continue(out, b"r=x")), Asked::Other),
        (gss, Asked::Other),
        (bytes(authentication::write_ok), Asked::Nothing),
    ];
    for (request, asked) in requests {
        let (mut handshake, _) = Handshake::start(by_token(ChannelSecurity::Verified));
        let mut out = Vec::new();
        let error = handshake.received(&request, &mut out).unwrap_err();
        assert_eq!((&error, out.len()), (&LoginError::NotForTokens(asked), 0));
        let outcome = error.outcome(handshake.stage());
        assert!(matches!(outcome, Some(Outcome::Asked(what)) if what == asked), "{outcome:?}");
        assert_eq!(handshake.is_accepted(), asked == Asked::Nothing, "a session that PostgreSQL counts");
    }
}

#[test]
fn a_token_is_sent_once_and_while_it_is_fresh() {
    let (mut handshake, _) = Handshake::start(by_token(ChannelSecurity::Verified));
    let request = bytes(authentication::write_cleartext_request);
    feed(&mut handshake, &request).unwrap();
    assert_eq!(feed(&mut handshake, &request), Err(LoginError::NotForTokens(Asked::Other)));
    for late in [1_061, 999] {
        let (mut handshake, _) = Handshake::start(by_token_at(ChannelSecurity::Verified, late));
        let error = feed(&mut handshake, &request).unwrap_err();
        assert_eq!(error, LoginError::StaleToken);
        assert!(error.outcome(Stage::Greeting).is_none(), "no fault of the server's");
    }
}

#[test]
fn a_refusal_tells_how_far_the_login_had_come() {
    let refusal = bytes(|out| encode::error(out, Severity::Fatal, sqlstate::INVALID_AUTHORIZATION, "no"));
    let stage = |before: &[&[u8]]| {
        let (mut handshake, _) = Handshake::start(by_token(ChannelSecurity::Verified));
        before.iter().for_each(|input| drop(feed(&mut handshake, input).unwrap()));
        let error = feed(&mut handshake, &refusal).unwrap_err();
        match error.outcome(handshake.stage()) {
            Some(Outcome::Error { stage, .. }) => stage,
            other => panic!("{other:?}"),
        }
    };
    let (asks, accepts) = (bytes(authentication::write_cleartext_request), bytes(authentication::write_ok));
    assert_eq!(stage(&[]), Stage::Greeting);
    assert_eq!(stage(&[&asks]), Stage::TokenSent);
    assert_eq!(stage(&[&asks, &accepts]), Stage::Authenticated);
}

#[test]
fn a_plan_shows_no_token() {
    let plan = by_token(ChannelSecurity::Verified);
    assert!(!format!("{plan:?}").contains("X-Amz"), "{plan:?}");
}
