//! SHOW CONFIG, USERS, INSTANCES, LISTS, MEM, STATE, VERSION, DNS_HOSTS, DNS_ZONES: what is true of the
//! process.
//!
//! Source: PgBouncer, doc/usage.md (Show commands).

use super::rows::{Cell, Rows};
use super::tables;
use crate::config::{Snapshot, UserEntry, Value};
use crate::stats::InstanceLevels;
use crate::status::{DnsView, Lists, MemRow, UserCounts, known_users};

/// SHOW CONFIG.
pub(super) fn config(snapshot: &Snapshot) -> Rows {
    let mut rows = Rows::new(tables::columns("config"));
    for row in snapshot.show_config() {
        let changeable = if row.changeable { "yes" } else { "no" };
        rows.push(&[row.key.into(), row.value.into(), row.default.into(), changeable.into()]);
    }
    rows
}

/// SHOW VERSION.
pub(super) fn version() -> Rows {
    let mut rows = Rows::new(tables::columns("version"));
    rows.push(&[crate::base::VERSION.into()]);
    rows
}

/// SHOW USERS: `names`, the configuration's users, forced users and the console's own, in byte order.
pub(super) fn users(
    snapshot: &Snapshot,
    names: impl IntoIterator<Item = String>,
    counts: impl Fn(&str) -> UserCounts,
) -> Rows {
    let mut rows = Rows::new(tables::columns("users"));
    let unset = UserEntry::default();
    for name in known_users(snapshot, names) {
        let entry = snapshot.users.get(&*name).unwrap_or(&unset);
        let limits = snapshot.client_limits(&name, None);
        let counts = counts(&name);
        rows.push(&[
            (&*name).into(),
            padded(entry.pool_size).into(),
            padded(entry.reserve_pool_size).into(),
            entry.pool_mode.and_then(|mode| mode.show()).into(),
            entry.max_user_connections.unwrap_or(snapshot.settings.max_user_connections).into(),
            counts.servers.into(),
            limits.max_user_client_connections.into(),
            counts.clients.into(),
        ]);
    }
    rows
}

/// SHOW INSTANCES.
pub(super) fn instances(all: &[InstanceLevels]) -> Rows {
    let mut rows = Rows::new(tables::columns("instances"));
    for InstanceLevels { instance, endpoints, servers, servers_max } in all {
        rows.push(&[
            (&**instance).into(),
            endpoints.join(",").into(),
            (*servers_max).into(),
            (*servers).into(),
        ]);
    }
    rows
}

/// PgBouncer's column is text: nothing, or the number at the right of nine places.
fn padded(number: Option<u32>) -> String {
    number.map(|number| format!("{number:>9}")).unwrap_or_default()
}

/// SHOW LISTS. Nothing is kept free for reuse, names have no zones here, and a look-up that waits for another
/// one of the same name is not counted as pending: those are 0.
pub(super) fn lists(lists: &Lists) -> Rows {
    let mut rows = Rows::new(tables::columns("lists"));
    for (name, items) in [
        ("databases", lists.databases),
        ("users", lists.users),
        ("peers", lists.peers),
        ("pools", lists.pools),
        ("peer_pools", lists.peer_pools),
        ("free_clients", 0),
        ("used_clients", lists.used_clients),
        ("login_clients", lists.login_clients),
        ("free_servers", 0),
        ("used_servers", lists.used_servers),
        ("dns_names", lists.dns_names),
        ("dns_zones", 0),
        ("dns_queries", lists.dns_queries),
        ("dns_pending", 0),
    ] {
        rows.push(&[name.into(), items.into()]);
    }
    rows
}

/// Where the process stands, for SHOW STATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Serving.
    Active,
    /// PAUSE, or KILL of everything.
    Paused,
    /// SUSPEND.
    Suspended,
}

/// SHOW STATE.
pub(super) fn state(standing: Standing) -> Rows {
    let mut rows = Rows::new(tables::columns("state"));
    for (key, value) in
        [("active", Standing::Active), ("paused", Standing::Paused), ("suspended", Standing::Suspended)]
    {
        rows.push(&[key.into(), if value == standing { "yes" } else { "no" }.into()]);
    }
    rows
}

