//! Protocol-level prepared statements over servers that do not know them: names, LRU, errors, DEALLOCATE ALL.
//! Source: PgBouncer, doc/config.md (`max_prepared_statements`).

use crate::common::raw::{self, Raw};
use crate::common::{Pooler, PoolerSetup, postgres, wait_until};

fn pooler(statements_max: u32) -> Pooler {
    with_session_state("follow", statements_max)
}

fn with_session_state(state: &str, statements_max: u32) -> Pooler {
    PoolerSetup::new(postgres())
        .database("app", "pool_size=2")
        .set("max_prepared_statements", statements_max)
        .set("session_state", state)
        .start()
}

fn prepare(client: &mut Raw, name: &str, sql: &str) {
    let outcome = client.ask(&[raw::parse(name, sql), raw::sync()]);
    assert_eq!(outcome.tags, "1Z", "{outcome:?}");
}

#[track_caller]
fn run(client: &mut Raw, name: &str, parameters: &[&str]) -> String {
    client.ask(&[raw::bind(name, parameters), raw::execute(), raw::sync()]).value()
}

/// Occupies one server of the pool with a transaction, so that the next client gets another one.
fn occupy(pooler: &Pooler) -> Raw {
    let mut holder = pooler.client();
    assert_eq!(holder.simple("begin").status, Some(b'T'));
    holder
}

#[test]
fn the_same_name_means_each_clients_own_statement() {
    let pooler = pooler(200);
    let mut clients: Vec<Raw> = (0..6).map(|_| pooler.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        prepare(client, "mine", &format!("select {number} + $1::int"));
    }
    for round in 0..5 {
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(run(client, "mine", &[&round.to_string()]), (number + round).to_string());
        }
    }
}

#[test]
fn a_statement_runs_on_a_server_that_never_saw_its_parse() {
    let pooler = pooler(200);
    let mut client = pooler.client();
    prepare(&mut client, "s", "select pg_backend_pid()");
    let first = run(&mut client, "s", &[]);
    let mut holder = occupy(&pooler);
    let held = holder.simple("select pg_backend_pid()").value();
    let second = run(&mut client, "s", &[]);
    assert_ne!(second, held);
    assert!(held == first || second == first, "two servers in all");
    let described = client.ask(&[raw::describe("s"), raw::sync()]);
    assert_eq!(described.tags, "tTZ");
    assert_eq!(described.columns, ["pg_backend_pid"]);
}

#[test]
fn more_statements_than_the_limit_are_evicted_and_come_back() {
    let pooler = pooler(3);
    let mut client = pooler.client();
    for number in 0..10 {
        prepare(&mut client, &format!("s{number}"), &format!("select {number}"));
    }
    for _ in 0..3 {
        for number in [0, 9, 5, 1, 0] {
            assert_eq!(run(&mut client, &format!("s{number}"), &[]), number.to_string());
        }
    }
    let kept: u32 =
        client.simple("select count(*) from pg_prepared_statements").value().parse().expect("a count");
    assert!(kept <= 3, "{kept} statements on the server");
}

#[test]
fn close_forgets_the_name_and_it_can_be_used_again() {
    let pooler = pooler(200);
    let mut client = pooler.client();
    prepare(&mut client, "s", "select 1");
    assert_eq!(client.ask(&[raw::close("s"), raw::sync()]).tags, "3Z");
    assert_eq!(client.ask(&[raw::close("never seen"), raw::sync()]).tags, "3Z");
    prepare(&mut client, "s", "select 2");
    assert_eq!(run(&mut client, "s", &[]), "2");
}

/// Whether a name is refused as PostgreSQL refuses one that it does not know.
fn is_missing(client: &mut Raw, name: &str) -> bool {
    let outcome = client.ask(&[raw::bind(name, &[]), raw::execute(), raw::sync()]);
    let text = format!("prepared statement \"{name}\" does not exist");
    outcome.tags == "EZ"
        && outcome.errors.iter().any(|error| error.contains("26000") && error.contains(&text))
}

#[test]
fn a_name_twice_ends_the_connection_and_an_unknown_one_does_not() {
    let pooler = pooler(200);
    let mut twice = pooler.client();
    prepare(&mut twice, "s", "select 1");
    twice.send(&[raw::parse("s", "select 1"), raw::sync()].concat());
    assert_eq!(twice.last_words(), "FATAL 08P01: prepared statement name is already in use");
    let mut unknown = pooler.client();
    assert!(is_missing(&mut unknown, "s"));
    assert_eq!(unknown.simple("select 2").value(), "2", "and the session goes on");
    assert_eq!(pooler.client().simple("select 1").value(), "1");
}

