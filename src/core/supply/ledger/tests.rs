//! The ledger by example.

use super::*;
use crate::config::{OnDenied, OnExpired, PoolMode, PoolRules, SessionState, TimeoutAction};
use crate::core::login_handoff::Authorization;
use crate::core::pool::{DatabaseShare, Gate, Stance};
use crate::wire::Fault;

mod instances;
mod model;
mod parallel;
mod spare;
mod spread;
mod two_caps;

pub(in crate::core) fn rules() -> PoolRules {
    PoolRules {
        mode: PoolMode::Transaction,
        session_state: SessionState::default(),
        pool_size: 2,
        min_pool_size: 0,
        reserve_pool_size: 0,
        reserve_pool_timeout: Micros::from_secs(5),
        max_db_connections: 0,
        max_user_connections: 0,
        server_lifetime: Micros(0),
        server_idle_timeout: Micros(0),
        server_login_concurrency: 1,
        endpoint: endpoint(),
        endpoints: [endpoint()].into(),
        instance_caps: [].into(),
        server_check_delay: Micros(0),
        server_check_query: None,
        server_reset_query: "".into(),
        reset_always: false,
        round_robin: false,
        fast_close: false,
        query_timeout: Micros(0),
        idle_transaction_timeout: Micros(0),
        transaction_timeout: Micros(0),
        max_prepared_statements: 0,
        max_packet_bytes: u32::MAX,
        disable_pqexec: false,
        query_wait_notify: Micros(0),
        cancel_wait_timeout: Micros(0),
        suspend_timeout: Micros(0),
        log_disconnections: false,
        log_pooler_errors: false,
        log_connections: false,
        timeout_action: TimeoutAction::Close,
        on_expired: OnExpired::Drain,
        expiry_grace: Micros(0),
        on_denied: OnDenied::Drain,
        drain_timeout: Micros(0),
        context_keys: None,
    }
}

/// Where the servers of all pools here are.
pub(in crate::core) fn endpoint() -> Arc<str> {
    "host:5432".into()
}

/// A server past its login, there.
pub(in crate::core) fn live() -> Use {
    Use::Live(endpoint())
}

/// The same, of a replication client.
pub(in crate::core) fn replica() -> Use {
    Use::Replication(endpoint())
}

/// Pools over databases `d0, d1, …` and users `u0, u1, …`, all with the same rules.
pub(in crate::core) fn pools(databases: u32, users: u32, rules: &PoolRules) -> Vec<Arc<PoolShare>> {
    let gate = Arc::new(Gate::default());
    let mut pools = Vec::new();
    for d in 0..databases {
        let database = Arc::new(DatabaseShare::new(format!("d{d}").into(), Arc::clone(&gate)));
        for u in 0..users {
            let user = format!("u{u}").into();
            let id = PoolId((d * users + u).into());
            pools.push(Arc::new(PoolShare::new(id, Arc::clone(&database), user, Arc::new(rules.clone()), 2)));
        }
    }
    pools
}

fn one(rules: &PoolRules) -> Arc<PoolShare> {
    pools(1, 1, rules).remove(0)
}

const WAITER: Want = Want::Waiter { since: Micros(0) };

/// There is room, and a login begins.
pub(in crate::core) fn begin(ledger: &mut Ledger, pool: &Arc<PoolShare>, want: Want, now: Micros) -> Opening {
    match ledger.consider(pool, want, now) {
        Verdict::Launch(opening) => opening,
        verdict => panic!("{verdict:?}"),
    }
}

pub(in crate::core) fn launch(ledger: &mut Ledger, pool: &Arc<PoolShare>, now: Micros) {
    let opening = begin(ledger, pool, WAITER, now);
    ledger.logged_in(pool, &opening, &endpoint());
}

/// It fails, and its socket has ended.
fn fail(ledger: &mut Ledger, pool: &Arc<PoolShare>, opening: Opening, reason: &str, retry: Micros) {
    ledger.login_failed(pool, &opening, reason.into(), retry);
    ledger.returned(pool, &Use::Failed(opening));
}

#[test]
fn one_login_at_a_time_up_to_pool_size() {
    let pool = one(&rules());
    let mut ledger = Ledger::default();
    let opening = begin(&mut ledger, &pool, WAITER, Micros(1));
    assert_eq!(ledger.consider(&pool, WAITER, Micros(1)), Verdict::Nothing);
    ledger.logged_in(&pool, &opening, &endpoint());
    assert_eq!(pool.live_count(), 1);
    launch(&mut ledger, &pool, Micros(1));
    assert_eq!(ledger.consider(&pool, WAITER, Micros(1)), Verdict::Full);
    assert!(pool.is_full());
    ledger.returned(&pool, &live());
    assert!(!pool.is_full());
    assert_eq!(pool.live_count(), 1);
    begin(&mut ledger, &pool, WAITER, Micros(1));
}

