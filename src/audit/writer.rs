//! The writer: a thread that takes what workers and the login plane have left, makes lines of it, and writes
//! them many at a time.
//!
//! Nobody waits for it but by `audit_overflow = block`. Invariants: each record becomes one line, in order
//! for each worker, or is counted as dropped; lines are made only as far as a batch goes, so that where an
//! output takes nothing records wait where they are counted; a line is written whole or, where an output
//! breaks in the middle of one, goes on where that stopped. It never syncs a file.

use super::line::Context;
use super::output::Output;
use super::record::Record;
use super::ring::{Drain, Overflow};
use super::shared::{Mail, Order, Shared};
use crate::base::{Micros, limits};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// Between two tries of an output that takes nothing.
const RETRY: Duration = Duration::from_millis(100);

/// A look at both clocks that takes no longer is good enough.
const QUICK: Micros = Micros(20);

/// Looks at both clocks, at the most.
const LOOKS_MAX: usize = 8;

/// Lines made and not yet written.
#[derive(Default)]
struct Batch {
    text: String,
    /// So many bytes of it are written.
    written: usize,
    /// How many lines it has, `dropped` lines left out: they are no records.
    lines: u64,
    /// So many dropped records its `dropped` line stands for; 0: it has none.
    dropped_in_it: u64,
}

