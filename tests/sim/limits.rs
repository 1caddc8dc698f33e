//! `query_timeout` and `transaction_timeout` with `timeout_action = cancel`: what is cancelled, what is
//! closed after all, and who is not meant.

use super::cases::{Bench, CLIENT, SERVER, complete, empties, query, ready, rules};
use pgweir::base::{MappedTimeouts, Micros, Peer, Principal, Proof};
use pgweir::config::{ClientRules, PoolMode, PoolRules, TimeoutAction};
use pgweir::core::{CancelFate, ClientRulesOf, Command, Note};
use pgweir::wire::encode::{self, Severity};
use pgweir::wire::tags::client as ask;
use std::sync::Arc;

const CLIENT_SOCKET: u64 = 1;
const SERVER_SOCKET: u64 = 100;
const TIMED_OUT: &str = "E[SERROR~C57014~Mcanceling statement due to query_timeout] Z[I]";

/// `query_timeout` 1 s, `transaction_timeout` 5 s, `cancel_wait_timeout` 2 s, and cancels.
fn limits() -> PoolRules {
    PoolRules {
        query_timeout: Micros::from_secs(1),
        transaction_timeout: Micros::from_secs(5),
        cancel_wait_timeout: Micros::from_secs(2),
        timeout_action: TimeoutAction::Cancel,
        query_wait_notify: Micros(0),
        ..rules()
    }
}

fn bench(mode: PoolMode, rules: PoolRules) -> Bench {
    let mut bench = Bench::new(mode, 0);
    let id = bench.share.id;
    let rules = Arc::new(PoolRules { mode, max_prepared_statements: 0, ..rules });
    bench.share.set_rules(Arc::clone(&rules));
    bench.command(Command::Rules(id, rules));
    bench
}

/// So many milliseconds pass, and the janitor with them.
fn later(bench: &mut Bench, ms: u64) {
    bench.now = bench.now + Micros::from_millis(ms);
    bench.janitor();
}

/// The cancels sent since the last look: whose query, on which server.
fn cancels(bench: &mut Bench) -> Vec<(u64, u64)> {
    let notes = std::mem::take(&mut bench.net.notes);
    let cancel = |note: Note| match note {
        Note::SendCancel { client, server, .. } => Some((client, server)),
        _ => None,
    };
    notes.into_iter().filter_map(cancel).collect()
}

fn cancel_over(bench: &mut Bench) {
    bench.core.cancel_over(SERVER_SOCKET, CancelFate::Taken, bench.now, &mut bench.net);
}

fn canceled(status: u8) -> Vec<u8> {
    let mut out = Vec::new();
    encode::error(&mut out, Severity::Error, "57014", "canceling statement due to user request");
    [out, ready(status)].concat()
}

fn is_closed(bench: &mut Bench) -> bool {
    bench.acts().iter().any(|act| act.starts_with(&format!("close {SERVER:?}")))
}

#[test]
fn a_query_that_takes_too_long_is_canceled_and_its_session_goes_on() {
    let mut bench = bench(PoolMode::Transaction, limits());
    bench.says(CLIENT, &query("select 1"));
    later(&mut bench, 900);
    assert_eq!(cancels(&mut bench), []);
    later(&mut bench, 200);
    assert_eq!(cancels(&mut bench), [(CLIENT_SOCKET, SERVER_SOCKET)]);
    later(&mut bench, 1_000);
    assert_eq!(cancels(&mut bench), [], "once is enough");
    bench.says(SERVER, &canceled(b'I'));
    cancel_over(&mut bench);
    assert!(bench.sent(CLIENT).starts_with("E[SERROR~C57014"));
    bench.acts();
    later(&mut bench, 10_000);
    bench.says(CLIENT, &query("select 2"));
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(bench.sent(CLIENT), "C[SELECT 1~] Z[I]");
    assert_eq!((cancels(&mut bench), is_closed(&mut bench)), (vec![], false));
}

#[test]
fn without_the_setting_a_limit_closes_as_ever() {
    let mut bench =
        bench(PoolMode::Transaction, PoolRules { timeout_action: TimeoutAction::Close, ..limits() });
    bench.says(CLIENT, &query("select 1"));
    later(&mut bench, 1_100);
    assert!(bench.sent(CLIENT).contains("Mquery timeout"));
    assert!(is_closed(&mut bench));
}

#[test]
fn a_server_that_does_not_answer_a_cancel_is_closed() {
    for (patience, waits_ms) in [(Micros::from_secs(2), 2_000), (Micros(0), 10_000)] {
        let mut bench = bench(PoolMode::Transaction, PoolRules { cancel_wait_timeout: patience, ..limits() });
        bench.says(CLIENT, &query("select 1"));
        later(&mut bench, 1_100);
        cancel_over(&mut bench);
        later(&mut bench, waits_ms - 100);
        assert!(!is_closed(&mut bench));
        later(&mut bench, 200);
        assert!(bench.sent(CLIENT).contains("Mquery timeout"));
        assert!(is_closed(&mut bench));
    }
}

#[test]
fn a_client_that_waits_is_answered_by_us_and_stays() {
    let mut bench = bench(PoolMode::Transaction, limits());
    bench.says(CLIENT, &query("select 1"));
    let waiting = bench.client();
    later(&mut bench, 900);
    bench.says(waiting, &query("select 2"));
    later(&mut bench, 200);
    assert_eq!(cancels(&mut bench), [(CLIENT_SOCKET, SERVER_SOCKET)], "the one that runs");
    later(&mut bench, 900);
    bench.says(waiting, b"");
    assert_eq!(bench.sent(waiting), TIMED_OUT);
    bench.says(SERVER, &canceled(b'I'));
    cancel_over(&mut bench);
    bench.says(waiting, &query("select 3"));
    bench.says(SERVER, &[complete("SELECT 3"), ready(b'I')].concat());
    assert_eq!(bench.sent(waiting), "C[SELECT 3~] Z[I]");
}