#[test]
fn pool_size_zero_is_no_limit() {
    let pool = one(&PoolRules { pool_size: 0, ..rules() });
    let mut ledger = Ledger::default();
    for _ in 0..100 {
        launch(&mut ledger, &pool, Micros(1));
    }
    assert!(ledger.take_cancel(&pool));
}

#[test]
fn the_reserve_opens_when_the_first_waiter_has_waited_long_enough() {
    let pool = one(&PoolRules { pool_size: 1, reserve_pool_size: 1, ..rules() });
    let mut ledger = Ledger::default();
    launch(&mut ledger, &pool, Micros(1));
    let since = Micros::from_secs(10);
    let want = Want::Waiter { since };
    let due = since + Micros::from_secs(5);
    assert_eq!(ledger.consider(&pool, want, since), Verdict::Later(due));
    assert!(pool.is_full());
    let opening = begin(&mut ledger, &pool, want, due);
    assert!(opening.from_reserve);
    ledger.logged_in(&pool, &opening, &endpoint());
    assert_eq!(ledger.consider(&pool, want, due + due), Verdict::Full);
}

#[test]
fn a_reserve_without_timeout_is_no_reserve() {
    let reserve =
        PoolRules { pool_size: 1, reserve_pool_size: 1, reserve_pool_timeout: Micros(0), ..rules() };
    let pool = one(&reserve);
    let mut ledger = Ledger::default();
    launch(&mut ledger, &pool, Micros(1));
    assert_eq!(ledger.consider(&pool, WAITER, Micros::from_secs(100)), Verdict::Full);
}

#[test]
fn clients_of_a_role_that_is_denied_hear_so_whenever_they_come() {
    let pool = one(&rules());
    let mut ledger = Ledger::default();
    assert_eq!(pool.refusal(), None);
    pool.set_obstacle(Some("no credentials".to_owned()));
    assert_eq!(pool.refusal(), None, "what may pass is waited for");
    launch(&mut ledger, &pool, Micros(1));
    let opening = begin(&mut ledger, &pool, WAITER, Micros(1));
    ledger.login_failed(&pool, &opening, "refused".into(), Micros(10));
    pool.set_obstacle(Some("role app may not".to_owned()));
    let refusal = pool.refusal().unwrap();
    assert_eq!(
        (refusal.sqlstate(), &*refusal.text()),
        (crate::wire::sqlstate::INVALID_AUTHORIZATION, "role app may not")
    );
    pool.set_obstacle(None);
    assert_eq!(pool.refusal(), Some(Fault::LoginFailing { cached: "refused".to_owned() }));
}

#[test]
fn what_a_login_has_sent_before_a_reload_says_nothing_of_the_next_one() {
    let (pool, mut ledger) = (one(&rules()), Ledger::default());
    let opening = begin(&mut ledger, &pool, WAITER, Micros(1));
    pool.bump_generation();
    ledger.forget_failure(&pool);
    fail(&mut ledger, &pool, opening, "wrong password", Micros(9));
    assert_eq!(pool.failing(), None);
    let opening = begin(&mut ledger, &pool, WAITER, Micros(2));
    fail(&mut ledger, &pool, opening, "wrong password", Micros(9));
    assert!(matches!(ledger.consider(&pool, WAITER, Micros(3)), Verdict::Later(_)), "that one does");
    ledger.forget_failure(&pool);
    assert_eq!(pool.failing(), None, "nobody is told of it any more");
}

#[test]
fn a_failed_login_is_retried_only_after_the_pause() {
    let pool = one(&rules());
    let mut ledger = Ledger::default();
    let started = Micros::from_secs(100);
    let opening = begin(&mut ledger, &pool, WAITER, started);
    fail(&mut ledger, &pool, opening, "connect failed", Micros::from_secs(15));
    assert_eq!(pool.failing().as_deref().map(String::as_str), Some("connect failed"));
    let due = started + Micros::from_secs(15);
    assert_eq!(ledger.consider(&pool, WAITER, started), Verdict::Later(due));
    assert_eq!(ledger.consider(&pool, Want::Minimum, started), Verdict::Later(due));
    launch(&mut ledger, &pool, due);
    assert_eq!(pool.failing(), None);
}

