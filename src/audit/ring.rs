//! The way from a worker to the writer: a bounded ring with one producer and one consumer.
//!
//! A worker owns the [`Tap`], the writer the [`Drain`]. Putting a record in is a move into memory that is
//! there already: no lock, no system call, no wait. The ring is the crate `rtrb`'s. Invariants: records of
//! one worker come out in order; its slots and what the records in them own on the heap stay within its
//! [`Size`], one record at the least; what a full ring does not take is, by `audit_overflow`, either counted,
//! or kept by the worker until there is room, up to `limits::AUDIT_UNDER_WAY_BYTES_MAX`: what is under way
//! may still end, nothing new may begin ([`Tap::is_full`]).

use super::record::Record;
use crate::base::sync::{AtomicBool, AtomicU64, Ordering};
use crate::base::{Micros, WorkerId, limits};
use rtrb::{Consumer, Producer, PushError, RingBuffer};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Weak};

/// What becomes of records that find no room (`audit_overflow`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// They are counted, and a record tells how many there were.
    #[default]
    Drop,
    /// Nothing new begins until there is room.
    Block,
}

/// Slots that a worker holds on to for records that it has to keep.
const KEPT_SLOTS: usize = 64;

/// What both ends of a ring see.
#[derive(Debug, Default)]
struct Shared {
    dropped: AtomicU64,
    /// Bytes on the heap of the records in the ring. The writer may have subtracted what the worker is about
    /// to add: for a moment it is below zero then, wrapped.
    heap_bytes: AtomicU64,
    /// Records put into the ring since the start, told by the worker alone; and taken, by the writer alone.
    put: AtomicU64,
    taken: AtomicU64,
    /// Bytes of what the worker keeps beyond the ring.
    kept_bytes: AtomicU64,
    /// The worker keeps records that the ring had no room for.
    is_waiting: AtomicBool,
}

/// Tells how much waits in a ring, to whoever asks.
pub(super) struct Gauge(Weak<Shared>);

impl Gauge {
    /// Bytes of the records that wait, with what they own and with what the worker keeps beyond the ring; a
    /// moment's estimate. `None`: the ring is over.
    pub(super) fn waiting_bytes(&self) -> Option<u64> {
        let shared = self.0.upgrade()?;
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let taken = load(&shared.taken); // first: what is put meanwhile makes the difference no less
        let records = load(&shared.put).saturating_sub(taken);
        let heap_bytes = u64::try_from(load(&shared.heap_bytes).cast_signed()).unwrap_or_default();
        Some(records * size_of::<Record>() as u64 + heap_bytes + load(&shared.kept_bytes))
    }
}

/// What a ring has room for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Slots: memory that the ring has from the start.
    records: usize,
    /// Bytes that records own beside their slots, together.
    heap_bytes: u64,
}

impl Size {
    /// So many bytes: half of them slots, half of them what records own on the heap.
    pub(super) fn of(bytes: usize) -> Self {
        let records = (bytes / 2 / size_of::<Record>()).max(limits::AUDIT_RING_RECORDS_MIN);
        Self { records, heap_bytes: (bytes / 2) as u64 }
    }
}

/// Wakes the writer.
pub(super) type Wake = Arc<dyn Fn() + Send + Sync>;

/// Tells the time, as workers do.
pub(super) type Clock = Arc<dyn Fn() -> Micros + Send + Sync>;

/// A worker's end.
pub struct Tap {
    producer: Producer<Record>,
    overflow: Overflow,
    takes_statements: bool,
    /// Records that the ring had no room for, in order: what was under way when it became full.
    kept: VecDeque<Record>,
    /// Bytes of them, slots included.
    kept_bytes: u64,
    shared: Arc<Shared>,
    wake: Wake,
    clock: Clock,
    size: Size,
    /// Records put in since the writer was last woken, and their bytes on the heap.
    unwoken: usize,
    unwoken_bytes: u64,
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").field("overflow", &self.overflow).field("kept", &self.kept.len()).finish()
    }
}

/// The writer's end of it.
pub(super) struct Drain {
    consumer: Consumer<Record>,
    shared: Arc<Shared>,
    /// Whose it is.
    pub(super) worker: WorkerId,
}

/// A ring for the records of a worker.
pub(super) fn ring(
    worker: WorkerId,
    size: Size,
    overflow: Overflow,
    takes_statements: bool,
    (wake, clock): (Wake, Clock),
) -> (Tap, Drain) {
    let (producer, consumer) = RingBuffer::new(size.records);
    let shared = Arc::new(Shared::default());
    let tap = Tap {
        producer,
        overflow,
        takes_statements,
        kept: VecDeque::new(),
        kept_bytes: 0,
        shared: Arc::clone(&shared),
        wake,
        clock,
        size,
        unwoken: 0,
        unwoken_bytes: 0,
    };
    (tap, Drain { consumer, shared, worker })
}

