//! How far the log is written: who is told of something can read the lines about it by then.
//!
//! Counts lines, never sees one. A log that is stuck keeps nobody for longer than [`PATIENCE`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// A disk takes lines within some microseconds; one that is stuck must not keep a client.
const PATIENCE: Duration = Duration::from_secs(1);

/// Lines that have been logged, and those of them that are written.
#[derive(Debug, Default)]
pub struct LogProgress {
    logged: AtomicU64,
    written: watch::Sender<u64>,
}

impl LogProgress {
    /// A line is about to be put into the writer's queue.
    pub fn add(&self) {
        self.logged.fetch_add(1, Ordering::Relaxed);
    }

    /// So many lines more are written, or lost.
    pub fn advance(&self, lines: u64) {
        self.written.send_modify(|written| *written += lines);
    }

    /// Waits until what the caller has logged is written.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn caught_up(&self) {
        let logged = self.logged.load(Ordering::Relaxed);
        if *self.written.borrow() >= logged {
            return;
        }
        let mut written = self.written.subscribe();
        let caught_up = written.wait_for(|written| *written >= logged);
        // late or not, the client is told
        let _ = tokio::time::timeout(PATIENCE, caught_up).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_has_logged_waits_for_its_own_lines_and_not_for_ever() {
        let progress = LogProgress::default();
        progress.caught_up().await;
        progress.add();
        progress.add();
        let waited = async {
            let before = tokio::time::Instant::now();
            progress.caught_up().await;
            before.elapsed()
        };
        let write = async {
            progress.add(); // of somebody else, and later
            progress.advance(1);
            tokio::task::yield_now().await;
            progress.advance(1);
        };
        assert_eq!(tokio::join!(waited, write).0, Duration::ZERO);
        let before = tokio::time::Instant::now();
        progress.caught_up().await;
        assert_eq!(before.elapsed(), PATIENCE, "the third is stuck");
    }
}
