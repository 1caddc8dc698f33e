//! Readiness from epoll, by edges; writes one by one, or a turn's small ones together ([`Outbox`]).

use crate::arrivals::Arrivals;
use crate::pairing::{Pairing, Peer, is_farewell};
use crate::ring::Burst;
use rustix::event::{PollFd, PollFlags, epoll, poll};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io;
use std::mem::MaybeUninit;
use std::net::TcpStream;

const EVENTS_PER_TURN: usize = 512;
const READ_BYTES: usize = 64 * 1024;
const WAKE: u64 = u64::MAX;

/// How bytes get to a socket.
pub trait Outbox {
    /// Takes bytes for `to`, which must stay open until [`Outbox::flush`].
    fn put(&mut self, to: &TcpStream, bytes: &[u8]);

    /// Everything that was put has been written, or its reader is gone.
    fn flush(&mut self);
}

/// A system call for each write.
pub struct Plain;

impl Outbox for Plain {
    fn put(&mut self, to: &TcpStream, bytes: &[u8]) {
        write_whole(to, bytes);
    }

    fn flush(&mut self) {}
}

impl Outbox for Burst {
    fn put(&mut self, to: &TcpStream, bytes: &[u8]) {
        if !self.add(to.as_raw_fd(), bytes) {
            self.run();
            if !self.add(to.as_raw_fd(), bytes) {
                write_whole(to, bytes);
            }
        }
    }

    fn flush(&mut self) {
        self.run();
    }
}

/// Writes all of `bytes`, if need be waits until they are taken: nobody else is served meanwhile. That the
/// reader has gone shows when it is read.
fn write_whole(to: &TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match send(to, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::new(to, PollFlags::OUT)], None);
            }
            Err(_) => return,
        }
    }
}

/// The relay.
pub struct Relay<O> {
    epoll: OwnedFd,
    pairing: Pairing,
    clients: Vec<Option<TcpStream>>,
    servers: Vec<TcpStream>,
    outbox: O,
}

impl<O: Outbox> Relay<O> {
    /// A relay to `servers`, which are logged in and at rest.
    pub fn new(servers: Vec<TcpStream>, outbox: O) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (index, server) in servers.iter().enumerate() {
            watch(&epoll, server, Peer::Server(index).to_token())?;
        }
        Ok(Self { epoll, pairing: Pairing::new(servers.len()), clients: Vec::new(), servers, outbox })
    }

    /// Relays until a server ends.
    pub fn run(mut self, arrivals: &Arrivals) -> io::Result<()> {
        watch(&self.epoll, arrivals, WAKE)?;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let mut space = [const { MaybeUninit::uninit() }; EVENTS_PER_TURN];
            let events = match epoll::wait(&self.epoll, &mut space, None) {
                Ok((events, _)) => events,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for event in events.iter() {
                match event.data.u64() {
                    WAKE => self.let_in(arrivals)?,
                    token => match Peer::from_token(token) {
                        Peer::Client(client) => {
                            let flags = event.flags;
                            let is_last = flags.intersects(epoll::EventFlags::RDHUP);
                            self.hear_client(client, is_last, &mut buffer);
                        }
                        Peer::Server(server) => self.hear_server(server, &mut buffer)?,
                    },
                }
            }
            self.outbox.flush();
        }
    }

    fn let_in(&mut self, arrivals: &Arrivals) -> io::Result<()> {
        for stream in arrivals.take() {
            let client = self.pairing.arrive();
            watch(&self.epoll, &stream, Peer::Client(client).to_token())?;
            self.clients.push(Some(stream));
        }
        Ok(())
    }

    /// Reads until there is no more. A short read says so, too, but where the end is behind it.
    fn hear_client(&mut self, client: usize, is_last: bool, buffer: &mut [u8]) {
        while let Some(stream) = &self.clients[client] {
            match recv(stream, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((count, _)) if count > 0 => {
                    let bytes = &buffer[..count];
                    if !is_farewell(bytes) {
                        match self.pairing.server_of(client) {
                            Some(server) => self.outbox.put(&self.servers[server], bytes),
                            None => self.pairing.keep(client, bytes),
                        }
                    }
                    if count < buffer.len() && !is_last {
                        return;
                    }
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => {
                    self.outbox.flush(); // what it was sent last needs its socket
                    self.pairing.leave(client);
                    self.clients[client] = None;
                }
            }
        }
    }

    fn hear_server(&mut self, server: usize, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            match recv(&self.servers[server], &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(io::Error::other("a server has ended")),
                Ok((count, _)) => {
                    let answer = self.pairing.answer(server, &buffer[..count]);
                    if let Some(stream) = answer.to.and_then(|client| self.clients[client].as_ref()) {
                        self.outbox.put(stream, &buffer[..count]);
                    }
                    if answer.is_last
                        && let Some(request) = self.pairing.next_for(server)
                    {
                        self.outbox.put(&self.servers[server], request);
                        request.clear();
                    }
                    if count < buffer.len() {
                        return Ok(());
                    }
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn watch(epoll: &OwnedFd, source: impl AsFd, token: u64) -> io::Result<()> {
    let by_edges = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
    Ok(epoll::add(epoll, source, epoll::EventData::new_u64(token), by_edges)?)
}
