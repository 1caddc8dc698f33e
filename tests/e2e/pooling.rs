//! When a server is lent and when it comes back: the three pool modes, pipelines, COPY,
//! errors, session parameters.

use crate::common::raw::{self, Raw};
use crate::common::{PoolerSetup, postgres, wait_until};

fn one_server(mode: &str) -> PoolerSetup {
    PoolerSetup::new(postgres()).set("pool_mode", mode).database("app", "pool_size=1")
}

#[test]
fn two_clients_take_turns_on_one_server() {
    let pooler = one_server("transaction").start();
    let (mut first, mut second) = (pooler.client(), pooler.client());
    let pid = first.simple("select pg_backend_pid()").value();
    assert_eq!(second.simple("select pg_backend_pid()").value(), pid);
    assert_eq!(first.simple("select pg_backend_pid()").value(), pid);
}

#[test]
fn an_open_transaction_keeps_its_server() {
    let pooler = one_server("transaction").start();
    let (mut first, mut second) = (pooler.client(), pooler.client());
    assert_eq!(first.simple("begin").status, Some(b'T'));
    second.send(&raw::query("select 'second'"));
    let waiting = || pooler.ask("show pools").records().iter().any(|row| row["cl_waiting"] == "1");
    wait_until("the second client waits", waiting);
    assert_eq!(first.simple("select 1").status, Some(b'T'));
    assert_eq!(first.simple("select nonsense").status, Some(b'E'));
    assert_eq!(first.simple("rollback").status, Some(b'I'));
    assert_eq!(second.outcome().value(), "second");
}

#[test]
fn a_session_keeps_its_server_until_it_leaves() {
    let pooler = one_server("session").start();
    let (mut first, mut second) = (pooler.client(), pooler.client());
    let pid = first.simple("select pg_backend_pid()").value();
    first.simple("create temp table mine()");
    second.send(&raw::query(&format!("select to_regclass('mine') is null and pg_backend_pid() = {pid}")));
    let waiting = || pooler.ask("show pools").records().iter().any(|row| row["cl_waiting"] == "1");
    wait_until("the second client waits", waiting);
    first.send(&raw::frame(b'X', &[]));
    assert_eq!(second.outcome().value(), "t", "the same server, cleaned by server_reset_query");
}

#[test]
fn statement_mode_refuses_transaction_blocks() {
    let pooler = one_server("statement").start();
    let mut client = pooler.client();
    assert_eq!(client.simple("select 1").value(), "1");
    client.send(&raw::query("begin"));
    assert_eq!(client.last_words(), "FATAL 08P01: transaction blocks not allowed in statement pooling mode");
    let mut next = pooler.client();
    assert_eq!(next.simple("begin; select 7; commit").value(), "7", "a query that ends idle is fine");
    let batch = |sql: &str| [raw::parse("", sql), raw::bind("", &[]), raw::execute(), raw::sync()].concat();
    next.send(&["begin", "select 8", "commit"].map(batch).concat());
    let outcome = next.outcome();
    assert_eq!(outcome.status, None, "a block is refused, whatever is on its way behind it: {outcome:?}");
    assert_eq!(outcome.commands, ["BEGIN"]);
}

#[test]
fn a_pipeline_is_answered_in_order_and_then_gives_the_server_back() {
    let pooler = one_server("transaction").start();
    let mut client = pooler.client();
    let mut frames = Vec::new();
    for number in 0..100 {
        frames.extend([
            raw::parse("", "select $1::int"),
            raw::bind("", &[&number.to_string()]),
            raw::execute(),
        ]);
        frames.push(raw::sync());
    }
    client.send(&frames.concat());
    for number in 0..100 {
        let outcome = client.outcome();
        assert_eq!((outcome.value(), outcome.tags.as_str()), (number.to_string(), "12DCZ"));
    }
    assert_eq!(pooler.client().simple("select 1").value(), "1");
}

#[test]
fn an_error_in_a_pipeline_skips_to_its_sync_only() {
    let pooler = one_server("transaction").start();
    let mut client = pooler.client();
    let wrong = [raw::parse("", "select 1/0"), raw::bind("", &[]), raw::execute()].concat();
    let right = [raw::parse("", "select 5"), raw::bind("", &[]), raw::execute()].concat();
    client.send(&[wrong, right.clone(), raw::sync(), right, raw::sync()].concat());
    let failed = client.outcome();
    assert_eq!(failed.errors, ["ERROR 22012: division by zero"]);
    assert!(failed.rows.is_empty(), "what followed in the same batch was skipped: {failed:?}");
    assert_eq!(client.outcome().value(), "5");
    assert_eq!(pooler.client().simple("select 1").value(), "1");
}

