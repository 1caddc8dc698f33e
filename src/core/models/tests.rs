//! Models of what workers share, for loom: every order of two threads over the program's
//! own types (`make model`).

use crate::base::{Micros, WorkerId};
use crate::core::pool::{DatabaseShare, Gate, PoolShare};
use crate::core::relay::{Meter, Named, StatementRegistry};
use crate::core::supply::tests::{pools, rules};
use loom::thread;
use std::sync::Arc;

const HERE: WorkerId = WorkerId(0);
const THERE: WorkerId = WorkerId(1);

fn pool() -> Arc<PoolShare> {
    pools(1, 1, &rules()).remove(0)
}

/// Fails without the fences: `PGWEIR_MODEL_UNFENCED=1`.
#[test]
fn of_an_idle_server_and_a_waiting_client_that_cross_one_sees_the_other() {
    loom::model(|| {
        let pool = pool();
        let other = Arc::clone(&pool);
        let client = thread::spawn(move || {
            other.set_waiting_since(THERE, Micros(1));
            other.idle_elsewhere(THERE).is_some()
        });
        pool.set_idle(HERE, 1);
        let sees_client = pool.has_waiter_after_all(HERE);
        assert!(client.join().expect("no panic") || sees_client, "both wait for ever");
    });
}

#[test]
fn one_of_two_workers_takes_a_turn() {
    loom::model(|| {
        let pool = pool();
        pool.want_retirement();
        let other = Arc::clone(&pool);
        let turns = |pool: &PoolShare| {
            let renewal = pool.may_ask_for_renewal(Micros(10), Micros(5));
            [renewal, pool.may_close_for_age(Micros(10), Micros(5)), pool.take_retirement()].map(u32::from)
        };
        let there = thread::spawn(move || turns(&other));
        let (here, there) = (turns(&pool), there.join().expect("no panic"));
        assert_eq!([0, 1, 2].map(|turn| here[turn] + there[turn]), [1, 1, 1]);
    });
}

#[test]
fn a_server_that_is_expected_is_moving_until_it_arrives() {
    loom::model(|| {
        let pool = pool();
        let under_way = pool.server_under_way();
        let other = Arc::clone(&pool);
        let there = thread::spawn(move || drop(other.server_under_way()));
        assert!(pool.is_moving());
        drop(under_way);
        there.join().expect("no panic");
        assert!(!pool.is_moving());
    });
}

#[test]
fn a_server_that_moves_to_the_one_client_that_waits_is_never_overlooked() {
    loom::model(|| {
        let pool = pool();
        pool.set_waiting_since(THERE, Micros(1));
        pool.set_idle(HERE, 1);
        let other = Arc::clone(&pool);
        let workers = thread::spawn(move || {
            let leaving = other.server_under_way();
            other.set_idle(HERE, 0);
            other.server_leaves();
            drop(leaving);
            other.set_waiting_since(THERE, Micros::NEVER);
            other.server_arrives();
        });
        let seen = pool.outlook();
        let is_helped = seen.idle > 0 || seen.moving > 0 || seen.waiting_since.is_none();
        assert!(is_helped, "a second server would be opened for it: {seen:?}");
        workers.join().expect("no panic");
    });
}

#[test]
fn two_that_charge_at_once_stay_within_the_limit() {
    loom::model(|| {
        let meter = Arc::new(Meter::default());
        let other = Arc::clone(&meter);
        let there = thread::spawn(move || other.charge(6, 10));
        let here = meter.charge(6, 10);
        assert_ne!(here, there.join().expect("no panic"), "one of them fits");
        assert_eq!(meter.bytes(), 6);
    });
}

/// Names `select 1` for `database`, which is given up at the end of what is returned.
fn name(registry: &Arc<StatementRegistry>, database: &Arc<DatabaseShare>) -> Option<Named> {
    registry.name(1, b"select 1\0\0\0", database).ok()
}

#[test]
fn two_that_name_and_forget_one_statement_leave_what_one_leaves() {
    let mut bounded = loom::model::Builder::new();
    bounded.preemption_bound = Some(2);
    bounded.check(|| {
        let gate = Arc::new(Gate::default());
        let registry = Arc::new(StatementRegistry::default());
        let database = Arc::new(DatabaseShare::new("db".into(), gate));
        let alone = registry.share();
        let (other, of_other) = (Arc::clone(&registry), Arc::clone(&database));
        let there = thread::spawn(move || drop(name(&other, &of_other)));
        drop(name(&registry, &database));
        there.join().expect("no panic");
        assert_eq!((registry.count(), database.statements().bytes()), (1, 0));
        assert_eq!(registry.share(), alone, "nobody holds anything");
        let kept = registry.bytes();
        drop(name(&registry, &database));
        assert_eq!(registry.bytes(), kept);
    });
}
