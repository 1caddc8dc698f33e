//! Every method with every kind of secret, over a socket pair with a scripted client.

use super::*;
use crate::auth::scram::ScramClient;
use crate::auth::{ScramSecret, md5};
use crate::base::{Address, Password};
use crate::clients::stream::Socket;
use crate::control::FairSemaphore;
use crate::wire::authentication::AuthRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// A client that answers whatever it is asked with `password`; gives the first request's kind.
async fn play(mut peer: UnixStream, user: &str, password: &str) -> &'static str {
    let mut first = "nothing";
    let mut scram = None;
    let mut proof = None;
    loop {
        let Ok(tag) = peer.read_u8().await else { return first };
        assert_eq!(tag, tags::server::AUTHENTICATION);
        let mut payload = vec![0; peer.read_u32().await.unwrap() as usize - 4];
        peer.read_exact(&mut payload).await.unwrap();
        let mut out = Vec::new();
        match authentication::request(&payload).unwrap() {
            AuthRequest::CleartextPassword => {
                first = "plain";
                authentication::write_password(&mut out, password.as_bytes());
            }
            AuthRequest::Md5Password { salt } => {
                first = "md5";
                let secret = Secret::Plain(Password::new(password));
                let answer = secret.md5_answer(user, salt).unwrap_or_default();
                authentication::write_password(&mut out, answer.expose().as_bytes());
            }
            AuthRequest::Sasl(mechanisms) => {
                first = "scram";
                assert!(mechanisms.offers(SCRAM_SHA_256));
                let (client, message) = ScramClient::start("abcdef".to_owned());
                scram = Some(client);
                authentication::write_sasl_initial(&mut out, SCRAM_SHA_256, message.as_bytes());
            }
            AuthRequest::SaslContinue(challenge) => {
                let challenge = scram.take().unwrap().challenged(challenge, 10_000).unwrap();
                let keys = challenge.sum(&Password::new(password)).compute();
                let (check, message) = challenge.answer(&keys);
                proof = Some(check);
                authentication::write_sasl_response(&mut out, message.as_bytes());
            }
            AuthRequest::SaslFinal(last) => {
                proof.take().unwrap().check(last).unwrap();
                continue;
            }
            other => panic!("{other:?}"),
        }
        if peer.write_all(&out).await.is_err() {
            return first;
        }
    }
}

const CLIENT: Address = Address::Unix { port: 0, pid: 0, uid: 0 };

/// A verifier of more than 1,000 iterations is too much.
fn key_derivation(semaphore: &FairSemaphore) -> KeyDerivation<'_> {
    KeyDerivation { semaphore, client: &CLIENT, iterations_max: 1_000, is_due_to_all: false }
}

async fn run(
    question: Question,
    secret: Option<&str>,
    password: &str,
) -> (&'static str, Result<bool, LoginEnd>) {
    let known: Vec<_> = secret.into_iter().collect();
    let (asked, outcome) = run_with(question, &known, &[], password).await;
    (asked, outcome.map(|(_, learns)| learns))
}

/// The same with several secrets, and with those that become known when these are not proven; gives the one
/// that was proven.
async fn run_with(
    question: Question,
    known: &[&str],
    newer: &[&str],
    password: &str,
) -> (&'static str, Result<(String, bool), LoginEnd>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let secrets =
        |texts: &[&str]| -> Vec<_> { texts.iter().map(|text| Arc::new(Secret::parse(text))).collect() };
    let (known, newer) = (secrets(known), secrets(newer));
    let server = async move {
        let mut stream = ClientStream::new(Socket::Unix(ours));
        let (verifiers, semaphore) = (Verifiers::new([1; 32]), FairSemaphore::new(1, 1));
        let rules = ProofRules {
            question,
            user: "bob",
            secrets: &known,
            scram_iterations: 16,
            random: &Randomness::default(),
            verifiers: &verifiers,
            key_derivation: key_derivation(&semaphore),
        };
        let proven = prove(&mut stream, &rules, async { newer }).await?;
        stream.send(&[]).await.unwrap(); // what is held
        Ok((proven.secret.to_text().expose().to_owned(), proven.keys.is_some()))
    };
    tokio::join!(play(theirs, "bob", password), server)
}

fn scram_secret() -> String {
    let secret = Arc::new(ScramSecret::derive(b"pencil", b"some salt", 16));
    Secret::Scram(secret).to_text().expose().to_owned()
}

