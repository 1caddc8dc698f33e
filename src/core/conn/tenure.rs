//! For how long a session may go on, where that hangs on who its client is: a token that expires, a
//! principal that is denied. Eight bytes of a client.
//!
//! Says why, never when: `core/tenure.rs` acts on it.

use crate::base::{DenyReason, Micros, Proof};
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
    Ending {
        /// Why.
        cause: EndCause,
        /// Since when it is denied, in milliseconds that begin anew after 2^32 of them.
        since_ms: u32,
        /// What has become of its transaction amid what the server has not told the end of yet.
        amid: Amid,
    },
}

/// How far a transaction has come within one message or batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Amid {
    /// It goes on.
    Going,
    /// It was rolled back, if not to a savepoint: the tag does not tell.
    RolledBack,
    /// It has ended: what follows is another one.
    Ended,
}

impl Amid {
    /// The same behind a command that is complete, by its tag. Source: PostgreSQL documentation, "Message
    /// Formats": CommandComplete.
    fn behind(self, tag: &[u8]) -> Self {
        match tag {
            b"COMMIT\0" | b"PREPARE TRANSACTION\0" => Self::Ended,
            b"BEGIN\0" | b"START TRANSACTION\0" if self == Self::RolledBack => Self::Ended,
            b"ROLLBACK\0" if self == Self::Going => Self::RolledBack,
            _ => self,
        }
    }
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
            Self::Denied(reason) => reason.word(),
        }
    }
}

impl Tenure {
    /// The longest that can be told from less.
    pub(in crate::core) const DENIED_MAX: Micros = Micros(u32::MAX as u64 / 2 * 1_000);

    /// Of a client that has just come.
    pub(in crate::core) fn of(proof: &Proof) -> Self {
        let expires = proof.principal.as_ref().is_some_and(|principal| principal.expiry.is_some());
        if expires { Self::UntilExpiry } else { Self::Unlimited }
    }

    /// Why it ends, where it is to end.
    #[inline]
    pub(in crate::core) fn end(self) -> Option<EndCause> {
        match self {
            Self::Ending { cause, .. } => Some(cause),
            Self::Unlimited | Self::UntilExpiry | Self::Told => None,
        }
    }

    /// From `now` on it is to end. A denial that comes again does not give it time anew.
    pub(in crate::core) fn end_for(&mut self, cause: EndCause, now: Micros) {
        let (since_ms, amid) = match *self {
            Self::Ending { cause: EndCause::Denied(_), since_ms, amid } => (since_ms, amid),
            Self::Ending { amid, .. } => (clock_ms(now), amid),
            _ => (clock_ms(now), Amid::Going),
        };
        *self = Self::Ending { cause, since_ms, amid };
    }

    /// Whether its transaction has ended amid a message or a batch.
    pub(in crate::core) fn has_ended_amid(self) -> bool {
        matches!(self, Self::Ending { amid: Amid::Ended, .. })
    }

    /// A command with this tag is complete.
    pub(in crate::core) fn completed(&mut self, tag: &[u8]) {
        if let Self::Ending { amid, .. } = self {
            *amid = amid.behind(tag);
        }
    }

    /// What was amid is at its end.
    pub(in crate::core) fn told_whole(&mut self) {
        if let Self::Ending { amid, .. } = self {
            *amid = Amid::Going;
        }
    }

    /// For how long it has been denied, of [`Self::DENIED_MAX`].
    pub(in crate::core) fn denied_for(self, now: Micros) -> Option<Micros> {
        let Self::Ending { cause: EndCause::Denied(_), since_ms, .. } = self else { return None };
        Some(Micros::from_millis(clock_ms(now).wrapping_sub(since_ms).into()))
    }
}

/// The low bits of a time.
fn clock_ms(now: Micros) -> u32 {
    u32::try_from((now.0 / 1_000) & u64::from(u32::MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_eight_bytes_of_a_client() {
        assert_eq!(size_of::<Tenure>(), 8);
    }

    #[test]
    fn a_denial_counts_from_its_first_word() {
        let at = |seconds| Micros::from_secs(seconds);
        let mut tenure = Tenure::UntilExpiry;
        assert_eq!(tenure.denied_for(at(1)), None);
        tenure.end_for(EndCause::Expired, at(1));
        assert_eq!(tenure.denied_for(at(2)), None);
        tenure.end_for(EndCause::Denied(DenyReason::Denied), at(5));
        assert_eq!(tenure.denied_for(at(6)), Some(at(1)));
        tenure.end_for(EndCause::Denied(DenyReason::NoRule), at(7));
        assert_eq!(
            (tenure.denied_for(at(9)), tenure.end()),
            (Some(at(4)), Some(EndCause::Denied(DenyReason::NoRule)))
        );
    }

    #[test]
    fn a_rollback_ends_a_transaction_where_another_begins_behind_it() {
        let behind = |tags: &[&str]| tags.iter().fold(Amid::Going, |amid, tag| amid.behind(tag.as_bytes()));
        for (tags, amid) in [
            (&["INSERT 0 1\0"][..], Amid::Going),
            (&["BEGIN\0"], Amid::Going),
            (&["ROLLBACK\0"], Amid::RolledBack),
            (&["ROLLBACK\0", "INSERT 0 1\0", "START TRANSACTION\0"], Amid::Ended),
            (&["ROLLBACK\0", "BEGIN\0", "ROLLBACK\0"], Amid::Ended),
            (&["COMMIT\0", "ROLLBACK\0"], Amid::Ended),
            (&["COMMIT PREPARED\0"], Amid::Going),
        ] {
            assert_eq!(behind(tags), amid, "{tags:?}");
        }
    }

    #[test]
    fn a_pooler_that_runs_for_months_counts_on() {
        let months = Micros::from_millis(u32::MAX.into());
        let mut tenure = Tenure::Unlimited;
        tenure.end_for(EndCause::Denied(DenyReason::Denied), months);
        assert_eq!(tenure.denied_for(months + Micros::from_secs(3)), Some(Micros::from_secs(3)));
    }
}
