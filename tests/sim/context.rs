//! `request_context_keys` with one worker: what is passed on as ever, and what `SET pgweir.context` does.

use super::cases::{Bench, SERVER, bind, complete, empties, error, execute, frame, query, ready, rules};
use pgweir::base::Peer;
use pgweir::config::{PoolMode, PoolRules};
use pgweir::core::{Bounds, Command};
use pgweir::wire::encode;
use pgweir::wire::request_context::ContextKeys;
use pgweir::wire::tags::client as ask;
use std::sync::Arc;

const CLIENT: Peer = super::cases::CLIENT;
const SET: &str = "set pgweir.context = 'route=a'";
const NOTHING: &str = "Q[SET pgweir.context TO ''~]";

fn bench(mode: PoolMode, max_prepared_statements: u32) -> Bench {
    let mut bench = Bench::new(mode, max_prepared_statements);
    let id = bench.share.id;
    let context_keys = ContextKeys::read("route").expect("a key");
    let rules = Arc::new(PoolRules { mode, max_prepared_statements, context_keys, ..rules() });
    bench.share.set_rules(Arc::clone(&rules));
    bench.command(Command::Rules(id, rules));
    bench
}

fn parse(name: &[u8], sql: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encode::parse(&mut out, name, &[sql.as_bytes(), &[0, 0, 0]].concat());
    out
}

#[test]
fn statements_with_comments_are_passed_on_as_they_are() {
    let mut bench = bench(PoolMode::Transaction, 0);
    bench.says(CLIENT, &query("select 1 /*route='a'*/"));
    assert_eq!(bench.sent(SERVER), "Q[select 1 /*route='a'*/~]");
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(bench.sent(CLIENT), "C[SELECT 1~] Z[I]");
}

#[test]
fn a_set_without_a_server_costs_none() {
    let mut bench = bench(PoolMode::Transaction, 0);
    for (sql, answer) in [(SET, "C[SET~] Z[I]"), ("reset pgweir.context", "C[RESET~] Z[I]")] {
        bench.says(CLIENT, &query(sql));
        assert_eq!((bench.sent(CLIENT), bench.sent(SERVER)), (answer.to_owned(), String::new()));
    }
    bench.says(CLIENT, &[query(SET), query("select 1")].concat());
    assert_eq!((&*bench.sent(CLIENT), &*bench.sent(SERVER)), ("C[SET~] Z[I]", "Q[select 1~]"));
}

#[test]
fn a_set_in_two_parts_is_one_too() {
    let set = query(SET);
    for cut in 0..=set.len() {
        let mut bench = bench(PoolMode::Transaction, 0);
        bench.says(CLIENT, &set[..cut]);
        bench.says(CLIENT, &set[cut..]);
        assert_eq!((&*bench.sent(CLIENT), &*bench.sent(SERVER)), ("C[SET~] Z[I]", ""), "cut at {cut}");
    }
}

#[test]
fn a_set_in_a_transaction_is_answered_in_its_turn_and_a_failed_one_by_the_server() {
    let mut bench = bench(PoolMode::Transaction, 0);
    bench.says(CLIENT, &query("begin"));
    bench.says(SERVER, &[complete("BEGIN"), ready(b'T')].concat());
    bench.sent(CLIENT);
    bench.sent(SERVER);
    bench.says(CLIENT, &query(SET));
    assert_eq!((&*bench.sent(CLIENT), &*bench.sent(SERVER)), ("C[SET~] Z[T]", ""));
    bench.says(CLIENT, &[query("select 1/0"), query(SET)].concat());
    assert_eq!(bench.sent(SERVER), "Q[select 1/0~]", "what comes before is answered first");
    bench.says(SERVER, &[error(), ready(b'E')].concat());
    bench.says(CLIENT, &[]);
    assert_eq!(bench.sent(SERVER), NOTHING, "PostgreSQL refuses it");
    bench.says(SERVER, &[error(), ready(b'E')].concat());
    bench.says(CLIENT, &query("rollback"));
    assert!(bench.sent(CLIENT).ends_with("Z[E]"));
}

/// What a batch is answered, and the server told, up to its Sync.
fn batch(bench: &mut Bench, frames: &[Vec<u8>], answers: &[Vec<u8>]) -> (String, String) {
    bench.says(CLIENT, &[&frames.concat()[..], &empties(&[ask::SYNC])].concat());
    let told = bench.sent(SERVER);
    bench.says(SERVER, &[&answers.concat()[..], &ready(b'I')].concat());
    (told, bench.sent(CLIENT))
}

