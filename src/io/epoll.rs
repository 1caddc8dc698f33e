//! The epoll driver: one turn of one worker's loop.
//!
//! Edge-triggered: a read into the worker's one buffer, the machine, one write per destination; small ones
//! together at the end of the turn ([`Burst`]), large ones at once and from where the bytes lie. A short read
//! counts as "empty" and saves the call that would say so. Reads of one connection are bounded per turn, so
//! that a large result delays others by a few buffers at most.
//!
//! A peer that reads slowly: what it does not take is copied to its backlog and the machine is told
//! (`blocked`), which stops reading from whoever feeds it until `drained`. So a backlog is bounded by what
//! one call of the machine can send; `base/limits.rs` has the sum.
//!
//! Source: epoll(7), "Level-triggered and edge-triggered"; tcp(7).

use super::conn::flag;
use super::kernel::{Kernel, Linux, WAKE};
use super::key::Key;
use super::table::{Call, Departure, Table};
use super::{Burst, Channel, Machine, watch};
use crate::base::{Micros, Peer, limits};
use crate::core::Note;
use crate::wire::{encode, tags};
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::sync::Arc;

/// Events taken from the kernel at once.
const EVENTS_PER_TURN: usize = 512;

/// Reads of one connection in one turn for one event, and as many when it is ready without one.
pub const READS_PER_TURN: usize = 4;

/// Connections taken from the ready list in one turn: a machine that resumes for ever
/// must not starve the mailbox.
const READY_PER_TURN: usize = 4_096;

/// Kept bytes up to this many are copied in front of the read buffer; more stay where they are
/// and the read is appended.
const FRONT_BYTES_MAX: usize = 8 * 1024;

/// Ciphertext read at once: the rest of the read buffer's size is room for kept bytes
/// and for a record's remains.
const CIPHER_BYTES: usize = limits::READ_BUFFER_BYTES / 2;

/// What one turn has seen.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// When its events were taken.
    pub now: Micros,
    /// Whether somebody has woken the loop through the eventfd.
    pub woken: bool,
}

/// One worker's driver.
pub struct Epoll<K: Kernel = Linux> {
    table: Table<K>,
    later: Vec<Key>,
    buffer: Box<[u8]>,
    cipher: Box<[u8]>,
    farewell: Vec<u8>,
    /// Tasks that are ready ([`super::Watch`]).
    tasks: Vec<u32>,
}

impl Epoll {
    /// A driver without connections. `wake` is an eventfd: writing to it ends a wait. Without `burst` every
    /// write is a system call of its own.
    ///
    /// # Errors
    /// The system's, where it gives no epoll instance.
    pub fn new(wake: OwnedFd, burst: Option<Burst>) -> io::Result<Self> {
        Ok(Self::over(Linux::new(wake)?, burst))
    }

    /// The epoll instance, for what tasks watch ([`super::Watch`]).
    pub fn instance(&self) -> Arc<OwnedFd> {
        self.table.kernel.instance()
    }
}

impl<K: Kernel> Epoll<K> {
    /// A driver without connections over any kernel: for the simulation.
    pub fn over(kernel: K, burst: Option<Burst<K::Ring>>) -> Self {
        let mut farewell = Vec::new();
        encode::empty(&mut farewell, tags::client::TERMINATE);
        Self {
            table: Table::new(kernel, burst),
            later: Vec::new(),
            buffer: vec![0; limits::READ_BUFFER_BYTES].into(),
            cipher: vec![0; CIPHER_BYTES].into(),
            farewell,
            tasks: Vec::new(),
        }
    }

    /// Takes a connection in under `peer`. Bytes that came with it are handed to the
    /// machine in the next turn.
    pub fn adopt(&mut self, peer: Peer, channel: Channel<K::Socket>) {
        self.table.adopt(peer, channel);
    }

    /// Calls the machine for something that is not a connection's event, and does what it asks.
    pub fn act<M: Machine, R>(
        &mut self,
        machine: &mut M,
        now: Micros,
        call: impl FnOnce(&mut M, &mut Call<'_, '_, K>) -> R,
    ) -> R {
        let result = call(machine, &mut Call::new(&mut self.table));
        self.table.settle(machine, now);
        result
    }

    /// Drops closed connections that have been waited for long enough.
    pub fn expire(&mut self, now: Micros) {
        self.table.expire(now);
    }

