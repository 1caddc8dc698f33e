//! Caps: servers per pool, database and user; clients per process, database and user; the reserve.

use crate::common::raw::{self, Raw};
use crate::common::{Pooler, PoolerSetup, free_port, page, postgres, wait_until};

/// Opens `count` clients that all want a server for a while, and counts how many servers
/// PostgreSQL sees at most.
fn servers_at_most(pooler: &Pooler, database: &str, logins: &[(&str, &str)], until: usize) -> usize {
    let mut clients: Vec<Raw> =
        logins.iter().map(|(user, database)| Raw::log_in(pooler.port, user, database)).collect();
    for client in &mut clients {
        client.send(&raw::query("select pg_sleep(0.2)"));
    }
    let mut most = 0;
    wait_until("the servers come up", || {
        most = most.max(postgres().sessions(database));
        most >= until
    });
    for client in &mut clients {
        assert_eq!(client.outcome().status, Some(b'I'));
        most = most.max(postgres().sessions(database));
    }
    most
}

#[test]
fn pool_size_is_never_exceeded() {
    postgres().psql("postgres", "create database caps1");
    let pooler = PoolerSetup::new(postgres()).database("caps1", "pool_size=3").start();
    assert_eq!(servers_at_most(&pooler, "caps1", &[("app", "caps1"); 12], 3), 3);
}

#[test]
fn max_db_connections_holds_over_all_pools_of_a_database() {
    postgres().psql("postgres", "create database caps2");
    let pooler = PoolerSetup::new(postgres()).database("caps2", "pool_size=5 max_db_connections=4").start();
    let logins =
        [("app", "caps2"), ("other", "caps2"), ("app", "caps2"), ("other", "caps2"), ("app", "caps2")];
    assert_eq!(servers_at_most(&pooler, "caps2", &logins.repeat(3), 4), 4);
}

#[test]
fn max_user_connections_holds_over_all_databases() {
    postgres().psql("postgres", "create database caps3");
    let text = format!("host=127.0.0.1 port={} dbname=caps3 pool_size=5", postgres().port);
    let pooler = PoolerSetup::new(postgres())
        .database_at("one", &text)
        .database_at("two", &text)
        .user_settings("app", "max_user_connections=3")
        .start();
    assert_eq!(servers_at_most(&pooler, "caps3", &[("app", "one"), ("app", "two")].repeat(6), 3), 3);
}

#[test]
fn max_server_connections_holds_over_all_databases_users_and_names_of_a_server() {
    for name in ["caps7", "caps8"] {
        postgres().psql("postgres", &format!("create database {name}"));
    }
    let port = postgres().port;
    let pooler = PoolerSetup::new(postgres())
        .database_at("one", &format!("host=127.0.0.1 port={port} dbname=caps7 pool_size=5"))
        .database_at("two", &format!("host=LOCALHOST port={port} dbname=caps7 pool_size=5"))
        .database_at("list", &format!("host=localhost,127.0.0.1 port={port} dbname=caps7 pool_size=5"))
        .database_at("three", &format!("host=127.0.0.1 port={port} dbname=caps8 pool_size=5"))
        .instance("main", &format!("host=127.0.0.1,localhost port={port} max_server_connections=4"))
        .set("max_server_connections", 1)
        .set("workers", 2)
        .start();
    let shown = || {
        let rows = pooler.ask("show instances").records();
        let own = rows.into_iter().find(|row| row["name"] == "main").expect("a row of the entry");
        (own["max_server_connections"].clone(), own["current_connections"].parse::<u32>().expect("a count"))
    };
    let logins = [
        ("app", "one"),
        ("other", "two"),
        ("app", "two"),
        ("other", "one"),
        ("app", "list"),
        ("app", "three"),
    ];
    assert_eq!(servers_at_most(&pooler, "caps7", &logins.repeat(4), 4), 4);
    assert_eq!(shown().0, "4");
    assert!((1..=4).contains(&shown().1), "{:?}", shown());
    pooler.wait_for_log("closing because: evicted for max_server_connections (age=");
    let mut console = pooler.console();
    assert!(console.simple("set max_server_connections = 2").errors.is_empty());
    assert_eq!(shown().0, "4", "the entry's own counts");
}

