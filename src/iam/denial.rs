//! What a failed login with a token means, and what is tried next.
//!
//! RDS never says why it refuses a token: an expired, forged, forbidden or throttled one and a fault of its own all look the
//! same (28000). So the reason is inferred from what is known here ([`Evidence`]), and no single refusal counts as a denial.
//! The steps: mint a fresh token and try once more at once; have new credentials fetched and try once more; then back off with
//! jitter, for each (endpoint, user) apart. Pure: monotonic time and dice come in as arguments.
//! Source: PostgreSQL and RDS behaviour as measured; Amazon RDS User Guide, "Troubleshooting IAM authentication".

use crate::base::Micros;
use crate::wire::sqlstate;
use std::collections::HashMap;

/// The longest pause between two tries.
const BACK_OFF_MAX: Micros = Micros::from_secs(15);

/// A denial is proven by this many refusals …
const PROOF_REFUSALS: u32 = 3;

/// … over at least this time: permissions take a while to spread, and a fault of RDS a while to pass.
const PROOF_SPAN: Micros = Micros::from_secs(60);

/// Users that are refused within this time of each other are refused together: who is, tries again within [`BACK_OFF_MAX`],
/// while one that nobody asks for any more is no witness.
const TOGETHER: Micros = Micros::from_secs(60);

/// A clock that is off by this much makes tokens dead or unborn at RDS.
const SKEW_S_MAX: i64 = 240;

/// Users of one endpoint that are remembered; beyond them, the one that was heard of longest ago is forgotten.
const USERS_MAX: usize = 1_000;

/// Why logins fail, in the classes that decide how to go on. The name is a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// This user may not log in so.
    Denied,
    /// Too many logins at a time.
    Throttled,
    /// Our clock and RDS's disagree.
    Clock,
    /// The credentials that sign are missing, expired, or about to be.
    Credentials,
    /// IAM or RDS failed.
    Service,
    /// No connection, or one that ended by itself.
    Unreachable,
}

impl Class {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Denied, Self::Throttled, Self::Clock, Self::Credentials, Self::Service, Self::Unreachable];

    /// The label of metrics and the word of SHOW IAM.
    pub fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Throttled => "throttled",
            Self::Clock => "clock",
            Self::Credentials => "credentials",
            Self::Service => "service",
            Self::Unreachable => "unreachable",
        }
    }
}

/// How far a login had come when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The server had not asked for a password yet.
    Greeting,
    /// The token was sent and not yet answered.
    TokenSent,
    /// The server had accepted the token.
    Authenticated,
}

/// What a server asks for in place of a cleartext password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// AuthenticationSASL.
    Scram,
    /// AuthenticationMD5Password.
    Md5,
    /// Nothing: it let us in without a proof.
    Nothing,
    /// Another kind.
    Other,
}

/// How a login with a token failed, as the one who tried it saw it.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// An ErrorResponse.
    Error {
        /// Its SQLSTATE.
        sqlstate: &'a str,
        /// Its primary message.
        message: &'a str,
        /// When it came.
        stage: Stage,
    },
    /// A request that a token must not answer.
    Asked(Asked),
    /// The connection ended without a word.
    Ended(Stage),
    /// No connection, or no answer in time.
    Unreachable,
    /// No TLS, or a certificate that does not prove the server's name.
    Untrusted,
}

/// What a failure is, as far as the server told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The token was refused; no reason given.
    TokenRefused,
    /// An RDS Proxy said that there are too many logins.
    TooMany,
    /// The role is no member of `rds_iam`: the server asked for this instead.
    NotMember(Asked),
    /// The server let us in without asking for a proof.
    NoProofAsked,
    /// The role's entry in PostgreSQL forbids the login (NOLOGIN, or no such role).
    RoleForbidden,
    /// No rule of the server lets this connection in.
    NoRule,
    /// The server takes no connections now, or no more.
    Busy,
    /// The connection ended while the token was looked at: the IAM service was slow.
    EndedInLogin,
    /// No connection.
    Unreachable,
    /// TLS failed; no token was sent.
    Untrusted,
}

