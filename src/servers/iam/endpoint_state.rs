//! What is known of logins by IAM at one endpoint: its budget, how each who logs in fares
//! there, what was logged of it.
//!
//! The rules are [`crate::iam::denial`]'s and [`crate::iam::budget`]'s; here they meet the clock, the dice
//! and the lock, which is held for a few additions and never across an await. Memory: one row for each
//! ([`Who`]) that has logged in, bounded.

use super::gate::Gate;
use super::rate_limiter::{RateLimiter, Waits};
use crate::base::{Micros, limits};
use crate::iam::denial::{
    Admission, Backing, Class, Evidence, Judgement, Kind, LetIn, Outcome, Patience, Reactions, Step,
    Suspicion, Who,
};
use crate::iam::{Endpoint, Explanation};
use crate::io::Clock;
use crate::stats::Recent;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Between two log lines about a trouble that goes on.
const REMIND: Micros = Micros::from_secs(600);

/// Whoever wants a server tries within this time after a back-off: the janitor's passes are shorter.
const PROBE_AFTER: Micros = Micros::from_secs(1);

/// Who was let in within this time is known to the server.
const LET_IN_SPAN: Micros = Micros::from_secs(60);

/// The percentile of "all but the slowest".
const SLOWEST_BUT: usize = 99;

/// One endpoint.
pub struct EndpointState {
    endpoint: Endpoint,
    clock: Clock,
    /// The budget.
    pub turns: Arc<RateLimiter>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    reactions: Reactions,
    /// How long logins that were accepted have taken lately, in microseconds.
    spans: Recent,
    tallies: HashMap<Who, Tally>,
    /// Of those who log in just now.
    gates: HashMap<Who, Weak<Gate>>,
    /// How many logins of each have had no answer for longer than logins take.
    unanswered: HashMap<Who, u32>,
}

/// What was counted of one of those who log in at one endpoint.
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
    /// When it was tried last.
    heard_at: Micros,
    /// What was logged of it last, and when.
    told: Option<(Kind, Class, Micros)>,
}

/// How one of those fares at one endpoint.
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

