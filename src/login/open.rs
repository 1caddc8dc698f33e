//! Opening one server for a pool: connect, log in, hand over; and what follows where it fails.
//!
//! Runs in a place that the ledger has given; the place ends with the connection, whichever way. Tries each host of the
//! entry once, so that one dead host of several costs no client its time. Source: PgBouncer behaviour, surface §7.3, §8.2,
//! §9, §14.

use super::connect::{self, ConnectError, LoginFailure, Opened, Target};
use super::logins::{LoginEntry, LoginRow};
use super::places::Place;
use super::plane::{Plane, Policy, Welcome};
use super::registry::PoolEntry;
use super::server_login::{Handshake, LoggedIn, LoginError, LoginPlan};
use crate::auth::scram;
use crate::base::{Address, Micros, WorkerId, limits};
use crate::config::{Database, LoadBalance};
use crate::core::{Command, Scope, ServerIdentity, ServerLogin, Want};
use crate::wire::{Fault, ParamSet};
use crate::worker::Mail;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One attempt to open a server.
struct Attempt {
    plane: Arc<Plane>,
    policy: Arc<Policy>,
    entry: Arc<PoolEntry>,
    config: Arc<Database>,
    socket_id: u64,
    generation: u32,
    started: Micros,
}

/// The connection of an attempt. It outlives the attempt's future, so that whatever ends that, a session that PostgreSQL
/// counts is ended in order.
#[derive(Default)]
struct Line {
    opened: Option<Opened>,
    handshake: Option<Handshake>,
    /// What it is called in the log.
    peer: String,
    /// Its row of SHOW SERVERS until a worker has it.
    row: Option<LoginEntry>,
}

/// Why an attempt has failed.
struct Failure {
    /// "closing because: …", and the cached error of later clients.
    reason: Cow<'static, str>,
    /// What those who wait are told; `None` = they go on waiting.
    fault: Option<Fault>,
    /// It is no sign that the next one fails too.
    is_harmless: bool,
}

impl Failure {
    fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into(), fault: None, is_harmless: false }
    }
}

/// Seconds since the epoch.
fn epoch_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Opens a server in `place` and hands it to the worker whose client waits longest. `_want`: who wants it.
pub async fn open(plane: Arc<Plane>, entry: Arc<PoolEntry>, place: Place, _want: Want) {
    let attempt = Attempt {
        policy: plane.policy.load_full(),
        config: entry.config.load_full(),
        socket_id: plane.next_socket_id(),
        generation: entry.share.generation(),
        started: plane.now(),
        plane,
        entry,
    };
    let mut line = Line::default();
    match attempt.run(&mut line).await {
        Ok(unread) => attempt.hand_over(line, unread, place).await,
        Err(failure) => attempt.fail(line, failure, place).await,
    }
}

