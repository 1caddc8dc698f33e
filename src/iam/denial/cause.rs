//! What explains the refusals of tokens, and what that makes of whoever was refused.
//!
//! RDS gives no reason, so the first thing that is known to go wrong and that may have caused a refusal is
//! held to have caused it ([`Cause`]); only where nothing is left it is a denial. What the refusals since the
//! last login that was accepted come to together is kept in [`Refusals`]. Pure.

use super::chance::{Entries, Row};
use super::class::Class;
use crate::base::{Micros, limits};
use crate::config::AllDenied;
use crate::iam::skew::Alarm;

/// Refusals of whoever was let in before count for so long as a fault of IAM's that passes: RDS refuses for a
/// moment when it fails over, or when others log in there too often. Clients wait meanwhile, and are not told
/// that they may not.
pub(super) const GRACE: Micros = Micros::from_secs(5);

/// The same where logins are many there: so long it may take until the pace has found what RDS lets through,
/// and each has had its turn.
pub(super) const CROWDED_GRACE: Micros = Micros::from_secs(30);

/// Where logins are many and some get in, somebody is denied when its refusals are so rare by chance: one in
/// so many that are only throttled is called denied …
const CHANCE_ONE_IN: u32 = 1000;

/// … or one in so many, when they have lasted for long.
const LASTING_CHANCE_ONE_IN: u32 = 50;

/// For so long.
const LASTING_SPAN: Micros = Micros::from_secs(60);

/// A denial is proven by this many refusals …
pub(super) const PROOF_REFUSALS: u32 = 3;

/// … over at least this time: permissions take a while to spread, and a fault of RDS a while to pass. Where
/// servers grow no older than ten times this, it is a tenth of their age: the least that is left of it when
/// the last renewal is due.
const PROOF_SPAN: Micros = Micros::from_secs(60);

/// Refusals of everybody count as a fault of IAM's service for so long; beyond it, as what they say. Whoever
/// took a permission away from all roles of an endpoint at once is not to wait for ever.
const SERVICE_SPAN: Micros = Micros::from_secs(600);

/// How the others of the same endpoint have fared within the last minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// Nobody else has tried, or whoever did was let in before the first refusal.
    None,
    /// Somebody logged in since the first refusal, and nobody was refused.
    Fine,
    /// Somebody logged in since the first refusal, and somebody was refused.
    Mixed,
    /// The same, and of one that was refused just now nothing is known yet that makes it a denial.
    Unsettled,
    /// Whoever has tried was refused.
    Refused,
}

impl Others {
    /// Whether it shows that logins work there.
    fn has_success(self) -> bool {
        matches!(self, Self::Fine | Self::Mixed | Self::Unsettled)
    }
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
        Self { all_denied: AllDenied::default(), max_age: Micros::from_secs(limits::IAM_MAX_AGE_S) }
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

    /// Over how long somebody has to be refused before it is proven to be denied.
    pub(super) fn with_one(self) -> Micros {
        PROOF_SPAN.min(Micros(self.max_age.0 / 10))
    }

    /// Whether it is everybody who is refused. Whoever is alone there is all of them where the operator has
    /// chosen so; but who was never let in has most likely been set up wrongly.
    fn is_everybody(self, others: Others, let_in: LetIn) -> bool {
        match others {
            Others::Refused => true,
            Others::None => let_in != LetIn::Never && self.all_denied != AllDenied::MaxAge,
            Others::Fine | Others::Mixed | Others::Unsettled => false,
        }
    }
}

/// Whether somebody whose logins fail may be denied: servers that work go by it. The mildest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suspicion {
    /// What is in the way may pass, through no fault of the user.
    Unfounded,
    /// It may be denied: tokens are refused, and nothing that is known here explains it.
    Founded,
    /// It is denied beyond doubt.
    Proven,
}

/// When this very login was accepted last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LetIn {
    /// Never, as far as is known.
    #[default]
    Never,
    /// At some time.
    Once,
    /// Within the last minute.
    Lately,
}

/// What is known of the credentials that signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backing {
    /// Nothing speaks against them.
    #[default]
    Sound,
    /// The last fetch failed, so they may be dead.
    Stale,
    /// AWS itself denies this principal newer ones.
    Denied,
}

