//! The exchange of RFC 7677, what must be refused, and that no bytes at all make either side panic.

use super::*;
use proptest::prelude::*;

const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn verifier(password: &str) -> Verifier {
    let salt = BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    Verifier::Known(Arc::new(ScramSecret::derive(password.as_bytes(), &salt, 4096)))
}

fn mock() -> Verifier {
    Verifier::Mock { salt: mock_salt(&[7; 32], "nobody"), iterations: 4096 }
}

fn password(text: &str) -> Credentials {
    Credentials::Password(Password::new(text))
}

#[test]
fn the_server_says_what_rfc_7677_says() {
    let (server, first) =
        ScramServer::start(verifier("pencil"), CLIENT_FIRST.as_bytes(), SERVER_NONCE).unwrap();
    assert_eq!(first, SERVER_FIRST);
    let (last, keys) = server.finish(CLIENT_FINAL.as_bytes()).unwrap();
    assert_eq!(last, SERVER_FINAL);
    let salt = BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    assert!(keys == derive_keys(b"pencil", &salt, 4096), "the keys recovered from the proof");
}

/// Iterations that the server may ask for.
const MOST: u32 = 10_000;

fn answer(
    client: ScramClient,
    credentials: &Credentials,
    first: &str,
) -> Result<(ServerProof, String), ScramError> {
    let challenge = client.challenged(first.as_bytes(), MOST)?;
    let keys = match credentials {
        Credentials::Password(password) => challenge.sum(password).compute(),
        Credentials::Keys(keys) => keys.clone(),
    };
    Ok(challenge.answer(&keys))
}

#[test]
fn the_client_says_what_rfc_7677_says() {
    let (client, first) = ScramClient::start_as("user", CLIENT_NONCE.to_owned());
    assert_eq!(first, CLIENT_FIRST);
    let (proof, last) = answer(client, &password("pencil"), SERVER_FIRST).unwrap();
    assert_eq!(last, CLIENT_FINAL);
    assert_eq!(proof.check(SERVER_FINAL.as_bytes()), Ok(()));
}

/// A whole exchange of both sides; gives what the server learns.
fn exchange(verifier: Verifier, credentials: &Credentials) -> Result<ScramKeys, ScramError> {
    let (client, first) = ScramClient::start(nonce_text([1; NONCE_BYTES]));
    let (server, first) = ScramServer::start(verifier, first.as_bytes(), &nonce_text([2; NONCE_BYTES]))?;
    let (proof, last) = answer(client, credentials, &first)?;
    let (last, keys) = server.finish(last.as_bytes())?;
    proof.check(last.as_bytes())?;
    Ok(keys)
}

#[test]
fn keys_learnt_from_one_login_are_good_for_the_next() {
    let keys = exchange(verifier("pencil"), &password("pencil")).unwrap();
    let again = exchange(verifier("pencil"), &Credentials::Keys(keys.clone())).unwrap();
    assert!(again == keys);
    assert_eq!(exchange(verifier("pen"), &Credentials::Keys(keys)), Err(ScramError::WrongProof));
}

/// What a client of this password answers to that verifier, and what it checks the last word with.
fn answered(verifier: Verifier, text: &str) -> (ScramAnswer, ServerProof) {
    let (client, first) = ScramClient::start(nonce_text([1; NONCE_BYTES]));
    let (server, first) =
        ScramServer::start(verifier, first.as_bytes(), &nonce_text([2; NONCE_BYTES])).unwrap();
    let (proof, last) = answer(client, &password(text), &first).unwrap();
    (server.answered(last.as_bytes()).unwrap(), proof)
}

#[test]
fn one_answer_is_held_against_two_passwords_and_the_last_word_is_of_the_one_that_fits() {
    let salt = mock_salt(&[7; 32], "app");
    let verifier = |text: &str| Arc::new(ScramSecret::derive(text.as_bytes(), &salt, 4096));
    let (new, old) = (verifier("new"), verifier("old"));
    for (known, fits, other) in [("new", &new, &old), ("old", &old, &new)] {
        // whichever of them the exchange began with, or with none at all
        let mock = Verifier::Mock { salt, iterations: 4096 };
        for begun in [Verifier::Known(Arc::clone(&new)), Verifier::Known(Arc::clone(&old)), mock] {
            assert_eq!(begun.asks(), (&salt[..], 4096));
            let (answer, proof) = answered(begun, known);
            assert!(answer.proves(other).is_none());
            let (last, keys) = answer.proves(fits).unwrap();
            assert_eq!(proof.check(last.as_bytes()), Ok(()), "the client is shown that we know its password");
            assert!(keys == derive_keys(known.as_bytes(), &salt, 4096));
        }
    }
    let (answer, _) = answered(Verifier::Known(Arc::clone(&new)), "neither");
    assert!(answer.proves(&new).is_none() && answer.proves(&old).is_none());
    let elsewhere = ScramSecret::derive(b"new", b"another salt", 4096);
    let (answer, _) = answered(Verifier::Known(new), "new");
    assert!(answer.proves(&elsewhere).is_none(), "the salt that the client was told is another");
}

