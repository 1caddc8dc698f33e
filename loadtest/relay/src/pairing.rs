//! Which client has which server, and when a server is free again: all that the relays know of PostgreSQL.
//!
//! An answer ends with a ReadyForQuery that says "idle". Only the last bytes received are looked at, not the
//! messages, so an answer whose read happens to end in a row with those six bytes would be taken for a whole
//! one: a load generator sends none. Never touches a socket.

use std::collections::VecDeque;
use std::iter;

/// ReadyForQuery outside a transaction: what a server's answer ends with.
const IDLE: [u8; 6] = [b'Z', 0, 0, 0, 5, b'I'];

/// Terminate: the one request that no server may see.
const TERMINATE: [u8; 5] = [b'X', 0, 0, 0, 4];

/// Whether a client says that it is leaving.
pub fn is_farewell(bytes: &[u8]) -> bool {
    bytes == TERMINATE
}

/// The last bytes of a stream, so that an end cut in two by a read is seen.
#[derive(Clone, Copy, Default)]
pub struct Tail([u8; IDLE.len()]);

impl Tail {
    /// Whether the stream, `bytes` included, ends with a server at rest.
    pub fn is_idle_after(&mut self, bytes: &[u8]) -> bool {
        if let Some(last) = bytes.last_chunk() {
            self.0 = *last;
        } else {
            self.0.rotate_left(bytes.len());
            let kept = self.0.len() - bytes.len();
            self.0[kept..].copy_from_slice(bytes);
        }
        self.0 == IDLE
    }
}

/// A socket's owner, by the order of its arrival; no number is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// One that asks.
    Client(usize),
    /// One that answers.
    Server(usize),
}

impl Peer {
    /// As the number that an event carries.
    pub fn to_token(self) -> u64 {
        match self {
            Self::Client(index) => (index as u64) << 1,
            Self::Server(index) => (index as u64) << 1 | 1,
        }
    }

    /// Who is meant by an event.
    pub fn from_token(token: u64) -> Self {
        let index = (token >> 1) as usize;
        if token & 1 == 0 { Self::Client(index) } else { Self::Server(index) }
    }
}

#[derive(Default)]
struct Client {
    server: Option<usize>,
    /// Its request, while it waits for a server.
    kept: Vec<u8>,
}

#[derive(Clone, Default)]
struct Server {
    client: Option<usize>,
    tail: Tail,
}

/// The clients, the servers, and the line.
pub struct Pairing {
    clients: Vec<Client>,
    servers: Vec<Server>,
    /// The one used last comes first, as in PgBouncer.
    free: Vec<usize>,
    line: VecDeque<usize>,
}

/// What becomes of a server's bytes.
pub struct Answer {
    /// Who gets them: nobody, where the client has left.
    pub to: Option<usize>,
    /// Whether the server is at rest behind them: [`Pairing::next_for`] says whose it is then.
    pub is_last: bool,
}

impl Pairing {
    /// So many servers, all of them free.
    pub fn new(servers: usize) -> Self {
        Self {
            clients: Vec::new(),
            servers: vec![Server::default(); servers],
            free: (0..servers).rev().collect(),
            line: VecDeque::new(),
        }
    }

    /// One more client; its number.
    pub fn arrive(&mut self) -> usize {
        self.clients.push(Client::default());
        self.clients.len() - 1
    }

    /// A client has left. A server that it leaves in the middle of a transaction is nobody's any more.
    pub fn leave(&mut self, client: usize) {
        if let Some(server) = std::mem::take(&mut self.clients[client]).server {
            self.servers[server].client = None;
        }
    }

    /// The server that a client's bytes go to; where there is none they are for [`Pairing::keep`].
    pub fn server_of(&mut self, client: usize) -> Option<usize> {
        let own = &mut self.clients[client];
        if own.server.is_none() && own.kept.is_empty() {
            own.server = self.free.pop();
            if let Some(server) = own.server {
                self.servers[server].client = Some(client);
            }
        }
        own.server
    }

    /// Keeps what a client without a server has sent, and the client's place in the line.
    pub fn keep(&mut self, client: usize, bytes: &[u8]) {
        let kept = &mut self.clients[client].kept;
        if kept.is_empty() {
            self.line.push_back(client);
        }
        kept.extend_from_slice(bytes);
    }

    /// A server has said `bytes`.
    pub fn answer(&mut self, server: usize, bytes: &[u8]) -> Answer {
        let own = &mut self.servers[server];
        Answer { to: own.client, is_last: own.tail.is_idle_after(bytes) }
    }

    /// A server is at rest: it is free, or the next client's, whose request is to be
    /// taken out and sent to it.
    pub fn next_for(&mut self, server: usize) -> Option<&mut Vec<u8>> {
        if let Some(client) = self.servers[server].client.take() {
            self.clients[client].server = None;
        }
        // Who has left stands in the line yet, without a request.
        let next =
            iter::from_fn(|| self.line.pop_front()).find(|client| !self.clients[*client].kept.is_empty());
        let Some(client) = next else {
            self.free.push(server);
            return None;
        };
        self.clients[client].server = Some(server);
        self.servers[server].client = Some(client);
        Some(&mut self.clients[client].kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_served_in_its_order_and_those_who_left_are_passed_over() {
        let mut pairing = Pairing::new(1);
        let clients: Vec<_> = (0..4).map(|_| pairing.arrive()).collect();
        assert_eq!(pairing.server_of(clients[0]), Some(0));
        for client in &clients[1..] {
            assert_eq!(pairing.server_of(*client), None);
            pairing.keep(*client, &[b'0' + *client as u8]);
        }
        pairing.leave(clients[1]);
        let answer = pairing.answer(0, b"row Z\0\0\0\x05I");
        assert!(answer.to == Some(clients[0]) && answer.is_last);
        assert_eq!(pairing.next_for(0).map(std::mem::take).as_deref(), Some(&b"2"[..]));
        assert_eq!(pairing.server_of(clients[2]), Some(0));
        assert_eq!(pairing.server_of(clients[0]), None, "it is its turn no more");
        assert_eq!(pairing.next_for(0).map(std::mem::take).as_deref(), Some(&b"3"[..]));
        assert!(pairing.next_for(0).is_none());
        assert_eq!(pairing.server_of(clients[0]), Some(0));
    }

    #[test]
    fn a_transaction_keeps_its_server_and_an_end_cut_in_two_is_one() {
        let mut tail = Tail::default();
        assert!(!tail.is_idle_after(b"Z\0\0\0\x05T"));
        assert!(!tail.is_idle_after(b"row Z\0\0"));
        assert!(!tail.is_idle_after(b"\0\x05"));
        assert!(tail.is_idle_after(b"I"));
        assert!(tail.is_idle_after(b"Z\0\0\0\x05I"));
    }
}
