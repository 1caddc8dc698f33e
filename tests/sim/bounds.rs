//! What a peer can make the core hold or do in one call, each kind as a few lines: one `Core` without
//! a network, as in `cases`.

use super::cases::{Bench, CLIENT, SERVER, bind, complete, empties, frame, parse, query, ready};
use pgweir::base::{Peer, limits};
use pgweir::config::PoolMode;
use pgweir::core::Command;
use pgweir::wire::tags::{client as ask, server as answer};

const PAUSED: &str = "pause Client(ClientId(0))";
const RESUMED: &str = "resume Client(ClientId(0))";

fn bench(statements_max: u32) -> Bench {
    Bench::with(PoolMode::Transaction, statements_max, None)
}

/// The tags of all that was sent to `peer` since the last look.
fn tags(bench: &mut Bench, peer: Peer) -> String {
    let bytes = bench.net.sent.remove(&peer).unwrap_or_default();
    let (mut at, mut tags) = (0, String::new());
    while at < bytes.len() {
        tags.push(bytes[at] as char);
        at += 1 + u32::from_be_bytes(bytes[at + 1..at + 5].try_into().expect("four bytes")) as usize;
    }
    tags
}

fn sent_bytes(bench: &Bench, peer: Peer) -> usize {
    bench.net.sent.get(&peer).map_or(0, Vec::len)
}

fn close(name: &str) -> Vec<u8> {
    frame(ask::CLOSE, format!("S{name}\0").as_bytes())
}

fn execute() -> Vec<u8> {
    frame(ask::EXECUTE, &[0; 5])
}

/// Hands the rest in again for as long as the core asks for that without waiting for anything.
fn go_on(bench: &mut Bench) -> usize {
    let mut calls = 0;
    loop {
        let acts = bench.acts();
        if acts.last().is_none_or(|act| act != RESUMED) {
            return calls;
        }
        assert!(acts.ends_with(&[PAUSED.into(), RESUMED.into()]), "{acts:?}");
        bench.says(CLIENT, b"");
        calls += 1;
    }
}

#[test]
fn who_does_not_read_is_not_read_from() {
    let mut bench = bench(10);
    bench.says(CLIENT, &close("x").repeat(10));
    assert_eq!(tags(&mut bench, CLIENT), "3".repeat(10));
    bench.core.blocked(CLIENT, &mut bench.net);
    assert_eq!(bench.acts(), [PAUSED]);
    bench.core.drained(CLIENT, &mut bench.net);
    assert_eq!(bench.acts(), [RESUMED]);
}

#[test]
fn one_call_looks_at_so_many_frames_and_asks_for_another() {
    let mut bench = bench(10);
    let frames = limits::FRAMES_PER_CALL as usize;
    bench.says(CLIENT, &close("x").repeat(3 * frames + 1));
    assert_eq!(tags(&mut bench, CLIENT).len(), frames);
    assert_eq!(go_on(&mut bench), 3);
    assert_eq!(tags(&mut bench, CLIENT).len(), 2 * frames + 1);
}

#[test]
fn one_call_makes_so_many_bytes_for_a_server_whatever_the_binds_ask_for() {
    let mut bench = bench(2);
    let text = "x".repeat(100_000);
    for name in ["a", "b", "c"] {
        bench.says(CLIENT, &[parse(name, &format!("{name}{text}")), empties(&[ask::SYNC])].concat());
        go_on(&mut bench);
        bench.says(
            SERVER,
            &[empties(&[answer::PARSE_COMPLETE, answer::CLOSE_COMPLETE]), ready(b'I')].concat(),
        );
    }
    bench.net.sent.clear();
    let binds = ["a", "b", "c"].map(bind).concat().repeat(50);
    bench.says(CLIENT, &binds);
    let mut calls = 1;
    loop {
        let made = sent_bytes(&bench, SERVER);
        assert!(made < limits::MADE_BYTES_PER_CALL + 100_000 + binds.len(), "{made} in call {calls}");
        bench.net.sent.clear();
        if bench.acts().is_empty() {
            break;
        }
        bench.says(CLIENT, b"");
        calls += 1;
    }
    assert!(calls > 40, "150 statements of 100 kB in {calls} calls");
}

