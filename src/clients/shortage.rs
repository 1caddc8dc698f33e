//! What the log hears of a process that has no descriptor or memory for one more client: once a minute,
//! whichever worker finds it.

use crate::base::{Micros, limits};
use std::sync::{Mutex, PoisonError};

/// When the log was last told.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    told_at: Mutex<Option<Micros>>,
}

impl Shortage {
    /// Whether it is time to tell; then it counts as told.
    pub(super) fn is_to_be_told(&self, now: Micros) -> bool {
        let mut told_at = self.told_at.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = Micros::from_millis(limits::ACCEPT_COMPLAINT_MS);
        let is_due = told_at.is_none_or(|then| now.since(then) >= pause);
        if is_due {
            *told_at = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_hears_of_a_shortage_once_a_minute() {
        let shortage = Shortage::default();
        let tell = |at: u64| shortage.is_to_be_told(Micros::from_millis(at));
        let told: Vec<_> = (0..1_500).map(|tries| tries * limits::ACCEPT_BACKOFF_MS).map(tell).collect();
        assert_eq!(told.iter().filter(|told| **told).count(), 3, "in 150 seconds");
    }
}
