//! What the age of a server's authorization comes to, case by case: one `Core` without a network,
//! its peers played by hand.

use super::cases::{Bench, CLIENT, SERVER, bind, complete, empties, notice, parse, query, ready};
use pgweir::base::{Micros, PoolId, WorkerId};
use pgweir::config::{PoolMode, PoolRules};
use pgweir::core::{Answer, Authorization, Command, Note, Scope, Stance};
use pgweir::stats::PoolCounters;
use pgweir::wire::tags::{client as ask, server as answer};
use std::sync::Arc;

const SOFT: Micros = Micros(1_000);
const HARD: Micros = Micros(2_000);
const CLOSED: &str = "close Server(ServerId(0)) Terminate";

/// A client, and a server whose authorization is good until then.
fn bench(mode: PoolMode) -> Bench {
    let authorization = Some(Authorization { soft_at: SOFT, hard_at: HARD });
    let bench = Bench::with(mode, 0, authorization);
    bench.share.set_live_count(1);
    bench
}

impl Bench {
    fn renewals_asked(&mut self) -> usize {
        let asked = self.net.notes.iter().filter(|note| matches!(note, Note::NeedRenewal(PoolId(0)))).count();
        self.net.notes.clear();
        asked
    }

    fn counters(&mut self) -> PoolCounters {
        match self.core.command(Command::Stats(0), self.now, &mut self.net) {
            Answer::Stats(mut stats, _) => stats.remove(0).1,
            answer => panic!("{answer:?}"),
        }
    }

    /// A reload.
    fn change_rules(&mut self, change: impl FnOnce(&mut PoolRules)) {
        let mut rules = PoolRules::clone(&self.share.rules());
        change(&mut rules);
        let rules = Arc::new(rules);
        self.share.set_rules(Arc::clone(&rules));
        self.command(Command::Rules(PoolId(0), rules));
    }

    /// A query and its answer.
    fn transaction(&mut self) {
        self.says(CLIENT, &query("select 1"));
        self.answers();
    }

    fn answers(&mut self) {
        let mut answers = complete("SELECT 1");
        answers.extend(ready(b'I'));
        self.says(SERVER, &answers);
    }

    fn is_linked(&self) -> bool {
        self.net.sent.contains_key(&SERVER)
    }
}

#[test]
fn a_young_server_asks_for_nothing() {
    let mut bench = bench(PoolMode::Transaction);
    bench.transaction();
    bench.now = Micros(SOFT.0 - 1);
    bench.transaction();
    bench.janitor();
    assert_eq!((bench.renewals_asked(), bench.acts()), (0, vec![]));
}

#[test]
fn a_server_past_its_soft_age_asks_once_in_a_while_and_serves_on() {
    let mut bench = bench(PoolMode::Transaction);
    bench.now = SOFT;
    bench.transaction();
    bench.transaction();
    bench.janitor();
    assert_eq!(bench.renewals_asked(), 1, "the pool's pace: of its only server, half of the time left");
    bench.now = Micros(SOFT.0 + HARD.since(SOFT).0 / 3 - 1);
    bench.janitor();
    assert_eq!(bench.renewals_asked(), 0);
    bench.share.postpone_renewal(bench.now);
    bench.janitor();
    assert_eq!((bench.renewals_asked(), bench.acts()), (1, vec![]), "a refusal is not for ever");
}

#[test]
fn a_server_retires_when_its_replacement_has_come() {
    for on_release in [false, true] {
        let mut bench = bench(PoolMode::Transaction);
        bench.now = SOFT;
        bench.says(CLIENT, &query("select 1"));
        bench.share.want_retirement();
        bench.janitor();
        bench.command(Command::Sweep(Scope::All));
        assert_eq!(bench.acts(), [""; 0], "not in its transaction");
        if on_release {
            bench.answers();
        } else {
            bench.share.take_retirement();
            bench.answers();
            bench.share.want_retirement();
            bench.command(Command::Sweep(Scope::Pool(PoolId(0))));
        }
        assert_eq!(bench.acts(), [CLOSED]);
        assert_eq!(bench.sent(CLIENT), "C[SELECT 1~] Z[I]");
        assert!(!bench.share.is_retirement_wanted());
        assert_eq!(bench.counters().renewed, 1);
    }
}

#[test]
fn the_oldest_of_the_free_ones_retires() {
    let mut bench = bench(PoolMode::Transaction);
    bench.authorization = Some(Authorization { soft_at: SOFT, hard_at: Micros(HARD.0 - 1) });
    let older = bench.server();
    bench.authorization = None;
    bench.server();
    bench.now = SOFT;
    bench.share.want_retirement();
    bench.command(Command::Sweep(Scope::All));
    assert_eq!(bench.acts(), [format!("close {older:?} Terminate")]);
}

