//! What an attempt takes with it when it begins, against a configuration that changes at the same time.

mod forgotten;

use super::*;
use crate::auth::Secret;
use crate::core::Verdict;
use crate::wire::Fault;

/// Reloads that attempts may fall between: a few hundred are enough, where an order can be wrong.
const RELOADS: u32 = 50_000;

fn servers() -> Arc<Servers> {
    Servers::new(crate::control::tests::plane("d = host=h", "").0)
}

#[tokio::test]
async fn a_refusal_of_what_is_sent_no_more_is_nobody_s_answer() {
    let refusal = || {
        let fault = Fault::Relayed { sqlstate: "28P01".into(), text: "no".into() };
        Failure { fault: Some(fault), sequel: RetryDecision::Refused, ..Failure::new("login failed") }
    };
    for brings_another in [false, true] {
        let servers = servers();
        let plane = &servers.plane;
        let entry = plane.pool_entry("d", "u").unwrap();
        let want = Want::Waiter { since: Micros(0) };
        let verdict = plane.places.decide(|ledger| ledger.consider(&entry.share, want, Micros(1)));
        let Verdict::Launch(opening) = verdict else { panic!("there is room") };
        let place = plane.places.given(&entry.share, opening);
        let attempt = Attempt::new(Arc::clone(&servers), Arc::clone(&entry), want);
        if brings_another {
            // A client has logged in by auth_query meanwhile.
            plane.secrets.learn("d", "u", Arc::new(Secret::parse("another")));
        }
        attempt.fail(LoginConnection::default(), refusal(), place).await;
        assert_eq!(entry.last_failure.refusal(Micros(0)).is_none(), brings_another);
        assert_eq!(entry.share.failing().is_none(), brings_another);
    }
}

/// Logins of a pool whose only server has gone while they were under way.
fn under_way(servers: &Arc<Servers>, entry: &Arc<PoolEntry>, count: usize) -> Vec<(Attempt, Place)> {
    let plane = &servers.plane;
    let want = Want::Waiter { since: Micros(0) };
    let begin = || {
        let verdict = plane.places.decide(|ledger| ledger.consider(&entry.share, want, Micros(1)));
        let Verdict::Launch(opening) = verdict else { panic!("{verdict:?}") };
        let attempt = Attempt::new(Arc::clone(servers), Arc::clone(entry), want);
        (attempt, plane.places.given(&entry.share, opening))
    };
    let (_, first) = begin();
    let first = first.into_live(&"127.0.0.1:5432".into());
    let logins = (0..count).map(|_| begin()).collect();
    drop(first);
    logins
}

#[tokio::test]
async fn who_waits_is_refused_when_no_login_under_way_can_serve_him() {
    let servers = servers();
    let plane = &servers.plane;
    let entry = plane.pool_entry("d", "u").unwrap();
    let refusal = || {
        let fault = Fault::Relayed { sqlstate: "53300".into(), text: "too many".into() };
        Failure { fault: Some(fault), sequel: RetryDecision::Refused, ..Failure::new("login failed") }
    };
    let mut logins = under_way(&servers, &entry, 3);
    let wait = plane.welcome(&entry.share);
    let mut wait = std::pin::pin!(wait);
    let mut is_told = async || tokio::time::timeout(Duration::ZERO, wait.as_mut()).await.is_ok();
    assert!(!is_told().await);
    while let Some((attempt, place)) = logins.pop() {
        attempt.fail(LoginConnection::default(), refusal(), place).await;
        assert_eq!(is_told().await, logins.is_empty(), "{} may still serve him", logins.len());
        assert_eq!(entry.share.failing().is_some(), logins.is_empty());
    }
}

#[test]
fn no_attempt_counts_as_newer_than_the_entry_that_it_goes_by() {
    let servers = servers();
    let plane = &servers.plane;
    let entry = plane.pool_entry("d", "u").unwrap();
    let first = entry.config.load_full();
    std::thread::scope(|scope| {
        let reloads = scope.spawn(|| {
            // As `Plane::adopt`: the entry first, then what makes older servers old.
            for number in 1..=RELOADS {
                let mut config = Database::clone(&first);
                config.pool_size = Some(number);
                entry.config.store(Arc::new(config));
                entry.share.bump_generation();
            }
        });
        while !reloads.is_finished() {
            let want = Want::Waiter { since: Micros(0) };
            let attempt = Attempt::new(Arc::clone(&servers), Arc::clone(&entry), want);
            let number = attempt.config.pool_size.unwrap_or(0);
            assert!(attempt.generation <= number, "{} by entry {number}", attempt.generation);
        }
    });
}
