//! Keeps one secret fresh: one memory and one task, however many pools go by it.
//!
//! A login reads what is in memory; the task ([`refresher`]) fetches. Invariants: the task is the only writer
//! of the memory; what was good stays there until something else is.

mod refresher;

use super::budget::{Allowance, Budget};
use super::error::{Reason, SecretError};
use super::fetch::{Fetch, Stage};
use super::key::SecretKey;
use super::schedule::GAP;
use super::value::{Content, Login, Users};
use crate::audit::Audit;
use crate::auth::Secret;
use crate::iam::WallClock;
use crate::tasks;
use arc_swap::ArcSwap;
use refresher::Refresher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// For so long the version before the current one is known beside it, and proves clients.
const PREVIOUS_FOR: Duration = Duration::from_secs(900);

/// Whether the version before one that came `at` that time still proves clients.
fn is_young(at: SystemTime, now: SystemTime) -> bool {
    // a clock that was put back proves nothing
    now.duration_since(at).is_ok_and(|age| age < PREVIOUS_FOR)
}

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
    asked: Mutex<Asked>,
    task: AbortHandle,
}

/// What was asked for out of turn.
struct Asked {
    budget: Budget,
    /// The round that was asked for last.
    round: u64,
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
    /// How often a secret had another version.
    pub changes: AtomicU64,
}

struct Shared {
    memory: ArcSwap<Memory>,
    /// A server has refused what is known: a fetch of all stages is wanted.
    forced: Notify,
    /// A fetch before its time is wanted: an operator's word, or a client has proven something else.
    wanted: Notify,
    common: Arc<Common>,
    clock: Arc<dyn WallClock>,
    /// Rounds of fetches begun.
    begun: AtomicU64,
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
            clock,
            begun: AtomicU64::new(0),
            rounds,
        });
        let name = key.to_string();
        let refresher = Refresher::new(&key, Arc::clone(&shared), fetch);
        let task = tasks::spawn("secret", name, refresher.run()).abort_handle();
        let is_of_clients = key.purpose.is_of_clients();
        let allowance = if is_of_clients { Allowance::OF_CLIENTS } else { Allowance::OF_SERVERS };
        let asked = Mutex::new(Asked { budget: Budget::new(allowance, Instant::now()), round: 0 });
        Self { key, shared, asked, task }
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

    /// How often a secret of this process has had another version.
    pub fn changes(&self) -> u64 {
        self.shared.common.changes.load(Ordering::Acquire)
    }

    /// Whether a first fetch has ended, well or not.
    pub fn has_answered(&self) -> bool {
        *self.shared.rounds.borrow() > 0
    }

    /// What proves `user` to us, the current version's word first, and behind it that of the version before,
    /// as long as that is young: an application may have the one or the other while a secret is rotated. Who
    /// is gone from a list is gone from the version before, too.
    pub fn proofs(&self, user: &str) -> Vec<Arc<Secret>> {
        let memory = self.shared.memory.load();
        let users = |stage: Stage| memory.versions[stage as usize].as_ref()?.content.users();
        let Some(current) = users(Stage::Current) else { return Vec::new() };
        let now = current.secret(user);
        let is_shut_out = match current {
            Users::One(_) => false,
            Users::List(_) => now.is_none_or(|secret| secret.is_empty()),
        };
        let is_young = memory.changed_at.is_some_and(|at| is_young(at, self.shared.clock.now()));
        let previous = users(Stage::Previous).filter(|_| is_young && !is_shut_out);
        let before = previous.and_then(|users| users.secret(user)).filter(|before| now != Some(*before));
        now.into_iter().chain(before).map(Arc::clone).collect()
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
        if let Ok(round) = self.ask(&self.shared.forced, Instant::now(), |_| Ok(())) {
            let _ = tokio::time::timeout(patience.max(GAP), self.finished(round)).await;
        }
    }

    /// A client has proven something else than what was known when `current` was the current version: the
    /// secret is fetched anew, and it is known what there is when this returns, after `patience` at the most.
    /// Where that was done too often of late it waits for its turn; `may_ask` says how long until anybody may
    /// ask. All who wait are served by one fetch.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn mistaken(
        &self,
        current: Option<&Version>,
        patience: Duration,
        may_ask: impl Fn(Instant) -> Result<(), Duration>,
    ) {
        let is_other = |now: Arc<Version>| current.is_none_or(|before| now.id != before.id);
        let asking = async {
            while !self.current().is_some_and(is_other) {
                let now = Instant::now();
                match self.ask(&self.shared.wanted, now, &may_ask) {
                    Ok(round) => return self.finished(round).await,
                    Err(wait) => tokio::time::sleep(wait).await,
                }
            }
        };
        let _ = tokio::time::timeout(patience, asking).await;
    }

    /// Asks for a round that begins after now, if nobody has, and if that is granted; gives its number.
    fn ask(
        &self,
        how: &Notify,
        now: Instant,
        may_ask: impl FnOnce(Instant) -> Result<(), Duration>,
    ) -> Result<u64, Duration> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.shared.begun.load(Ordering::Acquire) + 1;
        if asked.round < next {
            asked.budget.take(now)?;
            if let Err(wait) = may_ask(now) {
                asked.budget.give_back();
                return Err(wait);
            }
            asked.round = next;
            how.notify_one();
        }
        Ok(next)
    }

    async fn finished(&self, round: u64) {
        let mut rounds = self.shared.rounds.subscribe();
        // The sender lives as long as self.
        let _ = rounds.wait_for(|finished| *finished >= round).await;
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
            users: current.and_then(|current| Some(current.content.users()?.count())),
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
