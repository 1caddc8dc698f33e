//! What one call may do for one client, and what may be owed to it: `base::limits`, or less where a test wants to meet them.

use crate::base::limits;

/// See the constants that it is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// `limits::FRAMES_PER_CALL`.
    pub frames_per_call: u32,
    /// `limits::MADE_BYTES_PER_CALL`.
    pub made_bytes_per_call: usize,
    /// `limits::EXPECTED_MAX`; 2 at least, since a COPY whose data are awaited is owed an answer.
    pub expected_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            frames_per_call: limits::FRAMES_PER_CALL,
            made_bytes_per_call: limits::MADE_BYTES_PER_CALL,
            expected_max: limits::EXPECTED_MAX,
        }
    }
}