#[tokio::test]
async fn every_method_takes_the_secrets_that_it_can_check() {
    let (hash, verifier) = (md5::hash(b"pencil", "bob"), scram_secret());
    let rows = [
        (Question::Plain, "pencil", "plain", true, false),
        (Question::Plain, hash.expose(), "plain", true, false),
        (Question::Plain, &verifier, "plain", true, false),
        (Question::Md5, "pencil", "md5", true, false),
        (Question::Md5, hash.expose(), "md5", true, false),
        (Question::Md5, &verifier, "scram", true, true),
        (Question::ScramSha256, "pencil", "scram", true, false),
        (Question::ScramSha256, hash.expose(), "scram", false, false),
        (Question::ScramSha256, &verifier, "scram", true, true),
    ];
    for (question, secret, method, works, learns) in rows {
        let (asked, outcome) = run(question, Some(secret), "pencil").await;
        assert_eq!(asked, method, "{question:?} {secret}");
        if works {
            assert_eq!(outcome, Ok(learns), "{question:?} {secret}");
        }
        let fault = if method == "scram" { Fault::SaslFailed } else { Fault::PasswordWrong };
        if !works {
            assert_eq!(outcome, Err(fault.clone().into()), "{question:?} {secret}");
        }
        let (_, outcome) = run(question, Some(secret), "pen").await;
        assert_eq!(outcome, Err(fault.into()), "{question:?} {secret}, wrong password");
    }
}

#[tokio::test]
async fn each_of_two_versions_of_a_password_proves_its_owner() {
    let hash = md5::hash(b"old", "bob");
    for question in [Question::Plain, Question::Md5, Question::ScramSha256] {
        for password in ["new", "old"] {
            let (_, outcome) = run_with(question, &["new", "old"], &[], password).await;
            assert_eq!(outcome, Ok((password.to_owned(), false)), "{question:?}");
        }
        let (_, outcome) = run_with(question, &["new", "old"], &[], "older").await;
        assert!(outcome.is_err(), "{question:?}");
    }
    let (_, outcome) = run_with(Question::Md5, &["new", hash.expose()], &[], "old").await;
    assert_eq!(outcome, Ok((hash.expose().to_owned(), false)));
    let verifier = scram_secret();
    let (_, outcome) = run_with(Question::ScramSha256, &[&verifier, "pen"], &[], "pencil").await;
    assert_eq!(outcome, Ok((verifier.clone(), true)), "its keys are learnt");
    // Another salt was told: nothing says whether a client that fails knows the other one.
    let (_, outcome) = run_with(Question::ScramSha256, &[&verifier, "pen"], &[], "pen").await;
    assert_eq!(outcome, Err(Fault::SaslFailed.into()));
}

#[tokio::test]
async fn an_answer_is_held_against_what_has_become_known_since() {
    for question in [Question::Plain, Question::Md5, Question::ScramSha256] {
        for known in [&["old"][..], &["old", "older"], &[], &[""]] {
            let (_, outcome) = run_with(question, known, &["new", "old"], "new").await;
            assert_eq!(outcome, Ok(("new".to_owned(), false)), "{question:?} {known:?}");
            let (_, outcome) = run_with(question, known, &["new"], "wrong").await;
            assert!(outcome.is_err(), "{question:?} {known:?}");
        }
    }
    let verifier = scram_secret();
    let (_, outcome) = run_with(Question::Plain, &["old"], &[&verifier], "pencil").await;
    assert_eq!(outcome, Ok((verifier, false)));
}

#[tokio::test]
async fn nobody_waits_for_what_is_newer_whose_proof_is_right() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = async move {
        let mut stream = ClientStream::new(Socket::Unix(ours));
        let (verifiers, semaphore) = (Verifiers::new([1; 32]), FairSemaphore::new(1, 1));
        let secrets = [Arc::new(Secret::parse("pencil"))];
        let rules = ProofRules {
            question: Question::Md5,
            user: "bob",
            secrets: &secrets,
            scram_iterations: 16,
            random: &Randomness::default(),
            verifiers: &verifiers,
            key_derivation: key_derivation(&semaphore),
        };
        prove(&mut stream, &rules, std::future::pending()).await.is_ok()
    };
    let (_, is_proven) = tokio::join!(play(theirs, "bob", "pencil"), server);
    assert!(is_proven);
}

#[tokio::test]
async fn strangers_and_users_without_a_password_go_the_same_way_and_fail() {
    for (question, method, fault) in [
        (Question::Plain, "plain", Fault::PasswordWrong),
        (Question::Md5, "md5", Fault::PasswordWrong),
        (Question::ScramSha256, "scram", Fault::SaslFailed),
    ] {
        for secret in [None, Some("")] {
            let (asked, outcome) = run(question, secret, "pencil").await;
            assert_eq!((asked, outcome), (method, Err(fault.clone().into())), "{question:?} {secret:?}");
        }
    }
}

