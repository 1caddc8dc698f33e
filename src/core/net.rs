//! The seam between a `Core` and whatever moves its bytes: `io`'s driver, or a test that plays its part.
//!
//! Says what each side may ask of the other, and in which order; moves nothing itself.

use super::handover::{CancelKey, ServerIdentity};
use crate::base::{Peer, PoolId, WorkerId};
use std::ops::Range;
use std::sync::Arc;

/// How a connection ends, once everything sent before has been flushed (or the linger time is over).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// Flush, then close. A server's end of stream is waited for as with [`Farewell::Terminate`].
    Close,
    /// A server: send Terminate, then wait for its end of stream, so that PostgreSQL has forgotten the backend before the
    /// pool's place is given away. Bounded by `limits::SERVER_LINGER_MS`.
    Terminate,
    /// The peer is already gone, or must be cut: close at once, nothing is flushed.
    Cut,
}

/// What the world outside the worker must learn. The driver's owner passes it on; never on the path of a transaction
/// that finds a server idle.
#[derive(Debug)]
pub enum Note {
    /// Clients of this pool wait on this worker and it has room: consider opening a server.
    NeedServer(PoolId),
    /// A free server of this pool is past its soft age: have a replacement opened where there is room, or one retired first
    /// where there is none ([`super::Want::Renewal`]).
    NeedRenewal(PoolId),
    /// Clients of this pool wait here, and that worker had idle servers a moment ago.
    Nudge {
        /// Whose clients wait.
        pool: PoolId,
        /// Who seems to have idle servers.
        idle_at: WorkerId,
    },
    /// Open a connection to the server's endpoint, send its cancel key, wait for the end of stream, then tell this worker
    /// what became of it with the same socket id (`Core::cancel_over`).
    SendCancel {
        /// Socket id of the client that was to be cancelled (`Command::Cancel`); 0 where the pooler itself ends the query.
        client: u64,
        /// The number of that request; 0 where there is none.
        request: u64,
        /// Socket id (SHOW `id`) of the server whose query is to be cancelled.
        server: u64,
        /// Where it is.
        identity: Arc<ServerIdentity>,
        /// The key that PostgreSQL gave for it.
        key: CancelKey,
    },
}

/// What a `Core` asks of its driver. Calls take effect in order; nothing here waits or fails: a peer that cannot be
/// written to is reported later by `Core::closed`.
pub trait Net {
    /// Sends `input[range]`, a part of the bytes that the current `Core::received` was called with. The driver sends them
    /// from where they lie; only what the peer does not take at once is copied.
    fn forward(&mut self, to: Peer, range: Range<usize>);

    /// Sends bytes made here; they are copied.
    fn send(&mut self, to: Peer, bytes: &[u8]);

    /// Stops reading from `peer` until [`Net::resume`]; the bytes not consumed stay with the driver.
    fn pause(&mut self, peer: Peer);

    /// Reads from `peer` again: after the current call returns, `Core::received` is called with the bytes kept so far
    /// (even if nothing new came), then with what arrives.
    fn resume(&mut self, peer: Peer);

    /// What the current `Core::received` leaves of `peer`'s bytes is handed in again, when other connections have had their
    /// turn. `peer` is not paused.
    fn again(&mut self, peer: Peer) {
        self.pause(peer);
        self.resume(peer);
    }

    /// Ends the connection. The id is free from this call on: the driver must no longer use it for this connection.
    fn close(&mut self, peer: Peer, farewell: Farewell);

    /// Detaches a server (socket, TLS session, kept bytes) and gives it with `state` to another worker, where
    /// `Core::server_moved_in` receives it. The id is free from this call on. What is unsent travels with it, what the call at
    /// hand has sent to it included; a pause does not.
    fn move_server(&mut self, server: Peer, to: WorkerId, state: super::MovedServer);

    /// Whether bytes of `peer` lie with the driver that no `Core::received` has been called with: it will be, as after
    /// [`Net::resume`].
    fn has_unread(&self, peer: Peer) -> bool;

    /// Tells the world outside.
    fn notify(&mut self, note: Note);
}
