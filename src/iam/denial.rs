//! What a failed login with a token means, and what is tried next.
//!
//! RDS never says why it refuses a token: an expired, forged, forbidden or throttled one and a fault of its
//! own all look the same (28000). So the reason is inferred from what is known here (`cause`), and no single
//! refusal counts as a denial. Where the server does say why, that holds until a login succeeds, whatever
//! else goes wrong meanwhile. The steps: mint a fresh token and try once more at once; have new credentials
//! fetched and try once more; then back off with jitter, for each (endpoint, user, principal) apart
//! ([`Who`]). Pure: monotonic time and dice come in as arguments. Source: PostgreSQL and RDS behaviour as
//! measured; Amazon RDS User Guide, "Troubleshooting IAM authentication".

mod cause;
mod chance;
mod class;
mod outcome;

pub use cause::{Backing, Evidence, LetIn, Patience, Suspicion};
pub use class::Class;

use super::source::SourceKey;
use crate::base::{Micros, limits};
use cause::{CROWDED_GRACE, Cause, GRACE, Others, Refusals};
use chance::Entries;
pub use outcome::{Asked, Kind, Outcome, Stage};
use std::collections::HashMap;
use std::sync::Arc;

/// The longest pause between two tries.
const BACK_OFF_MAX: Micros = Micros::from_secs(15);

/// When one that was refused was let in again by itself, refusals of others are no denials for so long: some
/// logins pass and some do not.
const HEALING_SPAN: Micros = Micros::from_secs(15);

/// The longest pause while a refusal may pass by itself at any moment.
const SHORT_PAUSE: Micros = Micros::from_secs(1);

/// While tokens are refused, fresh credentials are asked for this often.
const REFRESH_PERIOD: Micros = Micros::from_secs(60);

/// For so long a verdict on one of them tells something of the refusals of others.
const SIGN_SPAN: Micros = Micros::from_secs(60);

/// A trouble that nobody has run into for so long is over.
const MEMORY_SPAN: Micros = Micros::from_secs(600);

/// What looked like a denial is remembered for as long as a server may live that was opened before
/// ([`limits::IAM_MAX_AGE_S_MOST`]): where credentials fail as well, no login tells of it again.
const DENIAL_MEMORY_SPAN: Micros = Micros::from_secs(limits::IAM_MAX_AGE_S_MOST);

/// Those of one endpoint that are remembered; beyond them, one that looks least like a denial is forgotten,
/// and of those the one that was heard of longest ago.
const REMEMBERED_MAX: usize = limits::IAM_LOGINS_PER_ENDPOINT_MAX;

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

/// How logins of somebody may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// As many at a time as are wanted.
    Open,
    /// One at a time: the server has refused it, and the next one most likely hears the same.
    OneByOne,
    /// Not before this time.
    Closed(Micros),
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

/// Who logs in to an endpoint: a database user, by the word of whatever AWS principal a source stands
/// for. Each is judged alone: RDS asks whether that principal may log in as that user, and two
/// tenants may share the user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Who {
    /// The database user.
    pub user: Arc<str>,
    /// What signs.
    pub source: SourceKey,
}

/// How one of those who log in to an endpoint fares.
#[derive(Clone, Copy, Debug)]
struct Reaction {
    judgement: Judgement,
    /// Failures of whatever kind since the last login that was accepted: pauses grow with them.
    failures: u32,
    /// What was tried at once against refused tokens: a fresh token, then fresh credentials.
    cures: u32,
    /// When fresh credentials were asked for last.
    refreshed_at: Option<Micros>,
    refusals: Refusals,
    /// All logins that were refused, those under way together each by itself.
    refused: u32,
    /// The server has said itself that this login is not to be, and has not let it in since.
    is_told: bool,
    judged_at: Micros,
}

impl Reaction {
    fn forgive(&mut self) {
        (self.failures, self.cures, self.refreshed_at) = (0, 0, None);
        self.judgement.step = Step::BackOff(Micros(0));
    }

    /// Whether it may be denied, where the others at the endpoint fare so.
    fn suspicion(&self, others: Others, now: Micros, patience: Patience) -> Suspicion {
        if self.is_told {
            return Suspicion::Proven;
        }
        let is_last = self.judgement.kind == Kind::TokenRefused;
        self.refusals.suspicion(others, is_last, now, patience)
    }

    /// What is to be remembered rather than another: what looks like a denial, then what is new.
    fn worth(&self) -> (bool, Micros) {
        (self.is_told || self.refusals.are_confirmed(), self.judged_at)
    }

    /// How long it is remembered although nobody has tried again.
    fn memory_span(&self) -> Micros {
        if self.worth().0 { DENIAL_MEMORY_SPAN } else { MEMORY_SPAN }
    }
}

