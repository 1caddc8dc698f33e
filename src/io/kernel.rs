//! The edge to the kernel: every call that the driver makes of it, and nothing else.
//!
//! [`Linux`] answers with the system calls; the simulation (`tests/sim`) puts sockets of its own in its place
//! and runs all that stands above this edge as it is. Chosen by type, so it costs nothing: a plain connection
//! holds its socket and no more. Never decides: what an event means and what follows a write is the driver's.
//!
//! Source: epoll(7), recv(2), sendmsg(2), shutdown(2).

use super::socket;
use io_uring::IoUring;
use rustix::event::{Timespec, epoll};
use rustix::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use rustix::io::Errno;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

/// What the event that ends a wait from outside carries; no connection has generation
/// 0, and no task number 0.
pub const WAKE: u64 = 0;

/// One end of a connected stream: never blocks, never raises a signal, is closed when dropped.
pub trait Socket {
    /// What names it in a [`Ring`], as long as it is open.
    type Raw: Copy;

    /// Reads into `space`; 0 is the end of the stream.
    ///
    /// # Errors
    /// `AGAIN` where there is nothing to read.
    fn recv(&self, space: &mut [u8]) -> Result<usize, Errno>;

    /// Writes `parts` in order; returns how many bytes were taken.
    ///
    /// # Errors
    /// `AGAIN` where the socket takes nothing.
    fn send(&self, parts: &[IoSlice<'_>]) -> Result<usize, Errno>;

    /// Tells the peer that nothing more will come. A peer that is already gone is no error.
    fn shutdown_write(&self);

    /// Its name.
    fn raw(&self) -> Self::Raw;

    /// Whose end the other one is, for the log.
    fn peer_text(&self) -> String {
        "a peer without an address".to_owned()
    }
}

/// One write of a [`Ring`]'s call.
pub struct Write<R> {
    /// To which socket.
    pub to: R,
    /// Which of the call's bytes.
    pub range: Range<usize>,
}

/// Many writes in one call.
pub trait Ring {
    /// What names a socket.
    type Raw: Copy;

    /// Does all of `writes` without waiting, and says of each, by its index, what came of it.
    fn write_all(
        &mut self,
        writes: &[Write<Self::Raw>],
        bytes: &[u8],
        written: impl FnMut(usize, Result<usize, Errno>),
    );
}

/// Whatever has sockets and says when they are ready: by edges, as epoll does.
pub trait Kernel {
    /// Its sockets.
    type Socket: Socket;
    /// Its ring of writes.
    type Ring: Ring<Raw = <Self::Socket as Socket>::Raw>;

    /// Watches a socket from now on, also one that a task of this loop had watched ([`super::Watch`]); its
    /// events carry `data`. What is so already is the first event.
    ///
    /// # Errors
    /// The system's, where it cannot watch one more.
    fn add(&self, socket: &Self::Socket, data: u64, interest: epoll::EventFlags) -> io::Result<()>;

    /// Watches for something else; what is so already is an event.
    ///
    /// # Errors
    /// The system's.
    fn modify(&self, socket: &Self::Socket, data: u64, interest: epoll::EventFlags) -> io::Result<()>;

    /// Stops watching. A socket that is dropped is not watched any more, either.
    ///
    /// # Errors
    /// The system's.
    fn delete(&self, socket: &Self::Socket) -> io::Result<()>;

    /// Waits at most that long for events; [`WAKE`] among them means that somebody has woken the loop.
    ///
    /// # Errors
    /// The system's; `INTR` where a signal has ended the wait.
    fn wait<'a>(
        &self,
        space: &'a mut [MaybeUninit<epoll::Event>],
        timeout: &Timespec,
    ) -> Result<&'a [epoll::Event], Errno>;
}

impl Socket for OwnedFd {
    type Raw = RawFd;

    #[inline]
    fn recv(&self, space: &mut [u8]) -> Result<usize, Errno> {
        socket::recv(self.as_fd(), space)
    }

    #[inline]
    fn send(&self, parts: &[IoSlice<'_>]) -> Result<usize, Errno> {
        socket::send(self.as_fd(), parts)
    }

    fn shutdown_write(&self) {
        socket::shutdown_write(self.as_fd());
    }

    #[inline]
    fn raw(&self) -> RawFd {
        self.as_raw_fd()
    }

    fn peer_text(&self) -> String {
        let peer = rustix::net::getpeername(self).ok().flatten();
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
        peer.map_or_else(|| "a peer over a Unix socket".to_owned(), |peer| peer.to_string())
    }
}

/// The kernel that we run on: an epoll instance, and the eventfd that ends its waits.
pub struct Linux {
    epoll: Arc<OwnedFd>,
    wake: OwnedFd,
}

impl Linux {
    /// An epoll instance. `wake` is an eventfd: writing to it ends a wait. It is never read: with
    /// edges each write counts.
    ///
    /// # Errors
    /// The system's, where it gives no more descriptors.
    pub fn new(wake: OwnedFd) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let by_edges = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, &wake, epoll::EventData::new_u64(WAKE), by_edges)?;
        Ok(Self { epoll: Arc::new(epoll), wake })
    }
}

impl Linux {
    /// The epoll instance, for what tasks watch ([`super::Watch`]).
    pub(super) fn instance(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.epoll)
    }
}

impl Drop for Linux {
    fn drop(&mut self) {
        // The eventfd may live on in the mailbox; it must not be watched by nobody.
        let _ = epoll::delete(&self.epoll, &self.wake);
    }
}

impl Kernel for Linux {
    type Socket = OwnedFd;
    type Ring = IoUring;

    fn add(&self, socket: &OwnedFd, data: u64, interest: epoll::EventFlags) -> io::Result<()> {
        match epoll::add(&self.epoll, socket, epoll::EventData::new_u64(data), interest) {
            Err(Errno::EXIST) => self.modify(socket, data, interest),
            added => Ok(added?),
        }
    }

    fn modify(&self, socket: &OwnedFd, data: u64, interest: epoll::EventFlags) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, socket, epoll::EventData::new_u64(data), interest)?)
    }

    fn delete(&self, socket: &OwnedFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, socket)?)
    }

    #[inline]
    fn wait<'a>(
        &self,
        space: &'a mut [MaybeUninit<epoll::Event>],
        timeout: &Timespec,
    ) -> Result<&'a [epoll::Event], Errno> {
        let (events, _) = epoll::wait(&self.epoll, space, Some(timeout))?;
        Ok(events)
    }
}