/// What is known on this side when a token was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The login budget of the endpoint is strained ([`crate::iam::budget::Budget::is_strained`]).
    pub is_strained: bool,
    /// When this very login was accepted last.
    pub let_in: LetIn,
    /// The credentials.
    pub backing: Backing,
    /// Seconds that the server's clock is ahead of ours, where that was measured.
    pub skew_s: Option<i64>,
    /// How long a refusal may count as something that passes.
    pub patience: Patience,
}

impl Evidence {
    /// For how long refusals that look like a denial are none yet.
    fn grace(&self, others: Others) -> Micros {
        match (self.is_strained, self.let_in) {
            // What others hear tells more than time does.
            (true, LetIn::Never) if others.has_success() => GRACE,
            (true, _) => CROWDED_GRACE,
            // Whoever comes then hears most likely what the others do.
            (false, _) if others == Others::Unsettled => GRACE,
            (false, LetIn::Once | LetIn::Lately) => GRACE,
            (false, LetIn::Never) => Micros(0),
        }
    }

    fn is_clock_off(&self) -> bool {
        self.skew_s.is_some_and(|skew| skew.saturating_abs() > Alarm::GRAVE_S)
    }
}

/// What explains a refused token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The clocks disagree: it was so at the refusals before, too.
    Clock,
    /// The credentials may be dead.
    Credentials,
    /// Too many logins at a time.
    Throttled,
    /// A fault of the service: everybody is refused.
    Everybody,
    /// A fault of the service that passes in a moment.
    Moment,
    /// Nothing but a denial.
    Denial,
    /// The same, and AWS has said so, too.
    DenialByAws,
}

impl Cause {
    /// What the metrics and clients are told.
    pub(super) fn class(self) -> Class {
        match self {
            Self::Clock => Class::Clock,
            Self::Credentials => Class::Credentials,
            Self::Throttled => Class::Throttled,
            Self::Everybody | Self::Moment => Class::Service,
            Self::Denial | Self::DenialByAws => Class::Denied,
        }
    }

    fn is_denial(self) -> bool {
        matches!(self, Self::Denial | Self::DenialByAws)
    }

    /// Whether it is something of ours.
    fn is_ours(self) -> bool {
        matches!(self, Self::Clock | Self::Credentials)
    }
}

/// The refusals of tokens since the last login that was accepted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Refusals {
    count: u32,
    /// How likely they are where everybody is throttled.
    row: Row,
    first_at: Option<Micros>,
    /// What explains the last one.
    cause: Option<Cause>,
    let_in: LetIn,
    /// Since when something else than the clock or the credentials has to explain them.
    unexplained_since: Option<Micros>,
    /// Since when nothing but a denial explains them, or a moment's fault that has lasted.
    denied_since: Option<Micros>,
    /// How many of those there were.
    denied: u32,
    /// When a denial explained one last.
    denied_at: Option<Micros>,
}

impl Refusals {
    /// When the first one came.
    pub(super) fn first_at(&self) -> Option<Micros> {
        self.first_at
    }

    /// One more comes, where `entries` were let in of late and `outside` others were not.
    pub(super) fn weigh(&mut self, entries: &Entries, outside: impl Fn(Micros) -> usize, now: Micros) {
        self.row.add(entries, outside, now);
    }

    /// Whether whoever is refused may be throttled as well as anything else.
    pub(super) fn may_be_of_many(&self) -> bool {
        self.cause.is_some_and(|cause| !cause.is_denial())
    }

    /// Whether they are too few to call them a denial, or are called something else.
    pub(super) fn are_unsettled(&self) -> bool {
        !self.are_none() && (self.may_be_of_many() || !self.are_confirmed())
    }

    /// Since when something else than the clock or the credentials has to explain them.
    pub(super) fn unexplained_since(&self) -> Option<Micros> {
        self.unexplained_since
    }

    /// Whether they are too many to be chance.
    pub(super) fn are_confirmed(&self) -> bool {
        self.count >= PROOF_REFUSALS
    }

    /// Whether there is none.
    pub(super) fn are_none(&self) -> bool {
        self.count == 0
    }

    /// One more, at `now`. Returns what explains it.
    pub(super) fn add(&mut self, evidence: &Evidence, others: Others, now: Micros) -> Cause {
        self.count = self.count.saturating_add(1);
        let cause = self.cause_of_last(evidence, others, now);
        self.first_at = self.first_at.or(Some(now));
        (self.cause, self.let_in) = (Some(cause), evidence.let_in);
        match cause {
            Cause::Clock => (self.unexplained_since, self.denied_since, self.denied) = (None, None, 0),
            Cause::Credentials => {}
            _ => self.unexplained_since = self.unexplained_since.or(Some(now)),
        }
        if cause == Cause::Moment || cause.is_denial() {
            let is_everybody = others == Others::Refused && cause == Cause::Denial;
            let since = if is_everybody { self.unexplained_since } else { None };
            self.denied_since = self.denied_since.or(since).or(Some(now));
            self.denied = self.denied.saturating_add(1);
        }
        if cause.is_denial() {
            self.denied_at = Some(now);
        }
        cause
    }

