//! Keeps the credentials of each source fresh: one memory and one task for each, however
//! many databases share it.
//!
//! A login reads [`Source::current`] and never waits for AWS. The task fetches early ([`super::schedule`]),
//! one fetch at a time, and keeps the last good credentials through any failure until they expire. It logs a
//! failure once and then reminds. Invariant: the task is the only writer of the memory.

use super::clock::WallClock;
use super::credentials::{CredentialState, Credentials, came_expired};
use super::failure::{FetchError, Reason};
use super::fetch::{self, Fetch, Fetched};
use super::pace::Pace;
use super::report::SourceReport;
use super::schedule::{Schedule, fetch_timeout};
use super::source::{SourceKey, SourceKind};
use crate::stats::Ages;
use crate::tasks;
use arc_swap::ArcSwap;
use aws_credential_types::Credentials as AwsCredentials;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

/// The longest that the principal's name is waited for; nothing depends on it.
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(5);

/// The task looks at the clock this often at the least, since the clock may be set and the machine may sleep.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// So much earlier than its own fetch ends a role stops waiting for the credentials that assume it, so that
/// it can still tell why they do not come.
const LEND_LEAD: Duration = Duration::from_secs(5);

/// Between two log lines about a failure that goes on.
const REMIND: Duration = Duration::from_secs(600);

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
        let common = Common { clock, stability, arrived: Arc::default(), pace: Arc::default() };
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
        let Common { clock, stability, arrived, pace } = common;
        let shared = Arc::new(Shared {
            memory: ArcSwap::default(),
            forced: Notify::new(),
            arrived,
            fetches: watch::Sender::new(0),
            wanted: watch::Sender::new(false),
            is_shown: AtomicBool::new(false),
            shown: Notify::new(),
            clock,
        });
        // a role's credentials come from STS, whatever it was assumed with
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
        let _ = tokio::time::timeout(fetch_timeout(self.key.kind()) - LEND_LEAD, self.fetched_after(fetches))
            .await;
        let why = || self.shared.memory.load().failure.as_ref().map(|(error, _)| error.clone());
        self.lent().ok_or_else(|| why().unwrap_or_else(|| FetchError::new(Reason::Timeout)))
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
        // the sender lives as long as self
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
        // the sender lives as long as self
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

/// The task of one source.
struct Keeper {
    name: String,
    kind: SourceKind,
    /// It assumes a role: its sessions end, and new ones are asked for.
    has_role: bool,
    shared: Arc<Shared>,
    fetch: Arc<dyn Fetch>,
    schedule: Schedule,
    stability: StaticStability,
    /// The turns of calls of STS.
    pace: Arc<Pace>,
    /// Sessions of STS that the fetch under way, or the last one, has asked for.
    sessions: u32,
    /// When the failure that goes on was logged last.
    told_at: Option<SystemTime>,
}

impl Keeper {
    /// A panic is a fetch that has failed: the next one comes at its time.
    async fn run(mut self) {
        loop {
            let name = self.name.clone();
            if tasks::guarded("fetching credentials", name, self.follow()).await.is_none() {
                self.failed(fetch::panicked(), self.now());
                self.shared.fetches.send_modify(|count| *count += 1);
            }
        }
    }

    async fn follow(&mut self) {
        let mut wanted = self.shared.wanted.subscribe();
        loop {
            let wait = self.schedule.wait(self.now());
            if wait.is_zero() {
                self.take_turns().await;
                self.refresh().await;
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(wait.min(LOOK_AGAIN)) => {}
                () = self.shared.forced.notified() => self.force(),
                () = self.shared.shown.notified() => self.identify().await,
                // a login has found none to sign with: the clock may have jumped past
                // the time of the next fetch
                Ok(()) = wanted.changed() => {}
            }
        }
    }

    /// One turn for each session that the fetch will ask for.
    async fn take_turns(&mut self) {
        self.sessions = Arc::clone(&self.fetch).sessions().await;
        for _ in 0..self.sessions {
            let mut wanted = self.shared.wanted.subscribe();
            // the sender lives as long as self
            self.pace.turn(async move { drop(wanted.wait_for(|wanted| *wanted).await) }).await;
        }
    }

    fn now(&self) -> SystemTime {
        self.shared.clock.now()
    }

