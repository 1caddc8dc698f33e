//! Keeps the keys of one issuer fresh: one memory, and one task that is the only writer of it.
//!
//! A login reads the memory, and waits for the task only where there is nothing in it yet, or where its token
//! names a key that is not there. Through any failure the last keys are kept, and count for `keys_max_age`.
//! Never holds a token. Invariant: one fetch at a time, however many wait for it.

use super::fetch::{self, Fetched, KeysError};
use super::schedule::Schedule;
use crate::base::{Micros, limits};
use crate::config::{FileStamp, IssuerEntry};
use crate::identity::KeySet;
use crate::io::Clock;
use crate::tasks;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

/// Between two lines of the log about one failure that lasts.
const REMIND: Micros = Micros::from_secs(600);

/// The keeper of one issuer's keys; its task ends with it.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    name: Arc<str>,
    entry: IssuerEntry,
    clock: Clock,
    memory: watch::Sender<Arc<Memory>>,
    /// Fetches begun.
    begun: AtomicU64,
    is_asked_for: AtomicBool,
    is_reload: AtomicBool,
    /// Told when one of the two is set.
    told: Notify,
    fetches: [AtomicU64; 2],
}

/// What is known of an issuer's keys.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    /// The last ones.
    pub keys: Option<Arc<KeySet>>,
    /// When they were found to be the issuer's.
    pub fetched_at: Option<Micros>,
    /// The same, in seconds since the epoch.
    pub fetched_at_epoch_s: u64,
    /// Why the last fetch brought none.
    pub failure: Option<KeysError>,
    /// When the next fetch is due.
    pub next_at: Micros,
    /// The last fetch that has ended, counted from 1.
    pub fetch: u64,
}

/// Why there are no keys that count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoKeys {
    #[error("no keys have come yet: {0}")]
    None(KeysError),
    #[error("the keys are {age_s} s old, more than keys_max_age, and no newer ones come: {why}")]
    TooOld { age_s: u64, why: KeysError },
}

/// What a login sees of the keys.
pub(crate) struct KeyWatch {
    /// It goes on for as long as somebody waits for it, whatever a reload says.
    keeper: Arc<Keeper>,
    memory: watch::Receiver<Arc<Memory>>,
    /// Fetches that had begun when its token came.
    begun_before: u64,
}

impl Keeper {
    /// Starts the task, which fetches at once.
    pub(super) fn start(name: Arc<str>, entry: IssuerEntry, clock: Clock) -> Self {
        let memory = Memory { next_at: clock.now(), ..Memory::default() };
        let shared = Arc::new(Shared {
            name: Arc::clone(&name),
            entry,
            clock,
            memory: watch::Sender::new(Arc::new(memory)),
            begun: AtomicU64::new(0),
            is_asked_for: AtomicBool::new(false),
            is_reload: AtomicBool::new(false),
            told: Notify::new(),
            fetches: Default::default(),
        });
        let kept = Arc::clone(&shared);
        let run = tasks::keep("the keeper of an issuer's keys", move || Task::new(Arc::clone(&kept)).run());
        let task = tasks::spawn("keys of an issuer", name, run).abort_handle();
        Self { shared, task }
    }

    /// Whether it keeps the keys that `entry` says, in the way that it says.
    pub(super) fn is_for(&self, entry: &IssuerEntry) -> bool {
        let of = |entry: &IssuerEntry| {
            let IssuerEntry { issuer, keys, ca_file, keys_max_age, refresh, .. } = entry.clone();
            (issuer, keys, ca_file, keys_max_age, refresh)
        };
        of(&self.shared.entry) == of(entry)
    }

    /// The files were read again: so is that of the keys.
    pub(super) fn reload(&self) {
        if self.shared.entry.keys.file.is_some() {
            self.shared.is_reload.store(true, Ordering::Release);
            self.shared.told.notify_one();
        }
    }

