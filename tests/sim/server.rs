//! A simulated PostgreSQL server process: a [`Backend`] at the far end of a wire, which
//! watches who speaks to it.
//!
//! It asserts the tenants' isolation from inside: within a transaction, a batch or a COPY all statements are
//! one client's, that client belongs to this server's pool, and the pooler itself speaks only in between. In
//! session pooling a server is one client's until the pooler has reset it.

use super::backend::{Backend, Work};
use super::ground::{Event, Ground};
use super::session::Session;
use super::sql::client_of;
use pgweir::base::Micros;
use pgweir::core::Authorization;
use pgweir::wire::FrameHeader;
use pgweir::wire::encode::{self, Severity};
use pgweir::wire::tags::client::{COPY_DATA, COPY_DONE, COPY_FAIL, FLUSH, TERMINATE};
use pgweir::wire::tags::server::NOTIFICATION_RESPONSE;

/// Answers not yet written that make a server stop taking messages.
const UNSENT_BYTES_MAX: usize = 40_000;

/// What a server knows of the clients: each one's pool, by its number.
pub type PoolsOfClients = Vec<usize>;

#[expect(clippy::struct_excessive_bools, reason = "separate facts, not states of one thing")]
#[derive(Debug)]
pub struct SimServer {
    pub socket: u64,
    pub pool: usize,
    /// What a cancel request must bring.
    pub secret: u64,
    pub is_alive: bool,
    /// A pool in which a server belongs to one client until it is reset.
    keeps_owner: bool,
    /// Speaks unasked now and then.
    is_chatty: bool,
    backend: Backend,
    unsent: Vec<u8>,
    owner: Option<u32>,
    runs: u64,
    is_timed: bool,
    /// When its login began and was over, and how long that is good for.
    pub connected_at: Micros,
    pub born_at: u64,
    /// When it was free, as far as anybody has looked: at passes, and until transactions began on
    /// it; in worlds of renewals.
    pub free_at: Vec<Micros>,
    pub authorization: Option<Authorization>,
    /// Where it is.
    pub address: u8,
    /// The replication client that alone may ever speak to it.
    pub replica: Option<u32>,
}

impl SimServer {
    pub fn new(socket: u64, pool: usize, session: Session, keeps_owner: bool, ground: &mut Ground) -> Self {
        Self {
            socket,
            pool,
            secret: ground.rng.next(),
            is_alive: true,
            keeps_owner,
            is_chatty: ground.rng.percent(30),
            backend: Backend::new(session),
            unsent: Vec::new(),
            owner: None,
            runs: 0,
            is_timed: false,
            connected_at: Micros(0),
            born_at: ground.now,
            free_at: Vec::new(),
            authorization: None,
            address: 0,
            replica: None,
        }
    }

    /// Reads, works, writes.
    pub fn turn(&mut self, index: usize, clients: &PoolsOfClients, ground: &mut Ground) {
        if !self.is_alive {
            return;
        }
        if self.unsent.len() < UNSENT_BYTES_MAX {
            let bytes_max = ground.cut(self.socket);
            let wire = &mut ground.wires[self.socket as usize];
            let has_more = !wire.down.is_empty();
            self.backend.feed(&wire.hear(bytes_max));
            if has_more {
                ground.wake_pooler(self.socket);
                ground.wake_remote(self.socket);
            }
        }
        self.work(index, clients, ground);
        self.flush(ground);
        let wire = &ground.wires[self.socket as usize];
        if self.is_alive && wire.down.is_ended() && self.backend.sleeping().is_none() {
            self.end(ground);
        }
    }

    fn work(&mut self, index: usize, clients: &PoolsOfClients, ground: &mut Ground) {
        while self.unsent.len() < UNSENT_BYTES_MAX {
            match self.backend.step() {
                Work::Done => {
                    assert_eq!(self.backend.session.context, "", "a server heard of a client's context");
                    self.watch(clients, ground);
                }
                Work::Idle => break,
                Work::Sleeping(us) => {
                    if !std::mem::replace(&mut self.is_timed, true) {
                        self.runs += 1;
                        ground.after(us, Event::StatementOver { server: index as u64, run: self.runs });
                    }
                    break;
                }
            }
        }
        if self.backend.is_ended() {
            self.flush(ground);
            self.end(ground);
        }
    }

