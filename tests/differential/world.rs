//! The two poolers that are compared, each before the same database, with the same files.

use super::mask::Mask;
use crate::common::raw::Raw;
use crate::common::{Pooler, PoolerSetup, Postgres, programs, wait_until};
use std::path::PathBuf;

/// What both poolers are set to.
#[derive(Clone, Debug)]
pub struct World {
    pub mode: &'static str,
    pub pool_size: usize,
    /// Of the most prepared statements; 0: they are not looked at.
    pub statements: u32,
    /// Further settings.
    pub settings: Vec<(&'static str, &'static str)>,
    /// Further databases, and what each entry says behind host, port and dbname.
    pub databases: Vec<(&'static str, &'static str)>,
}

impl World {
    pub fn new(mode: &'static str) -> Self {
        Self { mode, pool_size: 1, statements: 200, settings: Vec::new(), databases: Vec::new() }
    }

    pub fn set(mut self, key: &'static str, value: &'static str) -> Self {
        self.settings.push((key, value));
        self
    }

    pub fn statements(self, statements: u32) -> Self {
        Self { statements, ..self }
    }

    pub fn pool_size(self, pool_size: usize) -> Self {
        Self { pool_size, ..self }
    }

    pub fn database(mut self, name: &'static str, more: &'static str) -> Self {
        self.databases.push((name, more));
        self
    }
}

/// A version, as far as it is compared.
pub type Version = (u32, u32);

/// The first that knows `max_prepared_statements`.
pub const KNOWS_STATEMENTS: Version = (1, 21);

/// The first in whose place pgweir is put: older ones differ in what they have not yet.
pub const CURRENT: Version = (1, 25);

/// The PgBouncer that pgweir is compared with.
#[derive(Clone, Debug)]
pub struct Reference {
    program: PathBuf,
    pub version: Version,
}

impl Reference {
    /// The one on PATH, or where Debian puts it.
    pub fn find() -> Option<Self> {
        let program = programs::pgbouncer()?.to_owned();
        let said = programs::run(std::process::Command::new(&program).arg("-V"));
        let number = said.split_whitespace().nth(1).expect("PgBouncer and its version");
        let mut parts = number.split('.').map(|part| part.parse().expect("a number"));
        let version = (parts.next().expect("a major version"), parts.next().expect("a minor version"));
        Some(Self { program, version })
    }
}

/// One of the two.
#[derive(Clone, Copy, Debug)]
pub enum Side<'r> {
    Theirs(&'r Reference),
    /// Set so that it does what this one can.
    Ours(&'r Reference),
}

/// The database that a test has for itself; its tables have the same OIDs for both poolers.
pub fn database(postgres: &Postgres, name: &str) {
    postgres.psql("postgres", &format!("create database {name} owner app"));
    postgres.psql(name, "grant all on schema public to public");
    postgres.psql(name, "create table items (id int primary key, name text); alter table items owner to app");
}

/// The tables as they are at the start of a session, when nobody is there any more.
fn reset(postgres: &Postgres, name: &str) {
    let mut raw = Raw::log_in(postgres.port, "postgres", "postgres");
    let sql = format!("select count(*) from pg_stat_activity where datname = '{name}'");
    wait_until("everybody has left the database", || raw.simple(&sql).value() == "0");
    let fill = "truncate items; insert into items values (1, 'one'), (2, 'two'), (3, null)";
    assert_eq!(Raw::log_in(postgres.port, "app", name).simple(fill).status, Some(b'I'));
}

impl World {
    /// Starts a pooler before `database`, which is as new.
    pub fn start(&self, side: Side<'_>, postgres: &Postgres, database: &str) -> Pooler {
        reset(postgres, database);
        let (Side::Theirs(reference) | Side::Ours(reference)) = side;
        let knows = reference.version >= KNOWS_STATEMENTS;
        let dbname = format!("dbname={database}");
        let mut setup = PoolerSetup::new(postgres)
            .set("pool_mode", self.mode)
            .set("default_pool_size", self.pool_size)
            .user("scrammer", "scrammer-secret")
            .database("app", &dbname);
        for (name, more) in &self.databases {
            setup = setup.database(name, &format!("{dbname} {more}"));
        }
        for (key, value) in &self.settings {
            setup = setup.set(key, value);
        }
        match side {
            Side::Theirs(_) if knows => setup.set("max_prepared_statements", self.statements),
            Side::Theirs(_) => setup,
            // One worker lends the server that was used last, as PgBouncer does.
            Side::Ours(_) => setup
                .set("max_prepared_statements", if knows { self.statements } else { 0 })
                .set("workers", 1),
        }
        .program(match side {
            Side::Theirs(reference) => Some(reference.program.clone()),
            Side::Ours(_) => None,
        })
        .start()
    }
}

/// What stands in lines in place of what is each pooler's own.
pub fn mask(pooler: &Pooler, is_console: bool) -> Mask {
    let directory = pooler.directory().display().to_string();
    Mask::new(vec![(directory, "(directory)"), (pooler.port.to_string(), "(port)")], is_console)
}
