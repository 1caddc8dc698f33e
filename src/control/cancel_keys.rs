//! Cancel keys: whom each belongs to, and a cancel request from the client that sends it to the
//! worker of the one it means.
//!
//! The worker decides whether there is anything to cancel, and keeps the server from being lent
//! meanwhile; who sends the key waits here until the request has been carried to the server. Never
//! connects to one. Source: PostgreSQL documentation, "Canceling Requests in Progress"; PgBouncer's
//! `accept_cancel_request` (src/objects.c).

use super::cancel_end::CancelEnd;
use super::cancel_queue::Joins;
use super::client_key::{self, ClientKey};
use super::random::Randomness;
use crate::base::WorkerId;
use crate::config::PeerId;
use crate::core::{CancelKey, ServerIdentity};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Notify, watch};

/// Whom a key belongs to.
#[derive(Clone, Debug)]
pub(super) enum Holder {
    /// A client of a worker.
    Client { worker: WorkerId, client: u64 },
    /// A client of the console, which learns of it if it waits just then.
    Console(Arc<Notify>),
}

/// The keys of all clients, and who waits for a client's cancel to be done.
#[derive(Clone, Default)]
pub struct CancelKeys(Arc<Tables>);

#[derive(Default)]
struct Tables {
    holders: DashMap<ClientKey, Holder>,
    random: Randomness,
    /// By the number of the request. Dropped when it is over, which whoever asked waits for.
    watched: DashMap<u64, watch::Sender<CancelEnd>>,
    requests: AtomicU64,
}

/// A client's key; it means nothing any more once this is dropped.
pub struct KeyHolder {
    keys: CancelKeys,
    key: ClientKey,
}

impl KeyHolder {
    /// The key, to be sent as BackendKeyData: 4 bytes of process id, 4 of secret.
    pub fn key(&self) -> ClientKey {
        self.key
    }
}

impl Drop for KeyHolder {
    fn drop(&mut self) {
        self.keys.0.holders.remove(&self.key);
    }
}

impl CancelKeys {
    /// Makes a key for the client with this socket id, which lives on `worker`; among peers one that says
    /// which of them we are. `None` where the system has no randomness.
    pub fn issue(&self, worker: WorkerId, client: u64, peer_id: PeerId) -> Option<KeyHolder> {
        self.issue_to(Holder::Client { worker, client }, peer_id)
    }

    /// Makes a key for a client of the console: a cancel request wakes those who wait
    /// for `canceled` just then.
    pub fn issue_for_console(&self, canceled: Arc<Notify>, peer_id: PeerId) -> Option<KeyHolder> {
        self.issue_to(Holder::Console(canceled), peer_id)
    }

    fn issue_to(&self, holder: Holder, peer_id: PeerId) -> Option<KeyHolder> {
        loop {
            let mut key: ClientKey = self.0.random.take()?;
            key[0] &= 0x7f; // some drivers read the process id as a signed number and refuse a negative one
            if peer_id.0 > 0 {
                client_key::mark(&mut key, peer_id.0);
            }
            if let Entry::Vacant(free) = self.0.holders.entry(key) {
                free.insert(holder);
                return Some(KeyHolder { keys: self.clone(), key });
            }
        }
    }

    /// Whom `key` belongs to, if to anybody; among peers it may have been forwarded.
    pub(super) fn holder(&self, key: &ClientKey, peer_id: PeerId) -> Option<Holder> {
        let of = |key: &ClientKey| self.0.holders.get(key).map(|holder| holder.clone());
        let may_be_forwarded = peer_id.0 > 0 && client_key::issuer(key) == peer_id.0;
        of(key).or_else(|| of(&client_key::as_issued(*key)).filter(|_| may_be_forwarded))
    }

    /// Takes what the sender of a request waits for along with it.
    pub fn take_watched(&self, request: u64) -> Option<watch::Sender<CancelEnd>> {
        self.0.watched.remove(&request).map(|(_, done)| done)
    }

    /// A new request, and the wait for it: one that another has sent out may be over before this one begins.
    pub fn watch(&self) -> Watch {
        let request = self.0.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, done) = watch::channel(CancelEnd::GivenUp);
        self.0.watched.insert(request, sender);
        Watch { done, forget: Forget { keys: self.clone(), request } }
    }
}

/// Somebody's wait for a request to be over.
pub struct Watch {
    done: watch::Receiver<CancelEnd>,
    /// Dropped behind `done`.
    forget: Forget,
}

impl Watch {
    /// The number of the request.
    pub fn request(&self) -> u64 {
        self.forget.request
    }

    /// Whether the request is still under way.
    #[cfg(test)]
    pub fn is_waiting(&self) -> bool {
        self.done.has_changed().is_ok()
    }

    /// What the request has come to, once it is over.
    ///
    /// # Cancel safety
    /// The wait is given up.
    pub async fn done(mut self) -> CancelEnd {
        while self.done.changed().await.is_ok() {} // it ends when the sender is dropped
        drop(self.forget);
        *self.done.borrow()
    }
}

/// Forgets a request that nobody waits for any more.
struct Forget {
    keys: CancelKeys,
    request: u64,
}

impl Drop for Forget {
    fn drop(&mut self) {
        self.keys.0.watched.remove(&self.request);
    }
}

