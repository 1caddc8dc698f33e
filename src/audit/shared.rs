//! What the writer of the audit log shares with those who speak to it: the inbox, its bound, the counts.
//!
//! A lock is held for a push or a swap, and never by a worker. Never writes anything.

use super::event::Event;
use super::line::Context;
use super::output::Output;
use super::ring::{Drain, Gauge, Overflow};
use crate::base::{Micros, WorkerId, limits};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;
use tokio::sync::Notify;

/// The process's clock.
pub(super) type Clock = Box<dyn Fn() -> Micros + Send + Sync>;

/// Tells a worker that its ring has room again.
type TellOfRoom = Box<dyn Fn(WorkerId) + Send + Sync>;

/// What the login plane leaves for the writer.
#[derive(Default)]
pub(super) struct Inbox {
    /// Rings of workers that it has not seen yet.
    pub(super) drains: Vec<Drain>,
    /// What happened, and which output has it, in the order in which it was said.
    pub(super) mail: Vec<Mail>,
    /// Who waits until all that is there now is written.
    pub(super) flushes: Vec<SyncSender<()>>,
}

/// What is said to the writer.
pub(super) enum Mail {
    /// This happened, then.
    Event(Micros, Event),
    /// What comes from now on is for this output.
    Order(Order),
}

/// A new output and its rules.
pub(super) struct Order {
    /// `None`: nowhere.
    pub(super) output: Option<Output>,
    pub(super) overflow: Overflow,
    pub(super) context: Context,
}

/// What everybody who speaks to the writer shares with it.
pub(super) struct Shared {
    pub(super) is_on: AtomicBool,
    pub(super) blocks: AtomicBool,
    inbox: Mutex<Inbox>,
    /// Bytes of events that wait, and how many may.
    pub(super) bytes: AtomicUsize,
    pub(super) bytes_max: AtomicUsize,
    /// Of the workers' rings that are not over.
    gauges: Mutex<Vec<Gauge>>,
    /// Bytes that are set aside for what has begun.
    reserved: AtomicUsize,
    /// Events that found no room and that the writer has not counted yet.
    pub(super) dropped_events: AtomicU64,
    pub(super) lines: AtomicU64,
    pub(super) dropped: AtomicU64,
    /// The writer has been woken and has not looked yet.
    is_woken: AtomicBool,
    pub(super) writer: OnceLock<Thread>,
    clock: Clock,
    pub(super) tell_of_room: OnceLock<TellOfRoom>,
    pub(super) room: Notify,
}

impl Shared {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            is_on: AtomicBool::new(false),
            blocks: AtomicBool::new(false),
            inbox: Mutex::default(),
            bytes: AtomicUsize::new(0),
            bytes_max: AtomicUsize::new(0),
            gauges: Mutex::default(),
            reserved: AtomicUsize::new(0),
            dropped_events: AtomicU64::new(0),
            lines: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            is_woken: AtomicBool::new(false),
            writer: OnceLock::new(),
            clock,
            tell_of_room: OnceLock::new(),
            room: Notify::new(),
        }
    }

    pub(super) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rings that count from now on; those that are over are forgotten.
    pub(super) fn add_gauges(&self, added: impl Iterator<Item = Gauge>) {
        let mut gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        gauges.retain(|gauge| gauge.waiting_bytes().is_some());
        gauges.extend(added);
    }

    /// Bytes of records that wait in workers' rings, and beyond them.
    pub(super) fn ring_bytes(&self) -> u64 {
        let mut sum = 0;
        let mut gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        gauges.retain(|gauge| gauge.waiting_bytes().inspect(|bytes| sum += bytes).is_some());
        sum
    }

    /// Sets room aside for the events of something that begins; false where there is none.
    pub(super) fn reserve(&self, bytes: usize) -> bool {
        let waiting = self.bytes.load(Ordering::Relaxed);
        let bytes_max = self.bytes_max.load(Ordering::Relaxed);
        let take = |reserved: usize| {
            let is_first = waiting == 0 && reserved == 0;
            (is_first || waiting + reserved + bytes <= bytes_max).then_some(reserved + bytes)
        };
        self.reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// What was set aside is free again.
    pub(super) fn release(&self, bytes: usize) {
        self.reserved.fetch_sub(bytes, Ordering::Relaxed);
        self.room.notify_waiters();
    }

    /// Takes room for so many bytes; false where there is none. With `block` there is as much again for what
    /// is under way, and for what nobody can hold up.
    pub(super) fn take_room(&self, bytes: usize) -> bool {
        let queue_bytes = self.bytes_max.load(Ordering::Relaxed);
        let bytes_max = if self.blocks.load(Ordering::Relaxed) { 2 * queue_bytes } else { queue_bytes };
        let take = |waiting: usize| {
            let with_it = waiting.saturating_add(bytes);
            (waiting == 0 || with_it <= bytes_max).then_some(with_it)
        };
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    pub(super) fn wake(&self) {
        if !self.is_woken.swap(true, Ordering::AcqRel)
            && let Some(writer) = self.writer.get()
        {
            writer.unpark();
        }
    }

    /// The writer's rest between two looks: without end where there is nothing to look for.
    pub(super) fn sleep(&self, is_on: bool) {
        if !self.is_woken.load(Ordering::Acquire) {
            if is_on {
                std::thread::park_timeout(Duration::from_millis(limits::AUDIT_POLL_MS));
            } else {
                std::thread::park();
            }
        }
        self.is_woken.store(false, Ordering::Release);
    }

    pub(super) fn now(&self) -> Micros {
        (self.clock)()
    }

    /// What was left since the last call. Its events count as waiting until [`Shared::event_is_line`].
    pub(super) fn take_inbox(&self) -> Inbox {
        std::mem::take(&mut *self.inbox())
    }

    /// An event of so many bytes waits no more.
    pub(super) fn event_is_line(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.room.notify_waiters();
    }

    pub(super) fn take_dropped(&self) -> u64 {
        self.dropped_events.swap(0, Ordering::Relaxed)
    }

    pub(super) fn count_dropped(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    pub(super) fn count_lines(&self, lines: u64) {
        self.lines.fetch_add(lines, Ordering::Relaxed);
    }

    pub(super) fn tell_of_room(&self, worker: WorkerId) {
        if let Some(tell) = self.tell_of_room.get() {
            tell(worker);
        }
    }
}
