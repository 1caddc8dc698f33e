//! The failure of a pool's last login: what it had sent, and the server's own refusal.
//!
//! A server that refuses a login in its own words (no such database, no such role, a wrong password) has
//! answered: clients that come get those words at once. The first that comes after a pause has the server
//! asked again; the pause doubles with each refusal, from `limits::REFUSAL_PAUSE_MS` to `server_login_retry`,
//! and logins that were under way together count as one refusal. So a database that is created a moment later
//! is there, and a storm of clients is no storm of logins. Logins by a secret or by IAM have pauses of their
//! own: until their end the refusal is the answer in the same way. A login that would send something else
//! ends every pause at once. Never shows a secret. PgBouncer lets each later client wait for
//! `server_login_retry` instead (launch_new_connection() in src/objects.c).

use super::server_secrets::Stored;
use crate::base::{Micros, limits};
use crate::config::{Database, ServerAuth};
use crate::secrets::{ChoiceNames, SecretKey};
use crate::wire::Fault;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All that a login depends on: where it goes, and what it proves itself with.
#[derive(Clone, PartialEq)]
pub struct Sent {
    pub(super) config: Arc<Database>,
    /// What kind of proof it is; the entry, or the user's, says so.
    pub(super) auth: ServerAuth,
    pub(super) stored: Option<Stored>,
    /// A secret that others keep, and its version, where there is one.
    pub(super) secret: Option<(SecretKey, Option<ChoiceNames>)>,
}

/// The last login of one pool, as long as it has failed; `S` is all that a login depends on.
#[derive(Debug)]
pub struct LastFailure<S> {
    last: Mutex<Option<Failed<S>>>,
}

#[derive(Debug)]
struct Failed<S> {
    sent: S,
    refusal: Option<Refusal>,
}

#[derive(Debug)]
struct Refusal {
    fault: Fault,
    until: Micros,
    /// When it came, and how long the pause is that follows; `None`: the pause is somebody else's.
    paused: Option<(Micros, Micros)>,
}

impl<S> Default for LastFailure<S> {
    fn default() -> Self {
        Self { last: Mutex::default() }
    }
}

impl<S: PartialEq> LastFailure<S> {
    /// A login that sent this has failed, and the server has not refused it in its own words.
    pub fn failed(&self, sent: S) {
        *self.last() = Some(Failed { sent, refusal: None });
    }

    /// The server has refused a login that sent this, and that began and ended at these times. Returns until
    /// when that is the answer to clients, after a pause of at most `longest`.
    pub fn refused(
        &self,
        sent: S,
        fault: Fault,
        (begun_at, now): (Micros, Micros),
        longest: Micros,
    ) -> Micros {
        let mut last = self.last();
        let first = Micros::from_millis(limits::REFUSAL_PAUSE_MS);
        let before = last.take().filter(|failed| failed.sent == sent).and_then(|failed| failed.refusal);
        let before = before.and_then(|before| Some((before.until, before.paused?)));
        let pause = match before {
            // Nobody had heard of that one when it began.
            Some((_, (at, pause))) if begun_at < at => pause,
            Some((until, (_, pause))) if now.since(until) <= longest => Micros(2 * pause.0),
            _ => first,
        };
        let pause = pause.min(longest);
        let until = now + pause;
        *last = Some(Failed { sent, refusal: Some(Refusal { fault, until, paused: Some((now, pause)) }) });
        until
    }

    /// A login that sent this was refused, and that is the answer to clients until then.
    pub fn refused_until(&self, sent: S, fault: Fault, until: Micros) {
        *self.last() = Some(Failed { sent, refusal: Some(Refusal { fault, until, paused: None }) });
    }

    /// A login has succeeded, or may again.
    pub fn forget(&self) {
        *self.last() = None;
    }

    /// The server's refusal, as long as it is the answer.
    pub fn refusal(&self, now: Micros) -> Option<Fault> {
        let last = self.last();
        let refusal = last.as_ref()?.refusal.as_ref()?;
        (now < refusal.until).then(|| refusal.fault.clone())
    }

    /// Whether the last login has failed and had sent something else than this: then the failure is nobody's
    /// answer any more, and the ledger is to forget it, too.
    pub fn end_for_change(&self, now: impl FnOnce() -> S) -> bool {
        let ends = self.differs_from(now);
        if ends {
            self.forget();
        }
        ends
    }

