//! The three system calls of a connection, never blocking and never raising SIGPIPE.

use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};
use std::io::IoSlice;

/// Reads into `space`; 0 is the end of the stream.
///
/// # Errors
/// `AGAIN` where there is nothing to read.
#[inline]
pub(super) fn recv(fd: BorrowedFd<'_>, space: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match rustix::net::recv(fd, &mut *space, RecvFlags::DONTWAIT) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
            Ok((bytes, _)) => return Ok(bytes),
        }
    }
}

/// Writes `parts` in order; returns how many bytes were taken.
///
/// # Errors
/// `AGAIN` where the socket takes nothing.
#[inline]
pub(super) fn send(fd: BorrowedFd<'_>, parts: &[IoSlice<'_>]) -> Result<usize, Errno> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    loop {
        let sent = match parts {
            [only] => rustix::net::send(fd, only, flags),
            many => rustix::net::sendmsg(fd, many, &mut SendAncillaryBuffer::default(), flags),
        };
        match sent {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Tells the peer that nothing more will come. A peer that is already gone is no error.
pub(super) fn shutdown_write(fd: BorrowedFd<'_>) {
    let _ = rustix::net::shutdown(fd, Shutdown::Write);
}
