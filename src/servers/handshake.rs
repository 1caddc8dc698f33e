//! Logging in to a server, without the server: bytes in, bytes out, a result at the end.
//!
//! Never touches a socket, never computes for long; never keeps more than one message. From the
//! StartupMessage to the ReadyForQuery after which the server may be lent, the entry's `connect_query`
//! included. Sources: PostgreSQL documentation, "Message Flow", "SASL Authentication"; PgBouncer,
//! doc/config.md (`connect_query`), src/server.c.

use super::credential::{ChannelSecurity, Credential};
use super::login_error::LoginError;
use crate::auth::ScramKeys;
use crate::auth::scram::{Challenge, Credentials, ScramClient, ScramError, ServerProof, Sum};
use crate::base::limits;
use crate::control::Stored;
use crate::core::CancelKey;
use crate::iam::denial::{Asked, Outcome, Stage};
use crate::wire::authentication::{self, AuthRequest, Mechanisms, SCRAM_SHA_256};
use crate::wire::{FrameHeader, HEADER_BYTES, backend, encode, startup, tags};
use std::sync::Arc;
use std::time::Duration;
use tags::server as tag;

impl LoginError {
    /// As the rules of logins with tokens see it. `None`: it has nothing to do with the server.
    pub(super) fn outcome(&self, stage: Stage) -> Option<Outcome<'_>> {
        Some(match self {
            Self::Refused { sqlstate, text, .. } => Outcome::Error { sqlstate, message: text, stage },
            Self::NotForTokens(asked) => Outcome::Asked(*asked),
            Self::Uncovered => Outcome::Untrusted,
            Self::StaleToken => return None,
            // What is no protocol is no server.
            _ => Outcome::Ended(Stage::Greeting),
        })
    }
}

/// What a login needs to know.
#[derive(Debug)]
pub(super) struct LoginPlan {
    /// Who logs in.
    pub user: Arc<str>,
    /// The database's name on the server.
    pub dbname: Arc<str>,
    /// Other parameters of the StartupMessage.
    pub startup: Vec<(Arc<str>, Arc<str>)>,
    /// Query run once after the login.
    pub connect_query: Option<Arc<str>>,
    /// What proves it; `None` = nothing is known.
    pub credential: Option<Credential>,
    /// Who may listen.
    pub security: ChannelSecurity,
    /// SCRAM's nonce, fresh for each login.
    pub nonce: String,
    /// `max_scram_iterations`.
    pub scram_iterations_max: u32,
}

/// What a login that succeeded has taught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LoggedIn {
    /// Every ParameterStatus, in the server's order; of a repeated name the last value, at its first place.
    pub reported: Vec<(String, String)>,
    /// The key that cancels its queries; a server that gave none gets an empty one, which cancels nothing.
    pub key: CancelKey,
}

/// There is nothing to prove oneself with.
const NOTHING_KNOWN: LoginError =
    LoginError::WrongPasswordType("cannot answer the server: no password is known");

/// Where a login stands.
#[derive(Debug)]
enum Step {
    /// The server is to say what it asks for.
    Asked,
    /// The token is out.
    TokenSent,
    /// SCRAM: our first message is out.
    ScramBegun(ScramClient, Credentials),
    /// SCRAM: the keys for the server's challenge are to be computed, by whoever has the time.
    ScramChallenged(Challenge, Option<Sum>),
    /// SCRAM: our proof is out.
    ScramProven(ServerProof),
    /// AuthenticationOk has come.
    Accepted,
    /// `connect_query` runs.
    Querying,
    /// It has left a transaction open, which is rolled back.
    RollingBack,
    /// It may be lent.
    Done,
}

/// One login.
#[derive(Debug)]
pub(super) struct Handshake {
    plan: LoginPlan,
    step: Step,
    reported: Vec<(String, String)>,
    key: CancelKey,
    /// Bytes of a message that is passed over and has not come whole.
    skip: usize,
    /// Errors of `connect_query`, for the log.
    query_errors: Vec<String>,
    /// How old the token was as it was sent.
    token_age: Option<Duration>,
}

