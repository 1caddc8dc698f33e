//! The driver against real sockets, with a small machine in the place of the core.

mod bursts;
mod farewells;
mod moves;
mod relaying;
mod tls;

use super::{Burst, Channel, Clock, Epoll, Guard, Machine};
use crate::base::{ClientId, Micros, Peer, ServerId};
use crate::core::Net;
use rustix::event::{EventfdFlags, eventfd};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const CLIENT: Peer = Peer::Client(ClientId(0));
const SERVER: Peer = Peer::Server(ServerId(0));

/// The other end of a linked pair.
fn partner(peer: Peer) -> Peer {
    match peer {
        Peer::Client(id) => Peer::Server(ServerId(id.0)),
        Peer::Server(id) => Peer::Client(ClientId(id.0)),
    }
}

/// What a script was told, besides bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Closed(Peer),
    Blocked(Peer),
    Drained(Peer),
}

/// A machine whose answer to bytes is a closure; it holds back a peer whose partner is
/// blocked, as the core does.
struct Script<F> {
    received: F,
    told: Vec<Told>,
    calls: usize,
}

impl<F: FnMut(Peer, &[u8], &mut dyn Net) -> usize> Script<F> {
    fn new(received: F) -> Self {
        Self { received, told: Vec::new(), calls: 0 }
    }

    fn was_told(&self, told: Told) -> bool {
        self.told.contains(&told)
    }
}

impl<F: FnMut(Peer, &[u8], &mut dyn Net) -> usize> Machine for Script<F> {
    fn received(&mut self, peer: Peer, input: &[u8], _: Micros, net: &mut impl Net) -> usize {
        self.calls += 1;
        (self.received)(peer, input, net)
    }

    fn closed(&mut self, peer: Peer, _: Micros, _: &mut impl Net) {
        self.told.push(Told::Closed(peer));
    }

    fn blocked(&mut self, peer: Peer, net: &mut impl Net) {
        self.told.push(Told::Blocked(peer));
        net.pause(partner(peer));
    }

    fn drained(&mut self, peer: Peer, net: &mut impl Net) {
        self.told.push(Told::Drained(peer));
        net.resume(partner(peer));
    }
}

/// Forwards everything to the partner.
fn relay(peer: Peer, input: &[u8], net: &mut dyn Net) -> usize {
    net.forward(partner(peer), 0..input.len());
    input.len()
}

/// A driver with its clock.
struct Bench {
    driver: Epoll,
    clock: Clock,
    now: Micros,
}

impl Bench {
    /// As workers have it by default: with a ring, where the kernel gives one.
    fn new() -> Self {
        Self::with(Burst::new().inspect_err(|error| eprintln!("NOT TESTED, no io_uring here: {error}")).ok())
    }

    fn with(burst: Option<Burst>) -> Self {
        let wake = eventfd(0, EventfdFlags::NONBLOCK).expect("eventfd");
        Self { driver: Epoll::new(wake, burst).expect("epoll"), clock: Clock::new(), now: Micros(0) }
    }

    /// Takes turns until `done`; panics when that takes too long.
    fn run_until<M: Machine>(&mut self, machine: &mut M, what: &str, mut done: impl FnMut(&M) -> bool) {
        let limit = Instant::now() + Duration::from_secs(30);
        while !done(machine) {
            assert!(Instant::now() < limit, "waited in vain: {what}");
            self.now =
                self.driver.turn(machine, || self.clock.now(), Micros::from_millis(5)).expect("turn").now;
            self.driver.expire(self.now);
        }
    }

    /// Takes turns until nothing happens any more for some of them.
    fn settle<M: Machine>(&mut self, machine: &mut M) {
        for _ in 0..5 {
            self.now =
                self.driver.turn(machine, || self.clock.now(), Micros::from_millis(2)).expect("turn").now;
        }
    }

    /// Reads `expected` from every far end, while the driver turns.
    fn read_all<M: Machine, S: Read + Send + 'static>(
        &mut self,
        machine: &mut M,
        far: Vec<S>,
        expected: &[u8],
    ) {
        let read = |mut far: S| {
            let mut got = vec![0; expected.len()];
            std::thread::spawn(move || far.read_exact(&mut got).map(|()| got))
        };
        let readers: Vec<_> = far.into_iter().map(read).collect();
        self.run_until(machine, "the rest", |_| readers.iter().all(|reader| reader.is_finished()));
        for reader in readers {
            assert!(reader.join().expect("reader").expect("read") == expected, "bytes differ");
        }
    }

    fn act<M: Machine>(&mut self, machine: &mut M, call: impl FnOnce(&mut dyn Net)) {
        self.driver.act(machine, self.now, |_, net| call(net));
    }
}

/// Counts how many of them are alive.
#[derive(Clone, Default)]
struct Alive(Arc<AtomicUsize>);

struct Token(Arc<AtomicUsize>);

impl Alive {
    fn guard(&self) -> Guard {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::new(Token(self.0.clone()))
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn channel(fd: impl Into<OwnedFd>) -> Channel {
    Channel { fd: fd.into(), tls: None, unread: Vec::new(), unsent: Vec::new(), guard: Box::new(()) }
}

/// A socket pair: ours, theirs.
fn unix_pair() -> (Channel, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("socket pair");
    ours.set_nonblocking(true).expect("non-blocking");
    theirs.set_read_timeout(Some(Duration::from_secs(30))).expect("timeout");
    (channel(ours), theirs)
}

/// A TCP connection over loopback: ours, theirs.
fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let theirs = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
    let ours = listener.accept().expect("accept").0;
    theirs.set_read_timeout(Some(Duration::from_secs(30))).expect("timeout");
    (ours, theirs)
}

/// A stream of bytes that shows where it is torn, and cuts to send it in. xorshift:
/// repeatable, no dependency.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..count.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(count);
        bytes
    }

    /// Writes `bytes` in pieces of every size.
    fn write_cut(&mut self, to: &mut impl Write, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let max = if self.next().is_multiple_of(4) { 200_000 } else { 3_000 };
            let (now, later) = rest.split_at(rest.len().min(1 + self.next() as usize % max));
            to.write_all(now).expect("write");
            rest = later;
        }
    }

    /// Reads `count` bytes in pieces of every size.
    fn read_cut(&mut self, from: &mut impl Read, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let mut at = 0;
        while at < count {
            let end = count.min(at + 1 + self.next() as usize % 100_000);
            at += match from.read(&mut bytes[at..end]) {
                Ok(0) => panic!("the stream ended {} bytes early", count - at),
                Ok(n) => n,
                Err(error) => panic!("read, {} bytes left: {error}", count - at),
            };
        }
        bytes
    }
}
