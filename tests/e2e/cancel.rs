//! Cancel requests: the right query ends, and never the next client's.

use crate::common::raw::{self, Raw};
use crate::common::{Pooler, PoolerSetup, Postgres, postgres, wait_until};
use std::io::copy;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

fn cancel(pooler: &Pooler, key: &[u8]) {
    let mut messenger = Raw::tcp(pooler.port);
    messenger.send(&raw::cancel_request(key));
    assert_eq!(messenger.read(), None, "closed without an answer");
}

/// Whether PostgreSQL is at a query with `marker` in it.
pub fn running(marker: &str) -> bool {
    running_at(postgres(), marker)
}

/// As [`running`], of another PostgreSQL.
pub fn running_at(postgres: &Postgres, marker: &str) -> bool {
    let sql = format!(
        "select count(*) from pg_stat_activity where state = 'active' and query like '%{marker}%' \
         and pid <> pg_backend_pid()"
    );
    postgres.psql("postgres", &sql) == "1"
}

#[test]
fn a_running_query_is_cancelled_and_the_connection_lives_on() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut client = pooler.client();
    let key = client.key.clone();
    client.send(&raw::query("select pg_sleep(60) as cancel_me"));
    wait_until("the query runs", || running("as cancel_me"));
    cancel(&pooler, &key);
    let outcome = client.outcome();
    assert_eq!(outcome.errors, ["ERROR 57014: canceling statement due to user request"]);
    assert_eq!(client.simple("select 1").value(), "1");
}

/// The key of a session is good for each of its queries, as often as one is to be cancelled.
#[test]
fn a_second_cancel_request_works_as_the_first_did() {
    let pooler = PoolerSetup::new(postgres()).database("app", "pool_size=1").start();
    let mut client = pooler.client();
    let key = client.key.clone();
    for _ in 0..3 {
        client.send(&raw::query("select pg_sleep(60) as cancel_me_again"));
        wait_until("the query runs", || running("as cancel_me_again"));
        cancel(&pooler, &key);
        assert_eq!(client.outcome().errors, ["ERROR 57014: canceling statement due to user request"]);
    }
    assert_eq!(client.simple("select 1").value(), "1");
}

#[test]
fn a_waiting_client_is_cancelled_without_a_server() {
    let pooler = PoolerSetup::new(postgres()).database("app", "pool_size=1").start();
    let (mut holder, mut waiter) = (pooler.client(), pooler.client());
    holder.simple("begin");
    let key = waiter.key.clone();
    waiter.send(&raw::query("select 'never'"));
    wait_until("it waits", || pooler.ask("show pools").records().iter().any(|row| row["cl_waiting"] == "1"));
    cancel(&pooler, &key);
    let outcome = waiter.outcome();
    assert!(outcome.rows.is_empty(), "{outcome:?}");
    assert_eq!(holder.simple("commit").status, Some(b'I'), "whoever holds the server is left alone");
}

#[test]
fn wrong_keys_and_idle_clients_hurt_nobody() {
    let pooler = PoolerSetup::new(postgres()).database("app", "pool_size=1").start();
    let (mut idle, mut busy) = (pooler.client(), pooler.client());
    idle.simple("select 1");
    busy.send(&raw::query("select pg_sleep(1), 'untouched'"));
    for number in 0..20 {
        cancel(&pooler, &idle.key);
        cancel(&pooler, &[number; 8]);
    }
    assert!(busy.outcome().errors.is_empty());
    assert_eq!(idle.simple("select 1").value(), "1");
}

#[test]
fn a_cancel_that_comes_too_late_does_not_hit_the_next_client() {
    let pooler = PoolerSetup::new(postgres()).database("app", "pool_size=1").start();
    let (mut first, mut second) = (pooler.client(), pooler.client());
    for _ in 0..50 {
        first.send(&raw::query("select pg_sleep(0.002)"));
        let key = first.key.clone();
        let port = pooler.port;
        let messenger = std::thread::spawn(move || {
            let mut messenger = Raw::tcp(port);
            messenger.send(&raw::cancel_request(&key));
            messenger.read()
        });
        let outcome = first.outcome();
        assert!(outcome.errors.iter().all(|error| error.contains("57014")), "{outcome:?}");
        let next = second.simple("select pg_sleep(0.002), 'mine'");
        assert!(next.errors.is_empty(), "another client's cancel came through: {next:?}");
        assert_eq!(messenger.join().expect("the messenger came through"), None);
    }
}

