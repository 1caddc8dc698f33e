//! One throw-away PostgreSQL per test binary: own directory, own port, own socket directory, no durability.
//!
//! Roles (all may log in, password = name + `-secret`): `app`, `other` by trust; `plain` by cleartext
//! password, `md5er` by md5, `scrammer` by SCRAM, `tlser` by SCRAM and only over TLS; `replica` by trust,
//! who may replicate; members of `secretive`
//! by SCRAM. A test that makes `long_plain` or `long_scram` is asked for passwords by these ways.
//! `postgres` is the superuser, by trust. Databases: `app`, `other`, owned by the roles of those names.

use super::{account, certs::certs, free_port, programs, reaper, wait_until};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const HBA: &str = "
local   all all                 trust
host    all plain     127.0.0.1/32 password
host    all md5er     127.0.0.1/32 md5
host    all scrammer  127.0.0.1/32 scram-sha-256
host    all long_plain 127.0.0.1/32 password
host    all long_scram 127.0.0.1/32 scram-sha-256
hostssl all tlser     127.0.0.1/32 scram-sha-256
hostnossl all tlser   127.0.0.1/32 reject
host    all +secretive 127.0.0.1/32 scram-sha-256
host    all all       127.0.0.1/32 trust
host    replication all 127.0.0.1/32 trust
";

const ROLES: &str = "
create role secretive; create role app login; create role other login; create role replica login replication;
set password_encryption = 'scram-sha-256';
create role plain login password 'plain-secret';
create role scrammer login password 'scrammer-secret';
create role tlser login password 'tlser-secret';
set password_encryption = 'md5';
create role md5er login password 'md5er-secret';
grant all on schema public to public;
";

/// A running PostgreSQL.
#[derive(Debug)]
pub struct Postgres {
    /// TCP port on 127.0.0.1.
    pub port: u16,
    directory: PathBuf,
}

/// The PostgreSQL of this test binary, started at first use and ended with the process.
pub fn postgres() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(|| Postgres::start("postgres", &programs::postgres))
}

/// One as [`postgres()`] that is the caller's alone: for whoever changes settings, or reads its whole log.
pub fn own_postgres(name: &str) -> Postgres {
    Postgres::start(name, &programs::postgres)
}

/// A PostgreSQL 18, whatever the machine's own is, as `make setup` has fetched it; `None`: it could not. As
/// [`postgres()`], but a pool's user has to prove himself by SCRAM if it is `scrammer`.
pub fn postgres_18() -> Option<&'static Postgres> {
    static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
    let start = || {
        let fetched = programs::in_repository(".postgres18");
        if !fetched.join("installed.txt").exists() {
            return None;
        }
        // Where its account can reach it.
        let copy = reaper::directory().join("postgres18-programs");
        programs::run(Command::new("cp").arg("-R").arg(fetched).arg(&copy));
        Some(Postgres::start("postgres18", &|name| copy.join("bin").join(name)))
    };
    SHARED.get_or_init(start).as_ref()
}

/// What a PostgreSQL for tests is set to: quick, since nothing has to outlive a crash of the machine; over
/// TLS with a certificate and its key; with a line in its log for each login. Whoever starts it adds
/// `listen_addresses`.
pub fn settings(port: u16, directory: &Path, [cert, key]: [PathBuf; 2]) -> String {
    format!(
        "port = {port}\n\
         unix_socket_directories = '{}'\n\
         max_connections = 300\n\
         wal_level = logical\n\
         max_wal_senders = 40\n\
         fsync = off\n\
         synchronous_commit = off\n\
         full_page_writes = off\n\
         autovacuum = off\n\
         shared_buffers = '32MB'\n\
         ssl = on\n\
         ssl_cert_file = '{}'\n\
         ssl_key_file = '{}'\n\
         log_connections = on\n",
        directory.display(),
        cert.display(),
        key.display(),
    )
}

impl Postgres {
    #[expect(clippy::zombie_processes, reason = "lives as long as we do; the reaper ends it")]
    fn start(name: &str, program: &dyn Fn(&str) -> PathBuf) -> Self {
        let directory = reaper::directory().join(name);
        std::fs::create_dir(&directory).expect("the parent is ours");
        account::hand_over(&directory, 0o755);
        let started = Self { port: free_port(), directory };
        let data = reaper::data_directory().join(format!("{name}-data"));
        programs::run(
            account::command(program("initdb"))
                .args([
                    "--no-sync",
                    "--auth=trust",
                    "--username=postgres",
                    "--encoding=UTF8",
                    "--locale=C",
                    "-D",
                ])
                .arg(&data),
        );
        account::write(&data.join("pg_hba.conf"), HBA, 0o600);
        account::write(&data.join("postgresql.auto.conf"), started.settings(), 0o600);
        let log = std::fs::File::create(started.directory.join("log")).expect("the directory is ours");
        let child = account::command(program("postgres"))
            .arg("-D")
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor is free"))
            .stderr(log)
            .spawn()
            .expect("postgres is installed");
        reaper::guard(child.id(), "INT");
        wait_until("PostgreSQL answers", || {
            let mut ready = Command::new(programs::postgres("pg_isready"));
            ready.arg("-q").arg("-h").arg(&started.directory).args(["-p", &started.port.to_string()]);
            ready.status().expect("pg_isready is installed").success()
        });
        started.psql("postgres", ROLES);
        for name in ["app", "other"] {
            started.psql("postgres", &format!("create database {name} owner {name}"));
            started.psql(name, "grant all on schema public to public");
        }
        started
    }

    fn settings(&self) -> String {
        let own = format!("listen_addresses = '127.0.0.1'\nssl_ca_file = '{}'\n", certs().ca().display());
        settings(self.port, &self.directory, [certs().server(), certs().server_key()]) + &own
    }

    /// The directory of its Unix socket.
    pub fn socket_directory(&self) -> &Path {
        &self.directory
    }

    /// Runs SQL as the superuser, past every pooler; rows come back as psql -At prints them.
    #[track_caller]
    pub fn psql(&self, database: &str, sql: &str) -> String {
        programs::psql(&self.directory, self.port, database, sql)
    }

    /// How many sessions of clients PostgreSQL sees on `database` (ours that asks excepted).
    pub fn sessions(&self, database: &str) -> usize {
        let sql = format!(
            "select count(*) from pg_stat_activity where datname = '{database}' and pid <> pg_backend_pid() \
             and backend_type = 'client backend'"
        );
        self.psql("postgres", &sql).parse().expect("a count")
    }
}
