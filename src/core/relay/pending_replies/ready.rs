//! Whether a ReadyForQuery is still to come, for who waits for the last one of a session.
//!
//! Never changes what is expected.

use super::super::expect::{CopyIn, Expect};
use super::{CopySync, Expected};
use std::collections::VecDeque;

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

    /// Whether a ReadyForQuery comes of what was sent, whatever the client says or does not say. A server
    /// that takes COPY data waits for their end first, where that has not been sent.
    pub(crate) fn owes_ready(&self) -> bool {
        let is_taken = self.copy != CopyIn::Running || self.copy_ends > 0;
        is_taken && self.queue.iter().any(|expect| expect.is_ended_by_ready())
    }

    /// Whether an Execute is unanswered, as [`Expected::owes_ready`] has it.
    pub(crate) fn owes_execute(&self) -> bool {
        let is_taken = self.copy != CopyIn::Running || self.copy_ends > 0;
        is_taken && self.queue.iter().any(|expect| matches!(expect, Expect::Execute))
    }

    /// How many ReadyForQuery still come is not known, now or ever, and none is known to.
    pub(crate) fn is_lost(&self) -> bool {
        self.amid == CopySync::Lost && self.queue.is_empty()
    }
}
