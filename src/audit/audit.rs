//! The audit log as the rest of the process knows it: who has something to say to it, and where it goes.
//!
//! Off until [`Audit::adopt`] is given a target; until then [`Audit::post`] costs one load. One value, made
//! by `boot`, shared by reference. Its thread begins with the first target. Invariant: events are kept up to
//! `audit_queue` bytes; with `audit_overflow = block` whoever begins something waits for room
//! ([`Audit::room`]), and only what is under way goes beyond, up to as much again.

use super::event::Event;
use super::line::{Context, Statements};
use super::output::Output;
use super::ring::{Clock, Drain, Overflow, Size, Tap, Wake, ring};
use super::shared::{Mail, Order, Shared};
use super::writer::Writer;
use crate::base::{Micros, StartId, WorkerId, limits};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The writer's thread.
const WRITER: &str = "audit";

/// Where the audit log goes, and by which rules.
#[derive(Debug)]
pub struct AuditOrder {
    /// `None`: it is off.
    pub output: Option<Output>,
    /// `audit_overflow`.
    pub overflow: Overflow,
    /// `audit_queue`: bytes that wait, of all workers together, and as many again of the login plane's.
    pub queue_bytes: usize,
    /// `audit_statements`.
    pub statements: Statements,
}

/// The audit log.
pub struct Audit {
    shared: Arc<Shared>,
    start_id: StartId,
    /// What the workers' rings were made by; `None`: there are none.
    rings: Mutex<Option<Rings>>,
}

/// How many rings, what becomes of records without room, `audit_queue`, and whether statements are wanted.
type Rings = (usize, Overflow, usize, bool);

/// Room for what is recorded of something that has begun: no two of those who wait find the same.
pub struct Room(Arc<Shared>);

impl Drop for Room {
    fn drop(&mut self) {
        self.0.release(limits::AUDIT_ROOM_BYTES);
    }
}

impl Audit {
    /// One that is off. `start_id` tells this process from all others, in each session's name.
    pub fn new(start_id: StartId, clock: impl Fn() -> Micros + Send + Sync + 'static) -> Self {
        Self { shared: Arc::new(Shared::new(Box::new(clock))), start_id, rings: Mutex::default() }
    }

    /// How workers are told that there is room again; said once.
    pub fn set_room_bell(&self, tell: impl Fn(WorkerId) + Send + Sync + 'static) {
        let _ = self.shared.tell_of_room.set(Box::new(tell)); // said once
    }

    /// What tells this process from all others.
    pub fn start_id(&self) -> StartId {
        self.start_id
    }

    /// Whether anything is recorded.
    pub fn is_on(&self) -> bool {
        self.shared.is_on.load(Ordering::Relaxed)
    }

    /// Puts an order in force. For each of `workers` the end of a new ring, for the worker to have, or none
    /// where it is off; nothing where their rings stay as they are. What was recorded before goes where it
    /// was to go, or, if that is stuck, to the new output.
    ///
    /// # Errors
    /// The system gives no thread: all is as before.
    pub fn adopt(&self, order: AuditOrder, workers: usize) -> io::Result<Vec<Option<Tap>>> {
        let AuditOrder { output, overflow, queue_bytes, statements } = order;
        let is_on = output.is_some();
        if is_on && self.shared.writer.get().is_none() {
            self.begin()?;
        }
        let rings = is_on.then_some((workers, overflow, queue_bytes, statements != Statements::None));
        let before =
            std::mem::replace(&mut *self.rings.lock().unwrap_or_else(PoisonError::into_inner), rings);
        let makes_rings = rings.is_none() || rings != before;
        let size = Size::of(queue_bytes / workers.max(1));
        let wake: Wake = {
            let shared = Arc::clone(&self.shared);
            Arc::new(move || shared.wake())
        };
        let clock: Clock = {
            let shared = Arc::clone(&self.shared);
            Arc::new(move || shared.now())
        };
        let make = |number: usize| {
            let worker = WorkerId(u16::try_from(number).unwrap_or(u16::MAX));
            let tools = (Arc::clone(&wake), Arc::clone(&clock));
            ring(worker, size, overflow, statements != Statements::None, tools)
        };
        let (taps, drains): (Vec<_>, Vec<_>) =
            (0..workers).filter(|_| is_on && makes_rings).map(make).unzip();
        let context = Context::new(self.start_id, statements);
        self.shared.add_gauges(drains.iter().map(Drain::gauge));
        let mut inbox = self.shared.inbox();
        inbox.drains.extend(drains);
        inbox.mail.push(Mail::Order(Order { output, overflow, context }));
        drop(inbox);
        self.shared.bytes_max.store(queue_bytes, Ordering::Relaxed);
        self.shared.blocks.store(is_on && overflow == Overflow::Block, Ordering::Relaxed);
        self.shared.is_on.store(is_on, Ordering::Relaxed);
        self.shared.wake();
        self.shared.room.notify_waiters();
        Ok(if is_on { taps.into_iter().map(Some).collect() } else { (0..workers).map(|_| None).collect() })
    }