impl Handshake {
    /// Begins; gives the StartupMessage to send.
    pub(super) fn start(plan: LoginPlan) -> (Self, Vec<u8>) {
        let mut out = Vec::new();
        let who = [("user", &*plan.user), ("database", &*plan.dbname)];
        startup::write_startup(
            &mut out,
            who.into_iter().chain(plan.startup.iter().map(|(k, v)| (&**k, &**v))),
        );
        let key = CancelKey { pid: 0, secret: Box::default() };
        let (reported, query_errors) = (Vec::new(), Vec::new());
        (Self { plan, step: Step::Asked, reported, key, skip: 0, query_errors, token_age: None }, out)
    }

    /// Takes bytes of the server, cut anywhere: returns how many were consumed and appends what is to
    /// be sent to `out`. The rest must come again, in front of more. Once [`Handshake::is_done`],
    /// nothing more is consumed.
    ///
    /// # Errors
    /// The login has failed; the connection is of no more use.
    pub(super) fn received(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, LoginError> {
        let mut at = 0;
        while !self.is_done() && !matches!(self.step, Step::ScramChallenged(..)) {
            let skipped = self.skip.min(input.len() - at);
            (self.skip, at) = (self.skip - skipped, at + skipped);
            let rest = &input[at..];
            // Results of connect_query may be of any size: they are passed over, never kept.
            let passes_over = self.is_querying() && rest.first().is_some_and(|tag| is_ignorable(*tag));
            let length_max =
                if passes_over { i32::MAX.unsigned_abs() } else { limits::SERVER_LOGIN_MESSAGE_BYTES_MAX };
            let Some(header) = FrameHeader::read(rest, length_max)? else { break };
            if passes_over {
                self.skip = header.frame_bytes;
                continue;
            }
            if rest.len() < header.frame_bytes {
                break;
            }
            self.message(header.tag, &rest[HEADER_BYTES..header.frame_bytes], out)?;
            at += header.frame_bytes;
        }
        Ok(at)
    }

    fn message(&mut self, tag: u8, payload: &[u8], out: &mut Vec<u8>) -> Result<(), LoginError> {
        match (tag, &self.step) {
            (tag::ERROR_RESPONSE, Step::Querying | Step::RollingBack) => {
                let fields = backend::ErrorFields::read(payload)?;
                self.query_error(self.told(&format!("{}: {}", fields.severity(), fields.message())));
            }
            (tag::ERROR_RESPONSE, _) => {
                let fields = backend::ErrorFields::read(payload)?;
                let (severity, sqlstate) = (self.told(fields.severity()), self.told(fields.sqlstate()));
                return Err(LoginError::Refused { severity, sqlstate, text: self.told(&fields.message()) });
            }
            (tag::NOTICE_RESPONSE | tag::NEGOTIATE_PROTOCOL_VERSION, _) => {}
            (
                tag::AUTHENTICATION,
                Step::Asked | Step::TokenSent | Step::ScramBegun(..) | Step::ScramProven(_),
            ) => match self.plan.credential {
                Some(Credential::Token(_)) => self.prove_by_token(payload, out)?,
                _ => self.authentication(payload, out)?,
            },
            (tag::PARAMETER_STATUS, Step::Accepted | Step::Querying | Step::RollingBack) => {
                self.parameter(payload)?
            }
            (tag::BACKEND_KEY_DATA, Step::Accepted) => {
                let key = backend::backend_key(payload)?;
                self.key = CancelKey { pid: key.pid, secret: key.secret.into() };
            }
            (tag::READY_FOR_QUERY, Step::Accepted) => match self.plan.connect_query.as_deref() {
                Some(sql) => {
                    encode::query(out, sql);
                    self.step = Step::Querying;
                }
                None => self.step = Step::Done,
            },
            (tag::READY_FOR_QUERY, Step::Querying | Step::RollingBack) => self.after_query(payload, out)?,
            (tag, _) => return Err(LoginError::UnknownPacket(tag)),
        }
        Ok(())
    }

    /// A transaction that `connect_query` leaves open would be its first client's: it is rolled back.
    fn after_query(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), LoginError> {
        self.step = match (backend::ready_status(payload)?, &self.step) {
            (tags::transaction::IDLE, _) => Step::Done,
            (_, Step::Querying) => {
                self.query_error("connect_query left a transaction open, rolled back".to_owned());
                encode::query(out, "ROLLBACK");
                Step::RollingBack
            }
            _ => return Err(LoginError::UnknownPacket(tag::READY_FOR_QUERY)),
        };
        Ok(())
    }

    /// The server's words without the secret that it was shown.
    fn told(&self, words: &str) -> String {
        let LoginPlan { user, dbname, startup, credential, .. } = &self.plan;
        let mut public = vec![&**user, &**dbname];
        public.extend(startup.iter().map(|(_, value)| &**value));
        credential.as_ref().map_or_else(|| words.to_owned(), |shown| shown.hide_in(words, &public))
    }

    fn query_error(&mut self, text: String) {
        if self.query_errors.len() < limits::CONNECT_QUERY_ERRORS_MAX {
            self.query_errors.push(text);
        }
    }

    fn authentication(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), LoginError> {
        let request = authentication::request(payload)?;
        self.step = match (std::mem::replace(&mut self.step, Step::Asked), request) {
            (Step::Asked, AuthRequest::Ok) => Step::Accepted,
            (Step::Asked, AuthRequest::CleartextPassword) => {
                let own = self.plan.credential.as_ref().ok_or(NOTHING_KNOWN)?;
                own.write_cleartext(self.plan.security, out)?;
                Step::Asked
            }
            (Step::Asked, AuthRequest::Md5Password { salt }) => {
                let wrong =
                    LoginError::WrongPasswordType("cannot do MD5 authentication: wrong password type");
                let own = self.stored()?;
                let answer = own.secret.md5_answer(&self.plan.user, salt).ok_or(wrong)?;
                authentication::write_password(out, answer.expose().as_bytes());
                Step::Asked
            }
            (Step::Asked, AuthRequest::Sasl(mechanisms)) => self.begin_scram(mechanisms, out)?,
            (Step::ScramBegun(client, credentials), AuthRequest::SaslContinue(challenge)) => {
                let challenge = client.challenged(challenge, self.plan.scram_iterations_max);
                let challenge = challenge.map_err(LoginError::Scram)?;
                match credentials {
                    Credentials::Keys(keys) => answer_challenge(challenge, &keys, out),
                    Credentials::Password(password) => {
                        let sum = challenge.sum(&password);
                        Step::ScramChallenged(challenge, Some(sum))
                    }
                }
            }
            (Step::ScramProven(proof), AuthRequest::SaslFinal(last)) => {
                proof.check(last).map_err(|error| match error {
                    ScramError::WrongSignature => LoginError::BadSignature,
                    other => LoginError::Scram(other),
                })?;
                Step::Asked
            }
            (_, AuthRequest::Other(code)) => return Err(LoginError::UnsupportedMethod(code)),
            // A server that accepts before it has proven itself is not to be trusted.
            (_, _) => return Err(LoginError::Scram(ScramError::Malformed)),
        };
        Ok(())
    }

    /// What is to be computed before the login can go on, once: nothing more is consumed until
    /// [`Handshake::computed`].
    pub(super) fn sum(&mut self) -> Option<Sum> {
        match &mut self.step {
            Step::ScramChallenged(_, sum) => sum.take(),
            _ => None,
        }
    }

    /// It has been computed.
    pub(super) fn computed(&mut self, keys: &ScramKeys, out: &mut Vec<u8>) {
        self.step = match std::mem::replace(&mut self.step, Step::Asked) {
            Step::ScramChallenged(challenge, _) => answer_challenge(challenge, keys, out),
            other => other,
        };
    }

    /// A token answers the request for a cleartext password, once, and nothing else; and without that request
    /// there is no login: a server that does not ask for the token is not the one that it is for.
    fn prove_by_token(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), LoginError> {
        let asked = match (&self.step, authentication::request(payload)?) {
            (Step::Asked, AuthRequest::CleartextPassword) => {
                let own = self.plan.credential.as_ref().ok_or(NOTHING_KNOWN)?;
                own.write_cleartext(self.plan.security, out)?;
                (self.step, self.token_age) = (Step::TokenSent, own.token_age());
                return Ok(());
            }
            (Step::TokenSent, AuthRequest::Ok) => {
                self.step = Step::Accepted;
                return Ok(());
            }
            (_, AuthRequest::Ok) => {
                self.step = Step::Accepted; // PostgreSQL counts it as a session
                Asked::Nothing
            }
            (_, AuthRequest::Md5Password { .. }) => Asked::Md5,
            (_, AuthRequest::Sasl(_)) => Asked::Scram,
            _ => Asked::Other,
        };
        Err(LoginError::NotForTokens(asked))
    }

    fn begin_scram(&self, mechanisms: Mechanisms<'_>, out: &mut Vec<u8>) -> Result<Step, LoginError> {
        if !mechanisms.offers(SCRAM_SHA_256) {
            return Err(LoginError::NoMechanism);
        }
        let credentials = self.stored()?.scram()?;
        let (client, first) = ScramClient::start(self.plan.nonce.clone());
        authentication::write_sasl_initial(out, SCRAM_SHA_256, first.as_bytes());
        Ok(Step::ScramBegun(client, credentials))
    }

    fn stored(&self) -> Result<&Stored, LoginError> {
        match &self.plan.credential {
            Some(Credential::Stored(stored)) => Ok(stored),
            Some(Credential::Token(_)) | None => Err(NOTHING_KNOWN),
        }
    }

    fn parameter(&mut self, payload: &[u8]) -> Result<(), LoginError> {
        let (name, value) = backend::parameter_status(payload)?;
        match self.reported.iter().position(|(have, _)| have == name) {
            Some(at) => value.clone_into(&mut self.reported[at].1),
            None if self.reported.len() == limits::SERVER_PARAMETERS_MAX => return Err(LoginError::TooMuch),
            None => self.reported.push((name.to_owned(), value.to_owned())),
        }
        // They stay for as long as the pool does, and every client is welcomed with them.
        let bytes: usize = self.reported.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > limits::PARAMETERS_BYTES_MAX {
            return Err(LoginError::TooMuch);
        }
        Ok(())
    }

    /// Whether the server may be lent.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.step, Step::Done)
    }