    /// Nobody who is to end begins a transaction, by what it has sent since then; but behind a COMMIT that it
    /// had sent before, in the same batch, since nobody keeps those in mind.
    fn look_for_late_begin(&mut self, ground: &Ground) {
        let Some(begun) = self.backend.begun.take() else { return };
        let Some(from) = ground.wires[self.socket as usize].late_from else { return };
        let is_late = begun.ends_at > from && begun.behind.is_none_or(|commit| commit > from);
        assert!(!is_late, "a transaction begins on server {} whose client is to end: {begun:?}", self.socket);
    }

    /// Looks at what was just run, and takes the answers over.
    fn watch(&mut self, clients: &PoolsOfClients, ground: &mut Ground) {
        self.look_for_late_begin(ground);
        for tag in std::mem::take(&mut self.backend.seen) {
            assert!(
                self.replica.is_none_or(|own| client_of(&tag) == Some(own)),
                "server {} is replication client {:?}'s, but ran {tag}",
                self.socket,
                self.replica
            );
            let Some(client) = client_of(&tag) else {
                assert!(
                    self.owner.is_none() || (self.keeps_owner && self.backend.session.status() == b'I'),
                    "the pooler spoke to server {} in the middle of client {:?}'s work",
                    self.socket,
                    self.owner
                );
                self.owner = None;
                continue;
            };
            assert_eq!(clients[client as usize], self.pool, "client {client} reached another pool's server");
            let owner = *self.owner.get_or_insert(client);
            assert_eq!(owner, client, "server {} is client {owner}'s, but ran {tag}", self.socket);
        }
        let is_at_rest = self.backend.is_at_rest();
        if is_at_rest && !self.keeps_owner {
            self.owner = None;
        }
        for frame in std::mem::take(&mut self.backend.out) {
            self.unsent.extend(frame);
        }
        if is_at_rest && self.is_chatty && ground.rng.percent(20) {
            self.chatter(ground);
        }
    }

    /// Other sessions notify this one, which has listened: at once if it is at rest. Many, and long ones.
    pub fn is_notified(&mut self, ground: &mut Ground) {
        if !self.is_alive || !self.backend.is_at_rest() || self.unsent.len() > UNSENT_BYTES_MAX {
            return;
        }
        ground.log(|| format!("server {} is notified", self.socket));
        let long_bytes = (ground.cuts.read_bytes_max as u64).min(ground.cuts.wire_bytes.0) * 20;
        let long_bytes = long_bytes.clamp(40, 8_000);
        for _ in 0..ground.rng.range(1, 12) {
            let payload_bytes =
                if ground.rng.percent(30) { ground.rng.below(long_bytes) } else { ground.rng.below(40) };
            encode::frame(&mut self.unsent, NOTIFICATION_RESPONSE, |out| {
                out.extend([0, 0, 0, 7]);
                encode::cstr(out, b"channel");
                encode::cstr(out, &vec![b'n'; payload_bytes as usize]);
            });
        }
        self.flush(ground);
    }

    /// Messages that nobody asked for.
    fn chatter(&mut self, ground: &mut Ground) {
        match ground.rng.below(3) {
            0 => encode::frame(&mut self.unsent, NOTIFICATION_RESPONSE, |out| {
                out.extend([0, 0, 0, 7]);
                encode::cstr(out, b"channel");
                encode::cstr(out, b"payload");
            }),
            1 => encode::parameter_status(&mut self.unsent, "in_hot_standby", "off"),
            _ => encode::notice(&mut self.unsent, Severity::Notice, "00000", "unasked", None),
        }
    }

    pub fn flush(&mut self, ground: &mut Ground) {
        let wire = &mut ground.wires[self.socket as usize];
        if wire.is_dropped {
            self.unsent.clear();
        }
        let renews_keys = wire.tls.is_some() && ground.rng.percent(3);
        let written = wire.say(&self.unsent, renews_keys);
        self.unsent.drain(..written);
        if written > 0 {
            ground.wake_pooler(self.socket);
        }
        let has_work = self.backend.has_work() || !ground.wires[self.socket as usize].down.is_empty();
        if written > 0 && self.unsent.len() < UNSENT_BYTES_MAX && has_work {
            ground.wake_remote(self.socket);
        }
    }

