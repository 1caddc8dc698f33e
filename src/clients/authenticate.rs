//! A client's proof of who it is, where it is asked for one: plain, md5, scram-sha-256.
//!
//! Whether a user exists is not shown: without one the same exchange runs and fails at its end. Never knows
//! where a secret came from, nor what the client may do. Source: PgBouncer, doc/config.md (`auth_type`);
//! PostgreSQL documentation, "Message Flow" and "SASL Authentication".

use super::greet::LoginEnd;
use super::stream::ClientStream;
use super::verifiers::{KeyDerivation, Verifiers};
use crate::auth::scram::{NONCE_BYTES, ScramAnswer, ScramServer, Verifier, nonce_text};
use crate::auth::{Question, ScramKeys, ScramSecret, Secret};
use crate::base::limits;
use crate::control::Randomness;
use crate::identity::oauthbearer;
use crate::wire::authentication::{self, SCRAM_SHA_256};
use crate::wire::{Fault, FrameHeader, HEADER_BYTES, WireError, startup, tags};
use std::future::Future;
use std::io;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What a proof depends on.
pub(super) struct ProofRules<'a> {
    /// What the client is asked for.
    pub question: Question,
    /// The user's name.
    pub user: &'a str,
    /// What proves it, each by itself; nothing: there is no such user. By SCRAM a client is asked for the
    /// first, and others are of use that were derived as that was.
    pub secrets: &'a [Arc<Secret>],
    /// `scram_iterations`.
    pub scram_iterations: u32,
    /// Makes salts and nonces.
    pub random: &'a Randomness,
    /// Makes what SCRAM checks against.
    pub verifiers: &'a Verifiers,
    /// Computes what takes its time.
    pub key_derivation: KeyDerivation<'a>,
}

/// What a client has shown to know.
#[derive(Debug)]
pub(super) struct Proven {
    /// The secret that it has proven.
    pub secret: Arc<Secret>,
    /// The keys of that, where it is a SCRAM verifier.
    pub keys: Option<ScramKeys>,
}

/// Asks the client for a proof and checks it. Where it proves nothing that was known, `newer` is waited for,
/// which gives what has become known since; what the client has answered is held against that, too. Who waits
/// so may be cut off for others: it is most likely one who does not know the password.
/// AuthenticationOk is not sent, and SASL's last word waits for it.
///
/// # Errors
/// The method's fault, the same for wrong proofs and unknown users; silent ones.
/// # Cancel safety
/// The login cannot be taken up again.
pub(super) async fn prove(
    stream: &mut ClientStream,
    rules: &ProofRules<'_>,
    newer: impl Future<Output = Vec<Arc<Secret>>>,
) -> Result<Proven, LoginEnd> {
    let is_scram = matches!(rules.secrets.first().map(|secret| &**secret), Some(Secret::Scram(_)));
    match rules.question {
        Question::Plain => prove_plain(stream, rules, newer).await,
        Question::Md5 if !is_scram => prove_md5(stream, rules, newer).await,
        Question::Md5 | Question::ScramSha256 => prove_scram(stream, rules, newer).await,
    }
}

/// Asks the client for its password in clear text; it is never empty. `None`: it is longer than any may be,
/// and was not read.
///
/// # Errors
/// It sends something else, or goes.
/// # Cancel safety
/// The login cannot be taken up again.
pub(super) async fn ask_password(stream: &mut ClientStream) -> Result<Option<Zeroizing<Vec<u8>>>, LoginEnd> {
    let mut out = Vec::new();
    authentication::write_cleartext_request(&mut out);
    stream.send(&out).await?;
    read_password(stream, Expected::ClearPassword).await
}

