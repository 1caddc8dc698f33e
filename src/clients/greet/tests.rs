//! Greetings over a socket pair with a scripted client, plain and TLS.

use super::*;
use crate::clients::stream::Socket;
use crate::wire::TrackedNames;
use crate::wire::startup::IgnoredNames;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;

const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
const GSS_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 48];

struct Tls {
    server: Acceptor,
    client: rustls::ClientConfig,
}

fn tls() -> Tls {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("certificate");
    let chain = vec![made.cert.der().clone()];
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("key");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(chain[0].clone()).expect("root");
    let mut server = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("server config");
    server.alpn_protocols = vec![b"postgresql".to_vec()];
    let client = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Tls { server: Acceptor::without_certificates(server), client }
}

fn startup_message() -> Vec<u8> {
    let mut out = Vec::new();
    startup::write_startup(&mut out, [("user", "u"), ("database", "d")]);
    out
}

async fn greet_with(
    tls: Option<&Acceptor>,
    tls_required: bool,
    ours: UnixStream,
) -> (ClientStream, Result<Greeting, LoginEnd>) {
    let mut stream = ClientStream::new(Socket::Unix(ours));
    let names = TrackedNames::new([]);
    let handshakes = Handshakes::default();
    let accepted = Accepted { names: &names, ignored: IgnoredNames(&[]), context_keys: None };
    let rules = GreetRules { tls, handshakes: &handshakes, tls_required, accepted };
    let greeting = greet(&mut stream, &rules).await;
    assert_eq!(handshakes.counts(), [u64::from(stream.is_tls()), 0]);
    (stream, greeting)
}

/// What is said to a client without TLS that sends `script` and closes its side.
async fn greet_plain(script: &[u8]) -> Result<Greeting, LoginEnd> {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(script).await.unwrap();
    theirs.shutdown().await.unwrap();
    greet_with(None, false, ours).await.1
}

fn user_of(greeting: Result<Greeting, LoginEnd>) -> String {
    match greeting {
        Ok(Greeting::Startup(startup)) => startup.user,
        other => panic!("no startup: {other:?}"),
    }
}

async fn expect_byte(peer: &mut (impl AsyncRead + Unpin), expected: u8) {
    assert_eq!(peer.read_u8().await.unwrap(), expected);
}

#[tokio::test]
async fn a_startup_message_byte_by_byte() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let client = async {
        for byte in startup_message() {
            theirs.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let ((_, greeting), ()) = tokio::join!(greet_with(None, false, ours), client);
    assert_eq!(user_of(greeting), "u");
}

#[tokio::test]
async fn what_follows_the_startup_message_stays_unread() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(&[startup_message(), b"query".to_vec()].concat()).await.unwrap();
    let (stream, greeting) = greet_with(None, false, ours).await;
    assert_eq!(user_of(greeting), "u");
    assert_eq!(stream.unread(), b"query");
}

#[tokio::test]
async fn bytes_smuggled_in_behind_a_request_are_refused() {
    for (request, fault) in
        [(SSL_REQUEST, Fault::UnencryptedAfterSsl), (GSS_REQUEST, Fault::UnencryptedAfterGss)]
    {
        let script = [request, &startup_message()].concat();
        assert_eq!(greet_plain(&script).await, Err(LoginEnd::Fault(fault)));
    }
}

#[tokio::test]
async fn clients_that_go_away_are_not_told_anything() {
    let gone = Err(LoginEnd::Silent("client unexpected eof".to_owned()));
    assert_eq!(greet_plain(&startup_message()[..9]).await, gone);
    assert_eq!(greet_plain(b"").await, Err(LoginEnd::Unsaid), "a probe");
}

#[tokio::test]
async fn messages_of_a_session_before_it_has_begun_are_not_answered() {
    for (script, reason) in [
        (&b"X\0\0\0\x04"[..], "bad packet"),
        (b"S\0\0\0\x04", "bad packet"),
        (b"Q\0\0\0\x0dselect 1\0", "bad packet"),
        (b"P\0\xff\0\0", "bad packet"),
    ] {
        assert_eq!(greet_plain(script).await, Err(LoginEnd::Silent(reason.to_owned())), "{script:?}");
    }
    let answer = greet_plain(b"Q\0\0\0\x03").await;
    assert!(matches!(answer, Err(LoginEnd::Fault(Fault::BadPacketHeader { .. }))), "{answer:?}");
}

#[tokio::test]
async fn cancel_requests_come_out_with_their_key() {
    let mut script = Vec::new();
    startup::write_cancel_request(&mut script, 7, b"abcd");
    assert_eq!(greet_plain(&script).await, Ok(Greeting::Cancel((*b"\0\0\0\x07abcd").into())));
}

