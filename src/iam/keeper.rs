//! Keeps the credentials of each source fresh: one memory and one task for each, however
//! many databases share it.
//!
//! A login reads [`Source::current`] and never waits for AWS. The task fetches early ([`super::schedule`]),
//! one fetch at a time, and keeps the last good credentials through any failure until they expire. It logs a
//! failure once and then reminds. Invariant: the task is the only writer of the memory.

mod refresher;

use super::clock::WallClock;
use super::credentials::{CredentialState, Credentials};
use super::failure::{FetchError, Reason};
use super::fetch::Fetch;
use super::pace::Pace;
use super::report::SourceReport;
use super::schedule::{Schedule, fetch_timeout};
use super::source::{SourceKey, SourceKind};
use crate::audit::Audit;
use crate::stats::Ages;
use crate::tasks;
use arc_swap::ArcSwap;
use aws_credential_types::Credentials as AwsCredentials;
use refresher::Keeper;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

/// So much earlier than its own fetch ends a role stops waiting for the credentials that assume it, so that
/// it can still tell why they do not come.
const LEND_LEAD: Duration = Duration::from_secs(5);

/// How much longer expired credentials of the platform may sign, counted from the last failed fetch.
const EXTENSION: Duration = Duration::from_secs(600);

/// They are lengthened this long before their end already: the next failed fetch may come after it.
const NEAR_END: Duration = Duration::from_secs(150);

/// Whether expired credentials may sign where AWS is known to take them: those of the platform (instances,
/// containers) while AWS cannot give newer ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaticStability {
    /// They may; AWS decides at the login.
    On,
    /// Expired means expired.
    Off,
}

/// What all sources of one process have in common.
#[derive(Clone)]
pub(super) struct Common {
    pub clock: Arc<dyn WallClock>,
    pub stability: StaticStability,
    /// Told when usable credentials have come where there were none.
    pub arrived: Arc<Notify>,
    pub pace: Arc<Pace>,
    /// Who hears of each fetch, if anybody.
    pub audit: Option<Arc<Audit>>,
}

/// One source, its memory and its task; the task ends with it.
pub struct Source {
    key: SourceKey,
    /// What assumes its role.
    base: Option<Arc<Source>>,
    shared: Arc<Shared>,
    token_age: Mutex<Ages>,
    task: AbortHandle,
}

struct Shared {
    clock: Arc<dyn WallClock>,
    memory: ArcSwap<Memory>,
    forced: Notify,
    /// Told when there are none to sign with although no fetch is due by what was slept for.
    looked_for: Notify,
    /// Told when usable credentials have come where there were none.
    arrived: Arc<Notify>,
    /// Fetches finished, well or not.
    fetches: watch::Sender<u64>,
    /// Whether a login waits for the next one.
    wanted: watch::Sender<bool>,
    /// Whether an entry names it, so that its principal is worth asking for.
    is_shown: AtomicBool,
    /// Told when an entry names it that none has named before.
    shown: Notify,
}

#[derive(Clone, Default)]
struct Memory {
    credentials: Option<Arc<Credentials>>,
    via: Option<SourceKind>,
    failure: Option<(FetchError, SystemTime)>,
    principal: Option<Arc<str>>,
    /// Why the principal is not known, where that was asked.
    unidentified: Option<FetchError>,
    /// The generation of credentials whose principal was asked for last.
    identified: u64,
    refreshed_at: Option<SystemTime>,
    /// When the next fetch begins by itself, and when one that is asked for does;
    /// `None` while one is under way.
    next_at: Option<(SystemTime, SystemTime)>,
    loads: u64,
    failures: [u64; Reason::ALL.len()],
}

impl Source {
    /// Starts the task. `fetch` is AWS, or what a test puts in its place.
    pub fn start(
        key: SourceKey,
        fetch: Arc<dyn Fetch>,
        clock: Arc<dyn WallClock>,
        stability: StaticStability,
    ) -> Self {
        let common = Common { clock, stability, arrived: Arc::default(), pace: Arc::default(), audit: None };
        let source = Self::start_with(key, fetch, None, common);
        source.show();
        source
    }

    /// Starts one of many; `base`: what assumes its role. No entry names it yet.
    pub(super) fn start_with(
        key: SourceKey,
        fetch: Arc<dyn Fetch>,
        base: Option<Arc<Self>>,
        common: Common,
    ) -> Self {
        let Common { clock, stability, arrived, pace, audit } = common;
        let shared = Arc::new(Shared {
            memory: ArcSwap::default(),
            forced: Notify::new(),
            looked_for: Notify::new(),
            arrived,
            fetches: watch::Sender::new(0),
            wanted: watch::Sender::new(false),
            is_shown: AtomicBool::new(false),
            shown: Notify::new(),
            clock,
        });
        // A role's credentials come from STS, whatever it was assumed with.
        let stability = if key.role().is_some() { StaticStability::Off } else { stability };
        let keeper = Keeper {
            name: key.to_string(),
            kind: key.kind(),
            has_role: key.role().is_some(),
            schedule: Schedule::new(shared.clock.now()),
            shared: Arc::clone(&shared),
            fetch,
            stability,
            pace,
            audit,
            sessions: 0,
            told_at: None,
        };
        let name = keeper.name.clone();
        let task = tasks::spawn("credentials", name, keeper.run()).abort_handle();
        Self { key, base, shared, token_age: Mutex::default(), task }
    }