/// SHOW MEM. Nothing is kept free for reuse: that is 0.
pub(super) fn mem(caches: &[MemRow]) -> Rows {
    let mut rows = Rows::new(tables::columns("mem"));
    for cache in caches {
        let total = cache.used * cache.bytes as u64;
        rows.push(&[
            (*cache.name).into(),
            cache.bytes.into(),
            cache.used.into(),
            Cell::Number(0),
            total.into(),
        ]);
    }
    rows
}

/// SHOW DNS_HOSTS.
pub(super) fn dns_hosts(hosts: &[DnsView]) -> Rows {
    let mut rows = Rows::new(tables::columns("dns_hosts"));
    for host in hosts {
        let addresses: Vec<String> = host.addresses.iter().map(ToString::to_string).collect();
        rows.push(&[(&*host.hostname).into(), host.ttl_s.into(), addresses.join(",").into()]);
    }
    rows
}

/// SHOW DNS_ZONES: zone serials are not watched.
pub(super) fn dns_zones() -> Rows {
    Rows::new(tables::columns("dns_zones"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(text: &str) -> Snapshot {
        let text = text.as_bytes().to_vec();
        Snapshot::load_with("test.ini", None, &|_| Ok(text.clone())).unwrap()
    }

    fn read(rows: &Rows) -> Vec<String> {
        let row = |row: Vec<(String, Option<String>)>| {
            row.into_iter().map(|(_, value)| value.unwrap_or("NULL".into())).collect::<Vec<_>>().join("|")
        };
        rows.read_back().into_iter().map(row).collect()
    }

    #[test]
    fn users_are_all_that_are_known_in_byte_order() {
        let snapshot = snapshot(
            "[databases]\n\
             d = user=forced\n\
             [users]\n\
             test1 = pool_size=1 reserve_pool_size=12 pool_mode=statement\n\
             Test2 = max_user_connections=3 max_user_client_connections=4\n\
             [pgbouncer]\n\
             max_user_connections=9",
        );
        let counts = |name: &str| UserCounts { servers: u32::from(name == "forced"), clients: 2 };
        let rows = users(&snapshot, ["file".to_owned(), "test1".to_owned()], counts);
        assert_eq!(
            read(&rows),
            [
                "Test2|||NULL|3|0|4|2",
                "file|||NULL|9|0|0|2",
                "forced|||NULL|9|1|0|2",
                "pgbouncer|||NULL|9|0|0|2",
                "test1|        1|       12|statement|9|0|0|2",
            ]
        );
    }

    #[test]
    fn config_tells_every_setting() {
        let snapshot = snapshot("[databases]\n[pgbouncer]\nmax_client_conn = 7");
        let rows = read(&config(&snapshot));
        assert_eq!(rows.len(), snapshot.show_config().count());
        assert!(rows.contains(&"max_client_conn|7|100|yes".to_owned()));
        assert!(rows.contains(&"auth_user|NULL|NULL|yes".to_owned()));
        assert!(rows.contains(&"listen_port|6432|6432|no".to_owned()));
    }

    #[test]
    fn lists_are_in_pgbouncers_order() {
        let rows = read(&lists(&Lists { databases: 1, users: 2, dns_queries: 9, ..Lists::default() }));
        assert_eq!(rows.len(), 14);
        assert_eq!(rows[..3], ["databases|1", "users|2", "peers|0"]);
        assert_eq!(rows[12..], ["dns_queries|9", "dns_pending|0"]);
    }

    #[test]
    fn one_line_of_state_says_yes() {
        assert_eq!(read(&state(Standing::Paused)), ["active|no", "paused|yes", "suspended|no"]);
    }

    #[test]
    fn memory_is_what_is_kept_times_what_one_takes() {
        let row = |name: &'static str, bytes, used| MemRow { name: name.into(), bytes, used };
        let rows = mem(&[row("a", 10, 3), row("b", 0, 0)]);
        assert_eq!(read(&rows), ["a|10|3|0|30", "b|0|0|0|0"]);
    }

    #[test]
    fn names_show_their_addresses() {
        let host = DnsView {
            hostname: "db".into(),
            ttl_s: 9,
            addresses: vec![[10, 0, 0, 1].into(), [10, 0, 0, 2].into()],
        };
        assert_eq!(read(&dns_hosts(&[host])), ["db|9|10.0.0.1,10.0.0.2"]);
        assert!(read(&dns_zones()).is_empty());
    }
}
