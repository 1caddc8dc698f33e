//! For how long a session may go on, where that hangs on who its client is: a token that expires, a
//! principal that is denied. One byte of a client.
//!
//! Says why, never when: `core/tenure.rs` acts on it.

use crate::base::{DenyReason, Proof};
use crate::wire::Fault;

/// Why a session ends though its client has done nothing that it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum EndCause {
    /// The proof of who it is has come to its end.
    Expired,
    /// It would not be let in any more.
    Denied(DenyReason),
}

/// How a session stands towards its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Tenure {
    /// Nothing ends it by itself.
    Unlimited,
    /// The client's proof has an end.
    UntilExpiry,
    /// The same; the end has come, and the client was told of it.
    Told,
    /// It ends as soon as it is in no transaction.
    Ending(EndCause),
}

impl EndCause {
    /// What the client is told.
    pub(in crate::core) fn fault(self) -> Fault {
        match self {
            Self::Expired => Fault::TokenExpired,
            Self::Denied(reason) => reason.into(),
        }
    }

    /// One word, as SHOW SESSIONS has it.
    pub(in crate::core) fn word(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Denied(DenyReason::Denied) => "denied",
            Self::Denied(DenyReason::RoleNotGiven) => "role",
            Self::Denied(DenyReason::NoRule) => "rule",
            Self::Denied(DenyReason::OtherMethod) => "method",
            Self::Denied(DenyReason::IssuerGone) => "issuer",
            Self::Denied(DenyReason::TokenNotAccepted) => "token",
            Self::Denied(DenyReason::UserGone) => "user",
        }
    }
}

impl Tenure {
    /// Of a client that has just come.
    pub(in crate::core) fn of(proof: &Proof) -> Self {
        let expires = proof.principal.as_ref().is_some_and(|principal| principal.expiry.is_some());
        if expires { Self::UntilExpiry } else { Self::Unlimited }
    }

    /// Why it ends, where it is to end.
    #[inline]
    pub(in crate::core) fn end(self) -> Option<EndCause> {
        match self {
            Self::Ending(cause) => Some(cause),
            Self::Unlimited | Self::UntilExpiry | Self::Told => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_byte_of_a_client() {
        assert_eq!(size_of::<Tenure>(), 1);
    }
}
