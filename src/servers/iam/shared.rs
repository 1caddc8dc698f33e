//! Logins to servers by IAM, as far as the whole process shares them: sources of credentials, endpoints, and
//! what a pool's servers are worth while logins fail.
//!
//! Never calls AWS on a login's path: a source's task starts when a configuration that names it is adopted,
//! and a login takes what is in memory. Never connects: `attempt.rs` does. Nothing is started, and no memory
//! taken, before an entry asks for it.

use super::endpoint_state::EndpointState;
use super::entry;
use super::rate_limiter::Waits;
use super::refreshed::Refreshed;
use crate::audit::Audit;
use crate::base::Micros;
use crate::config::Snapshot;
use crate::core::Stance;
use crate::iam::age::{AgeRules, Lifetime, OnDenied};
use crate::iam::denial::{Backing, Evidence, Suspicion, Who};
use crate::iam::rules::Rules;
use crate::iam::{
    CredentialState, Endpoint, Region, SecretsApi, Skew, Source, SourceKey, Sources, StaticStability,
    SystemClock, WallClock,
};
use crate::io::Clock;
use crate::servers::iam::signer::{NoToken, Signer};
use crate::stats::Histogram;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;
use tokio::sync::Notify;

/// What logins by IAM share.
pub struct Iam {
    wall: Arc<dyn WallClock>,
    clock: Clock,
    stability: StaticStability,
    sources: OnceLock<Sources>,
    /// Told when a source without usable credentials has got some.
    arrived: Arc<Notify>,
    endpoint_states: Mutex<HashMap<Endpoint, Arc<EndpointState>>>,
    /// Where, and as whom, probes are under way.
    probed: Arc<Mutex<HashSet<Aim>>>,
    waits: Arc<Waits>,
    /// By how much our clock was set since RDS has taken a token: no answer of AWS's need ever come for that.
    set_since: Skew,
    /// Until when some pool may catch up.
    catch_up_until: AtomicU64,
    /// Who hears of each fetch of credentials.
    audit: Option<Arc<Audit>>,
}

/// The endpoints of a probe, and who logs in.
type Aim = (Vec<Endpoint>, Who);

impl Iam {
    /// Nothing yet; `clock` is the process's own.
    pub fn new(snapshot: &Snapshot, clock: Clock) -> Self {
        let stability = snapshot.settings.iam_static_stability;
        Self {
            wall: Arc::new(SystemClock),
            clock,
            stability: if stability { StaticStability::On } else { StaticStability::Off },
            sources: OnceLock::new(),
            arrived: Arc::default(),
            endpoint_states: Mutex::default(),
            probed: Arc::default(),
            waits: Arc::default(),
            set_since: Skew::default(),
            catch_up_until: AtomicU64::new(0),
            audit: None,
        }
    }

    /// Has `audit` told of each fetch of credentials.
    #[must_use]
    pub fn recording_to(self, audit: Arc<Audit>) -> Self {
        Self { audit: Some(audit), ..self }
    }

    /// Brings sources and endpoints to what `snapshot` says: new sources begin to fetch, those that nobody
    /// names end. `in_use`: the rules of pools that are there, which the files need not foresee (each user
    /// of a template is another principal); what those name stays, and begins with its first login. Call
    /// it within a tokio runtime.
    /// `of_secrets`: sources by whose credentials secrets are fetched.
    pub fn adopt(
        &self,
        snapshot: &Snapshot,
        in_use: impl Iterator<Item = Rules>,
        of_secrets: HashSet<SourceKey>,
    ) {
        let mut rates: HashMap<Endpoint, u32> = HashMap::new();
        let mut keys = of_secrets;
        let foreseen = entry::foreseen(snapshot).inspect(|rules| drop(self.start_source(rules)));
        for rules in foreseen.chain(in_use) {
            for endpoint in rules.endpoints {
                let rate = rates.entry(endpoint).or_insert(rules.login_rate);
                *rate = rules.login_rate.min(*rate);
            }
            keys.insert(rules.source);
        }
        if let Some(sources) = self.sources.get() {
            sources.retain(|key| keys.contains(key));
        }
        self.endpoint_states().retain(|endpoint, _| rates.contains_key(endpoint));
        for (endpoint, rate) in rates {
            self.endpoint_state(&endpoint, rate).turns.set_rate_max(rate);
        }
    }

