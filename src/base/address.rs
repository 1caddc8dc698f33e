//! Where a peer is, in the two forms PgBouncer's logs and SHOW tables print.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

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

/// The network that a client comes from: as far as one client can be told from many, since whoever has one
/// address of IPv6 has the 2^64 beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    /// This machine's Unix sockets.
    Unix,
    /// An address of IPv4, or the first one of 64 bits of IPv6.
    Ip(IpAddr),
}

impl Address {
    /// The network that a client there comes from, which is what a client's share of something is counted by.
    pub fn network(&self) -> Network {
        match self {
            Self::Tcp(address) => Network::Ip(match address.ip() {
                IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
                ip @ IpAddr::V4(_) => ip,
            }),
            Self::Unix { .. } => Network::Unix,
        }
    }

    /// The four bytes of an IPv4 address; `None` where it is another.
    pub fn octets(&self) -> Option<[u8; 4]> {
        match self {
            Self::Tcp(SocketAddr::V4(address)) => Some(address.ip().octets()),
            Self::Tcp(SocketAddr::V6(_)) | Self::Unix { .. } => None,
        }
    }

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

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix => f.write_str("unix"),
            Self::Ip(ip) => write!(f, "{ip}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_address_of_ipv4_or_64_bits_of_ipv6() {
        let network = |text: &str| Address::Tcp(text.parse().unwrap()).network();
        assert_eq!(network("[2001:db8::1]:1"), network("[2001:db8::ffff:ffff:ffff:ffff]:2"));
        assert_ne!(network("[2001:db8::1]:1"), network("[2001:db8:0:1::1]:1"));
        assert_eq!(network("10.0.0.1:1"), network("10.0.0.1:2"));
        assert_ne!(network("10.0.0.1:1"), network("10.0.0.2:1"));
        let local = |pid| Address::Unix { port: 6432, pid, uid: pid };
        assert_eq!((local(1).network(), local(2).network().to_string()), (Network::Unix, "unix".to_owned()));
    }
}
