//! What a panic costs the login plane: the one login, cancel request or connection, and everything that it held comes back.

use super::*;
use crate::base::WorkerId;
use crate::config::Snapshot;
use crate::core::{CancelFate, CancelKey, ServerIdentity, Verdict, Want};
use crate::login::server_tls::ServerTls;
use crate::login::servers::Servers;
use crate::login::servers_tls::ServersTls;
use crate::login::{cancel_request, open};
use crate::tasks;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

fn has_said(lines: &Lines, text: &str) -> bool {
    lines.0.lock().unwrap().iter().any(|line| line.starts_with("ERROR") && line.contains(text))
}

/// A client whose login panics when it reads on once the trap is set: the login, the client's end, the trap.
fn trapped(clients: &Arc<Clients>) -> (JoinHandle<Option<()>>, UnixStream, Arc<AtomicBool>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let remote = Address::Tcp(TCP.parse().unwrap());
    let local = Address::Unix { port: 6432, pid: 1, uid: 1 };
    let (stranger, trap) = (clients.strangers.enter(&remote), Arc::new(AtomicBool::new(false)));
    let socket = Socket::Trap(ours, Arc::clone(&trap));
    let arrival = Arrival { socket, remote: remote.clone(), local, stranger, home: None };
    (tasks::spawn("client login", remote, serve(Arc::clone(clients), arrival)), theirs, trap)
}

fn counts(clients: &Clients) -> [usize; 4] {
    let visits = clients.plane.pool_entry("d", "u").unwrap().client_count() as usize;
    [clients.strangers.count(), clients.logins.count(), clients.plane.admissions.all() as usize, visits]
}

#[tokio::test]
async fn a_login_that_panics_gives_everything_back_and_is_named() {
    let (lines, _guard) = Lines::listen();
    let (clients, _doors) = clients_of("d =", "auth_type = trust");
    for is_proven in [false, true] {
        let (login, mut peer, trap) = trapped(&clients);
        if is_proven {
            say_hello(&mut peer, &[("user", "u"), ("database", "d")]).await;
        }
        let here = if is_proven { [0, 1, 1, 1] } else { [1, 1, 0, 0] };
        until(|| counts(&clients) == here).await;
        trap.store(true, Ordering::Relaxed);
        peer.write_all(b"more").await.unwrap();
        assert_eq!(login.await.unwrap(), None, "it ends by its panic");
        assert_eq!(counts(&clients), [0; 4]);
        assert!(message(&mut peer).await.is_none(), "its connection is closed");
    }
    assert!(has_said(&lines, &format!("client login ({TCP}) has panicked and ends alone")), "{lines:?}");
    let mut next = over_tcp(&clients);
    say_hello(&mut next, &[("user", "u"), ("database", "d")]).await;
    until(|| counts(&clients) == [0, 1, 1, 1]).await;
}

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
async fn dangerous() -> (Arc<Servers>, Doors, std::net::SocketAddr) {
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
    let (clients, doors) = clients_of(&format!("d = host=127.0.0.1 port={}", address.port()), "");
    let servers = Servers::new(Arc::clone(&clients.plane));
    let plane = &servers.plane;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Panics))
        .with_no_client_auth();
    let tls = ServerTls { mode: SslMode::Require, config: Some(Arc::new(config)) };
    let before = plane.policy.load_full();
    plane.policy.store(Arc::new(Policy {
        snapshot: Arc::<Snapshot>::clone(&before.snapshot),
        users: Arc::clone(&before.users),
        client_tls: None,
        server_tls: ServersTls::of_all(tls),
    }));
    (servers, doors, address)
}

#[tokio::test]
async fn a_servers_login_that_panics_gives_its_place_back_and_has_failed() {
    let (lines, _guard) = Lines::listen();
    let (servers, _doors, _) = dangerous().await;
    let plane = &servers.plane;
    let entry = plane.pool_entry("d", "u").unwrap();
    let want = || Want::Waiter { since: Micros(0) };
    let consider = || plane.places.decide(|ledger| ledger.consider(&entry.share, want(), plane.now()));
    let Verdict::Launch(opening) = consider() else { panic!("there is room") };
    let place = plane.places.given(&entry.share, opening);
    open::open(Arc::clone(&servers), Arc::clone(&entry), place, want()).await;
    assert_eq!((plane.places.all_servers(), servers.logins.count()), (0, 0));
    assert!(matches!(consider(), Verdict::Later(_)), "it counts as a login that has failed");
    let text = format!("server login ({}) has panicked and ends alone", entry.name());
    assert!(has_said(&lines, &text), "{lines:?}");
}

#[tokio::test]
async fn a_cancel_request_that_panics_gives_its_place_back_and_is_told_of_as_in_doubt() {
    let (lines, _guard) = Lines::listen();
    let (servers, _doors, address) = dangerous().await;
    let plane = &servers.plane;
    let entry = plane.pool_entry("d", "u").unwrap();
    let identity = Arc::new(ServerIdentity {
        socket_id: 77,
        database: "d".into(),
        user: "u".into(),
        remote: Address::Tcp(address),
        local: Address::Tcp(address),
        host: "127.0.0.1".into(),
        tls: String::new(),
        connected_at_epoch_s: 0,
        cancel_key: CancelKey { pid: 1, secret: Box::new([0; 4]) },
    });
    let mut told = 0;
    for _ in 0..limits::CANCELS_PER_SERVER_MAX + 3 {
        let request =
            plane.cancel_request(WorkerId(1), 5, 77, Arc::clone(&identity), identity.cancel_key.clone());
        cancel_request::begin(&servers, request);
    }
    // four at once, one behind them, and two that have joined that one
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
    assert!(has_said(&lines, "cancel request (to server S-0x4d) has panicked and ends alone"), "{lines:?}");
}
