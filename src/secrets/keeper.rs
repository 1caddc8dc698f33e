//! Keeps one secret fresh: one memory and one task, however many pools go by it.
//!
//! A login reads what is in memory; the task ([`refresher`]) fetches. Invariants: the task is the only writer
//! of the memory; what was good stays there until something else is.

mod refresher;

use super::budget::Budget;
use super::error::{Reason, SecretError};
use super::fetch::{Fetch, Stage};
use super::key::SecretKey;
use super::schedule::GAP;
use super::value::{Content, Login};
use crate::audit::Audit;
use crate::iam::WallClock;
use crate::tasks;
use arc_swap::ArcSwap;
use refresher::Refresher;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// For so long the version before the current one is known beside it, and proves clients.
const PREVIOUS_FOR: Duration = Duration::from_secs(900);

/// One version of a secret.
#[derive(Debug)]
pub struct Version {
    /// What it is called where it is kept; of a file `#1`, `#2`, …
    pub id: Arc<str>,
    /// What it says.
    pub content: Content,
}

impl Version {
    /// The login, if it is one.
    pub fn login(&self) -> Option<&Login> {
        self.content.login()
    }
}

/// One secret, its memory and its task; the task ends with it.
pub struct KeptSecret {
    key: SecretKey,
    shared: Arc<Shared>,
    budget: Mutex<Budget>,
    task: AbortHandle,
}

/// What all secrets of one process have in common.
#[derive(Default)]
pub(super) struct Common {
    /// Told when there is another version.
    pub changed: Notify,
    /// Fetches that went well, and those that did not.
    pub fetches: [AtomicU64; 2],
    /// Is told of versions and failures.
    pub audit: Option<Arc<Audit>>,
}

struct Shared {
    memory: ArcSwap<Memory>,
    /// A server has refused what is known: a fetch of all stages is wanted.
    forced: Notify,
    /// A fetch before its time is wanted.
    wanted: Notify,
    common: Arc<Common>,
    /// Rounds of fetches finished, well or not.
    rounds: watch::Sender<u64>,
}

#[derive(Clone, Default)]
struct Memory {
    /// By [`Stage`].
    versions: [Option<Arc<Version>>; Stage::ALL.len()],
    /// When the last fetch went well.
    fetched_at: Option<SystemTime>,
    /// When the current version took the place of another.
    changed_at: Option<SystemTime>,
    next_at: Option<SystemTime>,
    failure: Option<(SecretError, SystemTime)>,
    doubt: Option<Arc<str>>,
    fetches: u64,
    failures: [u64; Reason::ALL.len()],
}

/// What SHOW SECRETS and the metrics tell of a secret.
pub struct SecretReport {
    /// `fresh`, `stale` (known, but the last fetch failed), `empty` (the first is under way) or `dead`.
    pub state: &'static str,
    /// The names of the versions, by [`Stage`].
    pub versions: [Option<Arc<str>>; Stage::ALL.len()],
    /// As whom servers are logged in to.
    pub user: Option<Arc<str>>,
    /// How many users it has for clients.
    pub users: Option<usize>,
    /// When the last fetch went well.
    pub fetched_at: Option<SystemTime>,
    /// When the current version took another's place.
    pub changed_at: Option<SystemTime>,
    /// When it is fetched next.
    pub next_at: Option<SystemTime>,
    /// Why the last fetch failed.
    pub failure: Option<SecretError>,
    /// Fetches that went well.
    pub fetches: u64,
    /// Those that did not, by reason.
    pub failures: Vec<(Reason, u64)>,
}

impl SecretReport {
    /// Fetches that failed, for whatever reason.
    pub fn failed(&self) -> u64 {
        self.failures.iter().map(|(_, count)| count).sum()
    }
}

impl KeptSecret {
    /// Starts the task, and with it the first fetch. Call it within a tokio runtime.
    pub(super) fn start(
        key: SecretKey,
        fetch: Arc<dyn Fetch>,
        common: Arc<Common>,
        clock: Arc<dyn WallClock>,
    ) -> Self {
        let rounds = watch::Sender::new(0);
        let shared = Arc::new(Shared {
            memory: ArcSwap::default(),
            forced: Notify::new(),
            wanted: Notify::new(),
            common,
            rounds,
        });
        let name = key.to_string();
        let refresher = Refresher::new(&key, Arc::clone(&shared), fetch, clock);
        let task = tasks::spawn("secret", name, refresher.run()).abort_handle();
        Self { key, shared, budget: Mutex::new(Budget::new(Instant::now())), task }
    }

    /// What it is.
    pub fn key(&self) -> &SecretKey {
        &self.key
    }

    /// The versions that are known, the current one first.
    pub fn versions(&self) -> impl Iterator<Item = Arc<Version>> {
        self.shared.memory.load().versions.clone().into_iter().flatten()
    }

    /// The current version.
    pub fn current(&self) -> Option<Arc<Version>> {
        self.shared.memory.load().versions[Stage::Current as usize].clone()
    }

    /// Why there is none, or why the last fetch failed.
    pub fn failure(&self) -> Option<SecretError> {
        self.shared.memory.load().failure.as_ref().map(|(error, _)| error.clone())
    }

    /// Waits until some version is known or the first fetch has failed, for `patience` at the most.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn first(&self, patience: Duration) {
        let mut rounds = self.shared.rounds.subscribe();
        // The sender lives as long as self.
        let _ = tokio::time::timeout(patience, rounds.wait_for(|rounds| *rounds > 0)).await;
    }

    /// A server has refused a login that began when `current` was the current version: fetches anew, all
    /// stages, unless that was done too often of late, or another version has come since; returns when it is
    /// known what there is, after `patience` at the most.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn refused(&self, current: &Version, patience: Duration) {
        if self.current().is_some_and(|now| now.id != current.id) {
            return;
        }
        let mut rounds = self.shared.rounds.subscribe();
        let before = *rounds.borrow_and_update();
        if !self.budget.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now()) {
            return;
        }
        self.shared.forced.notify_one();
        let next = rounds.wait_for(|rounds| *rounds > before);
        let _ = tokio::time::timeout(patience.max(GAP), next).await;
    }

    /// Fetches anew, since an operator wants it.
    pub fn refresh(&self) {
        self.shared.wanted.notify_one();
    }

    /// What SHOW SECRETS and the metrics tell.
    pub fn report(&self) -> SecretReport {
        let memory = self.shared.memory.load();
        let current = memory.versions[Stage::Current as usize].as_deref();
        let state = match (current, &memory.failure) {
            (Some(_), None) => "fresh",
            (Some(_), Some(_)) => "stale",
            (None, None) => "empty",
            (None, Some(_)) => "dead",
        };
        SecretReport {
            state,
            versions: memory.versions.each_ref().map(|version| version.as_ref().map(|v| Arc::clone(&v.id))),
            user: current.and_then(|current| current.login()?.user.clone()),
            users: current.and_then(|current| Some(current.content.users()?.len())),
            fetched_at: memory.fetched_at,
            changed_at: memory.changed_at,
            next_at: memory.next_at,
            failure: memory.failure.as_ref().map(|(error, _)| error.clone()),
            fetches: memory.fetches,
            failures: Reason::ALL.into_iter().zip(memory.failures).collect(),
        }
    }
}

impl Drop for KeptSecret {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests;