#[test]
fn a_client_is_not_read_while_very_much_is_owed_to_it() {
    for ahead in [empties(&[ask::SYNC]), close("x"), query("select 1"), execute()] {
        let mut bench = bench(10);
        bench.says(CLIENT, &query("select pg_sleep(100)"));
        let mut calls = 0;
        while !bench.acts().iter().rev().take(1).any(|act| act == PAUSED) {
            bench.says(CLIENT, &ahead.repeat(limits::FRAMES_PER_CALL as usize));
            calls += 1;
            assert!(calls < 10, "never held");
        }
        bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
        for _ in 0..2 * limits::EXPECTED_MAX {
            bench.says(SERVER, &complete("SELECT 1"));
            bench.says(SERVER, &ready(b'I'));
        }
        assert!(bench.acts().contains(&RESUMED.to_owned()), "{}", ahead.escape_ascii());
    }
}

#[test]
fn a_server_that_holds_its_answers_back_is_asked_for_them() {
    let mut bench = bench(10);
    bench.says(CLIENT, &[frame(ask::BIND, &[0; 8]), execute()].concat());
    for _ in 0..5 {
        bench.says(CLIENT, &close("x").repeat(limits::FRAMES_PER_CALL as usize));
        go_on(&mut bench);
    }
    assert_eq!(tags(&mut bench, SERVER), "BEH");
    bench.says(SERVER, &[empties(&[answer::BIND_COMPLETE]), complete("SELECT 1")].concat());
    assert_eq!(bench.acts(), [RESUMED]);
    assert_eq!(&tags(&mut bench, CLIENT)[..4], "2C33");
    bench.says(CLIENT, &empties(&[ask::SYNC]));
    go_on(&mut bench);
    assert!(tags(&mut bench, SERVER).ends_with('S'));
}

#[test]
fn names_end_at_their_bound() {
    let endless = |tag, lead: &[u8], declared: u32| {
        let mut bytes = vec![tag];
        bytes.extend(declared.to_be_bytes());
        bytes.extend(lead);
        bytes.resize(bytes.len() + limits::STATEMENT_NAME_BYTES_MAX as usize, b'x');
        bytes
    };
    for bytes in [
        endless(ask::BIND, b"", 1 << 30),
        endless(ask::BIND, b"\0", 1 << 30),
        endless(ask::DESCRIBE, b"S", 1 << 30),
        endless(ask::CLOSE, b"S", 1 << 30),
        endless(ask::PARSE, b"", (limits::STATEMENT_BYTES_MAX + 1) as u32),
    ] {
        let mut bench = bench(10);
        assert_eq!(bench.says(CLIENT, &bytes), 0, "nothing of it is kept");
        assert_eq!(bench.acts(), ["close Client(ClientId(0)) Close"]);
        assert_eq!(tags(&mut bench, SERVER), "");
    }
}

#[test]
fn a_message_without_a_payload_has_none() {
    for tag in [ask::FLUSH, ask::SYNC, ask::COPY_DONE] {
        let mut bench = bench(0);
        bench.says(CLIENT, &query("select 1"));
        bench.net.sent.clear();
        bench.says(CLIENT, &[&[tag][..], &40_000u32.to_be_bytes(), &[0; 100]].concat());
        assert!(bench.acts().iter().any(|act| act.starts_with("close Client")), "{tag}");
        assert_eq!(tags(&mut bench, CLIENT), "E");
        assert_eq!(tags(&mut bench, SERVER), "", "nothing of it has gone on");
    }
}

