//! One whole configuration: made by reading files, never edited, replaced as a whole.
//!
//! Invariant: what exists is valid. A load that fails returns every error and changes nothing.
//! Source: PgBouncer behaviour, surface §2 to §4 and §6.4 (SET).

use super::CONSOLE_DATABASE;
use super::database::{Database, PeerEntry, UserEntry};
use super::errors::{ConfigError, ConfigErrors, Problem};
use super::ini;
use super::sections::Draft;
use super::settings::{Change, Setting, Settings, TABLE};
use super::value::BadValue;
use crate::base::limits;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A configuration that is valid as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// `[pgbouncer]`.
    pub settings: Settings,
    /// `[databases]` by name, without the fallback.
    pub databases: BTreeMap<Arc<str>, Arc<Database>>,
    /// The entry `*`.
    pub fallback: Option<Arc<Database>>,
    /// `[users]` by name.
    pub users: BTreeMap<Arc<str>, UserEntry>,
    /// `[peers]` by id.
    pub peers: BTreeMap<u16, PeerEntry>,
    /// What an operator should know of it, to be logged once; one line each.
    pub warnings: Vec<String>,
    /// Settings that the files change and that keep their old value until a restart.
    pub ignored: Vec<&'static str>,
}

/// Why SET failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// There is no such setting.
    #[error("unknown parameter: pgbouncer/{0}")]
    Unknown(String),
    /// The value is refused.
    #[error("invalid value \"{value}\" for parameter {name}: {why}")]
    Bad {
        /// The setting.
        name: &'static str,
        /// What was to be set.
        value: String,
        /// What is wrong with it.
        why: BadValue,
    },
}

/// One row of SHOW CONFIG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigRow {
    /// The setting's name.
    pub key: &'static str,
    /// Its value, `None` = NULL.
    pub value: Option<String>,
    /// Its default, `None` = NULL.
    pub default: Option<&'static str>,
    /// Whether a reload or SET can change it.
    pub changeable: bool,
}

impl Snapshot {
    /// Reads the configuration whose main file is `path`. `previous` is the one in force, of which a reload keeps the
    /// settings that have no default, those that only a restart can change, and forced users.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub fn load(path: &Path, previous: Option<&Self>) -> Result<Self, ConfigErrors> {
        Self::load_with(&path.to_string_lossy(), previous, &read_file)
    }

    /// As [`Snapshot::load`], with files read by `read`.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub fn load_with(
        path: &str,
        previous: Option<&Self>,
        read: &dyn Fn(&str) -> io::Result<Vec<u8>>,
    ) -> Result<Self, ConfigErrors> {
        let (tokens, mut errors) = ini::tokens(path, read);
        let form_errors = errors.len();
        let mut draft = Draft::new(previous.map(|snapshot| &snapshot.settings), Vec::new());
        if previous.is_none() {
            draft.settings.conffile = Some(path.into());
        }
        for token in &tokens {
            draft.take(token);
        }
        // an unreadable main file has nothing else wrong with it
        if !(tokens.is_empty() && form_errors > 0) {
            draft.end(path);
        }
        errors.append(&mut draft.errors);
        if errors.is_empty() { Ok(Self::finish(draft, previous)) } else { Err(in_order(errors)) }
    }

    fn finish(draft: Draft, previous: Option<&Self>) -> Self {
        let Draft { settings, databases, fallback, users, peers, .. } = draft;
        let mut snapshot =
            Self { settings, databases, fallback, users, peers, warnings: Vec::new(), ignored: Vec::new() };
        if let Some(previous) = previous {
            snapshot.keep_from(previous);
        }
        let defaults = Settings::default();
        let effects = TABLE.iter().filter_map(|row| row.warning(&snapshot.settings, &defaults));
        snapshot.warnings.extend(effects);
        if !snapshot.peers.is_empty() {
            snapshot.warnings.push("section [peers] has no effect: peering is not available in this version".to_owned());
        }
        snapshot
    }

    /// Takes from the configuration in force what a reload cannot change.
    fn keep_from(&mut self, previous: &Self) {
        for row in TABLE.iter().filter(|row| row.change == Change::Restart) {
            if !row.same(&self.settings, &previous.settings) {
                row.copy(&previous.settings, &mut self.settings);
                self.ignored.push(row.name);
                let kept = row.show(&self.settings).unwrap_or_default();
                self.warnings.push(format!("setting {} keeps its value \"{kept}\" until a restart", row.name));
            }
        }
        let old_entries = previous.databases.iter().chain(previous.fallback.iter().map(|db| (&db.name, db)));
        for (name, old) in old_entries {
            let new = self.databases.get_mut(name).or(self.fallback.as_mut().filter(|db| db.name == *name));
            if let Some(new) = new.filter(|new| old.user.is_some() && new.user.is_none()) {
                let kept = Arc::make_mut(new);
                (kept.user, kept.password) = (old.user.clone(), old.password.clone());
                let text = format!("database \"{name}\": losing forced user not supported, keeping old setting");
                self.warnings.push(text);
            }
        }
    }

    /// The file that the next reload reads.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(self.settings.conffile.as_deref().unwrap_or_default())
    }

    /// The entry that serves clients asking for `name`: its own, or one made from the fallback. `None` for the console's
    /// name, and where there is neither.
    pub fn database(&self, name: &str) -> Option<Arc<Database>> {
        if name == CONSOLE_DATABASE {
            return None;
        }
        let own = self.databases.get(name).cloned();
        own.or_else(|| self.fallback.as_ref().map(|fallback| Arc::new(fallback.named(name))))
    }

    /// The configuration that SET `name` = `value` makes of this one. A setting that only a restart can change stays as
    /// it is, and that is no error. `warnings` are those about this setting.
    ///
    /// # Errors
    /// `SetError`: no such setting, or its value is refused.
    pub fn with_setting(&self, name: &str, value: &str) -> Result<Self, SetError> {
        let row = Setting::named(name).ok_or_else(|| SetError::Unknown(name.to_owned()))?;
        let mut next = Self { warnings: Vec::new(), ignored: Vec::new(), ..self.clone() };
        if row.change == Change::Restart {
            return Ok(next);
        }
        let bad = |why| SetError::Bad { name: row.name, value: value.to_owned(), why };
        row.set(&mut next.settings, value).map_err(bad)?;
        next.warnings.extend(row.warning(&next.settings, &Settings::default()));
        Ok(next)
    }

    /// SHOW CONFIG.
    pub fn show_config(&self) -> impl Iterator<Item = ConfigRow> {
        TABLE.iter().map(|row| ConfigRow {
            key: row.name,
            value: row.show(&self.settings),
            default: row.default,
            changeable: row.change == Change::Reload,
        })
    }
}

/// Reads a file of the file system, up to the size that a configuration may have.
fn read_file(name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(name)?.take(limits::CONFIG_FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limits::CONFIG_FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// The errors of form and of meaning in the order of the lines, file by file in the order in which they turn up; cut where
/// there are too many.
fn in_order(mut errors: Vec<ConfigError>) -> ConfigErrors {
    let mut files: Vec<Arc<str>> = Vec::new();
    for error in &errors {
        if !files.contains(&error.place.file) {
            files.push(error.place.file.clone());
        }
    }
    errors.sort_by_key(|error| {
        (files.iter().position(|file| *file == error.place.file), error.place.line)
    });
    if let Some(last) = errors.get_mut(limits::CONFIG_ERRORS_MAX) {
        last.problem = Problem::TooManyErrors;
        errors.truncate(limits::CONFIG_ERRORS_MAX + 1);
    }
    ConfigErrors(errors)
}
