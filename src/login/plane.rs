//! What the login plane knows of the process: the policy in force, the pools, the workers, and the counts that limits need.
//!
//! One value, made by `boot`, shared by reference: there is no global. Rooms above reach each other through the doors in
//! here (channels), never by import.

use super::accept::Accepting;
use super::admissions::Admissions;
use super::cancel::CancelKeys;
use super::dns::Dns;
use super::iam::Iam;
use super::lanes::Lanes;
use super::launch::LauncherDoor;
use super::logins::Logins;
use super::places::Places;
use super::random::Randomness;
use super::registry::{PoolEntry, Registry};
use super::secrets::ServerSecrets;
use super::servers_tls::ServersTls;
use super::strangers::Strangers;
use super::verifiers::Verifiers;
use crate::auth::UserList;
use crate::base::{Micros, WorkerId, limits};
use crate::config::{PoolRules, Snapshot, SslMode};
use crate::core::{Answer, ClientIdentity, Command, Gate, Note, PoolShare, StatementRegistry};
use crate::io::Clock;
use crate::io::tls::Acceptor;
use crate::wire::{ParamSet, TrackedNames};
use crate::worker::{Mail, WorkerHandle};
use arc_swap::ArcSwap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};

/// TLS towards clients as it is in force: the settings may be ahead of it, after a SET that is not complete yet.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// `client_tls_sslmode`.
    pub mode: SslMode,
    /// For handshakes.
    pub acceptor: Acceptor,
}

/// The configuration in force, with all that was made from its files. Replaced whole by a reload.
pub struct Policy {
    /// The files' settings and entries.
    pub snapshot: Arc<Snapshot>,
    /// `auth_file`.
    pub users: Arc<UserList>,
    /// What TLS handshakes with clients need; `None` = no TLS.
    pub client_tls: Option<ClientTls>,
    /// What TLS handshakes with servers need.
    pub server_tls: ServersTls,
}

/// What a pool's first successful server login taught: what its clients are welcomed with.
#[derive(Debug)]
pub struct Welcome {
    /// Every ParameterStatus as the server reported it, in its order.
    pub reported: Vec<(String, String)>,
    /// The tracked ones.
    pub params: ParamSet,
}

/// Where the process stands. Moves only downwards, by `Plane::set_phase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everybody may log in.
    Running,
    /// SIGTERM: ends when the last client has left; only the console may be logged in to.
    WaitForClients,
    /// SIGINT: paused, ends when the last server is closed; only the console may be logged in to.
    WaitForServers,
}

/// A byte stream of a client, plain or TLS.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What a visitor of the console may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// `admin_users`, or the process's own uid on a Unix socket.
    Admin,
    /// `stats_users`: SHOW only.
    Show,
}

/// A client of the database `pgbouncer` that has proved who it is; nothing after AuthenticationOk has been sent yet.
pub struct ConsoleVisit {
    /// Its stream, with nothing unread but what the stream itself still holds.
    pub stream: Box<dyn Stream>,
    /// Who it is.
    pub identity: Arc<ClientIdentity>,
    /// What it may do.
    pub rights: Rights,
    /// Held until the visit ends (counts of clients).
    pub guard: crate::io::Guard,
}

/// What the console (or a signal) asks of the process itself; `boot` carries it out.
#[derive(Debug)]
pub enum Order {
    /// Read the files again. The answer is the first error.
    Reload(oneshot::Sender<Result<(), String>>),
    /// `SET key = value`. The answer is the error's text.
    Set {
        /// The setting's name, as typed.
        key: String,
        /// Its new value, as typed.
        value: String,
        /// `Ok(Some(text))` = done, with a notice.
        reply: oneshot::Sender<Result<Option<String>, String>>,
    },
    /// Enter a phase of shutdown.
    Shutdown(Phase),
    /// End at once.
    Exit,
}