impl Kind {
    /// Reads an outcome. `None`: the token was not the matter (a database that does not exist, and the like).
    pub fn of(outcome: &Outcome<'_>) -> Option<Self> {
        Some(match *outcome {
            Outcome::Asked(Asked::Nothing) => Self::NoProofAsked,
            Outcome::Asked(asked) => Self::NotMember(asked),
            Outcome::Ended(Stage::TokenSent) => Self::EndedInLogin,
            Outcome::Ended(_) | Outcome::Unreachable => Self::Unreachable,
            Outcome::Untrusted => Self::Untrusted,
            // RDS Proxy is the one that gives a reason, in these words (Amazon RDS User Guide, "RDS Proxy limitations")
            Outcome::Error { message, .. } if message.contains("too many competing requests") => {
                Self::TooMany
            }
            Outcome::Error { sqlstate: state, stage, .. } => {
                let is_refusal =
                    [sqlstate::INVALID_AUTHORIZATION, sqlstate::INVALID_PASSWORD].contains(&state);
                let is_busy = [sqlstate::CANNOT_CONNECT_NOW, sqlstate::TOO_MANY_CONNECTIONS].contains(&state);
                match stage {
                    _ if is_busy => Self::Busy,
                    Stage::TokenSent if is_refusal => Self::TokenRefused,
                    Stage::Greeting if is_refusal => Self::NoRule,
                    Stage::Authenticated if is_refusal => Self::RoleForbidden,
                    _ => return None,
                }
            }
        })
    }
}

/// How the other users of the same endpoint fare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// Nobody else has tried.
    None,
    /// Somebody logged in since the first refusal.
    Fine,
    /// Whoever tried of late is refused too.
    Refused,
}

/// What is known on this side when a token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The login budget of the endpoint is strained ([`super::budget::Budget::is_strained`]).
    pub is_strained: bool,
    /// The last fetch of credentials failed, so the ones that signed may be dead.
    pub are_stale: bool,
    /// Seconds that the server's clock is ahead of ours, where that was measured.
    pub skew_s: Option<i64>,
}

/// The class of a failure.
fn class_of(kind: Kind, evidence: &Evidence, others: Others) -> Class {
    match kind {
        Kind::TooMany => Class::Throttled,
        Kind::TokenRefused if evidence.is_strained => Class::Throttled,
        Kind::TokenRefused if evidence.skew_s.is_some_and(|skew| skew.abs() > SKEW_S_MAX) => Class::Clock,
        Kind::TokenRefused if evidence.are_stale => Class::Credentials,
        Kind::TokenRefused if others == Others::Refused => Class::Service,
        Kind::TokenRefused | Kind::NotMember(_) | Kind::NoProofAsked | Kind::RoleForbidden | Kind::NoRule => {
            Class::Denied
        }
        Kind::Busy | Kind::EndedInLogin | Kind::Unreachable | Kind::Untrusted => Class::Unreachable,
    }
}

/// What to do after a failed login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Mint a fresh token and try again at once, whatever `server_login_retry` says.
    Again,
    /// Have new credentials fetched, then try again.
    RefreshThenAgain,
    /// Try again not before this time.
    BackOff(Micros),
}

/// A failed login, judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What the server told.
    pub kind: Kind,
    /// What it means.
    pub class: Class,
    /// What to do.
    pub step: Step,
}

/// How one user of an endpoint fares.
#[derive(Clone, Copy, Debug)]
struct Reaction {
    judgement: Judgement,
    /// Steps taken since the last login that was accepted.
    steps: u32,
    /// Refusals of tokens that nothing but a denial explains, one for each step, and since when.
    denials: u32,
    denied_since: Option<Micros>,
    first_refused_at: Option<Micros>,
    judged_at: Micros,
}

/// How logins with tokens fare at one endpoint. Holds only users that are in trouble.
#[derive(Clone, Debug, Default)]
pub struct Reactions {
    users: HashMap<Box<str>, Reaction>,
    accepted_at: Option<Micros>,
}

impl Reactions {
    /// A login as `user`, begun at `begun_at`, failed. `None`: for a reason that has nothing to do with tokens.
    ///
    /// Logins that were under way together fail together; those that began before the last step was decided on change
    /// nothing and are told that step. `jitter` is drawn from `0.0..1.0`.
    pub fn failed(
        &mut self,
        user: &str,
        outcome: &Outcome<'_>,
        evidence: &Evidence,
        begun_at: Micros,
        now: Micros,
        jitter: f64,
    ) -> Option<Judgement> {
        let kind = Kind::of(outcome)?;
        let known = self.users.get(user).copied();
        if let Some(known) = known.filter(|known| begun_at < known.judged_at) {
            return Some(known.judgement);
        }
        let is_refusal = kind == Kind::TokenRefused;
        let first_refused_at = known.and_then(|known| known.first_refused_at).or(is_refusal.then_some(now));
        let class = class_of(kind, evidence, self.others(user, first_refused_at, now));
        let steps = known.map_or(0, |known| known.steps);
        // Only a refused token may be cured by another one, and not where there are too many already.
        let step = match steps {
            0 if is_refusal && class != Class::Throttled => Step::Again,
            1 if is_refusal && class != Class::Throttled => Step::RefreshThenAgain,
            _ => Step::BackOff(now + back_off(steps, jitter)),
        };
        let judgement = Judgement { kind, class, step };
        let is_denial = is_refusal && class == Class::Denied;
        let denials = known.map_or(0, |known| known.denials) + u32::from(is_denial);
        let denied_since = known.and_then(|known| known.denied_since).or(is_denial.then_some(now));
        self.make_room_for(user);
        let steps = steps.saturating_add(1);
        let reaction = Reaction { judgement, steps, denials, denied_since, first_refused_at, judged_at: now };
        self.users.insert(user.into(), reaction);
        Some(judgement)
    }

