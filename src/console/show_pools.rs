//! SHOW POOLS, PEERS, PEER_POOLS, DATABASES: pools and what they belong to.
//!
//! Source: PgBouncer, doc/usage.md (Show commands).

use super::rows::{Cell, Rows};
use super::tables;
use crate::config::{CONSOLE_DATABASE, PoolMode, Snapshot, Value};
use crate::stats::PeerLevels;
use crate::status::{CONSOLE_POOL_SIZE, DatabaseView, PoolView, load_balance_text};

/// SHOW POOLS, ordered by (database, user).
pub(super) fn pools(mut pools: Vec<PoolView>) -> Rows {
    pools.sort_by(|a, b| (&a.database, &a.user).cmp(&(&b.database, &b.user)));
    let mut rows = Rows::new(tables::columns("pools"));
    for pool in &pools {
        let levels = &pool.levels;
        rows.push(&[
            (&*pool.database).into(),
            (&*pool.user).into(),
            levels.cl_active().into(),
            levels.cl_waiting.into(),
            levels.cl_active_cancel_req.into(),
            levels.cl_waiting_cancel_req.into(),
            levels.sv_active.into(),
            levels.sv_active_cancel.into(),
            levels.sv_being_canceled.into(),
            levels.sv_idle.into(),
            levels.sv_used.into(),
            levels.sv_tested.into(),
            levels.sv_login.into(),
            (levels.maxwait_us / 1_000_000).into(),
            (levels.maxwait_us % 1_000_000).into(),
            pool.mode.show().into(),
            pool.load_balance_hosts.as_deref().into(),
        ]);
    }
    rows
}

/// SHOW DATABASES, ordered by name, the console's own among them.
pub(super) fn databases(snapshot: &Snapshot, mut databases: Vec<DatabaseView>, console_clients: u32) -> Rows {
    databases.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
    let mut rows = Rows::new(tables::columns("databases"));
    let mut console = Some(console_clients);
    for view in &databases {
        if &*view.entry.name > CONSOLE_DATABASE
            && let Some(clients) = console.take()
        {
            push_console(&mut rows, snapshot, clients);
        }
        push_database(&mut rows, snapshot, view);
    }
    if let Some(clients) = console {
        push_console(&mut rows, snapshot, clients);
    }
    rows
}

fn push_database(rows: &mut Rows, snapshot: &Snapshot, view: &DatabaseView) {
    let (entry, global) = (&*view.entry, &snapshot.settings);
    rows.push(&[
        (&*entry.name).into(),
        entry.host_text().into(),
        entry.port.into(),
        (&*entry.dbname).into(),
        entry.user.as_deref().into(),
        entry.pool_size.unwrap_or(global.default_pool_size).into(),
        entry.min_pool_size.unwrap_or(global.min_pool_size).into(),
        entry.reserve_pool_size.unwrap_or(global.reserve_pool_size).into(),
        entry.server_lifetime.unwrap_or(global.server_lifetime).as_secs().into(),
        entry.pool_mode.and_then(|mode| mode.show()).into(),
        load_balance_text(entry).into(),
        entry.max_db_connections.unwrap_or(global.max_db_connections).into(),
        view.servers.into(),
        entry.max_db_client_connections.unwrap_or(global.max_db_client_connections).into(),
        view.clients.into(),
        view.paused.into(),
        view.disabled.into(),
    ]);
}

fn push_console(rows: &mut Rows, snapshot: &Snapshot, clients: u32) {
    let global = &snapshot.settings;
    rows.push(&[
        CONSOLE_DATABASE.into(),
        Cell::Null,
        global.listen_port.into(),
        CONSOLE_DATABASE.into(),
        CONSOLE_DATABASE.into(),
        CONSOLE_POOL_SIZE.into(),
        0u32.into(),
        0u32.into(),
        global.server_lifetime.as_secs().into(),
        PoolMode::Statement.show().into(),
        Cell::Null,
        0u32.into(),
        0u32.into(),
        global.max_db_client_connections.into(),
        clients.into(),
        false.into(),
        false.into(),
    ]);
}

