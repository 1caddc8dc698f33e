//! A ring loses no record without counting it, and holds no more than it may.

use super::super::record::{Statement, StatementKind};
use super::*;
use crate::base::Micros;
use proptest::prelude::*;
use std::sync::atomic::AtomicUsize;

fn numbered(number: u64) -> Record {
    with_text(number, 0)
}

fn with_text(number: u64, text_bytes: usize) -> Record {
    let nothing: Box<[u8]> = Box::default();
    Record::Statement(Box::new(Statement {
        session: number,
        transaction: 1,
        kind: StatementKind::Query,
        name: nothing,
        text: vec![b'x'; text_bytes].into(),
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
    made_of(Size { records, heap_bytes: u64::MAX / 2 }, overflow)
}

fn made_of(size: Size, overflow: Overflow) -> (Tap, Drain, Arc<AtomicUsize>) {
    let wakes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&wakes);
    let wake: Wake = Arc::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let clock: Clock = Arc::new(|| Micros(0));
    let (tap, drain) = ring(WorkerId(0), size, overflow, false, (wake, clock));
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

/// All that a ring and its worker hold, as an allocator would count it.
fn held(tap: &Tap) -> u64 {
    let slots = tap.size.records * size_of::<Record>();
    slots as u64 + tap.shared.heap_bytes.load(Ordering::Relaxed) + tap.kept_bytes
}

#[test]
fn what_records_own_counts_and_a_queue_is_never_larger_than_it_may_be() {
    const QUEUE: usize = 256 * 1024;
    let (mut tap, mut drain, wakes) = made_of(Size::of(QUEUE), Overflow::Drop);
    let put = 1_000;
    (0..put).for_each(|n| tap.put(with_text(n, limits::AUDIT_STATEMENT_BYTES_MAX)));
    assert!(held(&tap) <= QUEUE as u64, "{}", held(&tap));
    assert!(wakes.load(Ordering::Relaxed) >= 3, "bytes wake the writer, not records alone");
    let taken = take_all(&mut drain).len() as u64;
    assert!(taken > 20, "{taken}");
    assert_eq!(taken + drain.take_dropped(), put);
    assert_eq!(tap.shared.heap_bytes.load(Ordering::Relaxed), 0);
}

#[test]
fn a_record_that_is_larger_than_the_queue_goes_through_alone() {
    let (mut tap, mut drain, _) = made_of(Size::of(1), Overflow::Drop);
    (0..3).for_each(|n| tap.put(with_text(n, 4_000)));
    assert_eq!((take_all(&mut drain), drain.take_dropped()), (vec![0], 2));
    tap.put(with_text(3, 4_000));
    assert_eq!(take_all(&mut drain), [3]);
}

#[test]
fn what_a_worker_keeps_with_block_has_an_end_too_and_what_is_beyond_it_is_counted() {
    let (mut tap, mut drain, _) = made_of(Size::of(0), Overflow::Block);
    let put = 3 * limits::AUDIT_UNDER_WAY_BYTES_MAX / limits::AUDIT_STATEMENT_BYTES_MAX as u64;
    (0..put).for_each(|n| tap.put(with_text(n, limits::AUDIT_STATEMENT_BYTES_MAX)));
    let bound = limits::AUDIT_UNDER_WAY_BYTES_MAX + 64 * 1024;
    assert!(held(&tap) <= bound && held(&tap) > bound / 2, "{}", held(&tap));
    let mut taken = 0;
    while tap.is_full() {
        taken += take_all(&mut drain).len() as u64;
    }
    taken += take_all(&mut drain).len() as u64;
    assert_eq!((taken + drain.take_dropped(), tap.kept_bytes), (put, 0));
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

#[test]
fn a_gauge_tells_what_waits_in_the_ring_and_beyond_it_until_the_ring_is_over() {
    let size = |record: &Record| record.bytes();
    let (mut tap, mut drain, _) = made(4, Overflow::Block);
    let gauge = drain.gauge();
    let mut waiting = 0;
    assert_eq!(gauge.waiting_bytes(), Some(0));
    for number in 0..10 {
        let record = with_text(number, 100);
        waiting += size(&record);
        tap.put(record);
        assert_eq!(gauge.waiting_bytes(), Some(waiting), "{number}");
    }
    while let Some(record) = drain.take() {
        waiting -= size(&record);
        assert_eq!(gauge.waiting_bytes(), Some(waiting));
        assert!(tap.is_full() || waiting <= 4 * size(&record));
    }
    assert_eq!((waiting, gauge.waiting_bytes()), (0, Some(0)));
    drop((tap, drain));
    assert_eq!(gauge.waiting_bytes(), None);
}
