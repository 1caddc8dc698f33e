//! When a server is at rest, and what follows: cancels, notifications and operators'
//! orders at awkward moments.

use super::cases::{Bench, CLIENT, SERVER, complete, empties, frame, query, ready, rules};
use pgweir::base::{Micros, Peer, PoolId, WorkerId};
use pgweir::config::{PoolMode, PoolRules};
use pgweir::core::{Answer, CancelFate, ClientState, Command, Note, ServerState};
use pgweir::wire::tags::{client as ask, server as answer};
use std::sync::Arc;

const CLIENT_SOCKET: u64 = 1;
const SERVER_SOCKET: u64 = 100;
const CANCELED: &str = "E[SERROR~C57014~Mcanceling statement due to user request~] Z[I]";

fn cancel(bench: &mut Bench) {
    bench.command(Command::Cancel(CLIENT_SOCKET, 0));
}

fn cancel_over(bench: &mut Bench, fate: CancelFate) {
    bench.core.cancel_over(SERVER_SOCKET, fate, bench.now, &mut bench.net);
}

fn server_state(bench: &mut Bench) -> Option<ServerState> {
    let Answer::Servers(rows) = bench.command(Command::Servers) else { panic!("rows are asked for") };
    rows.first().map(|row| row.state)
}

fn client_states(bench: &mut Bench) -> Vec<ClientState> {
    let Answer::Clients(rows) = bench.command(Command::Clients) else { panic!("rows are asked for") };
    rows.iter().map(|row| row.state).collect()
}

fn notification() -> Vec<u8> {
    frame(answer::NOTIFICATION_RESPONSE, b"\0\0\0\x07channel\0payload\0")
}

/// A server that has answered while a cancel for it was under way.
fn being_canceled() -> Bench {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    bench.says(CLIENT, &query("select 1"));
    cancel(&mut bench);
    assert!(matches!(bench.net.notes[..], [Note::SendCancel { server: SERVER_SOCKET, .. }]));
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(server_state(&mut bench), Some(ServerState::BeingCanceled));
    bench.acts();
    bench
}

#[test]
fn a_notification_in_any_two_parts_does_not_keep_a_canceled_server() {
    let note = notification();
    for cut in 0..=note.len() {
        let mut bench = being_canceled();
        bench.says(SERVER, &note[..cut]);
        cancel_over(&mut bench, CancelFate::Taken);
        bench.says(SERVER, &note[cut..]);
        assert_eq!(server_state(&mut bench), Some(ServerState::Idle), "cut at {cut}");
        let next = bench.client();
        bench.says(next, &query("select 2"));
        bench.net.sent.clear();
        bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
        assert_eq!(bench.sent(next), "C[SELECT 1~] Z[I]", "cut at {cut}: and it has missed nothing");
    }
}

#[test]
fn a_server_rests_when_the_last_of_its_cancels_is_over() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    bench.says(CLIENT, &query("select 1"));
    (0..3).for_each(|_| cancel(&mut bench));
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
    for state in [ServerState::BeingCanceled, ServerState::BeingCanceled, ServerState::Idle] {
        cancel_over(&mut bench, CancelFate::Taken);
        bench.says(SERVER, &notification());
        assert_eq!(server_state(&mut bench), Some(state));
    }
}

#[test]
fn a_cancel_in_doubt_ends_its_server_before_another_client_has_it() {
    for is_over_first in [true, false] {
        let mut bench = Bench::new(PoolMode::Transaction, 0);
        bench.says(CLIENT, &query("select 1"));
        cancel(&mut bench);
        let answer = [complete("SELECT 1"), ready(b'I')].concat();
        if is_over_first {
            cancel_over(&mut bench, CancelFate::Unknown);
            assert_eq!(client_states(&mut bench), [ClientState::Active], "its own query may go on");
            bench.says(SERVER, &answer);
        } else {
            bench.says(SERVER, &answer);
            cancel_over(&mut bench, CancelFate::Unknown);
        }
        assert_eq!(server_state(&mut bench), None);
        assert!(bench.acts().contains(&format!("close {SERVER:?} Terminate")));
    }
}

