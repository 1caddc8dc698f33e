//! The ledger's rules for logins that are in progress at the same time, by example.

use super::*;
use crate::base::WorkerId;

fn parallel() -> PoolRules {
    PoolRules { pool_size: 8, server_login_concurrency: 3, ..rules() }
}

#[test]
fn several_logins_at_once_when_one_has_shown_that_they_succeed() {
    let pool = one(&parallel());
    let mut ledger = Ledger::default();
    let first = begin(&mut ledger, &pool, WAITER, Micros(1));
    assert_eq!(ledger.consider(&pool, WAITER, Micros(1)), Verdict::Nothing, "nothing is known of its server");
    ledger.logged_in(&pool, &first, &endpoint());
    (0..3).for_each(|_| drop(begin(&mut ledger, &pool, WAITER, Micros(1))));
    assert_eq!(ledger.consider(&pool, WAITER, Micros(1)), Verdict::Nothing, "no more than that");
    assert_eq!(ledger.pool_servers(pool.id), (3, 1));
}

#[test]
fn a_server_that_is_new_or_gone_meets_one_login_at_a_time() {
    let pool = one(&parallel());
    let mut ledger = Ledger::default();
    launch(&mut ledger, &pool, Micros(1));
    pool.bump_generation();
    begin(&mut ledger, &pool, WAITER, Micros(1));
    assert_eq!(ledger.consider(&pool, WAITER, Micros(1)), Verdict::Nothing, "it is another one's server now");
    let (pool, mut ledger) = (one(&parallel()), Ledger::default());
    launch(&mut ledger, &pool, Micros(1));
    ledger.returned(&pool, &live());
    begin(&mut ledger, &pool, WAITER, Micros(1));
    assert_eq!(ledger.consider(&pool, WAITER, Micros(1)), Verdict::Nothing, "it may be dead by now");
}

#[test]
fn logins_in_progress_count_against_pool_size_and_the_reserve_waits_for_them() {
    let pool = one(&PoolRules { pool_size: 3, min_pool_size: 2, reserve_pool_size: 1, ..parallel() });
    let mut ledger = Ledger::default();
    launch(&mut ledger, &pool, Micros(1));
    let second = begin(&mut ledger, &pool, Want::Minimum, Micros(1));
    assert_eq!(ledger.consider(&pool, Want::Minimum, Micros(1)), Verdict::Nothing, "it is on its way");
    let third = begin(&mut ledger, &pool, WAITER, Micros(1));
    let late = Micros::from_secs(5);
    assert_eq!(ledger.consider(&pool, WAITER, late), Verdict::Nothing, "they may be for who waits longest");
    [second, third].iter().for_each(|opening| ledger.logged_in(&pool, opening, &endpoint()));
    assert_eq!(ledger.consider(&pool, WAITER, Micros(1)), Verdict::Later(late));
    assert!(begin(&mut ledger, &pool, WAITER, late).from_reserve);
    assert_eq!(ledger.consider(&pool, WAITER, late), Verdict::Full);
}

#[test]
fn a_login_that_fails_has_the_others_wait_and_then_come_one_at_a_time() {
    let pool = one(&parallel());
    let mut ledger = Ledger::default();
    launch(&mut ledger, &pool, Micros(1));
    let mut logins: Vec<_> = (0..3).map(|_| begin(&mut ledger, &pool, WAITER, Micros(1))).collect();
    fail(&mut ledger, &pool, logins.remove(0), "too many", Micros(49));
    assert_eq!(ledger.consider(&pool, WAITER, Micros(50)), Verdict::Nothing, "two are still being tried");
    fail(&mut ledger, &pool, logins.remove(0), "too many", Micros(39));
    ledger.logged_in(&pool, &logins.remove(0), &endpoint());
    assert_eq!(pool.failing(), None);
    let verdict = ledger.consider(&pool, WAITER, Micros(49));
    assert_eq!(verdict, Verdict::Later(Micros(50)), "it had begun before: the latest pause counts");
    let next = begin(&mut ledger, &pool, WAITER, Micros(50));
    assert_eq!(ledger.consider(&pool, WAITER, Micros(50)), Verdict::Nothing);
    ledger.logged_in(&pool, &next, &endpoint());
    (0..2).for_each(|_| drop(begin(&mut ledger, &pool, WAITER, Micros(50))));
}

