//! Opening a server by IAM: when a login may be tried, what a refusal is answered with, and
//! what clients hear of it.
//!
//! A refused token may be cured by a fresh one, then by fresh credentials: both are tried at once, in the
//! same place, whatever `server_login_retry` says. After that the reason decides: who is denied is told at
//! once and tried again with growing pauses; what may pass keeps clients waiting, and they learn the reason
//! when their time is over. Every try waits for its turn in the endpoint's budget, and no try is made without
//! credentials. While tokens are refused one login of the same goes at a time (`gate.rs`). The rules are
//! [`crate::iam::denial`]'s.

use super::endpoint_state::{IamDesk, Judged};
use super::gate::{Gate, Lead};
use super::shared::{NoToken, Signer};
use crate::base::{Micros, limits, log_about};
use crate::config::Choice;
use crate::control::LoginTrouble;
use crate::core::{Authorization, Want};
use crate::iam::budget::Priority;
use crate::iam::denial::{Admission, Backing, Class, Judgement, Kind, Outcome, Stage, Step, Who};
use crate::iam::rules::{BadKey, Rules};
use crate::iam::{Endpoint, MintError, Source};
use crate::servers::attempt::Attempt;
use crate::servers::connect::LoginFailure;
use crate::servers::handshake::Handshake;
use crate::servers::login_error::LoginError;
use crate::servers::outcome::{Broken, Failure, Line, Sequel};
use crate::wire::{Fault, sqlstate};
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
struct Endeavour<'a> {
    rules: &'a Rules,
    who: &'a Who,
    /// The number of its host.
    at: usize,
    desk: &'a IamDesk,
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
struct GivenUp {
    failure: Failure,
    /// Another host may do better.
    is_of_host: bool,
}

impl Attempt {
    /// Tries the entry's hosts, each as often as the rules say, until one lets us in.
    pub(in crate::servers) async fn try_by_iam(
        &self,
        line: &mut Line,
        rules: &Rules,
    ) -> Result<Vec<u8>, Failure> {
        let desk_of = |endpoint: &Endpoint| self.servers.iam.desk(endpoint, rules.login_rate);
        let desks: Vec<_> = rules.endpoints.iter().map(desk_of).collect();
        let signers = self.servers.iam.signers(rules);
        // looked at once: several hosts may stand for one endpoint, and one that is dead must
        // not keep us from the others
        let who = rules.who(&self.entry.share.user);
        let pauses: Vec<_> = desks.iter().map(|desk| desk.may_try(&who).err()).collect();
        let mut failure = Failure::new("connect failed");
        for tried in 0..self.config.hosts.len() {
            if tried > 0 {
                self.log_close(&line.peer, &failure.reason);
            }
            let at = self.next_host();
            let iam = Endeavour { rules, who: &who, at, desk: &desks[at], signer: &signers[at] };
            let outcome = match pauses[at] {
                Some(until) => Err(self.held_off(&iam, until)),
                None => self.try_endpoint(line, &iam).await,
            };
            match outcome {
                Ok(unread) => return Ok(unread),
                Err(GivenUp { failure: its, is_of_host: true }) => failure = its,
                Err(GivenUp { failure, is_of_host: false }) => return Err(failure),
            }
            line.end().await;
            self.leave_host();
        }
        Err(failure)
    }