#[tokio::test]
async fn a_verifier_that_takes_too_long_proves_nobody() {
    let verifier = |iterations| {
        let secret = Arc::new(ScramSecret::derive(b"pencil", b"some salt", iterations));
        Secret::Scram(secret).to_text().expose().to_owned()
    };
    assert_eq!(run(Question::Plain, Some(&verifier(1_000)), "pencil").await.1, Ok(false));
    let refused = run(Question::Plain, Some(&verifier(1_001)), "pencil").await.1;
    assert_eq!(refused, Err(Fault::PasswordWrong.into()));
}

/// What a client is told that answers the request for a proof with `script`.
async fn answered(question: Question, script: &[u8]) -> LoginEnd {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(script).await.unwrap();
    theirs.shutdown().await.unwrap();
    let mut stream = ClientStream::new(Socket::Unix(ours));
    let (verifiers, semaphore) = (Verifiers::new([1; 32]), FairSemaphore::new(1, 1));
    let secrets = [Arc::new(Secret::parse("pencil"))];
    let rules = ProofRules {
        question,
        user: "bob",
        secrets: &secrets,
        scram_iterations: 16,
        random: &Randomness::default(),
        verifiers: &verifiers,
        key_derivation: key_derivation(&semaphore),
    };
    prove(&mut stream, &rules, async { Vec::new() }).await.unwrap_err()
}

#[tokio::test]
async fn answers_that_are_none() {
    let startup_message = [0, 0, 0, 8, 0, 3, 0, 0];
    let fault = |fault: Fault| LoginEnd::Fault(fault);
    let silent = |text: &str| LoginEnd::Silent(text.to_owned());
    for (script, end) in [
        (&b"p\0\0\0\x05\0"[..], fault(Fault::EmptyPassword)),
        (b"p\0\0\0\x05x", fault(Fault::PasswordWrong)),
        (b"p\0\0\0\x04", fault(Fault::PasswordWrong)),
        (&startup_message, fault(Fault::StartupRepeated)),
        (b"X\0\0\0\x04", silent("client close request")),
        (b"Q\0\0\0\x05\0", fault(Fault::BadPacketHeader { hex: "510000000500".into() })),
        (b"p\0\x01\0\x01", fault(Fault::PasswordWrong)),
        (b"p\0\0\0\x03", fault(Fault::BadPacketHeader { hex: "7000000003".into() })),
        (b"p\0\0\0\x09x", silent("client unexpected eof")),
        (b"", silent("client unexpected eof")),
    ] {
        assert_eq!(answered(Question::Plain, script).await, end, "{script:?}");
    }
}

/// Whether a message that says it is so long is read on, until the client leaves in its midst.
async fn is_read_on(question: Question, bytes: usize) -> bool {
    let script = [&b"p"[..], &u32::try_from(bytes).unwrap().to_be_bytes(), b"x"].concat();
    match answered(question, &script).await {
        LoginEnd::Silent(why) => why == "client unexpected eof",
        LoginEnd::Fault(fault) => {
            let is_told = match question {
                Question::Plain => fault == Fault::PasswordWrong,
                _ => matches!(fault, Fault::BadPacketHeader { .. }),
            };
            assert!(is_told, "{fault:?}");
            false
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn only_passwords_in_clear_text_may_be_long() {
    for (question, most) in
        [(Question::Plain, 65_535), (Question::Md5, 10_239), (Question::ScramSha256, 10_239)]
    {
        assert!(is_read_on(question, most).await, "{question:?}");
        assert!(!is_read_on(question, most + 1).await, "{question:?}");
    }
}

#[tokio::test]
async fn sasl_messages_that_are_none() {
    let mut other = Vec::new();
    authentication::write_sasl_initial(&mut other, "SCRAM-SHA-256-PLUS", b"p=tls-server-end-point,,n=,r=abc");
    assert_eq!(answered(Question::ScramSha256, &other).await, Fault::SaslMechanism.into());
    let mut binding = Vec::new();
    authentication::write_sasl_initial(&mut binding, SCRAM_SHA_256, b"p=tls-server-end-point,,n=,r=abc");
    assert_eq!(answered(Question::ScramSha256, &binding).await, Fault::SaslFailed.into());
    assert_eq!(answered(Question::ScramSha256, b"p\0\0\0\x06x\0").await, Fault::SaslFailed.into());
    let no_first = b"p\0\0\0\x16SCRAM-SHA-256\0\xff\xff\xff\xff";
    assert_eq!(answered(Question::ScramSha256, no_first).await, Fault::SaslFailed.into());
}