/// A way to PostgreSQL that lets the first connection through and keeps all further ones waiting, until the
/// sender that comes with its port is dropped.
fn narrow_way() -> (u16, mpsc::Sender<()>) {
    way_through(TcpListener::bind("127.0.0.1:0").expect("a port is free"))
}

fn way_through(listener: TcpListener) -> (u16, mpsc::Sender<()>) {
    let port = listener.local_addr().expect("is bound").port();
    let (open, opened) = mpsc::channel();
    std::thread::spawn(move || {
        let mut connections = listener.incoming().flatten();
        connections.by_ref().take(1).for_each(pass);
        // what is accepted later waits in the listener's backlog
        let _ = opened.recv();
        connections.for_each(pass);
    });
    (port, open)
}

/// A listener whose backlog holds two.
pub fn short_listener() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    rustix::net::listen(&listener, 1).expect("it listens already");
    listener
}

/// Fills the backlog of a listener that accepts nobody: whoever connects from now on hears nothing.
pub fn fill_backlog(port: u16) -> Vec<TcpStream> {
    let address = ([127, 0, 0, 1], port).into();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(300));
    std::iter::repeat_with(connect).map_while(Result::ok).collect()
}

fn pass(near: TcpStream) {
    let far = TcpStream::connect(("127.0.0.1", postgres().port)).expect("PostgreSQL listens");
    let pairs = [(near.try_clone(), far.try_clone()), (Ok(far), Ok(near))];
    for (from, to) in pairs {
        let (mut from, mut to) = (from.expect("a descriptor is free"), to.expect("a descriptor is free"));
        std::thread::spawn(move || {
            let _ = copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
    }
}

#[test]
fn cancels_under_way_and_those_that_wait_for_a_place_are_shown() {
    let (port, open) = narrow_way();
    let text = format!("host=127.0.0.1 port={port} pool_size=1");
    let pooler = PoolerSetup::new(postgres()).database_at("app", &text).start();
    let mut client = pooler.client();
    client.send(&raw::query("select pg_sleep(60) as cancel_me_thrice"));
    wait_until("the query runs", || running("as cancel_me_thrice"));
    let shown = |active: &str, waiting: &str| {
        let rows = pooler.ask("show pools").records();
        let row = rows.iter().find(|row| row["database"] == "app").expect("there is a pool");
        row["cl_active_cancel_req"] == active && row["cl_waiting_cancel_req"] == waiting
    };
    let messengers: Vec<_> = (0..3)
        .map(|_| {
            let mut messenger = Raw::tcp(pooler.port);
            messenger.send(&raw::cancel_request(&client.key));
            messenger
        })
        .collect();
    // twice the pool's size is the cap of its connections, and its server is one
    wait_until("one is under way, two wait", || shown("1", "2"));
    drop(open);
    for mut messenger in messengers {
        assert_eq!(messenger.read(), None, "closed without an answer");
    }
    assert_eq!(client.outcome().errors, ["ERROR 57014: canceling statement due to user request"]);
    wait_until("none is left", || shown("0", "0"));
}

#[test]
fn a_cancel_that_cannot_be_carried_in_time_is_given_up_as_its_setting_says() {
    let (port, _closed) = way_through(short_listener());
    let text = format!("host=127.0.0.1 port={port}");
    let pooler = PoolerSetup::new(postgres()).database_at("app", &text).set("cancel_wait_timeout", 1).start();
    let mut client = pooler.client();
    client.send(&raw::query("select pg_sleep(60) as nobody_ends_it"));
    wait_until("the query runs", || running("as nobody_ends_it"));
    let _full = fill_backlog(port);
    cancel(&pooler, &client.key);
    let log = pooler.log();
    assert!(log.contains("closing because: cancel_wait_timeout (age="), "{log}");
    assert!(log.contains("cancel request given up: cancel_wait_timeout"), "{log}");
}
