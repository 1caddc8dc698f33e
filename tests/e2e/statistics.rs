//! What SHOW STATS counts: which messages make a transaction, a query, an assignment of a server; which bytes
//! count; where a statement is prepared. Source: PgBouncer, doc/usage.md (SHOW STATS).

use crate::common::raw::{self, Raw};
use crate::common::{Pooler, PoolerSetup, postgres, wait_until};
use std::collections::BTreeMap;

/// The totals of database `app`, as numbers.
#[track_caller]
fn totals(pooler: &Pooler) -> BTreeMap<String, u64> {
    let rows = pooler.ask("show stats_totals").records();
    let row = rows.into_iter().find(|row| row["database"] == "app").expect("the database is listed");
    row.into_iter().filter_map(|(name, value)| Some((name, value.parse().ok()?))).collect()
}

/// What `work` adds to these columns.
#[track_caller]
fn adds<const N: usize>(pooler: &Pooler, columns: [&str; N], work: impl FnOnce()) -> [u64; N] {
    let before = totals(pooler);
    work();
    let after = totals(pooler);
    columns.map(|column| after[column] - before[column])
}

const COUNTS: [&str; 3] = ["xact_count", "query_count", "server_assignment_count"];

#[test]
fn transactions_queries_and_assignments_are_counted_by_what_they_are() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut client = pooler.client();
    client.simple("select 1");
    let alone = adds(&pooler, COUNTS, || {
        client.simple("select 1");
    });
    assert_eq!(alone, [1, 1, 1], "a query alone is a transaction");
    let block = adds(&pooler, COUNTS, || {
        for sql in ["begin", "select 1", "select 2", "commit"] {
            client.simple(sql);
        }
    });
    assert_eq!(block, [1, 4, 1], "one server serves a whole block");
    let batch = adds(&pooler, COUNTS, || {
        client.ask(&[raw::parse("", "select 1"), raw::bind("", &[]), raw::execute(), raw::sync()]);
    });
    assert_eq!(batch, [1, 1, 1], "a batch up to its Sync is one query");
    let pipeline = adds(&pooler, COUNTS, || {
        let one = [raw::parse("", "select 1"), raw::bind("", &[]), raw::execute(), raw::sync()].concat();
        client.send(&[one.clone(), one].concat());
        assert_eq!(client.outcome().status, Some(b'I'));
        assert_eq!(client.outcome().status, Some(b'I'));
    });
    assert_eq!(pipeline, [1, 1, 1], "what is sent ahead of the answer counts once");
}

#[test]
fn in_session_pooling_a_server_is_assigned_once_a_session() {
    let pooler = PoolerSetup::new(postgres()).set("pool_mode", "session").start();
    pooler.client().simple("select 1");
    let counted = adds(&pooler, COUNTS, || {
        let mut client = pooler.client();
        for _ in 0..3 {
            client.simple("select 1");
        }
    });
    assert_eq!(counted, [3, 3, 1]);
}

#[test]
fn bytes_are_those_of_clients_messages_and_of_servers_answers() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut client = pooler.client();
    client.simple("select 1");
    let text = "x".repeat(1000);
    let sql = format!("select '{text}'");
    let mut answer = 0;
    let columns = ["bytes_received", "bytes_sent"];
    let counted = adds(&pooler, columns, || {
        client.send(&raw::query(&sql));
        while let Some(frame) = client.read() {
            answer += 5 + frame.body.len() as u64;
            if frame.tag == b'Z' {
                break;
            }
        }
    });
    assert_eq!(counted, [raw::query(&sql).len() as u64, answer]);
    let login = adds(&pooler, columns, || drop(pooler.client()));
    assert_eq!(login, [0, 0], "a login is no traffic");
}

#[test]
fn statements_are_counted_where_they_are_prepared() {
    let pooler = PoolerSetup::new(postgres())
        .set("max_prepared_statements", 10)
        .database("app", "pool_size=1")
        .start();
    let columns = ["client_parse_count", "server_parse_count", "bind_count"];
    let (mut one, mut two) = (pooler.client(), pooler.client());
    one.simple("select 1");
    let prepare = |client: &mut Raw| {
        client.ask(&[raw::parse("s", "select 7"), raw::bind("s", &[]), raw::execute(), raw::sync()]);
    };
    assert_eq!(adds(&pooler, columns, || prepare(&mut one)), [1, 1, 1]);
    assert_eq!(adds(&pooler, columns, || prepare(&mut two)), [1, 0, 1], "the server has that text");
    let again = adds(&pooler, columns, || {
        one.ask(&[raw::bind("s", &[]), raw::execute(), raw::sync()]);
    });
    assert_eq!(again, [0, 0, 1]);
}

#[test]
fn times_are_microseconds_and_the_wait_is_part_of_a_query() {
    let pooler = PoolerSetup::new(postgres()).database("app", "pool_size=1").start();
    let (mut holder, mut waiter) = (pooler.client(), pooler.client());
    holder.simple("begin");
    let columns = ["wait_time", "query_time", "xact_time"];
    let [waited, queried, transaction] = adds(&pooler, columns, || {
        waiter.send(&raw::query("select 1"));
        wait_until("it waits", || {
            pooler.ask("show pools").records().iter().any(|row| row["cl_waiting"] == "1")
        });
        holder.simple("select pg_sleep(0.3)");
        holder.simple("commit");
        assert_eq!(waiter.outcome().value(), "1");
    });
    assert!((300_000..30_000_000).contains(&waited), "it waited for {waited} us");
    // the query that slept, and the one that waited meanwhile
    assert!(queried >= 300_000 + waited, "{queried} us in queries, {waited} us of them waiting");
    assert!(transaction >= 300_000 + waited, "{transaction} us in transactions");
}

#[test]
fn logins_are_counted_and_the_totals_of_a_database_outlive_its_pools() {
    let pooler = PoolerSetup::new(postgres()).start();
    pooler.client().simple("select 1");
    let logins = adds(&pooler, ["client_login_count"], || drop([pooler.client(), pooler.client()]));
    assert_eq!(logins, [2]);
    let over_a_kill = adds(&pooler, ["query_count", "client_login_count"], || {
        assert_eq!(pooler.ask("kill app").commands, ["KILL"]);
        assert_eq!(pooler.ask("resume app").commands, ["RESUME"]);
        pooler.client().simple("select 1");
    });
    assert_eq!(over_a_kill, [1, 1]);
}
