//! The outside of a worker: its mailbox.

use super::Mail;

/// Sends letters to one worker; cheap to clone, never blocks for long.
#[derive(Clone)]
pub struct WorkerHandle {}

impl WorkerHandle {
    /// Puts a letter into the mailbox and wakes the loop. Letters to a worker that has ended are dropped.
    pub fn send(&self, mail: Mail) {
        drop(mail);
        todo!()
    }
}
