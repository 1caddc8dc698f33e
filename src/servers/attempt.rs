//! Opening one server for a pool: connect, log in, hand over; and what follows where it fails.
//!
//! Runs in a place that the ledger has given; the place ends with the connection, whichever way. Tries each
//! host of the entry once, so that one dead host of several costs no client its time. Logins by IAM go by
//! rules of their own, in `iam/attempt.rs`, those by a secret that others keep in `secrets/attempt.rs`.
//! Source: PgBouncer, src/server.c and src/objects.c (launch_new_connection).

mod failing;
mod hand_over;
mod log;
mod record;
mod replication;

use super::connect;
use super::connect::{LoginFailure, Opened};
use super::credential::Credential;
use super::handshake::{Handshake, LoginPlan};
use super::iam::{MakesTokens, NoToken, entry};
use super::outcome::{AttemptError, Failure, LoginConnection, RetryDecision};
use super::secrets;
use super::servers::Servers;
use crate::audit::LoginCredential;
use crate::auth::scram;
use crate::base::{Micros, limits, log_about};
use crate::config::{Database, LoadBalance};
use crate::control::{LoginEntry, LoginRow, Place, Policy, PoolEntry, ReplicationRequest, Sent, Stored};
use crate::core::Want;
use crate::iam::rules::BadKey;
use crate::secrets::{SecretKey, Version};
use crate::tasks;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One attempt to open a server.
pub(super) struct Attempt {
    pub servers: Arc<Servers>,
    pub policy: Arc<Policy>,
    pub entry: Arc<PoolEntry>,
    pub config: Arc<Database>,
    pub socket_id: u64,
    generation: u32,
    started: Micros,
    sent: Sent,
    /// Whom it is for.
    pub want: Want,
    /// The replication client that it is for.
    replication: Option<ReplicationRequest>,
    /// It is to find out whether it can be done, no more.
    pub is_probe: bool,
    /// A reload has moved its entry since its place was taken, which counts elsewhere.
    goes_elsewhere: bool,
}

/// What one try shows to a server.
#[derive(Clone, Copy)]
pub(super) enum LoginProof<'a> {
    /// What is stored of a password.
    Stored,
    /// A token of this maker, and nothing else.
    Token(&'a dyn MakesTokens),
    /// This version of the secret of that name, which others keep, and nothing else.
    Secret(&'a SecretKey, &'a Version),
}

impl LoginProof<'_> {
    /// Whom it is of, where that need not be the pool's user.
    fn user(&self) -> Option<&Arc<str>> {
        match self {
            Self::Secret(_, version) => version.login()?.user.as_ref(),
            Self::Stored | Self::Token(_) => None,
        }
    }

    /// What it is, as the audit log names it.
    fn shown(&self, made: Option<&Credential>) -> Option<LoginCredential> {
        match (self, made) {
            (Self::Secret(key, version), _) => Some(LoginCredential::Secret {
                name: key.to_string().into(),
                version: Arc::clone(&version.id),
            }),
            (Self::Token(_), Some(Credential::Token(proof))) => proof.signed_by.clone(),
            _ => None,
        }
    }
}

/// The database that a probe asks for, which is not there.
const NO_DATABASE: &str = "pgweir_login_probe";

/// Seconds since the epoch.
fn epoch_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Opens a server in `place` and hands it to the worker whose client waits longest, or, with `request`, to
/// the replication client that it is for.
pub(super) async fn open(
    servers: Arc<Servers>,
    entry: Arc<PoolEntry>,
    place: Place,
    want: Want,
    request: Option<ReplicationRequest>,
) {
    let mut attempt = Attempt { replication: request, ..Attempt::new(servers, entry, want).in_place(&place) };
    let mut connection = LoginConnection::default();
    let peer = attempt.entry.name();
    let outcome = tasks::guarded("server login", peer, attempt.run(&mut connection)).await;
    // a login that panics is one that fails: the next one comes after `server_login_retry`
    let outcome = outcome.unwrap_or_else(|| Err(Failure::new("the pooler's login has panicked")));
    match (outcome, attempt.replication.take()) {
        (Ok(unread), None) => attempt.hand_over(connection, unread, place).await,
        (Err(failure), None) => attempt.fail(connection, failure, place).await,
        (Ok(unread), Some(request)) => attempt.hand_to_replica(connection, unread, place, request).await,
        (Err(failure), Some(request)) => attempt.fail_replica(connection, failure, place, request).await,
    }
}

