//! One call of the machine: what it asks for while it has one connection's bytes at hand.

use super::{ConnEvent, Departure, Table};
use crate::base::{Peer, WorkerId};
use crate::core::{Farewell, MovedServer, Net, Note};
use crate::io::conn::{Life, flag};
use crate::io::kernel::{Kernel, Socket};
use crate::io::key::Key;
use crate::io::outgoing::Outgoing;
use crate::wire::{encode, tags};
use std::io::IoSlice;
use std::ops::Range;

/// The table during one call of the machine. What it borrows of the call's input cannot outlive it.
pub struct Call<'t, 'i, K: Kernel> {
    pub(super) table: &'t mut Table<K>,
    pub(super) input: &'i [u8],
    /// Takes everything where the input is large and borrowed; `None` where all is copied and waits.
    pub(super) borrowing: Option<Outgoing<'i>>,
}

impl<'t, K: Kernel> Call<'t, 'static, K> {
    /// A call without input.
    pub(in crate::io) fn new(table: &'t mut Table<K>) -> Self {
        Self { table, input: &[], borrowing: None }
    }
}

impl<K: Kernel> Call<'_, '_, K> {
    #[inline]
    pub(super) fn make(&mut self, key: Key, bytes: &[u8]) {
        match &mut self.borrowing {
            Some(borrowing) => borrowing.make(key, bytes),
            None => self.table.waiting.make(key, bytes),
        }
    }
}

impl<K: Kernel> Net for Call<'_, '_, K> {
    #[inline]
    fn forward(&mut self, to: Peer, range: Range<usize>) {
        let Some(key) = self.table.find(to) else { return };
        let is_part = match &mut self.borrowing {
            Some(borrowing) => borrowing.borrow(key, self.input, range),
            None => self.input.get(range).map(|part| self.table.waiting.make(key, part)).is_some(),
        };
        if !is_part {
            self.table.fail(key, "it is to get bytes that the input does not have");
        }
    }

    #[inline]
    fn send(&mut self, to: Peer, bytes: &[u8]) {
        if let Some(key) = self.table.find(to) {
            self.make(key, bytes);
        }
    }

    fn pause(&mut self, peer: Peer) {
        if let Some(key) = self.table.find(peer)
            && let Some(conn) = self.table.conn(key)
        {
            conn.flags.set(flag::PAUSED);
            if conn.flags.any(flag::HANGUP) {
                self.table.enqueue(key);
            }
        }
    }

    fn resume(&mut self, peer: Peer) {
        if let Some(key) = self.table.find(peer)
            && let Some(conn) = self.table.conn(key)
        {
            conn.flags.clear(flag::PAUSED);
            conn.flags.set(flag::OFFER);
            self.table.enqueue(key);
        }
    }

    fn close(&mut self, peer: Peer, farewell: Farewell) {
        let Some(key) = self.table.forget(peer) else { return };
        match farewell {
            Farewell::Cut => return self.table.remove(key), // with what waits for it
            Farewell::Close => {}
            Farewell::Terminate => {
                let mut goodbye = Vec::new();
                encode::empty(&mut goodbye, tags::client::TERMINATE);
                self.make(key, &goodbye);
            }
        }
        if let Some(conn) = self.table.conn(key) {
            conn.life = Life::Flushing(peer);
            conn.kept = Vec::new();
            self.table.news.push_back(ConnEvent::Closing(key));
        }
    }

    fn move_server(&mut self, server: Peer, to: WorkerId, state: MovedServer) {
        let Some(key) = self.table.forget(server) else { return };
        if self.table.conn(key).is_none() {
            return;
        }
        let mut conn = self.table.conns.remove(key.index as usize);
        let unsent = match &mut self.borrowing {
            Some(borrowing) => borrowing.take_for(key),
            None => self.table.waiting.take_for(key),
        };
        if !unsent.is_empty() {
            conn.send(&mut [IoSlice::new(&unsent)]);
        }
        if let Err(error) = self.table.kernel.delete(conn.fd()) {
            // It cannot be watched elsewhere then either; its new worker finds that out.
            tracing::error!("cannot stop watching the socket of {}: {error}", conn.fd().peer_text());
        }
        self.table.departures.push(Departure { to, channel: conn.into_channel(), state, from: key });
    }

    fn has_unread(&self, peer: Peer) -> bool {
        let conn = self.table.find(peer).and_then(|key| self.table.conns.get(key.index as usize));
        conn.is_some_and(|conn| !conn.kept.is_empty())
    }

    fn notify(&mut self, note: Note) {
        self.table.notes.push(note);
    }
}
