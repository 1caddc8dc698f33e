//! COPY from the client, and where transactions begin.

use super::{Backend, Mode};
use pgweir::wire::encode;
use pgweir::wire::tags::client as ask;

/// A message that begins a transaction. Places are counted from the first byte that was heard.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    pub ends_at: u64,
    /// Where the COMMIT ends that it follows in its batch.
    pub behind: Option<u64>,
}

impl Backend {
    /// Takes down that a message begins a transaction.
    pub(super) fn look_for_begin(&mut self, tag: u8) {
        let runs = matches!(tag, ask::QUERY | ask::FUNCTION_CALL | ask::EXECUTE);
        let begins = runs || matches!(tag, ask::PARSE | ask::BIND | ask::DESCRIBE);
        let behind = self.ended_at.filter(|_| runs);
        if (begins && self.is_at_rest() || behind.is_some()) && !self.has_lost_count {
            self.begun = Some(Begun { ends_at: self.heard_bytes, behind });
        }
    }

    pub(super) fn copy_message(&mut self, tag: u8, payload: &[u8], fail_after: usize, seen: usize) {
        match tag {
            ask::COPY_DATA => {
                self.seen
                    .push(String::from_utf8_lossy(payload).split(' ').next().unwrap_or_default().to_owned());
                let seen = seen + payload.len();
                if seen >= fail_after {
                    self.mode = Mode::Ready;
                    self.has_lost_count |= self.copy_had_sync;
                    return self.fail("22P04", "bad data in COPY, as told");
                }
                self.mode = Mode::Copy { fail_after, seen };
            }
            ask::COPY_DONE => {
                self.mode = Mode::Ready;
                self.push(|out| encode::command_complete(out, &format!("COPY {seen}")));
            }
            ask::COPY_FAIL => {
                self.mode = Mode::Ready;
                self.has_lost_count |= self.copy_had_sync;
                self.fail("22000", "COPY from stdin failed");
            }
            // "The backend will ignore Flush and Sync messages received during copy-in."
            ask::FLUSH => {}
            ask::SYNC => self.copy_had_sync = true,
            ask::TERMINATE => self.mode = Mode::Ended,
            other => panic!("a server was sent {:?} during COPY from the client", char::from(other)),
        }
    }
}
