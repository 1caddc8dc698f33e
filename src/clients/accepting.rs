//! Whether clients are accepted at present: SUSPEND and RESUME, and the start.

use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// Whether clients are accepted at present.
#[derive(Debug)]
pub struct Accepting {
    on: watch::Sender<bool>,
    begun: AtomicBool,
}

impl Default for Accepting {
    fn default() -> Self {
        Self { on: watch::Sender::new(true), begun: AtomicBool::new(false) }
    }
}

impl Accepting {
    /// SUSPEND stops it, RESUME goes on: the kernel queues clients meanwhile.
    pub fn set(&self, on: bool) {
        self.on.send_replace(on);
    }

    /// Whether it is suspended.
    pub fn is_suspended(&self) -> bool {
        !*self.on.borrow()
    }

    /// The sockets are open, and the workers have been asked to watch them.
    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Waits until clients are accepted.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn until_on(&self) {
        // it fails only when the sender is gone, and that is `self`
        let _ = self.on.subscribe().wait_for(|on| *on).await;
    }

    /// What `accept` brings while clients are accepted; whoever comes meanwhile stays with the kernel.
    ///
    /// # Cancel safety
    /// That of what `accept` begins; it is dropped when accepting stops.
    pub(super) async fn while_on<T, F: Future<Output = T>>(&self, accept: impl Fn() -> F) -> T {
        let mut on = self.on.subscribe();
        loop {
            // it fails only when the sender is gone, and that is `self`
            let _ = on.wait_for(|on| *on).await;
            tokio::select! {
                biased;
                _ = on.wait_for(|on| !*on) => {}
                accepted = accept() => return accepted,
            }
        }
    }
}
