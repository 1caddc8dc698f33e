//! Every connection of one worker, and what the machine may ask of them (`core::Net`).
//!
//! A call of the machine ([`Call`]) only notes down what is to be done; system calls happen after it has
//! returned ([`Table::settle`]), so that one destination costs one write and the machine is never entered
//! twice. Small messages wait a little longer: they are written together (`burst.rs`), at the end of the turn
//! or when [`GATHERED_PIECES_MAX`] of them are there. What is borrowed of a large input is written before the
//! call is over. A connection that the machine has closed stays here without an id until it has been seen off
//! (`linger.rs`); one that it moves takes along whatever is unsent.

mod call;

use super::conn::{Conn, flag};
use super::kernel::{Kernel, Linux, Socket};
use super::key::Key;
use super::outgoing::Outgoing;
use super::{Burst, Channel, Machine};
use crate::base::{Micros, Peer, WorkerId, limits};
use crate::core::{MovedServer, Note};
pub(super) use call::Call;
use rustix::event::epoll;
use rustix::fd::OwnedFd;
use slab::Slab;
use std::collections::VecDeque;

/// Inputs up to this many bytes are copied, so that what is sent of them may wait; larger
/// ones are written at once.
const GATHERED_INPUT_BYTES_MAX: usize = 2048;

/// Messages that wait to be written. It bounds how long the first of them waits, at some
/// microseconds for each of them.
const GATHERED_PIECES_MAX: usize = 64;

/// A server that leaves for another worker.
pub struct Departure<S = OwnedFd> {
    /// Where it goes.
    pub to: WorkerId,
    /// Socket, TLS session, bytes not consumed, bytes not sent.
    pub channel: Channel<S>,
    /// What the machine knows of it.
    pub state: MovedServer,
    /// Where it was here.
    pub(super) from: Key,
}

/// What has happened to a connection while something else was being done.
pub(super) enum ConnEvent {
    /// It does not take what is sent to it: the machine must be told.
    Blocked(Key),
    /// The machine has closed it: it must be seen off.
    Closing(Key),
}

/// The connections of one worker.
pub(super) struct Table<K: Kernel = Linux> {
    pub(super) kernel: K,
    pub(super) conns: Slab<Conn<K::Socket>>,
    clients: Vec<Key>,
    servers: Vec<Key>,
    /// What waits for the end of the turn: it borrows nothing.
    pub(super) waiting: Outgoing<'static>,
    burst: Option<Burst<K::Ring>>,
    pub(super) news: VecDeque<ConnEvent>,
    pub(super) ready: VecDeque<Key>,
    pub(super) lingering: Vec<(Micros, Key)>,
    pub(super) departures: Vec<Departure<K::Socket>>,
    pub(super) notes: Vec<Note>,
    generation: u32,
    /// Connections ended by [`Table::fail`].
    pub(super) faults: u64,
}

impl<K: Kernel> Table<K> {
    /// An empty table.
    pub(super) fn new(kernel: K, burst: Option<Burst<K::Ring>>) -> Self {
        Self {
            kernel,
            conns: Slab::with_capacity(limits::CONNECTIONS_AT_START),
            clients: Vec::new(),
            servers: Vec::new(),
            waiting: Outgoing::default(),
            burst,
            news: VecDeque::new(),
            ready: VecDeque::new(),
            lingering: Vec::new(),
            departures: Vec::new(),
            notes: Vec::new(),
            generation: 0,
            faults: 0,
        }
    }

    /// Takes a connection in under `peer`, which must be free. One that cannot be
    /// watched is reported as closed.
    pub(super) fn adopt(&mut self, peer: Peer, channel: Channel<K::Socket>) {
        self.generation = self.generation.checked_add(1).unwrap_or(1); // 0 is not a connection's
        let mut conn = Conn::new(channel, peer, self.generation);
        let entry = self.conns.vacant_entry();
        let index = u32::try_from(entry.key()).unwrap_or(u32::MAX);
        assert!(index != u32::MAX, "more connections than a worker can number");
        let key = Key { index, generation: self.generation };
        if let Err(error) = self.kernel.add(conn.fd(), key.to_u64(), interest(false)) {
            tracing::error!("cannot watch the socket of {}: {error}", conn.fd().peer_text());
            conn.flags.set(flag::ENDED | flag::BROKEN);
        }
        conn.flush();
        let busy = conn.flags.any(flag::OFFER | flag::ENDED);
        entry.insert(conn);
        let slot = self.slot(peer);
        assert!(*slot == Key::NONE, "{peer:?} adopted twice");
        *slot = key;
        self.after_write(key);
        if busy {
            self.enqueue(key);
        }
    }

