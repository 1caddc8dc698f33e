//! Every timeout that a client can run into, and the lifetimes of servers.
//! Source: PgBouncer, doc/config.md ("Connection sanity checks, timeouts", "Dangerous timeouts").

use crate::cancel::{fill_backlog, short_listener};
use crate::common::raw::{self, Raw};
use crate::common::{PoolerSetup, postgres, wait_until};

fn setup() -> PoolerSetup {
    PoolerSetup::new(postgres()).database("app", "pool_size=1")
}

#[test]
fn query_timeout_ends_client_and_server() {
    let pooler = setup().set("query_timeout", 1).start();
    let mut client = pooler.client();
    client.send(&raw::query("select pg_sleep(30)"));
    assert_eq!(client.last_words(), "FATAL 08P01: query timeout");
    pooler.wait_for_log("closing because: query timeout");
    assert_eq!(pooler.client().simple("select 1").value(), "1");
}

#[test]
fn query_timeout_ends_nobody_whose_queries_are_answered() {
    let pooler =
        PoolerSetup::new(postgres()).database("other", "pool_mode=session").set("query_timeout", 1).start();
    let (mut open, mut failed) = (pooler.client(), pooler.client());
    let mut session = Raw::log_in(pooler.port, "other", "other");
    assert_eq!(open.simple("begin").status, Some(b'T'));
    failed.simple("begin");
    assert_eq!(failed.simple("select 1/0").status, Some(b'E'));
    assert_eq!(session.simple("select 1").value(), "1");
    // Each that is ended has begun behind all that was answered before it.
    for _ in 0..2 {
        let mut busy = pooler.client();
        busy.send(&raw::query("select pg_sleep(30)"));
        assert_eq!(busy.last_words(), "FATAL 08P01: query timeout");
    }
    assert_eq!(open.simple("commit").commands, ["COMMIT"]);
    assert_eq!(failed.simple("commit").commands, ["ROLLBACK"]);
    assert_eq!(session.simple("select 2").value(), "2");
}

#[test]
fn query_timeout_ends_the_wait_too() {
    let pooler = setup().set("query_timeout", 1).start();
    let (mut holder, mut waiter) = (pooler.client(), pooler.client());
    holder.simple("begin");
    waiter.send(&raw::query("select 1"));
    assert_eq!(waiter.last_words(), "FATAL 08P01: query_timeout");
    assert_eq!(holder.simple("commit").status, Some(b'I'));
}

#[test]
fn pool_idle_timeout_forgets_the_pool() {
    let pooler = setup().set("server_idle_timeout", 1).set("pool_idle_timeout", 1).start();
    let has_pool = || pooler.ask("show pools").records().iter().any(|row| row["database"] == "app");
    assert_eq!(pooler.client().simple("select 1").value(), "1");
    assert!(has_pool());
    pooler.wait_for_log("cleaning up idle pool: app/app");
    assert!(!has_pool());
    assert_eq!(pooler.client().simple("select 1").value(), "1");
}

#[test]
fn query_wait_timeout_ends_the_wait() {
    let pooler = setup().set("query_wait_timeout", 1).start();
    let (mut holder, mut waiter) = (pooler.client(), pooler.client());
    holder.simple("begin");
    waiter.send(&raw::query("select 1"));
    assert_eq!(waiter.last_words(), "FATAL 08P01: query_wait_timeout");
    assert_eq!(holder.simple("commit").status, Some(b'I'));
}

#[test]
fn query_wait_notify_tells_once() {
    let pooler = setup().set("query_wait_notify", 1).start();
    let (mut holder, mut waiter) = (pooler.client(), pooler.client());
    holder.simple("begin");
    waiter.send(&raw::query("select 1"));
    let notice = waiter.read().expect("a notice");
    assert_eq!(
        notice.message(),
        "NOTICE 00000: No server connection available in postgres backend, client being queued"
    );
    holder.simple("commit");
    assert_eq!(waiter.outcome().tags, "TDCZ");
}

#[test]
fn an_idle_transaction_is_ended() {
    let pooler = setup().set("idle_transaction_timeout", 1).start();
    let mut client = pooler.client();
    client.simple("begin");
    assert_eq!(client.last_words(), "FATAL 08P01: idle transaction timeout");
    assert_eq!(pooler.client().simple("select 1").value(), "1");
}

#[test]
fn a_long_transaction_is_ended_even_while_it_works() {
    let pooler = setup().set("transaction_timeout", 1).start();
    let mut client = pooler.client();
    client.simple("begin");
    client.send(&raw::query("select pg_sleep(30)"));
    assert_eq!(client.last_words(), "FATAL 08P01: transaction timeout");
    assert_eq!(pooler.client().simple("select 1").value(), "1");
}

#[test]
fn an_idle_client_is_ended_and_only_an_idle_one() {
    let pooler = setup().set("client_idle_timeout", 2).start();
    let (mut busy, mut idle) = (pooler.client(), pooler.client());
    busy.simple("begin");
    assert_eq!(idle.last_words(), "FATAL 08P01: client_idle_timeout");
    assert_eq!(busy.simple("commit").status, Some(b'I'));
}