/// The login plane's view of the process.
pub struct Plane {
    /// The policy in force.
    pub policy: ArcSwap<Policy>,
    /// PAUSE of everything.
    pub gate: Arc<Gate>,
    /// The data workers.
    pub workers: Box<[WorkerHandle]>,
    /// Tracked parameter names.
    pub names: TrackedNames,
    /// The pools and databases there are.
    pub registry: Registry,
    statements: OnceLock<Arc<StatementRegistry>>,
    /// The ledger of places, with its lock.
    pub places: Arc<Places>,
    /// Wakes the launcher.
    pub launcher: LauncherDoor,
    /// Which client a cancel key belongs to.
    pub cancel_keys: CancelKeys,
    /// Names of servers, looked up.
    pub dns: Dns,
    /// What clients' logins taught that servers can be logged in to with.
    pub secrets: ServerSecrets,
    /// Logins to servers by IAM.
    pub iam: Iam,
    /// How many clients there are, and the limits on them.
    pub admissions: Admissions,
    /// Clients that have not proven who they are.
    pub strangers: Arc<Strangers>,
    /// Turns at computing what takes a core's time: PBKDF2, for servers that ask for it and for clients.
    pub sums: Lanes,
    /// Turns at auth_query.
    pub lookups: Lanes,
    /// The clients that are logging in.
    pub logins: Logins,
    /// Servers that are being logged in to.
    pub server_logins: Logins,
    /// What SCRAM clients are checked against.
    pub verifiers: Verifiers,
    /// Salts and nonces of clients' logins.
    pub random: Randomness,
    /// Whether clients are accepted at present.
    pub accepting: Accepting,
    /// Takes clients of the database `pgbouncer`.
    pub console: mpsc::UnboundedSender<ConsoleVisit>,
    /// Takes orders to the process.
    pub orders: mpsc::UnboundedSender<Order>,
    phase: watch::Sender<Phase>,
    clock: Clock,
    socket_ids: AtomicU64,
}

/// The receiving ends of the doors of a new [`Plane`]; `boot` gives each to its room.
pub struct Doors {
    /// For `login::launch`.
    pub launcher: super::launch::LauncherInbox,
    /// For `console`.
    pub console: mpsc::UnboundedReceiver<ConsoleVisit>,
    /// For `boot`.
    pub orders: mpsc::UnboundedReceiver<Order>,
}

/// At most half of the cores compute for those who log in.
fn computing_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}

impl Plane {
    /// A plane with no pool; `clock` is the one that the workers have, too. [`Plane::adopt`] makes the policy's entries known.
    pub fn new(
        policy: Arc<Policy>,
        workers: Box<[WorkerHandle]>,
        names: TrackedNames,
        clock: Clock,
    ) -> (Arc<Self>, Doors) {
        let (launcher, launcher_inbox) = super::launch::door();
        let (console, console_inbox) = mpsc::unbounded_channel();
        let (orders, orders_inbox) = mpsc::unbounded_channel();
        let gate = Arc::new(Gate::default());
        let plane = Self {
            iam: Iam::new(&policy.snapshot, clock),
            policy: ArcSwap::new(policy),
            registry: Registry::new(Arc::clone(&gate), workers.len()),
            statements: OnceLock::new(),
            gate,
            workers,
            names,
            places: Places::new(launcher.clone()),
            launcher,
            cancel_keys: CancelKeys::default(),
            dns: Dns::default(),
            secrets: ServerSecrets::default(),
            admissions: Admissions::default(),
            strangers: Arc::new(Strangers::new(clock)),
            lookups: Lanes::new(limits::LOOKUPS_MAX, limits::LOOKUPS_PER_DATABASE_MAX),
            sums: Lanes::new(computing_threads(), computing_threads()),
            logins: Logins::default(),
            server_logins: Logins::default(),
            verifiers: Verifiers::default(),
            random: Randomness::default(),
            accepting: Accepting::default(),
            console,
            orders,
            phase: watch::Sender::new(Phase::Running),
            clock,
            socket_ids: AtomicU64::new(0),
        };
        let doors = Doors { launcher: launcher_inbox, console: console_inbox, orders: orders_inbox };
        (Arc::new(plane), doors)
    }

    /// The process's prepared statements: the workers', from when they are connected.
    pub fn statements(&self) -> &Arc<StatementRegistry> {
        self.statements.get_or_init(Arc::default)
    }

    /// Makes the workers' statements known, before anything else is.
    pub fn set_statements(&self, statements: Arc<StatementRegistry>) {
        let _ = self.statements.set(statements); // called once
    }

