//! What a server says behind the end of its work: it is judged before the server is
//! lent, wherever that end was.

use super::cases::{
    Bench, CLIENT, SERVER, complete, empties, execute, frame, notice, parse, query, ready, rules,
};
use pgweir::base::{Micros, Peer, PoolId, WorkerId};
use pgweir::config::{PoolMode, PoolRules};
use pgweir::core::{Command, Note};
use pgweir::wire::encode::{self, Severity};
use pgweir::wire::tags::server as answer;
use std::sync::Arc;

/// An answer that nobody has asked for, whole.
fn stray() -> Vec<u8> {
    [frame(answer::DATA_ROW, b"stray"), complete("SELECT 1"), ready(b'I')].concat()
}

fn parameter() -> Vec<u8> {
    frame(answer::PARAMETER_STATUS, b"TimeZone\0UTC\0")
}

fn notification() -> Vec<u8> {
    frame(answer::NOTIFICATION_RESPONSE, b"\0\0\0\x01channel\0payload\0")
}

/// The strays that a server is closed for, however much of them has come.
fn strays() -> Vec<Vec<u8>> {
    let whole = stray();
    let mut all: Vec<_> = [1, 4, 5, 7, whole.len()].map(|cut| whole[..cut].to_vec()).into();
    all.extend([ready(b'I'), ready(b'I')[..5].to_vec(), complete("SELECT 1")[..6].to_vec()]);
    all.push([notice(), stray()].concat());
    all.push([parameter(), notification(), empties(&[answer::PARSE_COMPLETE])].concat());
    all
}

fn closes(bench: &mut Bench, server: Peer) -> bool {
    bench.acts().iter().any(|act| act.starts_with(&format!("close {server:?}")))
}

#[test]
fn an_answer_behind_a_login_is_nobodys() {
    for stray in strays() {
        let mut bench = Bench::new(PoolMode::Transaction, 0);
        bench.says(CLIENT, &query("begin"));
        let waiting = bench.client();
        bench.says(waiting, &query("select 1"));
        let server = bench.server_with(&stray);
        assert_eq!(bench.sent(server), "", "{}: it has more to say", stray.escape_ascii());
        bench.says(server, b"");
        assert!(closes(&mut bench, server), "{}", stray.escape_ascii());
        assert_eq!((bench.sent(server), bench.sent(waiting)), (String::new(), String::new()));
    }
}

#[test]
fn what_a_server_may_say_of_itself_behind_its_login_costs_it_nothing() {
    let news = [parameter(), notice(), notification()].concat();
    for cut in [1, 4, 5, 9, parameter().len() + 3, news.len()] {
        let mut bench = Bench::new(PoolMode::Transaction, 0);
        bench.says(CLIENT, &query("begin"));
        let waiting = bench.client();
        bench.says(waiting, &query("select 1"));
        let server = bench.server_with(&news[..cut]);
        bench.says(server, b"");
        bench.says(waiting, b"");
        assert_eq!(bench.sent(server), "Q[select 1~]", "cut at {cut}");
        bench.says(server, &news[cut..]);
        assert!(!closes(&mut bench, server));
    }
}

#[test]
fn an_answer_behind_the_end_of_a_request_is_not_the_next_clients() {
    for stray in strays() {
        let mut bench = Bench::new(PoolMode::Transaction, 0);
        bench.says(CLIENT, &query("select 1"));
        let waiting = bench.client();
        bench.says(waiting, &query("select 2"));
        bench.sent(SERVER);
        bench.says(SERVER, &[complete("SELECT 1"), ready(b'I'), stray.clone()].concat());
        assert!(closes(&mut bench, SERVER), "{}", stray.escape_ascii());
        assert_eq!(bench.sent(CLIENT), "C[SELECT 1~] Z[I]", "{}", stray.escape_ascii());
        bench.says(waiting, b"");
        assert_eq!((bench.sent(waiting), bench.sent(SERVER)), (String::new(), String::new()));
    }
}

#[test]
fn a_server_that_speaks_on_does_not_leave_for_another_worker() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    bench.says(CLIENT, &query("select 1"));
    bench.share.set_waiting_since(WorkerId(1), Micros(0));
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I'), stray()].concat());
    assert!(closes(&mut bench, SERVER));
    assert!(bench.net.moved.is_none());
}

#[test]
fn what_is_unread_of_a_server_that_has_moved_is_judged_where_it_comes_to() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    bench.core.nudged(PoolId(0), WorkerId(1), Micros(3), &mut bench.net);
    let moved = bench.net.moved.take().expect("the idle server goes where it is wanted");
    let mut there = Bench::new(PoolMode::Transaction, 0);
    there.says(CLIENT, &query("begin"));
    let waiting = there.client();
    there.says(waiting, &query("select 1"));
    let server = there.moved_in(moved, &stray());
    there.says(server, b"");
    assert!(closes(&mut there, server));
    assert_eq!(there.sent(waiting), "");
}

