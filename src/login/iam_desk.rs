//! What is known of logins by IAM at one endpoint: its budget, how each user fares there, what was told of it.
//!
//! The rules are [`crate::iam::denial`]'s and [`crate::iam::budget`]'s; here they meet the clock, the dice and the lock, which is
//! held for a few additions and never across an await. Memory: one row for each user that has logged in, bounded.

use super::turns::{Turns, Waits};
use crate::base::Micros;
use crate::iam::denial::{Class, Evidence, Judgement, Kind, Outcome, Patience, Reactions, Step, Suspicion};
use crate::iam::{Endpoint, Explanation};
use crate::io::Clock;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Between two log lines about a trouble that goes on.
const REMIND: Micros = Micros::from_secs(600);

/// Whoever wants a server tries within this time after a back-off: the janitor's passes are shorter.
const PROBE_AFTER: Micros = Micros::from_secs(1);

/// Who was let in within this time is no stranger to the server.
const LET_IN_SPAN: Micros = Micros::from_secs(60);

/// Users of one endpoint that are counted; beyond them, any other is forgotten.
const USERS_MAX: usize = 1_000;

/// One endpoint.
pub struct IamDesk {
    endpoint: Endpoint,
    clock: Clock,
    /// The budget.
    pub turns: Arc<Turns>,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    reactions: Reactions,
    tallies: HashMap<Arc<str>, Tally>,
}

/// What was counted of one user at one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Logins that were accepted.
    pub accepted: u64,
    /// Those that were not, by class, in the order of [`Class::ALL`].
    pub failed: [u64; Class::ALL.len()],
    /// When the last one was accepted.
    pub accepted_at: Option<Micros>,
    /// The last failure in words; `None` = the last login was accepted.
    pub last_error: Option<Arc<str>>,
    /// The same as clients may read it.
    brief: Option<Arc<str>>,
    /// What was logged of it last, and when.
    told: Option<(Kind, Class, Micros)>,
}

/// How one user fares at one endpoint.
#[derive(Clone, Debug)]
pub struct LoginReport {
    /// As whom.
    pub user: Arc<str>,
    /// What was counted.
    pub tally: Tally,
    /// Why the last login has failed; `None` = it was accepted.
    pub trouble: Option<Class>,
}

/// A failed login, judged.
pub struct Judged {
    /// The judgement.
    pub judgement: Judgement,
    /// It in words.
    pub text: Arc<str>,
    /// As clients may read it.
    pub brief: Arc<str>,
    /// Whether an operator has not read of it yet, or a while ago.
    pub is_news: bool,
}

/// Where and as whom somebody logs in, for explanations.
pub struct Who<'a> {
    /// The role.
    pub user: &'a Arc<str>,
    /// What signs.
    pub source: &'a dyn fmt::Display,
}

