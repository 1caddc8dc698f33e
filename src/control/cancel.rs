//! A client's wish that a query be cancelled: from its key to the worker that runs it, and on to the server.
//!
//! The worker decides whether there is anything to cancel; the request to the server is the `servers` room's
//! to carry. Source: PgBouncer, src/objects.c (accept_cancel_request()).

use super::cancel_end::CancelEnd;
use super::cancel_keys::{CancelRequest, ClientKey, Holder};
use super::plane::Plane;
use crate::base::WorkerId;
use crate::core::{Answer, CancelKey, Command, ServerIdentity};
use std::sync::Arc;

impl Plane {
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
        let holder = self.cancel_keys.holder(&key);
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
        if watch.done().await { CancelEnd::Taken } else { CancelEnd::GivenUp }
    }
}