/// How logins with tokens fare at one endpoint. Holds only those that are in trouble.
#[derive(Clone, Debug, Default)]
pub struct Reactions {
    all: HashMap<Who, Reaction>,
    entries: Entries,
    accepted_at: Option<Micros>,
    /// When somebody was let in whose tokens had been refused shortly before, for no
    /// reason that is known here.
    healed_at: Option<Micros>,
}

impl Reactions {
    /// A login of `who`, begun at `begun_at`, failed. `None`: for a reason that has
    /// nothing to do with tokens.
    ///
    /// Logins that were under way together fail together; those that began before the last step was decided
    /// on change nothing and are told that step. `jitter` is drawn from `0.0..1.0`.
    #[expect(clippy::too_many_arguments, reason = "six beside self")]
    pub fn failed(
        &mut self,
        who: &Who,
        outcome: &Outcome<'_>,
        evidence: &Evidence,
        begun_at: Micros,
        now: Micros,
        jitter: f64,
    ) -> Option<Judgement> {
        let kind = Kind::of(outcome)?;
        let is_refusal = u32::from(matches!(kind, Kind::TokenRefused | Kind::TooMany));
        if let Some(known) = self.all.get_mut(who).filter(|known| begun_at < known.judged_at) {
            known.refused = known.refused.saturating_add(is_refusal);
            return Some(known.judgement);
        }
        let known = self.all.get(who).copied();
        let before = known.filter(|_| !outcome.came_after_acceptance(kind));
        let mut refusals = before.map_or_else(Refusals::default, |known| known.refusals);
        let heals = self.healed_at.is_some_and(|at| now.since(at) < HEALING_SPAN);
        let evidence = &Evidence { is_strained: evidence.is_strained || heals, ..*evidence };
        let others = self.others(who, refusals.first_at().unwrap_or(now), now);
        let outside = |since| self.refused_besides(who, since);
        let cause = (kind == Kind::TokenRefused).then(|| {
            refusals.weigh(&self.entries, outside, now);
            refusals.add(evidence, others, now)
        });
        let class = kind.class().or(cause.map(Cause::class)).unwrap_or(Class::Denied);
        let tried = known.filter(|known| now.since(known.judged_at) < MEMORY_SPAN);
        let (failures, cures) = tried.map_or((0, 0), |known| (known.failures, known.cures));
        let refreshed_at = tried.and_then(|known| known.refreshed_at);
        let is_long_ago = refreshed_at.is_some_and(|at| now.since(at) >= REFRESH_PERIOD);
        let step = match (cause, cures) {
            // Only a refused token may be cured by another one, and not where there are too many already.
            (Some(cause), 0) if cause != Cause::Throttled => Step::Again,
            (Some(cause), 1) if cause != Cause::Throttled => Step::RefreshThenAgain,
            // They may have been replaced while the trouble lasted.
            (Some(cause), _) if cause != Cause::Throttled && is_long_ago => Step::RefreshThenAgain,
            _ => {
                let pause = back_off(failures, jitter);
                // The endpoint's pace holds back more than a pause of this one's could.
                let is_short = class == Class::Throttled || cause == Some(Cause::Moment);
                let pause = if is_short { pause.min(SHORT_PAUSE) } else { pause };
                // The refusal that proves a denial comes as soon as it may.
                let proof_at = refusals.proof_at(evidence.patience).filter(|at| *at > now);
                Step::BackOff((now + pause).min(proof_at.unwrap_or(Micros::NEVER)))
            }
        };
        let reaction = Reaction {
            judgement: Judgement { kind, class, step },
            failures: failures.saturating_add(1),
            cures: cures.saturating_add(u32::from(!matches!(step, Step::BackOff(_)))),
            refreshed_at: if step == Step::RefreshThenAgain { Some(now) } else { refreshed_at },
            refusals,
            refused: known.map_or(0, |known| known.refused).saturating_add(is_refusal),
            is_told: kind.is_the_servers_word() || before.is_some_and(|known| known.is_told),
            judged_at: now,
        };
        self.make_room_for(who);
        self.all.insert(who.clone(), reaction);
        Some(reaction.judgement)
    }

    /// A login of `who` was accepted: its troubles are over.
    pub fn accepted(&mut self, who: &Who, now: Micros) {
        let before = self.all.remove(who);
        self.entries.add(before.map_or(0, |known| known.refused), now);
        // What took longer was a permission that was given back, or an outage.
        let is_passing = |since: Micros| now.since(since) < CROWDED_GRACE;
        if before.and_then(|known| known.refusals.unexplained_since()).is_some_and(is_passing) {
            self.healed_at = Some(now);
        }
        self.accepted_at = Some(now);
    }