/// As in PgBouncer, where nothing else is set.
#[test]
fn an_unknown_name_ends_the_connection_unless_session_state_is_follow() {
    let pooler = with_session_state("pgbouncer", 200);
    for forgetting in ["select 1", "deallocate all", "discard all"] {
        for last in [raw::bind("s", &[]), raw::describe("s")] {
            let mut client = pooler.client();
            if forgetting != "select 1" {
                prepare(&mut client, "s", "select 1");
            }
            assert!(client.simple(forgetting).errors.is_empty());
            client.send(&[last, raw::sync()].concat());
            assert_eq!(client.last_words(), "FATAL 08P01: prepared statement did not exist", "{forgetting}");
        }
    }
    assert_eq!(pooler.client().simple("select 1").value(), "1", "nobody else has noticed");
}

#[test]
fn names_may_be_as_long_as_clients_like_up_to_a_bound() {
    let pooler = pooler(200);
    for bytes in [63, 64, 9_999, 10_001, 16_384, 65_000] {
        let (name, mut client) = ("n".repeat(bytes), pooler.client());
        prepare(&mut client, &name, "select 1");
        assert_eq!(client.ask(&[raw::describe(&name), raw::sync()]).tags, "tTZ", "{bytes}");
        assert_eq!(run(&mut client, &name, &[]), "1");
        assert_eq!(client.ask(&[raw::close(&name), raw::sync()]).tags, "3Z");
        if bytes < 9_000 {
            assert!(is_missing(&mut client, &name));
            continue;
        }
        // A server would end itself over so long a message.
        client.send(&[raw::describe(&name), raw::sync()].concat());
        assert_eq!(client.last_words(), "FATAL 08P01: prepared statement did not exist", "{bytes}");
    }
}

#[test]
fn deallocate_all_and_discard_all_forget_everything() {
    let pooler = pooler(200);
    for command in ["deallocate all", "discard all"] {
        let mut client = pooler.client();
        prepare(&mut client, "s", "select 1");
        assert!(client.simple(command).errors.is_empty());
        assert!(is_missing(&mut client, "s"), "after {command}");
    }
    let mut client = pooler.client();
    prepare(&mut client, "s", "select 6");
    assert_eq!(run(&mut client, "s", &[]), "6", "the server's cache was forgotten with it");
}

#[test]
fn a_parse_that_fails_is_not_taken_for_known() {
    let pooler = pooler(200);
    let mut first = pooler.client();
    let failed = first.ask(&[
        raw::parse("a", "select * from not_there_yet"),
        raw::parse("b", "select 1"),
        raw::sync(),
    ]);
    assert_eq!(failed.tags, "EZ");
    first.simple("create table not_there_yet (n int)");
    let mut second = pooler.client();
    prepare(&mut second, "a", "select * from not_there_yet");
    prepare(&mut second, "b", "select 1");
    assert_eq!(run(&mut second, "b", &[]), "1");
    first.simple("drop table not_there_yet");
}

#[test]
fn parse_complete_comes_at_its_place_in_a_pipeline() {
    let pooler = pooler(200);
    let mut client = pooler.client();
    prepare(&mut client, "known", "select 1");
    let mut other = pooler.client();
    let outcome = other.ask(&[
        raw::parse("", "select 10"),
        raw::bind("", &[]),
        raw::execute(),
        raw::parse("alias", "select 1"),
        raw::bind("alias", &[]),
        raw::execute(),
        raw::close("alias"),
        raw::sync(),
    ]);
    assert_eq!(outcome.tags, "12DC12DC3Z", "{outcome:?}");
}

#[test]
fn parses_and_closes_without_a_sync_are_answered_in_their_order() {
    let pooler = pooler(200);
    let (mut warm, mut client) = (pooler.client(), pooler.client());
    prepare(&mut warm, "known", "select 1");
    prepare(&mut client, "old", "select 1");
    let batch = [
        raw::close("old"),
        raw::parse("new", "select 2"), // the server's answer
        raw::close("never there"),     // ours from here on
        raw::parse("known", "select 1"),
        raw::close("new"),
        raw::parse("last", "select 3"), // the server's again
        raw::close("known"),
        raw::frame(b'H', &[]),
    ];
    client.send(&batch.concat());
    let tags: Vec<u8> = (0..7).map(|_| client.read().expect("an answer").tag).collect();
    assert_eq!(tags.escape_ascii().to_string(), "3131313");
    assert_eq!(client.ask(&[raw::sync()]).tags, "Z");
    assert_eq!(run(&mut client, "last", &[]), "3");
    assert!(is_missing(&mut client, "known"));
}

/// Prepares statements of 10 kB and more until that is refused; how many there were.
fn prepare_without_end(client: &mut Raw) -> usize {
    for number in 0.. {
        let text = format!("select {number} /*{}*/", "x".repeat(10_000));
        client.send(&[raw::parse(&format!("s{number}"), &text), raw::sync()].concat());
        let answer = client.read().expect("an answer");
        if answer.tag == b'E' {
            assert_eq!(answer.field(b'C').as_deref(), Some("53200"), "{answer:?}");
            return number;
        }
        assert_eq!((answer.tag, client.outcome().tags.as_str()), (b'1', "Z"));
    }
    unreachable!("the memory has no bound")
}

