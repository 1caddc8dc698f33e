//! Clients that begin anew amid the proof of who they are: the exchange ends there, and proves nobody.

use super::*;

/// What may begin a connection, and has no place once a proof has been asked for.
fn beginnings() -> [Vec<u8>; 3] {
    let mut startup = Vec::new();
    startup::write_startup(&mut startup, [("user", "v"), ("database", "d")]);
    let (mut ssl, mut cancel) = (Vec::new(), Vec::new());
    startup::write_ssl_request(&mut ssl);
    startup::write_cancel_request(&mut cancel, 1, b"keys");
    [startup, ssl, cancel]
}

/// The first message of a client that proves itself by SCRAM.
fn first_of_scram() -> Vec<u8> {
    let mut out = Vec::new();
    authentication::write_sasl_initial(&mut out, authentication::SCRAM_SHA_256, b"n,,n=,r=abcdefgh");
    out
}

/// Who asks: one that is there, a user that is not, a database that is not.
const WHO: [[&str; 2]; 3] = [["u", "d"], ["nobody", "d"], ["u", "nowhere"]];

#[tokio::test]
async fn who_begins_anew_amid_a_proof_is_let_go_whoever_it_says_it_is() {
    for (method, first) in [
        ("plain", Vec::new()),
        ("md5", Vec::new()),
        ("scram-sha-256", Vec::new()),
        ("scram-sha-256", first_of_scram()),
    ] {
        let (clients, _doors) = welcoming("d =", &format!("auth_type = {method}"), "u");
        for ([user, database], beginning) in
            WHO.iter().flat_map(|who| beginnings().map(|packet| (who, packet)))
        {
            let mut peer = over_tcp(&clients);
            say_hello(&mut peer, &[("user", user), ("database", database)]).await;
            assert_eq!(message(&mut peer).await.expect("a question").0, tags::server::AUTHENTICATION);
            if !first.is_empty() {
                peer.write_all(&first).await.unwrap();
                assert_eq!(message(&mut peer).await.expect("a challenge").0, tags::server::AUTHENTICATION);
            }
            peer.write_all(&beginning).await.unwrap();
            let told = refusal(&mut peer, "").await;
            assert_eq!(told, "client re-sent startup pkt", "{method}: {user} at {database}");
            assert!(message(&mut peer).await.is_none(), "nothing is answered behind it");
        }
        until(|| clients.logins.count() == 0).await;
        assert_eq!(clients.plane.admissions.all(), 0, "nobody has come in");
    }
}

/// Of a client's last message of SCRAM the nonce is missing, or all but it.
#[tokio::test]
async fn a_last_message_without_a_nonce_proves_nobody_whoever_it_says_it_is() {
    let (clients, _doors) = welcoming("d =", "auth_type = scram-sha-256", "u");
    for ([user, database], last) in WHO.iter().flat_map(|who| {
        [&b""[..], b"c=biws", b"c=biws,p=AAAA", b"c=biws,r=,p=AAAA", b"r=abcdefgh", b"p=AAAA", b","]
            .map(|last| (who, last))
    }) {
        let mut peer = over_tcp(&clients);
        say_hello(&mut peer, &[("user", user), ("database", database)]).await;
        message(&mut peer).await.expect("a question");
        let mut out = first_of_scram();
        authentication::write_sasl_response(&mut out, last);
        peer.write_all(&out).await.unwrap();
        message(&mut peer).await.expect("a challenge");
        let told = refusal(&mut peer, "").await;
        assert_eq!(told, "SASL authentication failed", "{user} at {database}: {}", last.escape_ascii());
    }
}
