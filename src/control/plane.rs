//! What logins of clients and logins to servers share: the policy in force, the pools, the workers, and the
//! counts that limits need.
//!
//! One value, made by `boot`, shared by reference: there is no global. Starts no task, opens no socket.

use super::admissions::Admissions;
use super::cancel_keys::CancelKeys;
use super::client_secrets::ClientSecrets;
use super::console_clients::ConsoleClients;
use super::denials::Denials;
use super::fair_semaphore::FairSemaphore;
use super::launcher_channel::{LauncherReceiver, LauncherSender};
use super::log_progress::LogProgress;
use super::places::Places;
use super::policy::Policy;
use super::pool_entry::PoolEntry;
use super::random::Randomness;
use super::registry::Registry;
use super::rounds::Rounds;
use super::server_secrets::ServerSecrets;
use super::token_sessions::TokenSessions;
use crate::audit::Audit;
use crate::base::{Micros, SessionId, StartId, WorkerId};
use crate::config::{CONSOLE_DATABASE, PoolRules};
use crate::core::{Answer, ClientIdentity, Command, Gate, PoolShare, StatementRegistry};
use crate::io::Clock;
use crate::wire::TrackedNames;
use crate::worker::{Mail, WorkerHandle};
use arc_swap::ArcSwap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::{oneshot, watch};

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

/// What every login shares.
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
    /// The prepared statements of all workers.
    pub statements: Arc<StatementRegistry>,
    /// The ledger of places, with its lock.
    pub places: Arc<Places>,
    /// Wakes the launcher.
    pub launcher: LauncherSender,
    /// Which client a cancel key belongs to.
    pub cancel_keys: CancelKeys,
    /// What clients' logins taught that servers can be logged in to with.
    pub secrets: ServerSecrets,
    /// What others keep that clients are proven by.
    pub client_secrets: ClientSecrets,
    /// Who may not be here.
    pub(super) denials: Denials,
    /// On what sessions by tokens were let in.
    pub(crate) token_sessions: TokenSessions,
    /// Who is at the console.
    pub console_clients: ConsoleClients,
    hearings: Rounds,
    /// How many clients there are, and the limits on them.
    pub admissions: Admissions,
    /// Permits to compute PBKDF2, for servers that ask for it and for clients.
    pub key_derivation: FairSemaphore,
    /// How far the log is written.
    pub log: Arc<LogProgress>,
    /// The audit log.
    pub audit: Arc<Audit>,
    phase: watch::Sender<Phase>,
    /// When a soft shutdown began.
    shutdown_at: OnceLock<Micros>,
    clock: Clock,
    socket_ids: AtomicU64,
}

/// What a [`Plane`] is made for: the workers, and what they were made with.
pub struct WorkerSet {
    /// Their handles.
    pub handles: Box<[WorkerHandle]>,
    /// Tracked parameter names.
    pub names: TrackedNames,
    /// Their prepared statements.
    pub statements: Arc<StatementRegistry>,
    /// Their clock.
    pub clock: Clock,
    /// How far the log is written.
    pub log: Arc<LogProgress>,
    /// The audit log.
    pub audit: Arc<Audit>,
}

impl WorkerSet {
    /// No workers at all: for who looks at a configuration, and for tests.
    pub fn none() -> Self {
        Self {
            handles: Box::default(),
            names: TrackedNames::new([]),
            statements: Arc::default(),
            clock: Clock::new(),
            log: Arc::default(),
            audit: Arc::new(Audit::new(StartId(0), || Micros(0))),
        }
    }
}

/// At most half of the cores compute for those who log in.
fn computing_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}

/// What tells a run from others. Where the system has no randomness, no client gets a cancel key either, and
/// so none is served: any number does.
pub(crate) fn draw_start_id() -> StartId {
    StartId(Randomness::default().take().map_or(0, u32::from_be_bytes))
}