    /// An entry names it.
    pub(super) fn show(&self) {
        if !self.shared.is_shown.swap(true, Ordering::AcqRel) {
            self.shared.shown.notify_one();
        }
    }

    /// What it is.
    pub fn key(&self) -> &SourceKey {
        &self.key
    }

    /// The credentials to sign with, from memory.
    ///
    /// # Errors
    /// There are none that may sign now: the state that tells why.
    pub fn current(&self) -> Result<Arc<Credentials>, CredentialState> {
        let now = self.shared.clock.now();
        let memory = self.shared.memory.load();
        match &memory.credentials {
            Some(credentials) if credentials.are_usable(now) => Ok(Arc::clone(credentials)),
            _ => Err(memory.state(now)),
        }
    }

    /// A login waits for credentials: a fetch that waits for its turn goes before
    /// those that nobody waits for.
    pub fn want(&self) {
        self.shared.wanted.send_replace(true);
    }

    /// Somebody has found none that may sign: the clock may have jumped past the time of the next fetch. Asks
    /// for nothing that is not due.
    pub fn look_again(&self) {
        self.shared.looked_for.notify_one();
    }

    /// Credentials for STS, and what gave them. Where there are none the next fetch is waited for, for a
    /// while. Those that may sign although they have expired are none to STS.
    ///
    /// # Errors
    /// Why there are none.
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn lend(&self) -> Result<(AwsCredentials, SourceKind), FetchError> {
        let fetches = self.fetches();
        if let Some(lent) = self.lent() {
            return Ok(lent);
        }
        self.want();
        let _ = tokio::time::timeout(self.longest_lend(), self.fetched_after(fetches)).await;
        let why = || self.shared.memory.load().failure.as_ref().map(|(error, _)| error.clone());
        self.lent().ok_or_else(|| why().unwrap_or_else(|| FetchError::new(Reason::Timeout)))
    }

    /// The longest that [`Self::lend`] waits.
    pub(super) fn longest_lend(&self) -> Duration {
        fetch_timeout(self.key.kind()) - LEND_LEAD
    }

    fn lent(&self) -> Option<(AwsCredentials, SourceKind)> {
        let memory = self.shared.memory.load();
        let credentials = memory.credentials.as_ref()?;
        let now = self.shared.clock.now();
        let is_alive = credentials.expires_at().is_none_or(|at| now < at);
        is_alive.then(|| (credentials.lent(), memory.via.unwrap_or(self.key.kind())))
    }

    /// Asks for new credentials: they are fetched at once, or 30 s after the last fetch began, or when a
    /// source that has asked for fewer calls may be called again. Does not wait; returns how long until then,
    /// which is nothing while a fetch is under way.
    pub fn force_refresh(&self) -> Duration {
        if let Some(base) = &self.base {
            base.force_refresh();
        }
        self.shared.forced.notify_one();
        let begins_at = self.shared.memory.load().next_at.map(|(_, forced_at)| forced_at);
        let begins_in = begins_at.and_then(|at| at.duration_since(self.shared.clock.now()).ok());
        begins_in.unwrap_or_default()
    }

    /// Fetches finished so far, well or not.
    pub fn fetches(&self) -> u64 {
        *self.shared.fetches.borrow()
    }

    /// Waits until more than `fetches` fetches are finished.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn fetched_after(&self, fetches: u64) {
        let mut finished = self.shared.fetches.subscribe();
        // The sender lives as long as self.
        let _ = finished.wait_for(|count| *count > fetches).await;
    }

    /// Waits until the principal is known, or why it is not; at once where it was not asked because
    /// there are no credentials.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn identified(&self) {
        let mut finished = self.shared.fetches.subscribe();
        let is_over = |_: &u64| {
            let memory = self.shared.memory.load();
            memory.principal.is_some() || memory.unidentified.is_some() || memory.failure.is_some()
        };
        // The sender lives as long as self.
        let _ = finished.wait_for(is_over).await;
    }

    /// A token was sent that its credentials had signed so long ago.
    pub fn token_sent(&self, age: Duration) {
        let us = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
        self.token_age.lock().unwrap_or_else(PoisonError::into_inner).record(us);
    }

    /// What SHOW IAM and the metrics tell.
    pub fn report(&self) -> SourceReport {
        let memory = self.shared.memory.load();
        let credentials = memory.credentials.as_ref();
        SourceReport {
            state: memory.state(self.shared.clock.now()),
            via: memory.via,
            principal: memory.principal.clone(),
            unidentified: memory.unidentified.clone(),
            key_tail: credentials.map(|credentials| credentials.key_tail()),
            expires_at: credentials.and_then(|credentials| credentials.expires_at()),
            refreshed_at: memory.refreshed_at,
            next_refresh_at: memory.next_at.map(|(at, _)| at),
            failure: memory.failure.clone(),
            loads: memory.loads,
            failures: memory.failures,
            token_age: self.token_age.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Memory {
    fn is_usable(&self, now: SystemTime) -> bool {
        self.credentials.as_ref().is_some_and(|credentials| credentials.are_usable(now))
    }

    fn state(&self, now: SystemTime) -> CredentialState {
        let failure = self.failure.as_ref().map(|(error, _)| error.reason);
        CredentialState::of(self.credentials.as_deref(), failure, now)
    }
}

#[cfg(test)]
mod tests;
