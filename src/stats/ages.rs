//! A histogram of ages, in few slots whose edges people ask for: `iam_max_age`'s default, a minute, a day.
//!
//! One `record` is a search among some twenty edges and two additions; no allocation, no float.

/// Upper edges of the slots, in milliseconds; an age that is just an edge lies below it.
const EDGES_MS: [u64; 19] = [
    10, 100, 1_000, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000, 1_800_000,
    3_600_000, 7_200_000, 14_400_000, 28_800_000, 43_200_000, 86_400_000,
];

/// Counts of ages by slot, and their exact sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ages {
    slots: [u64; EDGES_MS.len()],
    beyond: u64,
    sum_us: u64,
}

impl Ages {
    /// Counts an age of so many microseconds.
    pub fn record(&mut self, us: u64) {
        let slot = EDGES_MS.partition_point(|edge_ms| *edge_ms * 1_000 < us);
        *self.slots.get_mut(slot).unwrap_or(&mut self.beyond) += 1;
        self.sum_us = self.sum_us.saturating_add(us);
    }

    /// All that were counted.
    pub fn count(&self) -> u64 {
        self.slots.iter().sum::<u64>() + self.beyond
    }

    /// The sum of all, in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// For each edge, in microseconds and ascending: how many lie below it.
    pub fn below(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut below = 0;
        EDGES_MS.iter().zip(self.slots).map(move |(edge_ms, count)| {
            below += count;
            (edge_ms * 1_000, below)
        })
    }

    /// Adds `other` to this.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.slots.iter_mut().zip(other.slots) {
            *mine += theirs;
        }
        self.beyond += other.beyond;
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_counted_below_their_edges() {
        let mut ages = Ages::default();
        let of_s = |seconds: u64| seconds * 1_000_000;
        for us in [0, of_s(60), of_s(60) + 1, of_s(900), of_s(900) + 1, of_s(100_000), u64::MAX] {
            ages.record(us);
        }
        let below =
            |seconds| ages.below().find(|(edge_us, _)| *edge_us == of_s(seconds)).map(|(_, count)| count);
        assert_eq!(
            [1, 60, 120, 600, 900, 1800, 86_400].map(below),
            [1, 2, 3, 3, 4, 5, 5].map(Some),
            "an edge belongs to what lies below it"
        );
        assert_eq!((ages.count(), ages.sum_us()), (7, u64::MAX));
        let mut twice = ages.clone();
        twice.merge(&ages);
        assert_eq!((twice.count(), twice.below().last()), (14, Some((of_s(86_400), 10))));
    }

    #[test]
    fn edges_ascend() {
        assert!(EDGES_MS.is_sorted_by(|a, b| a < b));
    }
}