#[test]
fn a_login_that_fails_among_others_that_succeed_puts_the_next_one_off_for_a_second() {
    let pool = one(&parallel());
    let mut ledger = Ledger::default();
    launch(&mut ledger, &pool, Micros(1));
    let [fails, succeeds] = [(), ()].map(|()| begin(&mut ledger, &pool, WAITER, Micros(1)));
    fail(&mut ledger, &pool, fails, "reset", Micros::from_secs(15));
    ledger.logged_in(&pool, &succeeds, &endpoint());
    let soon = Micros(1) + Micros::from_millis(limits::LOGIN_RETRY_MS);
    assert_eq!(ledger.consider(&pool, WAITER, Micros(9)), Verdict::Later(soon));
    let next = begin(&mut ledger, &pool, WAITER, soon);
    assert_eq!(ledger.consider(&pool, WAITER, soon), Verdict::Nothing, "by itself");
    fail(&mut ledger, &pool, next, "too many", Micros::from_secs(15));
    assert_eq!(ledger.consider(&pool, WAITER, soon), Verdict::Later(soon + Micros::from_secs(15)));
}

#[test]
fn renewals_in_progress_at_an_endpoint_keep_no_client_from_a_server() {
    let pools = pools(1, 2, &parallel());
    let mut ledger = Ledger::default();
    pools.iter().for_each(|pool| launch(&mut ledger, pool, Micros(1)));
    pools[0].set_aged(WorkerId(0), 3);
    (0..3).for_each(|_| drop(begin(&mut ledger, &pools[0], Want::Renewal, Micros(1))));
    (0..3).for_each(|_| drop(begin(&mut ledger, &pools[1], WAITER, Micros(1))));
    assert_eq!(ledger.consider(&pools[1], WAITER, Micros(1)), Verdict::Nothing, "three are three");
    assert_eq!(ledger.logins_at["host:5432"], Logins { all: 6, for_clients: 3 });
}

#[test]
fn renewals_that_hang_keep_no_client_of_their_own_pool_from_a_server() {
    let pool = one(&PoolRules { pool_size: 20, ..parallel() });
    let mut ledger = Ledger::default();
    (0..4).for_each(|_| launch(&mut ledger, &pool, Micros(1)));
    pool.set_aged(WorkerId(0), 4);
    let mut renewals: Vec<_> = (0..3).map(|_| begin(&mut ledger, &pool, Want::Renewal, Micros(1))).collect();
    assert_eq!(ledger.consider(&pool, Want::Renewal, Micros(1)), Verdict::Nothing, "three are three");
    let logins: Vec<_> = (0..3).map(|_| begin(&mut ledger, &pool, WAITER, Micros(1))).collect();
    assert_eq!(ledger.consider(&pool, WAITER, Micros(1)), Verdict::Nothing, "of each kind");
    assert_eq!((ledger.coming(pool.id), ledger.pool_servers(pool.id)), (3, (6, 4)));
    logins.iter().for_each(|opening| ledger.logged_in(&pool, opening, &endpoint()));
    let soon = Micros::from_secs(1);
    fail(&mut ledger, &pool, renewals.remove(0), "no answer", soon);
    let next = begin(&mut ledger, &pool, WAITER, soon + Micros(1));
    assert_eq!(
        ledger.consider(&pool, WAITER, soon + Micros(1)),
        Verdict::Nothing,
        "by itself: one has failed"
    );
    ledger.logged_in(&pool, &next, &endpoint());
    begin(&mut ledger, &pool, WAITER, soon + Micros(1));
}

