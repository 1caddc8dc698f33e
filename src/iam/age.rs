//! How old a server's authorization may grow, and what an operator wants done about it.
//!
//! RDS looks at IAM when a session begins and never again, so a changed permission bites only when servers
//! are replaced. What their ages mean for servers is decided by `core::pool`, when the soft age comes is
//! planned by `core::Ledger`; here is what the settings say. Pure.

use super::denial::Patience;
use crate::base::{Micros, limits};
use crate::config::AllDenied;
use std::str::FromStr;

/// `iam_max_age`'s default.
pub const MAX_AGE: Micros = Micros::from_secs(limits::IAM_MAX_AGE_S);

/// `iam_on_denied`: what becomes of servers whose user is denied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDenied {
    /// They serve until their hard age.
    #[default]
    Drain,
    /// They serve on.
    Keep,
    /// They are closed as soon as they are between transactions, once the denial is proven.
    DropNow,
}

impl OnDenied {
    /// The value of `iam_on_denied`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Keep => "keep",
            Self::DropNow => "drop_now",
        }
    }
}

impl FromStr for OnDenied {
    type Err = super::BadName;

    fn from_str(text: &str) -> Result<Self, super::BadName> {
        let found = [Self::Drain, Self::Keep, Self::DropNow].into_iter().find(|value| value.name() == text);
        found.ok_or(super::BadName("drain, keep, drop_now"))
    }
}

/// `iam_strict_lifetime`: whether the hard age holds when AWS or the way to it is down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lifetime {
    /// Servers that work are kept, and reported as extended.
    #[default]
    Lenient,
    /// They are closed at the hard age whatever the reason.
    Strict,
}

/// The rules of one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgeRules {
    /// `iam_max_age`: the hard age.
    pub max_age: Micros,
    /// `iam_on_denied`.
    pub on_denied: OnDenied,
    /// `iam_all_denied`.
    pub all_denied: AllDenied,
    /// `iam_strict_lifetime`.
    pub lifetime: Lifetime,
}

impl AgeRules {
    /// How long refusals may count as something that passes.
    pub fn patience(&self) -> Patience {
        Patience { all_denied: self.all_denied, max_age: self.max_age }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_denied_is_read_by_its_names() {
        for value in [OnDenied::Drain, OnDenied::Keep, OnDenied::DropNow] {
            assert_eq!(value.name().parse(), Ok(value));
        }
        assert!("DRAIN".parse::<OnDenied>().is_err() && "".parse::<OnDenied>().is_err());
    }
}
