//! A cancel request for a client of another process, from whoever sends it to the `servers` room, which
//! forwards it.

use super::cancel_end::CancelEnd;
use super::client_key::ClientKey;
use crate::base::Address;
use std::any::Any;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A cancel request for a client of a peer.
pub struct PeerRequest {
    /// The peer's id.
    pub peer: u16,
    /// The key as it is sent there.
    pub key: ClientKey,
    /// Who sends it.
    pub requester: PeerRequester,
    /// Told what it has come to. Closed when its sender has gone.
    pub done: oneshot::Sender<CancelEnd>,
}

/// Whoever sends a cancel request that goes to a peer.
pub struct PeerRequester {
    /// Where he is: requests from one address wait for each other.
    pub address: Address,
    /// The log has room for what becomes of it.
    pub is_heard: bool,
    /// His place among those who may be here without a proof, until the request waits for its turn no more:
    /// whoever is let in instead of him finds it gone.
    pub place: Option<Arc<dyn Any + Send + Sync>>,
}
