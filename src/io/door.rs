//! A listening socket at which several loops wait, and what comes in by it: connections
//! that no loop watches yet.
//!
//! Never says who may come in, nor on which loop a connection goes on.

use super::watch::{Interest, Watch};
use rustix::net::{SocketFlags, accept_with, acceptfrom_with};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

/// A non-blocking listening socket.
#[derive(Debug)]
pub enum Listening {
    /// Over TCP.
    Tcp(TcpListener),
    /// Over a Unix socket.
    Unix(UnixListener),
}

/// A connected, non-blocking socket.
#[derive(Debug)]
pub enum Accepted {
    /// Over TCP, with the other end.
    Tcp(OwnedFd, SocketAddr),
    /// Over a Unix socket.
    Unix(OwnedFd),
}

impl Accepted {
    /// Its socket.
    pub fn socket(&self) -> &OwnedFd {
        match self {
            Self::Tcp(socket, _) | Self::Unix(socket) => socket,
        }
    }
}

/// One loop's side of a listening socket.
#[derive(Debug)]
pub struct Door {
    listening: Arc<Listening>,
    watch: Mutex<Watch>,
    local: Option<SocketAddr>,
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

impl Listening {
    fn accept(&self) -> io::Result<Accepted> {
        const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);
        match self {
            Self::Tcp(listener) => {
                let (socket, remote) = acceptfrom_with(listener, FLAGS)?;
                let remote = remote.and_then(|remote| SocketAddr::try_from(remote).ok());
                Ok(Accepted::Tcp(socket, remote.ok_or(io::ErrorKind::NotConnected)?))
            }
            Self::Unix(listener) => Ok(Accepted::Unix(accept_with(listener, FLAGS)?)),
        }
    }
}

impl Door {
    /// For the task whose place in its loop `watch` is.
    pub fn new(listening: Arc<Listening>, watch: Watch) -> Self {
        let local = match &*listening {
            Listening::Tcp(listener) => listener.local_addr().ok(),
            Listening::Unix(_) => None,
        };
        let local = local.filter(|local| !local.ip().is_unspecified());
        Self { listening, watch: Mutex::new(watch), local }
    }

    /// The next connection, waited for.
    ///
    /// # Errors
    /// The system's.
    /// # Cancel safety
    /// None is lost.
    pub async fn accept(&self) -> io::Result<Accepted> {
        std::future::poll_fn(|_| match self.accept_now() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
                match watch.wait_for(Interest::Connections, self.listening.as_fd()) {
                    Ok(()) => Poll::Pending,
                    Err(error) => Poll::Ready(Err(error)),
                }
            }
            other => Poll::Ready(other),
        })
        .await
    }

    /// A connection that is there already.
    ///
    /// # Errors
    /// The system's, `WouldBlock` where there is none.
    pub fn accept_now(&self) -> io::Result<Accepted> {
        self.listening.accept()
    }

    /// Whether it is TCP's.
    pub fn is_tcp(&self) -> bool {
        matches!(*self.listening, Listening::Tcp(_))
    }

    /// Our end of all its connections, where it is the same for all.
    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }
}

impl Drop for Door {
    /// Other loops may go on: they must not wait for what this one is woken for.
    fn drop(&mut self) {
        let watch = self.watch.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = watch.end(self.listening.as_fd()); // it fails only where nothing is watched
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{Timespec, epoll};
    use std::net::TcpStream;
    use std::pin::pin;
    use std::task::{Context, Waker};

    /// Whether the loop finds the task ready.
    fn is_ready(epoll: &OwnedFd, task: u32) -> bool {
        let mut space = [std::mem::MaybeUninit::uninit(); 4];
        let (events, _) = epoll::wait(epoll, &mut space, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
        events.iter().any(|event| super::super::watch::task(event.data.u64()) == Some(task))
    }

    fn poll(door: &Door) -> Poll<io::Result<Accepted>> {
        pin!(door.accept()).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn loops_that_wait_are_told_until_they_leave_and_connections_do_not_block() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (address, listening) = (listener.local_addr().unwrap(), Arc::new(Listening::Tcp(listener)));
        let loops = [7, 8].map(|task| {
            let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).unwrap());
            (Door::new(Arc::clone(&listening), Watch::new(Arc::clone(&epoll), task)), epoll, task)
        });
        assert!(loops.iter().all(|(door, ..)| poll(door).is_pending()));
        assert!(!loops.iter().any(|(_, epoll, task)| is_ready(epoll, *task)));
        let client = TcpStream::connect(address).unwrap();
        assert!(loops.iter().any(|(_, epoll, task)| is_ready(epoll, *task)));
        let Poll::Ready(Ok(Accepted::Tcp(socket, remote))) = poll(&loops[0].0) else { panic!("not TCP") };
        assert_eq!(Some(remote), client.local_addr().ok());
        assert_eq!(loops[0].0.local(), Some(address));
        assert_eq!(
            rustix::io::read(&socket, &mut [0; 1]),
            Err(rustix::io::Errno::AGAIN),
            "it does not block"
        );
        let [(first, epoll, task), (second, other, number)] = loops;
        drop(first);
        let _client = TcpStream::connect(address).unwrap();
        assert!(!is_ready(&epoll, task), "it has left");
        assert!(is_ready(&other, number) && poll(&second).is_ready());
    }
}
