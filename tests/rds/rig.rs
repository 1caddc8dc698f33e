//! A PostgreSQL that takes logins as RDS does: roles in `rds_iam` come in over TLS, with a
//! token that PAM has verified.
//!
//! Each rig is a PostgreSQL of its own with a verifier of its own (`verifier.py`), since tests change how
//! that behaves. PAM wants a service file under /etc/pam.d, so root or sudo; where that is not to be had the
//! test is skipped, says so on standard error, and `tests/run.sh` counts it. With `PGWEIR_NO_SKIP` set, as in
//! CI, it fails instead. Roles: `app`, `reader`, [`ODD_USER`] and [`LONG_USER`] are in `rds_iam`; `plain` has
//! a password. The database is `app`.

use crate::common::certs::{RDS_HOST, certs};
use crate::common::raw::Raw;
use crate::common::skip::skip;
use crate::common::{
    Pooler, PoolerSetup, account, free_port, postgres, programs, reaper, secrets, wait_for, wait_until,
};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The port of the endpoint; PostgreSQL itself listens elsewhere.
pub const RDS_PORT: u16 = 5432;

/// The region of the endpoint.
pub const REGION: &str = "eu-central-1";

/// The access key that the verifier knows from the beginning.
pub const KEY: &str = "AKIARDSRIGEXAMPLE";

/// Its secret key.
pub const SECRET: &str = "hUsHhUsH/rig+secret=";

/// A role whose name has to be encoded.
pub const ODD_USER: &str = "a+b@x y";

/// A role whose name is as long as they may be.
pub const LONG_USER: &str = "long_________________________________________________________63";

/// What pg_hba.conf says on RDS, for both addresses of this machine. Without TLS there is no login at all.
const HBA: &str = "
local     all postgres     trust
hostssl   all +rds_iam all pam pamservice={service}
hostssl   all all      all scram-sha-256
hostnossl all all      all reject
";

/// One login as the verifier judged it.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// When, in seconds since the epoch.
    pub at_s: f64,
    /// Process id of the backend.
    pub pid: u32,
    /// The role.
    pub user: String,
    /// As RDS's own log has it: 200, 400, 403, 429, 500.
    pub code: u16,
    /// In words.
    pub reason: String,
    /// The access key that signed.
    pub key: String,
    /// Age of the token by the verifier's clock; `None` where it was not looked at.
    pub age_s: Option<f64>,
}

/// The running rig. Dropping it ends it and takes its PAM service away.
pub struct Rds {
    /// PostgreSQL's TCP port on this machine.
    pub port: u16,
    directory: PathBuf,
    service: String,
    children: Vec<(Child, &'static str)>,
}

impl Rds {
    /// Starts a rig; `None`: the test cannot run here, which has been said.
    #[track_caller]
    pub fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// As [`Rds::start`], with lines of `postgresql.conf`.
    #[track_caller]
    pub fn start_with(settings: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let module = match module() {
            Ok(module) => module,
            Err(why) => return skip(why),
        };
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = reaper::directory().join(format!("rds-{number}"));
        std::fs::create_dir(&directory).expect("the parent is ours");
        account::hand_over(&directory, 0o755);
        let service = format!("pgweir-rds-{}-{number}", std::process::id());
        reaper::remove(&format!("/etc/pam.d/{service}"));
        let [module, socket] =
            [module.display(), directory.join("socket").display()].map(|path| path.to_string());
        if let Err(why) = pam(&["install", &service, &module, &socket]) {
            return skip(&why);
        }
        let mut rig = Self { port: free_port(), directory, service, children: Vec::new() };
        rig.behave("");
        account::write(&rig.directory.join("keys"), format!("{KEY}\t{SECRET}\t-\t-\n"), 0o644);
        rig.start_verifier();
        rig.start_postgres(settings);
        rig.create_roles();
        Some(rig)
    }

    fn start_verifier(&mut self) {
        let program = self.directory.join("verifier.py");
        let source = std::fs::read(programs::in_repository("tests/rds/verifier.py"));
        account::write(&program, source.expect("stands beside us"), 0o644);
        let mut command = account::command("python3");
        command.arg("-B").arg(program).arg(&self.directory);
        self.spawn(command, "verifier.log", "TERM");
        wait_until("the verifier listens", || self.directory.join("socket").exists());
    }

    fn start_postgres(&mut self, settings: &str) {
        let name = self.directory.file_name().expect("it is a rig's own");
        let data = reaper::data_directory().join(name);
        programs::run(Command::new("cp").arg("-a").arg(empty_cluster()).arg(&data));
        account::write(&data.join("pg_hba.conf"), HBA.replace("{service}", &self.service), 0o600);
        let own = postgres::settings(self.port, &self.directory, [certs().rds(), certs().rds_key()])
            + "listen_addresses = 'localhost'\nlog_line_prefix = '%p %u %e '\n"
            + settings;
        account::write(&data.join("postgresql.auto.conf"), own, 0o600);
        let mut command = account::command(programs::postgres("postgres"));
        command.arg("-D").arg(data);
        self.spawn(command, "postgres.log", "INT");
        wait_until("PostgreSQL answers", || {
            let mut ready = Command::new(programs::postgres("pg_isready"));
            ready.args(["-q", "-U", "postgres", "-d", "postgres", "-h"]).arg(&self.directory);
            ready.args(["-p", &self.port.to_string()]);
            ready.status().expect("pg_isready is installed").success()
        });
    }

