//! `request_context_keys` with one worker: what is passed on as ever, and what `SET pgweir.context` does.

use super::cases::{Bench, SERVER, complete, empties, query, ready, rules};
use pgweir::base::Peer;
use pgweir::config::{PoolMode, PoolRules};
use pgweir::core::Command;
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
    bench.says(CLIENT, &[query("select 1"), query(SET)].concat());
    assert_eq!(bench.sent(SERVER), format!("Q[select 1~] {NOTHING}"), "one answer at a time");
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'E'), complete("SET"), ready(b'E')].concat());
    assert_eq!(bench.sent(CLIENT), "C[SELECT 1~] Z[E] C[SET~] Z[E]");
    bench.says(CLIENT, &query(SET));
    assert_eq!((bench.sent(SERVER), bench.sent(CLIENT)), (NOTHING.to_owned(), String::new()));
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