    async fn try_endpoint(&self, line: &mut Line, iam: &Endeavour<'_>) -> Result<Vec<u8>, GivenUp> {
        let (gate, mut lead, mut go_on) = (iam.desk.gate(iam.who), None, GoOn::default());
        loop {
            wait_for_credentials(iam.signer).await.map_err(|why| self.without_token(iam, &why))?;
            let turn = self.take_turn(iam, &gate, &mut lead, go_on.passes).await;
            turn.map_err(|until| self.held_off(iam, until))?;
            let begin = self.begin(iam);
            line.begun_at = Some(begin.at);
            let limit = self.policy.snapshot.settings.iam_login_timeout.to_timeout();
            let login = Box::pin(self.try_host(line, iam.at, Some(iam.signer)));
            let login = tokio::time::timeout(limit, self.while_unanswered(iam, login)).await;
            if let Some(age) = line.handshake.as_ref().and_then(Handshake::token_age) {
                iam.signer.source.token_sent(age);
            }
            let broken = match login.unwrap_or(Err(Broken::TimedOut)) {
                Ok(unread) => {
                    self.entry.logins.accepted();
                    self.accepted(iam);
                    self.entry
                        .share
                        .set_login_span(iam.desk.login_took(self.servers.plane.now().since(begin.at)));
                    line.authorization = Some(self.authorization(iam, begin.at));
                    return Ok(unread);
                }
                Err(broken) => broken,
            };
            line.detail = broken.detail();
            go_on = self.give_up_or_go_on(line, iam, broken, begin)?;
            line.end().await; // and with it the token that was refused
            if go_on.wants_credentials {
                fetch_credentials(&iam.signer.source).await;
            }
        }
    }

    /// Runs a login. Where it has no answer for longer than logins take, servers serve on until it has: none
    /// is given up for one that may never come.
    async fn while_unanswered<T>(&self, iam: &Endeavour<'_>, login: impl Future<Output = T>) -> T {
        let mut login = std::pin::pin!(login);
        let patience = iam.desk.patience_with_logins(iam.rules.ages.max_age).to_duration();
        tokio::select! {
            biased;
            done = &mut login => return done,
            () = tokio::time::sleep(patience) => {}
        }
        // at every host: which one is asked next, and whether that one answers, is not known either
        let rules = iam.rules;
        let desks = rules.endpoints.iter().map(|endpoint| self.servers.iam.desk(endpoint, rules.login_rate));
        let _hangs: Vec<_> = desks.map(|desk| desk.has_no_answer(iam.who)).collect();
        self.set_stance(iam);
        login.await
    }

