//! How often a secret is fetched out of turn, because a server has refused what it said.
//!
//! Pure. A login that is refused without end must not ask without end: what costs money and has a limit at
//! AWS, too.

use std::time::Duration;
use tokio::time::Instant;

/// Fetches out of turn that are granted one after the other.
const BURST: u32 = 10;

/// After so long one more is granted.
const REFILL: Duration = Duration::from_secs(10);

/// Fetches that may be asked for.
#[derive(Debug)]
pub(super) struct Budget {
    left: u32,
    since: Instant,
}

impl Budget {
    /// A whole one.
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BURST, since: now }
    }

    /// Whether one more is granted now.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let grown = now.duration_since(self.since).as_secs() / REFILL.as_secs();
        let grown = u32::try_from(grown).unwrap_or(u32::MAX);
        self.since = if self.left.saturating_add(grown) >= BURST { now } else { self.since + REFILL * grown };
        self.left = self.left.saturating_add(grown).min(BURST);
        let is_granted = self.left > 0;
        self.left -= u32::from(is_granted);
        is_granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_granted_then_one_each_ten_seconds() {
        let begin = Instant::now();
        let mut budget = Budget::new(begin);
        let granted = (0..100).filter(|_| budget.take(begin)).count();
        assert_eq!(granted, 10);
        assert!(!budget.take(begin + Duration::from_secs(9)));
        assert!(
            budget.take(begin + Duration::from_secs(10)) && !budget.take(begin + Duration::from_secs(19))
        );
        assert!(budget.take(begin + Duration::from_secs(20)), "parts of a span are not lost");
        let later = begin + Duration::from_secs(10_000);
        assert_eq!((0..100).filter(|_| budget.take(later)).count(), 10, "no more than a burst is saved");
    }
}
