//! Whether clients are accepted at present: SUSPEND and RESUME, the start and a soft shutdown.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::watch;

/// Whether clients are accepted at present.
#[derive(Debug)]
pub struct Accepting {
    on: watch::Sender<bool>,
    begun: AtomicBool,
    /// Loops that accept over TCP.
    tcp_loops: AtomicUsize,
}

impl Default for Accepting {
    fn default() -> Self {
        Self { on: watch::Sender::new(true), begun: AtomicBool::new(false), tcp_loops: AtomicUsize::new(0) }
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

    /// One more loop accepts over TCP.
    pub(super) fn begin_tcp(&self) {
        self.tcp_loops.fetch_add(1, Ordering::AcqRel);
    }

    /// One of those has ended.
    pub(super) fn end_tcp(&self) {
        self.tcp_loops.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether anybody may come over TCP still.
    pub(super) fn is_open_to_tcp(&self) -> bool {
        self.tcp_loops.load(Ordering::Acquire) > 0
    }

    /// Waits until clients are accepted.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn until_on(&self) {
        // It fails only when the sender is gone, and that is `self`.
        let _ = self.on.subscribe().wait_for(|on| *on).await;
    }

    /// What `accept` brings while clients are accepted; whoever comes meanwhile stays with the kernel.
    ///
    /// # Cancel safety
    /// That of what `accept` begins; it is dropped when accepting stops.
    pub(super) async fn while_on<T, F: Future<Output = T>>(&self, accept: impl Fn() -> F) -> T {
        let mut on = self.on.subscribe();
        loop {
            // It fails only when the sender is gone, and that is `self`.
            let _ = on.wait_for(|on| *on).await;
            tokio::select! {
                biased;
                _ = on.wait_for(|on| !*on) => {}
                accepted = accept() => return accepted,
            }
        }
    }
}
