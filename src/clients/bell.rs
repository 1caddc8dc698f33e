//! The bell of one thread for handshakes: it wakes the workers once for all clients that the
//! thread has finished in one go.
//!
//! Never holds a letter: those lie in the workers' mailboxes, and whatever else wakes a worker delivers them,
//! too. A worker that is woken for one client at a time would spend more on waking than on the client.

use crate::base::WorkerId;
use crate::control::Plane;
use crate::worker::Mail;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// See above.
#[derive(Debug, Default)]
pub struct Bell {
    /// Workers to wake, a bit each (`limits::WORKERS_MAX`).
    workers: AtomicU64,
    is_due: Notify,
}

impl Bell {
    /// Sends a client to its worker; that is woken when the tasks that stand before this thread's
    /// ringer have had their turn.
    pub fn send(&self, plane: &Plane, to: WorkerId, mail: Mail) {
        if plane.worker(to).post(mail) {
            self.workers.fetch_or(1 << to.0, Ordering::AcqRel);
            self.is_due.notify_one();
        }
    }

    /// Rings whenever it is due. To be run on the bell's thread: a thread's tasks take turns in the order in
    /// which they were woken, so this one comes behind all that were ready when it became due.
    ///
    /// # Cancel safety
    /// What is due stays due.
    pub async fn keep_ringing(self: Arc<Self>, plane: Arc<Plane>) {
        loop {
            self.is_due.notified().await;
            self.ring(&plane);
        }
    }

    fn ring(&self, plane: &Plane) {
        let mut workers = self.workers.swap(0, Ordering::AcqRel);
        while workers != 0 {
            plane.worker(WorkerId(workers.trailing_zeros() as u16)).ring();
            workers &= workers - 1;
        }
    }
}
