//! The writer: a thread that takes what workers and the login plane have left, makes lines of it, and writes
//! them many at a time.
//!
//! Nobody waits for it but by `audit_overflow = block`. Invariants: each record becomes one line, in order
//! for each worker, or is counted as dropped; only a line that is written keeps its number; lines are made
//! only as far as a batch goes, so that where an output takes nothing records wait where they are counted; a
//! line is written whole or, where an output breaks in the middle of one, goes on where that stopped. It
//! never syncs a file.

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
    /// How many lines it has, a `dropped` line left out: that is no record.
    lines: u64,
    dropped: Option<DroppedLine>,
}

/// A batch's `dropped` line.
struct DroppedLine {
    /// Where it begins in the text.
    at: usize,
    /// How many records it stands for.
    count: u64,
}

impl Batch {
    /// Empties it. What its text has taken of memory is for the next one, as far as a batch goes.
    fn clear(&mut self) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        text.shrink_to(2 * limits::AUDIT_BATCH_BYTES);
        *self = Self { text, ..Self::default() };
    }

    fn has_room(&self) -> bool {
        self.text.len() < limits::AUDIT_BATCH_BYTES
    }

    /// Where the first line begins that is not written whole.
    fn unwritten(&self) -> usize {
        let end = self.text.as_bytes()[..self.written].iter().rposition(|byte| *byte == b'\n');
        end.map_or(0, |end| end + 1)
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
        // What has come with the first output is that one's: there was none that it was meant for before.
        while self.output.is_some() && self.take_records() && self.write() {}
        self.write();
        // What an output that is stuck has taken of a line is written again, whole, to the next.
        self.batch.written = self.batch.unwritten();
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
                    if self.output.is_some() {
                        self.context.event(&mut self.batch.text, self.seq, at, &event);
                        self.count_line();
                    }
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
        if self.dropped_unwritten > 0 && self.output.is_some() && self.batch.dropped.is_none() {
            let now = self.tick();
            let count = std::mem::take(&mut self.dropped_unwritten);
            self.batch.dropped = Some(DroppedLine { at: self.batch.text.len(), count });
            self.context.dropped(&mut self.batch.text, self.seq, now, count);
            self.seq += 1;
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
            self.batch.clear();
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
        self.batch.clear();
        true
    }

    /// Counts the lines of the batch that are not written as dropped, but for one that is begun: that has to
    /// be ended some time, or the next one would not be valid. The numbers of those that are lost are given
    /// anew: a `dropped` line counts them, so that a gap of numbers is a line that somebody has taken out.
    fn drop_batch(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let begin = batch.unwritten();
        let is_begun = begin < batch.written;
        let rest = &batch.text[batch.written..];
        let kept = if is_begun { rest.find('\n').map_or(rest.len(), |end| end + 1) } else { 0 };
        let end = batch.written + kept;
        let numbers = batch.text[end..].lines().count() as u64;
        let (mut lost, mut dropped) = (numbers, None);
        match batch.dropped {
            Some(line) if line.at >= end => {
                lost -= 1;
                self.dropped_unwritten += line.count;
            }
            Some(line) if line.at >= begin => dropped = Some(DroppedLine { at: 0, ..line }),
            _ => {}
        }
        let lines = u64::from(is_begun && dropped.is_none());
        self.shared.count_lines(batch.lines - lost - lines);
        self.seq -= numbers;
        let text = batch.text[begin..end].to_owned();
        self.batch = Batch { text, written: batch.written - begin, lines, dropped };
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

#[cfg(test)]
mod tests {
    use super::super::event::Event;
    use super::*;
    use crate::audit::Statements;
    use crate::base::StartId;

    const LINES: u64 = 5;
    /// Records that were lost before.
    const LOST: u64 = 7;

    /// With a batch of [`LINES`] records and, in front of the last of them or behind that, a `dropped` line.
    fn with_batch(dropped_at: u64) -> Writer {
        let shared = Arc::new(Shared::new(Box::new(|| Micros(1))));
        let mut writer = Writer::new(shared, Context::new(StartId(1), Statements::None));
        let put_dropped = |writer: &mut Writer| {
            writer.batch.dropped = Some(DroppedLine { at: writer.batch.text.len(), count: LOST });
            writer.context.dropped(&mut writer.batch.text, writer.seq, Micros(1), LOST);
            writer.seq += 1;
        };
        for number in 0..LINES {
            if number == dropped_at {
                put_dropped(&mut writer);
            }
            let event = Event::ServerRefused { database: "d".into(), user: "u".into(), reason: "r".into() };
            writer.context.event(&mut writer.batch.text, writer.seq, Micros(1), &event);
            writer.count_line();
        }
        if dropped_at == LINES {
            put_dropped(&mut writer);
        }
        writer
    }

    /// Wherever an output has stopped: what is written and what is begun has its numbers, the next line has
    /// the one behind, and each other record is counted once.
    #[test]
    fn lines_that_are_lost_give_their_numbers_back_and_are_counted_once() {
        for dropped_at in 0..=LINES {
            let length = with_batch(dropped_at).batch.text.len();
            for written in 0..length {
                let mut writer = with_batch(dropped_at);
                writer.batch.written = written;
                let text = writer.batch.text.clone();
                writer.drop_batch();
                let taken = text[..written].rfind('\n').map_or(0, |end| end + 1);
                assert_eq!(writer.batch.text[..writer.batch.written], text[taken..written]);
                let kept = format!("{}{}", &text[..taken], writer.batch.text);
                assert!(text.starts_with(&kept) && (kept.is_empty() || kept.ends_with('\n')), "{kept}");
                let numbers = kept.lines().count() as u64;
                assert_eq!(writer.seq, numbers + 1, "{dropped_at} {written}");
                let tells = kept.contains("\"dropped\"");
                let records = numbers - u64::from(tells);
                assert_eq!(writer.shared.dropped.load(std::sync::atomic::Ordering::Relaxed), LINES - records);
                let told = if tells { LOST } else { 0 };
                assert_eq!(writer.dropped_unwritten + told, LINES - records + LOST, "{dropped_at} {written}");
                let of_written = writer.shared.lines.load(std::sync::atomic::Ordering::Relaxed);
                assert_eq!(of_written + writer.batch.lines, records, "{dropped_at} {written}");
            }
        }
    }
}