#[test]
fn wrong_passwords_and_unknown_users_fail_alike_at_the_end() {
    assert_eq!(exchange(verifier("pencil"), &password("pen")), Err(ScramError::WrongProof));
    assert_eq!(exchange(mock(), &password("pencil")), Err(ScramError::WrongProof));
}

#[test]
fn the_mock_salt_is_stable_per_user() {
    assert_eq!(mock_salt(&[7; 32], "a"), mock_salt(&[7; 32], "a"));
    assert_ne!(mock_salt(&[7; 32], "a"), mock_salt(&[7; 32], "b"));
    assert_ne!(mock_salt(&[7; 32], "a"), mock_salt(&[8; 32], "a"));
}

#[test]
fn the_gs2_header_of_a_client() {
    let start = |first: &str| ScramServer::start(mock(), first.as_bytes(), "s").map(|_| ());
    assert_eq!(start("n,,n=,r=abc"), Ok(()));
    assert_eq!(start("y,,n=,r=abc"), Ok(()));
    assert_eq!(start("n,,n=,r=abc,x=extension"), Ok(()));
    assert_eq!(start("p=tls-server-end-point,,n=,r=abc"), Err(ScramError::ChannelBinding));
    assert_eq!(start("n,a=admin,n=,r=abc"), Err(ScramError::Unsupported));
    assert_eq!(start("n,,m=x,n=,r=abc"), Err(ScramError::Unsupported));
    for first in
        ["", "n", "n,", "n,,", "n,,n=", "n,,n=,r=", "n,,r=abc", "x,,n=,r=abc", "n,,n=,r=a b", "n,,n=,r=a\x7f"]
    {
        assert_eq!(start(first), Err(ScramError::Malformed), "{first}");
    }
}

#[test]
fn the_last_message_must_fit_the_first() {
    let finish_with = |verifier: Verifier, first: &str, last: &str| {
        let (server, _) = ScramServer::start(verifier, first.as_bytes(), SERVER_NONCE).unwrap();
        server.finish(last.as_bytes()).map(|_| ())
    };
    let finish = |first: &str, last: &str| finish_with(verifier("pencil"), first, last);
    assert_eq!(finish(CLIENT_FIRST, CLIENT_FINAL), Ok(()));
    // A header other than the one that it began with: somebody in the middle took channel binding away.
    assert_eq!(finish(&CLIENT_FIRST.replacen('n', "y", 1), CLIENT_FINAL), Err(ScramError::Mismatch));
    assert_eq!(finish(CLIENT_FIRST, &CLIENT_FINAL.replace("biws", "eSws")), Err(ScramError::Mismatch));
    assert_eq!(finish(CLIENT_FIRST, &CLIENT_FINAL.replace("k0,p", "k1,p")), Err(ScramError::Mismatch));
    let without_nonce = format!("c=biws,{}", &CLIENT_FINAL[CLIENT_FINAL.find("p=").unwrap()..]);
    for last in [
        "",
        "c=biws",
        "c=biws,r=x",
        &without_nonce,
        &CLIENT_FINAL.replace("p=dHzb", "p="),
        &CLIENT_FINAL.replace("p=", "q="),
    ] {
        for verifier in [verifier("pencil"), mock()] {
            assert_eq!(finish_with(verifier, CLIENT_FIRST, last), Err(ScramError::Malformed), "{last}");
        }
    }
}

/// What PgBouncer allows, and `max_scram_iterations` unless it is set.
#[test]
fn a_server_may_ask_for_a_million_iterations_and_not_for_one_more() {
    let most = crate::config::Settings::default().max_scram_iterations.get();
    assert_eq!(most, 1_000_000);
    let asked = |count: &str| {
        let (client, _) = ScramClient::start_as("user", CLIENT_NONCE.to_owned());
        client.challenged(SERVER_FIRST.replace("i=4096", &format!("i={count}")).as_bytes(), most).map(|_| ())
    };
    assert_eq!(asked("1000000"), Ok(()));
    let refused = ScramError::TooManyIterations { asked: 1_000_001, allowed: most };
    assert_eq!(asked("1000001"), Err(refused));
    assert_eq!(asked("0"), Err(ScramError::Unsupported));
    for count in ["4294967296", "-1", "1e6", ""] {
        assert_eq!(asked(count), Err(ScramError::Malformed), "{count}");
    }
}