#[test]
fn what_stands_behind_a_command_that_forgets_waits_for_its_answer() {
    for forget in ["DISCARD ALL", " deallocate all"] {
        let mut bench = bench(10);
        bench.says(CLIENT, &[parse("old", "select 1"), empties(&[ask::SYNC])].concat());
        bench.says(SERVER, &[empties(&[answer::PARSE_COMPLETE]), ready(b'I')].concat());
        bench.net.sent.clear();
        let batch = [parse("new", "select 1"), bind("new"), execute(), empties(&[ask::SYNC])].concat();
        let kept = bench.says(CLIENT, &[query(forget), batch.clone()].concat());
        assert_eq!((kept, tags(&mut bench, SERVER)), (batch.len(), "Q".into()));
        assert_eq!(bench.acts(), [PAUSED]);
        let command = forget.trim().to_uppercase();
        bench.says(SERVER, &[complete(&command), ready(b'I')].concat());
        assert_eq!(bench.acts(), [RESUMED]);
        bench.says(CLIENT, b"");
        assert_eq!(tags(&mut bench, SERVER), "PBES", "the server has forgotten what it held");
        bench.says(CLIENT, &bind("old"));
        assert!(bench.sent(SERVER).starts_with("B[~old~"), "the old name is gone: the server refuses it");
    }
}

#[test]
fn what_was_sent_behind_a_hidden_command_that_forgets_is_kept() {
    let mut bench = bench(10);
    let batch = [parse("new", "select 2"), empties(&[ask::SYNC])].concat();
    bench.says(CLIENT, &[query("select 1; discard all"), batch].concat());
    assert_eq!(tags(&mut bench, SERVER), "QPS");
    bench.says(SERVER, &[complete("SELECT 1"), complete("DISCARD ALL"), ready(b'I')].concat());
    bench.says(SERVER, &[empties(&[answer::PARSE_COMPLETE]), ready(b'I')].concat());
    bench.says(CLIENT, &[bind("new"), execute(), empties(&[ask::SYNC])].concat());
    assert_eq!(tags(&mut bench, SERVER), "BES", "known to the client, held by the server");
}

#[test]
fn a_server_closes_old_statements_before_it_prepares_a_new_one() {
    let mut bench = bench(1);
    for (name, sent) in [("a", "PS"), ("b", "CPS")] {
        bench.says(CLIENT, &[parse(name, &format!("select '{name}'")), empties(&[ask::SYNC])].concat());
        assert_eq!(tags(&mut bench, SERVER), sent);
        let closed = if name == "b" { empties(&[answer::CLOSE_COMPLETE]) } else { Vec::new() };
        bench.says(SERVER, &[closed, empties(&[answer::PARSE_COMPLETE]), ready(b'I')].concat());
        assert_eq!(tags(&mut bench, CLIENT), "1Z");
    }
}

#[test]
fn a_session_whose_parameters_cannot_be_kept_is_closed() {
    let long = format!("application_name\0{}\0", "x".repeat(limits::PARAMETERS_BYTES_MAX));
    let mut bench = bench(0);
    bench.says(CLIENT, &query("set application_name = …"));
    bench.says(SERVER, &frame(answer::PARAMETER_STATUS, long.as_bytes()));
    let acts = bench.acts();
    assert!(acts.iter().any(|act| act.starts_with("close Server")), "{acts:?}");
    assert!(acts.iter().any(|act| act.starts_with("close Client")), "{acts:?}");
}

#[test]
fn a_queue_does_not_grow_by_those_who_left_it() {
    let mut bench = bench(0);
    bench.says(CLIENT, &query("begin")); // has the only server
    let first = bench.client();
    bench.says(first, &query("select 1"));
    let other = bench.client();
    let length = |bench: &Bench| format!("{:?}", bench.core).matches("Waiter {").count();
    for _ in 0..500 {
        bench.says(other, &query("select 1"));
        bench.command(Command::Cancel(3, 0));
        bench.says(other, b"");
        assert!(length(&bench) <= limits::STALE_WAITERS_MAX + 5, "{}", length(&bench));
    }
}
