//! The cancel requests that are carried to each server, and those that wait for them.

use crate::control::{CancelQueue, CancelRequest, TakenIn};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

/// What is carried to each server, by its socket id.
#[derive(Default)]
pub struct CancelQueues(pub(super) DashMap<u64, CancelQueue<CancelRequest>>);

impl CancelQueues {
    /// Whether `request` may be carried now; if not, what becomes of it.
    pub(super) fn take_in(&self, request: CancelRequest) -> TakenIn<CancelRequest> {
        self.0.entry(request.server).or_default().take_in(request)
    }

    /// One of the requests to this server is over. Returns the one that is carried in its stead.
    pub(super) fn over(&self, server: u64) -> Option<CancelRequest> {
        let Entry::Occupied(mut entry) = self.0.entry(server) else { return None };
        let next = entry.get_mut().over();
        if entry.get().is_empty() {
            entry.remove();
        }
        next
    }
}
