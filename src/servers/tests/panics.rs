//! What a panic on the way to a server costs: the one login or cancel request, and everything
//! that it held comes back.

use crate::base::{Address, Micros, WorkerId, limits};
use crate::config::{Snapshot, SslMode};
use crate::control::tests::{Lines, policy};
use crate::control::{LauncherReceiver, Plane, Policy, WorkerSet};
use crate::core::{CancelFate, ServerIdentity, Verdict, Want};
use crate::servers::{Servers, attempt, cancel_request};
use crate::tls::{ServerTls, ServersTls};
use crate::worker::{Mail, WorkerHandle};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Panics as soon as a handshake begins.
#[derive(Debug)]
struct Panics;

impl ServerCertVerifier for Panics {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        unreachable!("no handshake comes so far")
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        unreachable!("no handshake comes so far")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        unreachable!("no handshake comes so far")
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        panic!("as a handshake begins")
    }
}

/// Servers: every connection to the one of `d` panics; and that server.
async fn dangerous() -> (Arc<Servers>, LauncherReceiver, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 8];
            if stream.read_exact(&mut request).await.is_ok() {
                let _ = stream.write_all(b"S").await;
            }
        }
    });
    let workers = [WorkerHandle::new().unwrap(), WorkerHandle::new().unwrap()];
    let policy = policy(&format!("d = host=127.0.0.1 port={}", address.port()), "");
    let workers = WorkerSet { handles: workers.into(), ..WorkerSet::none() };
    let (plane, inbox) = Plane::new(Arc::new(policy), workers);
    let servers = Servers::new(plane);
    let plane = &servers.plane;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Panics))
        .with_no_client_auth();
    let tls = ServerTls { mode: SslMode::Require, config: Some(Arc::new(config)), ..ServerTls::disabled() };
    let before = plane.policy.load_full();
    plane.policy.store(Arc::new(Policy {
        snapshot: Arc::<Snapshot>::clone(&before.snapshot),
        users: Arc::clone(&before.users),
        hba: Arc::clone(&before.hba),
        ldap: before.ldap.clone(),
        tokens: before.tokens.clone(),
        callers: None,
        client_tls: None,
        server_tls: ServersTls::of_all(tls),
        files: before.files.clone(),
    }));
    (servers, inbox, address)
}

#[tokio::test]
async fn a_servers_login_that_panics_gives_its_place_back_and_has_failed() {
    let (lines, _guard) = Lines::listen();
    let (servers, _inbox, _) = dangerous().await;
    let plane = &servers.plane;
    let entry = plane.pool_entry("d", "u").unwrap();
    let want = || Want::Waiter { since: Micros(0) };
    let consider = || plane.places.decide(|ledger| ledger.consider(&entry.share, want(), plane.now()));
    let Verdict::Launch(opening) = consider() else { panic!("there is room") };
    let place = plane.places.given(&entry.share, opening);
    attempt::open(Arc::clone(&servers), Arc::clone(&entry), place, want(), None).await;
    assert_eq!((plane.places.all_servers(), servers.logins.count()), (0, 0));
    assert!(matches!(consider(), Verdict::Later(_)), "it counts as a login that has failed");
    let text = format!("server login ({}) has panicked and was ended, all else goes on", entry.name());
    assert!(lines.has_error(&text), "{lines:?}");
}

#[tokio::test]
async fn a_cancel_request_that_panics_gives_its_place_back_and_is_told_of_as_in_doubt() {
    let (lines, _guard) = Lines::listen();
    let (servers, _inbox, address) = dangerous().await;
    let plane = &servers.plane;
    let entry = plane.pool_entry("d", "u").unwrap();
    let identity = Arc::new(ServerIdentity {
        database: "d".into(),
        user: "u".into(),
        remote: Address::Tcp(address),
        ..ServerIdentity::for_tests(77)
    });
    let mut told = 0;
    for _ in 0..limits::CANCELS_PER_SERVER_MAX + 3 {
        let request =
            plane.cancel_request(WorkerId(1), 5, 77, Arc::clone(&identity), identity.cancel_key.clone());
        cancel_request::begin(&servers, request);
    }
    // Four at once, one behind them, and two that have joined that one.
    while told < limits::CANCELS_PER_SERVER_MAX + 3 {
        let letters = plane.workers[1].take();
        let over = letters.iter().filter(|letter| matches!(letter, Mail::CancelOver(77, _))).count();
        let unknown =
            letters.iter().filter(|letter| matches!(letter, Mail::CancelOver(77, CancelFate::Unknown)));
        let never_sent = over - unknown.count();
        assert!(never_sent == if told == 0 { 2 } else { 0 }, "{never_sent} of {over} after {told}");
        told += over;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(plane.places.pool_cancels(entry.share.id), 0);
    assert!(
        lines.has_error("cancel request (to server S-0x4d) has panicked and was ended, all else goes on"),
        "{lines:?}"
    );
}
