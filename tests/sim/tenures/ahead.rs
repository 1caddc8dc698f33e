//! What a client sends ahead, or has sent in parts, whose session is to end: no more than its transaction
//! needs gets to the server, wherever the cuts are.

use super::amid::{amid_a_transaction, in_a_transaction, ran, run};
use super::*;

fn data(row: &str) -> Vec<u8> {
    frame(ask::COPY_DATA, row.as_bytes())
}

fn copy_begins() -> Vec<u8> {
    frame(answer::COPY_IN_RESPONSE, &[0; 3])
}

/// A server that takes the data of a COPY reads what follows only when it has failed: nothing may wait there.
#[test]
fn what_follows_data_of_a_copy_without_their_end_is_not_sent() {
    let begins = [query("copy"), [run("copy"), frame(ask::FLUSH, b"")].concat()];
    for (copy, in_block) in begins.iter().flat_map(|copy| [(copy, true), (copy, false)]) {
        for behind in [query("rollback"), run("insert"), frame(ask::FUNCTION_CALL, &[0; 10])] {
            let (mut bench, client) =
                if in_block { in_a_transaction() } else { bench(PoolMode::Transaction) };
            bench.says(client, copy);
            if copy[0] != ask::QUERY {
                bench.says(SERVER, &empties(&[answer::PARSE_COMPLETE, answer::BIND_COMPLETE]));
            }
            bench.says(SERVER, &copy_begins());
            bench.expire();
            assert!(!bench.is_closed(client), "its COPY goes on");
            bench.sent(SERVER);
            let more = [data("1"), behind.clone(), query("begin; insert; commit")].concat();
            bench.goes_on(client, &more);
            let (sent, told_last) = (bench.sent(SERVER), bench.sent(client));
            assert_eq!(sent, "d[1]");
            assert!(told_last.ends_with(&told(EXPIRED)), "{told_last}");
        }
    }
}

/// Sync and Flush are nothing to a COPY, and its end is its end.
#[test]
fn a_copy_goes_on_to_its_end() {
    let (mut bench, client) = amid_a_transaction();
    bench.says(client, &query("copy"));
    bench.says(SERVER, &copy_begins());
    bench.sent(SERVER);
    let all = [data("1"), frame(ask::FLUSH, b""), data("2"), frame(ask::COPY_DONE, b""), query("commit")];
    bench.goes_on(client, &all.concat());
    assert_eq!(bench.sent(SERVER), "d[1] H[] d[2] c[] H[]");
    bench.says(SERVER, &[complete("COPY 2"), ready(b'T')].concat());
    bench.goes_on(client, b"");
    assert!(bench.sent(SERVER).contains("commit"));
    bench.says(SERVER, &[complete("COMMIT"), ready(b'I')].concat());
    assert!(bench.sent(client).ends_with(&told(EXPIRED)));
}

/// Of a message that runs something and has come in part, the rest waits for what is ahead of it.
#[test]
fn the_rest_of_a_message_waits_for_what_is_ahead_of_it() {
    let long = query(&format!("insert {}", "x".repeat(100_000)));
    let (front, rest) = long.split_at(90_000);
    for (status, in_block) in [(b'I', false), (b'I', true), (b'T', true)] {
        let (mut bench, client) = if in_block { in_a_transaction() } else { bench(PoolMode::Transaction) };
        bench.says(client, &[&*query("select 1"), front].concat());
        bench.expire();
        bench.sent(SERVER);
        bench.goes_on(client, rest);
        assert_eq!(bench.sent(SERVER), "", "what is ahead may be the end of a transaction");
        bench.says(SERVER, &[complete("SELECT 1"), ready(status)].concat());
        bench.goes_on(client, b"");
        let goes_on = status == b'T';
        assert_eq!(bench.sent(client).ends_with(&told(EXPIRED)), !goes_on);
        assert_eq!(!bench.sent(SERVER).is_empty(), goes_on);
    }
}

/// Nobody can ask a server for its answers amid a message: what would wait for them is cut.
#[test]
fn the_rest_of_a_message_behind_a_batch_without_an_end_is_not_sent() {
    let long = query(&format!("insert {}", "x".repeat(100_000)));
    let (front, rest) = long.split_at(90_000);
    let (mut bench, client) = in_a_transaction();
    bench.says(client, &[&*run("commit"), front].concat());
    bench.expire();
    assert!(!bench.is_closed(client));
    bench.sent(SERVER);
    bench.goes_on(client, rest);
    assert_eq!(bench.sent(SERVER), "");
    assert!(bench.sent(client).ends_with(&told(EXPIRED)));
}

