//! One client's whole login: greeting, limits, proof, welcome, and the hand-over to a
//! worker or to the console.
//!
//! One async function under `client_login_timeout`; nothing of it survives the hand-over but the guard of the
//! channel. Source: PgBouncer, src/client.c (order of checks, log lines).

mod caller;
mod cancel;
mod elsewhere;
mod ending;
mod hand_over;
mod proof;
mod rds_token;
mod record;
mod replication;
mod standing;
mod token;
mod vouched;

use super::clients::{Clients, Rights};
use super::greet::{GreetRules, Greeting, LoginEnd, greet};
use super::stream::{ClientStream, Socket};
use super::unauthenticated::LoginSlot;
use crate::audit::Room;
use crate::auth::Method;
use crate::base::{About, Address, Micros, Proof, WorkerId, limits, log_about};
use crate::config::{AuthType, CONSOLE_DATABASE, Database, Settings, SslMode};
use crate::control::{Admission, Admissions, ClientKey, LoginEntry, LoginRow, Policy, SessionHold};
use crate::core::PoolShare;
use crate::wire::startup::{Accepted, IgnoredNames, Replication, Startup};
use crate::wire::{Fault, authentication, tags};
use cancel::Requester;
use hand_over::{Allowed, Handover};
use record::{NOT_PROVEN, Tried};
use replication::Replica;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

/// A client that has just been accepted.
#[derive(Debug)]
pub struct Arrival {
    /// Its socket.
    pub socket: Socket,
    /// Its end.
    pub remote: Address,
    /// Our end.
    pub local: Address,
    /// Its place among those who have not proven who they are.
    pub login_slot: LoginSlot,
    /// The worker on whose loop it begins; `None`: on none.
    pub home: Option<WorkerId>,
    /// Its descriptor is one of those that clients of databases leave to others.
    pub is_on_kept_file: bool,
}

/// Takes one client through its login, to a worker, to the console, or to its end.
///
/// # Cancel safety
/// The client is cut off.
pub(super) async fn serve(clients: Arc<Clients>, arrival: Arrival) {
    let login_slot = Arc::new(arrival.login_slot);
    let mut stream = ClientStream::new(arrival.socket).paced(login_slot.pace().clone());
    let mut attempt =
        LoginAttempt::new(&clients, arrival.remote, arrival.local, Arc::clone(&login_slot), arrival.home);
    attempt.is_on_kept_file = arrival.is_on_kept_file;
    let patience = clients.plane.policy.load().snapshot.settings.client_login_timeout.to_timeout();
    let outcome = tokio::select! {
        biased; // what the client has sent comes first: it may just have moved on
        waited = tokio::time::timeout(patience, attempt.log_in(&clients, &mut stream)) => waited.ok(),
        () = login_slot.cut_off() => {
            Some(Err(LoginEnd::Silent("too many logins at a time (max_login_conn)".to_owned())))
        }
    };
    match outcome.unwrap_or_else(|| Err(attempt.timed_out())) {
        Ok(Way::Cancel(key)) => {
            // boxed, as are other ways that few go: all would have room for them
            let cancel = Box::pin(Requester::of(attempt).cancel(&clients, key, stream));
            tokio::select! {
                () = cancel => {}
                () = login_slot.cut_off() => {}
            }
        }
        Ok(Way::Console { rights, admission }) => {
            attempt.hand_to_console(&clients, stream, rights, admission)
        }
        Ok(Way::Worker(handover)) => attempt.hand_to_worker(&clients, stream, *handover),
        Ok(Way::Replication(replica)) => {
            let outcome = Box::pin(attempt.replicate(&clients, stream, *replica)).await;
            if let Err((attempt, stream, end)) = outcome {
                attempt.see_off(&clients, stream, end).await;
            }
        }
        Err(end) => attempt.see_off(&clients, stream, end).await,
    }
}

/// Returns when the client has left, or says that it does. What it sends ahead is kept, up to a bound.
///
/// # Cancel safety
/// Nothing is lost.
async fn gone(stream: &mut ClientStream) -> LoginEnd {
    loop {
        let sent = stream.unread();
        if sent.first() == Some(&tags::client::TERMINATE) {
            return LoginEnd::Silent("client close request".to_owned());
        }
        if sent.len() >= limits::SENT_AHEAD_BYTES_MAX {
            std::future::pending::<()>().await;
        }
        if let Err(error) = stream.read_more().await {
            return error.into();
        }
    }
}

/// Where a client goes from here.
enum Way {
    /// It wanted another's query cancelled, and that is all it wanted.
    Cancel(ClientKey),
    /// To the console.
    Console { rights: Rights, admission: Admission },
    /// To a worker.
    Worker(Box<Handover>),
    /// The same, with a server of its own.
    Replication(Box<Replica>),
}