#[test]
fn a_cancel_that_was_never_sent_costs_nobody_a_server() {
    let mut bench = being_canceled();
    cancel_over(&mut bench, CancelFate::NeverSent);
    assert_eq!(server_state(&mut bench), Some(ServerState::Idle));
}

#[test]
fn a_query_that_is_canceled_while_its_server_is_prepared_never_starts() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    let client = bench.client_named("of its own");
    bench.says(client, &query("select 1"));
    assert!(bench.sent(SERVER).starts_with("Q[SET application_name"));
    bench.command(Command::Cancel(2, 0));
    bench.says(SERVER, &[complete("SET"), ready(b'I')].concat());
    bench.says(client, b"");
    assert_eq!(bench.sent(client), CANCELED);
    assert_eq!(bench.sent(SERVER), "");
    assert_eq!(server_state(&mut bench), Some(ServerState::Idle));
    assert_eq!(client_states(&mut bench), [ClientState::Idle, ClientState::Idle]);
    bench.says(client, &query("select 2"));
    assert_eq!(bench.sent(SERVER).split(' ').next(), Some("Q[select"), "and all goes on");
}

#[test]
fn a_query_that_is_canceled_before_its_server_heard_of_it_never_starts() {
    for (mode, state) in
        [(PoolMode::Transaction, ServerState::Idle), (PoolMode::Session, ServerState::Active)]
    {
        let mut bench = Bench::new(mode, 0);
        bench.says(CLIENT, &query("select 1"));
        let waiting = bench.client();
        bench.says(waiting, &query("select 2"));
        bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
        if mode == PoolMode::Session {
            bench.says(CLIENT, &empties(&[ask::TERMINATE]));
            bench.says(SERVER, &[complete("DISCARD ALL"), ready(b'I')].concat());
        }
        bench.net.sent.clear();
        bench.command(Command::Cancel(2, 0));
        bench.says(waiting, b"");
        assert_eq!(bench.sent(waiting), CANCELED, "{mode:?}");
        assert_eq!(bench.sent(SERVER), "", "{mode:?}");
        assert_eq!(server_state(&mut bench), Some(state), "{mode:?}");
    }
}

#[test]
fn a_query_that_is_canceled_in_the_middle_of_a_notification_is_answered_behind_it() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    bench.says(CLIENT, &query("select 1"));
    let waiting = bench.client();
    bench.says(waiting, &query("select 2"));
    let note = notification();
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
    bench.says(SERVER, &note[..9]);
    bench.acts();
    bench.command(Command::Cancel(2, 0));
    bench.says(waiting, b"");
    assert_eq!(bench.acts(), [format!("pause {waiting:?}")]);
    bench.says(SERVER, &note[9..]);
    assert_eq!(bench.acts(), [format!("resume {waiting:?}")]);
    bench.says(waiting, b"");
    let sent = bench.net.sent.remove(&waiting).unwrap_or_default();
    assert_eq!(sent[..note.len()], note, "whole, and nothing of ours inside");
    bench.net.sent.insert(waiting, sent[note.len()..].to_vec());
    assert_eq!(bench.sent(waiting), CANCELED);
    assert_eq!(server_state(&mut bench), Some(ServerState::Idle));
}

#[test]
fn resume_takes_back_what_suspend_would_still_do() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    bench.core.blocked(CLIENT, &mut bench.net);
    bench.command(Command::Suspend);
    assert!(matches!(bench.command(Command::IsAllSent), Answer::Found(false)));
    bench.command(Command::Unsuspend);
    bench.acts();
    assert!(matches!(bench.command(Command::IsAllSent), Answer::Found(false)));
    bench.command(Command::DropUnsent);
    assert!(bench.acts().is_empty(), "a question changes nothing, and a late order neither");
    bench.command(Command::Suspend);
    bench.command(Command::DropUnsent);
    assert!(bench.acts().contains(&format!("close {CLIENT:?} Close")));
}