#[test]
fn a_full_database_evicts_once_at_a_time_and_revives_who_starved() {
    let pools = pools(1, 2, &PoolRules { max_db_connections: 2, ..rules() });
    let (a, b) = (&pools[0], &pools[1]);
    let mut ledger = Ledger::default();
    launch(&mut ledger, a, Micros(1));
    launch(&mut ledger, a, Micros(1));
    let scope = Scope::Database("d0".into());
    assert_eq!(ledger.consider(b, WAITER, Micros(1)), Verdict::EvictFirst(scope.clone()));
    assert_eq!(ledger.consider(b, WAITER, Micros(1)), Verdict::Full, "one eviction is under way");
    ledger.nothing_to_evict(&scope);
    assert_eq!(ledger.consider(b, WAITER, Micros(1)), Verdict::EvictFirst(scope));
    ledger.returned(a, &live());
    let revived: Vec<PoolId> = ledger.revived_by(a).iter().map(|pool| pool.id).collect();
    assert_eq!(revived, [b.id, a.id]);
    assert!(!b.is_full());
    begin(&mut ledger, b, WAITER, Micros(1));
}

#[test]
fn a_full_user_evicts_in_all_its_databases() {
    let pools = pools(2, 1, &PoolRules { max_user_connections: 1, ..rules() });
    let mut ledger = Ledger::default();
    launch(&mut ledger, &pools[0], Micros(1));
    let scope = Scope::User("u0".into());
    assert_eq!(ledger.consider(&pools[1], WAITER, Micros(1)), Verdict::EvictFirst(scope));
    assert_eq!(ledger.servers_in(&Scope::User("u0".into())), 1);
    let in_databases = ["d0", "d1"].map(|name| ledger.servers_in(&Scope::Database(name.into())));
    assert_eq!(in_databases, [1, 0]);
}

#[test]
fn the_minimum_is_filled_without_eviction_and_without_reserve() {
    let minimum = PoolRules { min_pool_size: 2, pool_size: 2, max_db_connections: 3, ..rules() };
    let pools = pools(1, 2, &minimum);
    let mut ledger = Ledger::default();
    for _ in 0..2 {
        let opening = begin(&mut ledger, &pools[0], Want::Minimum, Micros(1));
        ledger.logged_in(&pools[0], &opening, &endpoint());
    }
    assert_eq!(ledger.consider(&pools[0], Want::Minimum, Micros(1)), Verdict::Nothing);
    let opening = begin(&mut ledger, &pools[1], Want::Minimum, Micros(1));
    ledger.logged_in(&pools[1], &opening, &endpoint());
    assert_eq!(ledger.consider(&pools[1], Want::Minimum, Micros(1)), Verdict::Full);
    assert!(!pools[1].is_full(), "a client's want may still evict");
}

#[test]
fn a_paused_database_launches_nothing() {
    let pool = one(&rules());
    let mut ledger = Ledger::default();
    pool.database.set_paused(true);
    assert_eq!(ledger.consider(&pool, WAITER, Micros(1)), Verdict::Nothing);
    pool.database.set_paused(false);
    begin(&mut ledger, &pool, WAITER, Micros(1));
}

#[test]
fn cancels_go_up_to_twice_pool_size_beside_servers() {
    let pool = one(&rules());
    let mut ledger = Ledger::default();
    launch(&mut ledger, &pool, Micros(1));
    launch(&mut ledger, &pool, Micros(1));
    assert!(ledger.take_cancel(&pool));
    assert!(ledger.take_cancel(&pool));
    assert!(!ledger.take_cancel(&pool));
    ledger.returned(&pool, &Use::Cancel);
    assert_eq!(ledger.pool_cancels(pool.id), 1);
    assert!(ledger.take_cancel(&pool));
    assert_eq!(ledger.servers_in(&Scope::Database("d0".into())), 2);
}

#[test]
fn one_cancel_may_always_go() {
    let pool = one(&PoolRules { pool_size: 1, reserve_pool_size: 1, ..rules() });
    let mut ledger = Ledger::default();
    launch(&mut ledger, &pool, Micros(1));
    pool.set_rules(Arc::new(PoolRules { pool_size: 2, ..rules() }));
    launch(&mut ledger, &pool, Micros(1));
    pool.set_rules(Arc::new(PoolRules { pool_size: 1, ..rules() }));
    assert!(ledger.take_cancel(&pool), "although there are twice pool_size servers already");
    assert!(!ledger.take_cancel(&pool));
    ledger.returned(&pool, &Use::Cancel);
    assert!(ledger.take_cancel(&pool));
}

