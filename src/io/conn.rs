//! One connection as the driver holds it: its socket, what it has read and not given away,
//! what it could not write.
//!
//! Knows nothing of other connections and never calls the machine. Idle and plain it owns no heap memory. Its
//! parts are dropped in the order of the fields: the socket is closed before the guard is let go.

use super::burst::WRITE_BYTES_MAX;
use super::kernel::Socket;
use super::session::{self, RECORD_BYTES_MAX};
use super::{Channel, Guard};
use crate::base::Peer;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::io::{ErrorKind, IoSlice};

/// What the connection's life has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// It belongs to the machine under this id.
    Open(Peer),
    /// The machine has let it go; what was sent before is still to be written.
    Flushing(Peer),
    /// All is written and our side is shut; the peer's end is waited for.
    Draining(Peer),
}

/// What is known of a connection's socket and what the machine wants of it; a set of `flag::*`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags(u8);

/// The members of [`Flags`].
pub(super) mod flag {
    /// The socket may have bytes, as far as edges tell.
    pub(crate) const READABLE: u8 = 1;
    /// epoll has reported the peer's end: an end of stream lies behind the bytes still to be read.
    pub(crate) const HANGUP: u8 = 1 << 1;
    /// Nothing more can be read: end of stream, an error, or a broken TLS session.
    pub(crate) const ENDED: u8 = 1 << 2;
    /// Nothing more can be written.
    pub(crate) const BROKEN: u8 = 1 << 3;
    /// The machine wants no bytes at present.
    pub(crate) const PAUSED: u8 = 1 << 4;
    /// The kept bytes are to be handed in although nothing new has come.
    pub(crate) const OFFER: u8 = 1 << 5;
    /// It stands on the ready list.
    pub(crate) const READY: u8 = 1 << 6;
    /// epoll watches for room to write, because something is unsent.
    pub(crate) const WATCHED: u8 = 1 << 7;
}

impl Flags {
    /// Whether any of `flags` is set.
    #[inline]
    pub(super) fn any(self, flags: u8) -> bool {
        self.0 & flags != 0
    }

    /// Sets all of `flags`.
    #[inline]
    pub(super) fn set(&mut self, flags: u8) {
        self.0 |= flags;
    }

    /// Clears all of `flags`.
    #[inline]
    pub(super) fn clear(&mut self, flags: u8) {
        self.0 &= !flags;
    }
}

/// Bytes that a socket did not take, as it is to have them: ciphertext where there is TLS.
#[derive(Debug, Default)]
struct Backlog {
    bytes: Vec<u8>,
    sent: usize,
}

/// One connection.
pub(super) struct Conn<S = OwnedFd> {
    fd: S,
    tls: Option<Box<rustls::Connection>>,
    backlog: Option<Box<Backlog>>,
    /// Bytes handed in and not consumed.
    pub kept: Vec<u8>,
    pub life: Life,
    pub flags: Flags,
    pub generation: u32,
    guard: Guard,
}

impl<S: Socket> Conn<S> {
    /// Takes over a connection. Plain bytes that the TLS session already holds join the unread ones; what it
    /// still has to send goes on to be unsent.
    pub(super) fn new(channel: Channel<S>, peer: Peer, generation: u32) -> Self {
        let Channel { fd, mut tls, unread, unsent, guard } = channel;
        let (mut kept, mut flags) = (unread, Flags::default());
        if let Some(tls) = &mut tls {
            // Back-pressure is the machine's: a bound here would cut what it has already sent.
            tls.set_buffer_limit(None);
            if session::drain_into(tls, &mut kept) {
                flags.set(flag::ENDED);
            }
        }
        if !kept.is_empty() {
            flags.set(flag::OFFER);
        }
        let backlog = (!unsent.is_empty()).then(|| Box::new(Backlog { bytes: unsent, sent: 0 }));
        Self { fd, tls, backlog, kept, life: Life::Open(peer), flags, generation, guard }
    }