impl Batch {
    fn has_room(&self) -> bool {
        self.text.len() < limits::AUDIT_BATCH_BYTES
    }
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    drains: Vec<Drain>,
    /// Taken from the inbox and neither a line nor carried out yet.
    mail: VecDeque<Mail>,
    output: Option<Output>,
    overflow: Overflow,
    context: Context,
    batch: Batch,
    /// The number of the next line.
    seq: u64,
    /// Dropped records that no `dropped` line stands for yet.
    dropped_unwritten: u64,
    trouble: Trouble,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, context: Context) -> Self {
        Self {
            shared,
            drains: Vec::new(),
            mail: VecDeque::new(),
            output: None,
            overflow: Overflow::Drop,
            context,
            batch: Batch::default(),
            seq: 1,
            dropped_unwritten: 0,
            trouble: Trouble::default(),
        }
    }

    /// Works until the process ends.
    pub(super) fn run(mut self) {
        let mut flushes = Vec::new();
        loop {
            self.shared.sleep(self.output.is_some() || !self.drains.is_empty());
            let mut is_more = true;
            while is_more {
                let inbox = self.shared.take_inbox();
                flushes.extend(inbox.flushes);
                self.drains.extend(inbox.drains);
                self.mail.extend(inbox.mail);
                is_more = self.take_mail();
                is_more |= self.take_records();
                if !self.write() {
                    is_more = self.leave_stuck_output();
                }
            }
            if self.batch.text.is_empty() && self.mail.is_empty() {
                for done in flushes.drain(..) {
                    let done: SyncSender<()> = done;
                    let _ = done.try_send(()); // whoever asked may have stopped waiting
                }
            }
        }
    }

    /// Whether an order for another output had come; what the present one has not taken goes there.
    fn leave_stuck_output(&mut self) -> bool {
        let at = self.mail.iter().position(|mail| matches!(mail, Mail::Order(_)));
        match at.and_then(|at| self.mail.remove(at)) {
            Some(Mail::Order(order)) => self.switch_output(order),
            _ => return false,
        }
        true
    }

    fn switch_output(&mut self, order: Order) {
        while self.take_records() && self.write() {}
        self.write();
        // What an output that is stuck has taken of a line is written again, whole, to the next.
        let begun = self.batch.text.as_bytes()[..self.batch.written].iter().rposition(|byte| *byte == b'\n');
        self.batch.written = begun.map_or(0, |end| end + 1);
        if order.output.is_none() {
            self.drop_batch();
        }
        self.overflow = order.overflow;
        self.context = order.context;
        self.output = order.output;
        self.trouble = Trouble::default();
        if self.output.is_some() {
            let now = self.tick();
            self.context.start(&mut self.batch.text, self.seq, now);
            self.count_line();
        }
    }

    /// The time; lines from now on go by it.
    fn tick(&mut self) -> Micros {
        let (now, epoch_us) = self.epoch();
        self.context.epoch_us = epoch_us;
        now
    }

    /// The time, and when its clock was at zero. The two clocks are read one after the other: where the
    /// thread has lost its core in between, the quickest of a few looks counts.
    fn epoch(&self) -> (Micros, i64) {
        let look = || {
            let before = self.shared.now();
            let since_epoch = jiff::Timestamp::now().as_microsecond();
            let after = self.shared.now();
            let middle = Micros(before.0.midpoint(after.0));
            (after.since(before), middle, since_epoch)
        };
        let mut best = look();
        for _ in 0..LOOKS_MAX {
            if best.0 <= QUICK {
                break;
            }
            best = std::cmp::min_by_key(best, look(), |look| look.0);
        }
        let (_, now, since_epoch) = best;
        (now, since_epoch.saturating_sub(i64::try_from(now.0).unwrap_or(i64::MAX)))
    }

    /// Makes lines of events, as far as a batch goes, and carries orders out, in their order; whether there
    /// was anything.
    fn take_mail(&mut self) -> bool {
        let is_any = !self.mail.is_empty();
        if is_any {
            self.tick();
        }
        while self.batch.has_room()
            && let Some(mail) = self.mail.pop_front()
        {
            match mail {
                Mail::Event(at, event) => {
                    self.context.event(&mut self.batch.text, self.seq, at, &event);
                    self.count_line();
                    self.shared.event_is_line(event.bytes());
                }
                Mail::Order(order) => self.switch_output(order),
            }
        }
        is_any
    }

    fn count_line(&mut self) {
        self.batch.lines += 1;
        self.seq += 1;
    }

    /// Makes lines of what the rings hold, as far as a batch goes; whether there is more.
    fn take_records(&mut self) -> bool {
        let missing: u64 = self.drains.iter().map(Drain::take_dropped).sum();
        self.count_dropped(missing + self.shared.take_dropped());
        if self.dropped_unwritten > 0 && self.output.is_some() && self.batch.dropped_in_it == 0 {
            let now = self.tick();
            self.context.dropped(&mut self.batch.text, self.seq, now, self.dropped_unwritten);
            self.seq += 1;
            (self.batch.dropped_in_it, self.dropped_unwritten) = (self.dropped_unwritten, 0);
        }
        let mut is_more = false;
        if !self.drains.is_empty() {
            self.tick();
        }
        let mut drains = std::mem::take(&mut self.drains);
        for drain in &mut drains {
            while self.batch.has_room()
                && let Some(record) = drain.take()
            {
                self.add(&record);
                is_more = true;
            }
            if drain.is_waited_for() {
                self.shared.tell_of_room(drain.worker);
            }
        }
        drains.retain(|drain| !drain.is_over());
        self.drains = drains;
        is_more
    }

    fn add(&mut self, record: &Record) {
        if self.output.is_some() {
            self.context.record(&mut self.batch.text, self.seq, record);
            self.count_line();
        }
    }

    fn count_dropped(&mut self, lines: u64) {
        if lines > 0 {
            self.dropped_unwritten += lines;
            self.shared.count_dropped(lines);
        }
    }

    /// Writes the batch; false where the output took nothing and it is to be tried again later.
    fn write(&mut self) -> bool {
        let Some(output) = &mut self.output else {
            self.batch = Batch::default();
            return true;
        };
        while self.batch.written < self.batch.text.len() {
            match output.write(&self.batch.text.as_bytes()[self.batch.written..]) {
                Ok(0) => {
                    self.trouble.is_stuck(self.overflow);
                    return false;
                }
                Ok(bytes) => self.batch.written += bytes,
                Err(error) => {
                    self.trouble.has_failed(&error, self.overflow);
                    if self.overflow == Overflow::Drop {
                        self.drop_batch();
                    } else {
                        std::thread::sleep(RETRY);
                    }
                    return false;
                }
            }
        }
        self.trouble.is_over();
        self.shared.count_lines(self.batch.lines);
        self.batch = Batch::default();
        true
    }

    /// Counts the lines of the batch that are not written as dropped, but for one that is begun: that has to
    /// be ended some time, or the next one would not be valid.
    fn drop_batch(&mut self) {
        let Batch { text, written, dropped_in_it, .. } = &self.batch;
        let is_at_edge = *written == 0 || text.as_bytes()[written - 1] == b'\n';
        let rest = &text[*written..];
        let kept = if is_at_edge { 0 } else { rest.find('\n').map_or(rest.len(), |end| end + 1) };
        let lost = rest[kept..].lines().count() as u64 - u64::from(*dropped_in_it > 0 && is_at_edge);
        self.dropped_unwritten += dropped_in_it;
        let text = rest[..kept].to_owned();
        self.batch = Batch { lines: u64::from(!text.is_empty()), text, written: 0, dropped_in_it: 0 };
        self.count_dropped(lost);
    }
}

/// What is said in the log of an output that does not take lines: once when it begins, once when it is over.
#[derive(Default)]
struct Trouble {
    since: Option<Instant>,
    is_told: bool,
}

/// For how long an output may take nothing before the log hears of it.
const STUCK: Duration = Duration::from_secs(2);

impl Trouble {
    fn is_stuck(&mut self, overflow: Overflow) {
        let since = *self.since.get_or_insert_with(Instant::now);
        if !self.is_told && since.elapsed() >= STUCK {
            self.is_told = true;
            tracing::error!("the audit log takes no records: nobody reads it; {}", consequence(overflow));
        }
    }

    fn has_failed(&mut self, error: &std::io::Error, overflow: Overflow) {
        if !std::mem::replace(&mut self.is_told, true) {
            tracing::error!("could not write to the audit log: {error}; {}", consequence(overflow));
        }
    }

    fn is_over(&mut self) {
        if std::mem::take(self).is_told {
            tracing::info!("the audit log is written again");
        }
    }
}

fn consequence(overflow: Overflow) -> &'static str {
    match overflow {
        Overflow::Drop => "records are lost and counted (audit_overflow = drop)",
        Overflow::Block => "clients wait for it (audit_overflow = block)",
    }
}
