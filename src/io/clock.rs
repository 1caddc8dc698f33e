//! The process's monotonic clock: the only place below `boot` where time is read.
//!
//! One value is made at start and copied to every worker and to the login plane, so that their times compare.

use crate::base::Micros;
use std::time::Instant;

/// Counts microseconds from the moment it was made.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose zero is now.
    #[expect(clippy::new_without_default, reason = "a clock has no default zero: making one is an event")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// Microseconds since the clock was made; never goes back.
    #[inline]
    pub fn now(&self) -> Micros {
        self.start.elapsed().into()
    }
}
