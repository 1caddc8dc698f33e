//! Who is at the other end of a socket, as the kernel knows it, and whether anybody is.
//!
//! Never says what follows from it. Source: poll(2), POLLRDHUP; unix(7), SO_PEERCRED; pid_namespaces(7) (a
//! process of a namespace that cannot be seen from here has the number 0), user_namespaces(7).

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, AsRawFd};
use std::io;

/// A process and its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerProcess {
    /// Its number here; 0 where it has none.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
}

impl PeerProcess {
    /// Nobody that is known: no account has this number.
    pub(crate) const UNKNOWN: Self = Self { pid: 0, uid: u32::MAX };

    /// The one that has connected to `socket`.
    ///
    /// # Errors
    /// The system's, for what is no socket.
    pub(crate) fn of(socket: impl AsFd) -> io::Result<Self> {
        let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
        let mut length = size_of_val(&peer) as libc::socklen_t;
        let fd = socket.as_fd().as_raw_fd();
        // SAFETY: `fd` is open while `socket` is borrowed; the pointers are to `peer`, of which any bytes are
        // a value, and to its length, and both outlive the call.
        #[expect(unsafe_code, reason = "rustix has no process with the number 0")]
        let answer = unsafe {
            let peer = (&raw mut peer).cast();
            libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, peer, &raw mut length)
        };
        if answer != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { pid: peer.pid.unsigned_abs(), uid: peer.uid })
    }
}

/// Whether the other end has said that nothing more will come, or is gone, whatever lies unread before that.
/// A look: it never waits. What cannot be looked at is not gone.
pub(crate) fn has_hung_up(socket: impl AsFd) -> bool {
    let end = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    let mut looks = [PollFd::new(&socket, end)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut looks, Some(&now)).is_ok() && looks[0].revents().intersects(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_process_is_known_by_its_numbers_and_one_without_any_is_no_error() {
        let (near, _far) = UnixStream::pair().unwrap();
        let own = PeerProcess { pid: std::process::id(), uid: rustix::process::getuid().as_raw() };
        assert_eq!(PeerProcess::of(&near).unwrap(), own);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(
            PeerProcess::of(&far).unwrap(),
            PeerProcess::UNKNOWN,
            "the kernel knows it of no TCP socket"
        );
        assert!(PeerProcess::of(rustix::pipe::pipe().unwrap().0).is_err());
    }

    #[test]
    fn who_has_closed_is_gone_although_his_bytes_lie_unread() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let near = listener.accept().unwrap().0;
        far.write_all(b"a hello").unwrap();
        assert!(!has_hung_up(&near));
        drop(far);
        let look = PollFd::new(&near, PollFlags::RDHUP);
        poll(&mut [look], None).unwrap(); // the kernel has heard of it
        assert!(has_hung_up(&near));
        let (near, far) = UnixStream::pair().unwrap();
        assert!(!has_hung_up(&near));
        drop(far);
        assert!(has_hung_up(&near));
    }
}
