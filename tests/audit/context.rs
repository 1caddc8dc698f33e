//! Whose request a transaction was for, as drivers say it, and that it is what they were told.

use crate::common::raw::{self, Raw};
use crate::common::{Pooler, PoolerSetup, programs};
use crate::lines::{audited, file, hold_to_schema, wait_for};

fn pooler() -> PoolerSetup {
    audited().set("request_context_keys", "traceparent")
}

/// The contexts of the first transactions, where one follows another.
fn contexts(pooler: &Pooler, transactions: usize) -> Vec<String> {
    let lines = wait_for(pooler, "transaction", transactions);
    let of = |line: &String| {
        let context = line.split_once("\"traceparent\":\"").map_or("", |(_, rest)| rest);
        context.split('"').next().unwrap_or_default().to_owned()
    };
    lines.iter().map(of).collect()
}

fn batch(sqls: &[&str]) -> Vec<u8> {
    let one = |sql: &&str| [raw::parse("", sql), raw::bind("", &[]), raw::execute()].concat();
    [sqls.iter().flat_map(one).collect(), raw::sync()].concat()
}

#[test]
fn drivers_that_prepare_a_set_or_reset_their_session_are_recorded_as_they_say() {
    let pooler = pooler().set("auth_type", "scram-sha-256").start();
    let mut python = programs::limited(programs::in_repository(".venv/bin/python"));
    python.arg(programs::in_repository("tests/drivers/context_workload.py"));
    python.env("PGWEIR_PORT", pooler.port.to_string()).env("PYTHONDONTWRITEBYTECODE", "1");
    programs::run(&mut python);
    wait_for(&pooler, "logout", 2);
    let mut told = contexts(&pooler, 1);
    assert_eq!(told.last().map(String::as_str), Some(""), "the pool has taken its connection back");
    told.dedup();
    let requests = ["of a", "of b"].repeat(8);
    let at = told.iter().position(|context| context == "of a").expect("psycopg came first");
    assert_eq!(told[at..at + requests.len()], requests);
    assert!(told.contains(&"of the first".to_owned()), "{told:?}");
    hold_to_schema(&file(&pooler));
}

/// PostgreSQL reads letters, of which a backslash is half of one here: what looks like a `SET`, or a comment,
/// to who reads bytes is a literal.
#[test]
fn a_literal_whose_letter_ends_with_a_backslash_says_nothing_and_comes_as_it_is() {
    let pooler = pooler().set("audit_statements", "text").start();
    let parameters = [("user", "app"), ("database", "app"), ("client_encoding", "SJIS")];
    let mut client = Raw::log_in_with(pooler.port, &parameters);
    client.simple("select 1");
    for said in ["; set pgweir.context=$$traceparent=forged$$; --", "/*traceparent='forged'*/ /*"] {
        let quoted = said.replace('\'', "''");
        let sql = [&b"select E'\x95\\', '"[..], quoted.as_bytes(), b"'\0"].concat();
        let columns = client.ask(&[raw::frame(b'Q', &sql)]).rows.remove(0);
        assert_eq!(columns[1].as_deref(), Some(said));
        let batch =
            [raw::frame(b'P', &[&b"\0"[..], &sql, b"\0\0"].concat()), raw::bind("", &[]), raw::execute()];
        let columns = client.ask(&[batch.concat(), raw::sync()]).rows.remove(0);
        assert_eq!(columns[1].as_deref(), Some(said));
    }
    client.simple("select 1");
    assert_eq!(contexts(&pooler, 6), [""; 6]);
    // One that is none is none there, too.
    let set = b"set pgweir.context = 'traceparent=told'; \
        select '\x95\\', current_setting('pgweir.context', true)\0";
    let columns = client.ask(&[raw::frame(b'Q', set)]).rows.remove(0);
    assert!(columns[1].as_deref().unwrap_or_default().is_empty(), "no server is told of it: {columns:?}");
    assert_eq!(contexts(&pooler, 7).last().map(String::as_str), Some("told"));
    let statements = wait_for(&pooler, "statement", 6).concat();
    assert!(!statements.contains("forged") && !statements.contains("told"), "{statements}");
    hold_to_schema(&file(&pooler));
}

#[test]
fn what_has_not_run_sets_nothing() {
    let pooler = pooler().start();
    let mut client = pooler.client();
    let set = "set pgweir.context = 'traceparent=never'";
    client.ask(&[batch(&["select 1/0", set])]);
    client.simple("select 1");
    client.ask(&[raw::parse("", set), raw::sync()]);
    client.ask(&[raw::parse("named", set), raw::sync()]);
    client.simple("select 1");
    client.simple("begin");
    client.simple("select 1/0");
    assert!(client.simple(set).errors[0].contains("25P02"));
    assert!(!client.ask(&[batch(&[set])]).errors.is_empty());
    client.simple("rollback");
    client.simple("select 1");
    client.simple("set pgweir.context = 'traceparent=' || 'never'");
    client.simple("select 1");
    let told = contexts(&pooler, 8);
    assert!(told.iter().all(String::is_empty), "{told:?}");
}

#[test]
fn what_is_sent_ahead_is_recorded_with_its_own_context() {
    let pooler = pooler().start();
    let mut client = pooler.client();
    let (one, two) = ("set pgweir.context = 'traceparent=one'", "set pgweir.context = 'traceparent=two'");
    client.send(&[batch(&["select 1"]), batch(&[one, "select 2"]), batch(&["select 3"])].concat());
    client.send(&[raw::query("select 4"), raw::query(two), raw::query("select 5")].concat());
    client.send(&[raw::query("reset all"), raw::query("select 6")].concat());
    for _ in 0..8 {
        client.outcome();
    }
    let mut told = contexts(&pooler, 4);
    told.dedup();
    assert_eq!(told, ["", "one", "two", ""]);
}

#[test]
fn all_that_resets_a_session_resets_its_context() {
    for pool_mode in ["transaction", "session"] {
        let pooler = pooler().set("pool_mode", pool_mode).start();
        let mut client = Raw::log_in_with(
            pooler.port,
            &[("user", "app"), ("database", "app"), ("pgweir.traceparent", "of the login")],
        );
        for reset in ["reset all", "discard all", "select 1; reset all", "reset pgweir.context"] {
            client.simple("set pgweir.context = 'traceparent=of the session'");
            client.simple("select 1");
            client.simple(reset);
            client.simple("select 1");
        }
        for reset in ["reset all", "discard all"] {
            client.simple("set pgweir.context = 'traceparent=of the session'");
            client.simple("select 1");
            assert!(client.ask(&[batch(&[reset])]).errors.is_empty());
            client.simple("select 1");
        }
        drop(client);
        wait_for(&pooler, "logout", 1);
        let mut told = contexts(&pooler, 1);
        told.dedup();
        assert_eq!(told, ["of the session", "of the login"].repeat(6), "{pool_mode}");
    }
}
