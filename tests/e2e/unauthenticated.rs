//! Clients that do not prove who they are: what they may hold, and that they keep nobody out.

use crate::common::raw::{self, Raw};
use crate::common::{Pooler, PoolerSetup, postgres, wait_until};

const PROTOCOL: u32 = 196_608;

/// A connection that stands at the prompt for a password.
fn at_the_prompt(pooler: &Pooler, database: &str) -> Raw {
    let mut raw = Raw::tcp(pooler.port);
    raw.startup(&[("user", "app"), ("database", database)]);
    raw
}

/// A client that proves who it is, in clear.
fn log_in(pooler: &Pooler) -> Raw {
    let mut raw = at_the_prompt(pooler, "app");
    raw.send(&raw::frame(b'p', b"app-secret\0"));
    assert_eq!(raw.outcome().status, Some(b'I'));
    raw
}

fn console(pooler: &Pooler) -> Raw {
    let mut raw = Raw::tcp(pooler.port);
    raw.startup(&[("user", "admin"), ("database", "pgbouncer")]);
    raw.send(&raw::frame(b'p', b"admin-secret\0"));
    assert_eq!(raw.outcome().status, Some(b'I'));
    raw
}

fn asking_for_passwords() -> PoolerSetup {
    PoolerSetup::new(postgres()).set("auth_type", "plain")
}

#[test]
fn they_take_no_places_of_clients() {
    let pooler = asking_for_passwords().set("max_client_conn", 3).start();
    let unauthenticated: Vec<Raw> = (0..10).map(|_| at_the_prompt(&pooler, "app")).collect();
    let mut clients: Vec<Raw> = (0..3).map(|_| log_in(&pooler)).collect();
    assert_eq!(clients[2].simple("select 'in'").value(), "in");
    let mut fourth = at_the_prompt(&pooler, "app");
    fourth.send(&raw::frame(b'p', b"app-secret\0"));
    assert_eq!(fourth.last_words(), "FATAL 08P01: no more connections allowed (max_client_conn)");
    drop(unauthenticated);
}

#[test]
fn at_their_limit_they_make_room_and_nobody_else_notices() {
    let pooler = asking_for_passwords().set("max_login_conn", 4).start();
    let mut first = log_in(&pooler);
    let unauthenticated: Vec<Raw> = (0..12).map(|_| at_the_prompt(&pooler, "app")).collect();
    assert_eq!(first.simple("select 'undisturbed'").value(), "undisturbed");
    assert_eq!(log_in(&pooler).simple("select 'in'").value(), "in");
    pooler.wait_for_log("closing because: too many logins at a time (max_login_conn)");
    drop(unauthenticated);
    let mut console = console(&pooler);
    wait_until("everybody is gone", || console.simple("show clients").rows.len() == 2);
}

#[test]
fn one_holds_little_however_much_it_announces() {
    const FLOOD: usize = 300;
    let pooler = asking_for_passwords().set("allow_core_dump", 1).start();
    drop(log_in(&pooler));
    let before_kib = pooler.resident_kib();
    let mut startup = raw::startup_message(PROTOCOL, &[("user", "app"), ("options", &"x".repeat(9_900))]);
    startup.pop();
    let password = raw::frame(b'p', &[b'x'; 10_000]);
    let unauthenticated: Vec<Raw> = (0..FLOOD)
        .map(|number| {
            if number % 2 == 0 {
                let mut raw = Raw::tcp(pooler.port);
                raw.send(&startup);
                return raw;
            }
            let mut raw = at_the_prompt(&pooler, "app");
            raw.send(&password[..password.len() - 1]);
            raw
        })
        .collect();
    wait_until("they are all there", || pooler.descriptors() >= FLOOD);
    drop(log_in(&pooler)); // what was sent before has been read
    let each_kib = pooler.resident_kib().saturating_sub(before_kib) / FLOOD as u64;
    assert!(each_kib <= 20, "{each_kib} KiB each");
    drop(unauthenticated);
}

