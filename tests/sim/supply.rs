//! Who gets which server, and what becomes of one first, case by case: one `Core` without a network,
//! its peers played by hand.

use super::cases::{Bench, CLIENT, SERVER, complete, query, ready};
use pgweir::base::{Address, Micros, Peer, PoolId, ServerId, WorkerId, limits};
use pgweir::config::{PoolMode, PoolRules};
use pgweir::core::{Answer, Command, Ledger, Note, PoolShare, Scope, Verdict, Want};
use std::net::IpAddr;
use std::sync::Arc;

const CLOSED: &str = "close Server(ServerId(0)) Terminate";

impl Bench {
    fn reload(&mut self, change: impl FnOnce(&mut PoolRules)) {
        let mut rules = PoolRules::clone(&self.share.rules());
        change(&mut rules);
        let rules = Arc::new(rules);
        self.share.set_rules(Arc::clone(&rules));
        self.command(Command::Rules(PoolId(0), rules));
    }

    fn answered(&mut self) {
        let mut answers = complete("SELECT 1");
        answers.extend(ready(b'I'));
        self.says(SERVER, &answers);
    }
}

#[test]
fn what_a_session_has_left_behind_is_reset_also_after_a_reload_to_transaction_pooling() {
    let mut bench = Bench::with(PoolMode::Session, 0, None);
    bench.says(CLIENT, &query("set search_path to mine"));
    bench.answered();
    bench.sent(SERVER);
    bench.reload(|rules| rules.mode = PoolMode::Transaction);
    bench.says(CLIENT, &query("select 1"));
    bench.sent(SERVER);
    bench.answered();
    assert!(bench.sent(SERVER).contains("DISCARD ALL"), "the next client would have the first one's session");
    bench.answered();
    bench.says(CLIENT, &query("select 1"));
    bench.answered();
    assert!(!bench.sent(SERVER).contains("DISCARD ALL"), "once is enough");
}

#[test]
fn a_released_server_goes_to_the_pool_that_starves_longer() {
    let mut bench = Bench::with(PoolMode::Transaction, 0, None);
    let starved =
        PoolShare::new(PoolId(1), Arc::clone(&bench.share.database), "other".into(), bench.share.rules(), 2);
    bench.reload(|rules| rules.max_db_connections = 1);
    starved.set_rules(bench.share.rules());
    let (mut ledger, starved, want) =
        (Ledger::default(), Arc::new(starved), Want::Waiter { since: Micros(5) });
    let Verdict::Launch(opening) = ledger.consider(&bench.share, want, Micros(5)) else { panic!("no room") };
    ledger.logged_in(&bench.share, &opening, &"host".into());
    bench.says(CLIENT, &query("select 1"));
    let second = bench.client();
    bench.says(second, &query("select 2"));
    assert!(matches!(ledger.consider(&starved, want, Micros(5)), Verdict::EvictFirst(_)));
    ledger.nothing_to_evict(&Scope::Database("db".into()));
    bench.acts();
    bench.now = Micros(limits::FAIR_LEAD_US);
    bench.answered();
    assert!(!bench.acts().contains(&CLOSED.to_owned()), "the second client here has waited longer");
    bench.now = Micros(2 * limits::FAIR_LEAD_US);
    bench.says(CLIENT, &query("select 3"));
    bench.answered();
    assert!(bench.acts().contains(&CLOSED.to_owned()), "those who wait here have come later");
}

#[test]
fn servers_at_an_address_that_their_host_has_left_are_closed_when_they_are_free() {
    let mut bench = Bench::with(PoolMode::Transaction, 0, None);
    bench.reload(|rules| rules.round_robin = false);
    let [old, new] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
    for address in [old, old, new] {
        bench.remote = Address::Tcp((address, 5432).into());
        bench.server();
    }
    // The last one to join is the first one to be lent: 0 has no address, 1 and 2 the old one, 3 the new one.
    let second = bench.client();
    bench.says(CLIENT, &query("select 1"));
    bench.says(second, &query("select 2"));
    bench.acts();
    bench.command(Command::HostMoved("another".into(), [new].into()));
    assert!(bench.acts().is_empty());
    bench.command(Command::HostMoved("db".into(), [new].into()));
    assert_eq!(bench.acts(), ["close Server(ServerId(1)) Terminate"], "the idle one at once");
    let mut answers = complete("SELECT 1");
    answers.extend(ready(b'I'));
    for busy in [2, 3] {
        bench.says(Peer::Server(ServerId(busy)), &answers);
    }
    let closed: Vec<_> = bench.acts().into_iter().filter(|act| act.starts_with("close")).collect();
    assert_eq!(closed, ["close Server(ServerId(2)) Terminate"], "the busy one when it is released");
}

