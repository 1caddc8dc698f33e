//! What running pools are told when the policy changes, or when an operator orders RECONNECT.
//!
//! Decides nothing about files or the console's grammar. Source: PgBouncer, doc/usage.md (RELOAD, RECONNECT).

use super::iam::entry;
use super::servers::Servers;
use crate::config::{Changes, ClientRules, DatabaseChange, Snapshot};
use crate::control::{Policy, PoolEntry};
use crate::core::{ClientRulesOf, Command, Scope};
use std::sync::Arc;

impl Servers {
    /// At the start: makes known what the policy says.
    pub fn begin(&self) {
        let snapshot = Arc::clone(&self.plane.policy.load().snapshot);
        self.plane.limit_statements(&snapshot);
        self.plane.registry.adopt(&snapshot);
        self.adopt_secrets(&snapshot);
        self.adopt_iam(&snapshot);
    }

    /// Sources and endpoints that nobody needs any more end.
    fn adopt_iam(&self, snapshot: &Snapshot) {
        let entries = self.plane.registry.entries();
        let rules = |entry: &Arc<PoolEntry>| {
            entry::rules(snapshot, &entry.config.load(), &entry.share.user).and_then(Result::ok)
        };
        self.iam.adopt(snapshot, entries.iter().filter_map(rules), self.sources_of_secrets());
    }

    /// Puts `policy` in force, and brings every pool and client to what it says.
    pub fn adopt(&self, policy: Policy) {
        let policy = Arc::new(policy);
        let before = self.plane.policy.swap(Arc::clone(&policy));
        let changes = Changes::between(&before.snapshot, &policy.snapshot);
        for view in self.plane.registry.databases() {
            if changes.of(&view.config.name) == DatabaseChange::Gone {
                self.plane.remove(&view.config.name);
            }
        }
        self.plane.limit_statements(&policy.snapshot);
        self.plane.registry.adopt(&policy.snapshot);
        self.adopt_secrets(&policy.snapshot);
        self.refresh_secrets();
        self.adopt_iam(&policy.snapshot);
        self.peers.adopt(&policy.snapshot);
        for entry in self.plane.registry.entries() {
            let (name, user) = (&entry.share.database.name, &entry.share.user);
            // First: what is opened from now on counts by them.
            let rules = policy.snapshot.pool_rules(&entry.config.load(), user);
            if *entry.share.rules() != rules {
                self.plane.set_rules(&entry.share, Arc::new(rules));
            }
            let is_dirty = changes.of(name) == DatabaseChange::Dirty || changes.server_tls;
            if is_dirty || !policy.snapshot.proves_as_before(&before.snapshot, name, user) {
                self.renew(&entry);
            }
            if self.plane.ends_pause_for_change(&entry) {
                self.plane.launcher.need_server(entry.share.id);
            }
            if let Some(Ok(rules)) = entry::rules(&policy.snapshot, &entry.config.load(), user) {
                entry.share.set_max_age(rules.ages.max_age);
            }
        }
        let rules_of = ClientRulesOf(Arc::new(move |user, database| {
            let database = policy.snapshot.database(database);
            database.map_or_else(ClientRules::default, |entry| policy.snapshot.client_rules(user, &entry))
        }));
        self.plane.tell_all(|| Command::ClientRules(rules_of.clone()));
    }

    /// Every server of the pool opened until now is closed when it is free, and the
    /// next one is waited for anew. What logins were refused for is nobody's answer any more.
    fn renew(&self, entry: &PoolEntry) {
        entry.share.bump_generation();
        self.iam.forget_back_off(&entry.share.user);
        if let Some(secret) = &*entry.secret.load() {
            secret.forget_refusals();
        }
        self.plane.forget_failures(entry); // behind the generation: what is concluded from now on is of it
        self.plane.tell_all(|| Command::Sweep(Scope::Pool(entry.share.id)));
        self.plane.launcher.need_server(entry.share.id);
    }

    /// RECONNECT: of one database, or all.
    pub fn reconnect(&self, database: Option<&str>) {
        for entry in self.plane.registry.entries_of(database) {
            self.renew(&entry);
        }
    }
}