    fn differs_from(&self, now: impl FnOnce() -> S) -> bool {
        self.last().as_ref().is_some_and(|failed| failed.sent != now())
    }

    fn last(&self) -> MutexGuard<'_, Option<Failed<S>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Secret;
    use crate::control::tests::snapshot;

    const LONGEST: Micros = Micros::from_secs(15);

    fn sent(password: &str) -> Sent {
        let config = snapshot("db =", "").database("db").expect("an entry");
        let stored = Stored { secret: Arc::new(Secret::parse(password)), keys: None };
        Sent { config, auth: ServerAuth::Password, stored: Some(stored), secret: None }
    }

    fn fault() -> Fault {
        Fault::Relayed { sqlstate: "3D000".into(), text: "none".into() }
    }

    #[test]
    fn a_refusal_is_the_answer_until_its_pause_is_over() {
        let last_failure = LastFailure::default();
        let now = Micros::from_secs(9);
        assert_eq!(last_failure.refusal(now), None);
        let until = last_failure.refused(sent("a"), fault(), (now, now), LONGEST);
        assert_eq!(until, now + Micros::from_millis(limits::REFUSAL_PAUSE_MS));
        assert_eq!((last_failure.refusal(now), last_failure.refusal(until)), (Some(fault()), None));
        last_failure.forget();
        assert_eq!(last_failure.refusal(now), None);
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_when_nobody_has_come() {
        let last_failure = LastFailure::default();
        let mut now = Micros::from_secs(9);
        let mut pauses = Vec::new();
        for _ in 0..14 {
            let until = last_failure.refused(sent("a"), fault(), (now, now), LONGEST);
            pauses.push(until.since(now).0);
            now = until;
        }
        assert!(pauses.windows(2).all(|two| two[1] == (2 * two[0]).min(LONGEST.0)), "{pauses:?}");
        assert_eq!(pauses.last(), Some(&LONGEST.0));
        now = now + LONGEST + Micros(1);
        let until = last_failure.refused(sent("a"), fault(), (now, now), LONGEST);
        assert_eq!(until.since(now), Micros::from_millis(limits::REFUSAL_PAUSE_MS));
    }

    #[test]
    fn logins_that_were_under_way_together_are_refused_once() {
        let last_failure = LastFailure::default();
        let mut begun_at = Micros::from_secs(9);
        let mut pauses = Vec::new();
        for _ in 0..4 {
            let ends = (1..=16).map(|ms| begun_at + Micros::from_millis(ms));
            let untils: Vec<_> = ends
                .map(|now| (now, last_failure.refused(sent("a"), fault(), (begun_at, now), LONGEST)))
                .collect();
            pauses.extend(untils.iter().map(|(now, until)| until.since(*now).0 / 1_000));
            begun_at = untils[15].1;
        }
        pauses.dedup();
        let first = limits::REFUSAL_PAUSE_MS;
        assert_eq!(pauses, [first, 2 * first, 4 * first, 8 * first]);
    }

    #[test]
    fn a_refusal_with_a_pause_of_its_own_is_the_answer_as_long_and_lengthens_no_other() {
        let last_failure = LastFailure::default();
        let (now, until) = (Micros::from_secs(9), Micros::from_secs(69));
        last_failure.refused_until(sent("a"), fault(), until);
        assert_eq!((last_failure.refusal(now), last_failure.refusal(until)), (Some(fault()), None));
        assert!(!last_failure.differs_from(|| sent("a")) && last_failure.differs_from(|| sent("b")));
        let refused = last_failure.refused(sent("a"), fault(), (now, now), LONGEST);
        assert_eq!(refused, now + Micros::from_millis(limits::REFUSAL_PAUSE_MS));
    }

    #[test]
    fn another_secret_begins_anew() {
        let last_failure = LastFailure::default();
        let now = Micros::from_secs(9);
        let first = last_failure.refused(sent("a"), fault(), (now, now), LONGEST);
        assert!(!last_failure.differs_from(|| sent("a")) && last_failure.differs_from(|| sent("b")));
        assert_eq!(last_failure.refused(sent("b"), fault(), (now, now), LONGEST), first);
        last_failure.failed(sent("b"));
        assert_eq!(last_failure.refusal(now), None, "it is no word of the server's");
    }
}
