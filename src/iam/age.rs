//! How old a server's authorization may grow, and what is done about it.
//!
//! RDS looks at IAM when a session begins and never again, so a changed permission bites only when servers are
//! replaced. From its login on a server is young, then its replacement is wanted (soft age), then it serves no
//! new transaction (hard age). A transaction is never cut here: every [`Verdict`] is about a server between
//! transactions.
//! If no replacement can be had, the reason decides: what may be a denial ends at the hard age, a failure of
//! AWS or of the way to it keeps what works. When the soft age comes is planned by `core::Ledger`. Pure: monotonic
//! time comes in as an argument.

use super::denial::{Patience, Suspicion};
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

/// The ages of one server's authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// When the login was accepted.
    pub since: Micros,
    /// From when on a replacement is wanted.
    pub soft_at: Micros,
    /// From when on it serves no new transaction.
    pub hard_at: Micros,
}

/// How far an authorization has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// All is well.
    Young,
    /// A replacement is wanted.
    Soft,
    /// Its time is over.
    Hard,
}

/// What to do with a server that is between transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Lend it.
    Serve,
    /// Lend it, and have another one opened that takes its place.
    Replace,
    /// Lend it beyond its time, since no other can be had through no fault of its user; report it.
    Extend,
    /// Close it.
    Close,
}

impl Authorization {
    /// How far it has come.
    pub fn phase(&self, now: Micros) -> Phase {
        match now {
            now if now >= self.hard_at => Phase::Hard,
            now if now >= self.soft_at => Phase::Soft,
            _ => Phase::Young,
        }
    }

    /// What to do with the server. `trouble`: whether its user may be denied, if its logins fail now.
    pub fn verdict(&self, now: Micros, trouble: Option<Suspicion>, rules: &AgeRules) -> Verdict {
        use Suspicion::{Founded, Proven, Unfounded};
        match (self.phase(now), trouble) {
            (_, Some(Proven)) if rules.on_denied == OnDenied::DropNow => Verdict::Close,
            (Phase::Young, _) => Verdict::Serve,
            (Phase::Soft, None) => Verdict::Replace,
            (Phase::Soft, Some(_)) => Verdict::Serve,
            (Phase::Hard, None) => Verdict::Close,
            (Phase::Hard, Some(Founded | Proven)) if rules.on_denied == OnDenied::Keep => Verdict::Extend,
            (Phase::Hard, Some(Founded | Proven)) => Verdict::Close,
            (Phase::Hard, Some(Unfounded)) if rules.lifetime == Lifetime::Strict => Verdict::Close,
            (Phase::Hard, Some(Unfounded)) => Verdict::Extend,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: AgeRules = AgeRules {
        max_age: MAX_AGE,
        on_denied: OnDenied::Drain,
        all_denied: AllDenied::MaxAge,
        lifetime: Lifetime::Lenient,
    };

    const fn s(seconds: u64) -> Micros {
        Micros::from_secs(seconds)
    }

    #[test]
    fn an_authorization_grows_old() {
        let server = Authorization { since: s(100), soft_at: s(820), hard_at: s(1000) };
        let phases = [819, 820, 999, 1000].map(|at| server.phase(s(at)));
        assert_eq!(phases, [Phase::Young, Phase::Soft, Phase::Soft, Phase::Hard]);
    }

    #[test]
    fn the_reason_decides_what_an_old_server_is_worth() {
        let server = Authorization { since: s(0), soft_at: s(630), hard_at: MAX_AGE };
        let verdict = |at, trouble, rules: AgeRules| server.verdict(s(at), trouble, &rules);
        assert_eq!(verdict(10, None, RULES), Verdict::Serve);
        assert_eq!(verdict(700, None, RULES), Verdict::Replace);
        assert_eq!(verdict(900, None, RULES), Verdict::Close);
        assert_eq!(verdict(700, Some(Suspicion::Unfounded), RULES), Verdict::Serve);
        assert_eq!(verdict(9000, Some(Suspicion::Unfounded), RULES), Verdict::Extend);
        let strict = AgeRules { lifetime: Lifetime::Strict, ..RULES };
        assert_eq!(verdict(900, Some(Suspicion::Unfounded), strict), Verdict::Close);
        for (on_denied, suspected, denied) in [
            (
                OnDenied::Drain,
                [Verdict::Serve, Verdict::Serve, Verdict::Close],
                [Verdict::Serve, Verdict::Serve, Verdict::Close],
            ),
            (
                OnDenied::Keep,
                [Verdict::Serve, Verdict::Serve, Verdict::Extend],
                [Verdict::Serve, Verdict::Serve, Verdict::Extend],
            ),
            (
                OnDenied::DropNow,
                [Verdict::Serve, Verdict::Serve, Verdict::Close],
                [Verdict::Close, Verdict::Close, Verdict::Close],
            ),
        ] {
            let rules = AgeRules { on_denied, ..RULES };
            for (suspicion, expected) in [(Suspicion::Founded, suspected), (Suspicion::Proven, denied)] {
                let verdicts = [10, 700, 900].map(|at| verdict(at, Some(suspicion), rules));
                assert_eq!(verdicts, expected, "{on_denied:?} {suspicion:?}");
            }
        }
    }

    #[test]
    fn on_denied_is_read_by_its_names() {
        for value in [OnDenied::Drain, OnDenied::Keep, OnDenied::DropNow] {
            assert_eq!(value.name().parse(), Ok(value));
        }
        assert!("DRAIN".parse::<OnDenied>().is_err() && "".parse::<OnDenied>().is_err());
    }
}
