//! TLS sessions through the driver, on both sides of a relay.

use super::relaying::stream_both_ways;
use super::*;
use crate::core::Farewell;
use crate::wire::tags;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};
use std::net::Shutdown;
use std::sync::Mutex;
use std::thread;

/// Both ends' settings, with a certificate made for the test.
fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("certificate");
    let cert = made.cert.der().clone();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone()).expect("root");
    let server =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert], key).expect("server");
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

fn finish(tls: &mut Connection, socket: &mut TcpStream) {
    while tls.is_handshaking() || tls.wants_write() {
        tls.complete_io(socket).expect("handshake");
    }
}

/// A TLS connection, handshake done: (what the driver gets, the far end).
pub(super) fn tls_pair(near_is_server: bool) -> (Channel, Box<Connection>, TcpStream) {
    let (server, client) = configs();
    let name = ServerName::try_from("localhost").expect("name");
    let as_server = Connection::from(ServerConnection::new(server).expect("server"));
    let as_client = Connection::from(ClientConnection::new(client, name).expect("client"));
    let (mut near, mut far) = if near_is_server { (as_server, as_client) } else { (as_client, as_server) };
    let (mut near_socket, mut far_socket) = tcp_pair();
    let handshake = thread::spawn(move || {
        finish(&mut near, &mut near_socket);
        (near, near_socket)
    });
    finish(&mut far, &mut far_socket);
    let (near, near_socket) = handshake.join().expect("handshake");
    near_socket.set_nonblocking(true).expect("non-blocking");
    (Channel { tls: Some(Box::new(near)), ..channel(near_socket) }, Box::new(far), far_socket)
}

/// A far end that one thread reads and another writes: the lock is held for one
/// session step, never for a wait.
#[derive(Clone)]
pub(super) struct Shared {
    tls: Arc<Mutex<Box<Connection>>>,
    socket: Arc<TcpStream>,
    /// Ciphertext that the session has not taken yet.
    cipher: Vec<u8>,
}

impl Shared {
    pub(super) fn new(tls: Box<Connection>, socket: TcpStream) -> Self {
        Self { tls: Arc::new(Mutex::new(tls)), socket: Arc::new(socket), cipher: Vec::new() }
    }
}