#[test]
fn a_client_on_its_way_into_a_pool_that_is_removed_meanwhile_is_turned_away() {
    let mut bench = Bench::with(PoolMode::Transaction, 0, None);
    bench.share.set_removed();
    bench.command(Command::Kill(Scope::Pool(PoolId(0))));
    bench.net.sent.clear();
    let late = bench.client();
    assert!(bench.sent(late).contains("database removed"));
    assert_eq!(bench.core.counts().0, 0);
}

#[test]
fn a_server_on_its_way_to_another_worker_does_not_outlive_its_pool() {
    let mut here = Bench::with(PoolMode::Transaction, 0, None);
    here.core.nudged(PoolId(0), WorkerId(1), Micros(3), &mut here.net);
    let moved = here.net.moved.take().expect("the idle server goes where it is wanted");
    // Each bench has a share of its own: the same pool.
    let mut there = Bench::with(PoolMode::Transaction, 0, None);
    there.share.set_removed();
    there.command(Command::Kill(Scope::Pool(PoolId(0))));
    there.acts();
    let id = there.core.reserve_server();
    there.core.server_moved_in(id, moved, Micros(4), &mut there.net);
    assert_eq!(there.acts(), [CLOSED]);
}

#[test]
fn a_server_on_its_way_to_another_worker_does_not_outlive_its_host_s_move() {
    let [old, new] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
    for (lead_ms, closed) in [(0, 1), (limits::HOST_MOVED_MS, 0)] {
        let mut here = Bench::with(PoolMode::Transaction, 0, None);
        here.core.closed(SERVER, Micros(2), &mut here.net);
        here.remote = Address::Tcp((old, 5432).into());
        here.server();
        here.core.nudged(PoolId(0), WorkerId(1), Micros(3), &mut here.net);
        let moved = here.net.moved.take().expect("the idle server goes where it is wanted");
        let mut there = Bench::with(PoolMode::Transaction, 0, None);
        there.command(Command::HostMoved("db".into(), [new].into()));
        there.acts();
        there.now = there.now + Micros::from_millis(lead_ms);
        there.janitor();
        let id = there.core.reserve_server();
        there.core.server_moved_in(id, moved, there.now, &mut there.net);
        let closes = there.acts().iter().filter(|act| act.starts_with("close")).count();
        assert_eq!(closes, closed, "{lead_ms} ms after the order");
    }
}

#[test]
fn a_server_that_is_checked_for_another_workers_client_is_on_its_way_to_it() {
    let nudge = |bench: &mut Bench| {
        bench.reload(|rules| {
            (rules.server_check_query, rules.server_check_delay) = (Some("".into()), Micros(0));
        });
        bench.now = Micros::from_secs(1);
        bench.core.nudged(PoolId(0), WorkerId(1), bench.now, &mut bench.net);
        assert!(bench.sent(SERVER).starts_with("Q["), "it is checked first");
        assert!(bench.share.is_moving(), "no other need be opened for that client");
    };
    let mut bench = Bench::with(PoolMode::Transaction, 0, None);
    nudge(&mut bench);
    let own = bench.client();
    bench.says(own, &query("select 1"));
    let is_wanted = |note: &Note| matches!(note, Note::NeedServer(PoolId(0)));
    assert!(bench.net.notes.iter().any(is_wanted), "the one that is checked is another's");
    bench.share.set_waiting_since(WorkerId(1), Micros(0));
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
    let moved = bench.net.moved.take().expect("it has passed");
    assert!(bench.share.is_moving());
    drop(moved);

    let mut bench = Bench::with(PoolMode::Transaction, 0, None);
    nudge(&mut bench);
    bench.core.closed(SERVER, bench.now, &mut bench.net);
    assert!(!bench.share.is_moving(), "it has not passed");

    let mut bench = Bench::with(PoolMode::Transaction, 0, None);
    nudge(&mut bench);
    bench.now = bench.now + Micros::from_millis(2 * limits::JANITOR_PERIOD_MS);
    bench.janitor();
    assert!(!bench.share.is_moving(), "it takes too long: another one may be opened");
    bench.says(SERVER, &[complete("SELECT 1"), ready(b'I')].concat());
    assert!(!bench.share.is_moving());
}

#[test]
fn a_worker_keeps_nothing_of_a_pool_that_was_removed() {
    let mut bench = Bench::with(PoolMode::Transaction, 0, None);
    bench.share.set_removed();
    bench.command(Command::Kill(Scope::Pool(PoolId(0))));
    let late = bench.client(); // as one whose login was under way
    assert!(bench.sent(late).contains("database removed"));
    bench.janitor();
    let Answer::Stats(stats, _) = bench.command(Command::Stats(0)) else { panic!("rows are asked for") };
    assert!(stats.is_empty());
}
