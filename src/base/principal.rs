//! Who a client has been proven to be, beside the role that it works as.
//!
//! A value made once, when a login's proof succeeds. Never holds a secret: no token, no part of its
//! signature.

use super::{Micros, Standing};
use std::fmt;
use std::sync::Arc;

/// How a client has proven who it is, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The way, by its word of `auth_type` and of rules of hba files.
    pub method: &'static str,
    /// Whom it has named, where that is more than its user; shared with whoever shows or judges it.
    pub principal: Option<Arc<Principal>>,
}

/// Somebody whom a token or a certificate names.
#[derive(Debug, PartialEq, Eq)]
pub struct Principal {
    /// Its name: a subject, an ARN, a common name. One line of printable text.
    pub name: Box<str>,
    /// Who vouches for it: the name of an entry of `[issuers]`; empty where there is none.
    pub issuer: Box<str>,
    /// Claims that a setting has chosen for the audit log, as (name, text).
    pub claims: Box<[(Box<str>, Box<str>)]>,
    /// Until when the proof holds; `None`: for as long as the session.
    pub expiry: Option<Expiry>,
    /// Timeouts that the rule which let it in has set.
    pub timeouts: MappedTimeouts,
    /// What later reloads have found about the token's session.
    pub standing: Standing,
}

/// Timeouts of a rule that maps claims to roles; `None`: what holds for the role. The pool's own hold beside
/// them: the shorter counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MappedTimeouts {
    /// In place of `client_query_timeout`; zero: none.
    pub query: Option<Micros>,
    /// In place of `client_transaction_timeout`; zero: none.
    pub transaction: Option<Micros>,
}

/// The end of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// On the process's monotonic clock.
    pub at: Micros,
    /// Seconds since the epoch, for whoever reads it.
    pub at_epoch_s: u64,
}

impl Principal {
    /// One that no token speaks of.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            issuer: Box::default(),
            claims: Box::default(),
            expiry: None,
            timeouts: MappedTimeouts::default(),
            standing: Standing::default(),
        }
    }
}

impl fmt::Display for Principal {
    /// As lines of the log name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "principal={}", self.name)?;
        if self.issuer.is_empty() { Ok(()) } else { write!(f, " issuer={}", self.issuer) }
    }
}

impl Proof {
    /// By this method, under a name that is good for `user`.
    pub fn under_name(method: &'static str, name: &str, user: &str) -> Self {
        Self { method, principal: (name != user).then(|| Arc::new(Principal::named(name))) }
    }

    /// By this method, as the user alone.
    pub fn by(method: &'static str) -> Self {
        Self { method, principal: None }
    }

    /// Timeouts of the rule that has let its principal in.
    pub fn timeouts(&self) -> MappedTimeouts {
        self.principal.as_ref().map_or_else(MappedTimeouts::default, |principal| principal.timeouts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_principal_pays_for_no_more_than_a_pointer() {
        assert_eq!(size_of::<Proof>(), size_of::<&str>() + size_of::<usize>());
    }
}
