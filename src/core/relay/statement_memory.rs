//! A count of bytes with a limit, shared by all workers. Knows nothing of what is counted.

use crate::base::sync::{AtomicUsize, Ordering};

/// What prepared statements take, and may take: in all, or in one database.
#[derive(Debug)]
pub struct Meter {
    bytes: AtomicUsize,
    bytes_max: AtomicUsize,
}

impl Default for Meter {
    fn default() -> Self {
        Self { bytes: AtomicUsize::new(0), bytes_max: AtomicUsize::new(usize::MAX) }
    }
}

impl Meter {
    /// What is counted now.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The limit.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max.load(Ordering::Relaxed)
    }

    /// Sets the limit; what is counted already stays.
    pub fn set_bytes_max(&self, bytes: usize) {
        self.bytes_max.store(bytes, Ordering::Relaxed);
    }

    /// Counts `bytes` unless there were more than `most` then.
    pub(in crate::core) fn charge(&self, bytes: usize, most: usize) -> bool {
        let sum = |now: usize| now.checked_add(bytes).filter(|sum| *sum <= most);
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).is_ok()
    }

    /// Counts `bytes` that are there whatever the limit says; returns what was counted before.
    pub(in crate::core) fn charge_anyway(&self, bytes: usize) -> usize {
        self.bytes.fetch_add(bytes, Ordering::Relaxed)
    }

    /// They are gone; returns what was counted before.
    pub(in crate::core) fn discharge(&self, bytes: usize) -> usize {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed)
    }
}
