//! A login by IAM that failed: what it proves, what is said of it, and whether the
//! next host or token is tried.

use super::{Begin, GivenUp, GoOn, IamTarget, WITHOUT_CREDENTIALS, generation};
use crate::base::{Micros, log_about};
use crate::config::Choice;
use crate::control::LoginTrouble;
use crate::iam::MintError;
use crate::iam::denial::{Backing, Class, Judgement, Kind, Outcome, Stage, Step};
use crate::iam::rules::BadKey;
use crate::servers::attempt::Attempt;
use crate::servers::connect::LoginFailure;
use crate::servers::iam::endpoint_state::Judged;
use crate::servers::iam::signer::NoToken;
use crate::servers::login_error::LoginError;
use crate::servers::outcome::{AttemptError, Failure, HostFailure, LoginConnection, RetryDecision};
use crate::wire::{Fault, sqlstate};
use std::sync::Arc;

/// A failure after which nothing is tried for a while. Clients of a role that is judged to be denied hear it
/// at once, long before a denial is proven: the proof (a minute of refusals) is for servers that work and
/// would be lost in vain, while a client without any would only learn late what to do about it. If RDS is at
/// fault instead, which from here looks the same while others are let in, the next try that is made ends it:
/// after 15 s at the most, if somebody asks.
pub(super) fn failure_of(class: Class, reason: String, why: Arc<str>, until: Micros) -> Failure {
    let is_denied = class == Class::Denied;
    let fault = Fault::Relayed { sqlstate: sqlstate::INVALID_AUTHORIZATION.into(), text: why.to_string() };
    Failure {
        why: Some(why),
        fault: is_denied.then_some(fault),
        sequel: if is_denied { RetryDecision::RefuseUntil(until) } else { RetryDecision::WaitUntil(until) },
        ..Failure::new(reason)
    }
}

/// As the rules see it; `None`: nothing that they know of.
pub(super) fn outcome(error: &AttemptError, stage: Stage) -> Option<Outcome<'_>> {
    match error {
        AttemptError::Connect(error) if error.is_untrusted => Some(Outcome::Untrusted),
        AttemptError::Connect(_) => Some(Outcome::Unreachable),
        AttemptError::Login(LoginFailure::Crashed) => Some(Outcome::Ended(stage)),
        AttemptError::Login(LoginFailure::Login(error)) => error.outcome(stage),
        AttemptError::TimedOut if stage == Stage::TokenSent => Some(Outcome::Ended(stage)),
        AttemptError::TimedOut => Some(Outcome::Unreachable),
        AttemptError::Token(_) | AttemptError::System(_) => None,
    }
}

impl Attempt {
    /// Looks at a failed try: returns where another one is to be made at once, and how.
    pub(super) fn next_step(
        &self,
        connection: &LoginConnection,
        iam: &IamTarget<'_>,
        error: &AttemptError,
        begin: Begin,
    ) -> Result<GoOn, GivenUp> {
        let peer = &connection.peer;
        if let AttemptError::Token(why) = error {
            return Err(self.without_token(iam, why));
        }
        let stage = connection.handshake.as_ref().map_or(Stage::Greeting, |handshake| handshake.stage());
        let mut evidence = self.servers.iam.evidence(&iam.signer.source, iam.rules);
        if evidence.backing == Backing::Sound {
            evidence.backing = begin.backing; // newer ones came while the old ones were looked at
        }
        let detail = if let AttemptError::Connect(_) = error { error.detail() } else { None };
        let judged = self.evidence_of(error, stage).and_then(|outcome| {
            iam.endpoint_state.failed(iam.who, &outcome, evidence, begin.at, detail.as_deref())
        });
        let Some(judged) = judged else {
            if stage == Stage::Authenticated {
                self.accepted(iam); // what came then has nothing to do with IAM
            }
            match error.trouble() {
                _ if self.is_probe && stage == Stage::Authenticated => self.entry.logins.accepted(),
                // The server knows us, and refuses something else.
                LoginTrouble::Refused if stage == Stage::Authenticated => {
                    self.entry.logins.failed(LoginTrouble::Other);
                }
                trouble => self.entry.logins.failed(trouble),
            }
            let is_stale = matches!(error, AttemptError::Login(LoginFailure::Login(LoginError::StaleToken)));
            let mut failure = match self.is_probe {
                true => Failure::new("probe finished"),
                false => self.failure(error, peer),
            };
            if is_stale {
                // The next one is made for its own login.
                failure.sequel = RetryDecision::WaitUntil(self.servers.plane.now());
            }
            return Err(GivenUp::Entry(failure));
        };
        self.entry.logins.judged(judged.judgement.class);
        self.set_stance(iam);
        self.tell(&judged, peer, error);
        let reason = error.reason().into_owned();
        let Judgement { kind, class, .. } = judged.judgement;
        // Other credentials have come meanwhile, and nobody has tried those yet.
        let is_outdated = kind == Kind::TokenRefused && generation(iam.signer) != begin.generation;
        let passes = match judged.judgement.step {
            Step::BackOff(until) => Some(until),
            Step::Again | Step::RefreshThenAgain => None,
        };
        if let Some(until) = passes
            && !is_outdated
        {
            let failure = failure_of(class, reason, judged.brief, until);
            return Err(GivenUp::Host(HostFailure { failure, class }));
        }
        self.log_close(peer, &reason);
        Ok(GoOn { wants_credentials: judged.judgement.step == Step::RefreshThenAgain, passes })
    }