/// One client during its login.
struct LoginAttempt {
    id: u64,
    remote: Address,
    local: Address,
    arrived: Micros,
    arrived_at_epoch_s: u64,
    database: Arc<str>,
    user: Arc<str>,
    proof: Proof,
    /// How far that has come, for who reads of a refusal.
    tried: Tried,
    /// Where that was a token.
    hold: OnceLock<SessionHold>,
    /// As the startup message had it.
    application_name: Arc<str>,
    /// As it had begun when it said who it is.
    tls: String,
    replication: Replication,
    row: LoginEntry,
    stage: Stage,
    login_slot: Arc<LoginSlot>,
    home: Option<WorkerId>,
    is_on_kept_file: bool,
    /// Whether the log hears of it; decided when there is first something to say.
    is_heard: OnceLock<bool>,
    /// What is set aside for its record (`audit_overflow = block`).
    audit_room: Option<Room>,
}

/// How far a login has come: what its timeout is called.
enum Stage {
    Proving,
    WaitingForServer(Arc<PoolShare>),
}

impl LoginAttempt {
    /// As the log names it.
    fn about(&self) -> About<'_> {
        About { side: "C", id: self.id, database: &self.database, user: &self.user, peer: &self.remote }
    }

    fn new(
        clients: &Clients,
        remote: Address,
        local: Address,
        login_slot: Arc<LoginSlot>,
        home: Option<WorkerId>,
    ) -> Self {
        let id = clients.plane.next_socket_id();
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let row = clients.logins.enter(LoginRow {
            socket_id: id,
            remote: remote.clone(),
            local: local.clone(),
            connected_at_epoch_s: since_epoch.as_secs(),
            names: None,
            replication: Replication::No,
            tls: String::new(),
            is_waiting: false,
            kill: None,
        });
        Self {
            id,
            remote,
            local,
            arrived: clients.plane.now(),
            arrived_at_epoch_s: since_epoch.as_secs(),
            database: "(nodb)".into(),
            user: "(nouser)".into(),
            proof: Proof::by(NOT_PROVEN),
            tried: Tried::default(),
            hold: OnceLock::new(),
            application_name: "".into(),
            tls: String::new(),
            replication: Replication::No,
            row,
            stage: Stage::Proving,
            login_slot,
            home,
            is_on_kept_file: false,
            is_heard: OnceLock::new(),
            audit_room: None,
        }
    }

    /// Whether a line about it is to be logged: always, once it has proven who it is.
    fn may_log(&self, clients: &Clients) -> bool {
        let is_unauthenticated = matches!(self.stage, Stage::Proving);
        !is_unauthenticated || *self.is_heard.get_or_init(|| clients.unauthenticated.may_log())
    }

    async fn log_in(&mut self, clients: &Clients, stream: &mut ClientStream) -> Result<Way, LoginEnd> {
        let mut startup = match self.greet(clients, stream).await? {
            Greeting::Startup(startup) => startup,
            // a key of another length is none of ours
            Greeting::Cancel(key) => return Ok(Way::Cancel(ClientKey::try_from(&*key).unwrap_or_default())),
        };
        let policy = clients.plane.policy.load_full();
        self.introduce(clients, &startup, stream, &policy.snapshot.settings);
        if let Some(negotiation) = startup.take_negotiation() {
            stream.send(&negotiation).await?;
        }
        if &*self.database == CONSOLE_DATABASE {
            return Box::pin(self.log_in_to_console(clients, &policy, stream)).await;
        }
        self.audit_room = clients.plane.audit.room().await;
        let database = policy.snapshot.database(&self.database);
        self.may_come_this_way(database.as_deref(), stream)?;
        self.take_forced_user(clients, &policy, database.as_deref())?;
        self.proof = self.prove(clients, &policy, database.as_deref(), stream).await?;
        self.may_be_here(clients)?;
        let mut limits = policy.snapshot.client_limits(&self.user, database.as_deref());
        if self.is_on_kept_file {
            clients.tell_of_refusals();
            limits.max_client_conn = 0;
        }
        let admit = |all: &Admissions| all.admit(&self.database, &self.user, &limits);
        let admission = self.admitted(clients, admit).await?;
        if let Some(names) = admission.names() {
            (self.database, self.user) = names; // thousands of clients, a few names
        }
        let database = self.may_enter(clients, &policy, database)?;
        self.login_slot.leave();
        let rules = policy.snapshot.client_rules(&self.user, &database).mapped(self.proof.timeouts());
        let allowed = Allowed { settings: &policy.snapshot.settings, startup: &startup, rules, admission };
        if startup.replication != Replication::No {
            return Ok(Way::Replication(Box::new(self.as_replica(clients, allowed)?)));
        }
        let handover = self.enter(clients, stream, allowed).await?;
        Ok(Way::Worker(Box::new(handover)))
    }

    async fn greet(&self, clients: &Clients, stream: &mut ClientStream) -> Result<Greeting, LoginEnd> {
        let policy = clients.plane.policy.load_full();
        let settings = &policy.snapshot.settings;
        let tls = policy.client_tls.as_ref().filter(|_| matches!(self.remote, Address::Tcp(_)));
        let rules = GreetRules {
            tls: tls.map(|tls| &tls.acceptor),
            handshakes: &clients.handshakes,
            tls_required: tls.is_some_and(|tls| tls.mode >= SslMode::Require),
            accepted: Accepted {
                names: &clients.plane.names,
                ignored: IgnoredNames(&settings.ignore_startup_parameters),
                context_keys: settings.request_context_keys.0.as_ref(),
            },
        };
        greet(stream, &rules).await
    }

    /// Takes the names that the client has said.
    fn introduce(
        &mut self,
        clients: &Clients,
        startup: &Startup,
        stream: &ClientStream,
        settings: &Settings,
    ) {
        self.database = startup.database.as_str().into();
        self.user = startup.user.as_str().into();
        self.replication = startup.replication;
        let tls = stream.tls_text();
        if clients.plane.audit.is_on() {
            self.tls.clone_from(&tls);
            let position = clients.plane.names.position("application_name");
            let own = startup.tracked.iter().rfind(|(at, _)| Some(*at) == position);
            self.application_name = own.map_or("", |(_, name)| name).into();
        }
        if settings.log_connections && self.may_log(clients) {
            let (db, user, replication) = (&self.database, &self.user, startup.replication.text());
            let tls = if tls.is_empty() { "no" } else { &tls };
            log_about!(
                info,
                self.about(),
                "login attempt: db={db} user={user} tls={tls} replication={replication}"
            );
        }
        self.row.update(|row| {
            row.names = Some((self.database.clone(), self.user.clone()));
            row.replication = startup.replication;
            row.tls = tls;
        });
    }

    /// Turns away who came without TLS to a database that demands it, before anything secret is asked for.
    fn may_come_this_way(&self, database: Option<&Database>, stream: &ClientStream) -> Result<(), LoginEnd> {
        let is_demanded = database.is_some_and(|database| database.client_tls_required);
        let is_open = matches!(self.remote, Address::Tcp(_)) && !stream.is_tls();
        if is_demanded && is_open { Err(Fault::SslRequired.into()) } else { Ok(()) }
    }

    /// With auth_type=any everybody is the user that the database entry names.
    fn take_forced_user(
        &mut self,
        clients: &Clients,
        policy: &Policy,
        database: Option<&Database>,
    ) -> Result<(), LoginEnd> {
        if policy.snapshot.settings.auth_type != AuthType::Any {
            return Ok(());
        }
        let Some(database) = database else { return Ok(()) }; // refused below, as unknown
        let Some(user) = &database.user else {
            if self.may_log(clients) {
                log_about!(error, self.about(), "auth_type=any requires forced user");
            }
            return Err(Fault::Config.into());
        };
        self.user = Arc::clone(user);
        Ok(())
    }

    /// Has the client counted by `admit`, among those that are still there: whoever left before it came may
    /// not have been heard yet.
    async fn admitted(
        &self,
        clients: &Clients,
        admit: impl Fn(&Admissions) -> Result<Admission, Fault>,
    ) -> Result<Admission, Fault> {
        let admissions = &clients.plane.admissions;
        let mut outcome = admit(admissions);
        if outcome.is_err() && !self.is_on_kept_file {
            clients.plane.hear_out().await;
            outcome = admit(admissions);
        }
        outcome.map_err(|fault| admissions.refuse(fault))
    }

    async fn log_in_to_console(
        &mut self,
        clients: &Clients,
        policy: &Policy,
        stream: &mut ClientStream,
    ) -> Result<Way, LoginEnd> {
        let settings = &policy.snapshot.settings;
        let own = self.is_own_account().then_some(Rights::Admin);
        let rights = own.or_else(|| Rights::of(settings, &self.user));
        self.proof = match settings.auth_type {
            _ if self.is_own_account() => Proof::by(Method::Peer.word()),
            AuthType::Any => Proof::by(Method::Any.word()),
            _ => self.prove(clients, policy, None, stream).await?,
        };
        if !self.is_own_account() {
            self.may_be_here(clients)?; // somebody must be able to put a list right
        }
        let limits = (rights != Some(Rights::Admin)).then(|| policy.snapshot.client_limits(&self.user, None));
        let admit = |all: &Admissions| all.admit_to_console(&self.database, &self.user, limits.as_ref());
        let admission = self.admitted(clients, admit).await?;
        let rights = rights.ok_or(Fault::NotAllowed)?;
        let mut out = Vec::new();
        authentication::write_ok(&mut out);
        stream.send(&out).await?;
        Ok(Way::Console { rights, admission })
    }

    /// Whether this is the account that we run as, over a Unix socket, under the name that is for it.
    fn is_own_account(&self) -> bool {
        let own_uid = rustix::process::getuid().as_raw();
        &*self.user == CONSOLE_DATABASE && matches!(self.remote, Address::Unix { uid, .. } if uid == own_uid)
    }
}

#[cfg(test)]
pub(super) mod tests;