#[test]
fn a_server_that_does_not_know_the_password_is_found_out() {
    let said = |first: &str| {
        let (client, _) = ScramClient::start_as("user", CLIENT_NONCE.to_owned());
        answer(client, &password("pencil"), first)
    };
    let proof = || said(SERVER_FIRST).unwrap().0;
    assert_eq!(
        proof().check(&SERVER_FINAL.replace("6rri", "6rrj").into_bytes()),
        Err(ScramError::WrongSignature)
    );
    assert_eq!(proof().check(b"v=AAAA"), Err(ScramError::WrongSignature));
    assert_eq!(proof().check(b"e=invalid-proof"), Err(ScramError::Refused));
    assert_eq!(proof().check(b"x"), Err(ScramError::Malformed));
    let refused = |first: &str| said(first).map(|_| ()).unwrap_err();
    assert_eq!(refused(&SERVER_FIRST.replace("r=r", "r=s")), ScramError::Mismatch);
    assert_eq!(refused(&format!("r={CLIENT_NONCE},s=QQ==,i=1")), ScramError::Mismatch);
    assert_eq!(refused(&SERVER_FIRST.replace("i=4096", "i=0")), ScramError::Unsupported);
    let too_many = |asked| ScramError::TooManyIterations { asked, allowed: MOST };
    assert_eq!(refused(&SERVER_FIRST.replace("i=4096", "i=10001")), too_many(10_001));
    assert_eq!(refused(&SERVER_FIRST.replace("i=4096", "i=4294967295")), too_many(u32::MAX));
    assert!(said(&SERVER_FIRST.replace("i=4096", "i=10000")).is_ok());
    assert_eq!(refused(&SERVER_FIRST.replace("i=4096", "i=x")), ScramError::Malformed);
    assert_eq!(refused(&format!("m=x,{SERVER_FIRST}")), ScramError::Unsupported);
}

#[test]
fn passwords_are_prepared_as_postgresql_does() {
    // The examples of RFC 4013, section 3.
    assert_eq!(*prepare("I\u{ad}X".as_bytes()), b"IX");
    assert_eq!(*prepare("user".as_bytes()), b"user");
    assert_eq!(*prepare("\u{aa}".as_bytes()), b"a");
    assert_eq!(*prepare("\u{2168}".as_bytes()), b"IX");
    // Prohibited: raw.
    assert_eq!(*prepare(b"\x07"), b"\x07");
    assert_eq!(*prepare("\u{627}\u{31}".as_bytes()), "\u{627}\u{31}".as_bytes());
    // Nothing left, or not UTF-8: raw.
    assert_eq!(*prepare("\u{ad}".as_bytes()), "\u{ad}".as_bytes());
    assert_eq!(*prepare(b"\xff"), b"\xff");
}

proptest! {
    #[test]
    fn any_bytes_are_taken_without_a_panic(
        first in proptest::collection::vec(any::<u8>(), 0..64),
        last in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let _ = ScramServer::start(mock(), &first, "s");
        let (server, _) = ScramServer::start(mock(), b"n,,n=,r=abc", "s").unwrap();
        prop_assert!(server.finish(&last).is_err());
        let (client, _) = ScramClient::start("abc".to_owned());
        let keys = ScramKeys { client_key: Zeroizing::new([1; 32]), server_key: Zeroizing::new([2; 32]) };
        let _ = client.challenged(&first, MOST).map(|challenge| challenge.answer(&keys));
        let proof = ServerProof { signature: Zeroizing::new([0; 32]) };
        prop_assert!(proof.check(&last).is_err());
    }

    #[test]
    fn any_printable_first_message_is_taken_without_a_panic(first in "[nyp],{0,2}([nrm]=[a-c]{0,3},?){0,3}") {
        let _ = ScramServer::start(mock(), first.as_bytes(), "s");
    }

    #[test]
    fn any_password_proves_itself(text in ".{1,20}") {
        let salt = [1; SALT_BYTES];
        let verifier = Verifier::Known(Arc::new(ScramSecret::derive(text.as_bytes(), &salt, 1)));
        prop_assert!(exchange(verifier, &password(&text)).is_ok());
    }
}
