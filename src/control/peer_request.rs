//! A cancel request for a client of another process, from whoever sends it to the `servers` room, which
//! forwards it.

use super::cancel_end::CancelEnd;
use super::client_key::ClientKey;
use crate::base::Address;
use tokio::sync::oneshot;

/// A cancel request for a client of a peer.
pub struct PeerRequest {
    /// The peer's id.
    pub peer: u16,
    /// The key as it is sent there.
    pub key: ClientKey,
    /// Where whoever sends it is: requests from one address wait for each other.
    pub requester: Address,
    /// The log has room for what becomes of it.
    pub is_heard: bool,
    /// Told what it has come to. Closed when its sender has gone.
    pub done: oneshot::Sender<CancelEnd>,
}
