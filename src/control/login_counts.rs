//! Attempts to log in to the servers of one pool, counted by outcome.
//!
//! Atomics without order between them: each is right, a reader may see one before another.

use crate::iam::denial::Class;
use crate::stats::{LOGIN_FAILURES, LoginCounters};
use std::sync::atomic::{AtomicU64, Ordering};

/// Position of "unreachable" in [`LOGIN_FAILURES`].
const UNREACHABLE: usize = Class::Unreachable as usize;

/// Position of "credentials" in [`LOGIN_FAILURES`].
const CREDENTIALS: usize = Class::Credentials as usize;

/// Position of "denied" in [`LOGIN_FAILURES`].
const DENIED: usize = Class::Denied as usize;

/// Position of "other" in [`LOGIN_FAILURES`]: behind the classes.
const OTHER: usize = Class::ALL.len();

/// Why a login failed, where no rules of logins by IAM have judged it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginTrouble {
    /// No connection, none that is trusted, or no answer in time.
    Unreachable,
    /// The server has said no, or cannot be answered.
    Refused,
    /// There is nothing to prove oneself with.
    Credentials,
    /// Anything else.
    Other,
}

/// Counts of one pool.
#[derive(Debug, Default)]
pub struct LoginCounts {
    accepted: AtomicU64,
    failed: [AtomicU64; LOGIN_FAILURES.len()],
}

impl LoginCounts {
    /// A login was accepted.
    pub fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// A login by IAM has failed, and was judged.
    pub fn judged(&self, class: Class) {
        self.count(class as usize);
    }

    /// A login has failed.
    pub fn failed(&self, trouble: LoginTrouble) {
        self.count(match trouble {
            LoginTrouble::Unreachable => UNREACHABLE,
            LoginTrouble::Refused => DENIED,
            LoginTrouble::Credentials => CREDENTIALS,
            LoginTrouble::Other => OTHER,
        });
    }

    fn count(&self, reason: usize) {
        self.failed[reason].fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted.
    pub fn read(&self) -> LoginCounters {
        let failed = std::array::from_fn(|reason| self.failed[reason].load(Ordering::Relaxed));
        LoginCounters { accepted: self.accepted.load(Ordering::Relaxed), failed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_the_reason_of_its_name() {
        let names: Vec<_> = Class::ALL.iter().map(|class| class.name()).chain(["other"]).collect();
        assert_eq!(names, LOGIN_FAILURES);
        let counts = LoginCounts::default();
        counts.accepted();
        Class::ALL.into_iter().for_each(|class| counts.judged(class));
        counts.failed(LoginTrouble::Refused);
        counts.failed(LoginTrouble::Unreachable);
        counts.failed(LoginTrouble::Credentials);
        counts.failed(LoginTrouble::Other);
        let read = counts.read();
        assert_eq!((read.accepted, read.failed), (1, [2, 1, 1, 2, 1, 2, 1]));
    }
}
