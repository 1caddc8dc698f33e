//! Whether a ReadyForQuery is still to come, for who waits for the last one of a session.
//!
//! Never changes what is expected.

use super::super::expect::CopyIn;
use super::{CopySync, Expected};

impl Expected {
    /// Whether a ReadyForQuery comes of what was sent, whatever the client says or does not say. A server
    /// that takes COPY data waits for their end first, where that has not been sent.
    pub(crate) fn owes_ready(&self) -> bool {
        let is_taken = self.copy != CopyIn::Running || self.copy_ends > 0;
        is_taken && self.queue.iter().any(|expect| expect.is_ended_by_ready())
    }

    /// How many ReadyForQuery still come is not known, now or ever, and none is known to.
    pub(crate) fn is_lost(&self) -> bool {
        self.amid == CopySync::Lost && self.queue.is_empty()
    }
}
