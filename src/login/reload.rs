//! What running pools are told when the policy changes or an operator orders it: adopt, RECONNECT, KILL, shutdown.
//!
//! Decides nothing about files or the console's grammar. Source: PgBouncer, doc/usage.md (RELOAD, RECONNECT).

use super::iam_entry;
use super::plane::{Phase, Plane, Policy};
use super::registry::PoolEntry;
use crate::base::limits;
use crate::config::{Changes, ClientRules, DatabaseChange, Snapshot};
use crate::core::{ClientRulesOf, Command, Scope};
use crate::wire::Fault;
use std::sync::Arc;

impl Plane {
    /// At the start: makes known what the policy says.
    pub fn begin(&self) {
        let snapshot = Arc::clone(&self.policy.load().snapshot);
        self.limit_statements(&snapshot);
        self.registry.adopt(&snapshot);
        self.adopt_iam(&snapshot);
    }

    /// Sources and endpoints that nobody needs any more end.
    fn adopt_iam(&self, snapshot: &Snapshot) {
        let entries = self.registry.entries();
        let rules = |entry: &Arc<PoolEntry>| {
            iam_entry::rules(snapshot, &entry.config.load(), &entry.share.user).and_then(Result::ok)
        };
        self.iam.adopt(snapshot, entries.iter().filter_map(rules));
    }

    fn limit_statements(&self, snapshot: &Snapshot) {
        self.statements().set_bytes_max(snapshot.settings.prepared_statements_memory.0);
        self.statements().set_databases(snapshot.databases.len());
    }

    /// Puts `policy` in force, and brings every pool and client to what it says.
    pub fn adopt(&self, policy: Policy) {
        let policy = Arc::new(policy);
        let before = self.policy.swap(Arc::clone(&policy));
        let changes = Changes::between(&before.snapshot, &policy.snapshot);
        for view in self.registry.databases() {
            if changes.of(&view.config.name) == DatabaseChange::Gone {
                self.remove(&view.config.name);
            }
        }
        self.limit_statements(&policy.snapshot);
        self.registry.adopt(&policy.snapshot);
        self.adopt_iam(&policy.snapshot);
        for entry in self.registry.entries() {
            let (name, user) = (&entry.share.database.name, &entry.share.user);
            let is_dirty = changes.of(name) == DatabaseChange::Dirty || changes.server_tls;
            if is_dirty || !policy.snapshot.proves_as_before(&before.snapshot, name, user) {
                self.renew(&entry);
            }
            if self.ends_pause_for_change(&entry) {
                self.launcher.need_server(entry.share.id);
            }
            if let Some(Ok(rules)) = iam_entry::rules(&policy.snapshot, &entry.config.load(), user) {
                entry.share.set_max_age(rules.ages.max_age);
            }
            let rules = policy.snapshot.pool_rules(&entry.config.load(), user);
            if *entry.share.rules() != rules {
                self.set_rules(&entry.share, Arc::new(rules));
            }
        }
        let rules_of = ClientRulesOf(Arc::new(move |user, database| {
            let database = policy.snapshot.database(database);
            database.map_or_else(ClientRules::default, |entry| policy.snapshot.client_rules(user, &entry))
        }));
        self.tell_all(|| Command::ClientRules(rules_of.clone()));
    }

    /// Every server of the pool opened until now is closed when it is free, and the next one is waited for anew.
    fn renew(&self, entry: &PoolEntry) {
        self.iam.forget_back_off(&entry.share.user);
        entry.tries.forget();
        entry.share.bump_generation();
        self.places.forget_failure(&entry.share);
        self.tell_all(|| Command::Sweep(Scope::Pool(entry.share.id)));
        self.launcher.need_server(entry.share.id);
    }

    /// RECONNECT: of one database, or all.
    pub fn reconnect(&self, database: Option<&str>) {
        for entry in self.registry.entries_of(database) {
            self.renew(&entry);
        }
    }

    /// KILL: clients and servers of one database, or all, are dropped ("database removed"). The caller has paused it.
    pub fn kill(&self, database: Option<&str>) {
        for entry in self.registry.entries_of(database) {
            entry.share.bump_generation(); // logins to servers that are under way, too
            entry.welcome.refuse(Fault::DatabaseRemoved);
            self.tell_all(|| Command::Kill(Scope::Pool(entry.share.id)));
        }
    }

    /// An entry that the files no longer have: all its clients and servers are dropped.
    fn remove(&self, database: &str) {
        for entry in self.registry.remove(database) {
            entry.welcome.refuse(Fault::DatabaseRemoved);
            self.tell_all(|| Command::Kill(Scope::Pool(entry.share.id)));
            self.places.forget(&entry.share); // one that still has servers is forgotten with the last of them
        }
    }

    /// Databases that auth_query was to look into and that nobody has proven a right to: those beyond a bound are forgotten.
    pub(super) fn forget_unproven(&self) {
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
