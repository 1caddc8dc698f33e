//! Moves bytes through a finished TLS session: ciphertext in, plain bytes out, and back.
//!
//! Reads ciphertext with one system call into a buffer of the worker and feeds the session from there,
//! because a session alone would read 4 KiB at a time. What a peer does not take stays in the session's own
//! queue of records; the driver counts that as unsent. Never does a handshake: that is over when a
//! connection reaches a worker.

use super::kernel::Socket;
use rustls::Connection;
use std::io::{self, IoSlice, Read, Write};

/// What a session can hold of a record that has not come whole, and may give out on
/// top of what was just read.
pub(super) const RECORD_BYTES_MAX: usize = 18 * 1024;

/// What became of some ciphertext.
#[derive(Debug, Default)]
pub(super) struct Decrypted {
    /// Plain bytes written to the front of the space.
    pub bytes: usize,
    /// Nothing more will come: the peer has said so, or it broke the protocol.
    pub ended: bool,
}

/// Feeds `cipher` to the session and writes the plain bytes to the front of `space`, which must have room for
/// `cipher.len() + RECORD_BYTES_MAX`.
pub(super) fn decrypt(tls: &mut Connection, mut cipher: &[u8], space: &mut [u8]) -> Decrypted {
    let mut got = Decrypted::default();
    loop {
        match tls.process_new_packets() {
            Ok(state) => got.ended |= state.peer_has_closed(),
            Err(_) => got.ended = true,
        }
        got.bytes += read_plain(tls, &mut space[got.bytes..]);
        if cipher.is_empty() || got.ended {
            return got;
        }
        // The session takes as much as fits behind the record that it is putting together.
        if !matches!(tls.read_tls(&mut cipher), Ok(1..)) {
            got.ended = true;
        }
    }
}

fn read_plain(tls: &mut Connection, space: &mut [u8]) -> usize {
    let mut bytes = 0;
    while bytes < space.len() {
        match tls.reader().read(&mut space[bytes..]) {
            Ok(n @ 1..) => bytes += n,
            // WouldBlock: nothing more at present. Anything else is seen as the end by the caller.
            _ => break,
        }
    }
    bytes
}

/// Takes out everything that the session can give without reading from the socket.
pub(super) fn drain_into(tls: &mut Connection, out: &mut Vec<u8>) -> bool {
    let ended = match tls.process_new_packets() {
        Ok(state) => state.peer_has_closed(),
        Err(_) => true,
    };
    let mut space = vec![0; RECORD_BYTES_MAX];
    loop {
        match read_plain(tls, &mut space) {
            0 => return ended,
            n => out.extend_from_slice(&space[..n]),
        }
    }
}

/// Encrypts `parts` into the session's queue, as few records as hold them.
///
/// # Errors
/// The session is closed for writing.
pub(super) fn encrypt(tls: &mut Connection, parts: &[IoSlice<'_>]) -> io::Result<()> {
    let bytes = parts.iter().map(|part| part.len()).sum::<usize>();
    let taken = tls.writer().write_vectored(parts)?;
    // A session without a limit takes everything.
    if taken == bytes { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Moves the queue of records to the end of `out`.
///
/// # Errors
/// None: memory takes everything.
pub(super) fn take_ciphertext(tls: &mut Connection, out: &mut Vec<u8>) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(out)?;
    }
    Ok(())
}

/// Writes the queue to the socket until it is empty or the socket is full.
///
/// # Errors
/// What the socket says, `WouldBlock` for full.
pub(super) fn push(tls: &mut Connection, socket: &impl Socket) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(&mut Sink(socket))?;
    }
    Ok(())
}

/// A socket as a session writes to it.
struct Sink<'a, S>(&'a S);

impl<S: Socket> Write for Sink<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.0.send(&[IoSlice::new(bytes)])?)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(self.0.send(parts)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