impl IamDesk {
    /// An endpoint where nobody has logged in yet. `waits` learns how long logins wait for their turns.
    pub fn new(endpoint: Endpoint, login_rate: u32, clock: Clock, waits: Arc<Waits>) -> Self {
        Self { endpoint, clock, turns: Turns::new(login_rate, clock, waits), book: Mutex::default() }
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether a login as `user` may be tried now.
    ///
    /// # Errors
    /// When it may be.
    pub fn may_try(&self, user: &str) -> Result<(), Micros> {
        self.book().reactions.may_try(user, self.clock.now())
    }

    /// Whether a login as `user` might have been tried for a while, and nobody did.
    pub fn is_left_alone(&self, user: &str) -> bool {
        let earlier = self.clock.now() - PROBE_AFTER;
        self.book().reactions.may_try(user, earlier).is_ok()
    }

    /// Whether a login of `user` was accepted since `since`.
    pub fn has_accepted(&self, user: &str, since: Micros) -> bool {
        let book = self.book();
        book.tallies.get(user).and_then(|tally| tally.accepted_at).is_some_and(|at| at >= since)
    }

    /// The last failure of `user`, if its logins fail: as clients may read it, and its class.
    pub fn trouble(&self, user: &str) -> Option<(Arc<str>, Class)> {
        let book = self.book();
        let class = book.reactions.trouble(user)?.class;
        Some((book.tallies.get(user)?.brief.clone()?, class))
    }

    /// Whether `user` may be denied, if it is in trouble: servers that work go by it.
    pub fn suspicion(&self, user: &str, patience: Patience) -> Option<Suspicion> {
        self.book().reactions.suspicion(user, self.clock.now(), patience)
    }

    /// A login as `user` was accepted. Returns whether its logins had failed before.
    pub fn accepted(&self, user: &Arc<str>) -> bool {
        let mut book = self.book();
        let was_in_trouble = book.reactions.trouble(user).is_some();
        let now = self.clock.now();
        book.reactions.accepted(user, now);
        let tally = book.tally(user);
        (tally.accepted, tally.accepted_at) = (tally.accepted + 1, Some(now));
        (tally.last_error, tally.brief, tally.told) = (None, None, None);
        was_in_trouble
    }

    /// A login that was begun at `begun_at` has failed; `evidence` is without what the budget knows. `None`: for a reason that
    /// has nothing to do with tokens.
    pub fn failed(
        &self,
        who: &Who<'_>,
        outcome: &Outcome<'_>,
        evidence: Evidence,
        begun_at: Micros,
    ) -> Option<Judged> {
        let is_strained = self.turns.is_strained(begun_at);
        let now = self.clock.now();
        let was_let_in = self.has_accepted(who.user, now - LET_IN_SPAN);
        let is_known = self.has_accepted(who.user, Micros(0));
        let evidence = Evidence { is_strained, was_let_in, is_known, ..evidence };
        let mut book = self.book();
        let judgement =
            book.reactions.failed(who.user, outcome, &evidence, begun_at, now, fastrand::f64())?;
        let Judgement { kind, class, .. } = judgement;
        let (user, source) = (&**who.user, who.source);
        let explanation = Explanation { judgement, endpoint: &self.endpoint, user, source };
        let (text, brief): (Arc<str>, Arc<str>) =
            (explanation.to_string().into(), explanation.brief().into());
        let tally = book.tally(who.user);
        tally.failed[class as usize] += 1;
        (tally.last_error, tally.brief) = (Some(Arc::clone(&text)), Some(Arc::clone(&brief)));
        let is_known =
            |(what, how, at): (Kind, Class, Micros)| (what, how) == (kind, class) && now.since(at) < REMIND;
        // what another try may cure at once is no news yet
        let is_final = matches!(judgement.step, Step::BackOff(_));
        let is_news = is_final && !tally.told.is_some_and(is_known);
        if is_news {
            tally.told = Some((kind, class, now));
        }
        drop(book);
        if class == Class::Throttled {
            self.turns.throttled(begun_at);
        }
        Some(Judged { judgement, text, brief, is_news })
    }

    /// Whether the logins of nobody fail.
    pub fn is_calm(&self) -> bool {
        self.book().reactions.is_calm(self.clock.now())
    }

    /// Lets everybody be tried at once; see [`Reactions::forgive`].
    pub fn forgive_all(&self) {
        self.book().reactions.forgive_all();
    }

    /// Lets `user` be tried at once; see [`Reactions::forgive`].
    pub fn forgive(&self, user: &str) {
        self.book().reactions.forgive(user);
    }

    /// What was counted of `user`; `None` = it has not tried yet.
    pub fn report_of(&self, user: &str) -> Option<LoginReport> {
        let book = self.book();
        let (user, tally) = book.tallies.get_key_value(user)?;
        Some(LoginReport {
            user: Arc::clone(user),
            tally: tally.clone(),
            trouble: book.reactions.trouble(user).map(|judgement| judgement.class),
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn tally(&mut self, user: &Arc<str>) -> &mut Tally {
        if self.tallies.len() >= USERS_MAX && !self.tallies.contains_key(user) {
            let any = self.tallies.keys().next().cloned();
            any.map(|user| self.tallies.remove(&user));
        }
        self.tallies.entry(Arc::clone(user)).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iam::denial::{Asked, Stage};
    use crate::wire::sqlstate;

    fn desk() -> IamDesk {
        let endpoint = Endpoint::new("db.abc.eu-west-1.rds.amazonaws.com", 5432, None).unwrap();
        IamDesk::new(endpoint, 20, Clock::new(), Arc::default())
    }

    fn refused() -> Outcome<'static> {
        Outcome::Error { sqlstate: sqlstate::INVALID_AUTHORIZATION, message: "no", stage: Stage::TokenSent }
    }

    #[test]
    fn failures_are_counted_explained_and_told_once() {
        let (desk, user) = (desk(), Arc::from("app"));
        let who = Who { user: &user, source: &"imds" };
        let fail = |outcome: Outcome<'_>| {
            desk.failed(&who, &outcome, Evidence::default(), desk.clock.now()).unwrap()
        };
        let first = fail(refused());
        assert_eq!((first.judgement.step, first.is_news), (Step::Again, false), "it may pass at once");
        assert!(!fail(refused()).is_news);
        assert!(fail(refused()).is_news, "nothing helped");
        assert!(!fail(refused()).is_news, "the same again");
        assert!(fail(Outcome::Asked(Asked::Scram)).is_news, "another reason");
        let suspicion = |user| desk.suspicion(user, Patience::default());
        let (text, class) = desk.trouble("app").unwrap();
        assert!(text.contains("not a member of rds_iam") && !text.contains("source"), "for clients: {text}");
        assert_eq!((class, suspicion("app")), (Class::Denied, Some(Suspicion::Proven)));
        assert!(desk.may_try("app").is_err() && desk.may_try("other").is_ok());
        let report = desk.report_of("app").unwrap();
        assert_eq!((report.tally.failed[Class::Denied as usize], report.trouble), (5, Some(Class::Denied)));
        assert!(report.tally.last_error.unwrap().contains("source imds"), "for operators");
        assert!(report.tally.accepted_at.is_none() && desk.report_of("other").is_none());
        assert!(desk.accepted(&user) && !desk.accepted(&user));
        assert!(desk.trouble("app").is_none() && desk.may_try("app").is_ok());
        let report = desk.report_of("app").unwrap();
        assert_eq!((report.tally.accepted, report.tally.last_error, report.trouble), (2, None, None));
        assert!(report.tally.accepted_at.is_some());
        let again = fail(refused());
        assert_eq!(
            (again.judgement.class, again.is_news),
            (Class::Throttled, true),
            "it was fine in between"
        );
    }

    #[test]
    fn a_proxy_that_asks_for_fewer_logins_gets_fewer() {
        let (desk, user) = (desk(), Arc::from("app"));
        let message = "The IAM authentication failed because of too many competing requests";
        let sqlstate = sqlstate::INVALID_AUTHORIZATION;
        let outcome = Outcome::Error { sqlstate, message, stage: Stage::TokenSent };
        let judged = desk.failed(
            &Who { user: &user, source: &"imds" },
            &outcome,
            Evidence::default(),
            desk.clock.now(),
        );
        assert_eq!(judged.unwrap().judgement.class, Class::Throttled);
        assert_eq!(desk.turns.state().rate, 10);
    }
}
