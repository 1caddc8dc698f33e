//! Replication clients of a pool that wait at their logins, each for a server of its own.
//!
//! Whoever opens a server takes the first request with it ([`ReplicationQueue::next`]) and answers it: with
//! an offer, which the client accepts by giving itself away, or with the reason why there is none. Until the
//! client has accepted, the server is its opener's, who ends it in order where nobody comes. A client that
//! has left is nobody. Opens nothing, asks nobody for a server.

use super::last_failure::{LastFailure, Sent};
use super::welcome::Welcome;
use crate::base::{Micros, WorkerId};
use crate::core::ClientLogin;
use crate::io::Channel;
use crate::wire::Fault;
use crate::wire::startup::Replication;
use arc_swap::ArcSwapOption;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// What a replication client asks of its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicationWish {
    /// Physical or logical.
    pub kind: Replication,
    /// Parameters of the StartupMessage: name and value.
    pub startup: Vec<(Arc<str>, Arc<str>)>,
}

/// A replication client that waits, as whoever opens its server knows it.
pub struct ReplicationRequest {
    /// What it asks for.
    pub wish: ReplicationWish,
    /// Since when it waits.
    pub since: Micros,
    /// How many logins to a server have failed for it.
    failures: u32,
    answer: oneshot::Sender<Result<ReplicationOffer, Fault>>,
}

/// A server that has been logged in to for a replication client.
pub struct ReplicationOffer {
    /// What it has reported.
    pub welcome: Welcome,
    accept: oneshot::Sender<Acceptance>,
}

/// A replication client that takes its server.
pub struct Acceptance {
    /// Where both go.
    pub worker: WorkerId,
    /// The client itself.
    pub client: (Channel, ClientLogin),
}

/// A replication client's wait.
pub(super) type ReplicationAnswer = oneshot::Receiver<Result<ReplicationOffer, Fault>>;

/// The replication clients of one pool for whom no server is being opened: first those for whom the fewest
/// logins have failed, since what a client asks for may be the reason; of these the longest waiting one.
#[derive(Default)]
pub struct ReplicationQueue {
    waiting: Mutex<Vec<ReplicationRequest>>,
    /// What the last login for one of them had sent, where it has failed.
    pub(super) last_failure: LastFailure<Sent>,
    obstacle: ArcSwapOption<String>,
}

impl ReplicationQueue {
    /// The last login for one of them, which sent this, has failed; `obstacle`: why the next ones are put
    /// off, where it may pass. Says nothing of logins for other clients.
    pub fn failed(&self, sent: Sent, obstacle: Option<String>) {
        self.last_failure.failed(sent);
        self.obstacle.store(obstacle.map(Arc::new));
    }

    /// A login for one of them has succeeded, or may again.
    pub fn forget_failure(&self) {
        self.last_failure.forget();
        self.obstacle.store(None);
    }

    /// Why logins for them are put off: what they are told when their time is over.
    pub fn obstacle(&self) -> Option<Arc<String>> {
        self.obstacle.load_full()
    }

    /// A client waits from now on, until it drops what it gets.
    pub fn join(&self, wish: ReplicationWish, since: Micros) -> ReplicationAnswer {
        let (answer, answered) = oneshot::channel();
        self.put_back(ReplicationRequest { wish, since, failures: 0, answer });
        answered
    }

    /// A client goes on waiting for whom no login could be tried.
    pub fn put_back(&self, request: ReplicationRequest) {
        self.insert(request);
    }

    /// A client goes on waiting for whom a login has failed. Whether nobody waits for whom fewer have.
    pub fn put_behind(&self, request: ReplicationRequest) -> bool {
        self.insert(ReplicationRequest { failures: request.failures.saturating_add(1), ..request })
    }