    /// The connection of `key`, unless it is gone.
    #[inline]
    pub(super) fn conn(&mut self, key: Key) -> Option<&mut Conn<K::Socket>> {
        self.conns.get_mut(key.index as usize).filter(|conn| conn.generation == key.generation)
    }

    /// Drops a connection: closes its socket, then lets its guard go.
    pub(super) fn remove(&mut self, key: Key) {
        if self.conn(key).is_some() {
            drop(self.conns.remove(key.index as usize));
        }
    }

    /// Connections that are here, open or lingering.
    pub(super) fn count(&self) -> usize {
        self.conns.len()
    }

    fn slot(&mut self, peer: Peer) -> &mut Key {
        let (slots, index) = match peer {
            Peer::Client(id) => (&mut self.clients, id.0 as usize),
            Peer::Server(id) => (&mut self.servers, id.0 as usize),
        };
        if index >= slots.len() {
            slots.resize(index + 1, Key::NONE);
        }
        &mut slots[index]
    }

    #[inline]
    pub(super) fn find(&self, peer: Peer) -> Option<Key> {
        let key = match peer {
            Peer::Client(id) => self.clients.get(id.0 as usize),
            Peer::Server(id) => self.servers.get(id.0 as usize),
        };
        key.copied().filter(|key| *key != Key::NONE)
    }

    /// Frees the id; the connection stays.
    pub(super) fn forget(&mut self, peer: Peer) -> Option<Key> {
        let key = self.find(peer)?;
        *self.slot(peer) = Key::NONE;
        Some(key)
    }

    /// Lets a connection go whose peer is gone, and tells the machine.
    pub(super) fn report_closed(&mut self, machine: &mut impl Machine, key: Key, peer: Peer, now: Micros) {
        self.settle(machine, now); // it may still read
        self.forget(peer);
        self.remove(key);
        machine.closed(peer, now, &mut Call::new(self));
        self.settle(machine, now);
    }

    /// Puts a connection on the list of those that have something to do without an event.
    pub(super) fn enqueue(&mut self, key: Key) {
        let Some(conn) = self.conn(key) else { return };
        if !conn.flags.any(flag::READY) {
            conn.flags.set(flag::READY);
            self.ready.push_back(key);
        }
    }

    /// Gives `input` to the machine, keeps what it does not consume, and does what it asks.
    #[inline]
    pub(super) fn hand_in(
        &mut self,
        machine: &mut impl Machine,
        key: Key,
        peer: Peer,
        input: &[u8],
        now: Micros,
    ) {
        let (consumed, waits) = self.call_with(machine, key, peer, input, now);
        if consumed < input.len() {
            let rest = &input[consumed..];
            self.keep(key, |kept| kept.extend_from_slice(rest));
        }
        if !waits {
            self.settle(machine, now);
        }
    }

    /// As [`Table::hand_in`], for input that has an allocation of its own.
    pub(super) fn hand_in_kept(
        &mut self,
        machine: &mut impl Machine,
        key: Key,
        peer: Peer,
        mut input: Vec<u8>,
        now: Micros,
    ) {
        let (consumed, waits) = self.call_with(machine, key, peer, &input, now);
        input.drain(..consumed);
        if !input.is_empty() {
            if input.capacity() / 2 > input.len() {
                input.shrink_to_fit();
            }
            self.keep(key, |kept| *kept = input);
        }
        if !waits {
            self.settle(machine, now);
        }
    }