    /// Somebody wants new credentials at once.
    fn force(&mut self) {
        self.schedule.force(self.now());
        self.change(|memory, next_at| memory.next_at = Some(next_at));
    }

    /// The one door to the memory; `change` is also given when the next fetch begins, and when
    /// one that is asked for does.
    fn change(&self, change: impl FnOnce(&mut Memory, (SystemTime, SystemTime))) {
        let mut memory = Memory::clone(&self.shared.memory.load());
        let now = self.now();
        let was_usable = memory.is_usable(now);
        change(&mut memory, (self.schedule.next_at(), self.schedule.forced_at()));
        let is_usable = memory.is_usable(now);
        self.shared.memory.store(Arc::new(memory));
        if is_usable && !was_usable {
            self.shared.arrived.notify_one();
        }
    }

    async fn refresh(&mut self) {
        self.schedule.began(self.now());
        self.change(|memory, _| memory.next_at = None);
        let result = self.fetch_in_time().await;
        let now = self.now();
        let outcome = match result {
            Ok(fetched) if came_expired(&fetched.credentials, now) => {
                self.keep_expired(fetched);
                Err(FetchError::new(Reason::ExpiredFromSource))
            }
            Ok(fetched) => {
                self.keep(fetched, now);
                Ok(())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            self.failed(error, now);
        }
        self.shared.wanted.send_replace(false);
        self.shared.fetches.send_modify(|count| *count += 1);
        self.identify().await;
    }

    async fn fetch_in_time(&self) -> Result<Fetched, FetchError> {
        // a program that runs when this is over is ended with it: no second one runs beside it
        let fetch = tokio::time::timeout(fetch_timeout(self.kind), Arc::clone(&self.fetch).fetch());
        fetch.await.unwrap_or_else(|_| Err(FetchError::new(Reason::Timeout)))
    }

    /// Credentials came: they are what is signed with from now on.
    fn keep(&mut self, fetched: Fetched, now: SystemTime) {
        let Fetched { credentials, via, principal } = fetched;
        self.schedule.loaded(now, credentials.expiry(), fastrand::f64());
        let before = self.shared.memory.load_full();
        let old = before.credentials.as_ref();
        let same = old.is_some_and(|old| old.have_keys_of(&credentials));
        let generation = old.map_or(0, |old| old.generation()) + u64::from(!same);
        let credentials = Arc::new(Credentials::new(credentials, generation));
        self.tell_loaded(&before, &credentials, via, now);
        self.told_at = None;
        self.tell_principal(&before, principal.as_deref());
        self.change(|memory, next_at| {
            if let Some(principal) = principal {
                (memory.principal, memory.unidentified) = (Some(principal.into()), None);
                memory.identified = generation;
            }
            memory.credentials = Some(credentials);
            memory.via = Some(via);
            memory.failure = None;
            memory.refreshed_at = Some(now);
            memory.next_at = Some(next_at);
            memory.loads += 1;
        });
    }

    /// Expired credentials came: worth keeping only if there are no better ones.
    fn keep_expired(&self, fetched: Fetched) {
        let old = self.shared.memory.load().credentials.clone();
        if old
            .as_ref()
            .is_some_and(|old| old.expires_at().is_none_or(|at| Some(at) > fetched.credentials.expiry()))
        {
            return;
        }
        let generation = old.map_or(0, |old| old.generation()) + 1;
        self.change(|memory, _| {
            memory.credentials = Some(Arc::new(Credentials::new(fetched.credentials, generation)));
            memory.via = Some(fetched.via);
        });
    }

    fn failed(&mut self, error: FetchError, now: SystemTime) {
        let before = self.shared.memory.load_full();
        let mut credentials = before.credentials.clone();
        let of_platform = before.via.is_some_and(SourceKind::is_of_the_platform);
        if self.stability == StaticStability::On && of_platform {
            let until = now + EXTENSION;
            let ends = |credentials: &&Arc<Credentials>| {
                credentials.expires_at().is_some_and(|at| at < now + NEAR_END)
            };
            let extended = credentials.as_ref().filter(ends).map(|old| Arc::new(old.extended(until)));
            credentials = extended.or(credentials);
        }
        let covered = credentials.as_ref().is_some_and(|credentials| credentials.are_usable(now));
        self.schedule.failed(now, error.reason, covered, fastrand::f64());
        if error.reason == Reason::Throttled && self.sessions > 0 {
            self.pace.throttled();
        }
        self.tell_failed(&error, credentials.as_deref(), now);
        self.change(|memory, next_at| {
            let since = memory.failure.as_ref().map_or(now, |(_, since)| *since);
            memory.failures[error.reason as usize] += 1;
            memory.failure = Some((error, since));
            memory.credentials = credentials;
            memory.next_at = Some(next_at);
        });
    }

    /// Asks for the principal's name where credentials are new: they may be another's. Gives way to
    /// whoever wants newer ones.
    async fn identify(&mut self) {
        let memory = self.shared.memory.load_full();
        let (None, Some(credentials)) = (&memory.failure, &memory.credentials) else { return };
        let generation = credentials.generation();
        let is_shown = self.shared.is_shown.load(Ordering::Acquire);
        if memory.identified == generation || !is_shown {
            return;
        }
        let question = async {
            self.pace.turn(std::future::pending()).await; // nobody waits for it
            let question = Arc::clone(&self.fetch).identify(Arc::clone(credentials));
            tokio::time::timeout(IDENTIFY_TIMEOUT, question).await
        };
        let answer = tokio::select! {
            answer = question => answer,
            () = self.shared.forced.notified() => return self.force(),
        };
        match answer.unwrap_or_else(|_| Err(FetchError::new(Reason::Timeout))) {
            Ok(arn) => {
                self.tell_principal(&memory, Some(&arn));
                self.change(|memory, _| {
                    (memory.principal, memory.unidentified) = (Some(arn.into()), None);
                    memory.identified = generation;
                });
            }
            Err(error) => {
                tracing::debug!("iam source {}: principal not known: {error}", self.name);
                self.change(|memory, _| {
                    (memory.principal, memory.unidentified) = (None, Some(error));
                    memory.identified = generation;
                });
            }
        }
        self.shared.fetches.send_modify(|_| {}); // who waits for the name looks again
    }

    fn tell_principal(&self, before: &Memory, principal: Option<&str>) {
        if let Some(arn) = principal.filter(|arn| before.principal.as_deref() != Some(arn)) {
            tracing::info!("iam source {}: principal {arn}", self.name);
        }
    }

    fn tell_loaded(&self, before: &Memory, new: &Credentials, via: SourceKind, now: SystemTime) {
        let left = match new.expires_at() {
            Some(at) => format!("expire in {}s", at.duration_since(now).unwrap_or_default().as_secs()),
            None => "do not expire".to_owned(),
        };
        let (name, tail) = (&self.name, new.key_tail());
        if before.loads == 0 || before.failure.is_some() {
            tracing::info!("iam source {name}: credentials loaded from {via} (key ****{tail}, {left})");
        } else {
            tracing::debug!("iam source {name}: credentials refreshed (key ****{tail}, {left})");
        }
        if before.loads == 0 && self.kind == SourceKind::Default {
            tracing::warn!(
                "iam source {name}: set iam_credential_source={via}, or another source may take its place \
                 unnoticed"
            );
        }
        if before.loads == 0 && via == SourceKind::Env && !self.has_role && new.are_temporary() {
            tracing::warn!(
                "iam source {name}: the session token in the environment will expire and cannot be renewed"
            );
        }
    }

    fn tell_failed(&mut self, error: &FetchError, credentials: Option<&Credentials>, now: SystemTime) {
        let recently = |told: SystemTime| now.duration_since(told).is_ok_and(|ago| ago < REMIND);
        let name = &self.name;
        let usable = credentials.filter(|credentials| credentials.are_usable(now));
        if self.told_at.is_some_and(recently) {
            tracing::debug!("iam source {name}: fetching credentials failed again: {error}");
            return;
        }
        self.told_at = Some(now);
        match usable {
            Some(usable) => {
                let until = usable.usable_until().and_then(|until| until.duration_since(now).ok());
                let left =
                    until.map_or("for ever".to_owned(), |left| format!("for {}s more", left.as_secs()));
                tracing::warn!(
                    "iam source {name}: fetching credentials failed: {error}; the last ones are used {left}"
                );
            }
            None => {
                let advice = error.advice(self.kind, self.has_role);
                if *error == fetch::panicked() {
                    // The panic has been told as an error.
                    tracing::warn!("iam source {name}: no credentials: {error}; {advice}");
                } else {
                    tracing::error!("iam source {name}: no credentials: {error}; {advice}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
