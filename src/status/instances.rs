//! Servers of PostgreSQL as `max_server_connections` counts them, for SHOW INSTANCES and the page of metrics.

use super::status::Status;
use crate::config::Endpoints;
use crate::core::Scope;
use crate::stats::InstanceLevels;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Status {
    /// Every entry of `[instances]`, and every other endpoint of an entry of `[databases]`, by name.
    pub fn instances(&self) -> Vec<InstanceLevels> {
        let snapshot = Arc::clone(&self.plane.policy.load().snapshot);
        let named = snapshot.instances.entries().keys().filter_map(|name| {
            let endpoints = snapshot.instances.endpoints(name)?;
            Some((Arc::clone(name), (Some(name), Arc::clone(endpoints))))
        });
        let mut all: BTreeMap<Arc<str>, (Option<&Arc<str>>, Endpoints)> = named.collect();
        for database in snapshot.databases.values().chain(&snapshot.fallback) {
            for endpoint in snapshot.endpoints(database).iter() {
                if snapshot.instances.of(endpoint).is_none() {
                    all.entry(Arc::clone(endpoint)).or_insert_with(|| (None, [Arc::clone(endpoint)].into()));
                }
            }
        }
        let level = |(instance, (entry, endpoints)): (Arc<str>, (Option<&Arc<str>>, Endpoints))| {
            let servers = self.plane.places.servers_in(&Scope::Endpoints(Arc::clone(&endpoints)));
            InstanceLevels {
                instance: instance.to_string(),
                endpoints: endpoints.iter().map(ToString::to_string).collect(),
                servers: servers.into(),
                servers_max: snapshot.max_server_connections(entry.map(|name| &**name)).into(),
            }
        };
        all.into_iter().map(level).collect()
    }
}
