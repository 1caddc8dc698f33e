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
        /// Its transaction has ended amid what the server has not told the end of yet: what follows there is
        /// another one.
        has_ended_amid: bool,
    },
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
    /// The longest time that anybody waits for [`Tenure::denied_for`] to tell: its clock begins anew after
    /// twice that.
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

    /// By how much one look at a worker's clock may be behind another.
    const AHEAD_MAX: Micros = Micros(60_000_000);

    /// From `now` on it is to end. A denial that comes again does not give it time anew.
    pub(in crate::core) fn end_for(&mut self, cause: EndCause, now: Micros) {
        match self {
            Self::Ending { cause: known @ EndCause::Denied(_), .. } => *known = cause,
            Self::Ending { cause: known, since_ms, .. } => (*known, *since_ms) = (cause, clock_ms(now)),
            Self::Unlimited | Self::UntilExpiry | Self::Told => {
                *self = Self::Ending { cause, since_ms: clock_ms(now), has_ended_amid: false };
            }
        }
    }

    /// Whether its transaction has ended amid a message or a batch.
    pub(in crate::core) fn has_ended_amid(self) -> bool {
        matches!(self, Self::Ending { has_ended_amid: true, .. })
    }

    /// A command with this tag is complete; `is_implicit`: it is one of a batch that is in no block, as far
    /// as was told. There a command may have ended the transaction that the batch is, and be none of those
    /// that say so: whatever is not known to stay within it has. Of ROLLBACK in a block the tag does not tell
    /// whether it went to a savepoint. Sources: PostgreSQL documentation, "Message Formats": CommandComplete,
    /// and "Message Flow": "Pipelining".
    pub(in crate::core) fn completed(&mut self, tag: &[u8], is_implicit: bool) {
        if let Self::Ending { has_ended_amid, .. } = self {
            let ends = matches!(tag, b"COMMIT\0" | b"PREPARE TRANSACTION\0");
            *has_ended_amid |= ends || is_implicit && !stays_within(tag);
        }
    }

    /// What was amid is at its end.
    pub(in crate::core) fn told_whole(&mut self) {
        if let Self::Ending { has_ended_amid, .. } = self {
            *has_ended_amid = false;
        }
    }

    /// For how long it has been denied.
    pub(in crate::core) fn denied_for(self, now: Micros) -> Option<Micros> {
        let Self::Ending { cause: EndCause::Denied(_), since_ms, .. } = self else { return None };
        let waited = Micros::from_millis(clock_ms(now).wrapping_sub(since_ms).into());
        // It may have been denied by a later look at the clock than this one.
        let is_ahead = waited > Micros(2 * Self::DENIED_MAX.0 - Self::AHEAD_MAX.0);
        Some(if is_ahead { Micros(0) } else { waited })
    }
}

/// What leaves the transaction open that a batch is, whatever it is given: data and cursors, settings, most
/// of what defines things. What is left out may commit: VACUUM, CREATE INDEX and ALTER TABLE (CONCURRENTLY),
/// CALL, DO, and whatever comes with the next PostgreSQL.
const STAYS_WITHIN: [&str; 47] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "MERGE",
    "COPY",
    "FETCH",
    "MOVE",
    "DECLARE CURSOR",
    "CLOSE CURSOR",
    "CLOSE CURSOR ALL",
    "EXPLAIN",
    "SHOW",
    "SET",
    "RESET",
    "PREPARE",
    "DEALLOCATE",
    "DEALLOCATE ALL",
    "LISTEN",
    "UNLISTEN",
    "NOTIFY",
    "LOCK TABLE",
    "TRUNCATE TABLE",
    "SAVEPOINT",
    "RELEASE",
    "GRANT",
    "GRANT ROLE",
    "REVOKE",
    "REVOKE ROLE",
    "COMMENT",
    "REFRESH MATERIALIZED VIEW",
    "CREATE TABLE",
    "CREATE TABLE AS",
    "CREATE VIEW",
    "CREATE MATERIALIZED VIEW",
    "CREATE SEQUENCE",
    "CREATE SCHEMA",
    "CREATE FUNCTION",
    "CREATE TYPE",
    "ALTER SEQUENCE",
    "DROP TABLE",
    "DROP VIEW",
    "DROP MATERIALIZED VIEW",
    "DROP SEQUENCE",
    "DROP SCHEMA",
    "DROP FUNCTION",
    "DROP TYPE",
];

fn stays_within(tag: &[u8]) -> bool {
    // Rows are counted behind some: "INSERT 0 1".
    let is_counted = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b' ' | b'\0');
    let counted = tag.iter().rev().take_while(|byte| is_counted(byte)).count();
    STAYS_WITHIN.iter().any(|known| known.as_bytes() == &tag[..tag.len() - counted])
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
    fn a_pooler_that_runs_for_months_counts_on() {
        let months = Micros::from_millis(u32::MAX.into());
        let mut tenure = Tenure::Unlimited;
        tenure.end_for(EndCause::Denied(DenyReason::Denied), months);
        assert_eq!(tenure.denied_for(months + Micros::from_secs(3)), Some(Micros::from_secs(3)));
        assert_eq!(tenure.denied_for(Micros(months.0 - 5_000)), Some(Micros(0)), "an earlier look");
        let later = Micros(months.0 + Tenure::DENIED_MAX.0);
        for more in [0, 1_000_000, 86_400_000_000] {
            assert!(
                tenure.denied_for(Micros(later.0 + more)).is_some_and(|waited| waited >= Tenure::DENIED_MAX)
            );
        }
    }
}