/// A cancel request on its way to a server. Whoever waits for it goes on when it is dropped.
pub struct CancelRequest {
    /// The worker that the server is on.
    pub worker: WorkerId,
    /// Socket id of the server.
    pub server: u64,
    /// Where the server is.
    pub identity: Arc<ServerIdentity>,
    /// The server's own key.
    pub key: CancelKey,
    /// Dropped with it.
    watched: Vec<watch::Sender<CancelEnd>>,
    /// How many of `watched` are looked through for those that nobody waits for any more.
    sweep_at: usize,
}

impl CancelRequest {
    /// Fewer waits are not worth looking through for those that nobody waits for any more.
    pub const SWEPT_FROM: usize = 32;

    /// A request that those behind `watched` wait for.
    pub fn new(
        worker: WorkerId,
        server: u64,
        identity: Arc<ServerIdentity>,
        key: CancelKey,
        watched: Vec<watch::Sender<CancelEnd>>,
    ) -> Self {
        Self { worker, server, identity, key, watched, sweep_at: Self::SWEPT_FROM }
    }

    /// What it has come to: those who wait are told when it is dropped. Else it was given up.
    pub fn ends(&self, end: CancelEnd) {
        for done in &self.watched {
            done.send_replace(end);
        }
    }

    /// So many waits are kept with it.
    #[cfg(test)]
    pub fn watched_count(&self) -> usize {
        self.watched.len()
    }
}

impl Joins for CancelRequest {
    /// Whoever does not wait any more costs nothing for long: requests may come and go by the
    /// thousand while this one waits.
    fn join(&mut self, other: Self) {
        self.watched.extend(other.watched);
        if self.watched.len() >= self.sweep_at {
            self.watched.retain(|done| done.receiver_count() > 0);
            self.sweep_at = Self::SWEPT_FROM.max(2 * self.watched.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_positive_and_means_something_until_it_is_dropped() {
        let keys = CancelKeys::default();
        let holders: Vec<_> = (0..64).filter_map(|id| keys.issue(WorkerId(1), id, PeerId(0))).collect();
        assert_eq!(keys.0.holders.len(), 64);
        for (id, holder) in holders.iter().enumerate() {
            assert!(holder.key()[0] < 0x80);
            let client = id as u64;
            let held = keys.0.holders.get(&holder.key()).unwrap();
            assert!(matches!(*held, Holder::Client { worker: WorkerId(1), client: c } if c == client));
        }
        drop(holders);
        assert!(keys.0.holders.is_empty());
    }

    #[test]
    fn without_peers_every_bit_of_a_key_counts_and_among_peers_all_but_its_hops() {
        let keys = CancelKeys::default();
        let issue = |peer_id| keys.issue(WorkerId(0), 7, PeerId(peer_id)).expect("randomness");
        let is_held = |key: &ClientKey, peer_id| keys.holder(key, PeerId(peer_id)).is_some();
        let (alone, among_peers) = (issue(0), issue(259));
        let [of_alone, of_peer] = [&alone, &among_peers].map(|holder| {
            let mut changed = holder.key();
            changed[7] ^= 0b10;
            (holder.key(), changed)
        });
        assert_eq!([is_held(&of_alone.0, 0), is_held(&of_alone.1, 0)], [true, false]);
        assert_eq!([is_held(&of_peer.0, 259), is_held(&of_peer.1, 259)], [true, true]);
        assert_eq!(of_peer.0[1..3], [3, 1]);
        // The id is another since a reload: who comes with the key itself is served all the same.
        assert_eq!(
            [is_held(&of_peer.0, 5), is_held(&of_peer.1, 5), is_held(&of_alone.0, 5)],
            [true, false, true]
        );
        let random = (0..64).map(|_| issue(259).key()).fold([0; 8], |seen, key: ClientKey| {
            std::array::from_fn(|at| seen[at] | (key[at] ^ of_peer.0[at]))
        });
        assert_eq!(random, [0x7f, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xfc], "all else is random");
    }

    #[tokio::test]
    async fn who_asks_waits_for_its_own_request() {
        let keys = CancelKeys::default();
        let (first, second) = (keys.watch(), keys.watch());
        drop(keys.take_watched(first.request()));
        assert_eq!(first.done().await, CancelEnd::GivenUp, "no server has taken it");
        assert!(second.is_waiting(), "its request has not been carried");
        let own = keys.take_watched(second.request());
        assert!(keys.0.watched.is_empty());
        drop(own);
        assert_eq!(second.done().await, CancelEnd::GivenUp);
    }

    #[tokio::test]
    async fn who_has_joined_hears_what_it_has_come_to() {
        let keys = CancelKeys::default();
        let waits: Vec<_> = (0..3).map(|_| keys.watch()).collect();
        let request = |number: u64| {
            let identity = Arc::new(ServerIdentity::for_tests(1));
            let key = identity.cancel_key.clone();
            let watched = keys.take_watched(number).into_iter().collect();
            CancelRequest::new(WorkerId(0), 1, identity, key, watched)
        };
        let mut carried = request(waits[0].request());
        carried.join(request(waits[1].request()));
        let given_up = request(waits[2].request());
        carried.ends(CancelEnd::Taken);
        drop((carried, given_up));
        let mut told = Vec::new();
        for wait in waits {
            told.push(wait.done().await);
        }
        assert_eq!(told, [CancelEnd::Taken, CancelEnd::Taken, CancelEnd::GivenUp]);
    }

    #[test]
    fn who_goes_away_leaves_nothing_to_be_watched() {
        let keys = CancelKeys::default();
        let (first, second) = (keys.watch(), keys.watch());
        drop(first);
        assert_eq!(keys.0.watched.len(), 1);
        drop(second);
        assert!(keys.0.watched.is_empty());
    }
}
