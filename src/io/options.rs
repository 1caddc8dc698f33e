//! Options of TCP sockets, for both sides of the pooler.
//!
//! Sets what it is told; which setting says so is the caller's knowledge. Source: tcp(7), socket(7).

use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::time::Duration;

/// What is set on a connected TCP socket. A number of 0 leaves the system's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// Probe the peer when the connection is silent.
    pub keepalive: bool,
    /// Seconds of silence before the first probe.
    pub keepalive_idle_s: u32,
    /// Seconds between probes.
    pub keepalive_interval_s: u32,
    /// Probes without an answer that end the connection.
    pub keepalive_probes: u32,
    /// Milliseconds that sent bytes may stay unacknowledged.
    pub user_timeout_ms: u32,
    /// Bytes of the kernel's buffers, one for each direction.
    pub buffer_bytes: u32,
}

/// Sets `options` on a TCP socket, and that small writes are sent at once.
///
/// # Errors
/// The system's, for the first option that it refuses; those in front of it are set.
pub fn tune(socket: BorrowedFd<'_>, options: &TcpOptions) -> io::Result<()> {
    SockRef::from(&socket).set_tcp_nodelay(true)?;
    tune_more(socket, options)
}

/// Has the connections of a listening TCP socket begin with what most have, so that it costs no
/// system call for each: small writes are sent at once, and with `keepalive` silent peers are
/// probed as the system does it.
///
/// # Errors
/// The system's.
pub fn tune_listener(listener: BorrowedFd<'_>, keepalive: bool) -> io::Result<()> {
    let socket = SockRef::from(&listener);
    socket.set_tcp_nodelay(true)?;
    socket.set_keepalive(keepalive)
}

/// As [`tune`], for a connection of a listening socket that [`tune_listener`] was
/// called for with `keepalive`.
///
/// # Errors
/// The system's, for the first option that it refuses; those in front of it are set.
pub fn tune_accepted(socket: BorrowedFd<'_>, options: &TcpOptions, keepalive: bool) -> io::Result<()> {
    if keepalive && !options.keepalive {
        SockRef::from(&socket).set_keepalive(false)?;
    }
    let has_numbers =
        options.keepalive_idle_s > 0 || options.keepalive_interval_s > 0 || options.keepalive_probes > 0;
    let is_left = options.keepalive && (has_numbers || !keepalive);
    tune_more(socket, &TcpOptions { keepalive: is_left, ..*options })
}

fn tune_more(socket: BorrowedFd<'_>, options: &TcpOptions) -> io::Result<()> {
    let socket = SockRef::from(&socket);
    if options.buffer_bytes > 0 {
        socket.set_recv_buffer_size(options.buffer_bytes as usize)?;
        socket.set_send_buffer_size(options.buffer_bytes as usize)?;
    }
    if options.user_timeout_ms > 0 {
        socket.set_tcp_user_timeout(Some(Duration::from_millis(options.user_timeout_ms.into())))?;
    }
    if options.keepalive {
        socket.set_tcp_keepalive(&keepalive(options))?;
    }
    Ok(())
}

fn keepalive(options: &TcpOptions) -> TcpKeepalive {
    let mut keepalive = TcpKeepalive::new();
    if options.keepalive_idle_s > 0 {
        keepalive = keepalive.with_time(Duration::from_secs(options.keepalive_idle_s.into()));
    }
    if options.keepalive_interval_s > 0 {
        keepalive = keepalive.with_interval(Duration::from_secs(options.keepalive_interval_s.into()));
    }
    if options.keepalive_probes > 0 {
        keepalive = keepalive.with_retries(options.keepalive_probes);
    }
    keepalive
}

/// Lets the kernel hold a connection back from a listening socket until its first bytes have come, for at
/// most `seconds`; 0 turns it off.
///
/// # Errors
/// The system's.
pub fn defer_accept(listener: impl AsFd, seconds: u16) -> io::Result<()> {
    let value = libc::c_int::from(seconds);
    let fd = listener.as_fd().as_raw_fd();
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: `fd` is open while `listener` is borrowed; the pointer and length describe `value`,
    // which outlives the call.
    #[expect(unsafe_code, reason = "neither rustix nor socket2 has this option")]
    let answer = unsafe {
        libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, (&raw const value).cast(), length)
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_socket_has_what_was_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let options = TcpOptions {
            keepalive: true,
            keepalive_idle_s: 31,
            keepalive_interval_s: 7,
            keepalive_probes: 3,
            user_timeout_ms: 9_000,
            buffer_bytes: 32_768,
        };
        tune(stream.as_fd(), &options).unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(31));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(7));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(9)));
        assert!(socket.recv_buffer_size().unwrap() >= 32_768);
    }

    #[test]
    fn what_comes_in_is_tuned_as_the_settings_say_now_whatever_its_listener_had() {
        for (keepalive, wanted, idle_s) in
            [(true, true, 0), (true, false, 0), (false, true, 0), (false, false, 0), (true, true, 33)]
        {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            tune_listener(listener.as_fd(), keepalive).unwrap();
            let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (stream, _) = listener.accept().unwrap();
            let options = TcpOptions { keepalive: wanted, keepalive_idle_s: idle_s, ..TcpOptions::default() };
            tune_accepted(stream.as_fd(), &options, keepalive).unwrap();
            let socket = SockRef::from(&stream);
            assert!(socket.tcp_nodelay().unwrap());
            assert_eq!(socket.keepalive().unwrap(), wanted, "{keepalive} {wanted} {idle_s}");
            let idle = socket.tcp_keepalive_time().unwrap().as_secs();
            assert!(idle_s == 0 || idle == u64::from(idle_s));
        }
    }

    #[test]
    fn accepting_can_be_deferred_until_bytes_come() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        defer_accept(&listener, 45).unwrap();
        let silent = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        io::Write::write_all(&mut &silent, b"x").unwrap();
        listener.set_nonblocking(false).unwrap();
        assert!(listener.accept().is_ok());
    }
}