/// Which limit an idle server makes room for: what there is to raise.
#[test]
fn who_is_evicted_is_told_for_which_limit() {
    postgres().psql("postgres", "create database caps6");
    let text = format!("host=127.0.0.1 port={} dbname=caps6", postgres().port);
    let pooler = PoolerSetup::new(postgres())
        .database_at("one", &format!("{text} max_db_connections=1"))
        .database_at("two", &text)
        .database_at("three", &text)
        .user_settings("postgres", "max_user_connections=1")
        .start();
    let served = |user, database| {
        assert_eq!(Raw::log_in(pooler.port, user, database).simple("select 1").value(), "1");
    };
    for user in ["app", "other"] {
        served(user, "one");
    }
    pooler.wait_for_log("closing because: evicted for max_db_connections (age=");
    for database in ["two", "three"] {
        served("postgres", database);
    }
    pooler.wait_for_log("closing because: evicted for max_user_connections (age=");
}

#[test]
fn the_reserve_comes_after_its_time_and_not_beyond_its_size() {
    postgres().psql("postgres", "create database caps4");
    let pooler = PoolerSetup::new(postgres())
        .database("caps4", "pool_size=1 reserve_pool=1")
        .set("reserve_pool_timeout", "0.3")
        .start();
    let mut clients: Vec<Raw> = (0..4).map(|_| Raw::log_in(pooler.port, "app", "caps4")).collect();
    for client in &mut clients {
        client.send(&raw::query("select pg_sleep(1)"));
    }
    pooler.wait_for_log("taking connection from reserve_pool");
    wait_until("the reserve is up", || postgres().sessions("caps4") == 2);
    for client in &mut clients {
        assert_eq!(client.outcome().status, Some(b'I'));
        assert!(postgres().sessions("caps4") <= 2);
    }
}

#[test]
fn min_pool_size_is_filled_ahead() {
    postgres().psql("postgres", "create database caps5");
    let pooler =
        PoolerSetup::new(postgres()).database("caps5", "user=app min_pool_size=3 pool_size=5").start();
    wait_until("three servers are ready", || postgres().sessions("caps5") == 3);
    drop(pooler);
    wait_until("and gone with the pooler", || postgres().sessions("caps5") == 0);
}

fn refused(port: u16, user: &str, database: &str) -> String {
    let mut raw = Raw::tcp(port);
    raw.startup(&[("user", user), ("database", database)]);
    raw.last_words()
}

#[test]
fn max_client_conn_refuses_but_not_the_console() {
    let metrics = free_port();
    let pooler = PoolerSetup::new(postgres())
        .set("max_client_conn", 2)
        .set("metrics_listen", format!("127.0.0.1:{metrics}"))
        .start();
    let mut held = [pooler.client(), pooler.client()];
    assert_eq!(
        refused(pooler.port, "app", "app"),
        "FATAL 08P01: no more connections allowed (max_client_conn)"
    );
    page::wait_for(metrics);
    let counted =
        |limit: &str| page::value(metrics, &format!("pgweir_clients_refused_total{{limit=\"{limit}\"}}"));
    assert_eq!(counted("max_client_conn"), Some(1.0));
    assert_eq!(counted("max_db_client_connections"), Some(0.0));
    assert_eq!(pooler.ask("show version").rows.len(), 1);
    assert_eq!(held[0].simple("select 1").value(), "1");
    drop(held);
    wait_until("the places are free again", || {
        let mut raw = Raw::tcp(pooler.port);
        raw.startup(&[("user", "app"), ("database", "app")]);
        raw.outcome().status == Some(b'I')
    });
}

#[test]
fn clients_per_database_and_per_user_are_limited() {
    let pooler = PoolerSetup::new(postgres())
        .database("narrow", "dbname=app max_db_client_connections=1")
        .user_settings("other", "max_user_client_connections=1")
        .start();
    let _held = [Raw::log_in(pooler.port, "app", "narrow"), Raw::log_in(pooler.port, "other", "app")];
    assert_eq!(
        refused(pooler.port, "app", "narrow"),
        "FATAL 08P01: client connections exceeded (max_db_client_connections)"
    );
    assert_eq!(
        refused(pooler.port, "other", "app"),
        "FATAL 08P01: client connections exceeded (max_user_client_connections)"
    );
}
