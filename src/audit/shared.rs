//! What the writer of the audit log shares with those who speak to it: the inbox, its bound, the counts.
//!
//! A lock is held for a push or a swap, and never by a worker. Never writes anything.

use super::event::Event;
use super::line::Context;
use super::output::Output;
use super::ring::{Drain, Overflow};
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

    /// Whether so many bytes more are too many.
    pub(super) fn is_over(&self, bytes: usize) -> bool {
        self.bytes.load(Ordering::Relaxed) + bytes > self.bytes_max.load(Ordering::Relaxed)
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

    pub(super) fn take_inbox(&self) -> Inbox {
        let mut inbox = self.inbox();
        let taken = std::mem::take(&mut *inbox);
        let bytes = |mail: &Mail| match mail {
            Mail::Event(_, event) => event.bytes(),
            Mail::Order(_) => 0,
        };
        let bytes: usize = taken.mail.iter().map(bytes).sum();
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        drop(inbox);
        if bytes > 0 {
            self.room.notify_waiters();
        }
        taken
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