#[test]
fn what_a_client_says_while_a_cancel_is_under_way_waits_for_its_end() {
    let mut bench = bench(PoolMode::Session, limits());
    bench.says(CLIENT, &query("select 1"));
    bench.acts();
    later(&mut bench, 1_100);
    assert_eq!(bench.acts(), [format!("pause {CLIENT:?}")]);
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(bench.acts(), [""; 0], "it was quicker than the cancel, which would hit the next query");
    cancel_over(&mut bench);
    assert_eq!(bench.acts(), [format!("resume {CLIENT:?}")]);
}

#[test]
fn each_of_several_sent_ahead_has_the_whole_time() {
    let mut bench = bench(PoolMode::Transaction, limits());
    bench.says(CLIENT, &[query("select 1"), query("select 2")].concat());
    later(&mut bench, 900);
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
    later(&mut bench, 900);
    assert_eq!(cancels(&mut bench), [], "the second has run for less");
    later(&mut bench, 200);
    assert_eq!(cancels(&mut bench).len(), 1);
}

#[test]
fn a_batch_without_its_end_is_closed_since_nothing_runs_there() {
    let mut bench = bench(PoolMode::Transaction, limits());
    bench.says(CLIENT, &empties(&[ask::FLUSH]));
    let mut parse = Vec::new();
    encode::parse(&mut parse, b"", b"select 1\0\0\0");
    bench.says(CLIENT, &parse);
    bench.says(SERVER, &empties(b"1"));
    later(&mut bench, 1_100);
    assert_eq!(cancels(&mut bench), []);
    assert!(is_closed(&mut bench));
}

fn begin(bench: &mut Bench) {
    bench.says(CLIENT, &query("begin"));
    bench.says(SERVER, &[complete("BEGIN"), ready(b'T')].concat());
}

#[test]
fn a_transaction_is_over_between_two_statements_for_its_client_too() {
    let mut bench = bench(PoolMode::Transaction, limits());
    begin(&mut bench);
    later(&mut bench, 4_900);
    assert!(!is_closed(&mut bench));
    later(&mut bench, 200);
    assert!(bench.sent(CLIENT).contains("Mtransaction timeout"));
    assert_eq!((cancels(&mut bench), is_closed(&mut bench)), (vec![], true));
}

#[test]
fn a_statement_in_a_transaction_that_is_over_is_canceled_and_may_be_rolled_back() {
    for rolls_back in [true, false] {
        let mut bench = bench(PoolMode::Transaction, PoolRules { query_timeout: Micros(0), ..limits() });
        begin(&mut bench);
        bench.says(CLIENT, &query("select 1"));
        later(&mut bench, 5_100);
        assert_eq!(cancels(&mut bench), [(CLIENT_SOCKET, SERVER_SOCKET)]);
        bench.says(SERVER, &canceled(b'E'));
        cancel_over(&mut bench);
        later(&mut bench, 1_900);
        assert!(!is_closed(&mut bench), "it has some time");
        if rolls_back {
            bench.says(CLIENT, &query("rollback"));
            bench.says(SERVER, &[complete("ROLLBACK"), ready(b'I')].concat());
        }
        later(&mut bench, 200);
        assert_eq!(is_closed(&mut bench), !rolls_back);
        assert_eq!(cancels(&mut bench), []);
    }
}

fn timeouts(seconds: u64) -> MappedTimeouts {
    MappedTimeouts { query: Some(Micros::from_secs(seconds)), transaction: None }
}

#[test]
fn the_shorter_of_the_pools_limit_and_the_clients_counts() {
    for (of_client, is_canceled) in [(2, true), (30, false)] {
        let ten = PoolRules { query_timeout: Micros::from_secs(10), ..limits() };
        let mut bench = bench(PoolMode::Transaction, ten);
        let principal = Principal {
            name: "caller".into(),
            issuer: "".into(),
            claims: [].into(),
            expiry: None,
            timeouts: timeouts(of_client),
            standing: Default::default(),
        };
        let id = bench.core.reserve_client();
        let mut login = bench.client_login(id);
        let identity = Arc::get_mut(&mut login.identity).expect("nobody else has it yet");
        identity.proof = Proof { method: "jwt", principal: Some(Arc::new(principal)) };
        bench.core.client_joined(id, login, Micros(1), &mut bench.net);
        // A reload knows of no mapping: what the login has found stays.
        let rules_of = |_: &str, _: &str| ClientRules::default();
        bench.command(Command::ClientRules(ClientRulesOf(Arc::new(rules_of))));
        bench.says(Peer::Client(id), &query("select 1"));
        later(&mut bench, 3_000);
        assert_eq!(!cancels(&mut bench).is_empty(), is_canceled, "{of_client} s of its own");
        later(&mut bench, 7_100);
        assert!(is_canceled || !cancels(&mut bench).is_empty());
    }
}

#[test]
fn a_client_may_be_closed_where_its_pool_cancels() {
    let mut bench = bench(PoolMode::Transaction, limits());
    let closes = ClientRules { timeout_action: Some(TimeoutAction::Close), ..ClientRules::default() };
    bench.command(Command::ClientRules(ClientRulesOf(Arc::new(move |_: &str, _: &str| closes))));
    bench.says(CLIENT, &query("select 1"));
    later(&mut bench, 1_100);
    assert_eq!((cancels(&mut bench).len(), is_closed(&mut bench)), (1, true), "the cancel of a close");
}
