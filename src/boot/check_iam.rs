//! `--check FILE --iam`: whether what the file says of logins by IAM works, from the credentials
//! to a login at the server.
//!
//! Starts no worker, listens nowhere, ends each session that it opens. Everything is bounded in time. Prints
//! no secret: of an access key the end of its id, of a token nothing.

use super::process::share_memory;
use crate::control::{Plane, Policy, WorkerSet};
use crate::iam::{CredentialState, FetchError, Reason, Source};
use crate::secrets::{KeptSecret, SecretError};
use crate::servers::Servers;
use crate::servers::iam::preflight::{Trial, Verdict, trials};
use std::sync::Arc;
use std::time::Duration;

/// For the credentials of one source, and for its principal's name: a little more than
/// the source itself takes.
const SOURCE_TIMEOUT: Duration = Duration::from_secs(25);

/// Looks at everything; `say` gets each line as it is known. `user` is tried where an entry names none.
/// Returns whether all is well.
///
/// # Errors
/// The system's, where nothing could be looked at.
pub(super) fn check(policy: Policy, user: Option<&str>, say: &mut dyn FnMut(&str)) -> Result<bool, String> {
    share_memory(policy.snapshot.settings.allow_core_dump)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("could not look at logins by IAM: {error}"))?;
    Ok(runtime.block_on(look(policy, user, say)))
}

async fn look(policy: Policy, user: Option<&str>, say: &mut dyn FnMut(&str)) -> bool {
    let snapshot = Arc::clone(&policy.snapshot);
    let (plane, _inbox) = Plane::new(Arc::new(policy), WorkerSet::none());
    let servers = Servers::new(plane);
    servers.begin();
    let sources = servers.iam.all_sources();
    let secrets = servers.secrets.all();
    if sources.is_empty() && secrets.is_empty() {
        say("no entry logs in by IAM, or by a secret that others keep");
    }
    let mut is_well = true;
    for source in sources {
        is_well &= look_at_source(&servers, &source, say).await;
    }
    for secret in secrets {
        is_well &= look_at_secret(&secret, say).await;
    }
    if let Some(skew_s) = servers.iam.skew_s().filter(|skew_s| *skew_s != 0) {
        say(&format!("AWS's clock is {skew_s}s ahead of this machine's"));
    }
    for trial in trials(&snapshot, user) {
        is_well &= try_login(&servers, &trial, say).await;
    }
    if snapshot.fallback.as_ref().is_some_and(|entry| entry.server_auth.is_some()) {
        say("database \"*\": not tried, since its name comes from clients");
    }
    is_well
}

/// Says how the credentials of a source stand, and whose they are.
async fn look_at_source(servers: &Servers, source: &Source, say: &mut dyn FnMut(&str)) -> bool {
    let known = async {
        source.fetched_after(0).await;
        source.identified().await;
    };
    // What is not known by then is reported as it stands.
    let _ = tokio::time::timeout(SOURCE_TIMEOUT, known).await;
    let (name, report) = (source.key(), source.report());
    let is_usable = matches!(report.state, CredentialState::Fresh | CredentialState::Stale(_));
    if !is_usable {
        let error = report.failure.map_or_else(|| FetchError::new(Reason::Timeout), |(error, _)| error);
        let advice = error.advice(name.kind(), name.role().is_some());
        let via = error.via.map_or_else(String::new, |via| format!(" from {via}"));
        say(&format!("source {name}: FAILED: no credentials{via}: {error}; {advice}"));
        return false;
    }
    let via = report.via.map_or(String::new(), |via| format!(" from {via}"));
    let tail = report.key_tail.unwrap_or_default();
    let life = match report.expires_at {
        None => "do not expire".to_owned(),
        Some(at) => {
            let left = at.duration_since(servers.iam.wall_now()).unwrap_or_default();
            format!("expire at {} (in {}s)", rfc3339(at), left.as_secs())
        }
    };
    say(&format!("source {name}: credentials{via}, key ****{tail}, {life}"));
    if let Some((error, _)) = report.failure {
        say(&format!("source {name}: warning: the last fetch failed: {error}"));
    }
    match (report.principal, report.unidentified) {
        (Some(arn), _) => say(&format!("source {name}: principal {arn}")),
        (None, Some(error)) => {
            say(&format!("source {name}: principal not known: STS GetCallerIdentity: {error}"));
        }
        (None, None) => {
            say(&format!("source {name}: principal not known: STS GetCallerIdentity has not answered"))
        }
    }
    true
}

/// Says whether a secret can be had, and which version there is.
async fn look_at_secret(secret: &KeptSecret, say: &mut dyn FnMut(&str)) -> bool {
    secret.first(SOURCE_TIMEOUT).await;
    let (name, failure) = (secret.key(), secret.failure());
    match (secret.current(), failure) {
        (Some(version), _) => {
            let user = version.login().and_then(|login| login.user.as_deref());
            let user = user.map_or(String::new(), |user| format!(", user {user}"));
            let users = version.content.users().map(|users| format!(", {} users for clients", users.count()));
            say(&format!("secret {name}: version {}{user}{}", version.id, users.unwrap_or_default()));
            true
        }
        (None, why) => {
            let why = why.unwrap_or_else(|| SecretError::new(crate::secrets::Reason::Timeout));
            say(&format!("secret {name}: FAILED: {why}; {}", why.advice()));
            false
        }
    }
}

fn rfc3339(at: std::time::SystemTime) -> String {
    jiff::Timestamp::try_from(at).map_or_else(|_| "an unknown time".to_owned(), |at| format!("{at:.0}"))
}

/// Tries one login and says how it went.
async fn try_login(servers: &Arc<Servers>, trial: &Trial, say: &mut dyn FnMut(&str)) -> bool {
    let Trial { database, user, endpoints, source } = trial;
    let mut names: Vec<_> = endpoints.iter().map(ToString::to_string).collect();
    names.dedup();
    let Some(user) = user else {
        say(&format!(
            "database \"{database}\": not tried, since the entry names no user; name one: --iam=USER"
        ));
        return true;
    };
    let who = format!("database \"{database}\" as {user} at {} (source {source})", names.join(", "));
    match servers.try_iam_login(database, user).await {
        Verdict::LoggedIn(peer) => say(&format!("{who}: logged in ({peer})")),
        Verdict::NoToken(why) => {
            say(&format!("{who}: FAILED: no token could be made: {why}"));
            return false;
        }
        Verdict::Refused { why, detail } => {
            say(&format!("{who}: FAILED: {why}"));
            if let Some(detail) = detail.filter(|detail| !why.contains(&**detail)) {
                say(&format!("{who}: in detail: {detail}"));
            }
            return false;
        }
    }
    true
}
