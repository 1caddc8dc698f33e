//! Two workers and the parts of the login plane that get servers, for tests that are clients of them.

use crate::common::postgres;
use crate::common::raw::Raw;
use pgweir::auth::UserList;
use pgweir::base::{Address, Micros, WorkerId};
use pgweir::clients::Clients;
use pgweir::config::{IoBackend, Snapshot};
use pgweir::control::{Plane, Policy, WorkerSet};
use pgweir::core::{
    Authorization, CancelKey, ClientIdentity, ClientLogin, PoolShare, ServerIdentity, ServerLogin,
    StatementRegistry, Verdict, Want,
};
use pgweir::io::{Channel, Clock};
use pgweir::servers::{Servers, launcher};
use pgweir::tls::ServersTls;
use pgweir::wire::{Fault, ParamMask, TrackedNames};
use pgweir::worker::{self, Mail, WorkerConfig, WorkerHandle};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

pub(super) const WORKERS: u16 = 2;

/// A process without its client side.
pub(super) struct Rig {
    pub(super) clients: Arc<Clients>,
    pub(super) servers: Arc<Servers>,
    pub(super) plane: Arc<Plane>,
    pub(super) runtime: Runtime,
    threads: Vec<std::thread::JoinHandle<()>>,
}

pub(super) fn policy(databases: &str, settings: &str, users: &str) -> Policy {
    let text = format!("[databases]\n{databases}\n[pgbouncer]\n{settings}\n");
    let snapshot = Snapshot::load_with("test.ini", None, &|_| Ok(text.clone().into_bytes()));
    let snapshot =
        Arc::new(snapshot.unwrap_or_else(|errors| panic!("{:?}", errors.iter().collect::<Vec<_>>())));
    let server_tls = ServersTls::load(&snapshot).expect("TLS of the test's settings");
    let users = Arc::new(UserList::parse(users.as_bytes()).0);
    Policy {
        snapshot,
        users,
        hba: Arc::default(),
        ldap: Default::default(),
        tokens: Default::default(),
        callers: None,
        client_tls: None,
        server_tls,
        files: Default::default(),
    }
}

impl Rig {
    /// `{pg}` in `databases` stands for the address of PostgreSQL.
    pub(super) fn new(databases: &str, settings: &str, users: &str) -> Self {
        let clock = Clock::new();
        let names = TrackedNames::new([]);
        let statements = Arc::new(StatementRegistry::default());
        let handles: Box<[_]> = (0..WORKERS).map(|_| WorkerHandle::new().expect("an eventfd")).collect();
        let nothing = Arc::new(policy("", "", ""));
        let workers = WorkerSet {
            handles: handles.clone(),
            names: names.clone(),
            statements: Arc::clone(&statements),
            clock,
            log: Arc::default(),
            audit: WorkerSet::none().audit,
        };
        let (plane, inbox) = Plane::new(nothing, workers);
        let threads = (0..WORKERS).map(|id| {
            let plane = Arc::clone(&plane);
            let notes = Arc::new(move |from, note| plane.note(from, note));
            let (names, statements, workers) = (names.clone(), Arc::clone(&statements), handles.clone());
            let io_backend = IoBackend::Auto;
            worker::spawn(WorkerConfig {
                id: WorkerId(id),
                names,
                statements,
                clock,
                notes,
                workers,
                io_backend,
            })
            .expect("a thread")
        });
        let threads = threads.collect();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let servers = Servers::new(Arc::clone(&plane));
        runtime.spawn(launcher::run(Arc::clone(&servers), inbox));
        let rig = Self { clients: Clients::new(Arc::clone(&plane)).0, servers, plane, runtime, threads };
        rig.adopt(databases, settings, users);
        rig
    }

    pub(super) fn adopt(&self, databases: &str, settings: &str, users: &str) {
        let here = format!("host=127.0.0.1 port={}", postgres().port);
        self.servers.adopt(policy(&databases.replace("{pg}", &here), settings, users));
    }

    pub(super) fn pool(&self, database: &str, user: &str) -> Arc<PoolShare> {
        self.plane.pool(database, user).expect("such a database")
    }

