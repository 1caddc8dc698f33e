//! Opening a server by IAM: when a login may be tried, what a refusal is answered with, and
//! what clients hear of it.
//!
//! A refused token may be cured by a fresh one, then by fresh credentials: both are tried at once, in the
//! same place, whatever `server_login_retry` says. After that the reason decides: who is denied is told at
//! once and tried again with growing pauses; what may pass keeps clients waiting, and they learn the reason
//! when their time is over. Every try waits for its turn in the endpoint's budget, and no try is made without
//! credentials. While tokens are refused one login of the same goes at a time (`gate.rs`). The rules are
//! [`crate::iam::denial`]'s.

mod giving_up;

use super::endpoint_state::EndpointState;
use super::gate::{Gate, Lead};
use super::signer::{NoToken, Signer};
use crate::base::{Micros, limits};
use crate::core::{Authorization, Want};
use crate::iam::budget::Priority;
use crate::iam::denial::{Admission, Backing, Who};
use crate::iam::rules::Rules;
use crate::iam::{Endpoint, Source};
use crate::servers::attempt::{Attempt, LoginProof};
use crate::servers::handshake::Handshake;
use crate::servers::outcome::{Failure, HostFailure, LoginConnection};
use std::sync::Arc;
use std::time::Duration;

/// For credentials that were asked for because a token was refused; a fetch takes longer only
/// where AWS is in trouble.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(5);

/// For credentials that are being fetched as a login begins.
const FETCH_PATIENCE: Duration = Duration::from_secs(1);

/// A login without credentials is put off until they come (`Plane::watch_iam` learns of that); this is for
/// the case that nobody told.
const WITHOUT_CREDENTIALS: Micros = Micros::from_secs(5);

/// One endpoint that is tried.
struct IamTarget<'a> {
    rules: &'a Rules,
    who: &'a Who,
    /// The number of its host.
    at: usize,
    endpoint_state: &'a EndpointState,
    signer: &'a Signer,
}

/// How it stood when a try began: by then its verdict is judged.
#[derive(Clone, Copy)]
struct Begin {
    at: Micros,
    /// What was known of the credentials that signed.
    backing: Backing,
    /// Which credentials signed.
    generation: Option<u64>,
}

/// How a refused try goes on.
#[derive(Clone, Copy, Default)]
struct GoOn {
    wants_credentials: bool,
    /// A pause that does not count: nobody has tried the credentials that have come since.
    passes: Option<Micros>,
}

/// Why an endpoint was given up.
enum GivenUp {
    /// Another host may do better.
    Host(HostFailure),
    /// It is the same at each.
    Entry(Failure),
}

impl Attempt {
    /// Tries the entry's hosts, each as often as the rules say, until one lets us in.
    pub(in crate::servers) async fn try_by_iam(
        &self,
        connection: &mut LoginConnection,
        rules: &Rules,
    ) -> Result<Vec<u8>, Failure> {
        let state_of = |endpoint: &Endpoint| self.servers.iam.endpoint_state(endpoint, rules.login_rate);
        let endpoint_states: Vec<_> = rules.endpoints.iter().map(state_of).collect();
        let signers = self.servers.iam.signers(rules);
        // looked at once: several hosts may stand for one endpoint, and one that is dead must
        // not keep us from the others
        let who = rules.who(&self.entry.share.user);
        let pauses: Vec<_> =
            endpoint_states.iter().map(|endpoint_state| endpoint_state.may_try(&who).err()).collect();
        let (mut known, count): (Option<HostFailure>, _) = (None, self.config.hosts.len());
        for tried in 1..=count {
            let at = self.next_host();
            let iam = IamTarget {
                rules,
                who: &who,
                at,
                endpoint_state: &endpoint_states[at],
                signer: &signers[at],
            };
            let outcome = match pauses[at] {
                Some(until) => Err(self.held_off(&iam, until)),
                None => self.try_endpoint(connection, &iam).await,
            };
            match outcome {
                Ok(unread) => return Ok(unread),
                Err(GivenUp::Entry(failure)) => return Err(failure),
                Err(GivenUp::Host(its)) => {
                    if tried < count {
                        self.log_close(&connection.peer, &its.failure.reason);
                    }
                    known = Some(its.behind(known));
                }
            }
            connection.end().await;
            self.leave_host();
        }
        Err(known.map_or_else(|| Failure::new("connect failed"), |both| both.failure))
    }