impl Attempt {
    /// Connects and logs in; returns the bytes that came behind the login.
    async fn run(&self, line: &mut Line) -> Result<Vec<u8>, Failure> {
        let settings = &self.policy.snapshot.settings;
        let limit = match settings.server_connect_timeout {
            Micros(0) => Duration::MAX,
            Micros(us) => Duration::from_micros(us),
        };
        tokio::select! {
            outcome = self.try_hosts(line) => outcome,
            () = tokio::time::sleep(limit) => Err(Failure::new("connect timeout")),
            reason = self.given_up() => Err(Failure { is_harmless: true, ..Failure::new(reason) }),
        }
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
        } else if share.generation() != self.generation {
            Some("connect string changed")
        } else if share.database.is_paused() {
            Some("pause mode")
        } else {
            None
        }
    }

    /// Tries the entry's hosts, each once, beginning with the one whose turn it is, until one can be connected to.
    async fn try_hosts(&self, line: &mut Line) -> Result<Vec<u8>, Failure> {
        let hosts = &self.config.hosts;
        let turn = &self.entry.host_turn;
        let sticky = self.config.load_balance_hosts == LoadBalance::Disable;
        let mut failure = Failure::new("connect failed");
        for tried in 0..hosts.len() {
            let at = if sticky { turn.load(Ordering::Relaxed) } else { turn.fetch_add(1, Ordering::Relaxed) };
            if tried > 0 {
                self.log_close(&line.peer, &failure.reason);
            }
            let host = hosts[at % hosts.len()].clone();
            line.peer = format!("{host}:{}", self.config.port);
            let tls = self.policy.server_tls.clone();
            let target = Target { host, port: self.config.port, tls, address: None };
            match self.plane.connect(&self.policy.snapshot.settings, &target).await {
                Ok(opened) => return self.log_in(line, opened).await,
                Err(error) => failure = self.connect_failed(&line.peer, &error),
            }
            if sticky {
                turn.fetch_add(1, Ordering::Relaxed);
            }
        }
        Err(failure)
    }

    fn connect_failed(&self, peer: &str, error: &ConnectError) -> Failure {
        if !error.detail.is_empty() {
            let (db, user) = self.names();
            let (reason, detail) = (error.reason, &error.detail);
            tracing::warn!(side = "S", id = self.socket_id, db, user, peer, "{reason}: {detail}");
        }
        Failure::new(error.reason)
    }

    async fn log_in(&self, line: &mut Line, opened: Opened) -> Result<Vec<u8>, Failure> {
        self.log_connection(&opened);
        line.peer = opened.remote.to_string();
        line.row = Some(self.enter(&opened));
        let plan = self.plan(&opened).map_err(Failure::new)?;
        let (handshake, first) = Handshake::start(plan);
        let (opened, handshake) = (line.opened.insert(opened), line.handshake.insert(handshake));
        let outcome = connect::log_in(opened, handshake, &first).await;
        let ((db, user), peer) = (self.names(), &line.peer);
        for error in handshake.query_errors() {
            let id = self.socket_id;
            tracing::warn!(side = "S", id, db, user, peer, "error while executing connect_query: {error}");
        }
        outcome.map_err(|failure| Failure {
            fault: match &failure {
                LoginFailure::Crashed => None,
                LoginFailure::Login(error) => self.log_refusal(error, peer),
            },
            ..Failure::new(failure.reason().into_owned())
        })
    }

    fn enter(&self, opened: &Opened) -> LoginEntry {
        let share = &self.entry.share;
        self.plane.server_logins.enter(LoginRow {
            socket_id: self.socket_id,
            remote: opened.remote.clone(),
            local: opened.local.clone(),
            connected_at_epoch_s: epoch_s(),
            names: Some((Arc::clone(&share.database.name), Arc::clone(&share.user))),
            tls: opened.tls.clone(),
            is_waiting: false,
        })
    }

    fn plan(&self, opened: &Opened) -> Result<LoginPlan, &'static str> {
        let mut random = [0; scram::NONCE_BYTES];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| "no randomness")?;
        Ok(LoginPlan {
            user: Arc::clone(&self.entry.share.user),
            dbname: Arc::clone(&self.config.dbname),
            startup: self.config.startup.clone(),
            connect_query: self.config.connect_query.clone(),
            credential: self.plane.credential(&self.policy, &self.entry, &self.config),
            cover: opened.cover,
            nonce: scram::nonce_text(random),
        })
    }

    fn names(&self) -> (&str, &str) {
        (&self.entry.share.database.name, &self.entry.share.user)
    }

    fn log_connection(&self, opened: &Opened) {
        if !self.policy.snapshot.settings.log_connections {
            return;
        }
        let ((db, user), id, peer) = (self.names(), self.socket_id, &opened.remote);
        match &opened.local {
            Address::Tcp(from) => {
                tracing::info!(side = "S", id, db, user, %peer, "new connection to server (from {from})")
            }
            Address::Unix { .. } => {
                tracing::info!(side = "S", id, db, user, %peer, "new connection to server")
            }
        }
        if !opened.tls.is_empty() {
            tracing::info!(side = "S", id, db, user, %peer, "SSL established: {}", opened.tls);
        }
    }

    fn log_refusal(&self, error: &LoginError, peer: &str) -> Option<Fault> {
        let ((db, user), id) = (self.names(), self.socket_id);
        match (error, error.log()) {
            // PgBouncer's line about the server's own words has no prefix
            (LoginError::Refused { .. }, Some(text)) => tracing::warn!("{text}"),
            (_, Some(text)) => tracing::error!(side = "S", id, db, user, peer, "{text}"),
            (_, None) => {}
        }
        error.fault()
    }

    fn log_close(&self, peer: &str, reason: &str) {
        if self.policy.snapshot.settings.log_disconnections {
            let (db, user) = self.names();
            let age = self.plane.now().since(self.started).as_secs();
            tracing::info!(
                side = "S",
                id = self.socket_id,
                db,
                user,
                peer,
                "closing because: {reason} (age={age}s)"
            );
        }
    }

    async fn hand_over(&self, line: Line, unread: Vec<u8>, place: Place) {
        let share = &self.entry.share;
        if let Some(reason) = self.obsolete() {
            return self.fail(line, Failure { is_harmless: true, ..Failure::new(reason) }, place).await;
        }
        let Line { opened: Some(opened), handshake: Some(handshake), peer, row } = line else {
            unreachable!("a login that succeeded has a connection");
        };
        let logged_in = handshake.finish();
        let params = self.tracked(&logged_in);
        let identity = Arc::new(ServerIdentity {
            socket_id: self.socket_id,
            database: Arc::clone(&share.database.name),
            user: Arc::clone(&share.user),
            remote: opened.remote.clone(),
            local: opened.local.clone(),
            host: Arc::clone(&opened.host),
            tls: opened.tls.clone(),
            connected_at_epoch_s: epoch_s(),
            cancel_key: logged_in.key,
        });
        let place = place.into_live();
        let channel = match opened.into_channel(unread, Box::new(place)) {
            Ok(channel) => channel,
            // the socket is gone, and its place with it
            Err(error) => return self.log_close(&peer, &error.to_string()),
        };
        let welcome = || Welcome { reported: logged_in.reported, params: params.clone() };
        self.entry.welcome.learn(self.generation, welcome);
        let login = ServerLogin {
            identity,
            pool: Arc::clone(share),
            params: params.clone(),
            generation: self.generation,
            connected_at: self.started,
            authorization: None,
        };
        let worker = self.worker();
        drop(row);
        self.plane.worker(worker).send(Mail::Server(Box::new((channel, login))));
        // when the worker has read that letter and this one, it has served whom it could: look whether others still wait
        self.plane.ask(worker, Command::Sweep(Scope::Pool(share.id))).await;
        self.plane.launcher.look_again(share.id);
    }

    fn tracked(&self, logged_in: &LoggedIn) -> ParamSet {
        let names = &self.plane.names;
        logged_in.reported.iter().fold(names.empty_set(), |set, (name, value)| match names.position(name) {
            Some(position) => set.with(position, value.as_str()),
            None => set,
        })
    }

    /// The worker whose client waits longest; where nobody waits, one after the other.
    fn worker(&self) -> WorkerId {
        let waiting = self.entry.share.oldest_waiter().map(|(worker, _)| worker);
        waiting.unwrap_or_else(|| WorkerId((self.socket_id % self.plane.workers.len() as u64) as u16))
    }

    async fn fail(&self, line: Line, failure: Failure, place: Place) {
        let Failure { reason, fault, is_harmless } = failure;
        let share = &self.entry.share;
        self.log_close(&line.peer, &reason);
        if !is_harmless {
            let retry = self.policy.snapshot.settings.server_login_retry;
            place.login_failed(reason.into_owned(), retry);
        }
        let unusable = share.live_count() == 0 || self.entry.welcome.known(self.generation).is_none();
        if let Some(fault) = fault.filter(|_| unusable) {
            self.entry.welcome.refuse(fault.clone());
            self.plane.tell_all(|| Command::FailWaiting(share.id, fault.clone()));
        }
        if let (Some(opened), Some(handshake)) = (line.opened, line.handshake)
            && handshake.is_accepted()
        {
            opened.terminate().await;
        }
        drop(place);
    }
}