    /// A login as `user` was accepted: its troubles are over.
    pub fn accepted(&mut self, user: &str, now: Micros) {
        self.users.remove(user);
        self.accepted_at = Some(now);
    }

    /// Whether a login as `user` may be tried now.
    ///
    /// # Errors
    /// When it may be.
    pub fn may_try(&self, user: &str, now: Micros) -> Result<(), Micros> {
        match self.users.get(user).map(|known| known.judgement.step) {
            Some(Step::BackOff(until)) if now < until => Err(until),
            _ => Ok(()),
        }
    }

    /// The last judgement on `user`, if it is in trouble.
    pub fn trouble(&self, user: &str) -> Option<Judgement> {
        self.users.get(user).map(|known| known.judgement)
    }

    /// The class that [`super::age::Authorization::verdict`] goes by: that of the last judgement, where a denial counts only
    /// once it is proven and as a fault of the service before.
    pub fn class(&self, user: &str, now: Micros) -> Option<Class> {
        let class = self.users.get(user)?.judgement.class;
        let unproven = class == Class::Denied && !self.proven_denied(user, now);
        Some(if unproven { Class::Service } else { class })
    }

    /// Whether `user` is denied beyond doubt: the server said so in other ways than by refusing a token, or refused fresh
    /// tokens three times over a minute.
    pub fn proven_denied(&self, user: &str, now: Micros) -> bool {
        let Some(known) = self.users.get(user) else { return false };
        let long = known.denied_since.is_some_and(|first| now.since(first) >= PROOF_SPAN);
        match known.judgement.kind {
            _ if known.judgement.class != Class::Denied => false,
            Kind::TokenRefused => known.denials >= PROOF_REFUSALS && long,
            _ => true,
        }
    }

    /// Whether nobody is in trouble.
    pub fn is_calm(&self) -> bool {
        self.users.is_empty()
    }

    /// Forgets the back-off of one user: for RECONNECT, and for entries that have changed.
    pub fn forget_user(&mut self, user: &str) {
        self.users.remove(user);
    }

    /// Forgets all back-off: for IAM REFRESH.
    pub fn forget(&mut self) {
        self.users.clear();
    }

    fn others(&self, user: &str, first_refused_at: Option<Micros>, now: Micros) -> Others {
        let fine =
            self.accepted_at.zip(first_refused_at).is_some_and(|(accepted, refused)| accepted >= refused);
        let is_refused = |other: &Reaction| {
            other.judgement.kind == Kind::TokenRefused && now.since(other.judged_at) < TOGETHER
        };
        let refused = self.users.iter().any(|(name, other)| &**name != user && is_refused(other));
        match (fine, refused) {
            (true, _) => Others::Fine,
            (false, true) => Others::Refused,
            (false, false) => Others::None,
        }
    }

    fn make_room_for(&mut self, user: &str) {
        if self.users.len() >= USERS_MAX && !self.users.contains_key(user) {
            let oldest =
                self.users.iter().min_by_key(|(_, known)| known.judged_at).map(|(name, _)| name.clone());
            oldest.map(|name| self.users.remove(&name));
        }
    }
}

