//! Logins that take long, as those of a busy instance do, and none of them fails: a pool is filled and kept
//! by several at a time, and what cannot be kept up is told.

use crate::common::story::Story;
use crate::common::{Pooler, wait_until, wait_until_for};
use crate::rig::{Rds, attempt};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two looks at what there is.
const LOOK: Duration = Duration::from_millis(20);

/// How long a login takes.
const LOGIN_S: f64 = 1.0;

fn pooler(rds: &Rds, keys: &str) -> Pooler {
    let text = format!("{} iam_credential_source=env {keys}", rds.database());
    rds.pooler().set("query_wait_timeout", 60).database_at("app", &text).start()
}

/// Tokens that the verifier looks at just now.
fn under_way(rds: &Rds) -> usize {
    let judged = rds.verdicts().len(); // first, so that none is missed
    rds.asked("app").saturating_sub(judged)
}

#[test]
fn an_empty_pool_is_filled_by_several_logins_at_a_time_behind_the_first() {
    const CLIENTS: usize = 10;
    let Some(rds) = Rds::start() else { return };
    rds.behave("delay_ms=1000");
    let pooler = pooler(&rds, &format!("pool_size={CLIENTS}"));
    let is_over = AtomicBool::new(false);
    let most = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = 0;
            while !is_over.load(Ordering::Acquire) {
                most = most.max(under_way(&rds));
                std::thread::sleep(LOOK);
            }
            most
        });
        let clients = (0..CLIENTS).map(|_| {
            scope.spawn(|| {
                let mut client = pooler.client();
                assert_eq!(client.simple("begin").status, Some(b'T'));
                // As many servers as clients, or one of these waits.
                wait_until_for("all have one", Duration::from_secs(60), || {
                    rds.backends("app").len() == CLIENTS
                });
                assert_eq!(client.simple("commit").commands, ["COMMIT"]);
            })
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().for_each(|client| client.join().expect("it was served"));
        is_over.store(true, Ordering::Release);
        watch.join().expect("it only looks")
    });
    let verdicts = rds.verdicts();
    assert_eq!(verdicts.len(), CLIENTS, "one login for each");
    assert!(most > CLIENTS / 2, "{most} logins at a time");
    let (first, others) = verdicts.split_first().expect("they were counted");
    let began = others.iter().map(|verdict| verdict.at_s - LOGIN_S).fold(f64::MAX, f64::min);
    assert!(began > first.at_s - 0.1, "nobody knew that logins succeed {:.1} s before", first.at_s - began);
}

#[test]
fn a_pool_at_its_cap_replaces_its_servers_and_serves_all_while_logins_take_a_tenth_of_their_age() {
    const POOL_SIZE: usize = 8;
    let Some(rds) = Rds::start() else { return };
    let pooler = pooler(&rds, &format!("pool_size={POOL_SIZE} iam_max_age=10"));
    let (begun, span) = (Instant::now(), Duration::from_secs(25));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..2 * POOL_SIZE)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = pooler.client();
                    while begun.elapsed() < span {
                        assert_eq!(client.simple("select pg_sleep(0.05)").status, Some(b'I'));
                    }
                })
            })
            .collect();
        wait_until("it is full", || rds.backends("app").len() == POOL_SIZE);
        rds.behave("delay_ms=1000");
        clients.into_iter().for_each(|client| client.join().expect("no client noticed"));
    });
    // How many are left, and that none is late, is for virtual time (`tests/sim/logins.rs`,
    // `tests/renewals.rs`): here a login takes as long as the machine has it take.
    let told = Story::FINE.told_by(&pooler);
    assert!(told.number("renewed") >= 2 * POOL_SIZE as u64, "{told:?}");
}

#[test]
fn servers_that_age_faster_than_they_can_be_replaced_are_told_of() {
    const LATE: &str = "servers of app/app may reach iam_max_age before they are replaced";
    let Some(rds) = Rds::start() else { return };
    rds.behave("delay_ms=4000");
    let pooler = pooler(&rds, "pool_size=4 min_pool_size=4 iam_max_age=10");
    let mut client = pooler.client(); // of a pool that nobody uses none is missed
    wait_until_for("it has lasted, and is told", Duration::from_secs(180), || {
        assert_eq!(client.simple("select 1").status, Some(b'I'));
        pooler.log().contains(LATE)
    });
    let renewals = || Story::FINE.told_by(&pooler).row["renewals"].clone();
    wait_until("the column says so, too", || {
        assert_eq!(client.simple("select 1").status, Some(b'I'));
        renewals() == "late"
    });
    rds.behave("");
    let mut console = pooler.console();
    wait_until("logins are quick again, and again", || {
        console.simple("reconnect");
        assert!(attempt(&pooler, "app", "app").is_ok());
        renewals() == "in time"
    });
    assert_eq!(pooler.log().matches(LATE).count(), 1, "told once");
}
