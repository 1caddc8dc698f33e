//! Seeing off connections that the machine has closed.
//!
//! First everything sent before is written, then TLS's goodbye, then our side is shut and the peer's end is
//! waited for, reading and dropping what it still sends: a socket closed with bytes unread would reset the
//! connection and could destroy the last error on its way. A server is waited for until PostgreSQL has
//! ended the stream, so that its place is given away only when `pg_stat_activity` has forgotten it. Every
//! wait has a bound of `limits`.

use super::conn::{Life, flag};
use super::kernel::Kernel;
use super::key::Key;
use super::table::Table;
use crate::base::{Micros, Peer, limits};

/// Reads of a connection that is only being emptied, each time that it is looked at: see
/// [`super::READS_PER_TURN`].
pub const DISCARDS_PER_TURN: usize = 16;

impl<K: Kernel> Table<K> {
    /// Takes the next step with a connection that the machine has closed.
    pub(super) fn begin_close(&mut self, key: Key, now: Micros) {
        let Some(conn) = self.conn(key) else { return };
        let Life::Flushing(peer) = conn.life else { return };
        if conn.flags.any(flag::BROKEN) {
            return self.remove(key);
        }
        if conn.is_unsent() {
            return self.linger(key, now, flush_bound(peer));
        }
        conn.send_close_notify();
        if conn.is_unsent() {
            // Only the goodbye is left: it is not worth a wait of its own beyond this bound.
            self.after_write(key);
            return self.linger(key, now, flush_bound(peer));
        }
        if conn.flags.any(flag::ENDED | flag::BROKEN) {
            return self.remove(key);
        }
        conn.shutdown_write();
        conn.life = Life::Draining(peer);
        conn.flags.set(flag::READABLE);
        let bound = match peer {
            Peer::Server(_) => limits::SERVER_LINGER_MS,
            Peer::Client(_) => {
                conn.release_guard();
                limits::CLIENT_DRAIN_MS
            }
        };
        self.linger(key, now, bound);
        self.enqueue(key);
    }

    fn linger(&mut self, key: Key, now: Micros, bound_ms: u64) {
        self.lingering.push((now + Micros::from_millis(bound_ms), key));
    }

    /// Reads and drops what a closed connection still sends. Returns whether there may be more.
    pub(super) fn discard(&mut self, key: Key, space: &mut [u8]) -> bool {
        for _ in 0..DISCARDS_PER_TURN {
            let Some(conn) = self.conn(key) else { return false };
            if conn.flags.any(flag::ENDED) {
                if matches!(conn.life, Life::Draining(_)) || conn.flags.any(flag::BROKEN) {
                    self.remove(key);
                }
                return false;
            }
            if !conn.flags.any(flag::READABLE) {
                return false;
            }
            conn.read_raw(space);
        }
        true
    }

    /// Drops the connections whose time is over.
    pub(super) fn expire(&mut self, now: Micros) {
        let lingering = std::mem::take(&mut self.lingering);
        self.lingering = lingering
            .into_iter()
            .filter(|(deadline, key)| {
                let is_over = *deadline <= now;
                if is_over {
                    self.remove(*key);
                }
                !is_over && self.conn(*key).is_some()
            })
            .collect();
    }
}

fn flush_bound(peer: Peer) -> u64 {
    match peer {
        Peer::Server(_) => limits::SERVER_LINGER_MS,
        Peer::Client(_) => limits::CLIENT_LINGER_MS,
    }
}