impl Tap {
    /// The time, by the workers' clock.
    pub fn now(&self) -> Micros {
        (self.clock)()
    }

    /// Puts a record in.
    pub fn put(&mut self, record: Record) {
        if !self.kept.is_empty() {
            self.make_room();
        }
        let rest = if self.kept.is_empty() { self.push(record) } else { Some(record) };
        if let Some(record) = rest {
            self.overflow(record);
        }
    }

    /// Puts a record into the ring; gives it back where there is no room.
    fn push(&mut self, record: Record) -> Option<Record> {
        let bytes = record.heap_bytes();
        if bytes > 0 {
            let waiting = self.shared.heap_bytes.load(Ordering::Relaxed);
            if waiting > 0 && waiting + bytes > self.size.heap_bytes {
                return Some(record);
            }
        }
        if let Err(PushError::Full(record)) = self.producer.push(record) {
            return Some(record);
        }
        if bytes > 0 {
            // The writer may have taken it already, and wrapped the count; it is right again now.
            self.shared.heap_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        one_more(&self.shared.put);
        self.count(bytes);
        None
    }

    /// Wakes the writer by a quarter of what the ring has room for.
    fn count(&mut self, bytes: u64) {
        self.unwoken += 1;
        self.unwoken_bytes += bytes;
        let is_due = self.unwoken >= self.size.records / 4 || self.unwoken_bytes > self.size.heap_bytes / 4;
        if is_due {
            (self.unwoken, self.unwoken_bytes) = (0, 0);
            (self.wake)();
        }
    }

    #[cold]
    fn overflow(&mut self, record: Record) {
        let bytes = record.bytes();
        let is_kept =
            self.overflow == Overflow::Block && self.kept_bytes + bytes <= limits::AUDIT_UNDER_WAY_BYTES_MAX;
        if !is_kept {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.kept_bytes += bytes;
        self.kept.push_back(record);
        self.tell_kept();
        self.shared.is_waiting.store(true, Ordering::Release);
        (self.wake)();
    }

    /// Moves what was kept into the ring, as far as it goes.
    fn make_room(&mut self) {
        while let Some(record) = self.kept.pop_front() {
            let bytes = record.bytes();
            if let Some(record) = self.push(record) {
                self.kept.push_front(record);
                self.tell_kept();
                self.shared.is_waiting.store(true, Ordering::Release);
                return;
            }
            self.kept_bytes -= bytes;
        }
        self.tell_kept();
        self.kept.shrink_to(KEPT_SLOTS);
    }

    fn tell_kept(&self) {
        self.shared.kept_bytes.store(self.kept_bytes, Ordering::Relaxed);
    }

    /// Whether nothing new may begin: what is under way has left more records than there is room for. Never
    /// with [`Overflow::Drop`].
    pub fn is_full(&mut self) -> bool {
        if self.kept.is_empty() {
            return false;
        }
        self.make_room();
        !self.kept.is_empty()
    }

    /// Goes on with what `before`, whose place it takes, has kept.
    pub fn take_over(&mut self, mut before: Self) {
        before.make_room();
        self.kept_bytes += std::mem::take(&mut before.kept_bytes);
        self.kept.append(&mut before.kept);
        self.tell_kept();
    }

    /// Whether statements are wanted (`audit_statements`).
    pub fn takes_statements(&self) -> bool {
        self.takes_statements
    }
}

impl Drop for Tap {
    /// What was kept goes as far as there is room; the rest is counted.
    fn drop(&mut self) {
        self.make_room();
        self.shared.dropped.fetch_add(self.kept.len() as u64, Ordering::Relaxed);
    }
}

/// Counts on where nobody else does: no more than a load and a store.
fn one_more(count: &AtomicU64) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

impl Drain {
    /// How much waits here.
    pub(super) fn gauge(&self) -> Gauge {
        Gauge(Arc::downgrade(&self.shared))
    }

    /// The next record.
    pub(super) fn take(&mut self) -> Option<Record> {
        let record = self.consumer.pop().ok()?;
        one_more(&self.shared.taken);
        let bytes = record.heap_bytes();
        if bytes > 0 {
            self.shared.heap_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        Some(record)
    }

    /// Records dropped since the last call.
    pub(super) fn take_dropped(&self) -> u64 {
        self.shared.dropped.swap(0, Ordering::Relaxed)
    }

    /// Whether the worker is to be told that there is room; once.
    pub(super) fn is_waited_for(&self) -> bool {
        self.shared.is_waiting.swap(false, Ordering::Acquire)
    }

    /// Whether nothing will come any more.
    pub(super) fn is_over(&self) -> bool {
        self.consumer.is_abandoned() && self.consumer.is_empty()
    }
}

#[cfg(all(test, not(feature = "model")))]
mod tests;
