//! What a session of the simulated PostgreSQL carries from statement to statement: its parameters
//! and its transaction block.
//!
//! As PostgreSQL has it: SET is undone by a rollback, everything up to a Sync or the end of a simple query
//! is one implicit transaction, and a changed value is reported before the next ReadyForQuery (since version
//! 14) or at once (before).

use super::rng::{HASH_START, hash};
use super::sql::Sql;

/// The parameters that the simulated server reports, and what it starts with.
pub const REPORTED: [(&str, &str); 7] = [
    ("DateStyle", "ISO, MDY"),
    ("client_encoding", "UTF8"),
    ("TimeZone", "UTC"),
    ("standard_conforming_strings", "on"),
    ("application_name", "sim"),
    ("search_path", "\"$user\", public"),
    ("IntervalStyle", "postgres"),
];

/// A value that no server takes.
pub const BOGUS_ZONE: &str = "Mars/Olympus";

/// Whether a transaction is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    None,
    /// One that ends with the query or the batch.
    Implicit,
    Open,
    Failed,
}

#[derive(Clone, Debug)]
pub struct Session {
    pub block: Block,
    pub reports_at_once: bool,
    /// What was set for the request at hand.
    pub context: String,
    values: Vec<String>,
    defaults: Vec<String>,
    reported: Vec<String>,
    saved: Vec<String>,
}

type Failure = (&'static str, String);

impl Session {
    /// A session of a server whose defaults are `defaults`, in which `values` were asked for at login.
    pub fn new(defaults: &[String], values: &[String], reports_at_once: bool) -> Self {
        let values: Vec<_> =
            values.iter().enumerate().map(|(at, value)| canonical(REPORTED[at].0, value)).collect();
        Self {
            block: Block::None,
            reports_at_once,
            context: String::new(),
            defaults: defaults.to_vec(),
            reported: values.clone(),
            saved: values.clone(),
            values,
        }
    }

    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// All parameters in one number, case ignored as the pooler ignores it.
    pub fn digest(&self) -> u32 {
        let add = |state, value: &String| hash(hash(state, value.to_ascii_lowercase().as_bytes()), b";");
        self.values.iter().fold(HASH_START, add) as u32
    }

    pub fn status(&self) -> u8 {
        match self.block {
            Block::None | Block::Implicit => b'I',
            Block::Open => b'T',
            Block::Failed => b'E',
        }
    }

    pub fn aborted() -> Failure {
        (
            "25P02",
            "current transaction is aborted, commands ignored until end of transaction block".to_owned(),
        )
    }

    /// # Errors
    /// In a failed block nothing but its end is taken.
    pub fn check_block(&self, sql: &Sql) -> Result<(), Failure> {
        match (self.block, sql) {
            (Block::Failed, Sql::Commit | Sql::Rollback) => Ok(()),
            (Block::Failed, _) => Err(Self::aborted()),
            _ => Ok(()),
        }
    }

    pub fn begin_implicit(&mut self) {
        if self.block == Block::None {
            self.block = Block::Implicit;
            self.saved = self.values.clone();
        }
    }

    pub fn commit_implicit(&mut self) {
        if self.block == Block::Implicit {
            self.block = Block::None;
        }
    }

    /// An error.
    pub fn abort(&mut self) {
        self.block = match self.block {
            Block::None => return,
            Block::Implicit => Block::None,
            Block::Open | Block::Failed => Block::Failed,
        };
        self.values = self.saved.clone();
    }

    /// Runs a statement that concerns the session; its command tag.
    pub fn control(&mut self, sql: &Sql) -> Result<&'static str, Failure> {
        match sql {
            Sql::Begin => {
                self.block = Block::Open;
                Ok("BEGIN")
            }
            Sql::Commit if self.block == Block::Failed => self.end("ROLLBACK"),
            Sql::Commit => self.end("COMMIT"),
            Sql::Rollback => {
                self.values = self.saved.clone();
                self.end("ROLLBACK")
            }
            Sql::Set { name, value } => self.set(name, value),
            Sql::SetContext { value, command } => {
                self.context.clone_from(value);
                Ok(command)
            }
            Sql::DiscardAll if self.block == Block::Open => {
                Err(("25001", "DISCARD ALL cannot run inside a transaction block".to_owned()))
            }
            Sql::DiscardAll => {
                self.values = self.defaults.clone();
                Ok("DISCARD ALL")
            }
            Sql::DeallocateAll => Ok("DEALLOCATE ALL"),
            other => panic!("{other:?} does not concern the session"),
        }
    }

    fn end(&mut self, tag: &'static str) -> Result<&'static str, Failure> {
        self.block = Block::None;
        Ok(tag)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<&'static str, Failure> {
        let Some(at) = REPORTED.iter().position(|(known, _)| known.eq_ignore_ascii_case(name)) else {
            return Err(("42704", format!("unrecognized configuration parameter \"{name}\"")));
        };
        if value == BOGUS_ZONE {
            return Err(("22023", format!("invalid value for parameter \"{name}\"")));
        }
        self.values[at] = canonical(name, value);
        Ok("SET")
    }

    /// The server changes a value by itself.
    pub fn force(&mut self, at: usize, value: &str) {
        self.values[at] = value.to_owned();
    }

    /// What has changed since the last call.
    pub fn take_changes(&mut self) -> Vec<(String, String)> {
        let mut changes = Vec::new();
        for (at, (name, _)) in REPORTED.iter().enumerate() {
            if self.reported[at] != self.values[at] {
                self.reported[at] = self.values[at].clone();
                changes.push(((*name).to_owned(), self.values[at].clone()));
            }
        }
        changes
    }
}

/// The server's own spelling of a value.
fn canonical(name: &str, value: &str) -> String {
    match name.to_ascii_lowercase().as_str() {
        "timezone" => value.to_ascii_uppercase(),
        "datestyle" if !value.contains(',') => format!("{value}, MDY"),
        _ => value.to_owned(),
    }
}