#[test]
fn a_pool_in_use_is_not_forgotten() {
    let pool = one(&rules());
    let mut ledger = Ledger::default();
    launch(&mut ledger, &pool, Micros(1));
    assert!(!ledger.forget(&pool));
    ledger.returned(&pool, &live());
    assert!(ledger.forget(&pool));
    assert_eq!(ledger.all_servers(), 0);
    assert!(ledger.servers.is_empty());
}

#[test]
fn a_renewal_opens_first_and_retires_then() {
    let pool = one(&rules());
    let mut ledger = Ledger::default();
    launch(&mut ledger, &pool, Micros(1));
    let opening = begin(&mut ledger, &pool, Want::Renewal, Micros(1));
    assert!(!pool.is_retirement_wanted(), "not before the other has come");
    ledger.logged_in(&pool, &opening, &endpoint());
    assert!(pool.take_retirement() && !pool.take_retirement(), "one, and once");
    ledger.returned(&pool, &live());
    assert!(!ledger.owes_replacement(&pool));
}

#[test]
fn a_renewal_whose_server_has_gone_retires_none() {
    let pool = one(&rules());
    let mut ledger = Ledger::default();
    launch(&mut ledger, &pool, Micros(1));
    let opening = begin(&mut ledger, &pool, Want::Renewal, Micros(1));
    pool.note_departure();
    ledger.returned(&pool, &live());
    ledger.logged_in(&pool, &opening, &endpoint());
    assert!(!pool.is_retirement_wanted());
}

#[test]
fn a_renewal_that_fails_retires_none() {
    let pool = one(&rules());
    let mut ledger = Ledger::default();
    launch(&mut ledger, &pool, Micros(1));
    let gap = Micros::from_secs(100);
    assert!(pool.may_ask_for_renewal(Micros(1), gap));
    let opening = begin(&mut ledger, &pool, Want::Renewal, Micros(1));
    fail(&mut ledger, &pool, opening, "refused", Micros(10));
    assert!(!pool.may_ask_for_renewal(Micros(10), gap), "asking is in vain so long");
    assert!(pool.may_ask_for_renewal(Micros(11), gap), "but not for the whole gap");
    assert_eq!(ledger.consider(&pool, Want::Renewal, Micros(5)), Verdict::Later(Micros(11)));
    assert!(pool.may_ask_for_renewal(Micros(11), gap));
    launch(&mut ledger, &pool, Micros(20));
    assert!(!pool.is_retirement_wanted(), "that one was a client's");
}

#[test]
fn a_server_that_has_time_keeps_none_waiting_that_has_less() {
    let pool = one(&rules());
    let hard_at = |seconds| Authorization { soft_at: Micros(0), hard_at: Micros::from_secs(seconds) };
    let asks = |seconds, authorization: Authorization| {
        let now = Micros::from_secs(seconds);
        pool.may_ask_for_renewal(now, authorization.renewal_gap(now, 2))
    };
    let (early, late) = (hard_at(400), hard_at(120));
    assert!(asks(100, early), "it was planned early, as its neighbours' turns were taken");
    assert!(!asks(103, late), "not at once: who was born together is replaced one after the other");
    assert!(asks(104, late), "its own time is what counts");
    assert!(!asks(107, late) && asks(108, late), "the gap shrinks with the time that is left");
}

#[test]
fn at_a_cap_one_is_retired_first_and_then_replaced() {
    let size = PoolRules { pool_size: 1, ..rules() };
    let (database, user) =
        (PoolRules { max_db_connections: 1, ..rules() }, PoolRules { max_user_connections: 1, ..rules() });
    for rules in [size, database, user] {
        let pool = one(&rules);
        let mut ledger = Ledger::default();
        launch(&mut ledger, &pool, Micros(1));
        assert_eq!(ledger.consider(&pool, Want::Renewal, Micros(1)), Verdict::RetireFirst);
        assert_eq!(ledger.consider(&pool, Want::Renewal, Micros(1)), Verdict::Nothing, "one after the other");
        assert!(!ledger.owes_replacement(&pool), "its place is not free yet");
        assert!(pool.take_retirement());
        assert_eq!(
            ledger.consider(&pool, Want::Renewal, Micros(2)),
            Verdict::Nothing,
            "that one is still going"
        );
        ledger.returned(&pool, &live());
        assert!(ledger.owes_replacement(&pool));
        let opening = begin(&mut ledger, &pool, Want::Renewal, Micros(1));
        ledger.logged_in(&pool, &opening, &endpoint());
        assert!(!pool.is_retirement_wanted() && !ledger.owes_replacement(&pool), "one for one");
    }
}