impl EndpointState {
    /// An endpoint where nobody has logged in yet. `waits` learns how long logins wait for their turns.
    pub fn new(endpoint: Endpoint, login_rate: u32, clock: Clock, waits: Arc<Waits>) -> Self {
        Self { endpoint, clock, turns: RateLimiter::new(login_rate, clock, waits), state: Mutex::default() }
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether a login of `who` may be tried now.
    ///
    /// # Errors
    /// When it may be.
    pub fn may_try(&self, who: &Who) -> Result<(), Micros> {
        self.state().reactions.may_try(who, self.clock.now())
    }

    /// How logins of `who` may be tried now.
    pub fn admission(&self, who: &Who) -> Admission {
        self.state().reactions.admission(who, self.clock.now())
    }

    /// Where the logins of `who` meet while they are refused. It lasts for as long as somebody holds it.
    pub fn gate(&self, who: &Who) -> Arc<Gate> {
        let mut state = self.state();
        if let Some(known) = state.gates.get(who).and_then(Weak::upgrade) {
            return known;
        }
        state.gates.retain(|_, gate| gate.strong_count() > 0);
        let gate = Arc::default();
        state.gates.insert(who.clone(), Arc::downgrade(&gate));
        gate
    }

    /// Whether a login of `who` might have been tried for a while, and nobody did.
    pub fn is_left_alone(&self, who: &Who) -> bool {
        let earlier = self.clock.now() - PROBE_AFTER;
        self.state().reactions.may_try(who, earlier).is_ok()
    }

    /// Whether a login of `who` was accepted since `since`.
    pub fn has_accepted(&self, who: &Who, since: Micros) -> bool {
        let state = self.state();
        state.tallies.get(who).and_then(|tally| tally.accepted_at).is_some_and(|at| at >= since)
    }

    /// The last failure of `who`, if its logins fail: as clients may read it, and its class.
    pub fn trouble(&self, who: &Who) -> Option<(Arc<str>, Class)> {
        let state = self.state();
        let class = state.reactions.trouble(who)?.class;
        Some((state.tallies.get(who)?.brief.clone()?, class))
    }

    /// Whether `who` may be denied, if it is in trouble: servers that work go by it. That a login has no
    /// answer is trouble, too, as long as nothing worse is known: who hangs denies nothing.
    pub fn suspicion(&self, who: &Who, patience: Patience) -> Option<Suspicion> {
        let state = self.state();
        let known = state.reactions.suspicion(who, self.clock.now(), patience);
        known.or_else(|| state.unanswered.contains_key(who).then_some(Suspicion::Unfounded))
    }

    /// A login of `who` has had no answer for longer than logins take; it has, or has been given up,
    /// when the guard is dropped.
    pub fn has_no_answer(self: &Arc<Self>, who: &Who) -> Unanswered {
        *self.state().unanswered.entry(who.clone()).or_default() += 1;
        Unanswered { endpoint_state: Arc::clone(self), who: who.clone() }
    }

    /// How long a login may take before it counts as one without an answer: twice what they have taken
    /// lately, and two seconds or, where servers grow no older than `max_age`, a twentieth of that: a third
    /// of what is left when the last is replaced.
    pub fn patience_with_logins(&self, max_age: Micros) -> Micros {
        let least = Micros::from_millis(limits::IAM_LOGIN_SLOW_MS).min(Micros(max_age.0 / 20));
        self.login_spans().map_or(least, |[_, most]| least.max(Micros(2 * most.0)))
    }

    /// A login of `who` was accepted. Returns whether its logins had failed before.
    pub fn accepted(&self, who: &Who) -> bool {
        let mut state = self.state();
        let was_in_trouble = state.reactions.trouble(who).is_some();
        let now = self.clock.now();
        state.reactions.accepted(who, now);
        let tally = state.tally(who, now);
        (tally.accepted, tally.accepted_at) = (tally.accepted + 1, Some(now));
        (tally.last_error, tally.brief, tally.told) = (None, None, None);
        if was_in_trouble {
            state.tell_gate(who);
        }
        was_in_trouble
    }

    /// A login was accepted that has taken so long. Returns how long all but the slowest take lately.
    pub fn login_took(&self, span: Micros) -> Micros {
        let mut state = self.state();
        state.spans.record(span.0);
        state.spans.percentile(SLOWEST_BUT).map_or(span, Micros)
    }

    /// How long logins that were accepted have taken lately: the median, and all but the slowest.
    pub fn login_spans(&self) -> Option<[Micros; 2]> {
        let state = self.state();
        let [median, most] = [50, SLOWEST_BUT].map(|percent| state.spans.percentile(percent));
        Some([Micros(median?), Micros(most?)])
    }

    /// A login that was begun at `begun_at` has failed; `evidence` is without what the budget knows, `detail`
    /// is what the system says of a connection that there is not. `None`: for a reason that has nothing to do
    /// with tokens.
    pub fn failed(
        &self,
        who: &Who,
        outcome: &Outcome<'_>,
        evidence: Evidence,
        begun_at: Micros,
        detail: Option<&str>,
    ) -> Option<Judged> {
        let is_strained = self.turns.is_strained(begun_at);
        let now = self.clock.now();
        let mut state = self.state();
        let (let_in, backing) = (state.let_in(who, now), state.backing(who, evidence.backing, now));
        // Nothing tells the refusals of who was never let in from those that others met just now.
        let is_strained = is_strained || (let_in == LetIn::Never && self.turns.is_throttled());
        let evidence = Evidence { is_strained, let_in, backing, ..evidence };
        let before = state.reactions.admission(who, now);
        let judgement = state.reactions.failed(who, outcome, &evidence, begun_at, now, fastrand::f64())?;
        let Judgement { kind, class, .. } = judgement;
        let Who { user, source } = who;
        let explanation = Explanation { judgement, endpoint: &self.endpoint, user, source, detail };
        let (text, brief): (Arc<str>, Arc<str>) =
            (explanation.to_string().into(), explanation.brief().into());
        let tally = state.tally(who, now);
        tally.failed[class as usize] += 1;
        (tally.last_error, tally.brief) = (Some(Arc::clone(&text)), Some(Arc::clone(&brief)));
        let is_the_same =
            |(what, how, at): (Kind, Class, Micros)| (what, how) == (kind, class) && now.since(at) < REMIND;
        // What another try may cure at once is no news yet.
        let is_final = matches!(judgement.step, Step::BackOff(_));
        let is_news = is_final && !tally.told.is_some_and(is_the_same);
        if is_news {
            tally.told = Some((kind, class, now));
        }
        if before == Admission::Open && state.reactions.admission(who, now) != Admission::Open {
            state.tell_gate(who); // those that wait for their turns leave the queue
        }
        drop(state);
        if class == Class::Throttled {
            self.turns.throttled(begun_at);
        }
        Some(Judged { judgement, text, brief, is_news })
    }

    /// Whether the logins of nobody fail, or have no answer.
    pub fn is_calm(&self) -> bool {
        let mut state = self.state();
        state.unanswered.is_empty() && state.reactions.is_calm(self.clock.now())
    }

    /// Lets everybody be tried at once; see [`Reactions::forgive`]. Returns how many pauses that ends.
    pub fn forgive_all(&self) -> usize {
        let mut state = self.state();
        let pauses = state.reactions.held_back(self.clock.now());
        state.reactions.forgive_all();
        pauses
    }

    /// Lets whoever logs in as `user` be tried at once; see [`Reactions::forgive`].
    pub fn forgive_user(&self, user: &str) {
        self.state().reactions.forgive_user(user);
    }

    /// Lets `who` be tried at once; see [`Reactions::forgive`]. Returns how many pauses that ends.
    pub fn forgive(&self, who: &Who) -> usize {
        let mut state = self.state();
        let is_held_back = state.reactions.may_try(who, self.clock.now()).is_err();
        state.reactions.forgive(who);
        usize::from(is_held_back)
    }

    /// What was counted of `who`; `None` = it has not tried yet.
    pub fn report_of(&self, who: &Who) -> Option<LoginReport> {
        let state = self.state();
        let tally = state.tallies.get(who)?;
        Some(LoginReport {
            user: Arc::clone(&who.user),
            tally: tally.clone(),
            trouble: state.reactions.trouble(who).map(|judgement| judgement.class),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell_gate(&self, who: &Who) {
        if let Some(gate) = self.gates.get(who).and_then(Weak::upgrade) {
            gate.tell();
        }
    }

    fn let_in(&self, who: &Who, now: Micros) -> LetIn {
        match self.tallies.get(who).and_then(|tally| tally.accepted_at) {
            None => LetIn::Never,
            Some(at) if now.since(at) < LET_IN_SPAN => LetIn::Lately,
            Some(_) => LetIn::Once,
        }
    }

    /// What is known of the credentials that signed for `who`: those that let another one in since its first
    /// refusal are not dead.
    fn backing(&self, who: &Who, told: Backing, now: Micros) -> Backing {
        let since = self.reactions.refused_since(who).unwrap_or(now);
        let lets_in = |(other, tally): (&Who, &Tally)| {
            let is_proof = |at: Micros| at >= since && now.since(at) < LET_IN_SPAN;
            other != who && other.source == who.source && tally.accepted_at.is_some_and(is_proof)
        };
        let are_alive = told == Backing::Stale && self.tallies.iter().any(lets_in);
        if are_alive { Backing::Sound } else { told }
    }

    fn tally(&mut self, who: &Who, now: Micros) -> &mut Tally {
        if self.tallies.len() >= limits::IAM_LOGINS_PER_ENDPOINT_MAX && !self.tallies.contains_key(who) {
            let in_trouble = |who| self.reactions.trouble(who).is_some();
            let least = self.tallies.iter().min_by_key(|(who, tally)| (in_trouble(who), tally.heard_at));
            let least = least.map(|(who, _)| who.clone());
            least.map(|least| self.tallies.remove(&least));
        }
        let tally = self.tallies.entry(who.clone()).or_default();
        tally.heard_at = now;
        tally
    }
}

/// See [`EndpointState::has_no_answer`].
pub struct Unanswered {
    endpoint_state: Arc<EndpointState>,
    who: Who,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        let mut state = self.endpoint_state.state();
        if let Some(count) = state.unanswered.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                state.unanswered.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests;
