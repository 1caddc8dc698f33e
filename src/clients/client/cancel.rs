//! A client that came to have another's query cancelled, and for nothing else.
//!
//! It counts as long as its connection is there, and makes room like anybody who is late: the request is
//! carried all the same, but for one that still waits for its turn at a peer.

use super::LoginAttempt;
use crate::audit::Event;
use crate::base::{About, Address, Micros, log_about};
use crate::clients::clients::Clients;
use crate::clients::stream::ClientStream;
use crate::clients::unauthenticated::LoginSlot;
use crate::control::{CancelRoute, ClientKey, PeerRequester};
use std::sync::Arc;

/// Who asks.
pub(super) struct Requester {
    id: u64,
    remote: Address,
    arrived: Micros,
    place: Arc<LoginSlot>,
}

impl Requester {
    /// The same client, which is no login any more.
    pub(super) fn of(attempt: LoginAttempt) -> Self {
        let LoginAttempt { id, remote, arrived, login_slot: place, .. } = attempt;
        Self { id, remote, arrived, place }
    }

    /// Waits until it is known what comes of the request, and says so to the log alone. It is not carried out
    /// before it can be recorded (`audit_overflow = block`).
    ///
    /// # Cancel safety
    /// That of [`crate::control::Plane::cancel`] and `forward_cancel`.
    pub(super) async fn cancel(self, clients: &Clients, key: ClientKey, stream: ClientStream) {
        let plane = &clients.plane;
        let _room = plane.audit.room().await;
        let session = plane.session_of(&key);
        let mut forwarded = None;
        let end = match plane.cancel_route(&key) {
            CancelRoute::Here => plane.cancel(key).await,
            CancelRoute::Nowhere(end) => end,
            CancelRoute::Peer(peer, key) => {
                let is_heard = clients.unauthenticated.may_log();
                forwarded = Some((peer, is_heard));
                let (address, place) = (self.remote.clone(), Some(self.place as _));
                plane.forward_cancel((peer, key), PeerRequester { address, is_heard, place }).await
            }
        };
        plane.audit.post(|| Event::Cancel { address: self.remote.clone(), session, outcome: end.text() });
        let is_logged = plane.policy.load().snapshot.settings.log_disconnections;
        // Asked last: what the settings leave out takes nothing of what others may write.
        if is_logged && forwarded.map_or_else(|| clients.unauthenticated.may_log(), |(_, is_heard)| is_heard)
        {
            let name = forwarded.map(|(peer, _)| format!("peer-{peer}"));
            let (database, user) = name.as_ref().map_or(("(nodb)", "(nouser)"), |name| (name, ""));
            let about = About { side: "C", id: self.id, database, user, peer: &self.remote };
            let age = plane.now().since(self.arrived).as_secs();
            let reason = end.text();
            log_about!(info, about, "closing because: {reason} (age={age}s)");
        }
        plane.log.caught_up().await; // its end is all that the client sees of it
        stream.close().await;
    }
}