/// 1, 2, 4, 8, 15 s, each between half and all of it.
fn back_off(steps: u32, jitter: f64) -> Micros {
    let step = Micros::from_secs(1 << steps.saturating_sub(2).min(4)).min(BACK_OFF_MAX);
    Micros((step.0 as f64 * (0.5 + 0.5 * jitter.clamp(0.0, 1.0))) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CALM: Evidence = Evidence { is_strained: false, are_stale: false, skew_s: None };

    const fn s(seconds: u64) -> Micros {
        Micros::from_secs(seconds)
    }

    fn error(sqlstate: &'static str, stage: Stage) -> Outcome<'static> {
        Outcome::Error { sqlstate, message: "PAM authentication failed for user \"app\"", stage }
    }

    fn refused() -> Outcome<'static> {
        error(sqlstate::INVALID_AUTHORIZATION, Stage::TokenSent)
    }

    /// Fails as `user` at `at`, begun in the same moment.
    fn fail(all: &mut Reactions, user: &str, outcome: Outcome<'_>, at: Micros) -> Judgement {
        all.failed(user, &outcome, &CALM, at, at, 1.0).unwrap()
    }

    #[test]
    fn servers_tell_what_they_tell() {
        for (outcome, kind) in [
            (refused(), Some(Kind::TokenRefused)),
            (error(sqlstate::INVALID_PASSWORD, Stage::TokenSent), Some(Kind::TokenRefused)),
            (error(sqlstate::INVALID_AUTHORIZATION, Stage::Greeting), Some(Kind::NoRule)),
            (error(sqlstate::INVALID_AUTHORIZATION, Stage::Authenticated), Some(Kind::RoleForbidden)),
            (error(sqlstate::CANNOT_CONNECT_NOW, Stage::Greeting), Some(Kind::Busy)),
            (error(sqlstate::TOO_MANY_CONNECTIONS, Stage::Authenticated), Some(Kind::Busy)),
            (error("3D" /* of no such database */, Stage::Authenticated), None),
            (
                Outcome::Error {
                    sqlstate: sqlstate::INVALID_AUTHORIZATION,
                    message: "The IAM authentication failed because of too many competing requests",
                    stage: Stage::TokenSent,
                },
                Some(Kind::TooMany),
            ),
            (error("", Stage::TokenSent), None),
            (Outcome::Asked(Asked::Scram), Some(Kind::NotMember(Asked::Scram))),
            (Outcome::Asked(Asked::Nothing), Some(Kind::NoProofAsked)),
            (Outcome::Ended(Stage::TokenSent), Some(Kind::EndedInLogin)),
            (Outcome::Ended(Stage::Greeting), Some(Kind::Unreachable)),
            (Outcome::Unreachable, Some(Kind::Unreachable)),
            (Outcome::Untrusted, Some(Kind::Untrusted)),
        ] {
            assert_eq!(Kind::of(&outcome), kind, "{outcome:?}");
        }
    }

    #[test]
    fn a_refusal_is_classed_by_what_is_known_here() {
        let class = |evidence, others| class_of(Kind::TokenRefused, &evidence, others);
        assert_eq!(class(CALM, Others::None), Class::Denied);
        assert_eq!(class(CALM, Others::Fine), Class::Denied);
        assert_eq!(class(CALM, Others::Refused), Class::Service);
        assert_eq!(class(Evidence { are_stale: true, ..CALM }, Others::Fine), Class::Credentials);
        assert_eq!(class(Evidence { skew_s: Some(-1200), ..CALM }, Others::Fine), Class::Clock);
        assert_eq!(class(Evidence { skew_s: Some(20), ..CALM }, Others::Fine), Class::Denied);
        assert_eq!(class(Evidence { is_strained: true, ..CALM }, Others::Refused), Class::Throttled);
        assert_eq!(class_of(Kind::EndedInLogin, &CALM, Others::None), Class::Unreachable);
        assert_eq!(class_of(Kind::NotMember(Asked::Md5), &CALM, Others::None), Class::Denied);
    }

    #[test]
    fn a_fresh_token_then_fresh_credentials_then_patience() {
        let mut all = Reactions::default();
        assert_eq!(fail(&mut all, "app", refused(), s(10)).step, Step::Again);
        assert_eq!(all.may_try("app", s(10)), Ok(()));
        assert_eq!(fail(&mut all, "app", refused(), s(11)).step, Step::RefreshThenAgain);
        let mut now = s(12);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let Step::BackOff(until) = fail(&mut all, "app", refused(), now).step else { panic!("no pause") };
            assert_eq!(all.may_try("app", now), Err(until));
            assert_eq!(all.may_try("other", now), Ok(()), "each user apart");
            pauses.push(until.since(now).as_secs());
            now = until;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 15, 15]);
        all.accepted("app", now);
        assert_eq!(all.trouble("app"), None);
        assert_eq!(fail(&mut all, "app", refused(), now).step, Step::Again, "success starts anew");
    }

    #[test]
    fn logins_that_fail_together_are_one_failure() {
        let mut all = Reactions::default();
        let steps: Vec<Step> = (0..50)
            .map(|count| {
                let judged = all.failed("app", &refused(), &CALM, s(1), s(2) + Micros(count), 0.5);
                judged.unwrap().step
            })
            .collect();
        assert!(steps.iter().all(|step| *step == Step::Again), "{steps:?}");
        assert_eq!(fail(&mut all, "app", refused(), s(3)).step, Step::RefreshThenAgain);
    }

    #[test]
    fn what_a_new_token_cannot_cure_is_not_tried_at_once() {
        for outcome in [Outcome::Asked(Asked::Scram), Outcome::Untrusted, Outcome::Unreachable] {
            let mut all = Reactions::default();
            assert_eq!(fail(&mut all, "app", outcome, s(0)).step, Step::BackOff(s(1)), "{outcome:?}");
        }
        let mut all = Reactions::default();
        let strained = Evidence { is_strained: true, ..CALM };
        let judged = all.failed("app", &refused(), &strained, s(0), s(0), 1.0).unwrap();
        assert_eq!((judged.class, judged.step), (Class::Throttled, Step::BackOff(s(1))));
        let unknown = Outcome::Error { sqlstate: "", message: "", stage: Stage::Authenticated };
        assert_eq!(all.failed("new", &unknown, &CALM, s(0), s(0), 1.0), None);
        assert_eq!(all.may_try("new", s(0)), Ok(()));
    }

    #[test]
    fn a_denial_is_proven_by_patience() {
        let mut all = Reactions::default();
        for at in [0, 1, 2, 40] {
            fail(&mut all, "app", refused(), s(at));
            assert!(!all.proven_denied("app", s(at)));
            assert_eq!(
                all.class("app", s(at)),
                Some(Class::Service),
                "not yet a denial to servers that work"
            );
        }
        fail(&mut all, "app", refused(), s(61));
        assert!(all.proven_denied("app", s(61)));
        assert_eq!(all.class("app", s(61)), Some(Class::Denied));
        fail(&mut all, "ro", Outcome::Asked(Asked::Scram), s(0));
        assert!(all.proven_denied("ro", s(0)), "the server said so itself");
    }

    #[test]
    fn when_all_are_refused_it_is_the_service() {
        let mut all = Reactions::default();
        fail(&mut all, "a", refused(), s(0));
        for at in [1, 30, 70] {
            assert_eq!(fail(&mut all, "b", refused(), s(at)).class, Class::Service);
            assert_eq!(fail(&mut all, "a", refused(), s(at)).class, Class::Service);
        }
        assert!(!all.proven_denied("b", s(100)));
        all.accepted("a", s(101));
        for at in [102, 120, 161] {
            assert_eq!(fail(&mut all, "b", refused(), s(at)).class, Class::Denied, "others are fine");
            assert!(!all.proven_denied("b", s(at)), "what the service may have caused proves nothing");
        }
        fail(&mut all, "b", refused(), s(162));
        assert!(all.proven_denied("b", s(162)));
    }

    #[test]
    fn a_refusal_of_long_ago_excuses_nobody() {
        let mut all = Reactions::default();
        fail(&mut all, "gone", refused(), s(0));
        for at in [3600, 3630, 3661] {
            assert_eq!(fail(&mut all, "app", refused(), s(at)).class, Class::Denied, "at {at}s");
        }
        assert!(all.proven_denied("app", s(3661)), "or its servers would be kept for ever");
        fail(&mut all, "other", Outcome::Unreachable, s(3662));
        assert_eq!(
            fail(&mut all, "app", refused(), s(3663)).class,
            Class::Denied,
            "nor is another trouble one"
        );
    }

    #[test]
    fn memory_is_bounded() {
        let mut all = Reactions::default();
        for number in 0..USERS_MAX + 10 {
            fail(&mut all, &format!("user{number}"), refused(), Micros(number as u64));
        }
        assert_eq!(all.users.len(), USERS_MAX);
        assert!(all.trouble("user9").is_none() && all.trouble("user10").is_some());
        all.forget();
        assert_eq!(all.trouble("user10"), None);
    }

    proptest! {
        #[test]
        fn any_words_of_a_server_are_judged(state in ".{0,6}", message in ".{0,60}", at: u64, begun: u64, jitter: f64) {
            let mut all = Reactions::default();
            for stage in [Stage::Greeting, Stage::TokenSent, Stage::Authenticated] {
                let outcome = Outcome::Error { sqlstate: &state, message: &message, stage };
                let judged = all.failed("u", &outcome, &CALM, Micros(begun), Micros(at), jitter);
                if let Some(Judgement { step: Step::BackOff(until), .. }) = judged {
                    prop_assert!(until.since(Micros(at)) <= BACK_OFF_MAX);
                }
            }
        }
    }
}