#[test]
fn a_server_that_ends_by_itself_was_the_one_to_retire() {
    let mut bench = bench(PoolMode::Transaction);
    bench.now = SOFT;
    bench.share.want_retirement();
    bench.core.closed(SERVER, bench.now, &mut bench.net);
    assert!(!bench.share.is_retirement_wanted(), "or another one would go without need");
    assert_eq!(bench.counters().renewed, 0);
}

#[test]
fn no_transaction_begins_past_the_hard_age() {
    let mut bench = bench(PoolMode::Transaction);
    bench.now = Micros(HARD.0 - 1);
    bench.transaction();
    bench.net.sent.clear();
    bench.now = HARD;
    bench.says(CLIENT, &query("select 2"));
    assert_eq!(bench.acts(), [CLOSED, "pause Client(ClientId(0))"]);
    assert!(!bench.is_linked());
    assert_eq!(bench.counters().over_age_transactions, 0);
}

#[test]
fn none_is_moved_to_another_worker_past_the_hard_age() {
    let mut bench = bench(PoolMode::Transaction);
    bench.now = HARD;
    bench.core.nudged(PoolId(0), WorkerId(1), bench.now, &mut bench.net);
    assert_eq!(bench.acts(), [CLOSED]);
}

#[test]
fn a_transaction_that_runs_past_the_hard_age_ends_in_peace() {
    let mut bench = bench(PoolMode::Transaction);
    bench.now = SOFT;
    bench.says(CLIENT, &query("begin"));
    let mut answers = complete("BEGIN");
    answers.extend(ready(b'T'));
    bench.says(SERVER, &answers);
    bench.now = HARD;
    bench.janitor();
    bench.command(Command::Sweep(Scope::All));
    bench.says(CLIENT, &query("commit"));
    assert_eq!(bench.acts(), [""; 0]);
    bench.answers();
    assert_eq!(bench.acts(), [CLOSED]);
    assert_eq!(bench.sent(CLIENT), "C[BEGIN~] Z[T] C[SELECT 1~] Z[I]");
    let counters = bench.counters();
    assert_eq!((counters.over_age_transactions, counters.extended), (1, 0));
}

#[test]
fn a_client_that_has_waited_begins_nothing_past_the_hard_age() {
    let mut bench = bench(PoolMode::Transaction);
    let waiting = bench.client();
    bench.now = Micros(HARD.0 - 1);
    bench.says(CLIENT, &query("select 1"));
    bench.says(waiting, &query("select 2"));
    bench.answers();
    assert_eq!(bench.acts(), [format!("pause {waiting:?}"), format!("resume {waiting:?}")], "it is lent");
    bench.net.sent.clear();
    bench.now = HARD;
    assert!(bench.says(waiting, &[]) > 0, "its query is not taken");
    assert_eq!(bench.acts(), [CLOSED.to_owned(), format!("pause {waiting:?}")], "it waits on");
    assert!(!bench.is_linked());
}

#[test]
fn a_client_that_was_answered_by_us_alone_begins_nothing_past_the_hard_age() {
    let mut bench =
        Bench::with(PoolMode::Transaction, 10, Some(Authorization { soft_at: SOFT, hard_at: HARD }));
    let mut batch = parse("a", "select 1");
    batch.extend(empties(&[ask::SYNC]));
    bench.says(CLIENT, &batch);
    let mut answers = empties(&[answer::PARSE_COMPLETE]);
    answers.extend(ready(b'I'));
    bench.says(SERVER, &answers);
    bench.net.sent.clear();
    bench.now = Micros(HARD.0 - 1);
    bench.says(CLIENT, &parse("b", "select 1"));
    assert_eq!((bench.sent(CLIENT).as_str(), bench.is_linked()), ("1[]", false), "the server has it");
    bench.now = HARD;
    assert!(bench.says(CLIENT, &bind("b")) > 0, "its Bind is not taken");
    assert_eq!(bench.acts(), [CLOSED, "pause Client(ClientId(0))"]);
    bench.authorization = None;
    let next = bench.server();
    bench.says(CLIENT, &[]);
    assert!(
        bench.sent(next).starts_with("P[PGBOUNCER_1~select 1~~~] B[~PGBOUNCER_1~"),
        "the next one serves it"
    );
}