    fn insert(&self, request: ReplicationRequest) -> bool {
        let rank = |request: &ReplicationRequest| (request.failures, request.since);
        let mut waiting = self.waiting();
        let at = waiting.partition_point(|other| rank(other) <= rank(&request));
        let failures = request.failures;
        waiting.insert(at, request);
        waiting[0].failures >= failures
    }

    /// Takes the next client out, for whom a server is to be opened.
    pub fn next(&self) -> Option<ReplicationRequest> {
        let mut waiting = self.waiting();
        (!waiting.is_empty()).then(|| waiting.remove(0))
    }

    /// Since when those who wait do, the next one first.
    pub fn since(&self) -> Vec<Micros> {
        self.waiting().iter().map(|request| request.since).collect()
    }

    /// Tells everybody who waits that there will be no server.
    pub fn refuse(&self, fault: &Fault) {
        let waiting = std::mem::take(&mut *self.waiting());
        waiting.into_iter().for_each(|request| request.refuse(fault.clone()));
    }

    /// Those who have not left.
    fn waiting(&self) -> MutexGuard<'_, Vec<ReplicationRequest>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|request| !request.is_abandoned());
        waiting
    }
}

impl ReplicationRequest {
    /// Whether its client has left.
    pub fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    /// Offers the server that has reported this, and waits until the client takes it; `None`: it has left.
    ///
    /// # Cancel safety
    /// The client learns that there is no server.
    pub async fn offer(self, welcome: Welcome) -> Option<Acceptance> {
        let (accept, accepted) = oneshot::channel();
        self.answer.send(Ok(ReplicationOffer { welcome, accept })).ok()?;
        accepted.await.ok()
    }

    /// Tells the client why there is no server.
    pub fn refuse(self, fault: Fault) {
        drop(self.answer.send(Err(fault))); // it may have left
    }
}

impl ReplicationOffer {
    /// Takes it. Where whoever has opened the server is gone, so is the client: it is dropped, and its
    /// connection ends.
    pub fn accept(self, acceptance: Acceptance) {
        drop(self.accept.send(acceptance));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish() -> ReplicationWish {
        ReplicationWish { kind: Replication::Physical, startup: Vec::new() }
    }

    #[test]
    fn who_waits_longest_is_first_and_who_has_failed_is_behind_those_who_have_not() {
        let queue = ReplicationQueue::default();
        let _answers = [3, 1, 2].map(|at| queue.join(wish(), Micros(at)));
        let since = |queue: &ReplicationQueue| queue.since().iter().map(|at| at.0).collect::<Vec<_>>();
        let first = queue.next().expect("three wait");
        assert_eq!((first.since, since(&queue)), (Micros(1), vec![2, 3]));
        queue.put_back(first);
        assert_eq!(since(&queue), [1, 2, 3]);
        for _ in 0..2 {
            for (are_all_tried, order) in [(false, [2, 3, 1]), (false, [3, 1, 2]), (true, [1, 2, 3])] {
                let next = queue.next().expect("three wait");
                assert_eq!((queue.put_behind(next), since(&queue)), (are_all_tried, order.to_vec()));
            }
        }
    }

    #[test]
    fn who_has_left_is_nobody() {
        let queue = ReplicationQueue::default();
        let (stays, leaves) = (queue.join(wish(), Micros(2)), queue.join(wish(), Micros(1)));
        drop(leaves);
        assert_eq!(queue.since(), [Micros(2)]);
        let request = queue.next().expect("one waits");
        assert!(!request.is_abandoned() && queue.next().is_none());
        drop(stays);
        assert!(request.is_abandoned());
    }

    #[tokio::test]
    async fn everybody_who_waits_is_told_why_there_is_no_server() {
        let queue = ReplicationQueue::default();
        let answers = [1, 2].map(|at| queue.join(wish(), Micros(at)));
        queue.refuse(&Fault::DatabaseRemoved);
        for answer in answers {
            assert!(matches!(answer.await, Ok(Err(Fault::DatabaseRemoved))));
        }
    }
}
