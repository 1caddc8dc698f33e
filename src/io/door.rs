//! A listening socket that a loop of tokio watches, and what comes in by it: connections that no loop watches yet.
//!
//! Never says who may come in, nor on which loop a connection goes on.

use rustix::net::{SocketFlags, accept_with, acceptfrom_with};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

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

/// See above.
#[derive(Debug)]
pub struct Door(AsyncFd<Listening>);

impl AsRawFd for Listening {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(listener) => listener.as_raw_fd(),
            Self::Unix(listener) => listener.as_raw_fd(),
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
    /// Has the loop that this is called on watch the socket.
    ///
    /// # Errors
    /// The system's.
    pub fn watch(listening: Listening) -> io::Result<Self> {
        #[expect(
            unsafe_code,
            reason = "what is registered must stay open as long as it is, which only we can promise"
        )]
        // SAFETY: `Listening` owns its socket and always names the same one; it is dropped with the registration.
        let watched = unsafe { AsyncFd::register_with_interest(listening, Interest::READABLE) };
        Ok(Self(watched?))
    }

    /// The next connection, waited for.
    ///
    /// # Errors
    /// The system's.
    /// # Cancel safety
    /// None is lost.
    pub async fn accept(&self) -> io::Result<Accepted> {
        self.0.async_io(Interest::READABLE, Listening::accept).await
    }

    /// A connection that is there already.
    ///
    /// # Errors
    /// The system's, `WouldBlock` where there is none.
    pub fn accept_now(&self) -> io::Result<Accepted> {
        self.0.get_ref().accept()
    }

    /// Whether it is TCP's.
    pub fn is_tcp(&self) -> bool {
        matches!(self.0.get_ref(), Listening::Tcp(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[tokio::test]
    async fn connections_come_in_without_blocking_and_say_where_from() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let door = Door::watch(Listening::Tcp(listener)).unwrap();
        assert_eq!(door.accept_now().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        for _ in 0..3 {
            let client = TcpStream::connect(address).unwrap();
            let Accepted::Tcp(socket, remote) = door.accept().await.unwrap() else { panic!("not TCP") };
            assert_eq!(remote, client.local_addr().unwrap());
            let error = rustix::io::read(&socket, &mut [0; 1]).unwrap_err();
            assert_eq!(error, rustix::io::Errno::AGAIN, "it does not block");
        }
    }
}
