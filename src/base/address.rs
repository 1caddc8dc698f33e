//! Where a peer is, in the two forms PgBouncer's logs and SHOW tables print.

use std::fmt;
use std::net::SocketAddr;

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A TCP end.
    Tcp(SocketAddr),
    /// A Unix socket; `port` is the number in its file name, `pid` and `uid` of the process at the other end.
    Unix {
        /// Port number of the socket's file name.
        port: u16,
        /// Process id of the peer, 0 where unknown.
        pid: u32,
        /// User id of the peer.
        uid: u32,
    },
}

impl Address {
    /// The `addr` column of SHOW: the IP address, or `unix`.
    pub fn host_text(&self) -> String {
        match self {
            Self::Tcp(addr) => addr.ip().to_string(),
            Self::Unix { .. } => "unix".to_owned(),
        }
    }

    /// The `port` column of SHOW.
    pub fn port(&self) -> u16 {
        match self {
            Self::Tcp(addr) => addr.port(),
            Self::Unix { port, .. } => *port,
        }
    }

    /// The peer's process id on Unix sockets, 0 elsewhere.
    pub fn pid(&self) -> u32 {
        match self {
            Self::Tcp(_) => 0,
            Self::Unix { pid, .. } => *pid,
        }
    }
}

impl fmt::Display for Address {
    /// As log prefixes print it: `host:port`, `[v6]:port`, `unix(PID):port`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => write!(f, "{addr}"),
            Self::Unix { port, pid, .. } => write!(f, "unix({pid}):{port}"),
        }
    }
}
