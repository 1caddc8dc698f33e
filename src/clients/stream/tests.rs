//! Streams that leave their worker's loop for a handshake, and who waits for whom meanwhile.

use super::*;
use crate::base::{Address, Micros};
use crate::clients::loop_place::{Handshakes, exit};
use crate::clients::unauthenticated::{LoginSlot, UnauthenticatedClients};
use crate::io::{Clock, Watch};
use rustix::event::epoll;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream as Std;
use std::sync::mpsc;
use std::task::Waker;

const DEADLINE: Duration = Duration::from_secs(10);

/// A server's configuration, and a client that believes it.
fn tls() -> (Acceptor, rustls::ClientConnection) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let chain = vec![made.cert.der().clone()];
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(chain[0].clone()).expect("a root");
    let server = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    let client = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let session = rustls::ClientConnection::new(Arc::new(client), name).expect("a session");
    (Acceptor::without_certificates(server.expect("a configuration")), session)
}

fn login_slot() -> LoginSlot {
    let remote = Address::Unix { port: 0, pid: 0, uid: 0 };
    Arc::new(UnauthenticatedClients::new(Clock::new())).enter(&remote)
}

/// A stream on a worker's loop that has just asked for TLS; its other end; the worker's end of its way out.
fn on_a_loop(
    pace: &Pace,
    handshakes: &Arc<Handshakes>,
) -> (ClientStream, Std, crate::clients::loop_place::Leaving) {
    let (near, far) = Std::pair().expect("a pair");
    near.set_nonblocking(true).expect("a socket");
    far.set_read_timeout(Some(DEADLINE)).expect("a socket");
    let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll"));
    let (exit, leaving) = exit(handshakes);
    let loop_place = LoopPlace { watch: Watch::new(epoll, 1), exit };
    let socket = Socket::Fresh(Some(Fresh::new(near.into(), false, loop_place)));
    (ClientStream::new(socket).paced(pace.clone()), far, leaving)
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < DEADLINE, "{what}");
        std::thread::yield_now();
    }
}

/// Blocks the only thread until the sender is dropped.
fn occupy(handshakes: &Arc<Handshakes>) -> mpsc::Sender<()> {
    let (go, wait) = mpsc::channel();
    let (exit, leaving) = exit(handshakes);
    let blocks = async move {
        exit.take().await;
        let _ = wait.recv();
    };
    begin(leaving, blocks);
    go
}

/// Polls a login on its worker for the first time: it leaves.
fn begin(leaving: crate::clients::loop_place::Leaving, login: impl Future<Output = ()> + Send + 'static) {
    let mut guest = Box::pin(leaving.guest(Box::pin(login)));
    assert!(guest.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready(), "it has left");
}

#[test]
fn who_waits_for_a_thread_of_ours_is_not_silent_and_each_flight_of_a_handshake_is_a_step() {
    let (handshakes, login_slot) =
        (Arc::new(Handshakes::start("stream", 1, 0).expect("a thread")), login_slot());
    let pace = login_slot.pace();
    let go = occupy(&handshakes);
    let (mut stream, mut far, leaving) = on_a_loop(pace, &handshakes);
    let (acceptor, mut session) = tls();
    let (done, is_done) = mpsc::channel();
    begin(leaving, async move {
        let _ = done.send(stream.start_tls(&acceptor).await.map(|()| stream));
    });
    assert_eq!(pace.waited_since(), None, "it waits for us");
    drop(go);
    wait_until("the handshake begins, and the client is silent", || pace.waited_since().is_some());
    let begun_at = pace.waited_since().expect("it is waited for");
    session.write_tls(&mut far).expect("room"); // ClientHello
    while session.is_handshaking() {
        assert!(session.read_tls(&mut far).expect("an answer") > 0);
        session.process_new_packets().expect("a sound answer");
    }
    wait_until("a flight is a step", || pace.waited_since() > Some(begun_at));
    let answered_at = pace.waited_since();
    session.write_tls(&mut far).expect("room"); // Finished
    let stream = is_done.recv_timeout(DEADLINE).expect("it ends").expect("a handshake");
    assert!(stream.is_tls() && pace.waited_since() > answered_at);
}

#[test]
fn bytes_without_a_flight_are_no_step() {
    let (handshakes, login_slot) =
        (Arc::new(Handshakes::start("stream", 1, 0).expect("a thread")), login_slot());
    let pace = login_slot.pace();
    let (mut stream, mut far, leaving) = on_a_loop(pace, &handshakes);
    let (acceptor, mut session) = tls();
    let (done, is_done) = mpsc::channel();
    begin(leaving, async move {
        let _ = done.send(stream.start_tls(&acceptor).await.is_ok());
    });
    wait_until("the handshake begins", || pace.waited_since().is_some());
    let begun_at: Option<Micros> = pace.waited_since();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).expect("room");
    let (last, front) = hello.split_last().expect("a ClientHello");
    far.write_all(front).expect("room");
    far.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket");
    assert!(far.read(&mut [0]).is_err(), "no answer");
    assert_eq!(pace.waited_since(), begun_at);
    far.write_all(&[*last]).expect("room");
    wait_until("a flight is a step", || pace.waited_since() > begun_at);
    drop(far);
    assert_eq!(is_done.recv_timeout(DEADLINE), Ok(false));
}

#[test]
fn who_has_gone_while_he_waited_for_a_thread_costs_no_handshake() {
    let (handshakes, login_slot) =
        (Arc::new(Handshakes::start("stream", 1, 0).expect("a thread")), login_slot());
    let go = occupy(&handshakes);
    let (mut stream, mut far, leaving) = on_a_loop(login_slot.pace(), &handshakes);
    let (acceptor, mut session) = tls();
    let (done, is_done) = mpsc::channel();
    begin(leaving, async move {
        let _ = done.send(stream.start_tls(&acceptor).await.map_err(|error| error.kind()));
    });
    session.write_tls(&mut far).expect("room"); // all that a handshake needs to be answered
    drop(far);
    drop(go);
    let end = is_done.recv_timeout(DEADLINE).expect("it ends");
    assert_eq!(end, Err(io::ErrorKind::ConnectionAborted), "an answer would have met a broken pipe");
}