    async fn try_endpoint(
        &self,
        connection: &mut LoginConnection,
        iam: &IamTarget<'_>,
    ) -> Result<Vec<u8>, GivenUp> {
        let (gate, mut lead, mut go_on) = (iam.endpoint_state.gate(iam.who), None, GoOn::default());
        loop {
            wait_for_credentials(iam.signer).await.map_err(|why| self.without_token(iam, &why))?;
            let turn = self.take_turn(iam, &gate, &mut lead, go_on.passes).await;
            turn.map_err(|until| self.held_off(iam, until))?;
            let begin = self.begin(iam);
            connection.begun_at = Some(begin.at);
            let limit = self.policy.snapshot.settings.iam_login_timeout.to_timeout();
            let login = Box::pin(self.try_host(connection, iam.at, LoginProof::Token(iam.signer)));
            let login = tokio::time::timeout(limit, self.while_unanswered(iam, login)).await;
            if let Some(age) = connection.handshake.as_ref().and_then(Handshake::token_age) {
                iam.signer.source.token_sent(age);
            }
            let error = match login.unwrap_or_else(|_| Err(connection.timed_out())) {
                Ok(unread) => {
                    self.entry.logins.accepted();
                    self.accepted(iam);
                    self.entry.share.set_login_span(
                        iam.endpoint_state.login_took(self.servers.plane.now().since(begin.at)),
                    );
                    connection.authorization = Some(self.authorization(iam, begin.at));
                    return Ok(unread);
                }
                Err(error) => error,
            };
            connection.detail = error.detail();
            go_on = self.next_step(connection, iam, &error, begin)?;
            connection.end().await; // and with it the token that was refused
            if go_on.wants_credentials {
                fetch_credentials(&iam.signer.source).await;
            }
        }
    }

    /// Runs a login. Where it has no answer for longer than logins take, servers serve on until it has: none
    /// is given up for one that may never come.
    async fn while_unanswered<T>(&self, iam: &IamTarget<'_>, login: impl Future<Output = T>) -> T {
        let mut login = std::pin::pin!(login);
        let patience = iam.endpoint_state.patience_with_logins(iam.rules.ages.max_age).to_duration();
        tokio::select! {
            biased;
            done = &mut login => return done,
            () = tokio::time::sleep(patience) => {}
        }
        // at every host: which one is asked next, and whether that one answers, is not known either
        let rules = iam.rules;
        let endpoint_states = rules
            .endpoints
            .iter()
            .map(|endpoint| self.servers.iam.endpoint_state(endpoint, rules.login_rate));
        let _hangs: Vec<_> =
            endpoint_states.map(|endpoint_state| endpoint_state.has_no_answer(iam.who)).collect();
        self.set_stance(iam);
        login.await
    }

    fn begin(&self, iam: &IamTarget<'_>) -> Begin {
        Begin {
            at: self.servers.plane.now(),
            backing: self.servers.iam.evidence(&iam.signer.source, iam.rules).backing,
            generation: generation(iam.signer),
        }
    }

    /// Waits for a turn in the endpoint's budget; once clients wait, with theirs. Where tokens are refused,
    /// or begin to be meanwhile, it waits for the lead, too; `passes`: the pause that does not count.
    ///
    /// # Errors
    /// Until when nobody of these is to try.
    async fn take_turn(
        &self,
        iam: &IamTarget<'_>,
        gate: &Arc<Gate>,
        lead: &mut Option<Lead>,
        passes: Option<Micros>,
    ) -> Result<(), Micros> {
        let mut priority = match self.want {
            Want::Waiter { .. } | Want::Replication { .. } => Priority::Client,
            Want::Minimum => Priority::MinPool,
            Want::Renewal => Priority::Recycling,
        };
        let (turns, mut has_turn) = (&iam.endpoint_state.turns, false);
        loop {
            let mut changed = std::pin::pin!(gate.changed());
            changed.as_mut().enable();
            let is_free = match iam.endpoint_state.admission(iam.who) {
                Admission::Closed(until) if passes != Some(until) => return Err(until),
                Admission::Open => true,
                Admission::OneByOne | Admission::Closed(_) => {
                    *lead = lead.take().or_else(|| gate.lead());
                    lead.is_some()
                }
            };
            if is_free && has_turn {
                return Ok(());
            }
            has_turn = false; // one that is not used at once is lost: it is rare
            let is_client = priority == Priority::Client;
            if !is_free && is_client {
                gate.hurry();
            }
            tokio::select! {
                () = turns.turn(priority), if is_free => has_turn = true,
                () = gate.hurried(), if lead.is_some() && !is_client => priority = Priority::Client,
                () = self.client_comes(), if !is_client => priority = Priority::Client,
                () = changed, if lead.is_none() => {}
            }
        }
    }

