//! The seam between a `Core` and whatever moves its bytes: `io`'s driver, or a test that plays its part.
//!
//! Says what each side may ask of the other, and in which order; moves nothing itself.

use super::conn::FlowControl;
use super::moved_server::MovedServer;
use super::note::{Farewell, Note};
use crate::base::{Peer, WorkerId};
use std::ops::Range;

/// What a `Core` asks of its driver. Calls take effect in order; nothing here waits or fails: a peer that
/// cannot be written to is reported later by `Core::closed`.
pub trait Net {
    /// Sends `input[range]`, a part of the bytes that the current `Core::received` was called with. The
    /// driver sends them from where they lie; only what the peer does not take at once is copied.
    fn forward(&mut self, to: Peer, range: Range<usize>);

    /// Sends bytes made here; they are copied.
    fn send(&mut self, to: Peer, bytes: &[u8]);

    /// Stops reading from `peer` until [`Net::resume`]; the bytes not consumed stay with the driver.
    fn pause(&mut self, peer: Peer);

    /// Reads from `peer` again: after the current call returns, `Core::received` is called with the bytes
    /// kept so far (even if nothing new came), then with what arrives.
    fn resume(&mut self, peer: Peer);

    /// What the current `Core::received` leaves of `peer`'s bytes is handed in again, when other connections
    /// have had their turn. `peer` is not paused.
    fn again(&mut self, peer: Peer) {
        self.pause(peer);
        self.resume(peer);
    }

    /// Ends the connection. The id is free from this call on: the driver must no longer
    /// use it for this connection.
    fn close(&mut self, peer: Peer, farewell: Farewell);

    /// Detaches a server (socket, TLS session, kept bytes) and gives it with `state` to another worker, where
    /// `Core::server_moved_in` receives it. The id is free from this call on. What is unsent travels with it,
    /// what the call at hand has sent to it included; a pause does not.
    fn move_server(&mut self, server: Peer, to: WorkerId, state: MovedServer);

    /// Whether bytes of `peer` lie with the driver that no `Core::received` has been called with: it will be,
    /// as after [`Net::resume`].
    fn has_unread(&self, peer: Peer) -> bool;

    /// Tells the world outside.
    fn notify(&mut self, note: Note);
}

impl<N: Net> FlowControl for N {
    fn pause(&mut self, peer: Peer) {
        Net::pause(self, peer);
    }

    fn resume(&mut self, peer: Peer) {
        Net::resume(self, peer);
    }
}
