//! What is kept of a token whose holder is logged in: its payload, to judge the session again when rules are
//! others than those that have let it in.
//!
//! Never holds the signature or the header, so that nobody could log in by it. Invariants: the signature was
//! good; no more bytes than a token may have ([`KeptClaims::BYTES_MAX`]).

use super::algorithm::Algorithm;
use crate::base::limits;
use std::fmt;
use std::sync::Arc;

/// The claims of a token that was verified, as they came. Copies share them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptClaims(Arc<Kept>);

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    payload: Box<[u8]>,
    algorithm: Algorithm,
}

impl KeptClaims {
    /// Most bytes of a payload: three for four letters of base64.
    pub const BYTES_MAX: usize = limits::JWT_BYTES_MAX / 4 * 3;

    pub(super) fn new(payload: Box<[u8]>, algorithm: Algorithm) -> Self {
        Self(Arc::new(Kept { payload, algorithm }))
    }

    /// As if a token with this payload had been verified.
    #[cfg(test)]
    pub(crate) fn of_text(payload: &str, algorithm: Algorithm) -> Self {
        Self::new(payload.as_bytes().into(), algorithm)
    }

    /// The JSON object that they are.
    pub(super) fn payload(&self) -> &[u8] {
        &self.0.payload
    }

    /// By which algorithm they were signed.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }
}

impl fmt::Debug for KeptClaims {
    /// Who a person is belongs into no line that nobody has asked for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeptClaims({} bytes)", self.0.payload.len())
    }
}
