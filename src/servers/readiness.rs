//! Whether the clients of one database can be served, as far as it is known without trying.
//!
//! Opens nothing and asks nobody. What is known is the last login of each of its pools: a failure counts for
//! a minute and `server_login_retry`, since nobody learns that it has passed where nobody comes, and a load
//! balancer that sends nobody any more would never send anybody again.

use super::iam::entry;
use super::secrets;
use super::servers::Servers;
use crate::base::Micros;
use crate::config::{CONSOLE_DATABASE, Database};
use crate::control::{DatabaseView, PoolEntry};
use crate::core::Stance;
use std::sync::Arc;

/// How long a failed login tells of the next one, beyond `server_login_retry`.
const FAILURE_COUNTS: Micros = Micros::from_secs(60);

impl Servers {
    /// Why clients of the database called `name` cannot be served, as far as it concerns this database; empty
    /// = they can. One of several pools that works is enough: a user whom the server refuses takes it away
    /// from nobody else. `None`: there is no such database, not even `*`.
    pub fn database_obstacles(&self, name: &str) -> Option<Vec<String>> {
        if name == CONSOLE_DATABASE {
            return Some(Vec::new());
        }
        match self.plane.registry.view(name) {
            Some(view) => Some(self.obstacles_of(&view, self.plane.now())),
            None => {
                let entry = self.plane.policy.load().snapshot.database(name)?;
                Some(self.entry_obstacle(&entry).into_iter().collect())
            }
        }
    }

    /// Every database there is, and whether it can be served.
    pub fn databases_served(&self) -> Vec<(Arc<str>, bool)> {
        let (views, now) = (self.plane.registry.databases().into_iter(), self.plane.now());
        views.map(|view| (Arc::clone(&view.share.name), self.obstacles_of(&view, now).is_empty())).collect()
    }

    fn obstacles_of(&self, view: &DatabaseView, now: Micros) -> Vec<String> {
        let name = &view.share.name;
        if view.share.is_disabled() {
            return vec![format!("database \"{name}\" is disabled")];
        }
        if view.share.is_paused() {
            return vec![format!("database \"{name}\" is paused")];
        }
        if view.pools.is_empty() {
            return self.entry_obstacle(&view.config).into_iter().collect();
        }
        let of_pools: Option<Vec<_>> = view.pools.iter().map(|pool| self.pool_obstacle(pool, now)).collect();
        of_pools.unwrap_or_default()
    }

    /// Why a pool cannot serve anybody; nothing while it has a server that may.
    fn pool_obstacle(&self, entry: &PoolEntry, now: Micros) -> Option<String> {
        let share = &entry.share;
        if share.live_count() > 0 && share.stance() != Stance::CloseNow {
            return None;
        }
        let failure = share.obstacle().or_else(|| share.failing()).filter(|failure| {
            let counts = FAILURE_COUNTS + self.plane.policy.load().snapshot.settings.server_login_retry;
            entry.failure_seen.known_for(failure, now) < counts
        });
        let why = failure.map(|failure| failure.to_string());
        let why = why.or_else(|| self.without_credentials(&entry.config.load(), &share.user));
        let why = why.or_else(|| self.without_secret(&entry.config.load(), &share.user));
        why.map(|why| format!("database \"{}\", user \"{}\": {why}", share.database.name, share.user))
    }

    /// Why nobody can be served whom an entry has no pool for yet.
    fn entry_obstacle(&self, entry: &Database) -> Option<String> {
        let user = entry.user.as_deref().unwrap_or_default();
        let why = self.without_credentials(entry, user).or_else(|| self.without_secret(entry, user))?;
        Some(format!("database \"{}\": {why}", entry.name))
    }

    /// Why there is no secret for `user`, where it needs one.
    fn without_secret(&self, entry: &Database, user: &str) -> Option<String> {
        let read = secrets::entry::secret(&self.plane.policy.load().snapshot, entry, user)?;
        match read {
            Err(refused) => refused.first().map(ToString::to_string),
            Ok(key) => {
                let kept = self.secrets.known(&key)?;
                let why = || kept.failure().map_or("it is being fetched".to_owned(), |why| why.to_string());
                kept.current().is_none().then(|| format!("secret {key} is not known: {}", why()))
            }
        }
    }

    /// Why no token can be made for `user`, where it needs one.
    fn without_credentials(&self, entry: &Database, user: &str) -> Option<String> {
        let rules = entry::rules(&self.plane.policy.load().snapshot, entry, user)?;
        match rules {
            Ok(rules) => self.iam.may_sign(&rules).err().map(|why| why.to_string()),
            Err(refused) => refused.first().map(ToString::to_string),
        }
    }
}

#[cfg(test)]
mod tests;
