//! The last values of something that happens seldom: its quantiles as they are lately,
//! exact and in little memory.

/// Values that are remembered: enough for a 99th part of them.
const REMEMBERED: usize = 128;

/// The last `REMEMBERED` values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recent {
    values: Vec<u64>,
    /// Which one the next value takes the place of, once all places are taken.
    oldest: usize,
}

impl Recent {
    /// Remembers a value, and forgets the oldest one where there are too many.
    pub(crate) fn record(&mut self, value: u64) {
        if self.values.len() < REMEMBERED {
            self.values.push(value);
        } else {
            self.values[self.oldest] = value;
            self.oldest = (self.oldest + 1) % REMEMBERED;
        }
    }

    /// The least value that `percent` of the remembered ones do not exceed; `None` before the first.
    pub(crate) fn percentile(&self, percent: usize) -> Option<u64> {
        let mut sorted = self.values.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(rank).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_is_remembered() {
        let mut recent = Recent::default();
        assert_eq!(recent.percentile(50), None);
        recent.record(7);
        assert_eq!([1, 50, 99, 100].map(|percent| recent.percentile(percent)), [Some(7); 4]);
        recent = Recent::default();
        (1..=100).rev().for_each(|value| recent.record(value));
        assert_eq!([1, 50, 99, 100].map(|percent| recent.percentile(percent)), [1, 50, 99, 100].map(Some));
    }

    #[test]
    fn old_values_are_forgotten() {
        let mut recent = Recent::default();
        let most = REMEMBERED as u64;
        (0..3 * most).for_each(|value| recent.record(value));
        assert_eq!(recent.percentile(100), Some(3 * most - 1));
        assert_eq!(recent.percentile(0), Some(2 * most));
        assert_eq!(recent.values.len(), REMEMBERED);
    }
}