    /// Calls the machine with `input`. Returns how many bytes it has consumed, and whether what it has sent
    /// waits for the end of the turn: copies of a little do, what is borrowed is written here and now.
    #[inline]
    fn call_with(
        &mut self,
        machine: &mut impl Machine,
        key: Key,
        peer: Peer,
        input: &[u8],
        now: Micros,
    ) -> (usize, bool) {
        let waits = input.len() <= GATHERED_INPUT_BYTES_MAX && self.waiting.len() < GATHERED_PIECES_MAX;
        let borrowing = (!waits).then(|| std::mem::take(&mut self.waiting) as Outgoing<'_>);
        let mut call = Call { table: self, input, borrowing };
        let consumed = machine.received(peer, input, now, &mut call);
        if let Some(borrowing) = call.borrowing {
            self.write(borrowing);
        }
        if consumed > input.len() {
            self.fail(key, "more was consumed than there was");
        }
        (consumed.min(input.len()), waits)
    }

    /// Ends one connection about which this side is mistaken: what it would get or give may not be its own.
    #[cold]
    pub(super) fn fail(&mut self, key: Key, what: &str) {
        let Some(conn) = self.conn(key) else { return };
        let (peer, life) = (conn.fd().peer_text(), conn.life);
        tracing::error!("internal error, closing the connection with {peer} ({life:?}): {what}");
        conn.flags.set(flag::ENDED | flag::BROKEN);
        self.faults += 1;
        self.enqueue(key);
    }

    /// Stores what was not consumed where the connection is now: here, or on its way to another worker.
    fn keep(&mut self, key: Key, store: impl FnOnce(&mut Vec<u8>)) {
        if let Some(conn) = self.conn(key) {
            if conn.open_peer().is_some() {
                store(&mut conn.kept);
            }
        } else if let Some(departure) =
            self.departures.iter_mut().rev().find(|departure| departure.from == key)
        {
            store(&mut departure.channel.unread);
        }
    }

    /// Does what the machine's last call asked for: writes, then tells it what came of
    /// that, until nothing is left.
    pub(super) fn settle(&mut self, machine: &mut impl Machine, now: Micros) {
        self.write_waiting();
        while let Some(news) = self.news.pop_front() {
            match news {
                ConnEvent::Closing(key) => self.begin_close(key, now),
                ConnEvent::Blocked(key) => {
                    if let Some(peer) = self.conn(key).and_then(|conn| conn.open_peer()) {
                        machine.blocked(peer, &mut Call::new(self));
                        self.write_waiting();
                    }
                }
            }
        }
    }

    /// Writes everything that waits.
    #[inline]
    fn write_waiting(&mut self) {
        if !self.waiting.is_empty() {
            let waiting = std::mem::take(&mut self.waiting);
            self.write(waiting);
        }
    }

    /// Writes everything that the machine has sent.
    fn write(&mut self, outgoing: Outgoing<'_>) {
        // A single write is cheaper as a call of its own.
        let mut burst = self.burst.take_if(|_| outgoing.len() > 1);
        self.waiting = outgoing.each(|key, parts| {
            let Some(conn) = self.conn(key) else { return };
            match &mut burst {
                Some(burst) if burst.ends_with(key) || conn.takes_small(parts) => {
                    if burst.is_full() && !burst.ends_with(key) {
                        self.write_out(burst);
                    }
                    if let Some(conn) = self.conn(key) {
                        burst.add(key, conn.fd().raw(), |out| conn.seal(parts, out));
                    }
                }
                _ => {
                    conn.send(parts);
                    self.after_write(key);
                }
            }
        });
        if let Some(mut burst) = burst {
            self.write_out(&mut burst);
            self.burst = Some(burst);
        }
    }

    /// Writes what `burst` holds, and draws the consequences.
    fn write_out(&mut self, burst: &mut Burst<K::Ring>) {
        burst.run(|key, outcome, bytes| {
            if let Some(conn) = self.conn(key) {
                conn.written(outcome, bytes);
                self.after_write(key);
            }
        });
    }

    /// Draws the consequences of a write: a broken connection is looked at, a blocked one
    /// is watched and reported.
    #[inline]
    pub(super) fn after_write(&mut self, key: Key) {
        let Some(conn) = self.conn(key) else { return };
        if conn.flags.any(flag::BROKEN) {
            // What it has sent before it broke is still to be read; the end of stream comes behind.
            conn.flags.set(flag::READABLE | flag::HANGUP);
            self.enqueue(key);
        } else if conn.is_unsent() && !conn.flags.any(flag::WATCHED) {
            self.watch(key, true);
            self.news.push_back(ConnEvent::Blocked(key));
        }
    }

    /// Turns the watch for room to write on or off. It is off while nothing is unsent: a Unix socket
    /// would report each read of its peer otherwise. epoll looks at the socket's present state when
    /// told, so no edge is lost.
    pub(super) fn watch(&mut self, key: Key, on: bool) {
        let Some(conn) = self.conns.get_mut(key.index as usize) else { return };
        if on {
            conn.flags.set(flag::WATCHED);
        } else {
            conn.flags.clear(flag::WATCHED);
        }
        if let Err(error) = self.kernel.modify(conn.fd(), key.to_u64(), interest(on)) {
            tracing::error!("cannot watch the socket of {}: {error}", conn.fd().peer_text());
            conn.flags.set(flag::ENDED | flag::BROKEN);
            self.enqueue(key);
        }
    }
}

/// What is watched: always the peer's bytes and its end, by edges.
fn interest(room_to_write: bool) -> epoll::EventFlags {
    let always = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
    if room_to_write { always | epoll::EventFlags::OUT } else { always }
}
