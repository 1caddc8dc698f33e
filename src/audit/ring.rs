//! The way from a worker to the writer: a bounded ring with one producer and one consumer.
//!
//! A worker owns the [`Tap`], the writer the [`Drain`]. Putting a record in is a move into memory that is
//! there already: no lock, no system call, no wait. The ring is the crate `rtrb`'s. Invariants: records of
//! one worker come out in order; what a full ring does not take is, by `audit_overflow`, either counted, or
//! kept by the worker until there is room (what is under way may still leave records; nothing new may begin,
//! [`Tap::is_full`]), so that with `block` none is ever lost.

use super::record::Record;
use crate::base::WorkerId;
use crate::base::sync::{AtomicBool, AtomicU64, Ordering};
use rtrb::{Consumer, Producer, PushError, RingBuffer};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// What becomes of records that find no room (`audit_overflow`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// They are counted, and a record tells how many there were.
    #[default]
    Drop,
    /// Nothing new begins until there is room.
    Block,
}

/// What both ends of a ring see.
#[derive(Debug, Default)]
struct Shared {
    dropped: AtomicU64,
    /// The worker keeps records that the ring had no room for.
    is_waiting: AtomicBool,
}

/// Wakes the writer.
pub(super) type Wake = Arc<dyn Fn() + Send + Sync>;

/// A worker's end.
pub struct Tap {
    producer: Producer<Record>,
    overflow: Overflow,
    takes_statements: bool,
    /// Records that the ring had no room for, in order: what was under way when it became full.
    kept: VecDeque<Record>,
    shared: Arc<Shared>,
    wake: Wake,
    /// Records put in since the writer was last woken.
    unwoken: usize,
    /// So many of them wake it.
    wake_after: usize,
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

/// A ring for so many records of a worker.
pub(super) fn ring(
    worker: WorkerId,
    records: usize,
    overflow: Overflow,
    takes_statements: bool,
    wake: Wake,
) -> (Tap, Drain) {
    let (producer, consumer) = RingBuffer::new(records);
    let shared = Arc::new(Shared::default());
    let tap = Tap {
        producer,
        overflow,
        takes_statements,
        kept: VecDeque::new(),
        shared: Arc::clone(&shared),
        wake,
        unwoken: 0,
        wake_after: (records / 4).max(1),
    };
    (tap, Drain { consumer, shared, worker })
}

impl Tap {
    /// Puts a record in.
    pub fn put(&mut self, record: Record) {
        if !self.kept.is_empty() {
            self.make_room();
        }
        if self.kept.is_empty() {
            match self.producer.push(record) {
                Ok(()) => self.count(),
                Err(PushError::Full(record)) => self.overflow(record),
            }
        } else {
            self.overflow(record);
        }
    }

    fn count(&mut self) {
        self.unwoken += 1;
        if self.unwoken >= self.wake_after {
            self.unwoken = 0;
            (self.wake)();
        }
    }

    #[cold]
    fn overflow(&mut self, record: Record) {
        match self.overflow {
            Overflow::Drop => {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            }
            Overflow::Block => {
                self.kept.push_back(record);
                self.shared.is_waiting.store(true, Ordering::Release);
                (self.wake)();
            }
        }
    }

