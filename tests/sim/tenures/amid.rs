//! Transactions that end in the middle of a message or batch of a session that is to end: nothing begins
//! behind them, nothing that stays is untold, and nothing else is taken for an end.

use super::*;

/// Whose transaction ends in the middle of what he has sent does not go on with another.
#[test]
fn a_transaction_that_begins_with_the_end_of_the_last_is_cut() {
    let (commit, begin) = (complete("COMMIT"), complete("BEGIN"));
    let sync = frame(ask::SYNC, b"");
    let batch = |ends: &[u8]| [&*parse("", "commit"), &bind(""), &execute(), ends].concat();
    let parsed = empties(&[answer::PARSE_COMPLETE, answer::BIND_COMPLETE]);
    for (sent, told_first, then, why) in [
        (query("commit and chain"), commit.clone(), ready(b'T'), "chained"),
        (query("commit; begin"), [&*commit, &begin].concat(), ready(b'T'), "in one message"),
        (batch(&sync), [&*parsed, &commit, &begin].concat(), ready(b'T'), "in one batch"),
        (
            batch(&frame(ask::FLUSH, b"")),
            [&*parsed, &commit].concat(),
            Vec::new(),
            "and waits behind a Flush",
        ),
        (query("prepare transaction 'a'; begin"), complete("PREPARE TRANSACTION"), ready(b'T'), "prepared"),
    ] {
        let (mut bench, client) = bench(PoolMode::Transaction);
        bench.says(client, &query("begin"));
        bench.says(SERVER, &[begin.clone(), ready(b'T')].concat());
        bench.expire();
        bench.sent(client);
        bench.says(client, &sent);
        bench.says(SERVER, &told_first);
        assert!(!bench.sent(client).contains("FATAL"), "{why}: the end of it is told");
        bench.says(SERVER, &then);
        bench.janitor();
        assert!(bench.sent(client).ends_with(&told(EXPIRED)), "{why}");
        assert!(bench.acts().iter().any(|act| act.starts_with(&format!("close {SERVER:?}"))), "{why}");
    }
}

/// A bench whose client is in a transaction.
pub(super) fn in_a_transaction() -> (Bench, Peer) {
    let (mut bench, client) = bench(PoolMode::Transaction);
    bench.says(client, &query("begin"));
    bench.says(SERVER, &[complete("BEGIN"), ready(b'T')].concat());
    (bench, client)
}

/// A bench whose client is in a transaction, and is to end with it.
pub(super) fn amid_a_transaction() -> (Bench, Peer) {
    let (mut bench, client) = in_a_transaction();
    bench.expire();
    bench.sent(client);
    bench.sent(SERVER);
    (bench, client)
}

pub(super) fn run(sql: &str) -> Vec<u8> {
    [&*parse("", sql), &bind(""), &execute()].concat()
}

/// What PostgreSQL answers to [`run`].
pub(super) fn ran(tag: &str) -> Vec<u8> {
    [&*empties(&[answer::PARSE_COMPLETE, answer::BIND_COMPLETE]), &complete(tag)].concat()
}

/// Nothing of a batch is sent behind an Execute before that is answered, with a Flush of ours where the
/// client asks for none; behind the end of its transaction nothing is sent at all.
#[test]
fn a_batch_without_an_end_carries_no_session_on() {
    for flush in [Vec::new(), frame(ask::FLUSH, b"")] {
        let (mut bench, client) = amid_a_transaction();
        bench.goes_on(
            client,
            &[run("insert"), flush.clone(), run("commit"), flush.clone(), run("begin")].concat(),
        );
        let sent = bench.sent(SERVER);
        assert!(sent.contains("insert") && !sent.contains("commit") && sent.ends_with("H[]"), "{sent}");
        bench.says(SERVER, &ran("INSERT 0 1"));
        bench.goes_on(client, b"");
        let sent = bench.sent(SERVER);
        assert!(sent.contains("commit") && !sent.contains("begin") && sent.ends_with("H[]"), "{sent}");
        bench.janitor();
        assert!(!bench.is_closed(client), "it waits for the answer");
        bench.says(SERVER, &ran("COMMIT"));
        bench.goes_on(client, b"");
        let told_last = bench.sent(client);
        assert!(told_last.contains("C[COMMIT~]") && told_last.ends_with(&told(EXPIRED)), "{told_last}");
        assert!(!bench.sent(SERVER).contains("begin"));
    }
}

/// What was sent before its session was to end is told of, however far it goes.
#[test]
fn what_was_sent_in_a_batch_before_the_end_was_known_is_told() {
    let (mut bench, client) = in_a_transaction();
    bench.says(client, &[run("commit"), run("begin"), run("insert"), run("commit")].concat());
    bench.expire();
    bench.sent(client);
    for tag in ["COMMIT", "BEGIN", "INSERT 0 1"] {
        bench.says(SERVER, &ran(tag));
        bench.janitor();
        assert!(!bench.is_closed(client), "behind {tag}");
    }
    bench.says(SERVER, &ran("COMMIT"));
    bench.janitor();
    let told_last = bench.sent(client);
    assert!(told_last.matches("COMMIT").count() == 2 && told_last.ends_with(&told(EXPIRED)), "{told_last}");
}