#[test]
fn a_retired_one_s_place_that_another_pool_took_puts_off_no_renewal() {
    let pools = pools(1, 2, &PoolRules { max_db_connections: 2, ..rules() });
    let mut ledger = Ledger::default();
    (0..2).for_each(|_| launch(&mut ledger, &pools[0], Micros(1)));
    assert_eq!(ledger.consider(&pools[0], Want::Renewal, Micros(1)), Verdict::RetireFirst);
    assert!(pools[0].take_retirement());
    assert_eq!(ledger.consider(&pools[0], Want::Renewal, Micros(1)), Verdict::Nothing);
    ledger.returned(&pools[0], &live());
    launch(&mut ledger, &pools[1], Micros(1));
    assert_eq!(ledger.consider(&pools[0], Want::Renewal, Micros(1)), Verdict::RetireFirst);
}

#[test]
fn whoever_a_server_is_opened_for_it_replaces_the_retired_one() {
    let pool = one(&PoolRules { pool_size: 1, ..rules() });
    let mut ledger = Ledger::default();
    launch(&mut ledger, &pool, Micros(1));
    assert_eq!(ledger.consider(&pool, Want::Renewal, Micros(1)), Verdict::RetireFirst);
    ledger.returned(&pool, &live());
    let opening = begin(&mut ledger, &pool, WAITER, Micros(1));
    ledger.returned(&pool, &Use::LoggingIn(opening));
    assert!(!ledger.owes_replacement(&pool));
}

#[test]
fn what_is_retired_from_the_reserve_is_not_replaced() {
    let pool = one(&PoolRules { pool_size: 1, reserve_pool_size: 1, ..rules() });
    let mut ledger = Ledger::default();
    launch(&mut ledger, &pool, Micros(1));
    let late = Micros::from_secs(10);
    let opening = begin(&mut ledger, &pool, WAITER, late);
    assert!(opening.from_reserve);
    ledger.logged_in(&pool, &opening, &endpoint());
    assert_eq!(ledger.consider(&pool, Want::Renewal, late), Verdict::RetireFirst);
    ledger.returned(&pool, &live());
    assert!(!ledger.owes_replacement(&pool));
}

#[test]
fn a_renewal_comes_after_those_who_starve() {
    let pools = pools(1, 2, &PoolRules { max_db_connections: 2, ..rules() });
    let mut ledger = Ledger::default();
    launch(&mut ledger, &pools[0], Micros(1));
    launch(&mut ledger, &pools[0], Micros(1));
    let scope = Scope::Database("d0".into());
    assert_eq!(ledger.consider(&pools[1], WAITER, Micros(1)), Verdict::EvictFirst(scope));
    ledger.returned(&pools[0], &live());
    assert_eq!(ledger.consider(&pools[0], Want::Renewal, Micros(1)), Verdict::Nothing);
    assert_eq!(ledger.revived_by(&pools[0]).len(), 2);
    begin(&mut ledger, &pools[1], WAITER, Micros(1));
}

#[test]
fn nothing_is_renewed_while_logins_are_in_trouble() {
    let pool = one(&rules());
    let mut ledger = Ledger::default();
    launch(&mut ledger, &pool, Micros(1));
    for stance in [Stance::KeepToHardAge, Stance::KeepOn, Stance::CloseNow] {
        pool.set_stance(stance);
        assert_eq!(ledger.consider(&pool, Want::Renewal, Micros(1)), Verdict::Nothing, "{stance:?}");
        assert_eq!(pool.stance(), stance);
    }
}

#[test]
fn a_replacement_is_owed_until_logins_work_again() {
    let pool = one(&PoolRules { pool_size: 1, ..rules() });
    let mut ledger = Ledger::default();
    launch(&mut ledger, &pool, Micros(1));
    assert_eq!(ledger.consider(&pool, Want::Renewal, Micros(1)), Verdict::RetireFirst);
    assert!(pool.take_retirement());
    ledger.returned(&pool, &live());
    pool.set_stance(Stance::KeepOn);
    assert_eq!(ledger.consider(&pool, Want::Renewal, Micros(1)), Verdict::Nothing);
    pool.set_stance(Stance::Renew);
    assert!(ledger.owes_replacement(&pool));
    begin(&mut ledger, &pool, Want::Renewal, Micros(1));
}