    /// Ends when clients of the pool wait.
    async fn client_comes(&self) {
        let entry = &self.entry;
        while entry.share.oldest_waiter().is_none() && entry.welcome.oldest_waiter().is_none() {
            tokio::time::sleep(Duration::from_millis(limits::JANITOR_PERIOD_MS)).await;
        }
    }

    /// Its ages count from when the login began: so no session is older at the server than it is here.
    fn authorization(&self, iam: &IamTarget<'_>, begun_at: Micros) -> Authorization {
        self.authorization_of(iam.rules, iam.at, begun_at)
    }

    /// As long as a login counts at the host of that number.
    pub(in crate::servers) fn authorization_of(
        &self,
        rules: &Rules,
        at: usize,
        begun_at: Micros,
    ) -> Authorization {
        let endpoint_state = self.servers.iam.endpoint_state(&rules.endpoints[at], rules.login_rate);
        let (max_age, pace) = (rules.ages.max_age, endpoint_state.turns.per_kilosecond());
        let times = (begun_at, self.servers.plane.now());
        let hard_at = begun_at + max_age;
        let soft_at = if self.want.is_replication() {
            hard_at // it ends with its client: nothing replaces it
        } else {
            self.servers.plane.places.plan_renewal(&self.entry.share, times, max_age, pace)
        };
        Authorization { soft_at, hard_at }
    }

    fn accepted(&self, iam: &IamTarget<'_>) {
        self.servers.iam.token_was_taken();
        if iam.endpoint_state.accepted(iam.who) {
            let ((db, user), endpoint) = (self.names(), iam.endpoint_state.endpoint());
            tracing::info!(db, user, "logins by IAM as role {user} succeed again (endpoint {endpoint})");
        }
        self.set_stance(iam);
    }

    fn set_stance(&self, iam: &IamTarget<'_>) {
        let stance = self.servers.iam.stance(iam.rules, iam.who);
        self.servers.set_stance(&self.entry, stance);
    }

    /// Logs in as far as to the server's verdict, and notes that.
    pub(in crate::servers) async fn find_out(&self, rules: &Rules) {
        let mut connection = LoginConnection::default();
        let outcome = self.try_by_iam(&mut connection, rules).await;
        if let Err(failure) = outcome {
            self.log_close(&connection.peer, &failure.reason);
        }
        connection.end().await;
    }
}

/// Which of its source's different credentials would sign now.
fn generation(signer: &Signer) -> Option<u64> {
    signer.source.current().ok().map(|credentials| credentials.generation())
}

/// Looks for credentials; where there are none, once more after the next fetch, or after a while.
async fn wait_for_credentials(signer: &Signer) -> Result<(), NoToken> {
    let fetches = signer.source.fetches();
    if signer.may_mint().is_ok() {
        return Ok(());
    }
    let _ = tokio::time::timeout(FETCH_PATIENCE, signer.source.fetched_after(fetches)).await;
    signer.may_mint()
}

/// Has credentials fetched anew, and waits for them where they come soon. What does not come in time is no
/// reason not to try: those at hand may do.
async fn fetch_credentials(source: &Source) {
    let fetches = source.fetches();
    // asked behind the count, so that a fetch which ends in between is noticed
    let begins_in = source.force_refresh();
    if begins_in < REFRESH_TIMEOUT {
        let _ = tokio::time::timeout(REFRESH_TIMEOUT, source.fetched_after(fetches)).await;
    }
}