    /// Servers that have left for other workers since the last call.
    pub fn take_departures(&mut self) -> Vec<Departure<K::Socket>> {
        std::mem::take(&mut self.table.departures)
    }

    /// What the world outside is to learn since the last call.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.table.notes)
    }

    /// The numbers of the tasks that the last turn has found ready.
    pub fn ready_tasks(&mut self) -> std::vec::Drain<'_, u32> {
        self.tasks.drain(..)
    }

    /// Whether something is to be done without an event: the next turn does not wait.
    pub fn is_busy(&self) -> bool {
        !self.later.is_empty() || !self.table.ready.is_empty()
    }

    /// Connections held, open or lingering.
    pub fn connections(&self) -> usize {
        self.table.count()
    }

    /// Connections that were ended because this side was mistaken about them.
    pub fn faults(&self) -> u64 {
        self.table.faults
    }

    /// Waits at most `timeout` for events, then handles them and everything that they make ready. `clock`
    /// tells the time when the wait is over.
    ///
    /// # Errors
    /// The system's, other than an interruption: the loop cannot go on.
    pub fn turn(
        &mut self,
        machine: &mut impl Machine,
        clock: impl FnOnce() -> Micros,
        timeout: Micros,
    ) -> io::Result<Turn> {
        let timeout = if self.is_busy() { Micros(0) } else { timeout };
        let mut space = [const { MaybeUninit::uninit() }; EVENTS_PER_TURN];
        let events = match self.table.kernel.wait(&mut space, &timespec(timeout)) {
            Ok(events) => events,
            Err(Errno::INTR) => &[],
            Err(error) => return Err(error.into()),
        };
        let mut turn = Turn { now: clock(), woken: false };
        for key in self.later.drain(..) {
            self.table.ready.push_back(key);
        }
        for event in events.iter() {
            match event.data.u64() {
                WAKE => turn.woken = true,
                data => match watch::task(data) {
                    Some(task) => self.tasks.push(task),
                    None => self.event(machine, Key::from_u64(data), event.flags, turn.now),
                },
            }
        }
        self.run_ready(machine, turn.now);
        self.table.settle(machine, turn.now);
        Ok(turn)
    }

    fn event(&mut self, machine: &mut impl Machine, key: Key, flags: epoll::EventFlags, now: Micros) {
        use epoll::EventFlags as On;
        let Some(conn) = self.table.conn(key) else { return };
        if flags.intersects(On::IN | On::RDHUP | On::HUP | On::ERR) {
            conn.flags.set(flag::READABLE);
        }
        if flags.intersects(On::RDHUP | On::HUP | On::ERR) {
            conn.flags.set(flag::HANGUP);
        }
        if flags.intersects(On::HUP | On::ERR) {
            conn.flags.set(flag::BROKEN);
        }
        if conn.flags.any(flag::WATCHED) && flags.intersects(On::OUT | On::HUP | On::ERR) {
            self.room_to_write(machine, key, now);
        }
        self.drive(machine, key, now);
    }

    fn room_to_write(&mut self, machine: &mut impl Machine, key: Key, now: Micros) {
        let Some(conn) = self.table.conn(key) else { return };
        conn.flush();
        if conn.is_unsent() {
            return;
        }
        let peer = conn.open_peer();
        self.table.watch(key, false);
        match peer {
            Some(peer) => {
                machine.drained(peer, &mut Call::new(&mut self.table));
                self.table.settle(machine, now);
            }
            None => {
                // What it was sent last may still wait for the end of the turn.
                self.table.settle(machine, now);
                self.table.begin_close(key, now);
            }
        }
    }

    fn run_ready(&mut self, machine: &mut impl Machine, now: Micros) {
        // Who becomes ready meanwhile, and asks to be called again, has its turn behind the events of others.
        for _ in 0..self.table.ready.len().min(READY_PER_TURN) {
            let Some(key) = self.table.ready.pop_front() else { return };
            if let Some(conn) = self.table.conn(key) {
                conn.flags.clear(flag::READY);
                self.drive(machine, key, now);
            }
        }
    }

    /// Hands in what a connection has, as long as the machine wants it and the turn's share lasts.
    fn drive(&mut self, machine: &mut impl Machine, key: Key, now: Micros) {
        for _ in 0..READS_PER_TURN {
            let Some(conn) = self.table.conn(key) else { return };
            let Some(peer) = conn.open_peer() else {
                if self.table.discard(key, &mut self.buffer) {
                    self.put_off(key);
                }
                return;
            };
            if conn.flags.any(flag::PAUSED) {
                return self.look_after_paused(machine, key, peer, now);
            }
            if conn.flags.any(flag::OFFER) {
                conn.flags.clear(flag::OFFER);
                let kept = std::mem::take(&mut conn.kept);
                if !kept.is_empty() {
                    self.table.hand_in_kept(machine, key, peer, kept, now);
                }
            } else if conn.flags.any(flag::ENDED) {
                return self.table.report_closed(machine, key, peer, now);
            } else if conn.flags.any(flag::READABLE) {
                self.read(machine, key, peer, now);
            } else {
                return;
            }
        }
        self.put_off(key);
    }

    /// Leaves the rest for the next turn.
    fn put_off(&mut self, key: Key) {
        if let Some(conn) = self.table.conn(key)
            && conn.flags.any(flag::READABLE | flag::OFFER | flag::ENDED)
            && !conn.flags.any(flag::READY)
        {
            conn.flags.set(flag::READY);
            self.later.push(key);
        }
    }

    #[inline]
    fn read(&mut self, machine: &mut impl Machine, key: Key, peer: Peer, now: Micros) {
        let Some(conn) = self.table.conn(key) else { return };
        let before = conn.kept.len();
        if before <= FRONT_BYTES_MAX {
            let (front, space) = self.buffer.split_at_mut(before);
            let bytes = conn.read(space, &mut self.cipher);
            if bytes > 0 {
                if before > 0 {
                    front.copy_from_slice(&std::mem::take(&mut conn.kept));
                }
                self.table.hand_in(machine, key, peer, &self.buffer[..before + bytes], now);
            }
        } else {
            // What is not whole yet is less than half a buffer but for a long Parse: so no more than one
            // buffer is kept of a client that waits.
            let plain_bytes = limits::READ_BUFFER_BYTES - before.min(limits::READ_BUFFER_BYTES / 2);
            let mut kept = std::mem::take(&mut conn.kept);
            kept.resize(before + conn.room(plain_bytes, CIPHER_BYTES), 0);
            let bytes = conn.read(&mut kept[before..], &mut self.cipher);
            kept.truncate(before + bytes);
            if bytes > 0 {
                self.table.hand_in_kept(machine, key, peer, kept, now);
            } else {
                conn.kept = kept;
            }
        }
        self.table.after_write(key); // a TLS session may have answered by itself
    }

    /// A paused connection is not read, but a client that has gone away must not keep its place in a
    /// pool's line. Its last few bytes are kept until it is clear that nothing, or nothing but
    /// Terminate, came before its end.
    fn look_after_paused(&mut self, machine: &mut impl Machine, key: Key, peer: Peer, now: Micros) {
        let Some(conn) = self.table.conn(key) else { return };
        if !matches!(peer, Peer::Client(_)) || !conn.flags.any(flag::HANGUP | flag::ENDED) {
            return;
        }
        let before = conn.kept.len();
        let cipher_bytes = limits::LAST_WORDS_BYTES.min(self.cipher.len());
        while conn.flags.any(flag::READABLE)
            && !conn.flags.any(flag::ENDED)
            && conn.kept.len() - before < limits::LAST_WORDS_BYTES
        {
            let space = conn.room(limits::LAST_WORDS_BYTES, cipher_bytes);
            let bytes = conn.read(&mut self.buffer[..space], &mut self.cipher[..cipher_bytes]);
            conn.kept.extend_from_slice(&self.buffer[..bytes]);
        }
        let words = &conn.kept[before..];
        let is_gone = conn.flags.any(flag::ENDED) && (words.is_empty() || words == self.farewell);
        if is_gone || conn.flags.any(flag::BROKEN) {
            self.table.report_closed(machine, key, peer, now);
        }
    }
}

fn timespec(span: Micros) -> Timespec {
    // The kernel refuses absurd spans; nobody waits longer than a day without a tick.
    let us = span.0.min(Micros::from_secs(86_400).0);
    Timespec { tv_sec: (us / 1_000_000) as i64, tv_nsec: ((us % 1_000_000) * 1_000) as _ }
}