#[test]
fn pools_of_one_endpoint_share_what_goes_beyond_the_first_login_of_each() {
    let pools = pools(1, 4, &parallel());
    let elsewhere = PoolRules { endpoint: "other:5432".into(), ..parallel() };
    pools[3].set_rules(Arc::new(elsewhere));
    let mut ledger = Ledger::default();
    pools.iter().for_each(|pool| launch(&mut ledger, pool, Micros(1)));
    let logins: Vec<_> = (0..2).map(|_| begin(&mut ledger, &pools[0], WAITER, Micros(1))).collect();
    begin(&mut ledger, &pools[1], WAITER, Micros(1));
    assert_eq!(ledger.consider(&pools[0], WAITER, Micros(1)), Verdict::Nothing, "three are three");
    assert_eq!(ledger.consider(&pools[1], WAITER, Micros(1)), Verdict::Nothing);
    begin(&mut ledger, &pools[2], WAITER, Micros(1)); // nobody is kept from his first one
    (0..3).for_each(|_| drop(begin(&mut ledger, &pools[3], WAITER, Micros(1))));
    logins.iter().for_each(|opening| ledger.logged_in(&pools[0], opening, &endpoint()));
    begin(&mut ledger, &pools[1], WAITER, Micros(1));
    begin(&mut ledger, &pools[0], WAITER, Micros(1));
    assert_eq!(ledger.logins_at["host:5432"], Logins { all: 4, for_clients: 4 });
}

#[test]
fn a_pool_whose_endpoint_changes_waits_for_a_place_at_the_new_one() {
    let pools = pools(1, 3, &parallel());
    let elsewhere = Arc::new(PoolRules { endpoint: "other:5432".into(), ..parallel() });
    pools[2].set_rules(Arc::clone(&elsewhere));
    let mut ledger = Ledger::default();
    pools.iter().for_each(|pool| launch(&mut ledger, pool, Micros(1)));
    let three = |ledger: &mut Ledger, pool| {
        let logins: Vec<_> = (0..3).map(|_| begin(ledger, pool, WAITER, Micros(1))).collect();
        logins[0].clone()
    };
    let (here, there) = (three(&mut ledger, &pools[0]), three(&mut ledger, &pools[2]));
    begin(&mut ledger, &pools[1], WAITER, Micros(1)); // nobody is kept from his first one
    assert_eq!(ledger.consider(&pools[1], WAITER, Micros(1)), Verdict::Nothing);
    pools[1].set_rules(elsewhere);
    assert_eq!(ledger.consider(&pools[1], WAITER, Micros(1)), Verdict::Nothing);
    assert_eq!(ledger.held_at.keys().collect::<Vec<_>>(), [&"other:5432".into()], "one there is of no use");
    ledger.logged_in(&pools[0], &here, &endpoint());
    ledger.logged_in(&pools[2], &there, &endpoint());
    assert_eq!(ledger.next_held(&"other:5432".into()), Some(pools[1].id));
    assert_eq!(ledger.next_held(&"host:5432".into()), None);
}

#[test]
fn a_pool_that_is_forgotten_leaves_the_queue_of_its_endpoint() {
    let pools = pools(1, 2, &parallel());
    let mut ledger = Ledger::default();
    pools.iter().for_each(|pool| launch(&mut ledger, pool, Micros(1)));
    (0..3).for_each(|_| drop(begin(&mut ledger, &pools[0], WAITER, Micros(1))));
    let opening = begin(&mut ledger, &pools[1], WAITER, Micros(1)); // nobody is kept from his first one
    assert_eq!(ledger.consider(&pools[1], WAITER, Micros(1)), Verdict::Nothing);
    assert_eq!(ledger.held_at["host:5432"], [pools[1].id]);
    ledger.returned(&pools[1], &Use::LoggingIn(opening));
    ledger.returned(&pools[1], &live());
    assert!(ledger.forget(&pools[1]));
    assert!(ledger.held_at.is_empty(), "where nobody logs in any more nobody else takes it out");
}