    /// The connection as a value again, with what is unsent.
    pub(super) fn into_channel(self) -> Channel<S> {
        let unsent = self.backlog.map_or_else(Vec::new, |backlog| backlog.into_rest());
        Channel { fd: self.fd, tls: self.tls, unread: self.kept, unsent, guard: self.guard }
    }

    /// The socket.
    pub(super) fn fd(&self) -> &S {
        &self.fd
    }

    /// The machine's name for it while it is open.
    #[inline]
    pub(super) fn open_peer(&self) -> Option<Peer> {
        match self.life {
            Life::Open(peer) => Some(peer),
            Life::Flushing(_) | Life::Draining(_) => None,
        }
    }

    /// Whether something could not be written yet.
    #[inline]
    pub(super) fn is_unsent(&self) -> bool {
        self.backlog.is_some()
            || self.tls.as_ref().is_some_and(|tls| tls.wants_write() && !self.flags.any(flag::BROKEN))
    }

    /// Lets the guard go before the socket is closed: for a client, whose place is free when
    /// our side has said goodbye.
    pub(super) fn release_guard(&mut self) {
        self.guard = Box::new(());
    }

    /// How much room [`Conn::read`] needs.
    pub(super) fn room(&self, plain: usize, cipher: usize) -> usize {
        if self.tls.is_some() { cipher + RECORD_BYTES_MAX } else { plain }
    }

    /// Reads once. Returns how many plain bytes stand at the front of `space`; whether it is worth reading
    /// again, and whether the stream has ended, is in the flags. `cipher` is scratch space for TLS.
    pub(super) fn read(&mut self, space: &mut [u8], cipher: &mut [u8]) -> usize {
        let Some(tls) = &mut self.tls else {
            let got = self.fd.recv(space);
            return self.note_read(got, space.len());
        };
        let waits = tls.wants_write();
        let got = self.fd.recv(cipher);
        let fed = match got {
            Ok(n @ 1..) => session::decrypt(tls, &cipher[..n], space),
            _ => session::Decrypted::default(),
        };
        self.note_read(got, cipher.len());
        if fed.ended {
            self.flags.set(flag::ENDED);
        }
        // A session answers key updates and breaches by itself.
        if !waits && self.is_unsent() {
            self.flush();
        }
        fed.bytes
    }

    #[inline]
    fn note_read(&mut self, got: Result<usize, Errno>, room: usize) -> usize {
        match got {
            Ok(n @ 1..) => {
                // A short read means that the socket is empty, and the next byte brings a new edge; only an
                // end of stream that has been reported already would not.
                if n < room && !self.flags.any(flag::HANGUP) {
                    self.flags.clear(flag::READABLE);
                }
                n
            }
            Err(Errno::AGAIN) if !self.flags.any(flag::BROKEN) => {
                self.flags.clear(flag::READABLE);
                0
            }
            Ok(0) | Err(_) => {
                self.flags.clear(flag::READABLE);
                self.flags.set(flag::ENDED);
                0
            }
        }
    }

