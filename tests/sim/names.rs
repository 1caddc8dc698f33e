//! `application_name_template`: what servers hear of their clients' names, what clients hear, and that nobody
//! waits for it.

use super::cases::{Bench, CLIENT, SERVER, complete, query, ready};
use pgweir::base::{Micros, Peer, SessionId, StartId};
use pgweir::config::{NameTemplate, NameWords, PoolMode, Value};
use pgweir::core::{Answer, Command, ShownName};
use pgweir::wire::TrackedNames;
use pgweir::wire::encode::{self, Severity};
use std::sync::Arc;

/// A client that calls itself `own`, and is called `own|SOCKET` at servers.
fn named(bench: &mut Bench, own: &str) -> Peer {
    let id = bench.core.reserve_client();
    let mut login = bench.client_login(id);
    let words = NameWords {
        principal: "",
        session: SessionId { start: StartId(7), socket_id: login.identity.socket_id },
        user: "",
        database: "",
        remote: "",
    };
    let frame = NameTemplate::parse("%a|%s").expect("a template").fill(&words);
    let position = TrackedNames::new([]).position("application_name").expect("it is always tracked");
    let name = ShownName::new(frame, position, own.into());
    login.params = login.params.with(position, Arc::clone(name.shown()));
    login.asked = login.asked.with(position);
    login.shown_name = Some(Box::new(name));
    bench.core.client_joined(id, login, Micros(1), &mut bench.net);
    Peer::Client(id)
}

fn report(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encode::parameter_status(&mut out, "application_name", name);
    out
}

/// A server's answer to the name that it was told.
fn told(name: &str) -> Vec<u8> {
    [complete("SET"), report(name), ready(b'I')].concat()
}

fn answer(text: &str) -> Vec<u8> {
    [complete(text), ready(b'I')].concat()
}

#[test]
fn a_name_goes_in_front_of_what_its_client_says_and_its_answer_is_nobodys() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    let ada = named(&mut bench, "ada");
    assert_eq!(bench.says(ada, &query("select 1")), 0, "nothing waits");
    assert_eq!(bench.sent(SERVER), "Q[SET application_name='ada|00000007.2';~] Q[select 1~]");
    bench.says(SERVER, &told("ada|00000007.2"));
    assert_eq!(bench.sent(ada), "");
    bench.says(SERVER, &answer("SELECT 1"));
    assert_eq!(bench.sent(ada), "C[SELECT 1~] Z[I]");
    bench.says(ada, &query("select 2"));
    assert_eq!(bench.sent(SERVER), "Q[select 2~]", "once for each server");
    bench.says(SERVER, &answer("SELECT 2"));
    let bob = named(&mut bench, "bob");
    bench.says(bob, &query("select 3"));
    assert_eq!(bench.sent(SERVER), "Q[SET application_name='bob|00000007.3';~] Q[select 3~]");
}

#[test]
fn an_answer_in_any_two_parts_is_nobodys() {
    let all = [told("ada|00000007.2"), answer("SELECT 1")].concat();
    for cut in 0..=all.len() {
        let mut bench = Bench::new(PoolMode::Transaction, 0);
        let ada = named(&mut bench, "ada");
        bench.says(ada, &query("select 1"));
        bench.says(SERVER, &all[..cut]);
        bench.says(SERVER, &all[cut..]);
        assert_eq!(bench.sent(ada), "C[SELECT 1~] Z[I]", "cut at {cut}");
        let Answer::Servers(rows) = bench.command(Command::Servers) else { panic!("rows are asked for") };
        assert_eq!(&*rows[0].application_name, "ada|00000007.2");
    }
}

#[test]
fn a_client_hears_of_its_own_name_only() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    let ada = named(&mut bench, "ada");
    bench.says(ada, &query("set application_name to 'eve'"));
    bench.says(SERVER, &[told("ada|00000007.2"), complete("SET"), report("eve"), ready(b'I')].concat());
    assert_eq!(bench.sent(ada), "C[SET~] S[application_name~eve~] Z[I]");
    let Answer::Clients(rows) = bench.command(Command::Clients) else { panic!("rows are asked for") };
    assert_eq!(&*rows[1].application_name, "eve");
    bench.sent(SERVER);
    bench.says(ada, &query("select 1"));
    assert_eq!(bench.sent(SERVER), "Q[SET application_name='eve|00000007.2';~] Q[select 1~]");
}

