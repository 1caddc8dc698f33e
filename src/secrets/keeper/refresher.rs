//! The one task of a secret: fetches it in time, again after failures and when it is asked to, and tells what
//! it has found.
//!
//! Fetches one at a time, each bounded in time, no two within a second. Never logs a secret.

use super::{Memory, Shared, Version, is_young};
use crate::audit::{self, Event};
use crate::secrets::error::{Reason, SecretError};
use crate::secrets::fetch::{Fetch, Fingerprint, Found, Stage};
use crate::secrets::key::{Purpose, SecretKey};
use crate::secrets::schedule::{GAP, LOOK, refresh_in, retry_in};
use crate::tasks;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Between two log lines about a failure that goes on.
const REMIND: Duration = Duration::from_secs(600);

/// Why a round begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// It is time, or a file has changed.
    Due,
    /// A server has refused what is known: what there is at the other stages may help.
    Asked,
}

/// The task of one secret.
pub(super) struct Refresher {
    name: String,
    purpose: Purpose,
    shared: Arc<Shared>,
    fetch: Arc<dyn Fetch>,
    next_at: Instant,
    began_at: Option<Instant>,
    /// Fetches that have failed in a row.
    failed: u32,
    /// How what is kept looked before it was read last.
    seen: Option<Fingerprint>,
    /// Versions without names, counted.
    count: u64,
    /// The failure that was told last, and when.
    told: Option<(SecretError, Instant)>,
}

impl Refresher {
    pub(super) fn new(key: &SecretKey, shared: Arc<Shared>, fetch: Arc<dyn Fetch>) -> Self {
        let (next_at, began_at) = (Instant::now(), None);
        let (name, purpose) = (key.to_string(), key.purpose);
        Self { name, purpose, shared, fetch, next_at, began_at, failed: 0, seen: None, count: 0, told: None }
    }

    /// A panic is a fetch that has failed: the next one comes at its time.
    pub(super) async fn run(mut self) {
        loop {
            let name = self.name.clone();
            if tasks::guarded("fetching a secret", name, self.follow()).await.is_none() {
                self.fail(SecretError::with(Reason::Unreadable, "reading it has panicked"));
                self.finish();
            }
        }
    }

    async fn follow(&mut self) {
        loop {
            let cause = self.cause().await;
            if let Some(began) = self.began_at {
                tokio::time::sleep_until(began + GAP).await;
            }
            self.began_at = Some(Instant::now());
            self.shared.begun.fetch_add(1, Ordering::AcqRel);
            self.round(cause).await;
            self.finish();
        }
    }

    /// The round that has begun is over.
    fn finish(&self) {
        let begun = self.shared.begun.load(Ordering::Acquire);
        self.shared.rounds.send_modify(|rounds| *rounds = begun);
    }

    /// Waits until there is a reason to fetch.
    async fn cause(&mut self) -> Cause {
        let (shared, next_at) = (Arc::clone(&self.shared), self.next_at);
        tokio::select! {
            () = shared.forced.notified() => Cause::Asked,
            () = shared.wanted.notified() => Cause::Due,
            () = tokio::time::sleep_until(next_at) => Cause::Due,
            () = self.change(), if self.fetch.is_watched() => Cause::Due,
        }
    }