impl Attempt {
    pub(super) fn new(servers: Arc<Servers>, entry: Arc<PoolEntry>, want: Want) -> Self {
        // First: where a reload comes in between, what follows may be newer than this, and counts as older;
        // never the other way round.
        let generation = entry.share.generation();
        let plane = &servers.plane;
        let policy = plane.policy.load_full();
        servers.assign_secret(&policy.snapshot, &entry);
        Self {
            sent: plane.would_send(&policy, &entry),
            policy,
            config: entry.config.load_full(),
            socket_id: plane.next_socket_id(),
            generation,
            started: plane.now(),
            servers,
            entry,
            want,
            replication: None,
            is_probe: false,
            goes_elsewhere: false,
        }
    }

    /// An attempt that needs no place: it never comes to a session.
    pub(super) fn probe(servers: Arc<Servers>, entry: Arc<PoolEntry>) -> Self {
        Self { is_probe: true, ..Self::new(servers, entry, Want::Renewal) }
    }

    /// An attempt that shows a client's own token: it is tried once, by whoever has made it. As a probe it
    /// needs no place.
    pub(super) fn of_client(servers: Arc<Servers>, entry: Arc<PoolEntry>, is_probe: bool) -> Self {
        Self { is_probe, ..Self::new(servers, entry, Want::Renewal) }
    }

    /// The attempt in a place that was taken for it.
    pub(super) fn in_place(self, place: &Place) -> Self {
        let goes_elsewhere = !place.is_for(&self.policy.snapshot.endpoints(&self.config));
        Self { goes_elsewhere, ..self }
    }

    /// Connects and logs in; returns the bytes that came behind the login.
    async fn run(&self, connection: &mut LoginConnection) -> Result<Vec<u8>, Failure> {
        if let Some(reason) = self.obsolete().filter(|_| self.goes_elsewhere) {
            return Err(Failure { sequel: RetryDecision::Nothing, ..Failure::new(reason) });
        }
        tokio::select! {
            outcome = self.try_by_its_rules(connection) => outcome,
            reason = self.given_up() => {
                Err(Failure { sequel: RetryDecision::Nothing, ..Failure::new(reason) })
            }
        }
    }

    async fn try_by_its_rules(&self, connection: &mut LoginConnection) -> Result<Vec<u8>, Failure> {
        let snapshot = &self.policy.snapshot;
        match entry::rules(snapshot, &self.config, &self.entry.share.user) {
            None => match secrets::entry::secret(snapshot, &self.config, &self.entry.share.user) {
                None => self.try_hosts_in_time(connection, LoginProof::Stored).await,
                Some(Err(refused)) => Err(misfit(&refused)),
                Some(Ok(_)) => match self.entry.secret.load_full() {
                    Some(secret) => self.try_by_secret(connection, &secret).await,
                    None => Err(Failure::new("connect string changed")), // by a reload, just now
                },
            },
            Some(Ok(rules)) => self.try_by_iam(connection, &rules).await,
            Some(Err(refused)) => Err(self.misconfigured(&refused)),
        }
    }

    /// As [`Self::try_hosts`], within `server_connect_timeout`.
    pub(super) async fn try_hosts_in_time(
        &self,
        connection: &mut LoginConnection,
        proof: LoginProof<'_>,
    ) -> Result<Vec<u8>, Failure> {
        let limit = self.policy.snapshot.settings.server_connect_timeout.to_timeout();
        let outcome = tokio::time::timeout(limit, self.try_hosts(connection, proof)).await;
        outcome.unwrap_or_else(|_| {
            let error = connection.timed_out();
            self.entry.logins.failed(error.trouble());
            Err(self.failure(&error, &connection.peer))
        })
    }