impl Plane {
    /// A plane with no pool, and what is said to its launcher.
    pub fn new(policy: Arc<Policy>, workers: WorkerSet) -> (Arc<Self>, LauncherReceiver) {
        let (launcher, inbox) = crate::control::launcher_channel::channel();
        let gate = Arc::new(Gate::default());
        let plane = Self {
            policy: ArcSwap::new(policy),
            registry: Registry::new(Arc::clone(&gate), workers.handles.len()),
            statements: workers.statements,
            gate,
            workers: workers.handles,
            names: workers.names,
            places: Places::new(launcher.clone()),
            launcher,
            cancel_keys: CancelKeys::default(),
            secrets: ServerSecrets::default(),
            client_secrets: ClientSecrets::default(),
            denials: Denials::default(),
            token_sessions: TokenSessions::default(),
            admissions: Admissions::default(),
            console_clients: ConsoleClients::default(),
            hearings: Rounds::default(),
            key_derivation: FairSemaphore::new(computing_threads(), computing_threads()),
            log: workers.log,
            audit: workers.audit,
            phase: watch::Sender::new(Phase::Running),
            shutdown_at: OnceLock::new(),
            clock: workers.clock,
            socket_ids: AtomicU64::new(0),
        };
        (Arc::new(plane), inbox)
    }

    /// The process's clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The next socket id of SHOW, counted from 1.
    pub fn next_socket_id(&self) -> u64 {
        self.socket_ids.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How the session of the client with this number is named outside of this run.
    pub fn session_id(&self, socket_id: u64) -> SessionId {
        SessionId { start: self.audit.start_id(), socket_id }
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
        if phase != Phase::Running {
            self.shutdown_at.get_or_init(|| self.now());
        }
        self.phase.send_if_modified(|now| {
            let moves = *now < phase;
            if moves {
                *now = phase;
            }
            moves
        });
    }

    /// Whether a soft shutdown began less than `age` ago.
    pub fn is_shutdown_young(&self, age: Micros) -> bool {
        self.shutdown_at.get().is_some_and(|at| self.now().since(*at) < age)
    }

    /// The worker of that number.
    pub fn worker(&self, id: WorkerId) -> &WorkerHandle {
        &self.workers[id.0 as usize]
    }

    /// The worker with the fewest clients.
    pub fn least_loaded_worker(&self) -> WorkerId {
        let least_loaded = self.workers.iter().enumerate().min_by_key(|(_, worker)| worker.client_count());
        WorkerId(least_loaded.map_or(0, |(at, _)| at as u16))
    }

    /// `here`, unless another worker has fewer clients by more than an eighth: who comes to a
    /// worker mostly stays there.
    pub fn near_worker(&self, here: WorkerId) -> WorkerId {
        let least_loaded = self.least_loaded_worker();
        let fewest = self.worker(least_loaded).client_count();
        if self.worker(here).client_count() <= fewest + fewest / 8 + 1 { here } else { least_loaded }
    }

    /// The pool for clients of `database` that log in as `user` (the entry's own user goes first), made if it
    /// is new; `None` where there is no such database, not even `*`.
    pub fn pool(&self, database: &str, user: &str) -> Option<Arc<PoolShare>> {
        self.pool_entry(database, user).map(|entry| Arc::clone(&entry.share))
    }

    /// As whom servers are logged in to for such a client; `None` for the console.
    pub fn pool_user(&self, client: &ClientIdentity) -> Option<Arc<str>> {
        if &*client.database == CONSOLE_DATABASE {
            return None;
        }
        let database = self.policy.load().snapshot.database(&client.database)?;
        Some(database.user.clone().unwrap_or_else(|| Arc::clone(&client.user)))
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

    /// Asks every worker and waits for all answers, in the order of the workers. A worker
    /// that has ended is left out.
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

    /// Waits until each worker, and each client of the console, has heard what had come to it: whoever has
    /// left is counted no more. Once for all who ask meanwhile: at a limit they may be many.
    ///
    /// # Cancel safety
    /// That of [`Rounds::join`].
    pub async fn hear_out(&self) {
        let round = async {
            tokio::join!(self.console_clients.hear_out(), self.ask_all(|| Command::Barrier));
        };
        self.hearings.join(round).await;
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