    /// Some of what it has said has not been heard yet: perhaps half a notice has.
    pub fn is_speaking(&self, ground: &Ground) -> bool {
        !self.unsent.is_empty() || !ground.wires[self.socket as usize].up.is_empty()
    }

    /// Nothing is under way to it or from it.
    pub fn is_quiet(&self, ground: &Ground) -> bool {
        let wire = &ground.wires[self.socket as usize];
        !self.is_speaking(ground) && wire.down.is_empty() && wire.owed.is_empty()
    }

    /// In no transaction, with nothing to do when it has read `coming`. COPY data may be left over from one
    /// that has failed, and a Flush asks for nothing by itself.
    pub fn is_at_rest(&self, coming: &[u8]) -> bool {
        let stream = [self.backend.unread(), coming].concat();
        let mut rest = &stream[..];
        let mut is_quiet = self.backend.is_at_rest();
        while let Some(tag) = rest.first() {
            is_quiet &= [COPY_DATA, COPY_DONE, COPY_FAIL, FLUSH, TERMINATE].contains(tag);
            let header = FrameHeader::read(rest, u32::MAX).expect("a header as PostgreSQL takes it");
            rest = header.and_then(|header| rest.get(header.frame_bytes..)).unwrap_or_default();
        }
        is_quiet
    }

    pub fn end(&mut self, ground: &mut Ground) {
        ground.log(|| format!("server {} ends", self.socket));
        self.is_alive = false;
        let wire = &mut ground.wires[self.socket as usize];
        wire.say_end();
        wire.is_left = true;
        ground.wake_pooler(self.socket);
    }

    /// A statement's time is over.
    pub fn statement_over(&mut self, index: usize, run: u64, clients: &PoolsOfClients, ground: &mut Ground) {
        if self.is_alive && self.is_timed && run == self.runs && self.backend.sleeping().is_some() {
            self.is_timed = false;
            self.backend.wake();
            self.watch(clients, ground);
            self.turn(index, clients, ground);
        }
    }

    /// A cancel request has come; whether it broke anything off.
    pub fn cancel(&mut self, index: usize, clients: &PoolsOfClients, ground: &mut Ground) -> bool {
        let applies = self.is_alive && self.backend.sleeping().is_some();
        if applies {
            ground.log(|| format!("server {} is cancelled", self.socket));
            self.is_timed = false;
            self.backend.cancel();
            self.watch(clients, ground);
            self.turn(index, clients, ground);
        }
        applies
    }

    /// Ends in the middle of whatever it does: with a last word, or as if its machine had died.
    pub fn die(&mut self, with_last_word: bool, ground: &mut Ground) {
        if !self.is_alive {
            return;
        }
        ground.log(|| format!("server {} dies, last word: {with_last_word}", self.socket));
        if with_last_word {
            self.backend.die(&format!("terminating connection {}", self.socket));
            for frame in std::mem::take(&mut self.backend.out) {
                self.unsent.extend(frame);
            }
            self.flush(ground);
        } else {
            ground.wires[self.socket as usize].reset();
        }
        self.end(ground);
    }

    /// At rest with nothing under way: its parameters change by themselves, as after a reload
    /// of its own configuration.
    pub fn change_by_itself(&mut self, at: usize, value: &str, ground: &mut Ground) -> bool {
        let wire = &mut ground.wires[self.socket as usize];
        // Heard in one piece, or others come in between.
        let has_room = wire.up.room() >= 64;
        let is_quiet =
            has_room && wire.up.is_empty() && wire.down.is_empty() && !wire.is_reset && !wire.is_dropped;
        if !self.is_alive || !is_quiet || !self.unsent.is_empty() || !self.backend.is_at_rest() {
            return false;
        }
        self.backend.session.force(at, value);
        for (name, value) in self.backend.session.take_changes() {
            encode::parameter_status(&mut self.unsent, &name, &value);
        }
        self.flush(ground);
        true
    }
}