#[test]
fn flush_without_sync_keeps_the_server() {
    let pooler = one_server("transaction").start();
    let (mut first, mut second) = (pooler.client(), pooler.client());
    let batch = [raw::parse("", "select 3"), raw::bind("", &[]), raw::execute(), raw::frame(b'H', &[])];
    first.send(&batch.concat());
    let tags: String = (0..4).map(|_| char::from(first.read().expect("an answer").tag)).collect();
    assert_eq!(tags, "12DC");
    second.send(&raw::query("select 4"));
    let waiting = || pooler.ask("show pools").records().iter().any(|row| row["cl_waiting"] == "1");
    wait_until("the second client waits for the Sync of the first", waiting);
    assert_eq!(first.ask(&[raw::sync()]).status, Some(b'I'));
    assert_eq!(second.outcome().value(), "4");
}

#[test]
fn copy_in_and_out_and_its_failures() {
    let pooler = one_server("transaction").start();
    let mut client = pooler.client();
    client.simple("create table copied (n int)");
    client.send(&raw::query("copy copied from stdin"));
    assert_eq!(client.read().map(|frame| frame.tag), Some(b'G'));
    let lines: Vec<u8> = (0..10_000).flat_map(|n| raw::frame(b'd', format!("{n}\n").as_bytes())).collect();
    client.send(&lines);
    let done = client.ask(&[raw::frame(b'c', &[])]);
    assert_eq!((done.commands, done.status), (vec!["COPY 10000".to_owned()], Some(b'I')));
    let out = client.simple("copy copied to stdout");
    assert_eq!(out.tags.matches('d').count(), 10_000);
    client.send(&raw::query("copy copied from stdin"));
    assert_eq!(client.read().map(|frame| frame.tag), Some(b'G'));
    let refused = client.ask(&[raw::frame(b'd', b"1\n"), raw::frame(b'f', b"changed my mind\0")]);
    assert!(refused.errors[0].contains("changed my mind"), "{refused:?}");
    assert_eq!(pooler.client().simple("select count(*) from copied").value(), "10000");
    client.simple("drop table copied");
}

#[test]
fn a_copy_done_that_comes_after_the_error_disturbs_nobody() {
    let pooler = one_server("transaction").start();
    let mut client = pooler.client();
    client.simple("create table late (n int)");
    client.send(&raw::query("copy late from stdin"));
    assert_eq!(client.read().map(|frame| frame.tag), Some(b'G'));
    let failed = client.ask(&[raw::frame(b'd', b"not a number\n"), raw::frame(b'd', b"1\n")]);
    assert!(failed.errors[0].contains("invalid input syntax"), "{failed:?}");
    client.send(&raw::frame(b'c', &[]));
    assert_eq!(client.simple("select 8").value(), "8");
    assert_eq!(pooler.client().simple("select 9").value(), "9");
    client.simple("drop table late");
}

#[test]
fn a_late_copy_done_neither_is_needed_nor_frees_the_server_twice() {
    let pooler = one_server("transaction").start();
    let mut clients: Vec<Raw> = (0..5).map(|_| pooler.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&raw::frame(b'c', &[]));
        client.send(&raw::frame(b'd', b"stray"));
        assert_eq!(client.simple(&format!("select {number}")).value(), number.to_string());
    }
}

#[test]
fn session_parameters_follow_the_client() {
    let pooler = one_server("transaction").start();
    let start =
        [("user", "app"), ("database", "app"), ("application_name", "first"), ("TimeZone", "Asia/Tokyo")];
    let mut first = Raw::log_in_with(pooler.port, &start);
    let mut second = pooler.client();
    assert_eq!(first.simple("show timezone").value(), "Asia/Tokyo");
    second.simple("set timezone = 'Europe/Paris'");
    second.simple("set application_name = 'second''s'");
    for _ in 0..3 {
        assert_eq!(first.simple("show timezone").value(), "Asia/Tokyo");
        assert_eq!(first.simple("show application_name").value(), "first");
        assert_eq!(second.simple("show timezone").value(), "Europe/Paris");
        assert_eq!(second.simple("show application_name").value(), "second's");
    }
    let told = |raw: &Raw, name: &str| {
        raw.parameters.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    };
    assert_eq!(told(&second, "TimeZone").as_deref(), Some("Europe/Paris"));
}

