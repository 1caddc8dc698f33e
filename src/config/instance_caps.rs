//! `max_server_connections` as pools are bound by it: which servers of PostgreSQL each may have connections
//! to, and how many those take.
//!
//! Values only; the caps are kept by `core::Ledger`.

use super::database::{Database, Host};
use super::instances::{Endpoints, endpoint, endpoints};
use super::snapshot::Snapshot;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A cap on the servers of all pools at some endpoints together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InstanceCap {
    /// The server's.
    pub endpoints: Endpoints,
    /// So many connections; never 0.
    pub max_server_connections: u32,
}

impl Snapshot {
    /// Where the servers of `database` may be.
    pub fn endpoints(&self, database: &Database) -> Endpoints {
        endpoints(&database.hosts, database.port, &self.settings.unix_socket_dir)
    }

    /// `HOST:PORT` of one of them.
    pub fn endpoint(&self, host: &Host, port: u16) -> Arc<str> {
        endpoint(host, port, &self.settings.unix_socket_dir)
    }

    /// The caps that a server of a pool with these endpoints may count for.
    pub(super) fn instance_caps(&self, endpoints: &Endpoints) -> Arc<[InstanceCap]> {
        let caps = endpoints.iter().map(|endpoint| match self.instances.of(endpoint) {
            Some((name, all)) => (Arc::clone(all), self.max_server_connections(Some(name))),
            None => (Arc::from([Arc::clone(endpoint)]), self.max_server_connections(None)),
        });
        let caps: BTreeMap<Endpoints, u32> = caps.filter(|(_, most)| *most > 0).collect();
        caps.into_iter()
            .map(|(endpoints, max_server_connections)| InstanceCap { endpoints, max_server_connections })
            .collect()
    }

    /// How many connections a server takes, by its entry if it has one; 0 = unlimited.
    pub fn max_server_connections(&self, entry: Option<&str>) -> u32 {
        let own = entry.and_then(|name| self.instances.entries().get(name)?.max_server_connections);
        own.unwrap_or(self.settings.max_server_connections)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(text: &str) -> Snapshot {
        Snapshot::load_with("p.ini", None, &|_| Ok(text.as_bytes().to_vec()))
            .unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// What counts for the pools of each database: endpoints, and how many servers they take together.
    fn caps(snapshot: &Snapshot) -> Vec<String> {
        let shown =
            |cap: &InstanceCap| format!("{}<={}", cap.endpoints.join("+"), cap.max_server_connections);
        let of = |database: &Database| {
            let rules = snapshot.pool_rules(database, "app");
            format!(
                "{}: {}",
                database.name,
                rules.instance_caps.iter().map(shown).collect::<Vec<_>>().join(" ")
            )
        };
        snapshot.databases.values().map(|database| of(database)).collect()
    }

    const DATABASES: &str = "[databases]\n\
        a = host=DB1.example.org.\n\
        b = host=db1.example.org port=6000\n\
        c = host=db1.example.org,10.0.0.1,::1\n\
        d = host=/run/pg/\n\
        e =\n";

    #[test]
    fn without_a_setting_nothing_is_bounded() {
        let snapshot = snapshot(&format!("{DATABASES}[pgbouncer]\n"));
        assert_eq!(caps(&snapshot), ["a: ", "b: ", "c: ", "d: ", "e: "]);
    }

    #[test]
    fn each_host_and_port_is_a_server_however_it_is_spelt() {
        let settings = "[pgbouncer]\nmax_server_connections = 9\nunix_socket_dir = /run/pg\n";
        let expected = [
            "a: db1.example.org:5432<=9",
            "b: db1.example.org:6000<=9",
            "c: 10.0.0.1:5432<=9 [::1]:5432<=9 db1.example.org:5432<=9",
            "d: /run/pg:5432<=9",
            "e: /run/pg:5432<=9",
        ];
        assert_eq!(caps(&snapshot(&format!("{DATABASES}{settings}"))), expected);
    }

    #[test]
    fn an_entry_makes_one_server_of_several_names_and_has_a_bound_of_its_own() {
        let instances = "[instances]\n\
            one = host=db1.example.org,10.0.0.1 max_server_connections=40\n\
            open = host=/run/pg max_server_connections=0\n\
            [pgbouncer]\nmax_server_connections = 9\nunix_socket_dir = /run/pg\n";
        let expected = [
            "a: 10.0.0.1:5432+db1.example.org:5432<=40",
            "b: db1.example.org:6000<=9",
            "c: 10.0.0.1:5432+db1.example.org:5432<=40 [::1]:5432<=9",
            "d: ",
            "e: ",
        ];
        assert_eq!(caps(&snapshot(&format!("{DATABASES}{instances}"))), expected);
    }

    #[test]
    fn what_is_wrong_with_an_entry_is_told_with_its_place() {
        let told = |lines: &str| {
            let text = format!("[pgbouncer]\n[instances]\n{lines}");
            let errors = Snapshot::load_with("p.ini", None, &|_| Ok(text.clone().into_bytes())).unwrap_err();
            errors.to_string()
        };
        let nowhere = told("x = port=5432");
        assert_eq!(nowhere, "host was not provided for instance x in configuration (p.ini:3)");
        let twice = told("x = host=a,b\ny = host=c,B.");
        assert!(twice.contains("b:5432 is one of entry \"x\", too") && twice.contains("p.ini:4"), "{twice}");
        assert!(told("x = host=a hosts=b").contains("accepted: host, port, max_server_connections"));
    }

    #[test]
    fn an_overlay_adds_entries_and_keys() {
        let files = |name: &str| {
            let text = match name {
                "p.ini" => {
                    "[databases]\na = host=h\n[instances]\nx = host=h max_server_connections=3\n[pgbouncer]\n"
                }
                _ => "[instances]\nx = max_server_connections=5\ny = host=i\n",
            };
            Ok(text.as_bytes().to_vec())
        };
        let first = Snapshot::load_with("p.ini", None, &files).unwrap();
        let with_overlay = Snapshot { overlay: Some("o.ini".into()), ..first };
        let snapshot = Snapshot::load_with("p.ini", Some(&with_overlay), &files).unwrap();
        assert_eq!(caps(&snapshot), ["a: h:5432<=5"]);
        assert_eq!(snapshot.instances.entries().len(), 2);
        assert_eq!(snapshot.warnings, ["instance \"y\": no database has its host and port"]);
    }
}