/// A Parse or a Bind runs nothing: its rest may go, and what is behind it waits.
#[test]
fn the_rest_of_what_runs_nothing_goes_on() {
    let long = parse("", &format!("insert {}", "x".repeat(100_000)));
    let (front, rest) = long.split_at(90_000);
    let (mut bench, client) = in_a_transaction();
    bench.says(client, &[&*run("insert"), front].concat());
    bench.expire();
    bench.goes_on(client, &[rest, &bind(""), &execute(), &frame(ask::SYNC, b"")].concat());
    let sent = bench.sent(SERVER);
    assert!(sent.ends_with("H[]") && sent.matches("B[").count() == 1, "{}", &sent[sent.len() - 40..]);
    bench.says(SERVER, &ran("INSERT 0 1"));
    bench.goes_on(client, b"");
    assert!(bench.sent(SERVER).contains("B["));
    assert!(!bench.is_closed(client));
}

/// An Execute is short: the server has all of it or nothing.
#[test]
fn half_an_execute_is_not_sent() {
    let (mut bench, client) = in_a_transaction();
    let all = [&*run("insert"), &execute()].concat();
    bench.says(client, &all[..all.len() - 1]);
    let sent = bench.sent(SERVER);
    assert_eq!(sent.matches("E[").count(), 1, "{sent}");
    bench.says(client, &all[all.len() - 1..]);
    assert!(bench.sent(SERVER).starts_with("E["));
}

/// What PostgreSQL runs in a transaction of its own, and commits, ends the one that a batch is.
#[test]
fn a_command_that_commits_by_itself_ends_a_batch() {
    let own = ["VACUUM", "DISCARD ALL", "CREATE INDEX", "COMMIT PREPARED", "ROLLBACK PREPARED", "CALL", "DO"];
    for (tag, ends) in
        own.map(|tag| (tag, true)).into_iter().chain([("INSERT 0 1", false), ("SELECT 1", false)])
    {
        let (mut bench, client) = bench(PoolMode::Transaction);
        bench.says(client, &[parse("", "command"), frame(ask::FLUSH, b"")].concat());
        bench.says(SERVER, &empties(&[answer::PARSE_COMPLETE]));
        bench.expire();
        bench.goes_on(client, &[bind(""), execute(), frame(ask::FLUSH, b"")].concat());
        bench.says(SERVER, &[empties(&[answer::BIND_COMPLETE]), complete(tag)].concat());
        bench.sent(SERVER);
        bench.goes_on(client, &[run("begin"), run("insert"), frame(ask::SYNC, b"")].concat());
        assert_eq!(bench.sent(SERVER).is_empty(), ends, "{tag}");
        assert_eq!(bench.sent(client).ends_with(&told(EXPIRED)), ends, "{tag}");
    }
}

/// In a block none of them can run, or it ends nothing: one that ReadyForQuery has told of, or a BEGIN of the
/// same batch, before the session was to end or after.
#[test]
fn a_command_in_a_block_ends_nothing() {
    for (begins_in_batch, is_told_before) in [(false, true), (true, false), (true, true)] {
        let (mut bench, client) =
            if begins_in_batch { bench(PoolMode::Transaction) } else { amid_a_transaction() };
        if begins_in_batch {
            bench.says(client, &[parse("", "begin"), frame(ask::FLUSH, b"")].concat());
            bench.says(SERVER, &empties(&[answer::PARSE_COMPLETE]));
            if !is_told_before {
                bench.expire();
            }
            bench.goes_on(client, &[bind(""), execute(), frame(ask::FLUSH, b"")].concat());
            bench.says(SERVER, &[empties(&[answer::BIND_COMPLETE]), complete("BEGIN")].concat());
            bench.expire();
        }
        for tag in ["CREATE INDEX", "ALTER TABLE", "DO", "ROLLBACK"] {
            bench.goes_on(client, &run("command"));
            assert!(bench.sent(SERVER).contains("command"), "before {tag}");
            bench.says(SERVER, &ran(tag));
        }
        bench.goes_on(client, &run("commit"));
        bench.says(SERVER, &ran("COMMIT"));
        bench.goes_on(client, &run("begin"));
        assert!(!bench.sent(SERVER).contains("begin"));
        assert!(bench.sent(client).ends_with(&told(EXPIRED)));
    }
}

/// A batch that has failed is read to its Sync, whatever of it has come.
#[test]
fn half_a_message_behind_a_failure_ends_nothing() {
    let (mut bench, client) = bench(PoolMode::Transaction);
    let long = parse("", &format!("insert {}", "x".repeat(100_000)));
    bench.says(client, &[parse("", "nonsense"), frame(ask::FLUSH, b"")].concat());
    bench.says(SERVER, &error());
    bench.says(client, &long[..90_000]);
    bench.expire();
    assert!(!bench.is_closed(client));
    bench.goes_on(client, &[&long[90_000..], &frame(ask::SYNC, b"")].concat());
    bench.says(SERVER, &ready(b'I'));
    assert!(bench.sent(client).ends_with(&format!("Z[I] {}", told(EXPIRED))));
}