#[test]
fn what_one_client_forbids_itself_another_may_do() {
    let pooler = one_server("transaction").user("postgres", "").start();
    let mut first = Raw::log_in(pooler.port, "postgres", "app");
    let mut second = Raw::log_in(pooler.port, "postgres", "app");
    first.simple("set default_transaction_read_only = on");
    first.simple("set session authorization other");
    for _ in 0..2 {
        assert_eq!(second.simple("show transaction_read_only").value(), "off");
        assert_eq!(second.simple("select current_user").value(), "postgres");
        assert_eq!(first.simple("show transaction_read_only").value(), "on");
        assert_eq!(first.simple("select current_user").value(), "other");
    }
}

#[test]
fn a_changed_default_of_the_database_holds_for_clients_that_are_there() {
    postgres().psql("postgres", "create database changing");
    let pooler = one_server("transaction").database("changing", "pool_size=1").start();
    let mut follower = Raw::log_in(pooler.port, "app", "changing");
    let own = [("user", "app"), ("database", "changing"), ("default_transaction_read_only", "off")];
    let mut owner = Raw::log_in_with(pooler.port, &own);
    let mut setter = Raw::log_in(pooler.port, "app", "changing");
    setter.simple("set timezone = 'Asia/Tokyo'");
    let values = |client: &mut Raw| {
        let settings = ["default_transaction_read_only", "timezone"];
        settings.map(|name| client.simple(&format!("show {name}")).value())
    };
    let before = values(&mut follower);
    let changes = "alter database changing set default_transaction_read_only = on; \
                   alter database changing set timezone = 'America/Lima'";
    postgres().psql("postgres", changes);
    pooler.ask("reconnect changing");
    assert_eq!(values(&mut owner), ["off", "America/Lima"], "it has asked for one of them");
    assert_eq!(values(&mut setter), ["on", "Asia/Tokyo"], "it has set the other");
    assert_eq!(values(&mut follower), ["on", "America/Lima"], "before: {before:?}");
}

/// What is set for a client is read in its own encoding, not in that of the client before it: with SJIS the
/// last byte of `ß` and the backslash behind it are one letter.
#[test]
fn what_is_set_for_a_client_is_read_in_its_encoding() {
    let pooler = one_server("transaction").set("verbose", 1).start();
    let names = ["ß\\", "ß\\'; select 1", "é"];
    for encoding in ["SJIS", "LATIN1", "GBK"] {
        let mut foreign = Raw::log_in_with(
            pooler.port,
            &[("user", "app"), ("database", "app"), ("client_encoding", encoding)],
        );
        for name in names {
            let start = [("user", "app"), ("database", "app"), ("application_name", name)];
            let own = [&start[..], &[("client_encoding", "UTF8")]].concat();
            let mut client = Raw::log_in_with(pooler.port, &own);
            assert_eq!(foreign.simple("show client_encoding").value(), encoding);
            let shown = client.simple("show application_name").value();
            let expected: String =
                name.bytes().map(|byte| if byte.is_ascii() { char::from(byte) } else { '?' }).collect();
            assert_eq!(shown, expected, "PostgreSQL 15 shows `?` for each byte beyond ASCII");
            assert_eq!(client.simple("show client_encoding").value(), "UTF8");
        }
    }
}

