//! Files, or a SET, to one whole [`Snapshot`].
//!
//! A load that fails returns every error and changes nothing.
//! Source: PgBouncer, doc/config.md; doc/usage.md (RELOAD, SET).

use super::errors::{ConfigError, ConfigErrors, Place};
use super::read_file::read_file;
use super::sections::Draft;
use super::setting::Change;
use super::settings::{Setting, Settings, TABLE};
use super::snapshot::Snapshot;
use super::value::BadValue;
use super::{doubts, ini};
use crate::base::limits;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Why a load failed.
#[derive(Debug)]
pub struct Refused {
    /// Everything that is wrong with the form and the words of the files.
    pub errors: ConfigErrors,
    /// What could be read all the same; `None` where too much is wrong.
    pub remains: Option<Remains>,
}

/// What a load that failed has read all the same: to look for further errors in, never to be put in force.
#[derive(Debug)]
pub struct Remains {
    snapshot: Snapshot,
    /// A setting may be missing here that the files have, or mean to have.
    pub may_lack_settings: bool,
}

impl Remains {
    /// Entries and settings that are right by themselves; what was wrong has its default, or is not there.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
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

impl Snapshot {
    /// Reads the configuration whose main file is `path`. `previous` is the one in force, of which
    /// a reload keeps the settings that have no default, those that only a restart can change,
    /// forced users, and the overlay.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub fn load(path: &Path, previous: Option<&Self>) -> Result<Self, ConfigErrors> {
        Self::load_with(&path.to_string_lossy(), previous, &read_ini)
    }

    /// As [`Snapshot::load`], but what was read in spite of errors comes with them. For the first time where
    /// there is nothing in force: then the keys of `overlay` are added to those of the main file.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub fn read(path: &Path, overlay: Option<&Path>, previous: Option<&Self>) -> Result<Self, Box<Refused>> {
        let given = overlay.map(|overlay| overlay.to_string_lossy().as_ref().into());
        let overlay = previous.map_or(given, |snapshot| snapshot.overlay.clone());
        Self::load_all(&path.to_string_lossy(), overlay, previous, &read_ini)
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
        let overlay = previous.and_then(|snapshot| snapshot.overlay.clone());
        Self::load_all(path, overlay, previous, read).map_err(|refused| refused.errors)
    }

    fn load_all(
        path: &str,
        overlay: Option<Arc<str>>,
        previous: Option<&Self>,
        read: &dyn Fn(&str) -> io::Result<Vec<u8>>,
    ) -> Result<Self, Box<Refused>> {
        let (tokens, mut errors) = ini::tokens(path, read);
        let mut draft = Draft::new(previous.map(|snapshot| &snapshot.settings), Vec::new());
        if previous.is_none() {
            draft.settings.conffile = Some(path.into());
        }
        for token in &tokens {
            draft.take(token);
            if draft.errors.len() > limits::CONFIG_ERRORS_MAX {
                break;
            }
        }
        // What could not be read, or not to its end, may have had the section.
        if errors.is_empty() && draft.errors.len() <= limits::CONFIG_ERRORS_MAX {
            draft.end(path);
        }
        if let Some(overlay) = overlay.as_ref().filter(|_| draft.errors.len() <= limits::CONFIG_ERRORS_MAX) {
            let is_sound = errors.is_empty() && draft.errors.is_empty();
            let (tokens, mut wrong) = ini::tokens(overlay, read);
            errors.append(&mut wrong);
            draft.begin_overlay();
            tokens.iter().for_each(|token| draft.take(token));
            // Of a main file that is wrong, what the overlay adds to may be missing for that alone.
            draft.errors.retain(|error| is_sound || !error.problem.is_not_there());
        }
        errors.append(&mut draft.errors);
        let snapshot = Self::finish(draft, overlay, previous);
        if errors.is_empty() { Ok(snapshot) } else { Err(Box::new(Refused::new(errors, snapshot))) }
    }

    fn finish(draft: Draft, overlay: Option<Arc<str>>, previous: Option<&Self>) -> Self {
        let Draft { settings, databases, fallback, users, instances, .. } = draft;
        let Draft { peers, issuers, places, warnings, .. } = draft;
        let mut snapshot = Self {
            settings,
            databases,
            fallback,
            users,
            instances,
            peers,
            issuers,
            warnings,
            overlay,
            places,
            ignored: Vec::new(),
        };
        if let Some(previous) = previous {
            snapshot.keep_from(previous);
        }
        let defaults = Settings::default();
        let effects = TABLE.iter().filter_map(|row| row.warning(&snapshot.settings, &defaults));
        snapshot.warnings.extend(effects);
        let doubts = doubts::all(&snapshot, None);
        snapshot.warnings.extend(doubts);
        snapshot
    }

    /// Takes from the configuration in force what a reload cannot change.
    fn keep_from(&mut self, previous: &Self) {
        for row in TABLE.iter().filter(|row| row.change == Change::Restart) {
            if !row.same(&self.settings, &previous.settings) {
                row.copy(&previous.settings, &mut self.settings);
                self.ignored.push(row.name);
                let kept = row.show(&self.settings).unwrap_or_default();
                self.warnings
                    .push(format!("setting {} keeps its value \"{kept}\" until a restart", row.name));
            }
        }
        let old_entries = previous.databases.iter().chain(previous.fallback.iter().map(|db| (&db.name, db)));
        for (name, old) in old_entries {
            let new = self.databases.get_mut(name).or(self.fallback.as_mut().filter(|db| db.name == *name));
            if let Some(new) = new.filter(|new| old.user.is_some() && new.user.is_none()) {
                let kept = Arc::make_mut(new);
                (kept.user, kept.password) = (old.user.clone(), old.password.clone());
                let text =
                    format!("database \"{name}\": losing forced user not supported, keeping old setting");
                self.warnings.push(text);
            }
        }
    }

    /// The configuration that SET `name` = `value` makes of this one. A setting that only a restart can
    /// change stays as it is, and that is no error. `warnings` are those about this setting.
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
        next.places.settings.insert(row.name, Place { file: "SET".into(), line: 0 });
        next.warnings.extend(row.warning(&next.settings, &Settings::default()));
        let doubts = doubts::all(&next, Some(row.name));
        next.warnings.extend(doubts);
        Ok(next)
    }
}

impl Refused {
    fn new(errors: Vec<ConfigError>, snapshot: Snapshot) -> Self {
        let may_lack_settings = errors.iter().any(|error| error.problem.may_hide_a_setting());
        let is_cut = errors.len() > limits::CONFIG_ERRORS_MAX;
        let remains = (!is_cut).then_some(Remains { snapshot, may_lack_settings });
        Self { errors: ConfigErrors::in_order(errors), remains }
    }
}

/// Reads a file of the file system, up to the size that a configuration may have.
fn read_ini(name: &str) -> io::Result<Vec<u8>> {
    read_file(name, limits::CONFIG_FILE_BYTES_MAX)
}

#[cfg(test)]
mod tests;