/// The data of a COPY are not held up by the Execute that they are for; what follows them is.
#[test]
fn a_copy_in_a_batch_goes_on_and_what_follows_waits_for_it() {
    let began = [
        &*empties(&[answer::PARSE_COMPLETE, answer::BIND_COMPLETE]),
        &frame(answer::COPY_IN_RESPONSE, &[0; 3]),
    ];
    let data = [frame(ask::COPY_DATA, b"1"), frame(ask::COPY_DONE, b"")].concat();
    let behind = [run("commit"), run("begin")].concat();
    for (ahead, later) in [
        (run("copy"), [&*data, &behind].concat()),
        ([run("copy"), data.clone()].concat(), behind.clone()),
        ([&*run("copy"), &data, &behind].concat(), Vec::new()),
    ] {
        let (mut bench, client) = amid_a_transaction();
        bench.goes_on(client, &ahead);
        bench.says(SERVER, &began.concat());
        bench.goes_on(client, &later);
        let sent = bench.sent(SERVER);
        assert!(sent.contains("d[1]") && sent.contains("c[]") && sent.ends_with("H[]"), "{sent}");
        assert!(!sent.contains("commit"), "{sent}");
        bench.says(SERVER, &complete("COPY 1"));
        bench.goes_on(client, b"");
        assert!(!bench.is_closed(client), "its transaction goes on");
        bench.says(SERVER, &ran("COMMIT"));
        bench.goes_on(client, b"");
        let told_last = bench.sent(client);
        assert!(told_last.contains("COMMIT") && told_last.ends_with(&told(EXPIRED)), "{told_last}");
        assert!(!bench.sent(SERVER).contains("begin"));
    }
}

/// A BEGIN within a transaction is a warning and no more: one that was rolled back to a savepoint before it
/// goes on.
#[test]
fn a_rollback_to_a_savepoint_ends_nothing() {
    let (mut bench, client) = amid_a_transaction();
    bench.says(client, &query("rollback to s; begin; insert"));
    let answers = [complete("ROLLBACK"), complete("BEGIN"), complete("INSERT 0 1"), ready(b'T')].concat();
    bench.says(SERVER, &answers);
    bench.janitor();
    assert!(!bench.is_closed(client));
    bench.says(client, &query("commit"));
    bench.says(SERVER, &[complete("COMMIT"), ready(b'I')].concat());
    assert!(bench.sent(client).ends_with(&told(EXPIRED)));
}

/// Half a message has begun nothing, unless something runs before it. One that is small is kept till it is
/// whole; of a long one the server has the front.
#[test]
fn half_a_message_is_no_transaction() {
    let halves = |bytes: Vec<u8>| bytes[..bytes.len() - 1].to_vec();
    let (short, long) = ("select 1", format!("select '{}'", "x".repeat(100_000)));
    for (begins, half, is_over, is_sent) in [
        (false, halves(query(short)), true, false),
        (false, halves(query(&long)), true, true),
        (false, halves(parse("", &long)), true, true),
        (true, halves(query(&long)), false, true),
        (false, [run("insert"), halves(query(&long))].concat(), false, true),
        (false, [run("insert"), halves(parse("", &long))].concat(), false, true),
    ] {
        let (mut bench, client) = bench(PoolMode::Transaction);
        if begins {
            bench.says(client, &query("begin"));
            bench.says(SERVER, &[complete("BEGIN"), ready(b'T')].concat());
            bench.sent(SERVER);
        }
        bench.says(client, &half);
        assert_eq!(!bench.sent(SERVER).is_empty(), is_sent);
        bench.expire();
        let acts = bench.acts();
        let is_closed = |peer| acts.iter().any(|act| act.starts_with(&format!("close {peer:?}")));
        assert_eq!(is_closed(client), is_over);
        assert_eq!(is_closed(SERVER), is_over && is_sent, "nobody else gets half a message");
    }
}

/// Where PostgreSQL tells the end of what was sent, all of it has been done, and is told.
#[test]
fn what_is_done_behind_a_commit_is_told_to_its_end() {
    let (mut bench, client) = in_a_transaction();
    bench.expire();
    bench.sent(client);
    bench.says(client, &query("commit; insert; begin; insert; commit; insert"));
    for tag in ["COMMIT", "INSERT 0 1", "BEGIN", "INSERT 0 2", "COMMIT", "INSERT 0 3"] {
        bench.says(SERVER, &complete(tag));
        bench.janitor();
        let told = bench.sent(client);
        assert!(told.contains(tag) && !told.contains("FATAL"), "{told}");
    }
    bench.says(SERVER, &ready(b'I'));
    assert_eq!(bench.sent(client), format!("Z[I] {}", told(EXPIRED)));
}

/// What runs when half a message follows it keeps a session until it is answered, and no longer.
#[test]
fn half_a_message_behind_a_query_is_no_transaction_once_that_is_answered() {
    let (mut bench, client) = bench(PoolMode::Transaction);
    let long = query(&format!("select '{}'", "x".repeat(100_000)));
    bench.says(client, &[&*query("select 1"), &long[..90_000]].concat());
    bench.expire();
    assert!(!bench.is_closed(client));
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
    bench.janitor();
    assert_eq!(bench.sent(client), format!("C[SELECT 1~] Z[I] {}", told(EXPIRED)));
}

/// A Close begins nothing: it keeps no session for what may follow.
#[test]
fn a_close_is_no_transaction() {
    let (mut bench, client) = bench(PoolMode::Transaction);
    bench.says(client, &[frame(ask::CLOSE, b"P\0"), frame(ask::FLUSH, b"")].concat());
    bench.says(SERVER, &empties(&[answer::CLOSE_COMPLETE]));
    bench.sent(client);
    bench.expire();
    assert_eq!(bench.sent(client), told(EXPIRED));
}