    /// What a failed try says of logins by IAM, if anything: what a replication client asks its session for
    /// may have held up its login behind the token, or ended it.
    fn evidence_of<'e>(&self, error: &'e AttemptError, stage: Stage) -> Option<Outcome<'e>> {
        let is_its_own = self.want.is_replication() && stage == Stage::TokenSent;
        outcome(error, stage).filter(|outcome| !(is_its_own && matches!(outcome, Outcome::Ended(_))))
    }

    /// Logs a failure the first time, and then now and again.
    pub(super) fn tell(&self, judged: &Judged, peer: &str, error: &AttemptError) {
        let (class, text) = (judged.judgement.class.name(), &judged.text);
        let next = match judged.judgement.step {
            Step::Again => Some("trying a fresh token"),
            Step::RefreshThenAgain => Some("fetching fresh credentials"),
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
        if let AttemptError::Login(LoginFailure::Login(error)) = error {
            self.log_refusal(error, peer);
        }
        log_about!(warn, self.about(&peer), "login by IAM failed ({class}): {text}");
    }

    /// Another login as this user has failed just now, perhaps of another pool.
    pub(super) fn held_off(&self, iam: &IamTarget<'_>, until: Micros) -> GivenUp {
        let known = iam.endpoint_state.trouble(iam.who);
        let (text, class) = known.unwrap_or_else(|| ("logins by IAM fail".into(), Class::Unreachable));
        self.set_stance(iam);
        let failure = failure_of(class, "logins by IAM fail at present".to_owned(), text, until);
        GivenUp::Host(HostFailure { failure, class })
    }

    pub(super) fn without_token(&self, iam: &IamTarget<'_>, why: &NoToken) -> GivenUp {
        self.entry.logins.failed(LoginTrouble::Credentials);
        self.set_stance(iam);
        let until = self.servers.plane.now() + WITHOUT_CREDENTIALS;
        let sequel = match why {
            NoToken::Credentials { .. } | NoToken::Mint(MintError::CredentialsExpired) => {
                RetryDecision::WaitUntil(until)
            }
            NoToken::Mint(MintError::User | MintError::TooLong | MintError::Date) => RetryDecision::Retry,
        };
        let failure = Failure { sequel, ..Failure::new(why.to_string()) };
        GivenUp::Entry(failure)
    }

    /// The entry cannot be logged in to by IAM as this user; where that is certain, the
    /// files are not loaded at all.
    pub(in crate::servers) fn misconfigured(&self, refused: &[BadKey]) -> Failure {
        let (db, user) = self.names();
        let why = refused.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let auth = self.policy.snapshot.server_auth(&self.config, &self.entry.share.user).word();
        tracing::error!(db, user, "server_auth={auth} is not possible here: {why}");
        let text = format!("server_auth={auth} is not possible here: {why}");
        let fault = Fault::NoServer { limit: "server login failed", why: text.clone() };
        Failure { fault: Some(fault), ..Failure::new(text) }
    }
}
