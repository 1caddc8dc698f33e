//! A pooler under test: its files written from a builder, started, waited for, watched
//! through its log, ended by pid.
//!
//! What every test needs unless it says otherwise: TCP on 127.0.0.1 and a Unix socket in its own
//! directory, `auth_type = trust`, transaction pooling, console users `admin` and `stats`, database `app`
//! on the shared PostgreSQL.

use super::raw::{Outcome, Raw};
use super::{Postgres, account, free_port, programs, reaper, secrets, wait_until};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// What the files of a pooler will say.
#[derive(Clone, Debug)]
pub struct PoolerSetup {
    settings: BTreeMap<String, String>,
    databases: BTreeMap<String, String>,
    users: BTreeMap<String, String>,
    peers: BTreeMap<u16, String>,
    issuers: BTreeMap<String, String>,
    instances: BTreeMap<String, String>,
    environment: BTreeMap<String, String>,
    userlist: String,
    files: BTreeMap<String, String>,
    postgres_port: u16,
    /// The port that it shares with others (`so_reuseport`).
    shared_port: Option<u16>,
    program: Option<PathBuf>,
}

impl PoolerSetup {
    /// The usual pooler in front of `postgres`.
    pub fn new(postgres: &Postgres) -> Self {
        Self::at(postgres.port)
    }

    /// The usual pooler in front of a PostgreSQL on that port.
    pub fn at(postgres_port: u16) -> Self {
        let setup = Self {
            settings: BTreeMap::new(),
            databases: BTreeMap::new(),
            users: BTreeMap::new(),
            peers: BTreeMap::new(),
            issuers: BTreeMap::new(),
            instances: BTreeMap::new(),
            environment: BTreeMap::new(),
            userlist: String::new(),
            files: BTreeMap::new(),
            postgres_port,
            shared_port: None,
            program: None,
        };
        setup
            .set("listen_addr", "127.0.0.1")
            .set("auth_type", "trust")
            .set("pool_mode", "transaction")
            .set("admin_users", "admin")
            .set("stats_users", "stats")
            .set("server_tls_sslmode", "disable")
            .set("max_client_conn", "1000")
            .user("app", "app-secret")
            .user("other", "other-secret")
            .user("postgres", "")
            .user("admin", "admin-secret")
            .user("stats", "stats-secret")
            .database("app", "")
    }

