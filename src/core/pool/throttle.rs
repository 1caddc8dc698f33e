//! Throttles: what all workers together may do only so often. Never waits, never reads a clock.

use crate::base::Micros;
use crate::base::sync::{AtomicU64, Ordering};

/// What may be done at most once per span, over all workers.
#[derive(Debug)]
pub(in crate::core) struct Throttle {
    /// When it was done last; [`Micros::NEVER`] = not yet.
    taken_at: AtomicU64,
}

impl Throttle {
    /// Whether it may be done now: not within `span` of the last time. It counts as done then.
    pub(super) fn take(&self, now: Micros, span: Micros) -> bool {
        let taken_at = self.taken_at.load(Ordering::Acquire);
        let is_time = taken_at == Micros::NEVER.0 || now >= Micros(taken_at) + span;
        let swap = || self.taken_at.compare_exchange(taken_at, now.0, Ordering::AcqRel, Ordering::Acquire);
        is_time && swap().is_ok()
    }

    /// The next one may do it at once.
    pub(super) fn forget(&self) {
        self.taken_at.store(Micros::NEVER.0, Ordering::Release);
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self { taken_at: AtomicU64::new(Micros::NEVER.0) }
    }
}