    /// For a login whose token has come.
    pub(crate) fn watch(self: &Arc<Self>) -> KeyWatch {
        let begun_before = self.shared.begun.load(Ordering::Acquire);
        KeyWatch { keeper: Arc::clone(self), memory: self.shared.memory.subscribe(), begun_before }
    }

    /// What its tokens say in `iss`.
    pub(super) fn issuer(&self) -> Arc<str> {
        Arc::clone(&self.shared.entry.issuer)
    }

    /// What is known.
    pub(super) fn memory(&self) -> Arc<Memory> {
        Arc::clone(&self.shared.memory.borrow())
    }

    /// Fetches that brought keys, and that did not.
    pub(super) fn fetches(&self) -> [u64; 2] {
        self.shared.fetches.each_ref().map(|count| count.load(Ordering::Relaxed))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl KeyWatch {
    /// The keys that count now, and whether they are the last word: what a fetch brought that began behind
    /// the token, so that a key that is not in it is not the issuer's. Where the first fetch has not ended,
    /// that is waited for.
    ///
    /// # Errors
    /// There are none, or they are too old.
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn current(&mut self) -> Result<(Arc<KeySet>, bool), NoKeys> {
        // the sender lives as long as the keeper
        let _ = self.memory.wait_for(|memory| memory.fetch > 0).await;
        let memory = Arc::clone(&self.memory.borrow_and_update());
        let shared = &self.keeper.shared;
        let keys = memory.keys_at(shared.clock.now(), shared.entry.keys_max_age)?;
        Ok((keys, memory.fetch > self.begun_before))
    }

    /// Asks for a fetch, since a key is not known, and waits for the next one to end.
    ///
    /// # Cancel safety
    /// The fetch may come all the same.
    pub(crate) async fn next(&mut self) {
        self.keeper.shared.is_asked_for.store(true, Ordering::Release);
        self.keeper.shared.told.notify_one();
        let _ = self.memory.changed().await; // see `current`
    }
}

impl Memory {
    /// The keys, if they count.
    fn keys_at(&self, now: Micros, age_max: Micros) -> Result<Arc<KeySet>, NoKeys> {
        let why = || self.failure.clone().unwrap_or(KeysError::Panicked);
        let (Some(keys), Some(fetched_at)) = (&self.keys, self.fetched_at) else {
            return Err(NoKeys::None(why()));
        };
        let age = now.since(fetched_at);
        // While fetches go well they are at most a pause and a fetch old, whatever the bound says.
        if age > age_max && self.failure.is_some() {
            return Err(NoKeys::TooOld { age_s: age.as_secs(), why: why() });
        }
        Ok(Arc::clone(keys))
    }
}

/// The task of a keeper.
struct Task {
    shared: Arc<Shared>,
    schedule: Schedule,
    stamp: Option<FileStamp>,
    told_at: Option<Micros>,
}

impl Task {
    fn new(shared: Arc<Shared>) -> Self {
        let entry = &shared.entry;
        let look = Micros::from_secs(limits::KEYS_FILE_LOOK_S);
        let refresh = if entry.keys.file.is_some() { entry.refresh.min(look) } else { entry.refresh };
        let schedule = Schedule::new(refresh, shared.clock.now());
        Self { shared, schedule, stamp: None, told_at: None }
    }

    async fn run(mut self) {
        loop {
            self.wait().await;
            self.schedule.begin(self.shared.clock.now());
            self.shared.begun.fetch_add(1, Ordering::AcqRel);
            let outcome = fetch::keys(&self.shared.entry, self.stamp).await;
            self.take(outcome);
        }
    }

    /// Waits until a fetch is due.
    async fn wait(&mut self) {
        loop {
            if self.shared.is_asked_for.swap(false, Ordering::AcqRel) {
                self.schedule.ask();
            }
            let now = self.shared.clock.now();
            if self.shared.is_reload.swap(false, Ordering::AcqRel) {
                self.schedule.hurry(now);
            }
            let left = self.schedule.due_at().since(now);
            if left == Micros(0) {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left.to_duration()) => {}
                () = self.shared.told.notified() => {}
            }
        }
    }

    fn take(&mut self, outcome: Result<Fetched, KeysError>) {
        let now = self.shared.clock.now();
        let before = Arc::clone(&self.shared.memory.borrow());
        let mut memory = Memory::clone(&before);
        memory.fetch = self.shared.begun.load(Ordering::Acquire);
        match outcome {
            Ok(fetched) => {
                self.schedule.succeeded(now, fastrand::f64());
                if let Fetched::Keys(keys, stamp) = fetched {
                    self.stamp = stamp;
                    self.tell_fetched(&before, &keys);
                    memory.keys = Some(keys);
                }
                (memory.fetched_at, memory.failure) = (Some(now), None);
                let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                memory.fetched_at_epoch_s = since_epoch.unwrap_or_default().as_secs();
                self.told_at = None;
                self.shared.fetches[0].fetch_add(1, Ordering::Relaxed);
            }
            Err(why) => {
                self.schedule.failed(now, fastrand::f64());
                self.stamp = None; // whatever comes next is news
                self.tell_failed(&before, &why, now);
                memory.failure = Some(why);
                self.shared.fetches[1].fetch_add(1, Ordering::Relaxed);
            }
        }
        memory.next_at = self.schedule.due_at();
        // Who has asked meanwhile looks at these keys first, and asks again where they are of no use.
        self.shared.is_asked_for.store(false, Ordering::Release);
        self.shared.memory.send_replace(Arc::new(memory));
    }

    fn tell_fetched(&self, before: &Memory, keys: &KeySet) {
        let (name, count) = (&self.shared.name, keys.len());
        let left_out = keys.left_out().iter().filter(|_| before.keys.is_none());
        left_out.for_each(|why| tracing::debug!("issuer {name}, keys: {why}"));
        match (&before.keys, &before.failure) {
            (None, _) => tracing::info!("issuer {name}: keys fetched ({count})"),
            (Some(_), Some(_)) => tracing::info!("issuer {name}: keys fetched again ({count})"),
            (Some(_), None) => tracing::debug!("issuer {name}: keys refreshed ({count})"),
        }
    }

    fn tell_failed(&mut self, before: &Memory, why: &KeysError, now: Micros) {
        let name = &self.shared.name;
        if self.told_at.is_some_and(|told_at| now.since(told_at) < REMIND) {
            tracing::debug!("issuer {name}: fetching keys failed again: {why}");
            return;
        }
        self.told_at = Some(now);
        let age_max = self.shared.entry.keys_max_age;
        match before.fetched_at.map(|fetched_at| (fetched_at + age_max).since(now)) {
            Some(left) if left > Micros(0) => tracing::warn!(
                "issuer {name}: fetching keys failed: {why}; the last ones count for {}s more",
                left.as_secs()
            ),
            _ => tracing::error!("issuer {name}: no keys: {why}; no token of it is taken"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_count_while_they_are_fetched_and_for_a_time_after() {
        let keys = Arc::new(KeySet::default());
        let s = Micros::from_secs;
        let why = || KeysError::Panicked;
        let memory = |fetched_at, failure| Memory {
            keys: Some(Arc::clone(&keys)),
            fetched_at: Some(fetched_at),
            failure,
            ..Memory::default()
        };
        let count = |memory: Memory, now| memory.keys_at(now, s(100)).map(|_| ());
        assert_eq!(count(memory(s(0), None), s(500)), Ok(()), "the next fetch is on its way");
        assert_eq!(count(memory(s(0), Some(why())), s(100)), Ok(()));
        assert_eq!(count(memory(s(0), Some(why())), s(101)), Err(NoKeys::TooOld { age_s: 101, why: why() }));
        let none = Memory { failure: Some(why()), ..Memory::default() };
        assert_eq!(count(none, s(1)), Err(NoKeys::None(why())));
    }
}
