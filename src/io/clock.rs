//! The process's clock: the only place below `boot` where time is read.
//!
//! One value is made at start and copied to every worker and to the login plane, so that their times compare.
//! It is CLOCK_BOOTTIME, which goes on while the machine sleeps, as do the sessions at the servers:
//! authorizations, lifetimes and timeouts have aged by that when it wakes. Waiting is another matter: epoll
//! and tokio stop with the machine, so how long they have waited is read from this clock, never inferred from
//! that they are back. Cost: a call of the vDSO, as long as one of [`std::time::Instant`]
//! (`benches/clock.rs`). Source: clock_gettime(2).

use crate::base::Micros;
use rustix::time::{ClockId, clock_gettime};

/// Counts microseconds from the moment it was made.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    zero_ns: u64,
}

/// Nanoseconds since the machine was started, those included during which it slept.
fn since_boot_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

impl Clock {
    /// A clock whose zero is now.
    #[expect(clippy::new_without_default, reason = "a clock has no default zero: making one is an event")]
    pub fn new() -> Self {
        Self { zero_ns: since_boot_ns() }
    }

    /// Microseconds since the clock was made; never goes back.
    #[inline]
    pub fn now(&self) -> Micros {
        Micros(since_boot_ns().saturating_sub(self.zero_ns) / 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// CLOCK_BOOTTIME as the kernel tells it in another place, in hundredths of a second. On a machine
    /// that has never slept CLOCK_MONOTONIC is the same; `unshare --time --boottime 1000` runs this
    /// test as on one that has.
    fn uptime() -> Duration {
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        Duration::from_secs_f64(text.split(' ').next().unwrap().parse().unwrap())
    }

    #[test]
    fn it_counts_what_the_machine_counts_asleep_and_awake() {
        let tick = Duration::from_millis(10);
        let earliest = uptime();
        let clock = Clock::new();
        let latest = uptime() + tick;
        assert!((earliest..=latest).contains(&Duration::from_nanos(clock.zero_ns)), "{clock:?}");
        let (one, other) = (clock.now(), clock.now());
        assert!(one <= other, "{one:?} {other:?}");
        assert!(other <= Micros::from(uptime() + tick - earliest), "{other:?}");
    }
}
