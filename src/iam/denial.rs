//! What a failed login with a token means, and what is tried next.
//!
//! RDS never says why it refuses a token: an expired, forged, forbidden or throttled one and a fault of its own all look the
//! same (28000). So the reason is inferred from what is known here ([`Evidence`]), and no single refusal counts as a denial.
//! The steps: mint a fresh token and try once more at once; have new credentials fetched and try once more; then back off with
//! jitter, for each (endpoint, user) apart. Pure: monotonic time and dice come in as arguments.
//! Source: PostgreSQL and RDS behaviour as measured; Amazon RDS User Guide, "Troubleshooting IAM authentication".

use super::skew::Alarm;
use crate::base::Micros;
use crate::config::AllDenied;
use crate::wire::sqlstate;
use std::collections::HashMap;

/// The longest pause between two tries.
const BACK_OFF_MAX: Micros = Micros::from_secs(15);

/// Refusals of a user that was let in before count for so long as a fault of IAM's that passes: RDS refuses for
/// a moment when it fails over, or when others log in there too often. Clients wait meanwhile, and are not told
/// that they may not.
const GRACE: Micros = Micros::from_secs(5);

/// The same where logins are many there: so long it may take until the pace has found what RDS lets through,
/// and each user has had its turn.
const CROWDED_GRACE: Micros = Micros::from_secs(30);

/// When a user that was refused was let in again by itself, refusals of others are no denials for so long: some
/// logins pass and some do not.
const HEALING_SPAN: Micros = Micros::from_secs(15);

/// The longest pause while a refusal may pass by itself at any moment.
const SHORT_PAUSE: Micros = Micros::from_secs(1);

/// A denial is proven by this many refusals …
const PROOF_REFUSALS: u32 = 3;

/// … over at least this time: permissions take a while to spread, and a fault of RDS a while to pass. Where
/// servers grow no older than ten times this, it is a tenth of their age: the least that is left of it when the
/// last renewal is due.
const PROOF_SPAN: Micros = Micros::from_secs(60);

/// Refusals of everybody count as a fault of IAM's service for so long; beyond it, as what they say. Whoever took a permission
/// away from all roles of an endpoint at once is not to wait for ever.
const SERVICE_SPAN: Micros = Micros::from_secs(600);

/// For so long a refusal of one user tells something of the refusals of others.
const SIGN_SPAN: Micros = Micros::from_secs(60);

/// A trouble that nobody has run into for so long is forgotten.
const MEMORY_SPAN: Micros = Micros::from_secs(600);

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

/// How long refusals may count as something that passes: what the operator has chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// `iam_all_denied`.
    pub all_denied: AllDenied,
    /// `iam_max_age`.
    pub max_age: Micros,
}

impl Default for Patience {
    fn default() -> Self {
        Self { all_denied: AllDenied::default(), max_age: super::age::MAX_AGE }
    }
}

impl Patience {
    /// For how long refusals of everybody are a fault of the service.
    fn with_everybody(self) -> Micros {
        match self.all_denied {
            AllDenied::MaxAge => SERVICE_SPAN.min(self.max_age),
            AllDenied::DenyAfter(span) => span,
            AllDenied::Service => Micros::NEVER,
        }
    }

    /// For how long one user has to be refused before it is proven to be denied.
    fn with_one(self) -> Micros {
        PROOF_SPAN.min(Micros(self.max_age.0 / 10))
    }
}

/// Whether a user whose logins fail may be denied: servers that work go by it. The mildest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suspicion {
    /// What is in the way may pass, through no fault of the user.
    Unfounded,
    /// It may be denied: tokens are refused, and nothing that is known here explains it.
    Founded,
    /// It is denied beyond doubt.
    Proven,
}

/// What is known on this side when a token was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a sign of its own, and any may go with any other")]
pub struct Evidence {
    /// The login budget of the endpoint is strained ([`super::budget::Budget::is_strained`]).
    pub is_strained: bool,
    /// This very user was let in within the last minute.
    pub was_let_in: bool,
    /// This very user was let in at some time.
    pub is_known: bool,
    /// The last fetch of credentials failed, so the ones that signed may be dead.
    pub are_stale: bool,
    /// Seconds that the server's clock is ahead of ours, where that was measured.
    pub skew_s: Option<i64>,
    /// How long a refusal may count as something that passes.
    pub patience: Patience,
}