    /// Puts `key = value` into `[pgbouncer]`.
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.settings.insert(key.into(), value.to_string());
        self
    }

    /// Has it serve its pages, on a port of its own.
    pub fn with_page(self) -> Self {
        self.set("metrics_listen", format!("127.0.0.1:{}", free_port()))
    }

    /// The port of its pages.
    #[track_caller]
    pub fn page_port(&self) -> u16 {
        let address = self.settings.get("metrics_listen").expect("it serves pages");
        address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("an address and a port")
    }

    /// Leaves `key` of `[pgbouncer]` out.
    pub fn unset(mut self, key: &str) -> Self {
        self.settings.remove(key);
        self
    }

    /// Sets a variable of its environment; AWS's own variables are not there otherwise.
    pub fn environment(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.insert(name.into(), value.to_string());
        self
    }

    /// Adds a database on the shared PostgreSQL; `more` follows its host and port.
    pub fn database(self, name: &str, more: &str) -> Self {
        let port = self.postgres_port;
        self.database_at(name, &format!("host=127.0.0.1 port={port} {more}"))
    }

    /// Adds a database with exactly this connection string.
    pub fn database_at(mut self, name: &str, text: &str) -> Self {
        self.databases.insert(name.into(), text.trim_end().into());
        self
    }

    /// Adds a row to `[users]`.
    pub fn user_settings(mut self, name: &str, text: &str) -> Self {
        self.users.insert(name.into(), text.into());
        self
    }

    /// Adds a peer with exactly this connection string.
    pub fn peer(mut self, id: u16, text: &str) -> Self {
        self.peers.insert(id, text.into());
        self
    }

    /// Adds an issuer of tokens with exactly this text.
    pub fn issuer(mut self, name: &str, text: &str) -> Self {
        self.issuers.insert(name.into(), text.trim_end().into());
        self
    }

    /// Adds a server of PostgreSQL with exactly this text.
    pub fn instance(mut self, name: &str, text: &str) -> Self {
        self.instances.insert(name.into(), text.into());
        self
    }

    /// Leaves an issuer out.
    pub fn without_issuer(mut self, name: &str) -> Self {
        self.issuers.remove(name);
        self
    }

    /// Leaves all peers out.
    pub fn without_peers(mut self) -> Self {
        self.peers.clear();
        self
    }

    /// Adds a line to the userlist; `secret` is a password, an md5 hash or a SCRAM secret.
    pub fn user(mut self, name: &str, secret: &str) -> Self {
        let _ =
            writeln!(self.userlist, "\"{}\" \"{}\"", name.replace('"', "\"\""), secret.replace('"', "\"\""));
        self
    }

    /// Adds bytes to the userlist as they are.
    pub fn userlist_text(mut self, text: &str) -> Self {
        self.userlist.push_str(text);
        self
    }

    /// Adds a file of its directory, which is also the one that it works in.
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.insert(name.into(), text.into());
        self
    }

    /// Has it share a port with others.
    pub fn sharing(mut self, port: u16) -> Self {
        self.shared_port = Some(port);
        self.set("so_reuseport", 1)
    }

    /// Runs this program in place of the one under test.
    pub fn program(self, program: Option<PathBuf>) -> Self {
        Self { program, ..self }
    }

    /// Starts it and waits until it accepts connections.
    #[track_caller]
    pub fn start(self) -> Pooler {
        let mut pooler = self.launch();
        wait_until("the pooler listens", || {
            if let Some(status) = pooler.child.try_wait().expect("is our child") {
                panic!("the pooler ended at once with {status}:\n{}", pooler.log());
            }
            match pooler.setup.shared_port {
                None => TcpStream::connect(("127.0.0.1", pooler.port)).is_ok(),
                // Whoever answers there may be another.
                Some(_) => pooler.log().contains("process up"),
            }
        });
        pooler
    }

    /// Starts it without waiting, for files that should be refused.
    pub fn launch(self) -> Pooler {
        let (directory, port, mut command) = self.prepare();
        let log = std::fs::File::create(directory.join("log")).expect("the directory is ours");
        let child = command
            .stdout(log.try_clone().expect("a descriptor is free"))
            .stderr(log)
            .spawn()
            .expect("the program under test can be run");
        reaper::guard(child.id(), "QUIT");
        Pooler { port, directory, child, setup: self, ended: false }
    }

    /// Runs `pgweir --check FILE` with these further arguments, to its end.
    pub fn check(&self, arguments: &[&str]) -> Output {
        let (_, _, mut command) = self.prepare();
        command.arg("--check").args(arguments).output().expect("the program under test can be run")
    }

    /// The files in a directory of their own, the port in them, and the program with the
    /// configuration as its argument.
    fn prepare(&self) -> (PathBuf, u16, Command) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pooler-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = reaper::directory().join(name);
        std::fs::create_dir(&directory).expect("the parent is ours");
        account::hand_over(&directory, 0o755);
        let port = self.shared_port.unwrap_or_else(free_port);
        account::write(&directory.join("pgweir.ini"), self.ini(&directory, port), 0o644);
        account::write(&directory.join("userlist.txt"), &self.userlist, 0o644);
        for (file, text) in &self.files {
            account::write(&directory.join(file), text, 0o644);
        }
        let mut command = account::command(self.program.as_deref().unwrap_or_else(|| programs::pooler()));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
            command.env_remove(name);
        }
        command.arg(directory.join("pgweir.ini")).env("HOME", &directory).envs(&self.environment);
        // Where a core would be left.
        command.stdin(Stdio::null()).current_dir(&directory);
        (directory, port, command)
    }

    fn ini(&self, directory: &Path, port: u16) -> String {
        let mut text = String::from("[databases]\n");
        for (name, value) in &self.databases {
            let _ = writeln!(text, "{name} = {value}");
        }
        text.push_str("[users]\n");
        for (name, value) in &self.users {
            let _ = writeln!(text, "{name} = {value}");
        }
        // PgBouncers before 1.21 know no such section.
        if !self.peers.is_empty() {
            text.push_str("[peers]\n");
        }
        for (id, value) in &self.peers {
            let _ = writeln!(text, "{id} = {value}");
        }
        // Nor does any of them know these.
        for (section, entries) in [("issuers", &self.issuers), ("instances", &self.instances)] {
            if !entries.is_empty() {
                let _ = writeln!(text, "[{section}]");
            }
            for (name, value) in entries {
                let _ = writeln!(text, "{name} = {value}");
            }
        }
        let _ = writeln!(text, "[pgbouncer]\nlisten_port = {port}");
        let own =
            [("unix_socket_dir", directory.to_path_buf()), ("auth_file", directory.join("userlist.txt"))];
        for (key, value) in own.iter().filter(|(key, _)| !self.settings.contains_key(*key)) {
            let _ = writeln!(text, "{key} = {}", value.display());
        }
        for (key, value) in &self.settings {
            let _ = writeln!(text, "{key} = {value}");
        }
        text
    }
}