impl Read for Shared {
    fn read(&mut self, space: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.tls.lock().expect("lock").reader().read(space) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            if self.cipher.is_empty() {
                self.cipher.resize(4096, 0);
                let n = (&*self.socket).read(&mut self.cipher)?;
                self.cipher.truncate(n);
            }
            let mut tls = self.tls.lock().expect("lock");
            let taken = tls.read_tls(&mut &self.cipher[..])?;
            tls.process_new_packets().expect("records");
            self.cipher.drain(..taken);
        }
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut cipher = Vec::new();
        let written = {
            let mut tls = self.tls.lock().expect("lock");
            let written = tls.writer().write(bytes)?;
            while tls.wants_write() {
                tls.write_tls(&mut cipher)?;
            }
            written
        };
        (&*self.socket).write_all(&cipher)?;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn ten_megabytes_in_random_cuts_both_ways_through_tls_on_both_sides() {
    let mut bench = Bench::new();
    let (client, far_client_tls, far_client) = tls_pair(true);
    let (server, far_server_tls, far_server) = tls_pair(false);
    bench.driver.adopt(CLIENT, client);
    bench.driver.adopt(SERVER, server);
    let client = Shared::new(far_client_tls, far_client);
    let server = Shared::new(far_server_tls, far_server);
    stream_both_ways(&mut bench, [(client.clone(), client), (server.clone(), server)], 10_000_000);
}

#[test]
fn plain_bytes_that_came_with_the_session_are_handed_in() {
    let mut bench = Bench::new();
    let (mut client, mut far_tls, mut far) = tls_pair(true);
    far_tls.writer().write_all(b"early ").expect("write");
    far_tls.complete_io(&mut far).expect("send");
    // The session of the login plane has read it already.
    let near = client.tls.as_mut().expect("tls");
    let mut socket = TcpStream::from(client.fd.try_clone().expect("clone"));
    socket.set_nonblocking(false).expect("blocking");
    near.read_tls(&mut socket).expect("read");
    socket.set_nonblocking(true).expect("non-blocking");
    bench.driver.adopt(CLIENT, client);
    far_tls.writer().write_all(b"late").expect("write");
    far_tls.complete_io(&mut far).expect("send");
    let mut got = Vec::new();
    let mut machine = Script::new(|_, input: &[u8], _: &mut dyn Net| {
        got.extend_from_slice(input);
        input.len()
    });
    bench.run_until(&mut machine, "all bytes", |machine| machine.calls >= 2);
    drop(machine);
    assert_eq!(got, b"early late");
}

#[test]
fn both_ways_of_ending_are_an_end() {
    for is_polite in [true, false] {
        let mut bench = Bench::new();
        let (client, mut far_tls, mut far) = tls_pair(true);
        bench.driver.adopt(CLIENT, client);
        let mut machine = Script::new(|_, input: &[u8], _: &mut dyn Net| input.len());
        far_tls.writer().write_all(b"bye").expect("write");
        if is_polite {
            far_tls.send_close_notify();
        }
        far_tls.complete_io(&mut far).expect("send");
        if !is_polite {
            far.shutdown(Shutdown::Both).expect("shutdown");
        }
        bench.run_until(&mut machine, "closed", |machine| machine.was_told(Told::Closed(CLIENT)));
        assert_eq!(machine.calls, 1);
    }
}

#[test]
fn a_waiting_tls_client_that_says_goodbye_is_reported_at_once() {
    let mut bench = Bench::new();
    let (client, mut far_tls, mut far) = tls_pair(true);
    bench.driver.adopt(CLIENT, client);
    let mut machine = Script::new(|peer, _: &[u8], net: &mut dyn Net| {
        net.pause(peer);
        0
    });
    far_tls.writer().write_all(b"query").expect("write");
    far_tls.complete_io(&mut far).expect("send");
    bench.run_until(&mut machine, "the query", |machine| machine.calls == 1);
    far_tls.writer().write_all(&[tags::client::TERMINATE, 0, 0, 0, 4]).expect("write");
    far_tls.send_close_notify();
    far_tls.complete_io(&mut far).expect("send");
    drop(far);
    bench.run_until(&mut machine, "closed", |machine| machine.was_told(Told::Closed(CLIENT)));
    assert_eq!(machine.calls, 1);
}

#[test]
fn a_broken_record_ends_the_connection() {
    let mut bench = Bench::new();
    let (client, _far_tls, mut far) = tls_pair(true);
    bench.driver.adopt(CLIENT, client);
    let mut machine = Script::new(|_, input: &[u8], _: &mut dyn Net| input.len());
    far.write_all(b"Q\0\0\0\x0dselect 1\0 in the clear").expect("write");
    bench.run_until(&mut machine, "closed", |machine| machine.was_told(Told::Closed(CLIENT)));
    assert_eq!(machine.calls, 0);
}

#[test]
fn close_writes_everything_and_says_goodbye() {
    let mut bench = Bench::new();
    let (client, far_tls, far) = tls_pair(true);
    bench.driver.adopt(CLIENT, client);
    let bytes = Noise(21).bytes(6_000_000);
    let mut machine = Script::new(relay);
    bench.act(&mut machine, |net| {
        net.send(CLIENT, &bytes);
        net.close(CLIENT, Farewell::Close);
    });
    let reader = thread::spawn(move || {
        let Connection::Client(tls) = *far_tls else { unreachable!("the far end is the client") };
        let mut got = Vec::new();
        // Without close_notify this would be an UnexpectedEof.
        StreamOwned::new(tls, far).read_to_end(&mut got).expect("read");
        got
    });
    bench.run_until(&mut machine, "the end", |_| reader.is_finished());
    assert!(reader.join().expect("reader") == bytes);
}

#[test]
fn many_sessions_are_written_to_together() {
    for burst in [true, false] {
        let mut bench = if burst { Bench::new() } else { Bench::with(None) };
        let mut far = Vec::new();
        for id in 0..20 {
            let (near, tls, socket) = tls_pair(true);
            bench.driver.adopt(Peer::Client(ClientId(id)), near);
            far.push(Shared::new(tls, socket));
        }
        let (mut machine, mut rounds) = (Script::new(relay), 0u16);
        while !machine.was_told(Told::Blocked(Peer::Client(ClientId(0)))) {
            let piece = rounds.to_be_bytes().repeat(500);
            bench.act(&mut machine, |net| {
                for id in 0..20 {
                    net.send(Peer::Client(ClientId(id)), &piece[..300]);
                    net.send(Peer::Client(ClientId(id)), &piece[300..]);
                }
            });
            rounds += 1;
            assert!(rounds < 60_000, "the socket is never full");
        }
        let expected: Vec<u8> = (0..rounds).flat_map(|round| round.to_be_bytes().repeat(500)).collect();
        bench.read_all(&mut machine, far, &expected);
    }
}
