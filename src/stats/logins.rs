//! What is counted of logins to servers, and of the AWS credentials that some of them need.
//!
//! Outcomes are pairs of words (result, reason), few and known beforehand: they become labels of metrics.

use super::Ages;
use std::collections::BTreeMap;

/// Result, reason (empty where all is well), how many.
pub type Outcome = (&'static str, &'static str, u64);

/// Reasons why logins to servers fail: the classes of logins by IAM, and any other one.
pub(crate) const LOGIN_FAILURES: [&str; 7] =
    ["denied", "throttled", "clock", "credentials", "service", "unreachable", "other"];

/// Attempts to log in to the servers of one pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginCounters {
    /// Those that were accepted.
    pub accepted: u64,
    /// Those that were not, by reason, in the order of [`LOGIN_FAILURES`].
    pub failed: [u64; LOGIN_FAILURES.len()],
}

impl LoginCounters {
    /// Adds `other` to this.
    pub fn merge(&mut self, other: &Self) {
        self.accepted += other.accepted;
        for (mine, theirs) in self.failed.iter_mut().zip(other.failed) {
            *mine += theirs;
        }
    }

    /// Every outcome, also those that have not occurred: a counter that begins with 1 tells no growth.
    pub fn outcomes(&self) -> impl Iterator<Item = Outcome> {
        let failed = LOGIN_FAILURES.into_iter().zip(self.failed);
        std::iter::once(("ok", "", self.accepted))
            .chain(failed.map(|(reason, count)| ("failed", reason, count)))
    }
}

/// How the AWS credentials of one source stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialLevels {
    /// The source, as SHOW IAM names it. Sources that differ in what is not named share one row.
    pub source: String,
    /// Seconds until they expire, negative once they have; `None` = they do not, or there are none.
    pub expires_in_s: Option<i64>,
    /// Whether there are any that may sign.
    pub usable: bool,
    /// Fetches, by outcome.
    pub refreshes: Vec<Outcome>,
    /// How old tokens that they signed were as they were sent.
    pub token_age: Ages,
}

impl CredentialLevels {
    /// Adds what is known of another source to this: what stands worse counts.
    fn merge(&mut self, other: Self) {
        self.expires_in_s = [self.expires_in_s, other.expires_in_s].into_iter().flatten().min();
        self.usable &= other.usable;
        self.token_age.merge(&other.token_age);
        for (result, reason, count) in other.refreshes {
            match self.refreshes.iter_mut().find(|known| (known.0, known.1) == (result, reason)) {
                Some(known) => known.2 += count,
                None => self.refreshes.push((result, reason, count)),
            }
        }
    }

    /// One row for each name, in their order; those beyond the first `names_max` in one named `other`.
    pub fn arrange(sources: Vec<Self>, names_max: usize, other: &str) -> Vec<Self> {
        let mut by_name: BTreeMap<String, Self> = BTreeMap::new();
        for source in sources {
            match by_name.get_mut(&source.source) {
                Some(known) => known.merge(source),
                None => drop(by_name.insert(source.source.clone(), source)),
            }
        }
        let mut rows: Vec<_> = by_name.into_values().collect();
        let rest = rows.split_off(names_max.min(rows.len()));
        rows.extend(
            rest.into_iter()
                .reduce(|mut sum, row| {
                    sum.merge(row);
                    sum
                })
                .map(|sum| Self { source: other.to_owned(), ..sum }),
        );
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, expires_in_s: Option<i64>, ok: u64) -> CredentialLevels {
        let refreshes = vec![("ok", "", ok), ("failed", "timeout", 1)];
        let mut token_age = Ages::default();
        token_age.record(ok);
        CredentialLevels { source: name.into(), expires_in_s, usable: ok > 0, refreshes, token_age }
    }

    #[test]
    fn sources_of_one_name_are_one_row_and_the_worse_counts() {
        let sources = vec![source("imds", Some(90), 2), source("env", None, 1), source("imds", Some(-5), 0)];
        let rows = CredentialLevels::arrange(sources, 10, "other");
        assert_eq!(rows.len(), 2);
        assert_eq!((&*rows[0].source, rows[0].expires_in_s, rows[0].usable), ("env", None, true));
        assert_eq!((&*rows[1].source, rows[1].expires_in_s, rows[1].usable), ("imds", Some(-5), false));
        assert_eq!(rows[1].refreshes, [("ok", "", 2), ("failed", "timeout", 2)]);
        assert_eq!((rows[0].token_age.count(), rows[1].token_age.count()), (1, 2));
    }

    #[test]
    fn rows_are_bounded() {
        let sources = (0..7).map(|n| source(&format!("profile({n})"), Some(n), 1)).collect();
        let rows = CredentialLevels::arrange(sources, 5, "other");
        let names: Vec<_> = rows.iter().map(|row| &*row.source).collect();
        assert_eq!(names, ["profile(0)", "profile(1)", "profile(2)", "profile(3)", "profile(4)", "other"]);
        assert_eq!((rows[5].expires_in_s, rows[5].refreshes[0].2), (Some(5), 2));
        assert!(CredentialLevels::arrange(Vec::new(), 5, "other").is_empty());
    }

    #[test]
    fn logins_add_up_by_outcome() {
        let mut sum = LoginCounters { accepted: 1, ..LoginCounters::default() };
        let mut one = LoginCounters { accepted: 2, ..LoginCounters::default() };
        one.failed[1] = 3;
        sum.merge(&one);
        let told: Vec<_> = sum.outcomes().filter(|(_, _, count)| *count > 0).collect();
        assert_eq!(told, [("ok", "", 3), ("failed", "throttled", 3)]);
        assert_eq!(sum.outcomes().count(), 8);
    }
}
