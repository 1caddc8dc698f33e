//! A connection's name within one worker's driver.

/// A connection's place in the table; the generation tells it from the next one in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Index in the slab.
    pub index: u32,
    /// Counted over all connections of this worker; wraps after four thousand million of them.
    pub generation: u32,
}

impl Key {
    /// What a free slot of the id maps holds.
    pub const NONE: Self = Self { index: u32::MAX, generation: 0 };

    /// As epoll carries it.
    pub const fn to_u64(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// Back from epoll.
    pub const fn from_u64(data: u64) -> Self {
        Self { index: data as u32, generation: (data >> 32) as u32 }
    }
}