    fn begin(&self) -> io::Result<()> {
        let context = Context::new(self.start_id, Statements::default());
        let writer = Writer::new(Arc::clone(&self.shared), context);
        let thread = std::thread::Builder::new().name(WRITER.into()).spawn(move || {
            // A pooler that was told to leave a trace must not go on without.
            let run = std::panic::AssertUnwindSafe(|| writer.run());
            if std::panic::catch_unwind(run).is_err() {
                crate::tasks::abort("the writer of the audit log has panicked");
            }
        })?;
        let _ = self.shared.writer.set(thread.thread().clone()); // begun once
        Ok(())
    }

    /// Records what `event` gives, if it is on and there is room; counts it as dropped where there is none.
    /// Never waits: what can be held up waits for [`Audit::room`] before.
    pub fn post(&self, event: impl FnOnce() -> Event) {
        if !self.is_on() {
            return;
        }
        let shared = &self.shared;
        let event = event();
        if !shared.take_room(event.bytes()) {
            shared.dropped_events.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let at = shared.now();
        shared.inbox().mail.push(Mail::Event(at, event));
        shared.wake();
    }

    /// Waits until there is room for what is about to begin, and sets it aside for as long as the value
    /// lives: with `audit_overflow = block` alone, and as long as the output takes nothing.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn room(&self) -> Option<Room> {
        let shared = &self.shared;
        while shared.blocks.load(Ordering::Relaxed) {
            let mut told = std::pin::pin!(shared.room.notified());
            told.as_mut().enable();
            if shared.reserve(limits::AUDIT_ROOM_BYTES) {
                return Some(Room(Arc::clone(shared)));
            }
            told.await;
        }
        None
    }

    /// Waits until what was recorded before is written, a few seconds at the most.
    pub fn flush(&self) {
        if self.shared.writer.get().is_none() {
            return;
        }
        let (done, written) = sync_channel(1);
        self.shared.inbox().flushes.push(done);
        self.shared.wake();
        // An output that is stuck must not keep the process from ending.
        let _ = written.recv_timeout(Duration::from_secs(limits::AUDIT_FLUSH_SECONDS));
    }

    /// Lines written since the start.
    pub fn lines(&self) -> u64 {
        self.shared.lines.load(Ordering::Relaxed)
    }

