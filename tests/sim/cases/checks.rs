//! Servers that are checked while clients wait, sessions that end amid their bytes,
//! cancels that find nothing.

use super::{Bench, CLIENT, SERVER, complete, empties, error, frame, parse, query, ready, rules};
use pgweir::base::{Micros, PoolId};
use pgweir::config::{PoolMode, PoolRules};
use pgweir::core::{Command, Note};
use pgweir::wire::tags::{client as ask, server as answer};
use std::sync::Arc;

/// The idle server answers a check query, for the client that wants to say `one`.
pub(super) fn checking_for_a_client() -> Bench {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    let checking =
        PoolRules { server_check_query: Some("".into()), server_check_delay: Micros(0), ..rules() };
    bench.command(Command::Rules(PoolId(0), Arc::new(checking)));
    bench.now = Micros::from_secs(1);
    bench.says(CLIENT, &query("one"));
    assert_eq!(bench.sent(SERVER), "Q[~]");
    bench
}

#[test]
fn a_client_does_not_wait_for_a_check_that_takes_long() {
    let mut bench = checking_for_a_client();
    bench.now = Micros::from_secs(2);
    bench.janitor();
    assert!(matches!(bench.net.notes[..], [Note::NeedServer(PoolId(0))]), "{:?}", bench.net.notes);
    assert!(bench.share.oldest_waiter().is_some(), "the launcher sees it, too");
    let other = bench.server();
    bench.says(CLIENT, b"");
    assert_eq!(bench.sent(other), "Q[one~]");
    // The answer comes after all.
    bench.says(SERVER, &[empties(&[answer::EMPTY_QUERY_RESPONSE]), ready(b'I')].concat());
    let second = bench.client();
    bench.says(second, &query("two"));
    assert_eq!(bench.sent(SERVER), "Q[two~]", "it is as free as any other");
}

#[test]
fn a_server_that_is_checked_is_for_the_client_that_waits() {
    let mut bench = checking_for_a_client();
    let (first, second) = (CLIENT, bench.client());
    assert_eq!(bench.share.oldest_waiter(), None, "it is being served");
    bench.janitor();
    assert!(bench.net.notes.is_empty(), "{:?}", bench.net.notes);
    bench.says(second, &query("two"));
    assert!(matches!(bench.net.notes[..], [Note::NeedServer(PoolId(0))]), "{:?}", bench.net.notes);
    assert!(bench.share.oldest_waiter().is_some());
    bench.says(SERVER, &[empties(&[answer::EMPTY_QUERY_RESPONSE]), ready(b'I')].concat());
    bench.says(first, b"");
    assert_eq!(bench.sent(SERVER), "Q[one~]");
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
    bench.says(second, b"");
    assert_eq!(bench.sent(SERVER), "Q[two~]");
    assert_eq!(bench.share.oldest_waiter(), None);
}

#[test]
fn a_session_whose_server_goes_ends_in_the_middle_of_its_bytes() {
    // The end of refused COPY data comes in one piece or in two, with more behind it.
    let (done, more) = (frame(ask::COPY_DONE, b""), query("select 1"));
    for cut in [done.len(), 2] {
        let mut bench = Bench::new(PoolMode::Session, 0);
        let fast = PoolRules { mode: PoolMode::Session, fast_close: true, ..rules() };
        bench.command(Command::Rules(PoolId(0), Arc::new(fast)));
        let data = frame(ask::COPY_DATA, &[b'd'; 40]);
        bench.says(CLIENT, &[query("copy t from stdin"), data[..20].to_vec()].concat());
        bench.says(SERVER, &[error(), ready(b'I')].concat());
        bench.share.bump_generation();
        let rest = [&data[20..], &done[..], &more[..]].concat();
        bench.says(CLIENT, &rest[..20 + cut]);
        bench.says(CLIENT, &rest[20 + cut..]);
        let acts = bench.acts();
        assert!(acts.iter().any(|act| act.starts_with(&format!("close {SERVER:?}"))), "{acts:?}");
        assert!(acts.iter().any(|act| act.starts_with(&format!("close {CLIENT:?}"))), "{acts:?}");
    }
}

#[test]
fn a_message_is_sent_to_its_end_before_the_client_is_refused() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    let (parsed, nonsense) = (parse("", "select 1"), frame(b'~', b""));
    bench.says(CLIENT, &query("begin"));
    bench.says(SERVER, &[complete("BEGIN"), ready(b'T')].concat());
    bench.net.sent.clear();
    bench.says(CLIENT, &parsed[..7]);
    bench.says(CLIENT, &[&parsed[7..], &nonsense[..]].concat());
    let sent = bench.net.sent.remove(&SERVER).unwrap_or_default();
    assert_eq!(sent, parsed, "all of it, and nothing of what follows");
    assert!(bench.acts().iter().any(|act| act.starts_with(&format!("close {CLIENT:?}"))));
}

#[test]
fn a_cancel_that_finds_only_a_flush_is_not_answered() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    let waiting = bench.client();
    bench.says(CLIENT, &query("begin"));
    bench.says(waiting, &empties(&[ask::FLUSH]));
    bench.command(Command::Cancel(2, 0));
    bench.says(waiting, b"");
    assert_eq!(bench.sent(waiting), "", "PostgreSQL would not know of anything to cancel");
    bench.says(waiting, &query("select 1"));
    assert_eq!(bench.sent(waiting), "", "nor is what comes later cancelled");
    bench.says(SERVER, &[complete("BEGIN"), ready(b'T')].concat());
    bench.says(CLIENT, &query("commit"));
    bench.sent(SERVER);
    bench.says(SERVER, &[complete("COMMIT"), ready(b'I')].concat());
    bench.says(waiting, b"");
    assert_eq!(bench.sent(SERVER), "H[] Q[select 1~]");
}
