//! Statements of which nobody knows whether a server holds them, since batches were sent ahead of an error.

use super::cases::{Bench, CLIENT, SERVER, bind, complete, empties, error, execute, parse, query, ready};
use super::driver::frames_text;
use pgweir::config::PoolMode;
use pgweir::wire::tags::{client as ask, server as answer};

#[test]
fn statements_in_doubt_end_with_their_server() {
    let mut bench = Bench::new(PoolMode::Transaction, 1);
    let mut batches = parse("a", "select 1");
    batches.extend(bind("a"));
    batches.extend(execute());
    batches.extend(empties(&[ask::SYNC]));
    bench.says(CLIENT, &batches);
    let mut answers = empties(&[answer::PARSE_COMPLETE, answer::BIND_COMPLETE]);
    answers.extend(complete("SELECT 1"));
    answers.extend(ready(b'I'));
    bench.says(SERVER, &answers);
    bench.acts();
    // The first batch would evict `a` for `b`, but fails before; the second was sent as if it had.
    let mut batches = parse("", "select 1/0");
    batches.extend(parse("b", "select 2"));
    batches.extend(empties(&[ask::SYNC]));
    batches.extend(bind("a"));
    batches.extend(empties(&[ask::SYNC]));
    bench.says(CLIENT, &batches);
    let mut answers = error();
    answers.extend(ready(b'I'));
    answers.extend(error());
    answers.extend(ready(b'I'));
    bench.says(SERVER, &answers);
    assert_eq!(bench.acts(), ["close Server(ServerId(0)) Terminate"]);
}

#[test]
fn a_client_that_keeps_its_server_goes_on_although_nobody_knows_its_statements() {
    let mut bench = Bench::new(PoolMode::Transaction, 1);
    let mut batches = parse("a", "select 1");
    batches.extend(parse("b", "select 2")); // evicts `a`
    batches.extend(empties(&[ask::SYNC]));
    batches.extend(query("begin; savepoint s"));
    bench.says(CLIENT, &batches);
    let mut answers = empties(&[answer::PARSE_COMPLETE, answer::CLOSE_COMPLETE, answer::PARSE_COMPLETE]);
    answers.extend(ready(b'I'));
    answers.extend(complete("SAVEPOINT"));
    answers.extend(ready(b'T'));
    bench.says(SERVER, &answers);
    // The first batch fails, and so do the others in the transaction; of what is ours only a Close is done.
    let mut batches = parse("", "select 1/0");
    batches.extend(empties(&[ask::SYNC]));
    batches.extend(parse("", "select 3"));
    batches.extend(bind("a")); // would evict `b`
    batches.extend(empties(&[ask::SYNC]));
    batches.extend(bind("b")); // would evict `a`
    batches.extend(empties(&[ask::SYNC]));
    batches.extend(query("rollback to s"));
    bench.says(CLIENT, &batches);
    let mut answers = Vec::new();
    for before in [&[][..], &[], &[answer::CLOSE_COMPLETE]] {
        answers.extend(empties(before));
        answers.extend(error());
        answers.extend(ready(b'E'));
    }
    answers.extend(complete("ROLLBACK"));
    answers.extend(ready(b'T'));
    bench.says(SERVER, &answers);
    bench.sent(SERVER);
    for name in ["b", "a", "b"] {
        let mut batch = bind(name);
        batch.extend(empties(&[ask::SYNC]));
        bench.says(CLIENT, &batch);
        let sent = bench.sent(SERVER);
        let ours = if name == "a" { "PGBOUNCER_1" } else { "PGBOUNCER_2" };
        assert!(sent.starts_with(&format!("C[S{ours}~] P[{ours}~")), "whatever it holds: {sent}");
        bench.sent(CLIENT);
        let ours = empties(&[answer::CLOSE_COMPLETE, answer::PARSE_COMPLETE]);
        let owed = [empties(&[answer::BIND_COMPLETE]), ready(b'T')].concat();
        bench.says(SERVER, &[ours, owed.clone()].concat());
        assert_eq!(bench.sent(CLIENT), frames_text(&owed).trim_end(), "nothing of ours");
    }
    bench.says(CLIENT, &query("commit"));
    let mut answers = complete("COMMIT");
    answers.extend(ready(b'I'));
    bench.says(SERVER, &answers);
    assert_eq!(bench.acts(), ["close Server(ServerId(0)) Terminate"]);
}
