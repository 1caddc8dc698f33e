//! One pool, as logins know it: what is kept beside what the workers share.
//!
//! Counts who uses it; what it counts is given back by values that are dropped. Opens nothing, logs nothing.

use super::last_failure::{LastFailure, Sent};
use super::login_counts::LoginCounts;
use super::replication::ReplicationQueue;
use super::welcome::ServerParamsCache;
use crate::base::{Micros, PoolId};
use crate::config::Database;
use crate::core::{Demand, Lateness, PoolShare};
use crate::secrets::PoolSecret;
use crate::wire::Fault;
use arc_swap::{ArcSwap, ArcSwapOption};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The failure of a pool's last login, and when it was seen first by whoever asks
/// whether the pool can be served.
#[derive(Debug, Default)]
pub struct FailureSeen(Mutex<Option<(Arc<String>, Micros)>>);

impl FailureSeen {
    /// For how long the failure has been known; each has a text of its own.
    pub fn known_for(&self, failure: &Arc<String>, now: Micros) -> Micros {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*seen {
            Some((known, at)) if Arc::ptr_eq(known, failure) => now.since(*at),
            _ => {
                *seen = Some((Arc::clone(failure), now));
                Micros(0)
            }
        }
    }
}

/// What the login plane keeps of one pool beside what workers share.
pub struct PoolEntry {
    /// What the workers share.
    pub share: Arc<PoolShare>,
    /// The database entry in force.
    pub config: ArcSwap<Database>,
    /// What its clients are welcomed with.
    pub welcome: ServerParamsCache,
    /// Replication clients that wait for a server of their own.
    pub replication: ReplicationQueue,
    /// Which of the entry's hosts is next.
    pub host_turn: AtomicUsize,
    /// Logins to its servers.
    pub logins: LoginCounts,
    /// What its last login came to, where it failed.
    pub last_failure: LastFailure<Sent>,
    /// The failure of its last login, as those who ask whether it can be served know it.
    pub failure_seen: FailureSeen,
    /// What others keep that its servers are logged in to with, where the entry says so.
    pub secret: ArcSwapOption<PoolSecret>,
    clients: AtomicU32,
    cancels_waiting: AtomicU32,
    unused_since: AtomicU64,
    catch_up_until: AtomicU64,
    lateness: Mutex<Lateness>,
}

impl PoolEntry {
    /// A pool that nobody has used yet.
    pub fn new(share: Arc<PoolShare>, config: Arc<Database>) -> Self {
        Self {
            share,
            config: ArcSwap::new(config),
            welcome: ServerParamsCache::default(),
            replication: ReplicationQueue::default(),
            host_turn: AtomicUsize::new(0),
            logins: LoginCounts::default(),
            last_failure: LastFailure::default(),
            failure_seen: FailureSeen::default(),
            secret: ArcSwapOption::empty(),
            clients: AtomicU32::new(0),
            cancels_waiting: AtomicU32::new(0),
            unused_since: AtomicU64::new(Micros::NEVER.0),
            catch_up_until: AtomicU64::new(0),
            lateness: Mutex::default(),
        }
    }

    /// Counts one client until the guard is dropped: as long as there is one, the pool stays, and
    /// `min_pool_size` is filled for it.
    pub fn count_client(self: &Arc<Self>) -> CountedClient {
        self.clients.fetch_add(1, Ordering::AcqRel);
        self.unused_since.store(Micros::NEVER.0, Ordering::Release);
        CountedClient(Arc::clone(self))
    }