#[test]
fn a_name_that_is_rolled_back_is_the_one_from_before() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    let ada = named(&mut bench, "ada");
    bench.says(ada, &query("begin; set application_name to 'eve'"));
    bench.says(SERVER, &[told("ada|00000007.2"), complete("SET"), report("eve"), ready(b'T')].concat());
    bench.says(ada, &query("rollback"));
    bench.sent(ada);
    bench.says(SERVER, &[complete("ROLLBACK"), report("ada|00000007.2"), ready(b'I')].concat());
    assert_eq!(bench.sent(ada), "C[ROLLBACK~] S[application_name~ada~] Z[I]");
    bench.sent(SERVER);
    bench.says(ada, &query("select 1"));
    assert_eq!(bench.sent(SERVER), "Q[select 1~]");
}

#[test]
fn a_server_that_does_not_take_a_name_serves_all_the_same_and_is_told_it_again() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    let ada = named(&mut bench, "ada");
    for _ in 0..2 {
        bench.says(ada, &query("select 1"));
        assert_eq!(bench.sent(SERVER), "Q[SET application_name='ada|00000007.2';~] Q[select 1~]");
        let mut refusal = Vec::new();
        encode::error(&mut refusal, Severity::Error, "42704", "no such parameter");
        bench.says(SERVER, &[refusal, ready(b'I'), answer("SELECT 1")].concat());
        assert_eq!(bench.sent(ada), "C[SELECT 1~] Z[I]");
    }
}

#[test]
fn who_has_waited_for_a_server_tells_its_name_when_it_speaks() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    let ada = named(&mut bench, "ada");
    bench.says(CLIENT, &query("select 1"));
    assert!(bench.says(ada, &query("select 2")) > 0, "it waits");
    bench.sent(SERVER);
    bench.says(SERVER, &answer("SELECT 1"));
    assert_eq!(bench.sent(SERVER), "", "it has not spoken yet");
    bench.says(ada, b"");
    assert_eq!(bench.sent(SERVER), "Q[SET application_name='ada|00000007.2';~] Q[select 2~]");
}

#[test]
fn a_query_cancelled_before_it_was_sent_leaves_no_name() {
    let mut bench = Bench::new(PoolMode::Transaction, 0);
    let ada = named(&mut bench, "ada");
    bench.says(CLIENT, &query("select 1"));
    bench.says(ada, &query("select 2"));
    bench.sent(SERVER);
    bench.says(SERVER, &answer("SELECT 1"));
    bench.command(Command::Cancel(2, 0));
    bench.says(ada, b"");
    assert_eq!(bench.sent(SERVER), "");
    assert!(bench.sent(ada).starts_with("E[SERROR~C57014"));
    bench.says(CLIENT, &query("select 3"));
    assert_eq!(bench.sent(SERVER), "Q[select 3~]");
}

#[test]
fn in_session_pooling_a_new_name_is_told_at_the_end_of_the_transaction() {
    let mut bench = Bench::new(PoolMode::Session, 0);
    let ada = named(&mut bench, "ada");
    bench.says(ada, &query("set application_name to 'eve'"));
    bench.sent(SERVER);
    bench.says(SERVER, &[told("ada|00000007.2"), complete("SET"), report("eve"), ready(b'I')].concat());
    assert_eq!(bench.sent(ada), "C[SET~] S[application_name~eve~] Z[I]");
    assert_eq!(bench.sent(SERVER), "Q[SET application_name='eve|00000007.2';~]");
    bench.says(ada, &query("select 1"));
    bench.says(SERVER, &[told("eve|00000007.2"), answer("SELECT 1")].concat());
    assert_eq!(bench.sent(ada), "C[SELECT 1~] Z[I]");
    assert_eq!(bench.sent(SERVER), "Q[select 1~]");
}
