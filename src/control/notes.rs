//! What workers want the world to know, passed on to whom it concerns.

use super::plane::Plane;
use crate::base::WorkerId;
use crate::core::Note;
use crate::worker::Mail;

impl Plane {
    /// What a worker's `Core` wants the world to know; the driver's owner calls it on the worker's thread, so
    /// it only passes the note on.
    pub fn note(&self, from: WorkerId, note: Note) {
        match note {
            Note::NeedServer(pool) => self.launcher.need_server(pool),
            Note::EndedUnanswered { pool, began_at } => self.launcher.ended_unanswered(pool, began_at),
            Note::NeedRenewal(pool) => self.launcher.need_renewal(pool),
            Note::Nudge { pool, idle_at } => self.worker(idle_at).send(Mail::Nudge { pool, by: from }),
            Note::SendCancel { request, server, identity, key, .. } => {
                self.launcher.send_cancel(self.cancel_request(from, request, server, identity, key));
            }
        }
    }
}
