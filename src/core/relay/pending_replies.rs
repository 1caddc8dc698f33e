//! Which answers a linked server still owes, in the order in which its messages were sent.
//!
//! Pure bookkeeping over message kinds: knows no socket, no names, no pool. It decides when a server owes
//! nothing more (the one condition for taking it back), which answers the client must not see, and where
//! answers that we make up belong. Source: PostgreSQL documentation, "Message Flow": "Extended Query",
//! "Pipelining", "COPY Operations".

mod noted;
mod ready;

use super::expect::{CopyIn, Due, Expect, Fate, Forgetting};
use crate::wire::tags::server;
pub(in crate::core) use ready::Ahead;
use ready::Unready;
use std::collections::VecDeque;

/// How many ParseCompletes may be owed before a CloseComplete that comes early.
const CLOSED_EARLY_MAX: usize = 64;

/// How often the answers owed are looked through for statements that were named behind a command that
/// forgets them, while they are owed; only what [`crate::wire::frontend::forgets_statements`] does not
/// recognize can have any behind it.
const FORGETTINGS_MAX: u32 = 16;

/// The answers owed by one server. It grows with what a client sends ahead: whoever
/// pushes looks at its length.
#[derive(Debug, Default)]
pub(in crate::core) struct Expected {
    queue: VecDeque<Expect>,
    /// How many in the queue change statements.
    changes: usize,
    /// How many in the queue have to do with statements.
    names: usize,
    /// How many in the queue are ends of COPY data.
    copy_ends: usize,
    /// How many in the queue are [`Expect::Gone`]; the first one never is.
    gone: usize,
    /// So many at the front are known to be neither Syncs nor ends of COPY data.
    plain: usize,
    /// How often the server has forgotten statements while this was owed, and whether by
    /// its answer to the first.
    forgettings: u32,
    front_forgot: bool,
    /// How many answers the ends of COPYs have looked at.
    #[cfg(test)]
    looked_at: usize,
    /// A command that makes the session forget its statements is among what the queue stands for.
    forgets: bool,
    copy: CopyIn,
    /// The server failed in the extended protocol and discards everything up to a Sync
    /// that has not been sent yet.
    skipping: bool,
    unready: Unready,
    amid: CopySync,
}

/// Whether the client has sent a Sync amid its COPY data. A COPY that goes well ignores it; if the COPY
/// fails, it depends on which data the server choked on, and that is told to nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum CopySync {
    #[default]
    NoData,
    /// Data have been sent, their end has not.
    Data,
    /// And a Sync among them.
    Sync,
    /// The COPY has failed: how many ReadyForQuery still come is not known, now or ever.
    Lost,
}

/// Whether answers to these may be held back by the server until it is told to flush: what was sent last does
/// not ask for ReadyForQuery.
fn may_hold_back<'a>(sent: impl DoubleEndedIterator<Item = &'a Expect>) -> bool {
    let fake = |expect: &&Expect| {
        matches!(expect, Expect::ParseFake(_) | Expect::CloseFake | Expect::Noted | Expect::Gone)
    };
    let last_sent = sent.rev().find(|expect| !fake(expect));
    last_sent.is_some_and(|last| !last.is_ended_by_ready() && !matches!(last, Expect::Name))
}

