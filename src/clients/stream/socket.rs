//! The socket of a client that logs in: on the loop of the worker that it came to, or on tokio.
//!
//! Never reads ahead by itself. Moving it off the loop keeps what the kernel holds.

use crate::clients::loop_place::LoopPlace;
use crate::io::{Interest, Socket as _, has_hung_up};
use rustix::io::Errno;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connected socket that no loop of tokio's watches.
#[derive(Debug)]
pub struct Fresh {
    fd: OwnedFd,
    is_tcp: bool,
    pub(super) loop_place: Option<LoopPlace>,
}

/// A connected socket.
#[derive(Debug)]
pub enum Socket {
    /// What has come already can be read, and mostly all that a login without a proof needs has
    /// (`tcp_defer_accept`). From the first wait on it is watched: by the worker where it has a place on
    /// one's loop, else by tokio. Never `None`.
    Fresh(Option<Fresh>),
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
    /// Over a Unix socket, and panics when it is read once the trap is set.
    #[cfg(test)]
    Trap(UnixStream, std::sync::Arc<std::sync::atomic::AtomicBool>),
}

impl Fresh {
    /// A non-blocking socket with a place on a worker's loop.
    pub fn new(fd: OwnedFd, is_tcp: bool, loop_place: LoopPlace) -> Self {
        Self { fd, is_tcp, loop_place: Some(loop_place) }
    }

    /// Gives its place on the worker's loop back, if it has one.
    pub(super) fn leave_loop(&mut self) -> io::Result<Option<LoopPlace>> {
        let mut loop_place = self.loop_place.take();
        if let Some(loop_place) = &mut loop_place {
            loop_place.watch.end(self.fd.as_fd())?;
        }
        Ok(loop_place)
    }
}

impl Socket {
    /// Does `io` on a fresh socket, and has it watched where that would have to wait;
    /// `None`: tokio watches it.
    pub(super) fn unwatched<T>(
        &mut self,
        interest: Interest,
        io: impl FnOnce(&OwnedFd) -> Result<T, Errno>,
    ) -> Option<Poll<io::Result<T>>> {
        let Self::Fresh(slot) = self else { return None };
        let Some(fresh) = slot else { return Some(Poll::Ready(Err(io::ErrorKind::NotConnected.into()))) };
        match io(&fresh.fd) {
            Err(Errno::AGAIN) => {}
            done => return Some(Poll::Ready(done.map_err(io::Error::from))),
        }
        if let Some(loop_place) = &mut fresh.loop_place {
            let watched = loop_place.watch.wait_for(interest, fresh.fd.as_fd());
            return Some(watched.map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending));
        }
        let Fresh { fd, is_tcp, .. } = slot.take()?;
        let watched = if is_tcp {
            TcpStream::from_std(fd.into()).map(Self::Tcp)
        } else {
            UnixStream::from_std(fd.into()).map(Self::Unix)
        };
        match watched {
            Ok(watched) => *self = watched,
            Err(error) => return Some(Poll::Ready(Err(error))),
        }
        None
    }

    /// Whether the client has closed it, or its half of it.
    pub(super) fn has_hung_up(&self) -> bool {
        match self {
            Self::Fresh(fresh) => fresh.as_ref().is_none_or(|fresh| has_hung_up(&fresh.fd)),
            Self::Tcp(stream) => has_hung_up(stream),
            Self::Unix(stream) => has_hung_up(stream),
            #[cfg(test)]
            Self::Trap(stream, _) => has_hung_up(stream),
        }
    }

    /// Gives up whatever loop's hold on it; it stays non-blocking.
    pub(super) fn into_fd(self) -> io::Result<OwnedFd> {
        Ok(match self {
            Self::Fresh(fresh) => {
                fresh.ok_or(io::ErrorKind::NotConnected)?.fd // its worker goes on to watch it
            }
            Self::Tcp(stream) => stream.into_std()?.into(),
            Self::Unix(stream) => stream.into_std()?.into(),
            #[cfg(test)]
            Self::Trap(stream, _) => stream.into_std()?.into(),
        })
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(done) = this.unwatched(Interest::Bytes, |fd| fd.recv(out.initialize_unfilled())) {
            return done.map_ok(|bytes| out.advance(bytes));
        }
        match this {
            Self::Fresh(_) => Poll::Pending,
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, out),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, out),
            #[cfg(test)]
            Self::Trap(stream, is_set) => {
                assert!(!is_set.load(std::sync::atomic::Ordering::Relaxed), "the trap has sprung");
                Pin::new(stream).poll_read(cx, out)
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(done) = this.unwatched(Interest::Room, |fd| fd.send(&[IoSlice::new(bytes)])) {
            return done;
        }
        match this {
            Self::Fresh(_) => Poll::Pending,
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(test)]
            Self::Trap(stream, _) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Fresh(_) => Poll::Ready(Ok(())),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(test)]
            Self::Trap(stream, _) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(done) = this.unwatched(Interest::Room, |fd| {
            fd.shutdown_write();
            Ok(())
        }) {
            return done;
        }
        match this {
            Self::Fresh(_) => Poll::Pending,
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(test)]
            Self::Trap(stream, _) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
