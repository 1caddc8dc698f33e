//! Secrets and pools: which pool goes by which secret, and what a new version means for those that wait.
//!
//! Starts what the files foresee when a configuration is adopted, and what they do not with the first login.

use super::clients::{self, Owner};
use super::entry;
use crate::config::Snapshot;
use crate::control::{PoolEntry, SecretsOfClients};
use crate::iam::SourceKey;
use crate::secrets::{AwsSecret, Fetch, KeptSecret, Place, PoolSecret, SecretFile, SecretKey};
use crate::servers::servers::Servers;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at what other versions of secrets mean.
const BREATH: Duration = Duration::from_millis(100);

impl Servers {
    /// Brings secrets to what `snapshot` says: new ones begin to be fetched, those that nobody names end.
    /// Call it within a tokio runtime.
    pub(in crate::servers) fn adopt_secrets(&self, snapshot: &Snapshot) {
        let mut wanted: HashSet<SecretKey> = entry::foreseen(snapshot);
        wanted.iter().for_each(|key| drop(self.kept(key)));
        let of_clients = clients::keys(snapshot).into_iter();
        let of_clients: Vec<_> = of_clients.filter_map(|(owner, key)| Some((owner, key.ok()?))).collect();
        wanted.extend(of_clients.iter().map(|(_, key)| key.clone()));
        self.adopt_secrets_of_clients(snapshot, of_clients);
        for pool in self.plane.registry.entries() {
            self.assign_secret(snapshot, &pool);
            wanted.extend(pool.secret.load().as_ref().map(|secret| secret.kept.key().clone()));
        }
        self.secrets.retain(|key| wanted.contains(key));
    }

    fn adopt_secrets_of_clients(&self, snapshot: &Snapshot, keys: Vec<(Owner, SecretKey)>) {
        let mut secrets = SecretsOfClients::default();
        let is_fallback =
            |name: &Arc<str>| snapshot.fallback.as_ref().is_some_and(|entry| entry.name == *name);
        for (owner, key) in keys {
            let kept = self.kept(&key);
            match owner {
                Owner::User(name) => drop(secrets.users.insert(name, kept)),
                Owner::Database(name) if is_fallback(&name) => secrets.fallback = Some(kept),
                Owner::Database(name) => drop(secrets.databases.insert(name, kept)),
                Owner::Settings => secrets.all = Some(kept),
            }
        }
        self.plane.client_secrets.adopt(secrets);
    }

    /// A reload reads what the files name; of secrets, too, whatever their time.
    pub(in crate::servers) fn refresh_secrets(&self) {
        self.secrets.all().iter().for_each(|secret| secret.refresh());
    }

    /// Has `pool` go by the secret that `snapshot` names for it. What it has learnt of that is kept.
    pub(in crate::servers) fn assign_secret(&self, snapshot: &Snapshot, pool: &PoolEntry) {
        let read = entry::secret(snapshot, &pool.config.load(), &pool.share.user);
        let Some(Ok(key)) = read else { return pool.secret.store(None) };
        let known = pool.secret.load();
        if known.as_ref().is_none_or(|known| *known.kept.key() != key) {
            pool.secret.store(Some(Arc::new(PoolSecret::new(self.kept(&key)))));
        }
    }

    /// The sources by whose credentials secrets are called.
    pub(in crate::servers) fn sources_of_secrets(&self) -> HashSet<SourceKey> {
        let secrets = self.secrets.all().into_iter();
        let sources = secrets.filter_map(|secret| match &secret.key().place {
            Place::Aws { source, .. } => Some(source.clone()),
            Place::File(_) => None,
        });
        sources.collect()
    }

    fn kept(&self, key: &SecretKey) -> Arc<KeptSecret> {
        self.secrets.kept(key, || -> Arc<dyn Fetch> {
            match &key.place {
                Place::File(path) => Arc::new(SecretFile::new(path, key.purpose)),
                Place::Aws { arn, region, source } => {
                    let manager = self.iam.secrets_manager(source, region);
                    Arc::new(AwsSecret::new(manager, Arc::clone(arn), key.purpose))
                }
            }
        })
    }

    /// Has pools that wait for another version of their secret try it as soon as it has come, for as long as
    /// the process lives. Another pool's secret ends no pause.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn watch_secrets(self: Arc<Self>) {
        loop {
            self.secrets.changed().await;
            self.plane.client_secrets.tell_changed();
            self.go_on_with_secrets();
            tokio::time::sleep(BREATH).await; // thousands of secrets may come together
        }
    }

    /// Some secret has another version. What proves clients may be what servers are logged in to with, too.
    pub(in crate::servers) fn go_on_with_secrets(&self) {
        for pool in self.plane.registry.entries() {
            if self.plane.ends_pause_for_change(&pool) {
                self.plane.launcher.need_server(pool.share.id);
            }
        }
    }
}
