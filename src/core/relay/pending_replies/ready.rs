//! Whether a ReadyForQuery is still to come, for who waits for the last one of a session.
//!
//! Never changes what is expected.

use super::super::expect::{CopyIn, Expect};
use super::{CopySync, Expected, may_hold_back};
use std::collections::VecDeque;

/// What was sent ahead of a message of which only a part was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Ahead {
    /// Nothing that the rest has to wait for.
    Nothing,
    /// What is answered by itself.
    Answered,
    /// What may be answered only when it is asked for, or ends; amid a message nobody can.
    Unasked,
}

/// What was sent since the last ReadyForQuery: where something was, the server may have an implicit
/// transaction open, even if all its answers are here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Unready {
    #[default]
    Nothing,
    /// What begins no transaction of the client's.
    Ours,
    /// One message of the client's, and any of `Ours`.
    One,
    More,
}

impl Unready {
    /// Of what is left behind a ReadyForQuery. What is looked through here is over with the next one.
    pub(super) fn of(left: &VecDeque<Expect>) -> Self {
        let mut all = Self::Nothing;
        for expect in left {
            all = all.and(*expect);
            if all == Self::More {
                break;
            }
        }
        all
    }

    /// With one more.
    #[inline]
    pub(super) fn and(self, expect: Expect) -> Self {
        match (self, expect.begins()) {
            (Self::Nothing | Self::Ours, false) => Self::Ours,
            (Self::Nothing | Self::Ours, true) => Self::One,
            (Self::One, false) => Self::One,
            (Self::One | Self::More, _) => Self::More,
        }
    }
}

impl Expected {
    /// A message was sent after the last ReadyForQuery, or is to be answered before the next one.
    #[inline]
    pub(crate) fn is_unready(&self) -> bool {
        self.unready != Unready::Nothing
    }

    /// Whether one message of the client's that begins a transaction was sent after the last ReadyForQuery,
    /// and no more.
    pub(crate) fn is_of_one(&self) -> bool {
        self.unready == Unready::One
    }

    /// Whether no message of the client's that begins a transaction was sent after the last ReadyForQuery.
    pub(crate) fn begins_nothing(&self) -> bool {
        !self.skipping && matches!(self.unready, Unready::Nothing | Unready::Ours)
    }

    /// Whether a ReadyForQuery comes of what was sent, whatever the client says or does not say.
    pub(crate) fn owes_ready(&self) -> bool {
        !self.takes_data() && self.queue.iter().any(|expect| expect.is_ended_by_ready())
    }

    /// Whether an Execute is unanswered, as [`Expected::owes_ready`] has it.
    pub(crate) fn owes_execute(&self) -> bool {
        !self.takes_data() && self.queue.iter().any(|expect| matches!(expect, Expect::Execute))
    }

    /// Whether the server takes data of a COPY and waits for their end, which has not been sent: it answers
    /// nothing before.
    pub(crate) fn takes_data(&self) -> bool {
        self.copy == CopyIn::Running && self.copy_ends == 0
    }

    /// Whether what is answered now is an Execute.
    pub(crate) fn is_executing(&self) -> bool {
        matches!(self.queue.front(), Some(Expect::Execute))
    }

    /// Of the last message only a part was sent: what is to be waited for before the rest is.
    pub(crate) fn ahead_of_half(&self) -> Ahead {
        let ahead = || self.queue.iter().take(self.queue.len().saturating_sub(1));
        let runs = |half: &Expect| {
            matches!(half, Expect::Execute | Expect::Simple | Expect::SimpleSet | Expect::Function)
        };
        let is_owed = |expect: &Expect| expect.is_ended_by_ready() || matches!(expect, Expect::Execute);
        if self.skipping || !self.queue.back().is_some_and(runs) || !ahead().any(is_owed) {
            Ahead::Nothing
        } else if self.takes_data() || may_hold_back(ahead()) {
            Ahead::Unasked
        } else {
            Ahead::Answered
        }
    }

    /// How many ReadyForQuery still come is not known, now or ever, and none is known to.
    pub(crate) fn is_lost(&self) -> bool {
        self.amid == CopySync::Lost && self.queue.is_empty()
    }
}