/// A pooler that runs until it is dropped.
#[derive(Debug)]
pub struct Pooler {
    /// Its TCP port on 127.0.0.1, and the number in its Unix socket's name.
    pub port: u16,
    directory: PathBuf,
    child: Child,
    setup: PoolerSetup,
    ended: bool,
}

impl Pooler {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The port of the PostgreSQL behind it.
    pub fn postgres_port(&self) -> u16 {
        self.setup.postgres_port
    }

    /// The directory of its files and its Unix socket.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Everything it has logged to standard error so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.directory.join("log")).unwrap_or_default()).into_owned()
    }

    /// Waits until the log holds `part`.
    #[track_caller]
    pub fn wait_for_log(&self, part: &str) {
        wait_until(&format!("the log says {part:?}"), || self.log().contains(part));
    }

    /// The port of its pages, `metrics_listen`.
    #[track_caller]
    pub fn page_port(&self) -> u16 {
        self.setup.page_port()
    }

    /// A raw connection of `app` to database `app`, logged in.
    #[track_caller]
    pub fn client(&self) -> Raw {
        Raw::log_in(self.port, "app", "app")
    }

    /// A raw connection to the console as an admin.
    #[track_caller]
    pub fn console(&self) -> Raw {
        Raw::log_in(self.port, "admin", "pgbouncer")
    }

    /// One console command on a connection of its own.
    #[track_caller]
    pub fn ask(&self, command: &str) -> Outcome {
        self.console().simple(command)
    }

    /// As [`Pooler::ask`], by its Unix socket: its port may be others', too.
    #[track_caller]
    pub fn ask_itself(&self, command: &str) -> Outcome {
        let mut console = Raw::unix(&self.directory, self.port);
        console.startup(&[("user", "admin"), ("database", "pgbouncer")]);
        assert_eq!(console.outcome().status, Some(b'I'), "the console lets us in");
        console.simple(command)
    }

    /// A psql through the pooler, to be given more arguments: `app` on `app`, no startup file, plain output.
    pub fn psql(&self) -> Command {
        let mut psql = programs::limited(programs::postgres("psql"));
        psql.args(["-X", "-At", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "app", "-d", "app"]);
        psql.args(["-p", &self.port.to_string()]);
        psql
    }

    /// Changes what the files say, without telling the pooler.
    pub fn rewrite(&mut self, change: impl FnOnce(PoolerSetup) -> PoolerSetup) {
        self.setup = change(self.setup.clone());
        let text = self.setup.ini(&self.directory, self.port);
        self.overwrite("pgweir.ini", &text);
        self.overwrite("userlist.txt", &self.setup.userlist);
    }

    /// Writes one of its files as given.
    pub fn overwrite(&self, file: &str, text: &str) {
        account::write(&self.directory.join(file), text, 0o644);
    }

    /// Sends a signal, named as kill(1) names it.
    pub fn signal(&self, name: &str) {
        programs::run(Command::new("kill").args(["-s", name, &self.pid().to_string()]));
    }

    /// Whether it has ended, and how.
    pub fn status(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("is our child");
        if status.is_some() && !self.ended {
            self.ended = true;
            reaper::release(self.pid());
        }
        status
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        wait_until("the pooler ends", || self.status().is_some());
        self.status().expect("was there a moment ago")
    }

    /// Resident memory in KiB, as the kernel counts it.
    pub fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the kernel tells");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
    }

    /// Open descriptors; only root may count those of a pooler without `allow_core_dump`.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs").count()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        if self.status().is_none() {
            self.signal("QUIT");
            if std::thread::panicking() {
                eprintln!("--- log of the pooler\n{}---", self.log());
            }
            let status = self.wait();
            // Old PgBouncers know no SIGQUIT.
            let is_other = self.setup.program.is_some() || std::env::var_os("PGWEIR_BIN").is_some();
            let lenient = std::thread::panicking() || is_other;
            assert!(lenient || status.success(), "SIGQUIT ends with {status}:\n{}", self.log());
        }
        if !std::thread::panicking() {
            secrets::none_in("the log of the pooler", &self.log());
            secrets::no_password_in("the log of the pooler", &self.log(), &self.setup.userlist);
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