    /// Whether the server has accepted the login, so that it counts as a session of PostgreSQL.
    pub(super) fn is_accepted(&self) -> bool {
        self.is_querying() || matches!(self.step, Step::Accepted | Step::Done)
    }

    /// How far a login with a token has come.
    pub(super) fn stage(&self) -> Stage {
        match self.step {
            Step::TokenSent => Stage::TokenSent,
            _ if self.is_accepted() => Stage::Authenticated,
            _ => Stage::Greeting,
        }
    }

    /// How old the token was as it was sent, if one was.
    pub(super) fn token_age(&self) -> Option<Duration> {
        self.token_age
    }

    fn is_querying(&self) -> bool {
        matches!(self.step, Step::Querying | Step::RollingBack)
    }

    /// Errors of `connect_query`: to be logged, then ignored.
    pub(super) fn query_errors(&self) -> &[String] {
        &self.query_errors
    }

    /// What was learnt.
    pub(super) fn finish(self) -> LoggedIn {
        LoggedIn { reported: self.reported, key: self.key }
    }
}

fn answer_challenge(challenge: Challenge, keys: &ScramKeys, out: &mut Vec<u8>) -> Step {
    let (proof, answer) = challenge.answer(keys);
    authentication::write_sasl_response(out, answer.as_bytes());
    Step::ScramProven(proof)
}

/// What `connect_query` may bring that is of no interest.
fn is_ignorable(tag: u8) -> bool {
    !matches!(tag, tag::READY_FOR_QUERY | tag::PARAMETER_STATUS | tag::ERROR_RESPONSE)
}

#[cfg(test)]
mod tests;
