//! What an entry of `[databases]` and one of `[users]` say: for whom a key holds, and which of several wins.
//! Source: PgBouncer, doc/config.md ("Section `[databases]`", "Section `[users]`").

use crate::common::raw::{self, Raw};
use crate::common::{Pooler, PoolerSetup, postgres, wait_until};

/// Has four clients of that user want a server of that database at once, and waits until `size` have one.
#[track_caller]
fn holds_at_most(pooler: &Pooler, user: &str, database: &str, size: usize) {
    let mut clients: Vec<Raw> = (0..4).map(|_| Raw::log_in(pooler.port, user, database)).collect();
    for client in &mut clients {
        client.send(&raw::query("begin"));
    }
    let full = (size.to_string(), (4 - size).to_string());
    let is_full = || {
        let rows = pooler.ask("show pools").records();
        let row = rows.into_iter().find(|row| row["database"] == *database && row["user"] == *user);
        row.is_some_and(|row| (&row["sv_active"], &row["cl_waiting"]) == (&full.0, &full.1))
    };
    wait_until(&format!("{user} has {size} servers of {database}"), is_full);
    let servers = pooler.ask("show servers").records();
    let count = servers.iter().filter(|row| row["database"] == *database && row["user"] == *user).count();
    assert_eq!(count, size, "none is on its way: {servers:?}");
}

#[test]
fn a_pools_size_is_the_users_then_the_databases_then_everybodys() {
    let pooler = PoolerSetup::new(postgres())
        .set("default_pool_size", 1)
        .database("wide", "dbname=app pool_size=3")
        .user_settings("other", "pool_size=2")
        .start();
    holds_at_most(&pooler, "app", "app", 1);
    holds_at_most(&pooler, "app", "wide", 3);
    holds_at_most(&pooler, "other", "app", 2);
    holds_at_most(&pooler, "other", "wide", 2);
}

#[test]
fn a_pools_mode_is_the_users_then_the_databases_then_everybodys() {
    let pooler = PoolerSetup::new(postgres())
        .set("pool_mode", "transaction")
        .database("sessions", "dbname=app pool_mode=session")
        .user_settings("other", "pool_mode=statement")
        .start();
    let keeps_server = |user: &str, database: &str| {
        let mut client = Raw::log_in(pooler.port, user, database);
        client.simple("select 1");
        let rows = pooler.ask("show pools").records();
        let row = rows.iter().find(|row| row["database"] == *database && row["user"] == *user);
        let row = row.expect("its pool is there");
        (row["pool_mode"].clone(), row["sv_active"] == "1")
    };
    assert_eq!(keeps_server("app", "app"), ("transaction".into(), false));
    assert_eq!(keeps_server("app", "sessions"), ("session".into(), true));
    assert_eq!(keeps_server("other", "sessions"), ("statement".into(), false));
}

#[test]
fn what_bounds_a_pool_is_its_users_and_what_bounds_a_client_the_clients() {
    let pooler = PoolerSetup::new(postgres())
        .database("forced", "dbname=app user=other")
        .user_settings("other", "pool_size=1 query_wait_timeout=1 client_idle_timeout=60")
        .user_settings("app", "query_wait_timeout=60 max_user_client_connections=2")
        .start();
    let mut holder = Raw::log_in(pooler.port, "app", "forced");
    let mut waiter = Raw::log_in(pooler.port, "app", "forced");
    let mut third = Raw::tcp(pooler.port);
    third.startup(&[("user", "app"), ("database", "forced")]);
    let words = "FATAL 08P01: client connections exceeded (max_user_client_connections)";
    assert_eq!(third.last_words(), words, "the limit is of who has logged in");
    holder.simple("begin");
    waiter.send(&raw::query("select 5"));
    wait_until("the pool of the user that is logged in as is full", || {
        pooler
            .ask("show pools")
            .records()
            .iter()
            .any(|row| row["user"] == "other" && row["cl_waiting"] == "1")
    });
    holder.simple("select pg_sleep(2)");
    holder.simple("commit");
    assert_eq!(waiter.outcome().value(), "5", "it is the client's own patience that counts");
}

#[test]
fn what_an_entry_says_of_sessions_holds_in_the_servers() {
    let pooler = PoolerSetup::new(postgres())
        .database(
            "styled",
            "dbname=app datestyle='German, DMY' timezone=Asia/Tokyo client_encoding=LATIN1 \
             application_name=entry",
        )
        .database("greeted", "dbname=app connect_query='create temporary table greeting as select 11 as x'")
        .start();
    let mut client = Raw::log_in(pooler.port, "app", "styled");
    let shown = |client: &mut Raw, name: &str| client.simple(&format!("show {name}")).value();
    assert_eq!(shown(&mut client, "datestyle"), "German, DMY");
    assert_eq!(shown(&mut client, "timezone"), "Asia/Tokyo");
    assert_eq!(shown(&mut client, "client_encoding"), "LATIN1");
    assert_eq!(shown(&mut client, "application_name"), "entry");
    let mut client = Raw::log_in(pooler.port, "app", "greeted");
    assert_eq!(client.simple("select x from greeting").value(), "11");
}

#[test]
fn the_entry_for_all_other_names_makes_databases_and_forgets_them() {
    let port = postgres().port;
    let pooler = PoolerSetup::new(postgres())
        .database_at("*", &format!("host=127.0.0.1 port={port}"))
        .set("autodb_idle_timeout", 1)
        .set("server_idle_timeout", 1)
        .start();
    let is_there = || pooler.ask("show databases").records().iter().any(|row| row["name"] == "other");
    assert!(!is_there());
    let mut client = Raw::log_in(pooler.port, "app", "other");
    assert_eq!(client.simple("select current_database()").value(), "other");
    pooler.wait_for_log("registered new auto-database: other");
    assert!(is_there());
    drop(client);
    wait_until("it is forgotten", || !is_there());
    let mut nosuch = Raw::tcp(pooler.port);
    nosuch.startup(&[("user", "app"), ("database", "no_such_database")]);
    assert_eq!(nosuch.last_words(), "FATAL 3D000: database \"no_such_database\" does not exist");
}

#[test]
fn a_user_named_only_in_its_section_is_nobody() {
    let pooler =
        PoolerSetup::new(postgres()).set("auth_type", "md5").user_settings("ghost", "pool_size=5").start();
    let mut client = Raw::tcp(pooler.port);
    client.startup(&[("user", "ghost"), ("database", "app")]);
    assert_eq!(client.read().expect("it is asked as anybody").tag, b'R');
    client.send(&raw::frame(b'p', b"md5d41d8cd98f00b204e9800998ecf8427e\0"));
    assert_eq!(client.last_words(), "FATAL 08P01: password authentication failed");
}