    /// Ends when a server of this pool is no longer wanted; PgBouncer looks as often.
    async fn given_up(&self) -> &'static str {
        loop {
            tokio::time::sleep(Duration::from_millis(limits::JANITOR_PERIOD_MS)).await;
            if let Some(reason) = self.obsolete() {
                return reason;
            }
        }
    }

    fn obsolete(&self) -> Option<&'static str> {
        let share = &self.entry.share;
        if self.entry.is_removed() {
            Some("database removed")
        } else if self.goes_elsewhere || share.generation() != self.generation {
            Some("connect string changed")
        } else if share.database.is_paused() {
            Some("pause mode")
        } else if self.replication.as_ref().is_some_and(ReplicationRequest::is_abandoned) {
            Some("replication client was closed")
        } else {
            None
        }
    }

    /// Tries the entry's hosts, each once, beginning with the one whose turn it is, until
    /// one can be connected to.
    async fn try_hosts(
        &self,
        connection: &mut LoginConnection,
        proof: LoginProof<'_>,
    ) -> Result<Vec<u8>, Failure> {
        let mut failure = Failure::new("connect failed");
        for tried in 0..self.config.hosts.len() {
            if tried > 0 {
                self.log_close(&connection.peer, &failure.reason);
            }
            let outcome = self.try_host(connection, self.next_host(), proof).await;
            match &outcome {
                Ok(_) => self.entry.logins.accepted(),
                Err(error) => self.entry.logins.failed(error.trouble()),
            }
            match outcome {
                Ok(unread) => return Ok(unread),
                Err(AttemptError::Connect(error)) => {
                    self.log_connect_error(&connection.peer, &error);
                    failure = Failure::new(error.reason);
                }
                Err(error) => {
                    let is_answer = matches!(&error,
                        AttemptError::Login(LoginFailure::Login(error)) if error.is_answer());
                    let is_unproven = matches!(&error,
                        AttemptError::Login(LoginFailure::Login(error)) if error.is_refusal());
                    let failure = self.failure(&error, &connection.peer);
                    let sequel = if is_answer { RetryDecision::Refused } else { failure.sequel };
                    return Err(Failure { sequel, is_unproven, ..failure });
                }
            }
            self.leave_host();
        }
        Err(failure)
    }

    /// The number of the host whose turn it is.
    pub(super) fn next_host(&self) -> usize {
        let (turn, count) = (&self.entry.host_turn, self.config.hosts.len());
        let at = if self.is_sticky() {
            turn.load(Ordering::Relaxed)
        } else {
            turn.fetch_add(1, Ordering::Relaxed)
        };
        at % count
    }

    /// The host could not be connected to.
    pub(super) fn leave_host(&self) {
        if self.is_sticky() {
            self.entry.host_turn.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_sticky(&self) -> bool {
        self.config.load_balance_hosts == LoadBalance::Disable
    }

    /// Connects to the host of that number and logs in there by `proof`.
    pub(super) async fn try_host(
        &self,
        connection: &mut LoginConnection,
        at: usize,
        proof: LoginProof<'_>,
    ) -> Result<Vec<u8>, AttemptError> {
        let (host, port) = (self.config.hosts[at].clone(), self.config.port);
        connection.peer = format!("{host}:{port}");
        connection.endpoint = Some(self.policy.snapshot.endpoint(&host, port));
        let target = self.policy.target(&self.config, &self.entry.share.user, (host, port), None);
        let target = target.ok_or(AttemptError::System("no TLS for this entry"))?;
        connection.is_reached = false;
        let reaching = self.servers.reach(&self.policy.snapshot.settings, &target);
        let opened = reaching.await.map_err(AttemptError::Connect)?;
        connection.is_reached = true;
        let opened = opened.encrypt(&target).await.map_err(AttemptError::Connect)?;
        self.log_in(connection, opened, proof).await
    }

    async fn log_in(
        &self,
        connection: &mut LoginConnection,
        opened: Opened,
        proof: LoginProof<'_>,
    ) -> Result<Vec<u8>, AttemptError> {
        self.log_connection(&opened);
        connection.peer = opened.remote.to_string();
        connection.row = Some(self.enter(&opened));
        let plan = self.plan(&opened, proof)?;
        connection.user = Some(Arc::clone(&plan.user));
        connection.credential = proof.shown(plan.credential.as_ref());
        let (handshake, first) = Handshake::start(plan);
        let (opened, handshake) = (connection.opened.insert(opened), connection.handshake.insert(handshake));
        let outcome = connect::log_in(opened, handshake, &first, &self.servers.plane.key_derivation).await;
        let peer = &connection.peer;
        for error in handshake.query_errors() {
            log_about!(warn, self.about(peer), "error while executing connect_query: {error}");
        }
        outcome.map_err(AttemptError::Login)
    }

    /// What an error means where nothing better is known; logs what the reason does not say.
    pub(super) fn failure(&self, error: &AttemptError, peer: &str) -> Failure {
        let mut fault = None;
        match error {
            AttemptError::Login(LoginFailure::Login(error)) => {
                self.log_refusal(error, peer);
                fault = error.fault();
            }
            AttemptError::Connect(error) => self.log_connect_error(peer, error),
            AttemptError::Login(LoginFailure::Crashed)
            | AttemptError::Token(_)
            | AttemptError::TimedOut
            | AttemptError::System(_) => {}
        }
        Failure { fault, ..Failure::new(error.reason()) }
    }

    fn enter(&self, opened: &Opened) -> LoginEntry {
        let share = &self.entry.share;
        self.servers.logins.enter(LoginRow {
            socket_id: self.socket_id,
            remote: opened.remote.clone(),
            local: opened.local.clone(),
            connected_at_epoch_s: epoch_s(),
            names: Some((Arc::clone(&share.database.name), Arc::clone(&share.user))),
            replication: self.replication_kind(),
            tls: opened.tls.clone(),
            is_waiting: false,
            kill: None,
        })
    }

    fn plan(&self, opened: &Opened, proof: LoginProof<'_>) -> Result<LoginPlan, AttemptError> {
        let mut random = [0; scram::NONCE_BYTES];
        aws_lc_rs::rand::fill(&mut random)
            .map_err(|_| AttemptError::System("no randomness from the system"))?;
        let credential = self.credential(proof);
        Ok(LoginPlan {
            user: Arc::clone(proof.user().unwrap_or(&self.entry.share.user)),
            dbname: if self.is_probe { NO_DATABASE.into() } else { Arc::clone(&self.config.dbname) },
            startup: self.startup(),
            connect_query: self.config.connect_query.clone().filter(|_| self.may_query()),
            credential: credential.map_err(AttemptError::Token)?,
            security: opened.security,
            nonce: scram::nonce_text(random),
            scram_iterations_max: self.policy.snapshot.settings.max_scram_iterations.get(),
        })
    }

    /// What proves the pool's user to its servers; `None` = nothing is known.
    fn credential(&self, proof: LoginProof<'_>) -> Result<Option<Credential>, NoToken> {
        Ok(match proof {
            LoginProof::Token(maker) => Some(Credential::Token(maker.token_for(&self.entry.share.user)?)),
            LoginProof::Stored => {
                let stored = self.servers.plane.stored(&self.policy, &self.entry, &self.config);
                stored.map(Credential::Stored)
            }
            LoginProof::Secret(_, version) => {
                let secret = version.login().map(|login| Arc::clone(&login.secret));
                secret.map(|secret| Credential::Stored(Stored { secret, keys: None }))
            }
        })
    }
}

/// Keys that do not go together for this user alone: else the configuration would not have been taken.
fn misfit(refused: &[BadKey]) -> Failure {
    Failure::new(refused.first().map(ToString::to_string).unwrap_or_default())
}

#[cfg(test)]
mod tests;