#[test]
fn a_session_s_server_is_reset_though_sessions_are_not_pooled_any_more() {
    let mut bench = Bench::new(PoolMode::Session, 0);
    bench.says(CLIENT, &query("set role other"));
    bench.says(SERVER, &[complete("SET"), ready(b'I')].concat());
    let reset = || PoolRules { server_reset_query: "DISCARD ALL".into(), ..rules() };
    bench.command(Command::Rules(PoolId(0), Arc::new(reset())));
    bench.says(CLIENT, &query("select 1"));
    bench.sent(SERVER);
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(bench.sent(SERVER), "Q[DISCARD ALL~]");
    assert_eq!(server_state(&mut bench), Some(ServerState::Tested));
    bench.says(SERVER, &[complete("DISCARD ALL"), ready(b'I')].concat());
    assert_eq!(server_state(&mut bench), Some(ServerState::Idle));
    bench.says(CLIENT, &query("select 2"));
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(server_state(&mut bench), Some(ServerState::Idle), "once is enough");
}

#[test]
fn a_server_in_the_middle_of_a_notification_moves_and_goes_on_there() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    let note = notification();
    bench.says(SERVER, &note[..9]);
    bench.core.nudged(PoolId(0), WorkerId(1), Micros(3), &mut bench.net);
    let moved = bench.net.moved.take().expect("it is at rest: nobody gets the notification");
    let mut there = Bench::new(PoolMode::Transaction, 0);
    let id = there.core.reserve_server();
    there.core.server_moved_in(id, moved, Micros(4), &mut there.net);
    let rest = there.says(Peer::Server(id), &note[9..]);
    assert_eq!(rest, 0);
    assert!(!there.acts().iter().any(|act| act.starts_with("close")));
}

#[test]
fn a_server_whose_login_took_longer_than_its_lifetime_serves_first() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    let lifetime = Micros::from_millis(1);
    bench.command(Command::Rules(PoolId(0), Arc::new(PoolRules { server_lifetime: lifetime, ..rules() })));
    bench.says(CLIENT, &query("select 1"));
    let waiting = bench.client();
    bench.says(waiting, &query("select 2"));
    bench.now = Micros::from_secs(5);
    let late = bench.server_at(bench.now);
    assert_eq!(bench.acts().iter().filter(|act| act.starts_with("close")).count(), 0);
    bench.says(waiting, b"");
    assert_eq!(bench.sent(late), "Q[select 2~]", "the next one would be no younger");
    bench.says(late, &[complete("SELECT 1"), ready(b'I')].concat());
    assert!(bench.acts().contains(&format!("close {late:?} Terminate")));
}

#[test]
fn a_second_cancel_hits_no_later_query() {
    let mut bench = Bench::new(PoolMode::Session, 0);
    let client = bench.client_named("of its own");
    bench.says(client, &query("select 1"));
    bench.command(Command::Cancel(2, 0));
    bench.says(SERVER, &[complete("SET"), ready(b'I')].concat());
    bench.says(client, b"");
    assert_eq!(bench.sent(client), CANCELED);
    bench.net.sent.clear();
    bench.command(Command::Cancel(2, 0));
    bench.says(client, &query("select 2"));
    assert_eq!(bench.sent(SERVER), "Q[select 2~]");
}

#[test]
fn a_canceled_session_is_answered_behind_the_notification_that_came_with_its_parameters() {
    let mut bench = Bench::new(PoolMode::Session, 0);
    let client = bench.client_named("of its own");
    bench.says(client, &query("select 1"));
    bench.command(Command::Cancel(2, 0));
    let note = notification();
    bench.says(SERVER, &[&complete("SET"), &ready(b'I'), &note[..9]].concat());
    bench.says(client, b"");
    bench.says(SERVER, &note[9..]);
    bench.says(client, b"");
    let sent = bench.net.sent.remove(&client).unwrap_or_default();
    assert_eq!(sent[..note.len()], note, "whole, and nothing of ours inside");
}