    /// The first that fits.
    fn cause_of_last(&self, evidence: &Evidence, others: Others, now: Micros) -> Cause {
        let refused_for = self.unexplained_since.map_or(Micros(0), |since| now.since(since));
        let patience = evidence.patience;
        let is_everybody = patience.is_everybody(others, evidence.let_in);
        match evidence.backing {
            // Tokens of all are signed by the same clock: one that is taken there clears it.
            _ if evidence.is_clock_off() && !others.has_success() => Cause::Clock,
            Backing::Denied => Cause::DenialByAws,
            Backing::Stale => Cause::Credentials,
            Backing::Sound if self.may_be_throttled(evidence, others, refused_for) => Cause::Throttled,
            Backing::Sound if is_everybody && refused_for < patience.with_everybody() => Cause::Everybody,
            Backing::Sound if self.may_pass(evidence, others, refused_for) => Cause::Moment,
            Backing::Sound => Cause::Denial,
        }
    }

    /// Throttling hits whoever comes: not the one alone that nobody has seen get in for long, nor the one
    /// that is refused again and again while nobody else is, nor while others get in too often for chance.
    fn may_be_throttled(&self, evidence: &Evidence, others: Others, refused_for: Micros) -> bool {
        if !others.has_success() {
            let is_recent = evidence.let_in == LetIn::Lately || refused_for < CROWDED_GRACE;
            return evidence.is_strained && is_recent;
        }
        let is_known = evidence.let_in != LetIn::Never;
        let is_alone = others == Others::Fine && self.count > 1;
        evidence.is_strained && is_known && !is_alone && self.may_be_chance(refused_for)
    }

    /// Whether it may be something that passes by itself.
    fn may_pass(&self, evidence: &Evidence, others: Others, refused_for: Micros) -> bool {
        let is_among_many = evidence.is_strained && others.has_success();
        (is_among_many && self.may_be_chance(refused_for)) || refused_for < evidence.grace(others)
    }

    /// Whether they may have hit this one by chance, where others get in.
    fn may_be_chance(&self, refused_for: Micros) -> bool {
        let one_in = if refused_for < LASTING_SPAN { CHANCE_ONE_IN } else { LASTING_CHANCE_ONE_IN };
        !(self.row.is_rarer_than(one_in) && self.are_confirmed())
    }

    /// What is made of them by now. `is_last`: nothing else has come in between.
    pub(super) fn suspicion(
        &self,
        others: Others,
        is_last: bool,
        now: Micros,
        patience: Patience,
    ) -> Suspicion {
        let (Some(cause), Some(since)) = (self.cause, self.unexplained_since) else {
            return Suspicion::Unfounded;
        };
        if cause.is_ours() || !(is_last || self.are_confirmed()) {
            return Suspicion::Unfounded;
        }
        if cause == Cause::DenialByAws || !patience.is_everybody(others, self.let_in) {
            let is_proven = self.denied >= PROOF_REFUSALS && self.spans(self.denied_since, patience);
            return if is_proven { Suspicion::Proven } else { Suspicion::Founded };
        }
        let is_over = now.since(since) >= patience.with_everybody();
        match patience.all_denied {
            _ if is_over && self.are_confirmed() && self.spans(Some(since), patience) => Suspicion::Proven,
            AllDenied::MaxAge => Suspicion::Founded,
            AllDenied::DenyAfter(_) if is_over => Suspicion::Founded,
            AllDenied::DenyAfter(_) | AllDenied::Service => Suspicion::Unfounded,
        }
    }

    /// Whether from `since` to the last one that a denial explained it is as long as a proof has to be.
    fn spans(&self, since: Option<Micros>, patience: Patience) -> bool {
        since.zip(self.denied_at).is_some_and(|(since, last)| last >= since + patience.with_one())
    }

    /// When the next one may prove a denial, where time alone is missing.
    pub(super) fn proof_at(&self, patience: Patience) -> Option<Micros> {
        self.denied_since.map(|since| since + patience.with_one())
    }
}