    fn begin(&self, iam: &Endeavour<'_>) -> Begin {
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
        iam: &Endeavour<'_>,
        gate: &Arc<Gate>,
        lead: &mut Option<Lead>,
        passes: Option<Micros>,
    ) -> Result<(), Micros> {
        let mut priority = match self.want {
            Want::Waiter { .. } => Priority::Client,
            Want::Minimum => Priority::MinPool,
            Want::Renewal => Priority::Recycling,
        };
        let (turns, mut has_turn) = (&iam.desk.turns, false);
        loop {
            let mut changed = std::pin::pin!(gate.changed());
            changed.as_mut().enable();
            let is_free = match iam.desk.admission(iam.who) {
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
    fn authorization(&self, iam: &Endeavour<'_>, begun_at: Micros) -> Authorization {
        let (max_age, rate) = (iam.rules.ages.max_age, iam.desk.turns.state().rate);
        let times = (begun_at, self.servers.plane.now());
        let soft_at = self.servers.plane.places.plan_renewal(&self.entry.share, times, max_age, rate);
        Authorization { soft_at, hard_at: begun_at + max_age }
    }

    fn accepted(&self, iam: &Endeavour<'_>) {
        self.servers.iam.token_was_taken();
        if iam.desk.accepted(iam.who) {
            let ((db, user), endpoint) = (self.names(), iam.desk.endpoint());
            tracing::info!(db, user, "logins by IAM as role {user} succeed again (endpoint {endpoint})");
        }
        self.set_stance(iam);
    }

    fn set_stance(&self, iam: &Endeavour<'_>) {
        let stance = self.servers.iam.stance(iam.rules, iam.who);
        self.servers.set_stance(&self.entry, stance);
    }

    /// Logs in as far as to the server's verdict, and notes that.
    pub(in crate::servers) async fn find_out(&self, rules: &Rules) {
        let mut line = Line::default();
        let outcome = self.try_by_iam(&mut line, rules).await;
        if let Err(failure) = outcome {
            self.log_close(&line.peer, &failure.reason);
        }
        line.end().await;
    }

    /// Looks at a failed try: returns where another one is to be made at once, and how.
    fn give_up_or_go_on(
        &self,
        line: &Line,
        iam: &Endeavour<'_>,
        broken: Broken,
        begin: Begin,
    ) -> Result<GoOn, GivenUp> {
        let peer = &line.peer;
        if let Broken::Token(why) = &broken {
            return Err(self.without_token(iam, why));
        }
        let stage = line.handshake.as_ref().map_or(Stage::Greeting, |handshake| handshake.stage());
        let mut evidence = self.servers.iam.evidence(&iam.signer.source, iam.rules);
        if evidence.backing == Backing::Sound {
            evidence.backing = begin.backing; // newer ones came while the old ones were looked at
        }
        let detail = if let Broken::Connect(_) = &broken { broken.detail() } else { None };
        let judged = outcome(&broken, stage)
            .and_then(|outcome| iam.desk.failed(iam.who, &outcome, evidence, begin.at, detail.as_deref()));
        let Some(judged) = judged else {
            if stage == Stage::Authenticated {
                self.accepted(iam); // what came then has nothing to do with IAM
            }
            match broken.trouble() {
                _ if self.is_probe && stage == Stage::Authenticated => self.entry.logins.accepted(),
                // the server knows us, and refuses something else
                LoginTrouble::Refused if stage == Stage::Authenticated => {
                    self.entry.logins.failed(LoginTrouble::Other);
                }
                trouble => self.entry.logins.failed(trouble),
            }
            let is_stale = matches!(&broken, Broken::Login(LoginFailure::Login(LoginError::StaleToken)));
            let mut failure = match self.is_probe {
                true => Failure::new("it was to find out, no more"),
                false => self.failure(broken, peer),
            };
            if is_stale {
                // the next one is made for its own login
                failure.sequel = Sequel::WaitUntil(self.servers.plane.now());
            }
            return Err(GivenUp { failure, is_of_host: false });
        };
        self.entry.logins.judged(judged.judgement.class);
        self.set_stance(iam);
        self.tell(&judged, peer, &broken);
        let reason = self.failure_reason(&broken);
        let Judgement { kind, class, .. } = judged.judgement;
        // other credentials have come meanwhile, and nobody has tried those yet
        let is_outdated = kind == Kind::TokenRefused && generation(iam.signer) != begin.generation;
        let passes = match judged.judgement.step {
            Step::BackOff(until) => Some(until),
            Step::Again | Step::RefreshThenAgain => None,
        };
        if let Some(until) = passes
            && !is_outdated
        {
            let is_of_host = matches!(kind, Kind::Unreachable | Kind::Untrusted | Kind::Busy);
            let failure = failure_of(class, reason, judged.brief, until);
            return Err(GivenUp { failure, is_of_host });
        }
        self.log_close(peer, &reason);
        Ok(GoOn { wants_credentials: judged.judgement.step == Step::RefreshThenAgain, passes })
    }

    /// The reason of "closing because: …", in the words that logins by password have.
    fn failure_reason(&self, broken: &Broken) -> String {
        match broken {
            Broken::Connect(error) => error.reason.to_owned(),
            Broken::Login(failure) => failure.reason().into_owned(),
            Broken::Token(why) => why.to_string(),
            Broken::TimedOut => "connect timeout".to_owned(),
            Broken::System(why) => (*why).to_owned(),
        }
    }

    /// Logs a failure the first time, and then now and again.
    fn tell(&self, judged: &Judged, peer: &str, broken: &Broken) {
        let (class, text) = (judged.judgement.class.name(), &judged.text);
        let next = match judged.judgement.step {
            Step::Again => Some("a fresh token is tried"),
            Step::RefreshThenAgain => Some("fresh credentials are asked for"),
            Step::BackOff(_) => None,
        };
        if let Some(next) = next {
            log_about!(info, self.about(&peer), "login by IAM was refused: {next}");
            return;
        }
        if !judged.is_news {
            log_about!(debug, self.about(&peer), "login by IAM failed again ({class}): {text}");
            return;
        }
        if let Broken::Login(LoginFailure::Login(error)) = broken {
            self.log_refusal(error, peer);
        }
        log_about!(warn, self.about(&peer), "login by IAM failed ({class}): {text}");
    }

    /// Another login as this user has failed just now, perhaps of another pool.
    fn held_off(&self, iam: &Endeavour<'_>, until: Micros) -> GivenUp {
        let known = iam.desk.trouble(iam.who);
        let (text, class) = known.unwrap_or_else(|| ("logins by IAM fail".into(), Class::Unreachable));
        self.set_stance(iam);
        let failure = failure_of(class, "logins by IAM fail at present".to_owned(), text, until);
        GivenUp { failure, is_of_host: true }
    }

    fn without_token(&self, iam: &Endeavour<'_>, why: &NoToken) -> GivenUp {
        self.entry.logins.failed(LoginTrouble::Credentials);
        self.set_stance(iam);
        let until = self.servers.plane.now() + WITHOUT_CREDENTIALS;
        let sequel = match why {
            NoToken::Credentials { .. } | NoToken::Mint(MintError::CredentialsExpired) => {
                Sequel::WaitUntil(until)
            }
            NoToken::Mint(MintError::User | MintError::TooLong | MintError::Date) => Sequel::Retry,
        };
        let failure = Failure { sequel, ..Failure::new(why.to_string()) };
        GivenUp { failure, is_of_host: false }
    }

    /// The entry cannot be logged in to by IAM as this user; where that is certain, the
    /// files are not loaded at all.
    pub(in crate::servers) fn misconfigured(&self, refused: &[BadKey]) -> Failure {
        let (db, user) = self.names();
        let why = refused.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let auth = self.policy.snapshot.server_auth(&self.config, &self.entry.share.user).word();
        let text = format!("server_auth={auth} is not possible here: {why}");
        tracing::error!(db, user, "{text}");
        let fault = Fault::NoServer { limit: "server login failed", why: text.clone() };
        Failure { fault: Some(fault), ..Failure::new(text) }
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

/// A failure after which nothing is tried for a while. Who is judged to be denied is told so at once, long
/// before a denial is proven: the proof (a minute of refusals) is for servers that work and would be lost in
/// vain, while a client without any would only learn late what to do about it. If RDS is at fault instead,
/// which from here looks the same while others are let in, the next try that is made ends it: after 15 s at
/// the most, if somebody asks.
fn failure_of(class: Class, reason: String, why: Arc<str>, until: Micros) -> Failure {
    let is_denied = class == Class::Denied;
    let fault = Fault::Relayed { sqlstate: sqlstate::INVALID_AUTHORIZATION.into(), text: why.to_string() };
    Failure {
        why: Some(why),
        fault: is_denied.then_some(fault),
        sequel: if is_denied { Sequel::RefuseUntil(until) } else { Sequel::WaitUntil(until) },
        ..Failure::new(reason)
    }
}

/// As the rules see it; `None`: nothing that they know of.
fn outcome(broken: &Broken, stage: Stage) -> Option<Outcome<'_>> {
    match broken {
        Broken::Connect(error) if error.is_untrusted => Some(Outcome::Untrusted),
        Broken::Connect(_) => Some(Outcome::Unreachable),
        Broken::Login(LoginFailure::Crashed) => Some(Outcome::Ended(stage)),
        Broken::Login(LoginFailure::Login(error)) => error.outcome(stage),
        Broken::TimedOut if stage == Stage::TokenSent => Some(Outcome::Ended(stage)),
        Broken::TimedOut => Some(Outcome::Unreachable),
        Broken::Token(_) | Broken::System(_) => None,
    }
}