impl Expected {
    /// Nothing is owed, no COPY is open, nothing is being skipped, no count is lost: the server is at rest.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.queue.is_empty() && !self.skipping && self.copy == CopyIn::No && self.amid != CopySync::Lost
    }

    /// Whether an answer made up now comes at once: nothing that was sent before is unanswered.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// What comes answers a client's name, which we have set.
    #[inline]
    pub(crate) fn is_naming(&self) -> bool {
        matches!(self.queue.front(), Some(Expect::Name))
    }

    /// How many answers are owed.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether the server may hold answers back until it is told to flush: what was sent last does
    /// not ask for ReadyForQuery.
    pub(crate) fn needs_flush(&self) -> bool {
        may_hold_back(self.queue.iter())
    }

    /// What was sent last may make the session forget its statements. It lasts until all is answered: before
    /// that nobody knows what the server holds.
    pub(crate) fn note_forgetting(&mut self) {
        self.forgets = true;
    }

    /// Whether the session may be about to forget its statements.
    #[inline]
    pub(crate) fn is_forgetting(&self) -> bool {
        self.forgets && !self.queue.is_empty()
    }

    /// What was sent behind the message that the server answers now.
    pub(crate) fn behind(&self) -> impl Iterator<Item = Expect> {
        self.queue.iter().skip(1).copied()
    }

    /// The server discards what it gets until a Sync.
    #[inline]
    pub(crate) fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// A message has been sent (or is answered by us); its answer is owed.
    #[inline]
    pub(crate) fn push(&mut self, expect: Expect) {
        if matches!(expect, Expect::Sync) {
            self.skipping = false;
            if self.amid == CopySync::Data {
                self.amid = CopySync::Sync;
            }
            if self.copy == CopyIn::Running && self.copy_ends == 0 {
                // The server ignores it; that there was one is all that counts if the COPY fails.
                self.unready = self.unready.and(expect);
                return;
            }
        }
        debug_assert!(!self.skipping, "nothing is sent to a server that skips");
        self.unready = self.unready.and(expect);
        if self.copy == CopyIn::Failed {
            // PostgreSQL's protocol does not ask for an end of data after the error, and
            // not every client sends one.
            self.copy = CopyIn::No;
        }
        self.add(expect);
    }

    #[inline]
    fn add(&mut self, expect: Expect) {
        if self.queue.is_empty() {
            self.forgets = false;
            self.forgettings = 0;
        }
        self.names += usize::from(expect.names());
        self.changes += usize::from(expect.changes_statements());
        self.copy_ends += usize::from(matches!(expect, Expect::CopyEnd));
        self.queue.push_back(expect);
    }

    #[inline]
    fn take(&mut self) -> Option<Expect> {
        let expect = self.queue.pop_front()?;
        self.changes -= usize::from(expect.changes_statements());
        self.names -= usize::from(expect.names());
        self.copy_ends -= usize::from(matches!(expect, Expect::CopyEnd));
        self.front_is_over(1);
        Some(expect)
    }

    /// The first `count` are not owed any more.
    #[inline]
    fn front_is_over(&mut self, count: usize) {
        self.front_forgot &= count == 0;
        self.plain = self.plain.saturating_sub(count);
        while self.gone > 0 && matches!(self.queue.front(), Some(Expect::Gone)) {
            self.queue.pop_front();
            self.gone -= 1;
            self.plain = self.plain.saturating_sub(1);
        }
    }

    /// The server says that the session has forgotten its statements, in answer to what is owed first.
    pub(crate) fn forget(&mut self) -> Forgetting {
        let may_forget =
            matches!(self.queue.front(), Some(Expect::Simple | Expect::SimpleSet | Expect::Execute));
        if !may_forget || std::mem::replace(&mut self.front_forgot, true) {
            return Forgetting::Nothing;
        }
        if self.names == 0 {
            return Forgetting::All;
        }
        self.forgettings += 1;
        if self.forgettings > FORGETTINGS_MAX { Forgetting::TooOften } else { Forgetting::ButBehind }
    }

    /// Takes the first `count`, and gives them to `undo`, the last one first.
    fn take_back(&mut self, count: usize, undo: impl FnMut(Expect)) {
        let taken = || self.queue.iter().take(count);
        self.changes -= taken().filter(|expect| expect.changes_statements()).count();
        self.names -= taken().filter(|expect| expect.names()).count();
        self.copy_ends -= taken().filter(|expect| matches!(expect, Expect::CopyEnd)).count();
        self.gone -= taken().filter(|expect| matches!(expect, Expect::Gone)).count();
        self.queue.drain(..count).rev().for_each(undo);
        self.front_is_over(count);
    }

    /// Whether statements are still to be prepared or closed.
    pub(crate) fn changes_statements(&self) -> bool {
        self.changes > 0
    }

    /// Whether the client's COPY data have somewhere to go: the server takes them, or may be about to.
    pub(crate) fn takes_copy_data(&self) -> bool {
        self.copy == CopyIn::Running || (self.copy == CopyIn::No && !self.queue.is_empty() && !self.skipping)
    }

    /// COPY data go to the server.
    pub(crate) fn copy_data_sent(&mut self) {
        if self.amid == CopySync::NoData {
            self.amid = CopySync::Data;
        }
    }

    /// The client has ended its COPY data; false for a stray end that belongs to nothing.
    pub(crate) fn copy_ended(&mut self) -> bool {
        if self.amid == CopySync::Data {
            self.amid = CopySync::NoData;
        }
        match self.copy {
            CopyIn::Running => self.add(Expect::CopyEnd),
            CopyIn::Failed => self.copy = CopyIn::No,
            // Sent ahead of the server's CopyInResponse: it belongs to a query that is still unanswered.
            CopyIn::No if !self.queue.is_empty() => self.add(Expect::CopyEnd),
            CopyIn::No => return false,
        }
        true
    }

    /// The server has begun to take COPY data. Syncs that were sent ahead lie amid them unless
    /// the data's end does, too.
    pub(crate) fn copy_began(&mut self) {
        self.copy = CopyIn::Running;
        if self.copy_ends == 0 {
            self.strip_copy();
        }
    }

    /// A message of the server that is neither ErrorResponse nor ReadyForQuery.
    #[inline]
    pub(crate) fn answered(&mut self, tag: u8) -> Fate {
        if tag == server::COMMAND_COMPLETE && self.copy == CopyIn::Running {
            self.strip_copy();
            self.copy = CopyIn::No;
            self.amid = if self.amid == CopySync::Lost { CopySync::Lost } else { CopySync::NoData };
        }
        let Some(front) = self.queue.front() else { return Fate::Forward };
        if tag == server::CLOSE_COMPLETE && front.prepares() {
            return self.closed_early();
        }
        let fate = match (front, tag) {
            (Expect::Name, server::COMMAND_COMPLETE) => return Fate::Swallow,
            (Expect::ParseOurs(_), server::PARSE_COMPLETE)
            | (Expect::CloseOurs(_), server::CLOSE_COMPLETE) => Fate::Swallow,
            (Expect::Parse(_), server::PARSE_COMPLETE)
            | (Expect::Close, server::CLOSE_COMPLETE)
            | (Expect::Bind, server::BIND_COMPLETE)
            | (Expect::Describe, server::ROW_DESCRIPTION | server::NO_DATA)
            | (
                Expect::Execute,
                server::COMMAND_COMPLETE | server::EMPTY_QUERY_RESPONSE | server::PORTAL_SUSPENDED,
            ) => Fate::Forward,
            _ => return Fate::Forward,
        };
        self.take();
        fate
    }

    /// CloseComplete before a ParseComplete that is owed first: a PgBouncer up to 1.25 answers a Close
    /// at once where it owes nothing but ParseCompletes of its own making
    /// (`handle_close_statement_command` in its `prepare.c`).
    #[cold]
    fn closed_early(&mut self) -> Fate {
        let prepares = |expect: &Expect| expect.prepares() || matches!(expect, Expect::Noted);
        let ahead = self.queue.iter().take(CLOSED_EARLY_MAX).position(|expect| !prepares(expect));
        let fate = match ahead.map(|at| (at, self.queue[at])) {
            Some((at, closed @ Expect::CloseOurs(_))) => (at, closed, Fate::Swallow),
            Some((at, closed @ Expect::Close)) => (at, closed, Fate::Forward),
            _ => return Fate::Forward,
        };
        let (at, closed, fate) = fate;
        self.queue.remove(at);
        self.plain -= usize::from(at < self.plain);
        self.changes -= usize::from(closed.changes_statements());
        self.names -= usize::from(closed.names());
        fate
    }

    /// The next thing that is not the server's to do, where its turn has come.
    #[inline]
    pub(crate) fn take_due(&mut self) -> Option<Due> {
        let due = match self.queue.front()? {
            Expect::ParseFake(_) => Due::Answer(server::PARSE_COMPLETE),
            Expect::CloseFake => Due::Answer(server::CLOSE_COMPLETE),
            Expect::Noted => Due::Noted,
            _ => return None,
        };
        self.take();
        Some(due)
    }

    /// ErrorResponse: in the extended protocol the server now discards all up to the next Sync. Each
    /// answer that will not come is given to `undo`, the last one first: a statement may be evicted and
    /// prepared again in one batch.
    pub(crate) fn failed(&mut self, mut undo: impl FnMut(Expect)) {
        if self.copy == CopyIn::Running {
            self.copy = if self.strip_copy() { CopyIn::No } else { CopyIn::Failed };
            self.amid = if matches!(self.amid, CopySync::Sync | CopySync::Lost) {
                CopySync::Lost
            } else {
                CopySync::NoData
            };
        }
        match self.queue.front_mut() {
            None | Some(Expect::Sync | Expect::Simple | Expect::Function | Expect::Name) => return,
            Some(front @ Expect::SimpleSet) => return undo(std::mem::replace(front, Expect::Simple)),
            Some(_) => {}
        }
        let sync = self.queue.iter().position(|expect| matches!(expect, Expect::Sync));
        self.take_back(sync.unwrap_or(self.queue.len()), undo);
        self.skipping = sync.is_none();
    }

    /// ReadyForQuery: everything up to the message that asked for it is over; answers that were still owed
    /// are given to `undo`, the last one first. Whether that message was one that sets its client's context.
    #[inline]
    pub(crate) fn ready(&mut self, undo: impl FnMut(Expect)) -> bool {
        let asks = |expect: &Expect| expect.is_ended_by_ready() || matches!(expect, Expect::Name);
        let asked_at = self.queue.iter().position(asks).unwrap_or(self.queue.len());
        if asked_at > 0 {
            self.take_back(asked_at, undo);
        }
        let sets_context = matches!(self.take(), Some(Expect::SimpleSet));
        // The data's end of a COPY that never began, or was refused before its data came.
        while matches!(self.queue.front(), Some(Expect::CopyEnd)) {
            self.take();
        }
        self.unready = Unready::of(&self.queue);
        if self.amid == CopySync::Lost {
            self.skipping = false;
        } else if self.queue.is_empty() && self.copy == CopyIn::No {
            self.amid = CopySync::NoData;
        }
        sets_context
    }

    /// Forgets the Syncs that the server ignored while it took COPY data, up to the data's end. True if the
    /// end was there. Looks at each answer owed once, however many COPYs there are.
    fn strip_copy(&mut self) -> bool {
        let ends = self.copy_ends > 0;
        while let Some(expect) = self.queue.get_mut(self.plain) {
            self.plain += 1;
            #[cfg(test)]
            {
                self.looked_at += 1;
            }
            let is_end = matches!(expect, Expect::CopyEnd);
            if is_end || matches!(expect, Expect::Sync) {
                *expect = Expect::Gone;
                self.gone += 1;
            }
            if is_end {
                self.copy_ends -= 1;
                break;
            }
        }
        while self.gone > 0 && matches!(self.queue.back(), Some(Expect::Gone)) {
            self.queue.pop_back();
            self.gone -= 1;
        }
        self.plain = self.plain.min(self.queue.len());
        self.front_is_over(0);
        ends
    }
}

#[cfg(test)]
mod tests;
