//! `[instances]`: servers of PostgreSQL by the names under which entries reach them, and how many connections
//! each takes; the setting `max_server_connections` says the same of every other.
//!
//! Values only: who keeps the caps is `core::Ledger`. An endpoint is `HOST:PORT`; that of a name is spelt in
//! small letters without a dot at its end, so that one server counts once however it is written. Nothing is
//! looked up: a server with two names is one where an entry says so.

use super::database::Host;
use super::errors::EntryProblem;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

/// One entry of `[instances]`: a server, and the names that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceEntry {
    /// Its names; never empty.
    pub hosts: Vec<Host>,
    /// Its port, under each of them.
    pub port: u16,
    /// Overrides `max_server_connections`; 0 = unlimited.
    pub max_server_connections: Option<u32>,
}

impl Default for InstanceEntry {
    fn default() -> Self {
        Self { hosts: Vec::new(), port: 5432, max_server_connections: None }
    }
}

/// `HOST:PORT` of servers, each once, in order.
pub type Endpoints = Arc<[Arc<str>]>;

/// `[instances]`: its entries, and which of them an endpoint belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instances {
    entries: BTreeMap<Arc<str>, InstanceEntry>,
    endpoints: BTreeMap<Arc<str>, Endpoints>,
    owners: BTreeMap<Arc<str>, Arc<str>>,
}

impl Instances {
    /// The entries, by name.
    pub fn entries(&self) -> &BTreeMap<Arc<str>, InstanceEntry> {
        &self.entries
    }

    /// The endpoints of the entry of that name.
    pub fn endpoints(&self, name: &str) -> Option<&Endpoints> {
        self.endpoints.get(name)
    }

    /// The name of the entry that an endpoint belongs to, and all endpoints of that.
    pub fn of(&self, endpoint: &str) -> Option<(&Arc<str>, &Endpoints)> {
        let owner = self.owners.get(endpoint)?;
        Some((owner, self.endpoints.get(owner)?))
    }

    /// Takes `entry` in, in place of another one of its name.
    ///
    /// # Errors
    /// It has no host, or an endpoint that is another entry's.
    pub(super) fn insert(&mut self, name: Arc<str>, entry: InstanceEntry) -> Result<(), EntryProblem> {
        if entry.hosts.is_empty() {
            return Err(EntryProblem::NoHost);
        }
        let endpoints = endpoints(&entry.hosts, entry.port, "");
        let other = |endpoint: &Arc<str>| self.owners.get(endpoint).filter(|owner| **owner != name);
        if let Some((endpoint, other)) = endpoints.iter().find_map(|at| Some((at, other(at)?))) {
            let why = format!("{endpoint} is one of entry \"{other}\", too: a server has one entry");
            return Err(EntryProblem::Unfit { key: "host", why });
        }
        self.owners.retain(|_, owner| *owner != name);
        self.owners.extend(endpoints.iter().map(|endpoint| (Arc::clone(endpoint), Arc::clone(&name))));
        self.endpoints.insert(Arc::clone(&name), endpoints);
        self.entries.insert(name, entry);
        Ok(())
    }
}

pub(super) fn endpoints(hosts: &[Host], port: u16, default_dir: &str) -> Endpoints {
    let all: BTreeSet<_> = hosts.iter().map(|host| endpoint(host, port, default_dir)).collect();
    all.into_iter().collect()
}

pub(super) fn endpoint(host: &Host, port: u16, default_dir: &str) -> Arc<str> {
    let in_dir = |dir: &str| format!("{}:{port}", dir.trim_end_matches('/')).into();
    match host {
        Host::Name(name) => format!("{}:{port}", name.trim_end_matches('.').to_ascii_lowercase()).into(),
        Host::Ip(address) => SocketAddr::new(address.to_canonical(), port).to_string().into(),
        Host::UnixDir(dir) => in_dir(dir),
        Host::DefaultUnixDir => in_dir(default_dir),
    }
}