    /// Moves what was kept into the ring, as far as it goes.
    fn make_room(&mut self) {
        while let Some(record) = self.kept.pop_front() {
            if let Err(PushError::Full(record)) = self.producer.push(record) {
                self.kept.push_front(record);
                self.shared.is_waiting.store(true, Ordering::Release);
                return;
            }
        }
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
        self.kept.append(&mut before.kept);
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

impl Drain {
    /// The next record.
    pub(super) fn take(&mut self) -> Option<Record> {
        self.consumer.pop().ok()
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
mod tests {
    use super::super::record::{Statement, StatementKind};
    use super::*;
    use crate::base::Micros;
    use proptest::prelude::*;
    use std::sync::atomic::AtomicUsize;

    fn numbered(number: u64) -> Record {
        let nothing: Box<[u8]> = Box::default();
        Record::Statement(Box::new(Statement {
            session: number,
            transaction: 1,
            kind: StatementKind::Query,
            name: nothing.clone(),
            text: nothing,
            is_cut: false,
            at: Micros(0),
        }))
    }

    fn number(record: &Record) -> u64 {
        let Record::Statement(statement) = record else { panic!("only statements are put in") };
        statement.session
    }

    fn take_all(drain: &mut Drain) -> Vec<u64> {
        std::iter::from_fn(|| drain.take()).map(|record| number(&record)).collect()
    }

    fn made(records: usize, overflow: Overflow) -> (Tap, Drain, Arc<AtomicUsize>) {
        let wakes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&wakes);
        let wake: Wake = Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let (tap, drain) = ring(WorkerId(0), records, overflow, false, wake);
        (tap, drain, wakes)
    }

    #[test]
    fn what_a_full_ring_drops_is_counted() {
        let (mut tap, mut drain, _) = made(4, Overflow::Drop);
        (0..10).for_each(|n| tap.put(numbered(n)));
        assert!(!tap.is_full());
        assert_eq!((drain.take_dropped(), drain.take_dropped()), (6, 0));
        assert_eq!(take_all(&mut drain), [0, 1, 2, 3]);
    }

    #[test]
    fn what_a_full_ring_cannot_take_is_kept_in_order_and_the_worker_is_told_of_room() {
        let (mut tap, mut drain, _) = made(4, Overflow::Block);
        (0..10).for_each(|n| tap.put(numbered(n)));
        assert!(tap.is_full() && drain.is_waited_for() && !drain.is_waited_for());
        assert_eq!(take_all(&mut drain), [0, 1, 2, 3]);
        assert!(tap.is_full(), "two more are kept than there is room for");
        tap.put(numbered(10));
        assert_eq!(take_all(&mut drain), [4, 5, 6, 7]);
        assert!(!tap.is_full());
        tap.put(numbered(11));
        assert_eq!(take_all(&mut drain), [8, 9, 10, 11]);
        assert_eq!(drain.take_dropped(), 0);
    }

    #[test]
    fn a_tap_that_is_dropped_leaves_what_fits_and_counts_the_rest() {
        let (mut tap, mut drain, _) = made(2, Overflow::Block);
        (0..5).for_each(|n| tap.put(numbered(n)));
        assert_eq!(number(&drain.take().unwrap()), 0);
        drop(tap);
        assert!(!drain.is_over());
        assert_eq!((take_all(&mut drain), drain.take_dropped()), (vec![1, 2], 2));
        assert!(drain.is_over());
    }

    #[test]
    fn the_writer_is_woken_by_a_quarter_of_a_ring() {
        let (mut tap, mut drain, wakes) = made(64, Overflow::Drop);
        for n in 0..64 {
            tap.put(numbered(n));
            drain.take();
        }
        assert_eq!(wakes.load(Ordering::Relaxed), 4);
    }

    proptest! {
        /// Whatever the order of puts and takes: with `block` all come, in order; with `drop` those that come
        /// are in order, and with those counted they are all.
        #[test]
        fn none_is_lost_without_being_counted(
            size in 1_usize..8, blocks in any::<bool>(), steps in prop::collection::vec(any::<bool>(), 0..200)
        ) {
            let overflow = if blocks { Overflow::Block } else { Overflow::Drop };
            let (mut tap, mut drain, _) = made(size, overflow);
            let (mut put, mut taken) = (0, Vec::new());
            for is_put in steps {
                if is_put {
                    tap.put(numbered(put));
                    put += 1;
                } else {
                    taken.extend(drain.take().as_ref().map(number));
                }
            }
            while !tap.kept.is_empty() {
                taken.extend(take_all(&mut drain));
                tap.is_full();
            }
            taken.extend(take_all(&mut drain));
            prop_assert!(taken.is_sorted() && !taken.windows(2).any(|pair| pair[0] == pair[1]));
            let dropped = drain.take_dropped();
            prop_assert_eq!(taken.len() as u64 + dropped, put);
            prop_assert!(!blocks || dropped == 0);
        }
    }
}
