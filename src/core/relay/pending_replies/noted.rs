//! Where among the answers owed those stand that have to do with the client's context.
//!
//! Never knows what that is: `conn::ClientContext` has it, in the same order.

use super::super::expect::Expect;
use super::Expected;

impl Expected {
    /// What was sent last has to do with its client's context.
    pub(crate) fn note_last(&mut self) {
        debug_assert!(!self.queue.is_empty(), "what was sent last is owed an answer");
        self.add(Expect::Noted);
    }

    /// The simple query that was sent last sets its client's context, unless it fails.
    pub(crate) fn note_simple(&mut self) {
        debug_assert!(matches!(self.queue.back(), Some(Expect::Simple)), "a simple query was sent last");
        if let Some(last @ Expect::Simple) = self.queue.back_mut() {
            *last = Expect::SimpleSet;
        }
    }
}