#[test]
fn the_last_login_under_way_that_fails_is_the_answer_to_those_who_wait() {
    let pool = one(&parallel());
    let mut ledger = Ledger::default();
    launch(&mut ledger, &pool, Micros(1));
    let mut logins: Vec<_> = (0..3).map(|_| begin(&mut ledger, &pool, WAITER, Micros(1))).collect();
    ledger.returned(&pool, &live());
    let mut next = || logins.remove(0);
    let (first, second, third) = (next(), next(), next());
    let fails = |ledger: &mut Ledger, opening: &Opening| {
        ledger.login_failed(&pool, opening, "no".into(), Micros(9)) && pool.failing().is_some()
    };
    assert!(!fails(&mut ledger, &first), "two others may still serve who waits");
    assert_eq!(pool.failing(), None, "and who comes");
    ledger.returned(&pool, &Use::Failed(first));
    ledger.returned(&pool, &Use::LoggingIn(second)); // given up
    assert!(fails(&mut ledger, &third));
    ledger.returned(&pool, &Use::Failed(third));
    assert_eq!(ledger.pool_servers(pool.id), (0, 0));
}

#[test]
fn of_logins_that_fail_together_one_is_the_answer_whenever_their_connections_end() {
    let pool = one(&parallel());
    let mut ledger = Ledger::default();
    launch(&mut ledger, &pool, Micros(1));
    let logins: Vec<_> = (0..3).map(|_| begin(&mut ledger, &pool, WAITER, Micros(1))).collect();
    let mut fails = |opening| ledger.login_failed(&pool, opening, "no".into(), Micros(9));
    assert_eq!(logins.iter().map(&mut fails).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn a_pool_with_room_replaces_as_many_servers_at_once_as_are_due() {
    for (due, at_once) in [(0, 1), (1, 1), (2, 2), (5, 3)] {
        let pool = one(&parallel());
        let mut ledger = Ledger::default();
        (0..4).for_each(|_| launch(&mut ledger, &pool, Micros(1)));
        pool.set_aged(WorkerId(0), due);
        (0..at_once).for_each(|_| drop(begin(&mut ledger, &pool, Want::Renewal, Micros(1))));
        assert_eq!(ledger.consider(&pool, Want::Renewal, Micros(1)), Verdict::Nothing, "{due} are due");
    }
}

#[test]
fn every_end_of_a_renewal_gives_its_place_at_the_endpoint_back() {
    let ends: [fn(&mut Ledger, &Arc<PoolShare>, Opening); 3] = [
        |ledger, pool, opening| ledger.logged_in(pool, &opening, &endpoint()),
        |ledger, pool, opening| fail(ledger, pool, opening, "no", Micros(2)),
        |ledger, pool, opening| ledger.returned(pool, &Use::LoggingIn(opening)), // given up
    ];
    for end in ends {
        let pool = one(&parallel());
        let mut ledger = Ledger::default();
        launch(&mut ledger, &pool, Micros(1));
        let before = ledger.logins_at.get("host:5432").copied();
        let opening = begin(&mut ledger, &pool, Want::Renewal, Micros(1));
        assert_eq!(ledger.logins_at["host:5432"], Logins { all: 1, for_clients: 0 });
        end(&mut ledger, &pool, opening);
        assert_eq!(ledger.logins_at.get("host:5432").copied(), before);
    }
}

#[test]
fn large_pools_of_one_endpoint_that_want_more_logins_at_once_than_it_has_fall_behind() {
    let limits = PoolRules { pool_size: 101, server_login_concurrency: 20, ..rules() };
    // 100 servers, 60 s and logins of 2 s: four at any time; one for each of a small pool of 20
    for (large, keeps_up) in [(4, true), (6, false)] {
        let (mut ledger, pools) = (Ledger::default(), pools(large + 1, 1, &limits));
        for (number, pool) in pools.iter().enumerate() {
            for _ in 0..if number == 0 { 20 } else { 100 } {
                launch(&mut ledger, pool, Micros(0));
                let login = (Micros(0), Micros(0) + Micros::from_secs(2));
                ledger.plan_renewal(pool, login, Micros::from_secs(60), 1_000_000);
            }
        }
        let judge =
            |ledger: &Ledger| -> Vec<_> { pools.iter().map(|pool| ledger.keeps_up(pool.id)).collect() };
        assert!(judge(&ledger).iter().all(|judged| *judged == Some(true)), "each by itself");
        ledger.add_up_endpoints();
        assert_eq!(judge(&ledger)[0], Some(true), "one login is enough for it, and is its own");
        assert!(judge(&ledger)[1..].iter().all(|judged| *judged == Some(keeps_up)), "{large} large ones");
        let told = Shortfall { of: Bound::LoginsThere, needed: 24_310, most: 20_000 };
        assert_eq!(ledger.shortfall(pools[1].id), (!keeps_up).then_some(told));
    }
}

#[test]
fn an_endpoint_whose_pace_is_less_than_its_servers_ages_want_is_known() {
    let (mut ledger, pools) = (Ledger::default(), pools(500, 1, &rules()));
    let fill = |ledger: &mut Ledger, rate: u32| {
        for pool in pools.iter().flat_map(|pool| [pool; 2]) {
            ledger.plan_renewal(pool, (Micros(0), Micros(0)), Micros::from_secs(60), 1_000 * rate);
        }
        ledger.add_up_endpoints();
        ledger.shortfall(pools[7].id)
    };
    pools.iter().flat_map(|pool| [pool; 2]).for_each(|pool| launch(&mut ledger, pool, Micros(0)));
    assert_eq!(fill(&mut ledger, 22), None, "1,000 servers by 51 s are 19.6 a second");
    let told = Shortfall { of: Bound::Pace, needed: 19_500, most: 18_900 };
    assert_eq!(ledger.late_pools(), 0);
    assert_eq!(fill(&mut ledger, 21), Some(told), "a tenth of the pace is others'");
    assert_eq!(ledger.late_pools(), 500);
    let pool = &pools[0];
    for (pace, told) in [(44, None), (43, Some((39, 38)))] {
        let mut ledger = Ledger::default();
        (0..2).for_each(|_| launch(&mut ledger, pool, Micros(0)));
        ledger.plan_renewal(pool, (Micros(0), Micros(0)), Micros::from_secs(60), pace);
        ledger.add_up_endpoints();
        let shortfall = ledger.shortfall(pool.id).map(|shortfall| (shortfall.needed, shortfall.most));
        assert_eq!(shortfall, told, "two in 51 s, at {pace} in a thousand seconds");
    }
}

#[test]
fn a_server_that_lets_everybody_in_and_answers_nobody_is_met_less_and_less_often() {
    let pool = one(&parallel());
    let (mut ledger, mut now, mut pauses) = (Ledger::default(), Micros(1), Vec::new());
    let longest = Micros::from_secs(15);
    for _ in 0..14 {
        let opening = begin(&mut ledger, &pool, WAITER, now);
        ledger.logged_in(&pool, &opening, &endpoint());
        let until = ledger.ended_unanswered(&pool, now, now + Micros(5), longest);
        ledger.returned(&pool, &live());
        assert_eq!(ledger.consider(&pool, WAITER, now + Micros(6)), Verdict::Later(until));
        pauses.push(until.since(now + Micros(5)).0 / 1_000);
        now = until;
    }
    assert_eq!(pauses[..4], [10, 20, 40, 80]);
    assert_eq!(pauses[13], 15_000);
    let later = now + longest + longest;
    let until = ledger.ended_unanswered(&pool, later, later, longest);
    assert_eq!(until.since(later).0, 10_000, "it has served for a while");
}

#[test]
fn servers_that_end_unanswered_together_cause_one_pause() {
    let pool = one(&parallel());
    let mut ledger = Ledger::default();
    (0..4).for_each(|_| launch(&mut ledger, &pool, Micros(1)));
    let longest = Micros::from_secs(15);
    let untils: Vec<_> =
        (10..14).map(|at| ledger.ended_unanswered(&pool, Micros(1), Micros(at), longest).0 - at).collect();
    assert_eq!(untils, [10_000; 4]);
    (0..4).for_each(|_| ledger.returned(&pool, &live()));
    let now = Micros(10_014);
    begin(&mut ledger, &pool, WAITER, now);
    assert_eq!(ledger.consider(&pool, WAITER, now), Verdict::Nothing, "the next one comes by itself");
}
