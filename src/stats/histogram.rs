//! A histogram of microseconds in fixed slots: four to each power of two, so a quantile is within 25 %.
//!
//! One `record` is a shift, a mask and an addition; no float, no allocation but at the first: a histogram of
//! a pool where nothing happens takes no memory.

/// Sub-slots of one power of two, as a power of two.
const SUB_BITS: u32 = 2;
/// Slots: values up to 2^40 us (12 days); all above fall into the last.
const SLOTS: usize = (40 << SUB_BITS) as usize;

/// What one that counted nothing shows.
const EMPTY: &[u64; SLOTS] = &[0; SLOTS];

/// Counts of microsecond values by slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    slots: Option<Box<[u64; SLOTS]>>,
}

impl Histogram {
    /// Counts one value.
    #[inline]
    pub fn record(&mut self, us: u64) {
        self.slots_mut()[Self::slot(us)] += 1;
    }

    #[inline]
    fn slots_mut(&mut self) -> &mut [u64; SLOTS] {
        self.slots.get_or_insert_with(|| Box::new(*EMPTY))
    }

    /// The slot that `us` falls into.
    #[inline]
    fn slot(us: u64) -> usize {
        let low = 1 << SUB_BITS;
        if us < low {
            return us as usize;
        }
        let power = 63 - us.leading_zeros();
        let sub = (us >> (power - SUB_BITS)) & (low - 1);
        ((((power - SUB_BITS + 1) << SUB_BITS) as usize) + sub as usize).min(SLOTS - 1)
    }

    /// The smallest value of a slot, in microseconds; the largest is one below the next slot's.
    pub fn floor_us(slot: usize) -> u64 {
        let low = 1usize << SUB_BITS;
        if slot < low {
            return slot as u64;
        }
        let power = (slot >> SUB_BITS) as u32 + SUB_BITS - 1;
        (1u64 << power) + ((slot & (low - 1)) as u64) * (1u64 << (power - SUB_BITS))
    }

    /// Counts by slot, in ascending order of value.
    pub fn slots(&self) -> &[u64] {
        self.slots.as_deref().unwrap_or(EMPTY)
    }

    /// All values counted.
    pub fn count(&self) -> u64 {
        self.slots().iter().sum()
    }

    /// Values below `us`, which should be a slot's floor (every power of two is): else those of the slot it
    /// falls into are left out.
    pub fn count_below(&self, us: u64) -> u64 {
        let floors = (1..=SLOTS).map(Self::floor_us);
        self.slots()
            .iter()
            .zip(floors)
            .take_while(|(_, next_floor)| *next_floor <= us)
            .map(|(count, _)| count)
            .sum()
    }

    /// Adds `other` to this.
    pub fn merge(&mut self, other: &Self) {
        let Some(theirs) = &other.slots else { return };
        for (mine, theirs) in self.slots_mut().iter_mut().zip(theirs.iter()) {
            *mine += theirs;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_between_its_slots_floor_and_the_next() {
        let mut us = 0u64;
        while us < 1 << 39 {
            let slot = Histogram::slot(us);
            assert!(Histogram::floor_us(slot) <= us, "{us} in slot {slot}");
            assert!(us < Histogram::floor_us(slot + 1), "{us} in slot {slot}");
            us = us * 9 / 8 + 1;
        }
        assert_eq!(Histogram::slot(u64::MAX), SLOTS - 1);
    }

    #[test]
    fn counts_below_a_power_of_two_exactly() {
        let mut histogram = Histogram::default();
        for us in 0..5000 {
            histogram.record(us);
        }
        for power in 2..13 {
            assert_eq!(histogram.count_below(1 << power), (1 << power).min(5000), "2^{power}");
        }
        assert_eq!(histogram.count_below(0), 0);
        assert_eq!(histogram.count_below(u64::MAX), 5000);
    }
}