    /// The next socket id of SHOW, counted from 1.
    pub fn next_socket_id(&self) -> u64 {
        self.socket_ids.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Now, on the process's monotonic clock: the same that the workers use.
    pub fn now(&self) -> Micros {
        self.clock.now()
    }

    /// Where the process stands.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Wakes whoever waits for the process to go further down.
    pub fn watch_phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Goes further down; going up again is not possible and ignored.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let moves = *now < phase;
            if moves {
                *now = phase;
            }
            moves
        });
    }

    /// What a worker's `Core` wants the world to know; the driver's owner calls it on the worker's thread, so it only
    /// passes the note on.
    pub fn note(&self, from: WorkerId, note: Note) {
        match note {
            Note::NeedServer(pool) => self.launcher.need_server(pool),
            Note::NeedRenewal(pool) => self.launcher.need_renewal(pool),
            Note::Nudge { pool, idle_at } => self.worker(idle_at).send(Mail::Nudge { pool, by: from }),
            Note::SendCancel { request, server, identity, key, .. } => {
                self.launcher.send_cancel(self.errand(from, request, server, identity, key));
            }
        }
    }

    /// The worker of that number.
    pub fn worker(&self, id: WorkerId) -> &WorkerHandle {
        &self.workers[id.0 as usize]
    }

    /// The worker with the fewest clients.
    pub fn quietest_worker(&self) -> WorkerId {
        let quietest = self.workers.iter().enumerate().min_by_key(|(_, worker)| worker.client_count());
        WorkerId(quietest.map_or(0, |(at, _)| at as u16))
    }

    /// `here`, unless another worker has fewer clients by more than an eighth: who comes to a worker mostly stays there.
    pub fn quiet_worker(&self, here: WorkerId) -> WorkerId {
        let quietest = self.quietest_worker();
        let fewest = self.worker(quietest).client_count();
        if self.worker(here).client_count() <= fewest + fewest / 8 + 1 { here } else { quietest }
    }

    /// The pool for clients of `database` that log in as `user` (the entry's own user goes first), made if it is new; `None`
    /// where there is no such database, not even `*`.
    pub fn pool(&self, database: &str, user: &str) -> Option<Arc<PoolShare>> {
        self.pool_entry(database, user).map(|entry| Arc::clone(&entry.share))
    }

    /// As [`Plane::pool`], with what the login plane keeps of it.
    pub fn pool_entry(&self, database: &str, user: &str) -> Option<Arc<PoolEntry>> {
        self.registry.pool(&self.policy.load().snapshot, database, user)
    }

    /// Every pool there is, ordered by (database, user).
    pub fn pools(&self) -> Vec<Arc<PoolShare>> {
        self.registry.entries().iter().map(|entry| Arc::clone(&entry.share)).collect()
    }

    /// Asks one worker; `None` where it has ended.
    ///
    /// # Cancel safety
    /// The command is carried out all the same; only the answer is lost.
    pub async fn ask(&self, worker: WorkerId, command: Command) -> Option<Answer> {
        let (reply, answer) = oneshot::channel();
        self.worker(worker).send(Mail::Command(command, Box::new(move |answer| drop(reply.send(answer)))));
        answer.await.ok()
    }

    /// Asks every worker and waits for all answers, in the order of the workers. A worker that has ended is left out.
    ///
    /// # Cancel safety
    /// The command is carried out all the same; only the answers are lost.
    pub async fn ask_all(&self, command: impl Fn() -> Command) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(self.workers.len());
        for worker in &self.workers {
            let (reply, answer) = oneshot::channel();
            worker.send(Mail::Command(command(), Box::new(move |answer| drop(reply.send(answer)))));
            answers.push(answer);
        }
        let mut merged = Vec::with_capacity(answers.len());
        for answer in answers {
            merged.extend(answer.await.ok());
        }
        merged
    }

    /// Gives an order to every worker, without waiting for answers.
    pub fn tell_all(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            worker.send(Mail::Command(command(), Box::new(drop)));
        }
    }

    /// Replaces the rules of a pool, here and on every worker.
    pub fn set_rules(&self, pool: &PoolShare, rules: Arc<PoolRules>) {
        pool.set_rules(Arc::clone(&rules));
        self.tell_all(|| Command::Rules(pool.id, Arc::clone(&rules)));
        self.launcher.need_server(pool.id);
    }
}