#[test]
fn what_is_longer_than_it_may_be_is_refused_at_once() {
    let pooler = asking_for_passwords().start();
    let mut raw = Raw::tcp(pooler.port);
    raw.startup(&[("user", "app"), ("database", &"d".repeat(64))]);
    assert!(raw.last_words().starts_with("FATAL 08P01: no such database: ddd"));
    let mut raw = Raw::tcp(pooler.port);
    raw.send(&raw::startup_message(PROTOCOL, &[("user", &"x".repeat(10_000))])[..100]);
    assert!(raw.last_words().starts_with("FATAL 08P01: bad packet header: "));
    let mut raw = at_the_prompt(&pooler, "app");
    raw.send(&raw::frame(b'p', &[b'x'; 65_532])[..100]);
    assert!(raw.read().is_some_and(|frame| frame.tag == b'R'), "the prompt");
    assert_eq!(raw.last_words(), "FATAL 08P01: password authentication failed", "before it is there");
}

#[test]
fn databases_that_they_name_are_not_remembered() {
    const NAMES: usize = 200;
    let text = format!("host=127.0.0.1 port={} auth_user=postgres", postgres().port);
    let pooler = PoolerSetup::new(postgres())
        .database_at("*", &text)
        .set("auth_type", "plain")
        .set("server_login_retry", 1)
        .start();
    let mut unauthenticated: Vec<Raw> = Vec::new();
    for number in 0..NAMES {
        let mut raw = Raw::tcp(pooler.port);
        raw.startup(&[("user", "nobody-known"), ("database", &format!("none{number}"))]);
        unauthenticated.push(raw);
    }
    for login in &mut unauthenticated {
        let words = login.last_words();
        assert!(words.contains("does not exist"), "{words}");
    }
    let known = console(&pooler).simple("show databases").rows.len();
    assert!(known <= 32 + 64, "{known} databases are known");
    assert!(!pooler.log().contains("registered new auto-database: none"), "{}", pooler.log());
    let mut client = at_the_prompt(&pooler, "template1");
    client.send(&raw::frame(b'p', b"app-secret\0"));
    assert_eq!(client.outcome().status, Some(b'I'));
    pooler.wait_for_log("registered new auto-database: template1");
}

#[test]
fn who_leaves_before_a_server_has_come_leaves_nothing_behind() {
    let dead = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = dead.local_addr().expect("it is bound").port();
    let pooler = PoolerSetup::new(postgres())
        .database_at("dead", &format!("host=127.0.0.1 port={port}"))
        .set("max_client_conn", 3)
        .start();
    for _ in 0..8 {
        let mut raw = Raw::tcp(pooler.port);
        raw.startup(&[("user", "app"), ("database", "dead")]);
    }
    wait_until("a client finds room", || {
        let mut raw = Raw::tcp(pooler.port);
        raw.startup(&[("user", "app"), ("database", "app")]);
        raw.outcome().status == Some(b'I')
    });
}

#[test]
fn first_packets_that_are_none_and_probes_are_not_answered() {
    let pooler = PoolerSetup::new(postgres()).start();
    pooler.wait_for_log("process up");
    let before = pooler.log();
    for _ in 0..5 {
        drop(Raw::tcp(pooler.port));
    }
    for packet in [raw::frame(b'X', b""), raw::sync(), raw::query("select 1")] {
        let mut raw = Raw::tcp(pooler.port);
        raw.send(&packet);
        assert!(raw.read().is_none(), "{packet:?}");
    }
    let count = |text: &str| pooler.log().matches(text).count();
    wait_until("all three are logged", || count("closing because: bad packet (age=") == 3);
    let log = pooler.log();
    let new: Vec<_> = log[before.len()..].lines().collect();
    assert_eq!(new.len(), 3, "nothing is said of probes: {new:#?}");
}