    /// Counts one cancel request that waits for a place until the guard is dropped.
    pub fn queue_cancel(&self) -> QueuedCancel<'_> {
        self.cancels_waiting.fetch_add(1, Ordering::AcqRel);
        QueuedCancel(self)
    }

    /// Cancel requests that wait for a place.
    pub fn waiting_cancels(&self) -> u32 {
        self.cancels_waiting.load(Ordering::Acquire)
    }

    /// Until when its servers may catch up ([`crate::core::Stance::CatchUp`]).
    pub fn catch_up_until(&self) -> Micros {
        Micros(self.catch_up_until.load(Ordering::Acquire))
    }

    /// Lets them catch up until `then`.
    pub fn catch_up_until_then(&self, then: Micros) {
        self.catch_up_until.store(then.0, Ordering::Release);
    }

    /// Whether its servers age faster than they can be replaced, `now`; what the log is to be told of that.
    pub fn news_of_lateness(&self, is_late: bool, now: Micros) -> Option<bool> {
        self.lateness.lock().unwrap_or_else(PoisonError::into_inner).news(is_late, now)
    }

    /// Whether logins are put off for a reason that may pass, those for replication clients among them.
    pub fn is_put_off(&self) -> bool {
        self.share.obstacle().is_some() || self.replication.obstacle().is_some()
    }

    /// What a replication client is told whose wait for a server has ended by `limit`: why logins for such
    /// clients are put off, or else for others; else `usual`.
    pub fn replica_wait_over(&self, limit: &'static str, usual: Fault) -> Fault {
        match self.replication.obstacle() {
            Some(why) => Fault::NoServer { limit, why: why.to_string() },
            None => self.share.wait_over(limit, usual),
        }
    }

    /// Whether its last login, or the last for a replication client, has failed and had sent something else
    /// than this.
    pub(super) fn end_for_change(&self, now: impl Fn() -> Sent) -> bool {
        self.last_failure.end_for_change(&now) || self.replication.last_failure.end_for_change(&now)
    }

    /// What failed logins have left here goes: one has succeeded. What makes it untrue otherwise ends the
    /// pause, too: see [`super::Plane::forget_failures`].
    pub fn forget_failures(&self) {
        self.share.set_obstacle(None);
        self.last_failure.forget();
        self.replication.forget_failure();
    }

    /// Ends the wait of everybody who waits at a login.
    pub fn refuse_waiting(&self, fault: &Fault) {
        self.welcome.refuse(fault.clone());
        self.replication.refuse(fault);
    }

    /// How the log names it: `database/user`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.share.database.name, self.share.user)
    }

    /// Clients that are logged in to it or about to be.
    pub fn client_count(&self) -> u32 {
        self.clients.load(Ordering::Acquire)
    }

    /// Whether its servers log in as the user that the entry names, whoever the client is.
    pub fn is_forced(&self) -> bool {
        self.config.load().user.as_deref() == Some(&*self.share.user)
    }

    /// Whether its `min_pool_size` is filled even while it has no client; it may have no server all the
    /// same, where logins fail.
    pub fn keeps_minimum(&self) -> bool {
        self.is_forced() && self.share.rules().min_pool_size > 0
    }

    /// How it looks to the launcher.
    pub fn demand(&self) -> Demand {
        Demand {
            share: Arc::clone(&self.share),
            welcome_since: self.welcome.oldest_waiter(),
            replication: self.replication.since(),
            clients: self.client_count(),
            is_forced: self.is_forced(),
        }
    }

    /// Nothing is to be opened for it any more, and nobody is let in.
    pub fn leave(&self, by_id: &mut HashMap<PoolId, Arc<Self>>) {
        self.share.set_removed();
        by_id.remove(&self.share.id);
    }

    /// Whether the pool is gone: nothing is to be opened for it any more.
    pub fn is_removed(&self) -> bool {
        self.share.is_removed()
    }

    /// For how long nobody has used it, as the janitor's passes see it; `None` = it is in use.
    pub fn unused_for(&self, servers: u32, now: Micros) -> Option<Micros> {
        let has_clients = self.client_count() > 0 || self.welcome.oldest_waiter().is_some();
        if servers > 0 || has_clients || self.keeps_minimum() {
            self.unused_since.store(Micros::NEVER.0, Ordering::Release);
            return None;
        }
        let never = Micros::NEVER.0;
        let since = self.unused_since.compare_exchange(never, now.0, Ordering::AcqRel, Ordering::Acquire);
        Some(now.since(Micros(since.map_or_else(|earlier| earlier, |_| now.0))))
    }
}

/// One client of a pool, counted; see [`PoolEntry::count_client`].
pub struct CountedClient(Arc<PoolEntry>);

impl CountedClient {
    /// The pool.
    pub fn entry(&self) -> &Arc<PoolEntry> {
        &self.0
    }
}

impl Drop for CountedClient {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One cancel request that waits, counted; see [`PoolEntry::queue_cancel`].
pub struct QueuedCancel<'a>(&'a PoolEntry);

impl Drop for QueuedCancel<'_> {
    fn drop(&mut self) {
        self.0.cancels_waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_counts_from_when_it_was_seen_and_another_anew() {
        let seen = FailureSeen::default();
        let [first, second] = ["no", "no"].map(|text| Arc::new(text.to_owned()));
        let at = Micros::from_secs;
        assert_eq!(seen.known_for(&first, at(100)), at(0));
        assert_eq!(seen.known_for(&first, at(170)), at(70));
        assert_eq!(seen.known_for(&second, at(171)), at(0), "the same words, another failure");
        assert_eq!(seen.known_for(&second, at(180)), at(9));
    }
}
