//! Whether what has let a session in still does.
//!
//! Found where there is time for it, read by workers at the price of one byte. Invariant: what has lapsed
//! stays so, since its session is about to end.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

/// Why a session that was let in is not to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenyReason {
    /// Its principal is on the list of those that are denied.
    Denied,
    /// Its principal has not the role any more that it works as.
    RoleNotGiven,
    /// No rule lets it in any more.
    NoRule,
    /// The rule, or the setting, asks for a proof of another kind.
    OtherMethod,
    /// The issuer of its token is gone, or does not count any more where the session came in.
    IssuerGone,
    /// Its issuer's entry does not accept such tokens any more.
    TokenNotAccepted,
    /// Its user is gone from `auth_file`, or from secrets that clients prove themselves by.
    UserGone,
}

impl DenyReason {
    /// All of them; a [`Standing`] has the numbers of their places, from 1.
    pub const ALL: [Self; 7] = [
        Self::Denied,
        Self::RoleNotGiven,
        Self::NoRule,
        Self::OtherMethod,
        Self::IssuerGone,
        Self::TokenNotAccepted,
        Self::UserGone,
    ];

    /// One word, as SHOW SESSIONS has it in `ending`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::RoleNotGiven => "role",
            Self::NoRule => "rule",
            Self::OtherMethod => "method",
            Self::IssuerGone => "issuer",
            Self::TokenNotAccepted => "token",
            Self::UserGone => "user",
        }
    }
}

/// What has been found about a session that goes on.
#[derive(Default)]
pub struct Standing(AtomicU8);

impl Standing {
    /// From now on it is not to go on, for this reason; the first one counts. Returns whether it was to.
    pub fn lapse(&self, reason: DenyReason) -> bool {
        let number = DenyReason::ALL.iter().zip(1..).find(|(each, _)| **each == reason);
        let number = number.map_or(0, |(_, number)| number);
        self.0.compare_exchange(0, number, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Why it is not to go on.
    pub fn lapsed(&self) -> Option<DenyReason> {
        let number = usize::from(self.0.load(Ordering::Acquire));
        DenyReason::ALL.get(number.checked_sub(1)?).copied()
    }
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Standing({:?})", self.lapsed())
    }
}

impl PartialEq for Standing {
    fn eq(&self, other: &Self) -> bool {
        self.lapsed() == other.lapsed()
    }
}

impl Eq for Standing {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_counts_and_stays() {
        for reason in DenyReason::ALL {
            let standing = Standing::default();
            assert_eq!(standing.lapsed(), None);
            assert!(standing.lapse(reason));
            for other in DenyReason::ALL {
                assert!(!standing.lapse(other));
                assert_eq!(standing.lapsed(), Some(reason));
            }
        }
    }
}
