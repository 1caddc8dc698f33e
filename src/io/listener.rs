//! Listening sockets, made ready for an event loop: TCP, Unix in the file system, Unix in
//! Linux's abstract namespace.
//!
//! Makes them and nothing else: who may come in, and what a file name means, is the caller's knowledge.

use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;

/// How a TCP socket listens.
#[derive(Clone, Copy, Debug)]
pub struct TcpListening {
    /// Connections that the kernel queues before they are accepted.
    pub backlog: i32,
    /// Other processes may listen on the same address.
    pub reuse_port: bool,
    /// Hold connections back until they have sent something, for at most this many seconds; 0 = do not.
    pub defer_accept_s: u16,
}

/// A non-blocking listening socket on `address`. An IPv6 socket takes IPv6 only.
///
/// # Errors
/// The system's, of the first call that fails.
pub fn tcp(address: SocketAddr, how: &TcpListening) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if how.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(how.backlog)?;
    super::options::defer_accept(&socket, how.defer_accept_s)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A non-blocking listening socket at `path`, of which nothing must exist yet; `@` first:
/// in the abstract namespace.
///
/// # Errors
/// The system's, of the first call that fails.
pub fn unix(path: &str, backlog: i32) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&unix_address(path)?)?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Whether somebody listens at `path`.
///
/// # Errors
/// The system's, where it is neither a yes nor a no.
pub fn answers(path: &str) -> io::Result<bool> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&unix_address(path)?) {
        Ok(()) => Ok(true),
        // Its queue is full: it is alive.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn unix_address(path: &str) -> io::Result<SockAddr> {
    match path.strip_prefix('@') {
        Some(name) => SockAddr::unix(format!("\0{name}")),
        None => SockAddr::unix(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    const HOW: TcpListening = TcpListening { backlog: 8, reuse_port: false, defer_accept_s: 0 };

    #[test]
    fn tcp_listens_without_blocking() {
        let listener = tcp("127.0.0.1:0".parse().unwrap(), &HOW).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let address = listener.local_addr().unwrap();
        assert!(TcpStream::connect(address).is_ok());
        assert_eq!(tcp(address, &HOW).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_port_can_be_shared() {
        let how = TcpListening { reuse_port: true, ..HOW };
        let first = tcp("127.0.0.1:0".parse().unwrap(), &how).unwrap();
        assert!(tcp(first.local_addr().unwrap(), &how).is_ok());
    }

    #[test]
    fn unix_sockets_answer_while_they_live() {
        let file = std::env::temp_dir().join(format!("pgweir-listener-{}", std::process::id()));
        let file = file.to_str().unwrap();
        for path in [file.to_owned(), format!("@{file}")] {
            assert!(!answers(&path).unwrap());
            let listener = unix(&path, 8).unwrap();
            assert!(answers(&path).unwrap());
            drop(listener);
            assert!(!answers(&path).unwrap(), "a file of a dead process is no answer");
        }
        std::fs::remove_file(file).unwrap();
    }
}