/// SHOW PEERS, ordered by id.
pub(super) fn peers(snapshot: &Snapshot) -> Rows {
    let mut rows = Rows::new(tables::columns("peers"));
    for (id, peer) in &snapshot.peers {
        let hosts: Vec<String> = peer.hosts.iter().map(ToString::to_string).collect();
        rows.push(&[
            (*id).into(),
            hosts.join(",").into(),
            peer.port.into(),
            snapshot.peer_pool_size(*id).unwrap_or_default().into(),
        ]);
    }
    rows
}

/// SHOW PEER_POOLS. Those that connect are on their way, too: none is told apart as logging in.
pub(super) fn peer_pools(pools: &[PeerLevels]) -> Rows {
    let mut rows = Rows::new(tables::columns("peer_pools"));
    for pool in pools {
        rows.push(&[
            pool.peer_id.into(),
            pool.active.into(),
            pool.waiting.into(),
            pool.active.into(),
            0u32.into(),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Database;
    use crate::stats::PoolLevels;
    use std::sync::Arc;

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
    fn pools_are_ordered_and_waits_split_into_seconds_and_the_rest() {
        let pool = |database: &str, user: &str| PoolView {
            database: database.into(),
            user: user.into(),
            levels: PoolLevels {
                cl_linked: 1,
                cl_idle: 2,
                cl_waiting: 4,
                sv_active: 1,
                sv_login: 5,
                maxwait_us: 3_000_007,
                ..PoolLevels::default()
            },
            mode: PoolMode::Transaction,
            load_balance_hosts: None,
        };
        let rows = pools(vec![pool("b", "x"), pool("a", "z"), pool("a", "y")]);
        assert_eq!(
            read(&rows),
            ["a|y", "a|z", "b|x"].map(|name| format!("{name}|3|4|0|0|1|0|0|0|0|0|5|3|7|transaction|NULL"))
        );
    }

    #[test]
    fn databases_show_the_limits_in_force_and_the_console() {
        let snapshot = snapshot(
            "[databases]\n\
             app = host=10.0.0.1 dbname=real pool_size=7 user=boss pool_mode=session\n\
             zed =\n\
             many = host=a,b port=1 load_balance_hosts=disable server_lifetime=9 \
             max_db_client_connections=3\n\
             [pgbouncer]\n\
             listen_port=7000\n\
             max_db_connections=40\n\
             server_lifetime=60",
        );
        let view = |entry: &Arc<Database>| DatabaseView {
            entry: entry.clone(),
            paused: &*entry.name == "zed",
            disabled: false,
            servers: 2,
            clients: 5,
        };
        let rows = databases(&snapshot, snapshot.databases.values().map(view).collect(), 1);
        assert_eq!(
            read(&rows),
            [
                "app|10.0.0.1|5432|real|boss|7|0|0|60|session|NULL|40|2|0|5|0|0",
                "many|a,b|1|many|NULL|20|0|0|9|NULL|disable|40|2|3|5|0|0",
                "pgbouncer|NULL|7000|pgbouncer|pgbouncer|2|0|0|60|statement|NULL|0|0|0|1|0|0",
                "zed|NULL|5432|zed|NULL|20|0|0|60|NULL|NULL|40|2|0|5|1|0",
            ]
        );
        let alone = databases(&snapshot, Vec::new(), 0);
        assert_eq!(read(&alone).len(), 1);
    }

    #[test]
    fn peers_come_from_the_configuration() {
        let snapshot = snapshot(
            "[databases]\n[peers]\n2 = host=/tmp pool_size=3\n1 = host=10.0.0.9 port=7\n[pgbouncer]\n",
        );
        assert_eq!(read(&peers(&snapshot)), ["1|10.0.0.9|7|20", "2|/tmp|6432|3"]);
        let pools = [PeerLevels { peer_id: 2, active: 3, waiting: 1 }];
        assert_eq!(read(&peer_pools(&pools)), ["2|3|1|3|0"]);
    }
}
