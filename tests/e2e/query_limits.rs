//! Limits on queries where an API gateway has them: by `timeout_action = cancel` PostgreSQL stops the query,
//! and the session goes on.

use crate::cancel::running;
use crate::common::raw::{self, Raw};
use crate::common::{Pooler, PoolerSetup, page, postgres, wait_until};

const CANCELED: &str = "ERROR 57014: canceling statement due to user request";

fn setup() -> PoolerSetup {
    PoolerSetup::new(postgres()).database("app", "pool_size=1").set("timeout_action", "cancel")
}

/// Queries of the pool that were cancelled for each of the two limits.
fn counted(pooler: &Pooler) -> (u64, u64) {
    let of = |limit: &str| {
        let name = format!("pgweir_queries_canceled_{limit}_total");
        let series = page::metrics(pooler.page_port()).into_iter();
        let counts = series.filter(|(series, _)| series.starts_with(&name) && series.contains("\"app\""));
        counts.map(|(_, count)| count).sum::<f64>() as u64
    };
    (of("query_timeout"), of("transaction_timeout"))
}

#[test]
fn a_query_that_takes_too_long_is_cancelled_and_its_session_goes_on() {
    for mode in ["transaction", "session"] {
        let pooler = setup().set("pool_mode", mode).set("query_timeout", 1).with_page().start();
        let mut client = pooler.client();
        let backend = client.simple("select pg_backend_pid()").value();
        for _ in 0..2 {
            let marker = format!("limited_{mode}");
            let sleep = client.simple(&format!("select pg_sleep(60) as {marker}"));
            assert_eq!((sleep.errors, sleep.status), (vec![CANCELED.to_owned()], Some(b'I')));
            wait_until("PostgreSQL has stopped it", || !running(&marker));
        }
        let sleep = raw::parse("", "select pg_sleep(60)");
        let batch = [sleep, raw::bind("", &[]), raw::execute(), raw::sync()];
        assert_eq!(client.ask(&batch).errors, [CANCELED]);
        assert_eq!(client.simple("select pg_backend_pid()").value(), backend, "no server was closed");
        pooler.wait_for_log("query is canceled: query_timeout");
        assert_eq!(counted(&pooler), (3, 0));
    }
}

#[test]
fn a_client_that_waits_for_a_server_too_long_is_answered_and_stays() {
    let pooler = setup().set("query_timeout", 1).start();
    let (mut holder, mut waiter) = (pooler.client(), pooler.client());
    holder.simple("begin");
    let outcome = waiter.simple("select 1");
    assert_eq!(outcome.errors, ["ERROR 57014: canceling statement due to query_timeout"]);
    assert_eq!(holder.simple("commit").status, Some(b'I'));
    assert_eq!(waiter.simple("select 2").value(), "2");
}

#[test]
fn a_transaction_that_is_over_in_a_statement_may_be_rolled_back_and_between_two_is_ended() {
    let pooler = setup().set("transaction_timeout", 1).with_page().start();
    let mut client = pooler.client();
    client.simple("begin");
    let outcome = client.simple("select pg_sleep(60)");
    assert_eq!((outcome.errors, outcome.status), (vec![CANCELED.to_owned()], Some(b'E')));
    assert_eq!(client.simple("rollback").status, Some(b'I'));
    client.simple("begin");
    assert_eq!(client.last_words(), "FATAL 08P01: transaction timeout");
    assert_eq!(counted(&pooler), (0, 1), "one was ended, not cancelled");
}

#[test]
fn a_role_of_a_shared_pool_has_a_limit_of_its_own() {
    let pooler = PoolerSetup::new(postgres())
        .database("app", "pool_size=2 user=app timeout_action=cancel")
        .user_settings("other", "client_query_timeout=1")
        .start();
    let mut other = Raw::log_in(pooler.port, "other", "app");
    let mut app = pooler.client();
    app.send(&raw::query("select pg_sleep(3)"));
    assert_eq!(other.simple("select pg_sleep(60)").errors, [CANCELED]);
    assert_eq!(other.simple("select current_user").value(), "app");
    assert_eq!(app.outcome().status, Some(b'I'));
}
