//! Points in time as plain numbers, handed in by whoever owns a clock.

use std::ops::{Add, Sub};
use std::time::Duration;

/// Microseconds on the process's clock, which never goes back, counted from its start; also used
/// for spans of that clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub u64);

impl Micros {
    /// The end of time: a deadline that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// `seconds` as microseconds; saturates.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// `milliseconds` as microseconds; saturates.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds.saturating_mul(1_000))
    }

    /// The span since `earlier`, zero where `earlier` lies ahead.
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    /// The span as the standard library has it.
    pub const fn to_duration(self) -> Duration {
        Duration::from_micros(self.0)
    }

    /// A setting's span as a timeout: zero = without end.
    pub const fn to_timeout(self) -> Duration {
        if self.0 == 0 { Duration::MAX } else { self.to_duration() }
    }

    /// Whole seconds.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }
}

impl Add for Micros {
    type Output = Self;
    fn add(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub for Micros {
    type Output = Self;
    fn sub(self, earlier: Self) -> Self {
        self.since(earlier)
    }
}

impl From<Duration> for Micros {
    fn from(span: Duration) -> Self {
        Self(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
    }
}