    fn create_roles(&self) {
        self.psql("postgres", "create role rds_iam nologin; create role plain login password 'plain-secret'");
        for user in ["app", "reader", ODD_USER, LONG_USER] {
            self.psql("postgres", &format!("create role \"{user}\" login in role rds_iam"));
        }
        self.psql("postgres", "create database app owner app");
        self.psql("app", "grant all on schema public to public");
    }

    fn spawn(&mut self, mut command: Command, log: &str, signal: &'static str) {
        let log = std::fs::File::create(self.directory.join(log)).expect("the directory is ours");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a descriptor is free")).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        reaper::guard(child.id(), signal);
        self.children.push((child, signal));
    }

    /// Makes the verifier behave so from now on: `NAME=VALUE` lines, as `verifier.py` knows them. The
    /// endpoint and the region of this rig are good unless `lines` names others.
    pub fn behave(&self, lines: &str) {
        let mut text: String = lines.lines().map(|line| format!("{line}\n")).collect();
        for (name, value) in [("endpoint", format!("{RDS_HOST}:{RDS_PORT}")), ("region", REGION.into())] {
            if !lines.contains(&format!("{name}=")) {
                text += &format!("{name}={value}\n");
            }
        }
        // Renamed into its place, so that the verifier never reads half of it.
        let next = self.directory.join("behaviour.next");
        account::write(&next, text, 0o644);
        std::fs::rename(&next, self.directory.join("behaviour")).expect("the directory is ours");
    }

    /// The verifier's table of access keys, one a line: id, secret key, session token or `-`, end
    /// or `-`; tabs between them.
    pub fn keys(&self) -> PathBuf {
        self.directory.join("keys")
    }

    /// Adds a line to the table of access keys; a later line of the same id counts.
    pub fn add_key(&self, id: &str, secret: &str, session: &str, end: &str) {
        let mut file = std::fs::OpenOptions::new().append(true).open(self.keys()).expect("is there");
        file.write_all(format!("{id}\t{secret}\t{session}\t{end}\n").as_bytes()).expect("is ours");
    }

    /// All logins that the verifier has judged, oldest first.
    pub fn verdicts(&self) -> Vec<Verdict> {
        let text = std::fs::read_to_string(self.directory.join("verdicts")).unwrap_or_default();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete.lines().map(verdict).collect()
    }

    /// How many tokens of a role the verifier was given, judged or not yet.
    pub fn asked(&self, user: &str) -> usize {
        self.read("asked").lines().filter(|line| *line == user).count()
    }

    /// The codes of all logins of a role, oldest first.
    pub fn codes(&self, user: &str) -> Vec<u16> {
        self.verdicts().iter().filter(|verdict| verdict.user == user).map(|verdict| verdict.code).collect()
    }

    /// Runs SQL as the superuser, past every pooler.
    #[track_caller]
    pub fn psql(&self, database: &str, sql: &str) -> String {
        programs::psql(&self.directory, self.port, database, sql)
    }

    /// Process ids of the backends of a role, the oldest first.
    pub fn backends(&self, user: &str) -> Vec<u32> {
        let sql = format!(
            "select pid from pg_stat_activity where usename = '{user}' and backend_type = 'client backend' \
             order by backend_start"
        );
        self.psql("postgres", &sql).lines().map(|pid| pid.parse().expect("a pid")).collect()
    }

    /// Everything PostgreSQL has logged.
    pub fn log(&self) -> String {
        self.read("postgres.log")
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.directory.join(name)).unwrap_or_default()).into_owned()
    }

    /// The connection string of a database of a pooler: this PostgreSQL, dialled by address
    /// and taken for [`RDS_HOST`].
    pub fn database(&self) -> String {
        self.database_by(self.port)
    }

    /// The same, dialled at another port that leads here.
    pub fn database_by(&self, port: u16) -> String {
        format!(
            "host=127.0.0.1 port={port} dbname=app server_auth=rds_iam iam_host={RDS_HOST} \
             iam_port={RDS_PORT} tls_server_name={RDS_HOST} server_tls_ca_file={}",
            certs().ca().display()
        )
    }

    /// A pooler whose database `app` is this one; its credentials come from the environment.
    pub fn pooler(&self) -> PoolerSetup {
        self.bare_pooler()
            .database_at("app", &format!("{} iam_credential_source=env", self.database()))
            .environment("AWS_ACCESS_KEY_ID", KEY)
            .environment("AWS_SECRET_ACCESS_KEY", SECRET)
    }

    /// A pooler without database or credentials, that serves its pages. Its clients do not wait long for a
    /// server. No call of it leaves this machine.
    pub fn bare_pooler(&self) -> PoolerSetup {
        let setup = PoolerSetup::at(self.port)
            .unset("server_tls_sslmode")
            .set("query_wait_timeout", 5)
            .with_page()
            .environment("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1");
        ["reader", ODD_USER, LONG_USER].iter().fold(setup, |setup, user| setup.user(user, ""))
    }
}