    /// Ends when what is kept looks different.
    async fn change(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            if Some(Arc::clone(&self.fetch).fingerprint().await) != self.seen {
                return;
            }
        }
    }

    async fn round(&mut self, cause: Cause) {
        // Before it is read: what changes meanwhile is another look's.
        self.seen = Some(Arc::clone(&self.fetch).fingerprint().await);
        let found = match self.in_time(Stage::Current).await {
            Ok(Some(found)) => found,
            Ok(None) => return self.fail(SecretError::new(Reason::Missing)),
            Err(error) => return self.fail(error),
        };
        self.keep(found);
        self.forget_previous();
        if cause == Cause::Asked && !self.fetch.is_watched() {
            self.look_around().await;
        }
    }

    async fn in_time(&self, stage: Stage) -> Result<Option<Found>, SecretError> {
        let fetch = tokio::time::timeout(self.fetch.longest(), Arc::clone(&self.fetch).fetch(stage));
        fetch.await.unwrap_or_else(|_| Err(SecretError::new(Reason::Timeout)))
    }

    /// The one door to the memory.
    fn change_memory(&self, change: impl FnOnce(&mut Memory, SystemTime)) {
        let mut memory = Memory::clone(&self.shared.memory.load());
        change(&mut memory, self.shared.clock.now());
        self.shared.memory.store(Arc::new(memory));
    }

    /// The current version came.
    fn keep(&mut self, found: Found) {
        let before = self.shared.memory.load_full();
        let old = before.versions[Stage::Current as usize].clone();
        let is_same = old.as_ref().is_some_and(|old| match &found.id {
            Some(id) => old.id == *id,
            None => old.content == found.content,
        });
        self.failed = 0;
        let wait = refresh_in(fastrand::f64());
        self.next_at = Instant::now() + wait;
        self.tell_doubt(before.doubt.as_deref(), found.doubt.as_deref());
        let new = (!is_same).then(|| self.version(found.id, found.content));
        self.tell_kept(&before, new.as_deref());
        if new.is_some() || before.failure.is_some() {
            self.record(new.as_deref().or(old.as_deref()), None);
        }
        self.told = None;
        self.shared.common.fetches[0].fetch_add(1, Ordering::Relaxed);
        self.change_memory(|memory, now| {
            memory.failure = None;
            memory.fetched_at = Some(now);
            memory.next_at = Some(now + wait);
            memory.fetches += 1;
            memory.doubt = found.doubt;
            if let Some(new) = new {
                memory.versions = [Some(new), None, old];
                memory.changed_at = Some(now);
            }
        });
        if !is_same {
            self.shared.common.changes.fetch_add(1, Ordering::AcqRel);
            self.shared.common.changed.notify_one();
        }
    }

    fn version(&mut self, id: Option<Arc<str>>, content: crate::secrets::Content) -> Arc<Version> {
        let id = id.unwrap_or_else(|| {
            self.count += 1;
            format!("#{}", self.count).into()
        });
        Arc::new(Version { id, content })
    }

    /// The version before the current one is not kept for ever.
    fn forget_previous(&self) {
        self.change_memory(|memory, now| {
            if !memory.changed_at.is_some_and(|at| is_young(at, now)) {
                memory.versions[Stage::Previous as usize] = None;
            }
        });
    }

    /// What there is beside the current version, since a server has refused what was known. That there is
    /// nothing is no failure, nor is that it may not be asked for.
    async fn look_around(&mut self) {
        for stage in [Stage::Pending, Stage::Previous] {
            let found = self.in_time(stage).await;
            let version = match found {
                Ok(found) => found.map(|found| self.version(found.id, found.content)),
                Err(error) => {
                    tracing::debug!("secret {}: {} is not known: {error}", self.name, stage.label());
                    continue;
                }
            };
            self.change_memory(|memory, _| memory.versions[stage as usize] = version);
        }
    }

    fn fail(&mut self, error: SecretError) {
        self.failed = self.failed.saturating_add(1);
        let wait = retry_in(self.failed, error.reason == Reason::Throttled, fastrand::f64());
        self.next_at = Instant::now() + wait;
        self.tell_failed(&error);
        self.shared.common.fetches[1].fetch_add(1, Ordering::Relaxed);
        self.change_memory(|memory, now| {
            memory.failures[error.reason as usize] += 1;
            memory.failure = Some((error, now));
            memory.next_at = Some(now + wait);
        });
        self.forget_previous();
    }

    fn tell_kept(&self, before: &Memory, new: Option<&Version>) {
        let name = &self.name;
        let old = before.versions[Stage::Current as usize].as_deref();
        let user = |version: &Version| version.login().and_then(|login| login.user.clone());
        match (old, new) {
            (None, Some(new)) => tracing::info!("secret {name}: version {} is in use", new.id),
            (Some(old), Some(new)) => {
                tracing::info!("secret {name}: version {} takes the place of {}", new.id, old.id);
                if let Some(user) = user(new).filter(|now| user(old).as_ref() != Some(now)) {
                    tracing::info!("secret {name}: new servers are logged in to as {user}");
                }
            }
            (_, None) if before.failure.is_some() => {
                tracing::info!("secret {name}: fetching it succeeds again");
            }
            (_, None) => {}
        }
    }

    /// Has the audit log hear of the version that is in use, and of why no newer one could be asked for.
    fn record(&self, version: Option<&Version>, error: Option<&SecretError>) {
        let Some(audit) = &self.shared.common.audit else { return };
        audit.post(|| {
            Event::Secret(Box::new(audit::Secret {
                name: self.name.as_str().into(),
                purpose: self.purpose.name(),
                version: version.map(|version| Arc::clone(&version.id)),
                user: version.and_then(Version::login).and_then(|login| login.user.clone()),
                error: error.map(|error| error.to_string().into()),
            }))
        });
    }

    fn tell_doubt(&self, before: Option<&str>, now: Option<&str>) {
        if let Some(mode) = now.filter(|_| before != now) {
            let name = &self.name;
            tracing::warn!(
                "secret {name}: everybody on this machine may read it ({mode}): take that right away"
            );
        }
    }

    fn tell_failed(&mut self, error: &SecretError) {
        let now = Instant::now();
        let is_told =
            self.told.as_ref().is_some_and(|(told, at)| told == error && now.duration_since(*at) < REMIND);
        let (name, advice) = (&self.name, error.reason.advice());
        if is_told {
            tracing::debug!("secret {name}: fetching it failed again: {error}");
            return;
        }
        let current = self.shared.memory.load().versions[Stage::Current as usize].clone();
        self.record(current.as_deref(), Some(error));
        if current.is_some() {
            tracing::warn!("secret {name}: fetching it failed: {error}; the last version is used; {advice}");
        } else {
            tracing::error!("secret {name}: not known: {error}; {advice}");
        }
        self.told = Some((error.clone(), now));
    }
}
