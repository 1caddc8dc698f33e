//! A client that came to have another's query cancelled, and for nothing else.
//!
//! It counts as long as its connection is there, and makes room like anybody who is late: the request is
//! carried all the same.

use super::LoginAttempt;
use crate::base::{About, Address, Micros, log_about};
use crate::clients::clients::Clients;
use crate::clients::stream::ClientStream;
use crate::control::ClientKey;

/// Who asks.
pub(super) struct Requester {
    id: u64,
    remote: Address,
    arrived: Micros,
}

impl Requester {
    /// The same client, which is no login any more.
    pub(super) fn of(attempt: LoginAttempt) -> Self {
        Self { id: attempt.id, remote: attempt.remote, arrived: attempt.arrived }
    }

    /// Waits until it is known what comes of the request, and says so to the log alone.
    ///
    /// # Cancel safety
    /// The request goes on by itself.
    pub(super) async fn cancel(self, clients: &Clients, key: ClientKey, stream: ClientStream) {
        let reason = clients.plane.cancel(key).await.text();
        let is_logged = clients.plane.policy.load().snapshot.settings.log_disconnections;
        if is_logged && clients.unauthenticated.may_log() {
            let (database, user) = ("(nodb)", "(nouser)");
            let about = About { side: "C", id: self.id, database, user, peer: &self.remote };
            let age = clients.plane.now().since(self.arrived).as_secs();
            log_about!(info, about, "closing because: {reason} (age={age}s)");
        }
        stream.close().await;
    }
}