#[tokio::test]
async fn tls_where_it_is_not_offered_is_garbage() {
    let answer = greet_plain(&[TLS_HANDSHAKE, 3, 1, 0]).await;
    assert!(matches!(answer, Err(LoginEnd::Fault(Fault::BadPacketHeader { .. }))), "{answer:?}");
}

#[tokio::test]
async fn without_tls_no_login_where_it_is_required_but_a_cancel() {
    let tls = tls();
    let run = async |script: Vec<u8>| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(&script).await.unwrap();
        greet_with(Some(&tls.server), true, ours).await.1
    };
    assert_eq!(run(startup_message()).await, Err(LoginEnd::Fault(Fault::SslRequired)));
    let mut cancel = Vec::new();
    startup::write_cancel_request(&mut cancel, 7, b"abcd");
    assert!(matches!(run(cancel).await, Ok(Greeting::Cancel(_))));
}

/// A client that does a handshake and sends `script` inside; gives what it reads until the end.
async fn tls_client<S: AsyncRead + AsyncWrite + Unpin>(
    config: rustls::ClientConfig,
    stream: S,
    script: &[u8],
) -> bool {
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let Ok(mut stream) = TlsConnector::from(Arc::new(config)).connect(name, stream).await else {
        return false;
    };
    stream.write_all(script).await.unwrap();
    stream.flush().await.unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).await;
    true
}

#[tokio::test]
async fn tls_is_negotiated() {
    let tls = tls();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let client = async {
        theirs.write_all(SSL_REQUEST).await.unwrap();
        expect_byte(&mut theirs, tags::SSL_YES).await;
        tls_client(tls.client, theirs, &[startup_message(), b"query".to_vec()].concat()).await
    };
    let server = async {
        let (stream, greeting) = greet_with(Some(&tls.server), true, ours).await;
        assert_eq!(user_of(greeting), "u");
        assert!(stream.tls_text().starts_with("TLSv1.3/TLS_"), "{}", stream.tls_text());
        let channel = stream.into_channel(Box::new(())).unwrap();
        assert_eq!(channel.unread, b"query");
        assert!(channel.tls.is_some_and(|session| !session.is_handshaking()));
    };
    let (done, ()) = tokio::join!(client, server);
    assert!(done);
}

#[tokio::test]
async fn direct_tls_with_and_without_its_protocol_name() {
    for (protocols, accepted) in
        [(vec![], true), (vec![&b"h2"[..], b"postgresql"], true), (vec![&b"h2"[..]], false)]
    {
        let mut tls = tls();
        tls.client.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = async {
            let (_, greeting) = greet_with(Some(&tls.server), true, ours).await;
            match greeting {
                Ok(Greeting::Startup(_)) => true,
                Err(LoginEnd::Handshake(reason)) => {
                    assert!(reason.starts_with("TLS handshake error: "), "{reason}");
                    false
                }
                other => panic!("{other:?}"),
            }
        };
        let script = startup_message();
        let (_, greeted) = tokio::join!(tls_client(tls.client, theirs, &script), server);
        assert_eq!(greeted, accepted, "{protocols:?}");
    }
}

#[tokio::test]
async fn tls_inside_tls_is_not_answered() {
    let tls = tls();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let client = async {
        theirs.write_all(SSL_REQUEST).await.unwrap();
        expect_byte(&mut theirs, tags::SSL_YES).await;
        tls_client(tls.client, theirs, SSL_REQUEST).await
    };
    let server = async { greet_with(Some(&tls.server), false, ours).await.1 };
    let (_, greeting) = tokio::join!(client, server);
    assert_eq!(greeting, Err(LoginEnd::Silent("SSL req inside SSL".to_owned())));
}

#[tokio::test]
async fn each_kind_of_encryption_is_asked_for_once() {
    for request in [SSL_REQUEST, GSS_REQUEST] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let client = async {
            theirs.write_all(request).await.unwrap();
            expect_byte(&mut theirs, b'N').await;
            theirs.write_all(request).await.unwrap();
            theirs.read(&mut [0]).await.unwrap_or_default()
        };
        let greeting = async { greet_with(None, false, ours).await.1 }; // our end goes with the stream
        let (greeting, answered) = tokio::join!(greeting, client);
        assert!(matches!(greeting, Err(LoginEnd::Silent(_))), "{greeting:?}");
        assert_eq!(answered, 0, "there is no second answer");
    }
}

#[tokio::test]
async fn a_client_may_ask_for_both_kinds_of_encryption() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let client = async {
        for request in [GSS_REQUEST, SSL_REQUEST] {
            theirs.write_all(request).await.unwrap();
            expect_byte(&mut theirs, b'N').await;
        }
        theirs.write_all(&startup_message()).await.unwrap();
    };
    let ((_, greeting), ()) = tokio::join!(greet_with(None, false, ours), client);
    assert_eq!(user_of(greeting), "u");
}