    /// Waits as a client's login does.
    pub(super) fn welcome(&self, database: &str, user: &str) -> Result<Vec<(String, String)>, Fault> {
        let pool = self.pool(database, user);
        let welcome = self.runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(20), self.plane.welcome(&pool)).await
        });
        welcome.expect("an answer in time").map(|welcome| welcome.reported.clone())
    }

    /// A client of the pool, on a worker of its own choice.
    pub(super) fn client_on(&self, worker: u16, database: &str, user: &str) -> (Raw, u64) {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        theirs.set_nonblocking(true).expect("a socket");
        let entry = self.plane.pool_entry(database, user).expect("such a database");
        let here = || Address::Unix { port: 0, pid: 0, uid: 0 };
        let socket_id = self.plane.next_socket_id();
        let identity = Arc::new(ClientIdentity {
            socket_id,
            database: database.into(),
            user: user.into(),
            proof: pgweir::base::Proof::by("trust"),
            remote: here(),
            local: here(),
            tls: String::new(),
            connected_at_epoch_s: 0,
            replication: pgweir::wire::startup::Replication::No,
            internal: false,
        });
        let rules = self.plane.policy.load().snapshot.client_rules(user, &entry.config.load());
        let params = self.plane.names.empty_set();
        let login = ClientLogin {
            identity,
            pool: Arc::clone(&entry.share),
            params,
            asked: ParamMask::default(),
            rules,
            shown_name: None,
            context: None,
            login_time: Micros(0),
            welcome: Box::default(),
        };
        let guard = Box::new(entry.count_client());
        let channel = Channel { fd: theirs.into(), tls: None, unread: Vec::new(), unsent: Vec::new(), guard };
        self.plane.worker(WorkerId(worker)).send(Mail::Client(Box::new((channel, login))));
        (Raw::over(ours), socket_id)
    }

    pub(super) fn client(&self, database: &str, user: &str) -> Raw {
        self.client_on(0, database, user).0
    }

    /// A server of the pool that was logged in to here, whose authorization is past its soft age
    /// already; its backend's pid.
    pub(super) fn old_server(&self, database: &str, user: &str) -> String {
        let pool = self.pool(database, user);
        let want = Want::Waiter { since: self.plane.now() };
        let verdict = self.plane.places.decide(|ledger| ledger.consider(&pool, want, self.plane.now()));
        let Verdict::Launch(opening) = verdict else { panic!("room for a server: {verdict:?}") };
        let place = self.plane.places.given(&pool, opening);
        let socket = postgres().socket_directory().join(format!(".s.PGSQL.{}", postgres().port));
        let socket = UnixStream::connect(socket).expect("PostgreSQL listens");
        let mut login = Raw::over(socket.try_clone().expect("a descriptor"));
        login.startup(&[("user", user), ("database", "app"), ("application_name", database)]);
        assert_eq!(login.outcome().status, Some(b'I'));
        socket.set_nonblocking(true).expect("a socket");
        let pid = u32::from_be_bytes(login.key[..4].try_into().expect("a key"));
        let here = || Address::Unix { port: 0, pid: 0, uid: 0 };
        let identity = Arc::new(ServerIdentity {
            socket_id: self.plane.next_socket_id(),
            database: database.into(),
            user: user.into(),
            login_user: user.into(),
            remote: here(),
            local: here(),
            host: "here".into(),
            endpoint: "here:5432".into(),
            tls: String::new(),
            connected_at_epoch_s: 0,
            replication: pgweir::wire::startup::Replication::No,
            cancel_key: CancelKey { pid, secret: login.key[4..].into() },
            credential: None,
        });
        let now = self.plane.now();
        let login = ServerLogin {
            identity,
            pool: Arc::clone(&pool),
            params: self.plane.names.empty_set(),
            generation: pool.generation(),
            connected_at: now,
            authorization: Some(Authorization { soft_at: now, hard_at: now + Micros::from_secs(3600) }),
        };
        let guard = Box::new(place.into_live(&"here:5432".into()));
        let channel = Channel { fd: socket.into(), tls: None, unread: Vec::new(), unsent: Vec::new(), guard };
        self.plane.worker(WorkerId(1)).send(Mail::Server(Box::new((channel, login))));
        pid.to_string()
    }

    pub(super) fn live(&self, database: &str, user: &str) -> u32 {
        self.plane.places.pool_servers(self.pool(database, user).id).1
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for worker in &self.plane.workers {
            worker.send(Mail::Stop);
        }
        for thread in self.threads.drain(..) {
            thread.join().expect("a worker that ends in order");
        }
    }
}