#[test]
fn a_server_in_the_middle_of_a_notice_is_not_taken_back() {
    let mut bench = bench(PoolMode::Transaction);
    let waiting = bench.client();
    bench.says(CLIENT, &query("select 1"));
    bench.says(waiting, &query("select 2"));
    bench.answers();
    bench.says(SERVER, &notice()[..7]);
    bench.acts();
    bench.now = HARD;
    assert_eq!(bench.says(waiting, &[]), 0, "half of it is the client's already");
    assert_eq!(bench.acts(), [""; 0]);
}

#[test]
fn pools_that_keep_on_lend_past_the_hard_age() {
    let mut bench = bench(PoolMode::Transaction);
    bench.share.set_stance(Stance::KeepOn);
    bench.now = HARD;
    bench.transaction();
    bench.transaction();
    bench.janitor();
    assert_eq!((bench.renewals_asked(), bench.acts()), (0, vec![]));
    let counters = bench.counters();
    assert_eq!((counters.extended, counters.over_age_transactions), (2, 0));
    bench.share.set_stance(Stance::Renew);
    bench.janitor();
    assert_eq!(bench.acts(), [CLOSED]);
}

#[test]
fn pools_that_catch_up_lend_what_they_replace_soon() {
    let mut bench = bench(PoolMode::Transaction);
    bench.share.set_stance(Stance::KeepOn);
    bench.now = Micros(HARD.0 + 100_000);
    bench.janitor();
    assert!(bench.share.take_overstay(), "it is kept");
    bench.share.set_stance(Stance::CatchUp);
    bench.transaction();
    bench.transaction();
    assert_eq!((bench.renewals_asked(), bench.acts()), (1, vec![]));
    assert!(bench.share.has_overstay());
    bench.now = Micros(bench.now.0 + 20_000);
    bench.janitor();
    assert_eq!(bench.renewals_asked(), 1, "soon, not spread over an age");
    bench.share.want_retirement();
    bench.transaction();
    assert_eq!(bench.acts(), [CLOSED]);
    let counters = bench.counters();
    assert_eq!((counters.extended, counters.over_age_transactions, counters.renewed), (3, 0, 1));
    bench.share.take_overstay();
    bench.janitor();
    assert!(!bench.share.has_overstay(), "nothing is kept any more");
}

#[test]
fn pools_that_keep_to_the_hard_age_renew_nothing() {
    let mut bench = bench(PoolMode::Transaction);
    bench.share.set_stance(Stance::KeepToHardAge);
    bench.share.want_retirement();
    bench.now = SOFT;
    bench.transaction();
    bench.janitor();
    assert_eq!((bench.renewals_asked(), bench.acts()), (0, vec![]));
    bench.now = HARD;
    bench.janitor();
    assert_eq!(bench.acts(), [CLOSED]);
}

#[test]
fn who_is_denied_loses_free_servers_at_once() {
    let mut bench = bench(PoolMode::Transaction);
    bench.authorization = None;
    bench.server();
    bench.share.set_stance(Stance::CloseNow);
    bench.command(Command::Sweep(Scope::All));
    assert_eq!(bench.acts(), [CLOSED], "the other one has no authorization to lose");
}

#[test]
fn who_is_denied_ends_the_transaction_first() {
    let mut bench = bench(PoolMode::Transaction);
    bench.says(CLIENT, &query("select 1"));
    bench.share.set_stance(Stance::CloseNow);
    bench.janitor();
    assert_eq!(bench.acts(), [""; 0]);
    bench.answers();
    assert_eq!(bench.acts(), [CLOSED]);
}

#[test]
fn a_session_lives_on_past_the_hard_age() {
    let mut bench = bench(PoolMode::Session);
    bench.transaction();
    bench.now = HARD;
    bench.janitor();
    bench.transaction();
    assert_eq!(bench.acts(), [""; 0]);
    bench.core.closed(CLIENT, bench.now, &mut bench.net);
    assert_eq!(bench.acts(), [""; 0], "it is reset first");
    bench.answers();
    assert_eq!(bench.acts(), [CLOSED]);
    assert_eq!(bench.counters().over_age_transactions, 1, "one session");
}

#[test]
fn the_age_is_counted_as_each_transaction_begins_on_a_server() {
    for mode in [PoolMode::Transaction, PoolMode::Session] {
        let mut bench = bench(mode);
        for at in [100, 200] {
            bench.now = Micros(at);
            bench.transaction();
        }
        bench.now = Micros(300);
        bench.says(CLIENT, &query("begin"));
        let mut answers = complete("BEGIN");
        answers.extend(ready(b'T'));
        bench.says(SERVER, &answers);
        bench.now = Micros(400);
        bench.transaction();
        let ages = bench.counters().auth_age;
        assert_eq!((ages.count(), ages.sum_us()), (3, 100 + 200 + 300), "{mode:?}: one for each transaction");
    }
}