    /// Records dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Bytes of what waits to be written: the login plane's events, and the workers' records.
    pub fn waiting_bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed) as u64 + self.shared.ring_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::output::Target;
    use super::super::record::{Record, Statement, StatementKind};
    use super::*;
    use crate::audit::{Event, Statements};

    fn order(file: &std::path::Path) -> AuditOrder {
        AuditOrder {
            output: Some(Target::File(file.to_owned()).open().unwrap()),
            overflow: Overflow::Drop,
            queue_bytes: 1 << 20,
            statements: Statements::None,
        }
    }

    fn file(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("pgweir-audit-{}-{name}", std::process::id()))
    }

    fn refused(audit: &Audit, reason: &str) {
        let (database, user, reason) = ("d".into(), "u".into(), reason.into());
        audit.post(|| Event::ServerRefused { database, user, reason });
    }

    fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
        let end = std::time::Instant::now() + Duration::from_secs(30);
        while !holds() {
            assert!(std::time::Instant::now() < end, "{what}");
            std::thread::yield_now();
        }
    }

    /// An audit log whose output is a FIFO that nobody reads.
    fn stuck(name: &str, overflow: Overflow) -> Audit {
        let fifo = file(name);
        let _ = std::fs::remove_file(&fifo);
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR);
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0).unwrap();
        let audit = Audit::new(StartId(1), || Micros(1));
        audit.adopt(AuditOrder { overflow, queue_bytes: 64 * 1024, ..order(&fifo) }, 1).unwrap();
        audit
    }

    /// Whether room is given at the first asking.
    fn has_room(audit: &Audit) -> bool {
        let asked = std::pin::pin!(audit.room());
        asked.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready()
    }

    #[test]
    fn events_that_an_output_does_not_take_are_bounded_and_counted_whatever_becomes_of_them() {
        const EVENTS: u64 = 5_000;
        let reason = "x".repeat(1_000);
        for (name, overflow) in [("stuck-drop", Overflow::Drop), ("stuck-block", Overflow::Block)] {
            let audit = stuck(name, overflow);
            for _ in 0..EVENTS {
                refused(&audit, &reason);
                std::thread::yield_now(); // the writer has its chance to take more than it may
            }
            // The pipe, the writer's batch, and the queue twice over: half of the events are far beyond.
            wait_until("what is too much is counted", || audit.dropped() > EVENTS / 2);
            assert!(audit.waiting_bytes() <= 2 * 64 * 1024, "{}", audit.waiting_bytes());
            std::fs::remove_file(file(name)).unwrap();
        }
    }

    #[test]
    fn with_block_room_is_given_as_far_as_it_goes_and_again_when_another_output_takes_what_waits() {
        let audit = stuck("room", Overflow::Block);
        let mut given = Vec::new();
        while has_room(&audit) {
            let asked = std::pin::pin!(audit.room());
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let std::task::Poll::Ready(room) = asked.poll(&mut context) else { break };
            given.push(room.expect("it blocks"));
            assert!(given.len() <= 64, "no more than the queue holds");
        }
        drop(given);
        assert!(has_room(&audit), "what was set aside is free again");
        let reason = "x".repeat(1_000);
        wait_until("no room is left", || {
            refused(&audit, &reason);
            !has_room(&audit)
        });
        let next = file("room-next");
        audit.adopt(AuditOrder { overflow: Overflow::Block, ..order(&next) }, 1).unwrap();
        wait_until("there is room again", || has_room(&audit));
        audit.flush();
        let told = std::fs::read_to_string(&next).unwrap();
        assert!(told.contains(&reason) && told.contains("\"event\":\"start\""), "{}", told.len());
        for name in ["room", "room-next"] {
            std::fs::remove_file(file(name)).unwrap();
        }
    }

    #[test]
    fn what_is_told_behind_a_change_of_outputs_is_told_to_the_new_one() {
        let (first, second) = (file("first"), file("second"));
        let audit = Audit::new(StartId(1), || Micros(1));
        // As fast as it goes: the writer mostly sees what was said before and behind at once.
        audit.adopt(order(&first), 1).unwrap();
        refused(&audit, "before");
        audit.adopt(order(&second), 1).unwrap();
        refused(&audit, "behind");
        audit.flush();
        let told = [&first, &second].map(|file| std::fs::read_to_string(file).unwrap());
        for file in [&first, &second] {
            std::fs::remove_file(file).unwrap();
        }
        assert!(told[0].contains("before") && !told[0].contains("behind"), "{told:?}");
        assert!(told[1].contains("behind") && !told[1].contains("before"), "{told:?}");
    }

    #[test]
    fn what_waits_of_a_worker_is_told_as_what_waits_of_logins_is() {
        let audit = stuck("gauge", Overflow::Drop);
        let order = |name: &str, queue_bytes| AuditOrder { queue_bytes, ..order(&file(name)) };
        let mut taps = audit.adopt(order("gauge", 128 * 1024), 1).unwrap();
        let tap = taps[0].as_mut().expect("it is on");
        wait_until("the records that a stuck output leaves are told", || {
            tap.put(Record::Statement(Box::new(Statement {
                session: 1,
                transaction: 1,
                kind: StatementKind::Query,
                name: Box::default(),
                text: vec![b'x'; 1_000].into(),
                is_cut: false,
                at: Micros(1),
            })));
            audit.waiting_bytes() > 32 * 1024
        });
        let _taps = audit.adopt(order("gauge-next", 64 * 1024), 1).unwrap();
        drop(taps);
        wait_until("they are written", || audit.waiting_bytes() == 0);
        for name in ["gauge", "gauge-next"] {
            std::fs::remove_file(file(name)).unwrap();
        }
    }
}