#[test]
fn statements_take_no_more_memory_than_is_allowed() {
    let pooler = PoolerSetup::new(postgres())
        .database("app", "pool_size=2")
        .database("small", "dbname=app pool_size=2 prepared_statements_memory=200kB")
        .set("prepared_statements_memory", "1 MB")
        .start();
    let bytes = |of: &str| {
        let rows = pooler.console().simple("SHOW MEM").records();
        let row = rows.into_iter().find(|row| row["name"] == format!("prepared_statements{of}"));
        row.map_or(0, |row| row["memtotal"].parse::<usize>().expect("a number"))
    };
    let mut client = Raw::log_in(pooler.port, "app", "small");
    let count = prepare_without_end(&mut client);
    assert!((15..20).contains(&count), "{count} of 10 kB within 200 kB");
    let mut client = pooler.client();
    let mut kept = pooler.client();
    prepare(&mut kept, "mine", "select 5");
    let count = prepare_without_end(&mut client);
    assert!((65..80).contains(&count), "{count} of 10 kB within three quarters of 1 MB");
    assert_eq!(run(&mut kept, "mine", &[]), "5", "only the one that wants more is ended");
    wait_until("its names are gone", || bytes(" of app") < 2_000);
    assert!(bytes("") < 300_000, "a quarter is kept for those who come again: {}", bytes(""));
    let mut next = pooler.client();
    let count = prepare_without_end(&mut next);
    assert!((65..80).contains(&count), "{count}: what was kept makes room");
}

/// Clients of `database` that stay, with three statements of 10 kB each, until one more is refused.
fn fill(pooler: &Pooler, database: &str) -> Vec<Raw> {
    let mut staying = Vec::new();
    for number in 0..100 {
        let mut client = Raw::log_in(pooler.port, "app", database);
        for which in 0..3 {
            let text = format!("select {number}, {which} /*{}*/", "x".repeat(10_000));
            client.send(&[raw::parse(&format!("s{which}"), &text), raw::sync()].concat());
            let answer = client.read().expect("an answer");
            if answer.tag == b'E' {
                assert_eq!(answer.field(b'C').as_deref(), Some("53200"), "{answer:?}");
                return staying;
            }
            assert_eq!((answer.tag, client.outcome().tags.as_str()), (b'1', "Z"));
        }
        staying.push(client);
    }
    unreachable!("the memory has no bound")
}

#[test]
fn a_tenant_that_fills_the_memory_of_statements_leaves_another_its_share() {
    let pooler = PoolerSetup::new(postgres())
        .database("greedy", "dbname=app pool_size=2")
        .database("modest", "dbname=app pool_size=2")
        .set("prepared_statements_memory", "1 MB")
        .start();
    let mut staying = fill(&pooler, "greedy");
    let mut modest = Raw::log_in(pooler.port, "app", "modest");
    for number in 0..6 {
        let name = format!("s{number}");
        prepare(&mut modest, &name, &format!("select {number} + 1 /*{}*/", "z".repeat(10_000)));
        assert_eq!(run(&mut modest, &name, &[]), (number + 1).to_string());
    }
    staying.extend(fill(&pooler, "greedy"));
    assert_eq!(run(&mut modest, "s5", &[]), "6");
    for client in &mut staying {
        assert_eq!(client.ask(&[raw::bind("s2", &[]), raw::execute(), raw::sync()]).tags, "2DCZ");
    }
}

#[test]
fn what_is_prepared_behind_discard_all_in_one_packet_is_kept() {
    let pooler = PoolerSetup::new(postgres()).database("app", "pool_size=1").start();
    let mut others: Vec<Raw> = (0..2).map(|_| pooler.client()).collect();
    others.iter_mut().for_each(|other| prepare(other, "theirs", "select 40 + 2"));
    let extended =
        [raw::parse("", "deallocate all"), raw::bind("", &[]), raw::execute(), raw::sync()].concat();
    for forget in [raw::query("DISCARD ALL"), raw::query("deallocate all"), extended] {
        let mut client = pooler.client();
        prepare(&mut client, "old", "select 1");
        let batch = [
            raw::parse("s", "select 40 + 2"),
            raw::describe("s"),
            raw::bind("s", &[]),
            raw::execute(),
            raw::sync(),
        ];
        client.send(&[forget, batch.concat()].concat());
        assert!(client.outcome().errors.is_empty());
        let outcome = client.outcome();
        assert_eq!((outcome.tags.as_str(), outcome.value()), ("1tT2DCZ", "42".to_owned()));
        for other in &mut others {
            assert_eq!(run(other, "theirs", &[]), "42");
        }
        assert_eq!(run(&mut client, "s", &[]), "42");
    }
}
