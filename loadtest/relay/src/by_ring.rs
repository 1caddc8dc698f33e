//! Everything through one io_uring: multishot receives, provided buffers, one call a turn.

use crate::arrivals::Arrivals;
use crate::pairing::{Pairing, Peer, is_farewell};
use crate::ring::{Event, Piece, Ring};
use rustix::fd::{AsFd, AsRawFd};
use std::io;
use std::net::TcpStream;

/// The relay.
pub struct Relay {
    ring: Ring,
    pairing: Pairing,
    clients: Vec<Option<TcpStream>>,
    servers: Vec<TcpStream>,
}

impl Relay {
    /// A relay to `servers`, which are logged in and at rest.
    pub fn new(servers: Vec<TcpStream>) -> io::Result<Self> {
        let mut ring = Ring::new()?;
        for (index, server) in servers.iter().enumerate() {
            ring.receive(server.as_raw_fd(), Peer::Server(index).to_token());
        }
        Ok(Self { ring, pairing: Pairing::new(servers.len()), clients: Vec::new(), servers })
    }

    /// Relays until a server ends.
    pub fn run(mut self, arrivals: &Arrivals) -> io::Result<()> {
        self.ring.poll(arrivals.as_fd().as_raw_fd());
        loop {
            match self.ring.next() {
                Event::Readable => self.let_in(arrivals),
                Event::Received(token, piece) => match Peer::from_token(token) {
                    Peer::Client(client) => self.hear_client(client, piece),
                    Peer::Server(server) => self.hear_server(server, piece),
                },
                Event::Starved(token) => self.hear_again(token),
                Event::Ended(token) => match Peer::from_token(token) {
                    Peer::Client(client) => self.see_off(client),
                    Peer::Server(_) => return Err(io::Error::other("a server has ended")),
                },
            }
        }
    }

    fn let_in(&mut self, arrivals: &Arrivals) {
        for stream in arrivals.take() {
            let client = self.pairing.arrive();
            self.ring.receive(stream.as_raw_fd(), Peer::Client(client).to_token());
            self.clients.push(Some(stream));
        }
    }

    fn hear_client(&mut self, client: usize, piece: Piece) {
        if is_farewell(self.ring.bytes(&piece)) {
            self.ring.give_back(piece); // its end comes next
            return;
        }
        match self.pairing.server_of(client) {
            Some(server) => self.ring.send(self.servers[server].as_raw_fd(), piece),
            None => {
                self.pairing.keep(client, self.ring.bytes(&piece));
                self.ring.give_back(piece); // those who wait must not hold all buffers
            }
        }
    }

    fn hear_server(&mut self, server: usize, piece: Piece) {
        let answer = self.pairing.answer(server, self.ring.bytes(&piece));
        match answer.to.and_then(|client| self.clients[client].as_ref()) {
            Some(stream) => self.ring.send(stream.as_raw_fd(), piece),
            None => self.ring.give_back(piece),
        }
        if answer.is_last
            && let Some(request) = self.pairing.next_for(server)
        {
            self.ring.send_copy(self.servers[server].as_raw_fd(), request);
            request.clear();
        }
    }

    /// The buffers had run out: what was sent meanwhile has freed some.
    fn hear_again(&mut self, token: u64) {
        let stream = match Peer::from_token(token) {
            Peer::Client(client) => self.clients[client].as_ref(),
            Peer::Server(server) => Some(&self.servers[server]),
        };
        if let Some(stream) = stream {
            self.ring.receive(stream.as_raw_fd(), token);
        }
    }

    fn see_off(&mut self, client: usize) {
        self.ring.submit(); // what it was sent last needs its socket
        self.pairing.leave(client);
        self.clients[client] = None;
    }
}