impl Drop for Rds {
    fn drop(&mut self) {
        for (child, signal) in self.children.iter_mut().rev() {
            let _ = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
            let _ = child.wait();
            reaper::release(child.id());
        }
        let _ = pam(&["remove", &self.service]);
        let logs = ["postgres.log", "verifier.log", "verdicts"].map(|name| (name, self.read(name)));
        if std::thread::panicking() {
            for (name, text) in &logs {
                eprintln!("--- {name} of the rig\n{text}---");
            }
        } else {
            logs.iter().for_each(|(name, text)| secrets::none_in(name, text));
            assert!(!logs[1].1.contains("Traceback"), "the verifier failed:\n{}", logs[1].1);
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn verdict(line: &str) -> Verdict {
    let cells: Vec<&str> = line.split('\t').collect();
    let [at, pid, user, code, reason, key, age] = cells[..] else { panic!("no verdict: {line}") };
    Verdict {
        at_s: at.parse().expect("a time"),
        pid: pid.parse().expect("a pid"),
        user: user.into(),
        code: code.parse().expect("a code"),
        reason: reason.into(),
        key: key.into(),
        age_s: age.parse().ok(),
    }
}

/// Runs `pam.sh`; what it says when it cannot. Anything else that goes wrong is a failure.
fn pam(arguments: &[&str]) -> Result<(), String> {
    let script = programs::in_repository("tests/rds/pam.sh");
    let output =
        Command::new("sh").arg(script).args(arguments).stdin(Stdio::null()).output().expect("sh runs");
    match output.status.code() {
        Some(0) => Ok(()),
        Some(77) => Err(programs::said(&output).trim_end().into()),
        _ => panic!("pam.sh {arguments:?}:\n{}", programs::said(&output)),
    }
}

/// The PAM module, built once; or why it cannot be.
fn module() -> Result<&'static Path, &'static str> {
    static MODULE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = MODULE.get_or_init(|| {
        let directory = reaper::directory();
        pam(&["build", &directory.display().to_string()])?;
        Ok(directory.join("pam_rds.so"))
    });
    built.as_deref().map_err(String::as_str)
}

/// A C library that a pooler is to load before all others; or why it cannot be built here.
pub fn preloaded(source: &str) -> Result<PathBuf, String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let library = reaper::directory().join(format!("preloaded-{number}.so"));
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(programs::in_repository(source));
    let output = cc.output().map_err(|error| format!("cc: {error}"))?;
    output.status.success().then_some(library).ok_or_else(|| programs::said(&output))
}

/// A data directory just made; rigs begin with a copy of it.
fn empty_cluster() -> &'static Path {
    static EMPTY: OnceLock<PathBuf> = OnceLock::new();
    EMPTY.get_or_init(|| {
        let data = reaper::directory().join("empty");
        std::fs::create_dir(&data).expect("the parent is ours");
        account::hand_over(&data, 0o700);
        let mut initdb = account::command(programs::postgres("initdb"));
        initdb.args([
            "--no-sync",
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
            "-D",
        ]);
        programs::run(initdb.arg(&data));
        data
    })
}

/// A client's whole visit: `select current_user`, or the error that it ended with.
#[track_caller]
pub fn attempt(pooler: &Pooler, user: &str, database: &str) -> Result<String, String> {
    let mut raw = Raw::tcp(pooler.port);
    raw.startup(&[("user", user), ("database", database)]);
    let welcome = raw.outcome();
    if welcome.status.is_none() {
        return Err(welcome.errors.last().cloned().unwrap_or_default());
    }
    let outcome = raw.simple("select current_user");
    match outcome.errors.last() {
        Some(error) => Err(error.clone()),
        None => Ok(outcome.value()),
    }
}

/// As whom the servers of database `app` are logged in to for clients of that name.
#[track_caller]
pub fn whoami(pooler: &Pooler, user: &str) -> String {
    attempt(pooler, user, "app").unwrap_or_else(|error| panic!("{user} is not served: {error}"))
}

/// Waits until a client is refused in these words. The first ones may wait in vain as long as a query may.
#[track_caller]
pub fn refused_with(pooler: &Pooler, user: &str, database: &str, words: &str) {
    wait_for(|| match attempt(pooler, user, database) {
        Err(error) if error.contains(words) => Ok(()),
        other => Err(format!("{user} heard {other:?}, not {words:?}")),
    });
}
