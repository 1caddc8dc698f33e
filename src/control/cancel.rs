//! A client's wish that a query be cancelled: from its key to the worker that runs it, and on to the server.
//!
//! The worker decides whether there is anything to cancel; the request to the server is the `servers` room's
//! to carry, and so is one for a client of a peer, which goes there as it is. Source: PgBouncer,
//! src/objects.c (accept_cancel_request()).

use super::cancel_end::CancelEnd;
use super::cancel_keys::{CancelRequest, Holder};
use super::client_key::{self, ClientKey};
use super::launcher_channel::LauncherEvent;
use super::peer_request::{PeerRequest, PeerRequester};
use super::plane::Plane;
use crate::base::WorkerId;
use crate::core::{Answer, CancelKey, Command, ServerIdentity};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Where a cancel request goes, as its key says.
#[derive(Clone, Copy)]
pub enum CancelRoute {
    /// To a client of ours, if to anybody.
    Here,
    /// To the peer of that id, with the key as it is sent there.
    Peer(u16, ClientKey),
    /// Nowhere: what it has come to.
    Nowhere(CancelEnd),
}

impl Plane {
    /// Socket id of the client that was given `key`, if it is one of a database's here.
    pub fn session_of(&self, key: &ClientKey) -> Option<u64> {
        match self.cancel_keys.holder(key, self.policy.load().snapshot.settings.peer_id)? {
            Holder::Client { client, .. } => Some(client),
            Holder::Console(_) => None,
        }
    }

    /// Where a request with `key` goes.
    pub fn cancel_route(&self, key: &ClientKey) -> CancelRoute {
        let policy = self.policy.load();
        let own = policy.snapshot.settings.peer_id;
        let issuer = client_key::issuer(key);
        if own.0 == 0 || issuer == own.0 || self.cancel_keys.holder(key, own).is_some() {
            return CancelRoute::Here;
        }
        if !policy.snapshot.peers.contains_key(&issuer) {
            return CancelRoute::Nowhere(CancelEnd::UnknownPeer);
        }
        let forwarded = client_key::forwarded(*key);
        forwarded.map_or(CancelRoute::Nowhere(CancelEnd::OutOfHops), |key| CancelRoute::Peer(issuer, key))
    }

    /// Has a request forwarded to the peer of that id. Returns when the peer has closed the connection, or
    /// when it was given up.
    ///
    /// # Cancel safety
    /// It is given up if it still waits for its turn; else it goes on by itself.
    pub async fn forward_cancel(&self, (peer, key): (u16, ClientKey), requester: PeerRequester) -> CancelEnd {
        let (done, end) = oneshot::channel();
        self.launcher.say(LauncherEvent::ForwardCancel(PeerRequest { peer, key, requester, done }));
        end.await.unwrap_or(CancelEnd::GivenUp)
    }

    /// The request of that number, as it is carried to a server; nobody waits for number 0.
    pub fn cancel_request(
        &self,
        worker: WorkerId,
        request: u64,
        server: u64,
        identity: Arc<ServerIdentity>,
        key: CancelKey,
    ) -> CancelRequest {
        let watched = self.cancel_keys.take_watched(request).into_iter().collect();
        CancelRequest::new(worker, server, identity, key, watched)
    }

    /// Cancels what the client that was given `key` runs or waits for. Returns when the request has been
    /// taken in by the server, given up, or dropped because there is nothing to cancel: then the requester's
    /// connection is to be closed, which is all the answer it gets.
    ///
    /// # Cancel safety
    /// The request goes on by itself.
    pub async fn cancel(&self, key: ClientKey) -> CancelEnd {
        let holder = self.cancel_keys.holder(&key, self.policy.load().snapshot.settings.peer_id);
        let (worker, client) = match holder {
            Some(Holder::Client { worker, client }) => (worker, client),
            Some(Holder::Console(canceled)) => {
                canceled.notify_waiters();
                return CancelEnd::OfConsole;
            }
            None => {
                tracing::debug!("failed cancel request: unknown key");
                return CancelEnd::UnknownKey;
            }
        };
        let watch = self.cancel_keys.watch();
        let request = watch.request();
        let found = self.ask(worker, Command::Cancel(client, request)).await;
        if !matches!(found, Some(Answer::Found(true))) {
            return CancelEnd::OfIdle;
        }
        // The request is sent out at the end of the worker's round, after the answer to this letter.
        self.ask(worker, Command::Barrier).await;
        if self.cancel_keys.take_watched(request).is_some() {
            return CancelEnd::OfWaiting; // nothing was sent out for it
        }
        watch.done().await
    }
}