#[test]
fn a_lifetime_ends_in_a_renewal() {
    let mut bench = bench(PoolMode::Transaction);
    bench.authorization = None;
    let other = bench.server();
    bench.now = Micros(500);
    bench.change_rules(|rules| rules.server_lifetime = Micros(500));
    bench.janitor();
    assert_eq!(bench.acts(), [format!("close {other:?} Terminate")], "what needs no token goes at once");
    assert_eq!(bench.renewals_asked(), 1);
    bench.now = Micros(999);
    bench.transaction();
    bench.janitor();
    assert_eq!((bench.renewals_asked(), bench.acts()), (0, vec![]), "it serves on");
    bench.share.want_retirement();
    bench.janitor();
    assert_eq!((bench.counters().renewed, bench.acts()), (1, vec![CLOSED.to_owned()]));
}

#[test]
fn no_server_is_given_up_while_no_other_can_be_had() {
    for stance in [Stance::KeepToHardAge, Stance::KeepOn] {
        for lifetime in [0, 500] {
            let mut bench = bench(PoolMode::Transaction);
            bench.change_rules(|rules| {
                rules.server_lifetime = Micros(lifetime);
                rules.server_idle_timeout = Micros(100);
                rules.min_pool_size = 0;
            });
            bench.share.set_stance(stance);
            bench.now = Micros(900);
            bench.transaction();
            bench.now = Micros(1_500);
            bench.janitor();
            bench.command(Command::Sweep(Scope::All));
            assert_eq!((bench.renewals_asked(), bench.acts()), (0, vec![]), "{stance:?} {lifetime}");
            bench.share.set_stance(Stance::Renew);
            bench.janitor();
            assert_eq!(bench.acts(), [CLOSED], "{stance:?} {lifetime}: it has idled for long");
        }
    }
}

#[test]
fn a_transaction_that_waits_has_not_begun() {
    let mut bench = bench(PoolMode::Transaction);
    let waiting = bench.client();
    bench.now = Micros(100);
    bench.says(CLIENT, &query("select 1"));
    bench.now = Micros(200);
    bench.says(waiting, &query("select 2"));
    bench.now = Micros(700);
    bench.answers();
    bench.says(waiting, &[]);
    let ages = bench.counters().auth_age;
    assert_eq!((ages.count(), ages.sum_us()), (2, 100 + 700));
}

#[test]
fn servers_without_an_authorization_have_no_age() {
    let mut bench = Bench::with(PoolMode::Transaction, 0, None);
    bench.transaction();
    assert_eq!((bench.counters().auth_age.count(), bench.counters().xact_count), (0, 1));
}

#[test]
fn a_lifetime_of_zero_is_one_use() {
    let mut bench = bench(PoolMode::Transaction);
    bench.change_rules(|rules| rules.server_lifetime = Micros(0));
    bench.transaction();
    assert_eq!(bench.acts(), [CLOSED]);
}

#[test]
fn a_server_serves_before_it_retires_however_long_its_login_took() {
    let mut bench = bench(PoolMode::Transaction);
    bench.core.closed(SERVER, bench.now, &mut bench.net);
    bench.says(CLIENT, &query("select 1"));
    bench.now = SOFT;
    bench.share.want_retirement();
    bench.server();
    bench.says(CLIENT, &[]);
    assert!(bench.is_linked());
    bench.answers();
    assert_eq!(bench.acts().last().map(String::as_str), Some(CLOSED));
}

#[test]
fn a_lowered_greatest_age_counts_for_servers_that_are_there_and_that_come() {
    let mut bench = bench(PoolMode::Transaction);
    bench.share.set_max_age(Micros(4_000));
    bench.now = Micros(800);
    bench.janitor();
    assert_eq!((bench.renewals_asked(), bench.acts()), (0, vec![]), "what is raised counts for later logins");
    bench.share.set_max_age(Micros(1_001));
    bench.server();
    bench.janitor();
    assert_eq!((bench.renewals_asked(), bench.acts()), (1, vec![]), "the soft age comes down with it");
    bench.now = Micros(1_001);
    bench.share.set_stance(Stance::KeepOn);
    bench.janitor();
    assert_eq!(bench.acts(), [""; 0], "but nothing is given up for it while logins fail");
    bench.share.set_stance(Stance::Renew);
    bench.janitor();
    assert_eq!(bench.acts().len(), 2);
}