    /// Whether a login of `who` may be tried now.
    ///
    /// # Errors
    /// When it may be.
    pub fn may_try(&self, who: &Who, now: Micros) -> Result<(), Micros> {
        match self.all.get(who).map(|known| known.judgement.step) {
            Some(Step::BackOff(until)) if now < until => Err(until),
            _ => Ok(()),
        }
    }

    /// How logins of `who` may be tried now. What stands in the way of whoever comes, as a server that cannot
    /// be reached does, is not for this: another host may be tried meanwhile.
    pub fn admission(&self, who: &Who, now: Micros) -> Admission {
        match self.trouble(who) {
            Some(Judgement { kind, .. }) if !kind.is_a_refusal() => Admission::Open,
            Some(Judgement { step: Step::BackOff(until), .. }) if now < until => Admission::Closed(until),
            Some(_) => Admission::OneByOne,
            None => Admission::Open,
        }
    }

    /// The last judgement on `who`, if it is in trouble.
    pub fn trouble(&self, who: &Who) -> Option<Judgement> {
        self.all.get(who).map(|known| known.judgement)
    }

    /// When the tokens of `who` began to be refused.
    pub fn refused_since(&self, who: &Who) -> Option<Micros> {
        self.all.get(who)?.refusals.first_at()
    }

    /// Whether `who` may be denied, if it is in trouble: what its servers are worth
    /// meanwhile follows from it.
    pub fn suspicion(&self, who: &Who, now: Micros, patience: Patience) -> Option<Suspicion> {
        let known = self.all.get(who)?;
        let others = self.others(who, known.refusals.first_at().unwrap_or(now), now);
        Some(known.suspicion(others, now, patience))
    }

    /// Whether nobody is in trouble, as far as anybody has tried within the last ten minutes.
    pub fn is_calm(&mut self, now: Micros) -> bool {
        self.all.retain(|_, known| now.since(known.judged_at) < known.memory_span());
        self.all.values().all(|known| now.since(known.judged_at) >= MEMORY_SPAN)
    }

    /// How many may not be tried yet.
    pub fn held_back(&self, now: Micros) -> usize {
        self.all.keys().filter(|who| self.may_try(who, now).is_err()).count()
    }

    /// Lets `who` be tried at once, with a fresh token and fresh credentials after it: for IAM REFRESH,
    /// RECONNECT, and for entries that have changed. What is known of its trouble stays until a login tells
    /// otherwise: servers go by it.
    pub fn forgive(&mut self, who: &Who) {
        self.all.get_mut(who).into_iter().for_each(Reaction::forgive);
    }

    /// The same for whoever logs in as `user`.
    pub fn forgive_user(&mut self, user: &str) {
        let of_user = self.all.iter_mut().filter(|(who, _)| &*who.user == user);
        of_user.for_each(|(_, known)| known.forgive());
    }

    /// The same for everybody.
    pub fn forgive_all(&mut self) {
        self.all.values_mut().for_each(Reaction::forgive);
    }

    /// How the others have fared of late; `since`: the first refusal of `who`.
    fn others(&self, who: &Who, since: Micros, now: Micros) -> Others {
        let is_recent = |at: Micros| now.since(at) < SIGN_SPAN;
        let get_in = self.accepted_at.is_some_and(|at| at >= since && is_recent(at));
        let is_refused = |other: &Reaction| !other.refusals.are_none() && is_recent(other.judged_at);
        let is_unsettled =
            |other: &Reaction| now.since(other.judged_at) < GRACE && other.refusals.are_unsettled();
        let is_so = |is_one: &dyn Fn(&Reaction) -> bool| {
            self.all.iter().any(|(name, other)| name != who && is_one(other))
        };
        let are_refused = is_so(&is_refused);
        match (get_in, are_refused) {
            (true, false) => Others::Fine,
            (true, true) if is_so(&is_unsettled) => Others::Unsettled,
            (true, true) => Others::Mixed,
            (false, true) => Others::Refused,
            (false, false) => Others::None,
        }
    }

    /// How many others were refused since `since`, and are not held to be denied.
    fn refused_besides(&self, who: &Who, since: Micros) -> usize {
        let is_one = |other: &Reaction| other.judged_at > since && other.refusals.may_be_of_many();
        self.all.iter().filter(|(name, other)| *name != who && is_one(other)).count()
    }

    fn make_room_for(&mut self, who: &Who) {
        if self.all.len() >= REMEMBERED_MAX && !self.all.contains_key(who) {
            let oldest = self.all.iter().min_by_key(|(_, known)| known.worth()).map(|(name, _)| name.clone());
            oldest.map(|name| self.all.remove(&name));
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