/// Asks the client for a token by SASL OAUTHBEARER; gives its first message, never empty. `None`: as for a
/// password.
///
/// # Errors
/// It sends something else, or goes.
/// # Cancel safety
/// The login cannot be taken up again.
pub(super) async fn ask_bearer(stream: &mut ClientStream) -> Result<Option<Zeroizing<Vec<u8>>>, LoginEnd> {
    let mut out = Vec::new();
    authentication::write_sasl_request(&mut out, oauthbearer::MECHANISM);
    stream.send(&out).await?;
    let Some(mut payload) = read_expected(stream, Expected::Token).await? else { return Ok(None) };
    let (mechanism, first) = authentication::sasl_initial(&payload).map_err(|_| Fault::SaslFailed)?;
    if mechanism != oauthbearer::MECHANISM.as_bytes() {
        return Err(Fault::SaslMechanism.into());
    }
    let Some(length) = first.map(<[u8]>::len) else {
        return challenge(stream, &[]).await;
    };
    let in_front = payload.len() - length;
    payload.drain(..in_front);
    Ok(Some(payload))
}

/// Tells the client by SASL why its token is not taken, or where to get one, and waits for its answer: what
/// follows is the end of its login.
///
/// # Errors
/// It answers otherwise than it has to, or goes.
/// # Cancel safety
/// The login cannot be taken up again.
pub(super) async fn refuse_bearer(stream: &mut ClientStream, why: &str) -> Result<(), LoginEnd> {
    let answer = challenge(stream, why.as_bytes()).await?;
    let is_end = answer.is_some_and(|answer| oauthbearer::is_end_of_failure(&answer));
    if is_end { Ok(()) } else { Err(Fault::SaslFailed.into()) }
}

