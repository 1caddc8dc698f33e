//! What is kept of a token whose holder is logged in: its payload, to judge the session again when rules are
//! others than those that have let it in. Of callers of AWS, what STS has said, in the same form.
//!
//! Never holds the signature or the header, so that nobody could log in by it. Invariants: the signature was
//! good, or AWS has said so; no more bytes than a token may have ([`KeptClaims::BYTES_MAX`]).

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
    /// `None`: they are of no token, somebody else vouches for them.
    algorithm: Option<Algorithm>,
}

impl KeptClaims {
    /// Most bytes of a payload: three for four letters of base64.
    pub const BYTES_MAX: usize = limits::JWT_BYTES_MAX / 4 * 3;

    pub(super) fn new(payload: Box<[u8]>, algorithm: Algorithm) -> Self {
        Self(Arc::new(Kept { payload, algorithm: Some(algorithm) }))
    }

    /// Of no token: somebody else vouches for them.
    pub(super) fn vouched(payload: Box<[u8]>) -> Self {
        Self(Arc::new(Kept { payload, algorithm: None }))
    }

    /// Nothing is said of who has proven himself.
    pub fn none() -> Self {
        Self::vouched(Box::from(*b"{}"))
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

    /// By which algorithm they were signed; `None`: they are of no token.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        self.0.algorithm
    }
}

impl fmt::Debug for KeptClaims {
    /// Who a person is belongs into no line that nobody has asked for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeptClaims({} bytes)", self.0.payload.len())
    }
}
