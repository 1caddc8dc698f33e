//! A connection as a value: what the login plane hands to a worker, and one worker to another.

use std::os::fd::OwnedFd;

/// Something that must be let go when the connection has truly ended (a place in a pool, a count of clients):
/// it is dropped when the driver has closed the socket, not before.
pub(crate) type Guard = Box<dyn Send>;

/// One connection that is past its login, whole: what it has read and not used and what it could
/// not send travel with it.
pub struct Channel<S = OwnedFd> {
    /// The connected, non-blocking socket.
    pub fd: S,
    /// The TLS session, handshake done; `None` = plain.
    pub tls: Option<Box<rustls::Connection>>,
    /// Plain bytes already read from the peer and not yet consumed.
    pub unread: Vec<u8>,
    /// Bytes that the socket has not taken yet, as it is to have them (ciphertext where there is TLS), in
    /// front of those that the TLS session itself still holds.
    pub unsent: Vec<u8>,
    /// Dropped after the close.
    pub guard: Guard,
}