#[test]
fn a_users_own_timeout_counts_for_that_user_only() {
    let pooler = PoolerSetup::new(postgres()).user_settings("other", "query_timeout=1").start();
    let mut other = Raw::log_in(pooler.port, "other", "app");
    let mut app = pooler.client();
    app.send(&raw::query("select pg_sleep(2.5)"));
    other.send(&raw::query("select pg_sleep(30)"));
    assert_eq!(other.last_words(), "FATAL 08P01: query timeout");
    assert_eq!(app.outcome().status, Some(b'I'));
}

#[test]
fn client_login_timeout_ends_a_silent_client() {
    // By default the kernel itself holds a silent connection back, for 45 seconds.
    let pooler = setup().set("client_login_timeout", 1).set("tcp_defer_accept", 0).start();
    let mut silent = Raw::tcp(pooler.port);
    let words = silent.last_words();
    assert!(words.is_empty() || words == "FATAL 08P01: client_login_timeout", "{words}");
    let mut begun = Raw::tcp(pooler.port);
    begun.send(&[0, 0, 0]);
    assert!(begun.last_words().ends_with("client_login_timeout"));
    pooler.wait_for_log("closing because: client_login_timeout");
    assert_eq!(pooler.log().matches("closing because").count(), 1, "whoever says nothing is a probe");
}

#[test]
fn servers_end_with_their_lifetime_and_idle_time() {
    for (key, reason) in
        [("server_lifetime", "server lifetime over"), ("server_idle_timeout", "server idle timeout")]
    {
        let pooler = setup().set(key, 1).start();
        assert_eq!(pooler.client().simple("select 1").value(), "1");
        pooler.wait_for_log(&format!("closing because: {reason}"));
        assert_eq!(pooler.client().simple("select 1").value(), "1");
    }
}

#[test]
fn a_server_that_does_not_answer_a_connect_is_told_apart_from_one_that_does_not_answer_a_login() {
    let listener = short_listener();
    let port = listener.local_addr().expect("is bound").port();
    let text = format!("host=127.0.0.1 port={port}");
    let pooler =
        PoolerSetup::new(postgres()).database_at("app", &text).set("server_connect_timeout", 1).start();
    let mut client = Raw::tcp(pooler.port);
    client.startup(&[("user", "app"), ("database", "app")]);
    pooler.wait_for_log(" closing because: connect timeout (age=");
    let _full = fill_backlog(port);
    assert_eq!(pooler.ask("kill app").commands, ["KILL"]);
    assert_eq!(pooler.ask("resume app").commands, ["RESUME"]);
    let mut client = Raw::tcp(pooler.port);
    client.startup(&[("user", "app"), ("database", "app")]);
    pooler.wait_for_log(" closing because: connect failed (age=");
}

#[test]
fn a_server_that_cannot_be_reached_is_told_and_tried_again() {
    let port = crate::common::free_port();
    let pooler = PoolerSetup::new(postgres())
        .database_at("nowhere", &format!("host=127.0.0.1 port={port} dbname=app"))
        .set("query_wait_timeout", 2)
        .set("server_login_retry", "0.5")
        .start();
    let mut client = Raw::tcp(pooler.port);
    client.startup(&[("user", "app"), ("database", "nowhere")]);
    let words = client.last_words();
    assert!(words.starts_with("FATAL 08P01: "), "{words}");
    wait_until("the failure is logged", || pooler.log().contains("closing because: connect failed"));
    assert_eq!(pooler.client().simple("select 1").value(), "1", "another database is not disturbed");
}

#[test]
fn a_database_that_is_not_there_is_told_in_the_servers_words() {
    let pooler = PoolerSetup::new(postgres()).database("ghost", "").start();
    let mut client = Raw::tcp(pooler.port);
    client.startup(&[("user", "app"), ("database", "ghost")]);
    assert_eq!(client.last_words(), "FATAL 3D000: database \"ghost\" does not exist");
}

#[test]
fn a_replication_client_whose_login_takes_too_long_keeps_no_other_out() {
    let pooler =
        setup().user("replica", "").set("server_connect_timeout", 1).set("server_login_retry", 60).start();
    let begin = |options| {
        let mut client = Raw::tcp(pooler.port);
        let login = [("user", "replica"), ("database", "app"), ("replication", "database")];
        client.startup(&[&login[..], &[("options", options)]].concat());
        client
    };
    let _stuck = begin("-c post_auth_delay=5");
    pooler.wait_for_log("new connection to server");
    let mut other = begin("-c work_mem=77kB");
    assert_eq!(other.outcome().status, Some(b'I'), "it is tried before the pause");
    assert_eq!(other.simple("show work_mem").value(), "77kB");
    assert!(pooler.log().contains("closing because: connect timeout"));
}
