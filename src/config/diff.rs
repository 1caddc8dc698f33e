//! What a reload changed, as far as running pools must be told.
//!
//! Everything else (limits, times, modes, passwords) takes effect by itself once the new snapshot is in
//! force. Source: PgBouncer, doc/usage.md (RELOAD, RECONNECT).

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
    /// A `server_tls_*` setting changed: every pool's servers are to be closed when they are released. Only
    /// the settings are compared, not the contents of the files that they name.
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
                // Any change of the line counts, as in PgBouncer.
                (Some(before), Some(after)) if before == after => DatabaseChange::Same,
                (Some(_), Some(_)) => DatabaseChange::Dirty,
            },
            server_tls: server_tls().any(|row| !row.same(&old.settings, &new.settings)),
        };
        for (name, after) in &new.databases {
            // An entry that is new in the file may have been served by the fallback until now.
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

#[cfg(test)]
mod tests {
    use super::DatabaseChange::{Dirty, Gone, Same};
    use super::*;

    fn changes(before: &str, after: &str) -> Changes {
        let load = |text: &str, previous: Option<&Snapshot>| {
            Snapshot::load_with("p.ini", previous, &|_| Ok(format!("[pgbouncer]\n{text}").into_bytes()))
                .unwrap()
        };
        let old = load(before, None);
        Changes::between(&old, &load(after, Some(&old)))
    }

    #[test]
    fn only_another_server_makes_a_database_dirty() {
        let before = "[databases]\na = host=h user=u password=p pool_size=1 timezone=UTC\n";
        let change = |line: &str| changes(before, &format!("[databases]\n{line}\n")).of("a");
        assert_eq!(change("a = host=h user=u password=p pool_size=1 timezone=UTC"), Same);
        assert_eq!(change("a = host=h user=u password=q pool_size=2 pool_mode=statement auth_user=x"), Same);
        assert_eq!(change("b = host=h"), Gone);
        for line in [
            "a = host=h2 user=u",
            "a = host=h,h user=u",
            "a = host=h user=u port=1",
            "a = host=h user=v",
            "a = host=h user=u dbname=b",
            "a = host=h user=u connect_query=x",
            "a = host=h user=u auth_dbname=x",
            "a = host=h user=u auth_query=x",
            "a = host=h user=u load_balance_hosts=disable",
        ] {
            assert_eq!(change(line), Dirty, "{line}");
        }
        // A forced user is kept by a reload.
        assert_eq!(change("a = host=h"), Same);
    }

    #[test]
    fn databases_of_the_fallback_follow_its_line() {
        let before = "[databases]\n* = host=h\na = host=h\n";
        let change = |line: &str, name: &str| changes(before, &format!("[databases]\n{line}\n")).of(name);
        assert_eq!(change("* = host=h", "auto"), Same);
        assert_eq!(change("* = host=h", "a"), Gone, "its own line is gone");
        assert_eq!(change("* = host=h pool_size=1", "auto"), Dirty);
        assert_eq!(change("a = host=h", "auto"), Gone);
        assert_eq!(
            change("* = host=h2\nauto = host=h", "auto"),
            Same,
            "now an own line, and the same servers"
        );
        assert_eq!(change("* = host=h\nauto = host=h2", "auto"), Dirty);
        let gone: Vec<_> = changes(before, "").gone().map(|name| name.to_string()).collect();
        assert_eq!(gone, ["a"]);
    }

    #[test]
    fn server_tls_settings_are_told_apart_from_all_others() {
        assert!(!changes("", "query_timeout = 1\nclient_tls_ca_file = x\n").server_tls);
        assert!(changes("", "server_tls_sslmode = allow\n").server_tls);
        assert!(changes("server_tls13_ciphers = x\n", "server_tls13_ciphers = y\n").server_tls);
    }
}
