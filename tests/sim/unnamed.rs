//! Statement names that a client has not given, or not any more: they are for its server
//! to refuse, and end nobody.

use super::cases::{
    Bench, CLIENT, SERVER, bind, complete, empties, error, execute, frame, parse, query, ready,
};
use pgweir::base::Micros;
use pgweir::config::PoolMode;
use pgweir::core::Command;
use pgweir::wire::tags::{client as ask, server as answer};

fn sync() -> Vec<u8> {
    empties(&[ask::SYNC])
}

#[test]
fn a_name_that_was_never_given_is_refused_by_the_server() {
    for frame in [bind("x"), frame(ask::DESCRIBE, b"Sx\0")] {
        let mut bench = Bench::new(PoolMode::Transaction, 10);
        bench.says(CLIENT, &[frame, execute(), sync()].concat());
        let sent = bench.sent(SERVER);
        assert!(sent.contains('x') && sent.ends_with("S[]"), "{sent}");
        bench.says(SERVER, &[error(), ready(b'I')].concat());
        assert!(bench.sent(CLIENT).ends_with("Z[I]"));
        bench.says(CLIENT, &query("select 1"));
        assert_eq!(bench.sent(SERVER), "Q[select 1~]", "and the session goes on");
    }
}

#[test]
fn a_name_like_those_of_the_pooler_is_none_of_them() {
    let mut bench = Bench::new(PoolMode::Transaction, 10);
    bench.says(CLIENT, &[parse("mine", "select 1"), sync()].concat());
    assert!(bench.sent(SERVER).starts_with("P[PGBOUNCER_1~"));
    bench.says(SERVER, &[empties(&[answer::PARSE_COMPLETE]), ready(b'I')].concat());
    let other = bench.client();
    bench.says(other, &[bind("PGBOUNCER_1"), execute(), sync()].concat());
    assert!(bench.sent(SERVER).starts_with("B[~PGBOUNCER_1 ~"), "it is another client's");
}

#[test]
fn a_batch_that_was_cancelled_before_it_began_leaves_its_names_free() {
    let mut bench = Bench::new(PoolMode::Transaction, 10);
    bench.says(CLIENT, &query("begin"));
    let waiting = bench.client();
    let batch = [parse("x", "select 1"), bind("x"), execute(), sync()].concat();
    bench.says(waiting, &batch);
    bench.command(Command::Cancel(2, 0));
    bench.says(waiting, b"");
    assert!(bench.sent(waiting).ends_with("Z[I]"));
    bench.says(waiting, &[bind("x"), execute(), sync()].concat());
    bench.sent(SERVER);
    bench.says(SERVER, &[complete("BEGIN"), ready(b'T')].concat());
    bench.core.closed(CLIENT, Micros(3), &mut bench.net);
    let server = bench.server();
    bench.says(waiting, b"");
    assert!(bench.sent(server).starts_with("B[~x~"));
    assert_eq!(bench.sent(waiting), "");
    assert!(bench.acts().iter().all(|act| !act.starts_with(&format!("close {waiting:?}"))));
}

#[test]
fn what_a_failed_batch_skips_names_and_forgets_nothing() {
    let mut bench = Bench::new(PoolMode::Transaction, 10);
    bench.says(CLIENT, &[parse("kept", "select 1"), sync()].concat());
    bench.says(SERVER, &[empties(&[answer::PARSE_COMPLETE]), ready(b'I')].concat());
    bench.says(CLIENT, &parse("", "select 1/0"));
    bench.says(SERVER, &error());
    let skipped = [frame(ask::CLOSE, b"Skept\0"), parse("skipped", "select 2"), sync()];
    bench.says(CLIENT, &skipped.concat());
    bench.says(SERVER, &ready(b'I'));
    bench.sent(SERVER);
    bench.says(CLIENT, &[bind("kept"), bind("skipped")].concat());
    let sent = bench.sent(SERVER);
    assert!(sent.contains("B[~PGBOUNCER_1~") && sent.contains("B[~skipped~"), "{sent}");
}
