//! When a secret is fetched again. Pure: time and dice come in as arguments.

use std::time::Duration;

/// Between two fetches while all is well, more or less a fifth of it.
const REFRESH: Duration = Duration::from_secs(300);

/// The longest pause after a fetch that has failed.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// No two fetches begin closer together, whoever asks.
pub(super) const GAP: Duration = Duration::from_secs(1);

/// How often a file is looked at.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// The longest that one fetch takes that waits for nothing but where the secret is kept.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// How long until the next fetch after one that went well; `dice` is drawn from `0.0..1.0`.
pub(super) fn refresh_in(dice: f64) -> Duration {
    REFRESH.mul_f64(0.8 + 0.4 * dice)
}

/// How much longer to wait where AWS asks for fewer calls.
const THROTTLED_FACTOR: u32 = 4;

/// How long until the next one after `failures` that failed in a row.
pub(super) fn retry_in(failures: u32, is_throttled: bool, dice: f64) -> Duration {
    let step = Duration::from_secs(1 << failures.saturating_sub(1).min(6)).min(RETRY_MAX);
    let step = if is_throttled { step * THROTTLED_FACTOR } else { step };
    step.mul_f64(0.8 + 0.2 * dice).max(GAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_who_share_a_secret_s_place_are_spread_over_two_minutes() {
        assert_eq!([refresh_in(0.0), refresh_in(0.5)], [240, 300].map(Duration::from_secs));
        assert!(refresh_in(0.999_999) < Duration::from_secs(360));
    }

    #[test]
    fn pauses_grow_to_a_minute() {
        let most: Vec<_> = (1..9).map(|failures| retry_in(failures, false, 1.0).as_secs()).collect();
        assert_eq!(most, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(retry_in(u32::MAX, false, 0.0), Duration::from_secs(48));
        assert_eq!(retry_in(1, false, 0.0), GAP);
        assert_eq!(retry_in(u32::MAX, true, 1.0), Duration::from_secs(240));
    }
}
