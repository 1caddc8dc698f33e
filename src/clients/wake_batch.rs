//! The wakeups that one thread for handshakes owes: it wakes the workers once for all clients that it has
//! finished in one go.
//!
//! Never holds a letter: those lie in the workers' mailboxes, and whatever else wakes a worker delivers them,
//! too. A worker that is woken for one client at a time would spend more on waking than on the client.

use crate::base::WorkerId;
use crate::control::Plane;
use crate::worker::Mail;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// The workers that one thread has still to wake.
#[derive(Debug, Default)]
pub struct WakeBatch {
    /// Workers to wake, a bit each (`limits::WORKERS_MAX`).
    workers: AtomicU64,
    is_due: Notify,
}

impl WakeBatch {
    /// Sends a client to its worker, which is woken when the tasks that are ready on this thread have had
    /// their turn.
    pub fn send(&self, plane: &Plane, to: WorkerId, mail: Mail) {
        if plane.worker(to).post(mail) {
            self.workers.fetch_or(1 << to.0, Ordering::AcqRel);
            self.is_due.notify_one();
        }
    }

    /// Wakes the workers whenever some are due. To be run on the thread of this batch: a thread's tasks take
    /// turns in the order in which they were woken, so this one comes behind all that were ready when it
    /// became due.
    ///
    /// # Cancel safety
    /// What is due stays due.
    pub async fn keep_flushing(self: Arc<Self>, plane: Arc<Plane>) {
        loop {
            self.is_due.notified().await;
            self.flush(&plane);
        }
    }

    fn flush(&self, plane: &Plane) {
        let mut workers = self.workers.swap(0, Ordering::AcqRel);
        while workers != 0 {
            plane.worker(WorkerId(workers.trailing_zeros() as u16)).wake();
            workers &= workers - 1;
        }
    }
}
