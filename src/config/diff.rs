//! What a reload changed, as far as running pools must be told.
//!
//! Everything else (limits, times, modes, passwords) takes effect by itself once the new snapshot is in force.
//! Source: PgBouncer behaviour, surface §2 "Effects of a reload on running pools", §9 (server TLS).

use super::settings::{Setting, TABLE};
use super::snapshot::Snapshot;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What became of one database entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseChange {
    /// Its servers are as good as before.
    Same,
    /// Its servers are of another place or user: to be closed when they are released.
    Dirty,
    /// It is gone: its clients and servers get "database removed".
    Gone,
}

/// What became of every database entry, and of the TLS towards servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    gone: BTreeSet<Arc<str>>,
    dirty: BTreeSet<Arc<str>>,
    explicit: BTreeSet<Arc<str>>,
    fallback: DatabaseChange,
    /// A `server_tls_*` setting changed: every pool's servers are to be closed when they are released. Only the settings
    /// are compared, not the contents of the files that they name.
    pub server_tls: bool,
}

impl Changes {
    /// What `new` changes for pools that were made under `old`.
    pub fn between(old: &Snapshot, new: &Snapshot) -> Self {
        let mut changes = Self {
            gone: old.databases.keys().filter(|name| !new.databases.contains_key(*name)).cloned().collect(),
            dirty: BTreeSet::new(),
            explicit: new.databases.keys().cloned().collect(),
            fallback: match (&old.fallback, &new.fallback) {
                (None, _) => DatabaseChange::Same,
                (Some(_), None) => DatabaseChange::Gone,
                // any change of the line counts, as in PgBouncer
                (Some(before), Some(after)) if before == after => DatabaseChange::Same,
                (Some(_), Some(_)) => DatabaseChange::Dirty,
            },
            server_tls: server_tls().any(|row| !row.same(&old.settings, &new.settings)),
        };
        for (name, after) in &new.databases {
            // an entry that is new in the file may have been served by the fallback until now
            if old.database(name).is_some_and(|before| !before.reaches_same(after)) {
                changes.dirty.insert(name.clone());
            }
        }
        changes
    }

    /// What became of the entry that served clients asking for `name`, by its own line or by the fallback.
    pub fn of(&self, name: &str) -> DatabaseChange {
        if self.gone.contains(name) {
            DatabaseChange::Gone
        } else if self.dirty.contains(name) {
            DatabaseChange::Dirty
        } else if self.explicit.contains(name) {
            DatabaseChange::Same
        } else {
            self.fallback
        }
    }

    /// Entries of the file that are no longer in it, in order.
    pub fn gone(&self) -> impl Iterator<Item = &Arc<str>> {
        self.gone.iter()
    }
}

/// The rows about TLS towards servers.
fn server_tls() -> impl Iterator<Item = &'static Setting> {
    TABLE.iter().filter(|row| row.name.starts_with("server_tls"))
}