    /// The source of `rules`, if it is in use: rules may be those of a configuration
    /// that is in force no more.
    pub(in crate::servers) fn source(&self, rules: &Rules) -> Option<Arc<Source>> {
        self.sources.get()?.known(&rules.source)
    }

    /// The source of `rules`, which are in force.
    fn start_source(&self, rules: &Rules) -> Arc<Source> {
        let near: &Region = rules.endpoints[0].region(); // an entry has a host at the least
        self.sources().source(&rules.source, near)
    }

    /// Secrets Manager of `region`, called by the source of `key`. Call it within a tokio runtime.
    pub(in crate::servers) fn secrets_manager(&self, key: &SourceKey, region: &Region) -> SecretsApi {
        self.sources().secrets_manager(key, region)
    }

    /// All of them; made when one is wanted first.
    fn sources(&self) -> &Sources {
        let new = || Sources::new(Arc::clone(&self.wall), self.stability);
        self.sources
            .get_or_init(|| new().announcing_to(Arc::clone(&self.arrived)).recording_to(self.audit.clone()))
    }

    /// Ends when a source without usable credentials has got some, perhaps before it
    /// was called. For one caller.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(in crate::servers) async fn credentials_arrive(&self) {
        self.arrived.notified().await;
    }

    /// What signs for each endpoint of `rules`, which are in force.
    pub(in crate::servers) fn signers(&self, rules: &Rules) -> Vec<Signer> {
        let source = self.start_source(rules);
        let signer = |endpoint: &Endpoint| Signer {
            endpoint: endpoint.clone(),
            source: Arc::clone(&source),
            wall: Arc::clone(&self.wall),
        };
        rules.endpoints.iter().map(signer).collect()
    }

    /// What is known of `endpoint`; `login_rate` counts where it is new.
    pub(in crate::servers) fn endpoint_state(
        &self,
        endpoint: &Endpoint,
        login_rate: u32,
    ) -> Arc<EndpointState> {
        let mut endpoint_states = self.endpoint_states();
        if let Some(endpoint_state) = endpoint_states.get(endpoint) {
            return Arc::clone(endpoint_state);
        }
        let endpoint_state =
            Arc::new(EndpointState::new(endpoint.clone(), login_rate, self.clock, Arc::clone(&self.waits)));
        endpoint_states.insert(endpoint.clone(), Arc::clone(&endpoint_state));
        endpoint_state
    }

    /// What is known of logins that `source` signs for under `rules`, but for the budget.
    pub(in crate::servers) fn evidence(&self, source: &Source, rules: &Rules) -> Evidence {
        let backing = backing(source);
        // A token that RDS has taken shows more than any date: from then on only a clock that
        // was set explains a refusal.
        let skew_s = self.set_since.seconds(self.wall.now()).or_else(|| self.skew_s());
        let patience = rules.ages.patience();
        Evidence { backing, skew_s, patience, ..Evidence::default() }
    }

    /// Seconds that AWS's clock is ahead of ours, as far as an answer has told.
    pub fn skew_s(&self) -> Option<i64> {
        self.sources.get().and_then(|sources| sources.skew().seconds(self.wall.now()))
    }

    /// RDS has taken a token that was made by our clock just now.
    pub(in crate::servers) fn token_was_taken(&self) {
        self.set_since.agree(self.wall.now());
    }

    /// AWS's time, as this machine has it.
    pub fn wall_now(&self) -> SystemTime {
        self.wall.now()
    }

    /// How long logins have waited for their turns, and the sum of that in microseconds.
    pub fn login_waits(&self) -> (Histogram, u64) {
        self.waits.read()
    }

    /// Every source fetches anew, and no back-off counts any more.
    pub(in crate::servers) fn refresh(&self) -> Refreshed {
        let begin_in = self.all_sources().iter().map(|source| source.force_refresh()).collect();
        Refreshed {
            begin_in,
            pauses: self.endpoint_states().values().map(|endpoint_state| endpoint_state.forgive_all()).sum(),
        }
    }

    /// The sources of `parties` fetch anew, and no back-off of theirs, each one's under its rules, counts any
    /// more. `None`: nobody has logged in there yet.
    pub(in crate::servers) fn refresh_some<'a>(
        &self,
        parties: impl Iterator<Item = (&'a Rules, Option<Who>)>,
    ) -> Refreshed {
        let (mut sources, mut pauses) = (HashMap::new(), 0);
        for (rules, who) in parties {
            pauses += who.map_or(0, |who| self.forget_back_off_at(rules, &who));
            sources.extend(self.source(rules).map(|source| (&rules.source, source)));
        }
        Refreshed { begin_in: sources.values().map(|source| source.force_refresh()).collect(), pauses }
    }

    /// Logins as `user` may be tried at once again, whatever signs for them.
    pub(in crate::servers) fn forget_back_off(&self, user: &str) {
        self.endpoint_states().values().for_each(|endpoint_state| endpoint_state.forgive_user(user));
    }

    /// The same, of one under its rules. Returns how many pauses that ends.
    fn forget_back_off_at(&self, rules: &Rules, who: &Who) -> usize {
        let endpoint_states = self.endpoint_states();
        rules
            .endpoints
            .iter()
            .filter_map(|endpoint| endpoint_states.get(endpoint))
            .map(|endpoint_state| endpoint_state.forgive(who))
            .sum()
    }

    /// Every source in use, in order of its name.
    pub fn all_sources(&self) -> Vec<Arc<Source>> {
        self.sources.get().map(Sources::all).unwrap_or_default()
    }

    /// Every endpoint in use, in order of its name.
    pub fn all_endpoint_states(&self) -> Vec<Arc<EndpointState>> {
        let mut all: Vec<_> = self.endpoint_states().values().map(Arc::clone).collect();
        all.sort_by_cached_key(|endpoint_state| endpoint_state.endpoint().to_string());
        all
    }

    /// What becomes of servers of `who` whose authorization grows old.
    pub(in crate::servers) fn stance(&self, rules: &Rules, who: &Who) -> Stance {
        self.trouble(rules, who).map_or(Stance::Renew, |trouble| stance_under(trouble, &rules.ages))
    }

    /// Whether `who` may be denied, where it cannot be logged in anywhere; `None` where it can, as far as is
    /// known, and where `rules` are in force no more.
    pub(in crate::servers) fn trouble(&self, rules: &Rules, who: &Who) -> Option<Suspicion> {
        let source = self.source(rules)?;
        match source.current() {
            Ok(_) => self.refusal(rules, who),
            Err(_) => {
                let told = match backing(&source) {
                    Backing::Denied => Suspicion::Founded,
                    Backing::Sound | Backing::Stale => Suspicion::Unfounded,
                };
                // What logins have shown before outlasts their credentials.
                Some(self.refusal(rules, who).map_or(told, |shown| shown.max(told)))
            }
        }
    }

    /// Whether there are credentials that may sign. Looks only: a source that a reload has ended stays ended.
    ///
    /// # Errors
    /// Why there are none.
    pub(in crate::servers) fn may_sign(&self, rules: &Rules) -> Result<(), NoToken> {
        let outcome =
            self.source(rules).map_or(Err(CredentialState::Empty), |source| source.current().map(|_| ()));
        outcome.map_err(|state| NoToken::Credentials { kind: rules.source.kind(), state })
    }

    /// Whether `who` may be denied, where it is let in nowhere. A host that cannot be reached says nothing of
    /// it, so that the worst that another one has said counts: else one dead host of a list would serve a
    /// revoked role without end.
    fn refusal(&self, rules: &Rules, who: &Who) -> Option<Suspicion> {
        let (endpoint_states, patience) = (self.endpoint_states(), rules.ages.patience());
        let suspicions =
            rules.endpoints.iter().map(|endpoint| endpoint_states.get(endpoint)?.suspicion(who, patience));
        suspicions.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// Sources that have none to sign with look whether it is time to fetch some: nobody may want to log in
    /// meanwhile.
    pub(in crate::servers) fn look_for_credentials(&self) {
        let sources = self.all_sources();
        let without = sources.iter().filter(|source| source.current().is_err());
        without.for_each(|source| source.look_again());
    }

    /// Whether nothing fails, as far as is known: every source has credentials, everybody can be logged in.
    pub(in crate::servers) fn is_calm(&self) -> bool {
        let all_sign = self.all_sources().iter().all(|source| source.current().is_ok());
        all_sign && self.endpoint_states().values().all(|endpoint_state| endpoint_state.is_calm())
    }

    /// A pool may catch up until `then`: its stance is to be looked at until that is over.
    pub(in crate::servers) fn expect_catch_up(&self, then: Micros) {
        self.catch_up_until.fetch_max(then.0, Ordering::AcqRel);
    }

    /// Whether some pool may be catching up.
    pub(in crate::servers) fn is_catching_up(&self, now: Micros) -> bool {
        now.0 < self.catch_up_until.load(Ordering::Acquire)
    }

    /// Whether a login of `who` was accepted since `since` at one of the endpoints.
    pub(in crate::servers) fn has_accepted(&self, rules: &Rules, who: &Who, since: Micros) -> bool {
        let endpoint_states = self.endpoint_states();
        rules.endpoints.iter().any(|at| {
            endpoint_states.get(at).is_some_and(|endpoint_state| endpoint_state.has_accepted(who, since))
        })
    }

    /// Whether the logins of `who` fail, might be tried again, and nobody does.
    pub(in crate::servers) fn is_probe_due(&self, rules: &Rules, who: &Who) -> bool {
        let endpoint_states = self.endpoint_states();
        let known: Vec<_> =
            rules.endpoints.iter().filter_map(|endpoint| endpoint_states.get(endpoint)).collect();
        known.len() == rules.endpoints.len()
            && known.iter().all(|endpoint_state| {
                endpoint_state.trouble(who).is_some() && endpoint_state.is_left_alone(who)
            })
    }

    /// `None`: one of `who` is under way there already.
    pub(in crate::servers) fn begin_probe(&self, rules: &Rules, who: &Who) -> Option<Probe> {
        let aim = (rules.endpoints.clone(), who.clone());
        let mut probed = self.probed.lock().unwrap_or_else(PoisonError::into_inner);
        probed.insert(aim.clone()).then(|| Probe { aim, all: Arc::clone(&self.probed) })
    }

    fn endpoint_states(&self) -> MutexGuard<'_, HashMap<Endpoint, Arc<EndpointState>>> {
        self.endpoint_states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of the credentials of `source`.
fn backing(source: &Source) -> Backing {
    let report = source.report();
    report.state.backing(report.loads > 0)
}

/// What servers are worth whose user cannot be logged in. What may be a denial ends at the hard age, a
/// failure of AWS or of the way to it keeps what works; the settings may say otherwise.
fn stance_under(trouble: Suspicion, ages: &AgeRules) -> Stance {
    match (trouble, ages.on_denied, ages.lifetime) {
        (Suspicion::Proven, OnDenied::DropNow, _) => Stance::CloseNow,
        (Suspicion::Founded | Suspicion::Proven, OnDenied::Keep, _) => Stance::KeepOn,
        (Suspicion::Founded | Suspicion::Proven, OnDenied::Drain | OnDenied::DropNow, _) => {
            Stance::KeepToHardAge
        }
        (Suspicion::Unfounded, _, Lifetime::Strict) => Stance::KeepToHardAge,
        (Suspicion::Unfounded, _, Lifetime::Lenient) => Stance::KeepOn,
    }
}

/// A probe that is under way; another one of the same may begin there when it is dropped.
pub(in crate::servers) struct Probe {
    aim: Aim,
    all: Arc<Mutex<HashSet<Aim>>>,
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.aim);
    }
}

#[cfg(test)]
mod tests;
