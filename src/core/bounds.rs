//! What one call may do for one client, what may be owed to it and kept for it: `base::limits`, or less
//! where a test wants to meet them.

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
    /// `limits::CLIENT_STATEMENT_BYTES_MAX`.
    pub client_statement_bytes: usize,
    /// `limits::PARAMETERS_BYTES_MAX`, of a server that a worker has.
    pub parameter_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            frames_per_call: limits::FRAMES_PER_CALL,
            made_bytes_per_call: limits::MADE_BYTES_PER_CALL,
            expected_max: limits::EXPECTED_MAX,
            client_statement_bytes: limits::CLIENT_STATEMENT_BYTES_MAX,
            parameter_bytes: limits::PARAMETERS_BYTES_MAX,
        }
    }
}
