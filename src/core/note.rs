//! What a `Core` says to its driver in values: how a connection ends, and what the world outside must learn.

use super::login_handoff::{CancelKey, ServerIdentity};
use crate::base::{Micros, PoolId, WorkerId};
use std::sync::Arc;

/// How a connection ends, once everything sent before has been flushed (or the linger time is over).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// Flush, then close. A server's end of stream is waited for as with [`Farewell::Terminate`].
    Close,
    /// A server: send Terminate, then wait for its end of stream, so that PostgreSQL has forgotten the
    /// backend before the pool's place is given away. Bounded by `limits::SERVER_LINGER_MS`.
    Terminate,
    /// The peer is already gone, or must be cut: close at once, nothing is flushed.
    Cut,
}

/// What the world outside the worker must learn. The driver's owner passes it on; never on the path of a
/// transaction that finds a server idle.
#[derive(Debug)]
pub enum Note {
    /// Clients of this pool wait on this worker and it has room: consider opening a server.
    NeedServer(PoolId),
    /// A free server of this pool is past its soft age: have a replacement opened where there is room, or one
    /// retired first where there is none ([`super::supply::Want::Renewal`]).
    NeedRenewal(PoolId),
    /// A server of this pool has ended by itself and had answered nothing since its login: one login
    /// more would come to no more.
    EndedUnanswered {
        /// Its pool.
        pool: PoolId,
        /// When its login began.
        began_at: Micros,
    },
    /// Clients of this pool wait here, and that worker had idle servers a moment ago.
    Nudge {
        /// Whose clients wait.
        pool: PoolId,
        /// Who seems to have idle servers.
        idle_at: WorkerId,
    },
    /// Open a connection to the server's endpoint, send its cancel key, wait for the end of stream, then tell
    /// this worker what became of it with the same socket id (`Core::cancel_over`).
    SendCancel {
        /// Socket id of the client whose query it is; 0 where that has left.
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