#[test]
fn a_parameter_that_cannot_be_read_is_no_other_clients() {
    postgres().psql("postgres", "create role \"zo\u{eb}\"");
    let pooler = one_server("transaction").user("postgres", "").start();
    let mut first = Raw::log_in(pooler.port, "postgres", "app");
    let mut second = Raw::log_in(pooler.port, "postgres", "app");
    first.simple("set client_encoding = 'LATIN1'");
    first.simple(r#"set session authorization U&"zo\00EB""#);
    assert_eq!(second.simple("select session_user").value(), "postgres");
    pooler.wait_for_log("closing because: session parameters in doubt");
}

#[test]
fn a_server_that_dies_takes_only_its_client_along() {
    let pooler = PoolerSetup::new(postgres()).database("app", "pool_size=2").start();
    let (mut victim, mut other) = (pooler.client(), pooler.client());
    victim.simple("begin");
    let pid = victim.simple("select pg_backend_pid()").value();
    other.simple("begin");
    assert_ne!(other.simple("select pg_backend_pid()").value(), pid);
    assert_eq!(postgres().psql("postgres", &format!("select pg_terminate_backend({pid})")), "t");
    let words = victim.last_words();
    assert!(words.contains("server conn crashed?") || words.contains("57P01"), "{words}");
    assert_eq!(other.simple("select 1").status, Some(b'T'));
    assert_eq!(other.simple("commit").status, Some(b'I'));
    assert_eq!(pooler.client().simple("select 1").value(), "1");
}

#[test]
fn a_client_that_ends_its_own_backend_hears_so_from_the_server() {
    for mode in ["session", "transaction"] {
        let pooler = one_server(mode).start();
        for _ in 0..5 {
            let outcome = pooler.client().simple("select pg_terminate_backend(pg_backend_pid())");
            let first = outcome.errors.first().map(String::as_str);
            let expected = "FATAL 57P01: terminating connection due to administrator command";
            assert_eq!((first, outcome.status), (Some(expected), None), "{mode}");
        }
        assert_eq!(pooler.client().simple("select 1").value(), "1");
    }
}

#[test]
fn a_client_that_leaves_in_a_transaction_leaves_no_trace() {
    let pooler = one_server("transaction").start();
    let mut leaver = pooler.client();
    leaver.simple("create table trace (n int)");
    leaver.simple("begin");
    leaver.simple("insert into trace values (1)");
    drop(leaver);
    let mut next = pooler.client();
    assert_eq!(next.simple("select count(*) from trace").value(), "0");
    assert_eq!(next.simple("begin").status, Some(b'T'), "no transaction was inherited");
    next.simple("rollback");
    next.simple("drop table trace");
}

#[test]
fn large_rows_stream_through_without_being_held() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut client = pooler.client();
    assert_eq!(client.simple("select 1").value(), "1");
    let before_kib = pooler.resident_kib();
    const BYTES: usize = 100 << 20;
    let row = client.simple(&format!("select repeat('x', {BYTES})"));
    assert_eq!(row.value().len(), BYTES);
    let large = "y".repeat(BYTES);
    let length = client.ask(&[
        raw::parse("", "select length($1::text)"),
        raw::bind("", &[&large]),
        raw::execute(),
        raw::sync(),
    ]);
    assert_eq!(length.value(), BYTES.to_string());
    let grown_kib = pooler.resident_kib().saturating_sub(before_kib);
    assert!(grown_kib < 16 << 10, "100 MiB each way cost {grown_kib} KiB");
}

#[test]
fn notices_and_notifications_reach_the_client() {
    let pooler = PoolerSetup::new(postgres()).start();
    let mut client = pooler.client();
    let outcome = client.simple("do $$ begin raise notice 'mind the gap'; end $$");
    assert!(outcome.notices[0].ends_with("mind the gap"), "{outcome:?}");
    let own = client.simple("begin; listen news; notify news, 'hello'; commit");
    assert!(own.tags.contains('A'), "a notification during the link is passed on: {own:?}");
    client.simple("unlisten news");
}

#[test]
fn an_empty_parameter_is_brought_back() {
    let pooler = one_server("transaction").start();
    let (mut named, mut nameless) = (pooler.client(), pooler.client());
    named.simple("set application_name = 'mine'");
    assert_eq!(nameless.simple("show application_name").value(), "");
    assert_eq!(named.simple("show application_name").value(), "mine");
}

#[test]
fn a_parameter_spelt_another_way_is_set_once() {
    let pooler = one_server("transaction").set("verbose", 1).start();
    let parameters = [("user", "app"), ("database", "app"), ("DateStyle", "ISO")];
    let mut client = Raw::log_in_with(pooler.port, &parameters);
    for _ in 0..2 {
        assert_eq!(client.simple("show datestyle").value(), "ISO, MDY");
    }
    for line in [
        "varcache_apply: SET DateStyle='ISO';",
        "varcache_set_canonical: setting DateStyle to its canonical version ISO -> ISO, MDY",
    ] {
        pooler.wait_for_log(line); // lines are written in order, but a little late
        let log = pooler.log();
        assert_eq!(log.matches(line).count(), 1, "{line}\n{log}");
    }
}

#[test]
fn fast_close_does_not_wait_for_a_silent_session() {
    let pooler = one_server("session").set("server_fast_close", 1).start();
    let mut client = pooler.client();
    let mut busy = Raw::log_in(pooler.port, "other", "app");
    assert_eq!(client.simple("select 1").value(), "1");
    assert_eq!(busy.simple("begin").status, Some(b'T'));
    assert_eq!(pooler.ask("reconnect").commands, ["RECONNECT"]);
    assert_eq!(client.last_words(), "FATAL 08P01: database configuration changed");
    pooler.wait_for_log("closing because: database configuration changed");
    assert_eq!(busy.simple("select 1").status, Some(b'T'), "a transaction is waited for");
}