impl Evidence {
    /// For how long refusals that look like a denial are none yet to clients.
    fn grace(&self) -> Micros {
        match (self.is_strained, self.is_known) {
            (true, _) => CROWDED_GRACE,
            (false, true) => GRACE,
            (false, false) => Micros(0),
        }
    }
}

/// The class of a failure; `refused_for`: since the first refusal of this user.
fn class_of(kind: Kind, evidence: &Evidence, others: Others, refused_for: Micros) -> Class {
    // Throttling hits whoever comes: not the one role alone that nobody has seen get in for long.
    let may_get_in = evidence.is_known || others != Others::Fine;
    let is_recent = evidence.was_let_in || refused_for < CROWDED_GRACE;
    let may_be_throttled = evidence.is_strained && may_get_in && is_recent;
    let patience = evidence.patience;
    let is_everybody = match others {
        Others::Refused => true,
        // who was never let in, and is alone, has most likely been set up wrongly
        Others::None => evidence.is_known && patience.all_denied != AllDenied::MaxAge,
        Others::Fine => false,
    };
    match kind {
        Kind::TooMany => Class::Throttled,
        Kind::TokenRefused if evidence.skew_s.is_some_and(|skew| skew.saturating_abs() > Alarm::GRAVE_S) => {
            Class::Clock
        }
        Kind::TokenRefused if evidence.are_stale => Class::Credentials,
        Kind::TokenRefused if may_be_throttled => Class::Throttled,
        Kind::TokenRefused if is_everybody && refused_for < patience.with_everybody() => Class::Service,
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
    /// Refusals of tokens, one for each step.
    refusals: u32,
    first_refused_at: Option<Micros>,
    last_refused_at: Option<Micros>,
    /// Since when nothing of ours (the clock, the credentials) explains the refusals.
    suspected_since: Option<Micros>,
    /// Since when nothing but a denial of this very user explains them.
    denied_since: Option<Micros>,
    judged_at: Micros,
}

impl Reaction {
    fn forgive(&mut self) {
        self.steps = 0;
        self.judgement.step = Step::BackOff(Micros(0));
    }

    /// Whether its user may be denied, where the others at the endpoint fare so.
    fn suspicion(&self, others: Others, now: Micros, patience: Patience) -> Suspicion {
        let Judgement { kind, class, .. } = self.judgement;
        if class == Class::Denied && kind != Kind::TokenRefused {
            return Suspicion::Proven; // the server has said so
        }
        let is_confirmed = self.refusals >= PROOF_REFUSALS;
        let Some(since) = self.suspected_since else { return Suspicion::Unfounded };
        if kind != Kind::TokenRefused && !is_confirmed {
            return Suspicion::Unfounded;
        }
        let is_everybody = match (others, patience.all_denied) {
            (Others::Fine, _) | (Others::None, AllDenied::MaxAge) => false,
            (Others::Refused, _) | (Others::None, _) => true,
        };
        let is_over = now.since(since) >= patience.with_everybody();
        match patience.all_denied {
            _ if !is_everybody && self.is_proven(patience) => Suspicion::Proven,
            _ if !is_everybody => Suspicion::Founded,
            _ if is_over && is_confirmed => Suspicion::Proven,
            AllDenied::MaxAge => Suspicion::Founded,
            AllDenied::DenyAfter(_) if is_over => Suspicion::Founded,
            AllDenied::DenyAfter(_) | AllDenied::Service => Suspicion::Unfounded,
        }
    }

    /// Whether fresh tokens of this user were refused often and for long enough, and it alone.
    fn is_proven(&self, patience: Patience) -> bool {
        let (Some(since), Some(last)) = (self.denied_since, self.last_refused_at) else { return false };
        self.refusals >= PROOF_REFUSALS && last >= since + patience.with_one()
    }
}

/// How logins with tokens fare at one endpoint. Holds only users that are in trouble.
#[derive(Clone, Debug, Default)]
pub struct Reactions {
    users: HashMap<Box<str>, Reaction>,
    accepted_at: Option<Micros>,
    /// When somebody was let in whose tokens had been refused shortly before, for no reason that is known here.
    healed_at: Option<Micros>,
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
        let refused_for = first_refused_at.map_or(Micros(0), |first| now.since(first));
        let others = self.others(user, first_refused_at, now);
        let heals = self.healed_at.is_some_and(|at| now.since(at) < HEALING_SPAN);
        let evidence = &Evidence { is_strained: evidence.is_strained || heals, ..*evidence };
        let inferred = class_of(kind, evidence, others, refused_for);
        let is_brief = inferred == Class::Denied && is_refusal && refused_for < evidence.grace();
        let class = if is_brief { Class::Service } else { inferred };
        // What the service, the clock or the credentials may have caused proves nothing once they are well again.
        let denied_since = match known.and_then(|known| known.denied_since) {
            since if !is_refusal => since,
            _ if inferred != Class::Denied => None,
            _ if others == Others::Refused => first_refused_at,
            since => since.or(Some(now)),
        };
        let suspected_since = match known.and_then(|known| known.suspected_since) {
            since if !is_refusal => since,
            _ if matches!(inferred, Class::Clock | Class::Credentials) => None,
            since => since.or(Some(now)),
        };
        let steps = known.map_or(0, |known| known.steps);
        let pause = match back_off(steps, jitter) {
            // the endpoint's pace holds back more than a pause of this user's could
            pause if is_brief || class == Class::Throttled => pause.min(SHORT_PAUSE),
            pause => pause,
        };
        // the refusal that proves a denial comes as soon as it may
        let proof_at = denied_since.map(|since| since + evidence.patience.with_one()).filter(|at| *at > now);
        let until = (now + pause).min(proof_at.unwrap_or(Micros::NEVER));
        // Only a refused token may be cured by another one, and not where there are too many already.
        let step = match steps {
            0 if is_refusal && class != Class::Throttled => Step::Again,
            1 if is_refusal && class != Class::Throttled => Step::RefreshThenAgain,
            _ => Step::BackOff(until),
        };
        let reaction = Reaction {
            judgement: Judgement { kind, class, step },
            steps: steps.saturating_add(1),
            refusals: known.map_or(0, |known| known.refusals) + u32::from(is_refusal),
            first_refused_at,
            last_refused_at: if is_refusal {
                Some(now)
            } else {
                known.and_then(|known| known.last_refused_at)
            },
            suspected_since,
            denied_since,
            judged_at: now,
        };
        self.make_room_for(user);
        self.users.insert(user.into(), reaction);
        Some(reaction.judgement)
    }

    /// A login as `user` was accepted: its troubles are over.
    pub fn accepted(&mut self, user: &str, now: Micros) {
        let before = self.users.remove(user);
        // what took longer was a permission that was given back, or an outage
        let is_passing = |since: Micros| now.since(since) < CROWDED_GRACE;
        if before.and_then(|known| known.suspected_since).is_some_and(is_passing) {
            self.healed_at = Some(now);
        }
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

    /// Whether `user` may be denied, if it is in trouble: [`super::age::Authorization::verdict`] goes by it.
    pub fn suspicion(&self, user: &str, now: Micros, patience: Patience) -> Option<Suspicion> {
        let known = self.users.get(user)?;
        Some(known.suspicion(self.others(user, known.first_refused_at, now), now, patience))
    }

    /// Whether nobody is in trouble, as far as anybody has tried within the last ten minutes.
    pub fn is_calm(&mut self, now: Micros) -> bool {
        self.users.retain(|_, known| now.since(known.judged_at) < MEMORY_SPAN);
        self.users.is_empty()
    }

    /// Lets `user` be tried at once, with a fresh token and fresh credentials after it: for IAM REFRESH, RECONNECT, and for
    /// entries that have changed. What is known of its trouble stays until a login tells otherwise: servers go by it.
    pub fn forgive(&mut self, user: &str) {
        self.users.get_mut(user).into_iter().for_each(Reaction::forgive);
    }

    /// The same for everybody.
    pub fn forgive_all(&mut self) {
        self.users.values_mut().for_each(Reaction::forgive);
    }

    fn others(&self, user: &str, first_refused_at: Option<Micros>, now: Micros) -> Others {
        let fine =
            self.accepted_at.zip(first_refused_at).is_some_and(|(accepted, refused)| accepted >= refused);
        let is_refused = |other: &Reaction| other.refusals > 0 && now.since(other.judged_at) < SIGN_SPAN;
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
mod tests;