async fn challenge(stream: &mut ClientStream, text: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, LoginEnd> {
    let mut out = Vec::new();
    authentication::write_sasl_continue(&mut out, text);
    stream.send(&out).await?;
    read_expected(stream, Expected::Token).await
}

async fn prove_plain(
    stream: &mut ClientStream,
    rules: &ProofRules<'_>,
    newer: impl Future<Output = Vec<Arc<Secret>>>,
) -> Result<Proven, LoginEnd> {
    let password = Arc::new(ask_password(stream).await?.ok_or(Fault::PasswordWrong)?);
    if let Some(proven) = proven_by_password(stream, rules, rules.secrets, &password).await? {
        return Ok(proven);
    }
    let newer = newer.await;
    let proven = proven_by_password(stream, rules, &newer, &password).await?;
    proven.ok_or_else(|| Fault::PasswordWrong.into())
}

async fn proven_by_password(
    stream: &ClientStream,
    rules: &ProofRules<'_>,
    secrets: &[Arc<Secret>],
    password: &Arc<Zeroizing<Vec<u8>>>,
) -> Result<Option<Proven>, LoginEnd> {
    for secret in secrets {
        if is_password(stream, rules, secret, password).await? {
            return Ok(Some(Proven { secret: Arc::clone(secret), keys: None }));
        }
    }
    Ok(None)
}

async fn is_password(
    stream: &ClientStream,
    rules: &ProofRules<'_>,
    secret: &Arc<Secret>,
    password: &Arc<Zeroizing<Vec<u8>>>,
) -> Result<bool, LoginEnd> {
    let user = rules.user.to_owned();
    match &**secret {
        Secret::Plain(_) | Secret::Md5(_) => Ok(secret.is_password(&user, password)),
        Secret::Scram(verifier) if verifier.iterations > rules.key_derivation.iterations_max => {
            let (count, most) = (verifier.iterations, rules.key_derivation.iterations_max);
            tracing::warn!(
                "secret of user {user} has {count} SCRAM iterations, max_scram_iterations is {most}"
            );
            Ok(false)
        }
        Secret::Scram(_) => {
            let _waits_for_us = stream.waits_for_us();
            let permit = rules.key_derivation.acquire().await;
            if stream.has_hung_up() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            let (secret, password) = (Arc::clone(secret), Arc::clone(password));
            Ok(permit.compute(move || secret.is_password(&user, &password)).await.unwrap_or(false))
        }
    }
}

async fn prove_md5(
    stream: &mut ClientStream,
    rules: &ProofRules<'_>,
    newer: impl Future<Output = Vec<Arc<Secret>>>,
) -> Result<Proven, LoginEnd> {
    let salt = random(rules)?;
    let mut out = Vec::new();
    authentication::write_md5_request(&mut out, salt);
    stream.send(&out).await?;
    let answer = read_password(stream, Expected::Other).await?.ok_or(Fault::PasswordWrong)?;
    let proven = |secrets: &[Arc<Secret>]| {
        let fits = |secret: &&Arc<Secret>| secret.is_md5_answer(rules.user, salt, &answer);
        secrets.iter().find(fits).map(|secret| Proven { secret: Arc::clone(secret), keys: None })
    };
    if let Some(proven) = proven(rules.secrets) {
        return Ok(proven);
    }
    let newer = newer.await;
    proven(&newer).ok_or_else(|| Fault::PasswordWrong.into())
}

/// Verifiers that one answer is held against, each with the secret that it is of.
type Candidates = Vec<(Arc<Secret>, Arc<ScramSecret>)>;

async fn prove_scram(
    stream: &mut ClientStream,
    rules: &ProofRules<'_>,
    newer: impl Future<Output = Vec<Arc<Secret>>>,
) -> Result<Proven, LoginEnd> {
    let mut out = Vec::new();
    authentication::write_sasl_request(&mut out, SCRAM_SHA_256);
    stream.send(&out).await?;
    let payload = read_answer(stream).await?;
    let waits_for_us = stream.waits_for_us();
    let first = verifier(stream, rules, rules.secrets.first(), rules.key_derivation.is_due_to_all).await;
    let mut known: Candidates = match (rules.secrets.first(), &first) {
        (Some(secret), Verifier::Known(verifier)) => vec![(Arc::clone(secret), Arc::clone(verifier))],
        _ => Vec::new(),
    };
    for secret in rules.secrets.iter().skip(1) {
        known.extend(candidate(stream, rules, secret, &first).await);
    }
    drop(waits_for_us);
    let nonce = nonce_text(random::<NONCE_BYTES>(rules)?);
    let (server, challenge) = begin_scram(first.clone(), &nonce, &payload)?;
    out.clear();
    authentication::write_sasl_continue(&mut out, challenge.as_bytes());
    stream.send(&out).await?;
    let payload = read_answer(stream).await?;
    let answer = server.answered(&payload).map_err(|_| Fault::SaslFailed)?;
    if let Some((proven, last)) = proven_by_scram(&answer, &known) {
        return Ok(end_scram(stream, proven, &last));
    }
    let mut known = Candidates::new();
    for secret in newer.await {
        known.extend(candidate(stream, rules, &secret, &first).await);
    }
    let (proven, last) = proven_by_scram(&answer, &known).ok_or(Fault::SaslFailed)?;
    Ok(end_scram(stream, proven, &last))
}

async fn verifier(
    stream: &ClientStream,
    rules: &ProofRules<'_>,
    secret: Option<&Arc<Secret>>,
    is_due_to_all: bool,
) -> Verifier {
    let key_derivation = KeyDerivation { is_due_to_all, ..rules.key_derivation };
    let (user, iterations) = (rules.user, rules.scram_iterations);
    rules.verifiers.of(user, secret, iterations, key_derivation, || stream.has_hung_up()).await
}

/// What the answer to `first` can be held against of another secret; `None`: that is derived otherwise.
async fn candidate(
    stream: &ClientStream,
    rules: &ProofRules<'_>,
    secret: &Arc<Secret>,
    first: &Verifier,
) -> Option<(Arc<Secret>, Arc<ScramSecret>)> {
    let Verifier::Known(verifier) = verifier(stream, rules, Some(secret), false).await else { return None };
    (verifier.asks() == first.asks()).then(|| (Arc::clone(secret), verifier))
}

fn proven_by_scram(answer: &ScramAnswer, known: &Candidates) -> Option<(Proven, String)> {
    let proven = |(secret, verifier): &(Arc<Secret>, Arc<ScramSecret>)| {
        let (last, keys) = answer.proves(verifier)?;
        let keys = matches!(**secret, Secret::Scram(_)).then_some(keys);
        Some((Proven { secret: Arc::clone(secret), keys }, last))
    };
    known.iter().find_map(proven)
}

fn end_scram(stream: &mut ClientStream, proven: Proven, last: &str) -> Proven {
    let mut out = Vec::new();
    authentication::write_sasl_final(&mut out, last.as_bytes());
    stream.hold(&out); // AuthenticationOk mostly follows at once
    proven
}

fn begin_scram(verifier: Verifier, nonce: &str, payload: &[u8]) -> Result<(ScramServer, String), LoginEnd> {
    let (mechanism, first) = authentication::sasl_initial(payload).map_err(|_| Fault::SaslFailed)?;
    if mechanism != SCRAM_SHA_256.as_bytes() {
        return Err(Fault::SaslMechanism.into());
    }
    let begun = first.and_then(|first| ScramServer::start(verifier, first, nonce).ok());
    begun.ok_or_else(|| Fault::SaslFailed.into())
}

/// Fresh random bytes.
fn random<const N: usize>(rules: &ProofRules<'_>) -> Result<[u8; N], LoginEnd> {
    rules.random.take().ok_or_else(|| LoginEnd::Silent("no randomness from the system".to_owned()))
}

/// What a client may answer with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// A password, or a token, as it is. One that is too long is not read: it is no fault of the protocol.
    ClearPassword,
    /// A token within SASL, as long as a password.
    Token,
    /// Something of a form that makes it short.
    Other,
}

