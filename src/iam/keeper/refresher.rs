//! The one task of a source: fetches its credentials in time, again after failures, and tells of both.
//!
//! Fetches one at a time, each bounded in time. Never logs a secret.

use super::{EXTENSION, Memory, NEAR_END, Shared, StaticStability};
use crate::audit::{self, Audit, Event};
use crate::iam::credentials::{Credentials, came_expired};
use crate::iam::failure::{FetchError, Reason};
use crate::iam::fetch::{self, Fetch, Fetched};
use crate::iam::pace::Pace;
use crate::iam::schedule::{Schedule, fetch_timeout};
use crate::iam::source::SourceKind;
use crate::tasks;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

/// The task of one source.
pub(super) struct Keeper {
    pub(super) name: String,
    pub(super) kind: SourceKind,
    /// It assumes a role: its sessions end, and new ones are asked for.
    pub(super) has_role: bool,
    pub(super) shared: Arc<Shared>,
    pub(super) fetch: Arc<dyn Fetch>,
    pub(super) schedule: Schedule,
    pub(super) stability: StaticStability,
    /// The turns of calls of STS.
    pub(super) pace: Arc<Pace>,
    pub(super) audit: Option<Arc<Audit>>,
    /// Sessions of STS that the fetch under way, or the last one, has asked for.
    pub(super) sessions: u32,
    /// When the failure that goes on was logged last.
    pub(super) told_at: Option<SystemTime>,
}

impl Keeper {
    /// A panic is a fetch that has failed: the next one comes at its time.
    pub(super) async fn run(mut self) {
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
                // There are none to sign with: the clock may have jumped past the time of the next fetch.
                Ok(()) = wanted.changed() => {}
                () = self.shared.looked_for.notified() => {}
            }
        }
    }

    /// One turn for each session that the fetch will ask for.
    async fn take_turns(&mut self) {
        self.sessions = Arc::clone(&self.fetch).sessions().await;
        for _ in 0..self.sessions {
            let mut wanted = self.shared.wanted.subscribe();
            // The sender lives as long as self.
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
        // A program that runs when this is over is ended with it: no second one runs beside it.
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
        self.record(Some(&credentials), principal.as_deref().or(before.principal.as_deref()), None);
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
        self.record(credentials.as_deref(), before.principal.as_deref(), Some(&error));
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

    /// Has the audit log hear of a fetch: of the key the end of its id, as everywhere.
    fn record(&self, credentials: Option<&Credentials>, principal: Option<&str>, error: Option<&FetchError>) {
        let Some(audit) = &self.audit else { return };
        let since_epoch = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).ok();
        let expires_at = credentials.and_then(Credentials::expires_at).and_then(since_epoch);
        audit.post(|| {
            Event::Credentials(Box::new(audit::Credentials {
                source: self.name.as_str().into(),
                principal: principal.unwrap_or_default().into(),
                key: credentials.map(Credentials::key_tail).unwrap_or_default().into(),
                generation: credentials.map(Credentials::generation),
                expires_at_epoch_s: expires_at.map(|since| since.as_secs()),
                error: error.map(|error| error.to_string().into()),
            }))
        });
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

/// The longest that the principal's name is waited for; nothing depends on it.
pub(super) const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(5);

/// The task looks at the clock this often at the least, since the clock may be set and the machine may sleep.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Between two log lines about a failure that goes on.
pub(super) const REMIND: Duration = Duration::from_secs(600);