#[test]
fn an_answer_behind_the_poolers_own_query_is_not_the_next_clients() {
    for stray in strays() {
        // The reset query.
        let mut bench = Bench::new(PoolMode::Session, 0);
        bench.says(CLIENT, &query("select 1"));
        bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
        let waiting = bench.client();
        bench.says(waiting, &query("select 2"));
        bench.core.closed(CLIENT, Micros(3), &mut bench.net);
        bench.says(SERVER, &[complete("DISCARD ALL"), ready(b'I'), stray.clone()].concat());
        assert!(closes(&mut bench, SERVER), "{}", stray.escape_ascii());
        bench.says(waiting, b"");
        assert_eq!(bench.sent(waiting), "");
        // The check query.
        let mut bench = Bench::new(PoolMode::Transaction, 0);
        let checking =
            PoolRules { server_check_query: Some("".into()), server_check_delay: Micros(0), ..rules() };
        bench.command(Command::Rules(PoolId(0), Arc::new(checking)));
        bench.now = Micros::from_secs(1);
        bench.says(CLIENT, &query("select 1"));
        let answers = [empties(&[answer::EMPTY_QUERY_RESPONSE]), ready(b'I'), stray.clone()];
        bench.says(SERVER, &answers.concat());
        assert!(closes(&mut bench, SERVER), "{}", stray.escape_ascii());
        bench.says(CLIENT, b"");
        assert_eq!(bench.sent(CLIENT), "");
    }
}

#[test]
fn a_notice_behind_the_end_of_a_request_is_not_the_next_clients() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    bench.says(CLIENT, &query("select 1"));
    let waiting = bench.client();
    bench.says(waiting, &query("select 2"));
    bench.sent(SERVER);
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I'), notification()].concat());
    bench.says(waiting, b"");
    assert_eq!((bench.sent(waiting), bench.sent(SERVER)), (String::new(), "Q[select 2~]".into()));
}

#[test]
fn an_answer_amid_a_transaction_that_has_asked_nothing_ends_it() {
    for asked in [query("begin"), [parse("", "begin"), execute()].concat()] {
        let mut bench = Bench::new(PoolMode::Session, 0);
        bench.says(CLIENT, &query("begin"));
        bench.says(SERVER, &[complete("BEGIN"), ready(b'T')].concat());
        bench.sent(CLIENT);
        bench.says(SERVER, &stray());
        assert!(closes(&mut bench, SERVER));
        let told = bench.sent(CLIENT);
        assert!(told.starts_with("E[") && told.contains("unexpected message"), "{told}");
        bench.says(CLIENT, &asked);
    }
}

/// A server breaks the protocol behind the rest of a row: the client has the row whole,
/// and then learns of the end.
#[test]
fn what_came_before_a_server_broke_the_protocol_is_told_first() {
    let row = frame(answer::DATA_ROW, &[b'x'; 40]);
    let long = [b"TimeZone\0".to_vec(), vec![b'z'; 200_000], vec![0]].concat();
    let breaches = [
        b"D\0\0\0\0".to_vec(),
        frame(answer::READY_FOR_QUERY, b""),
        frame(answer::READY_FOR_QUERY, b"?"),
        frame(answer::PARAMETER_STATUS, &long),
    ];
    for breach in breaches {
        for cut in [7, 20, row.len() - 1, row.len()] {
            let mut bench = Bench::new(PoolMode::Transaction, 0);
            bench.says(CLIENT, &query("select 1"));
            bench.sent(SERVER);
            bench.says(SERVER, &row[..cut]);
            bench.says(SERVER, &[&row[cut..], &*breach].concat());
            let told = bench.sent(CLIENT);
            let (first, then) = told.split_once(']').expect("a row");
            assert_eq!(first.matches('x').count(), 40, "{told}");
            assert!(then.trim_start().starts_with('E'), "cut at {cut}: {told}");
            assert!(closes(&mut bench, SERVER));
        }
    }
}

/// What PostgreSQL says to whom it is told to end.
fn terminated() -> Vec<u8> {
    let mut out = Vec::new();
    encode::error(&mut out, Severity::Fatal, "57P01", "terminating connection");
    out
}

fn ended_unanswered(bench: &Bench) -> bool {
    bench.net.notes.iter().any(|note| matches!(note, Note::EndedUnanswered { .. }))
}

#[test]
fn a_session_that_its_own_client_ends_has_answered() {
    for mode in [PoolMode::Session, PoolMode::Transaction, PoolMode::Statement] {
        let mut bench = Bench::new(mode, 0);
        bench.says(CLIENT, &query("select pg_terminate_backend(pg_backend_pid())"));
        bench.says(SERVER, &terminated());
        bench.core.closed(SERVER, Micros(3), &mut bench.net);
        assert!(!ended_unanswered(&bench), "{mode:?}: the next login need not end so");
        let told = bench.sent(CLIENT);
        assert!(told.starts_with("E[SFATAL~C57P01~Mterminating connection~~]"), "{mode:?}: {told}");
        assert_eq!(bench.acts(), ["close Client(ClientId(0)) Close"]);
    }
}

#[test]
fn a_session_that_ends_without_a_word_has_not_answered() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    bench.says(CLIENT, &query("select 1"));
    bench.core.closed(SERVER, Micros(3), &mut bench.net);
    assert!(ended_unanswered(&bench));
}