impl Expected {
    fn bytes_max(self) -> u32 {
        let most = match self {
            Self::ClearPassword | Self::Token => limits::PASSWORD_MESSAGE_BYTES_MAX,
            Self::Other => limits::LOGIN_MESSAGE_BYTES_MAX,
        };
        most as u32
    }
}

/// A PasswordMessage's text, never empty; `None` as [`read_expected`] has it.
async fn read_password(
    stream: &mut ClientStream,
    expected: Expected,
) -> Result<Option<Zeroizing<Vec<u8>>>, LoginEnd> {
    let Some(mut payload) = read_expected(stream, expected).await? else { return Ok(None) };
    match authentication::password(&payload).map(<[u8]>::len) {
        Ok(0) => Err(Fault::EmptyPassword.into()),
        Ok(length) => {
            payload.truncate(length);
            Ok(Some(payload))
        }
        Err(_) => Err(Fault::PasswordWrong.into()),
    }
}

async fn read_answer(stream: &mut ClientStream) -> Result<Zeroizing<Vec<u8>>, LoginEnd> {
    read_expected(stream, Expected::Other).await?.ok_or_else(|| Fault::SaslFailed.into())
}

/// The payload of the next message, which must be one that answers an authentication request. `None`: a
/// password or token that is too long, and is left unread.
async fn read_expected(
    stream: &mut ClientStream,
    expected: Expected,
) -> Result<Option<Zeroizing<Vec<u8>>>, LoginEnd> {
    let bytes_max = expected.bytes_max();
    loop {
        let input = stream.unread();
        match input.first() {
            Some(&tags::client::PASSWORD) | None => {}
            Some(&tags::client::TERMINATE) => {
                return Err(LoginEnd::Silent("client close request".to_owned()));
            }
            Some(0) => return Err(Fault::StartupRepeated.into()),
            Some(_) => return Err(startup::bad_header(input).into()),
        }
        match FrameHeader::read(input, bytes_max) {
            Ok(Some(header)) if input.len() >= header.frame_bytes => {
                let mut payload = stream.take(header.frame_bytes);
                payload.drain(..HEADER_BYTES);
                return Ok(Some(payload));
            }
            Ok(_) => stream.read_more().await?,
            Err(WireError::BadLength { length, .. })
                if length >= bytes_max && expected != Expected::Other =>
            {
                return Ok(None);
            }
            Err(WireError::BadLength { .. } | WireError::Malformed { .. }) => {
                return Err(startup::bad_header(input).into());
            }
        }
    }
}

#[cfg(test)]
mod tests;
