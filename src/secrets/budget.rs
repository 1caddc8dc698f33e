//! How often a secret is fetched out of turn: because a server has refused what it said, or because a client
//! has proven something else.
//!
//! Pure. A login that is refused without end must not ask without end: what costs money and has a limit at
//! AWS, too. Clients may be anybody.

use std::time::Duration;
use tokio::time::Instant;

/// So many fetches out of turn are granted one after the other, then one after each span.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// Granted one after the other.
    pub burst: u32,
    /// After so long one more is granted.
    pub refill: Duration,
}

impl Allowance {
    /// Because servers have refused what one secret says.
    pub(super) const OF_SERVERS: Self = Self { burst: 10, refill: Duration::from_secs(10) };

    /// Because clients have proven something else than one secret says. A client waits for the next one: the
    /// span is shorter than its patience, so that nobody who is right is refused for those who are not.
    pub(super) const OF_CLIENTS: Self = Self { burst: 10, refill: Duration::from_secs(3) };

    /// The same of all secrets together: whoever names many users asks for many secrets.
    pub const OF_ALL_CLIENTS: Self = Self { burst: 100, refill: Duration::from_millis(500) };
}

/// Fetches that may be asked for.
#[derive(Debug)]
pub struct Budget {
    allowance: Allowance,
    left: u32,
    since: Instant,
}

impl Budget {
    /// A whole one.
    pub fn new(allowance: Allowance, now: Instant) -> Self {
        Self { allowance, left: allowance.burst, since: now }
    }

    /// Takes one, if one is granted now.
    ///
    /// # Errors
    /// How long until one is.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let Allowance { burst, refill } = self.allowance;
        let grown = now.duration_since(self.since).as_nanos() / refill.as_nanos();
        let grown = u32::try_from(grown).unwrap_or(u32::MAX);
        self.since = if self.left.saturating_add(grown) >= burst { now } else { self.since + refill * grown };
        self.left = self.left.saturating_add(grown).min(burst);
        if self.left == 0 {
            return Err((self.since + refill).duration_since(now));
        }
        self.left -= 1;
        Ok(())
    }

    /// The one that was taken last is not needed.
    pub(super) fn give_back(&mut self) {
        self.left = self.left.saturating_add(1).min(self.allowance.burst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_granted_then_one_each_ten_seconds() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut budget = Budget::new(Allowance::OF_SERVERS, begin);
        let granted = (0..100).filter(|_| budget.take(begin).is_ok()).count();
        assert_eq!(granted, 10);
        assert_eq!(budget.take(at(9)), Err(Duration::from_secs(1)));
        assert!(budget.take(at(10)).is_ok());
        assert_eq!(budget.take(at(19)), Err(Duration::from_secs(1)));
        assert!(budget.take(at(20)).is_ok(), "parts of a span are not lost");
        let granted = (0..100).filter(|_| budget.take(at(10_000)).is_ok()).count();
        assert_eq!(granted, 10, "no more than a burst is saved");
    }

    #[test]
    fn who_waits_as_long_as_it_is_told_is_granted_one() {
        let begin = Instant::now();
        let mut budget = Budget::new(Allowance::OF_CLIENTS, begin);
        while budget.take(begin).is_ok() {}
        let mut now = begin;
        for _ in 0..20 {
            let wait = budget.take(now).unwrap_err();
            assert!(wait <= Allowance::OF_CLIENTS.refill);
            now += wait;
            assert_eq!(budget.take(now), Ok(()));
        }
    }
}