#[test]
fn a_prepared_set_is_the_servers_to_answer_whenever_it_is_executed() {
    for (max_prepared_statements, known_as) in [(0, "s1"), (10, "PGBOUNCER_1")] {
        let mut bench = bench(PoolMode::Transaction, max_prepared_statements);
        let (told, answer) = batch(&mut bench, &[parse(b"s1", SET)], &[empties(b"1")]);
        assert!(!told.contains("route"), "{told}");
        assert_eq!(answer, "1[] Z[I]");
        for _ in 0..2 {
            let frames = [bind("s1"), frame(ask::DESCRIBE, b"P\0"), execute()];
            let answers = [empties(b"2n"), complete("SET")];
            let (told, answer) = batch(&mut bench, &frames, &answers);
            assert!(told.contains(known_as), "{told}");
            assert_eq!(answer, "2[] n[] C[SET~] Z[I]");
        }
    }
}

#[test]
fn a_set_waits_for_the_transactions_ahead_of_it_and_for_no_others() {
    let mut bench = bench(PoolMode::Transaction, 0);
    bench.says(CLIENT, &[query("select 1"), query(SET), query("select 2")].concat());
    assert_eq!(bench.sent(SERVER), "Q[select 1~]");
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
    bench.says(CLIENT, &[]);
    assert_eq!(bench.sent(CLIENT), "C[SELECT 1~] Z[I] C[SET~] Z[I]");
    assert_eq!(bench.sent(SERVER), "Q[select 2~]");
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
    bench.sent(CLIENT);
    let one = |sql: &str| [parse(b"", sql), bind(""), execute()].concat();
    bench.says(CLIENT, &[one("select 1"), one(SET), one("select 2"), empties(&[ask::SYNC])].concat());
    assert!(bench.sent(SERVER).contains("select 2"), "a batch goes in one go");
}

#[test]
fn what_is_joined_with_a_set_reaches_the_server_without_it() {
    let mut bench = bench(PoolMode::Transaction, 0);
    bench.says(CLIENT, &query("set pgweir.context = 'route=a'; select 1"));
    assert_eq!(bench.sent(SERVER), "Q[SET pgweir.context TO ''; select 1~]");
    bench.says(SERVER, &[complete("SET"), complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(bench.sent(CLIENT), "C[SET~] C[SELECT 1~] Z[I]");
    bench.says(CLIENT, &query("set pgweir.context = 'route=' || 'a'"));
    assert_eq!(bench.sent(SERVER), "Q[SET pgweir.context TO~]", "an error of the server's");
}

#[test]
fn a_long_text_with_a_set_in_front_reaches_nobody() {
    for cut in [1_000, 20_000, 39_000] {
        let mut bench = bench(PoolMode::Transaction, 0);
        let long = query(&format!("set pgweir.context = 'route=a,{}'", "x".repeat(40_000)));
        bench.says(CLIENT, &long[..cut]);
        if bench.acts().is_empty() {
            bench.says(CLIENT, &long[cut..]);
        }
        assert_eq!(bench.sent(SERVER), "");
        assert!(bench.sent(CLIENT).contains("MSET pgweir.context in"));
    }
    let mut bench = bench(PoolMode::Transaction, 0);
    let long = query(&format!("set pgweir.context = 'route=a,{}'", "x".repeat(20_000)));
    bench.says(CLIENT, &long);
    assert_eq!((&*bench.sent(CLIENT), &*bench.sent(SERVER)), ("C[SET~] Z[I]", ""));
}

#[test]
fn sets_that_are_prepared_or_sent_ahead_are_bounded() {
    let mut bench = bench(PoolMode::Session, 0);
    bench.core.set_bounds(Bounds { client_statement_bytes: 2_000, ..Bounds::default() });
    let mut count = 0;
    while bench.acts().is_empty() {
        count += 1;
        assert!(count < 100, "it is refused in the end");
        bench.says(CLIENT, &parse(format!("s{count}").as_bytes(), SET));
        bench.says(SERVER, &empties(b"1"));
    }
    assert!(bench.sent(CLIENT).contains("Mprepared statements of one"));
}

#[test]
fn who_sends_sets_ahead_without_end_is_not_read_on() {
    let mut bench = bench(PoolMode::Transaction, 0);
    let one = [parse(b"", SET), bind(""), execute()].concat();
    let left = bench.says(CLIENT, &one.repeat(100));
    assert!(left > 60 * one.len(), "{left} bytes wait");
    assert!(bench.acts().contains(&format!("pause {CLIENT:?}")));
}

#[test]
fn no_server_hears_of_a_context_by_the_extended_protocol() {
    for max_prepared_statements in [0, 10] {
        for name in [&b""[..], b"s1"] {
            let mut bench = bench(PoolMode::Transaction, max_prepared_statements);
            bench.says(CLIENT, &[parse(name, SET), empties(&[ask::SYNC])].concat());
            let sent = bench.sent(SERVER);
            assert!(sent.contains("SET pgweir.context TO ''") && !sent.contains("route"), "{sent}");
            bench.says(SERVER, &[empties(b"1"), ready(b'I')].concat());
            assert_eq!(bench.sent(CLIENT), "1[] Z[I]");
        }
    }
}

#[test]
fn without_keys_a_set_is_the_servers() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    bench.says(CLIENT, &query(SET));
    assert_eq!(bench.sent(SERVER), format!("Q[{SET}~]"));
}
