//! What pools and clients are told when a database goes, or the process ends.
//!
//! Decides nothing about files or the console's grammar. Source: PgBouncer, doc/usage.md (KILL, SHUTDOWN).

use super::plane::{Phase, Plane};
use crate::base::limits;
use crate::config::Snapshot;
use crate::core::{Command, Scope};
use crate::wire::Fault;

impl Plane {
    /// Memory for prepared statements, as the settings have it.
    pub fn limit_statements(&self, snapshot: &Snapshot) {
        self.statements.set_bytes_max(snapshot.settings.prepared_statements_memory.0);
        self.statements.set_databases(snapshot.databases.len());
    }

    /// KILL: clients and servers of one database, or all, are dropped ("database removed").
    /// The caller has paused it.
    pub fn kill(&self, database: Option<&str>) {
        for entry in self.registry.entries_of(database) {
            entry.share.bump_generation(); // logins to servers that are under way, too
            entry.refuse_waiting(&Fault::DatabaseRemoved);
            self.tell_all(|| Command::Kill(Scope::Pool(entry.share.id)));
        }
    }

    /// An entry that the files no longer have: all its clients and servers are dropped.
    pub fn remove(&self, database: &str) {
        for entry in self.registry.remove(database) {
            entry.refuse_waiting(&Fault::DatabaseRemoved);
            self.tell_all(|| Command::Kill(Scope::Pool(entry.share.id)));
            self.places.forget(&entry.share); // one that still has servers is forgotten with the last of them
        }
    }

    /// Databases that auth_query was to look into and that nobody has proven a right to: those
    /// beyond a bound are forgotten.
    pub fn forget_unproven(&self) {
        let servers = |pool| {
            let (logging_in, live) = self.places.pool_servers(pool);
            logging_in + live
        };
        let unproven = self.registry.take_unproven(limits::UNPROVEN_DATABASES_MAX, servers);
        for entry in unproven.gone {
            self.places.forget(&entry.share);
            self.tell_all(|| Command::Forget(entry.share.id));
        }
        for entry in unproven.to_close {
            entry.share.bump_generation();
            self.tell_all(|| Command::Sweep(Scope::Pool(entry.share.id)));
        }
    }

    /// Enters a phase of shutdown: WAIT_FOR_SERVERS pauses everything and turns away who waits for a server.
    pub fn begin_shutdown(&self, phase: Phase) {
        self.set_phase(phase);
        if self.phase() == Phase::WaitForServers {
            self.gate.set_paused(true);
            self.tell_all(|| Command::RefuseWaiting);
            self.tell_all(|| Command::Sweep(Scope::All));
        }
    }
}
