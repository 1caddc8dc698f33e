//! Whether a ReadyForQuery is still to come, for who waits for the last one of a session.
//!
//! Never changes what is expected.

use super::super::expect::{CopyIn, Expect};
use super::{CopySync, Expected};

impl Expected {
    /// Whether a ReadyForQuery comes of what was sent, whatever the client says or does not say. A server
    /// that takes COPY data waits for their end first, where that has not been sent.
    pub(crate) fn owes_ready(&self) -> bool {
        let asks = |expect: &Expect| matches!(expect, Expect::Sync | Expect::Simple | Expect::Function);
        (self.copy != CopyIn::Running || self.copy_ends > 0) && self.queue.iter().any(asks)
    }

    /// How many ReadyForQuery still come is not known, now or ever, and none is known to.
    pub(crate) fn is_lost(&self) -> bool {
        self.amid == CopySync::Lost && self.queue.is_empty()
    }
}