    /// Writes `parts` in order, behind what is still unsent; keeps what the socket does not take.
    pub(super) fn send(&mut self, parts: &mut [IoSlice<'_>]) {
        if self.flags.any(flag::BROKEN) {
            return;
        }
        if let Some(tls) = &mut self.tls {
            let waits = tls.wants_write() || self.backlog.is_some();
            if session::encrypt(tls, parts).is_err() {
                self.flags.set(flag::BROKEN);
            } else if !waits {
                self.flush();
            }
            return;
        }
        if let Some(backlog) = &mut self.backlog {
            backlog.append(parts);
            return;
        }
        self.send_plain(parts);
    }

    /// Whether `parts` may be written by a [`super::burst::Burst`]: few bytes, with
    /// nothing unsent before them.
    #[inline]
    pub(super) fn takes_small(&self, parts: &[IoSlice<'_>]) -> bool {
        !self.is_unsent()
            && !self.flags.any(flag::BROKEN)
            && parts.iter().map(|part| part.len()).sum::<usize>() <= WRITE_BYTES_MAX
    }

    /// Adds to `out` what the socket is to be given for `parts`: themselves, or their ciphertext.
    #[inline]
    pub(super) fn seal(&mut self, parts: &[IoSlice<'_>], out: &mut Vec<u8>) {
        let Some(tls) = &mut self.tls else {
            return parts.iter().for_each(|part| out.extend_from_slice(part));
        };
        let sealed = session::encrypt(tls, parts).and_then(|()| session::take_ciphertext(tls, out));
        if sealed.is_err() {
            self.flags.set(flag::BROKEN);
        }
    }

    /// What came of a write of `bytes`, sealed before, by a burst: keeps what the socket did not take.
    #[inline]
    pub(super) fn written(&mut self, outcome: Result<usize, Errno>, bytes: &[u8]) {
        let sent = match outcome {
            Ok(sent) => sent,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(_) => return self.flags.set(flag::BROKEN),
        };
        if sent < bytes.len() {
            self.backlog.get_or_insert_default().append(&[IoSlice::new(&bytes[sent..])]);
        }
    }

    fn send_plain(&mut self, mut parts: &mut [IoSlice<'_>]) {
        loop {
            match self.fd.send(parts) {
                Ok(n) => IoSlice::advance_slices(&mut parts, n),
                Err(Errno::AGAIN) => return self.backlog.get_or_insert_default().append(parts),
                Err(_) => return self.flags.set(flag::BROKEN),
            }
            if parts.is_empty() {
                return;
            }
        }
    }

    /// Writes what is unsent until there is nothing left or the socket is full.
    pub(super) fn flush(&mut self) {
        if let Some(backlog) = &mut self.backlog {
            match backlog.flush(|bytes| self.fd.send(&[IoSlice::new(bytes)])) {
                Ok(()) => self.backlog = None,
                Err(Errno::AGAIN) => {}
                Err(_) => self.flags.set(flag::BROKEN),
            }
        }
        if self.backlog.is_none()
            && let Some(tls) = &mut self.tls
        {
            match session::push(tls, &self.fd) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.flags.set(flag::BROKEN),
            }
        }
        if self.flags.any(flag::BROKEN) {
            self.backlog = None;
        }
    }

    /// Reads once without looking at the bytes, TLS or not.
    pub(super) fn read_raw(&mut self, space: &mut [u8]) {
        let got = self.fd.recv(space);
        self.note_read(got, space.len());
    }

    /// Queues TLS's goodbye.
    pub(super) fn send_close_notify(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        self.flush();
    }

    /// Tells the peer that nothing more will come.
    pub(super) fn shutdown_write(&self) {
        self.fd.shutdown_write();
    }
}

impl Backlog {
    /// The bytes that are not sent yet.
    fn into_rest(mut self) -> Vec<u8> {
        self.bytes.drain(..self.sent);
        self.bytes
    }

    fn append(&mut self, parts: &[IoSlice<'_>]) {
        if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.reserve(parts.iter().map(|part| part.len()).sum());
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
    }

    fn flush(&mut self, mut write: impl FnMut(&[u8]) -> Result<usize, Errno>) -> Result<(), Errno> {
        while self.sent < self.bytes.len() {
            self.sent += write(&self.bytes[self.sent..])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_plain_connection_is_small() {
        let bytes = size_of::<Conn<OwnedFd>>();
        assert!(bytes <= 96, "{bytes}");
    }

    #[test]
    fn a_backlog_gives_out_what_it_took_in_order() {
        let (mut backlog, mut out) = (Backlog::default(), Vec::new());
        for round in 0..100u8 {
            backlog.append(&[IoSlice::new(&[round; 3]), IoSlice::new(&[round; 4])]);
            let mut room = 5;
            let _ = backlog.flush(|bytes| {
                let n = bytes.len().min(room);
                room -= n;
                out.extend_from_slice(&bytes[..n]);
                if n == 0 { Err(Errno::AGAIN) } else { Ok(n) }
            });
        }
        let _ = backlog.flush(|bytes| {
            out.extend_from_slice(bytes);
            Ok(bytes.len())
        });
        let expected: Vec<u8> = (0..100u8).flat_map(|round| [round; 7]).collect();
        assert_eq!(out, expected);
    }
}
