//! What an attempt takes with it when it begins, against a configuration that changes at the same time.

use super::*;
use crate::auth::Secret;
use crate::core::Verdict;
use crate::io::Clock;
use crate::login::registry::tests::snapshot;
use crate::login::servers_tls::ServersTls;
use crate::wire::TrackedNames;

/// Reloads that attempts may fall between: a few hundred are enough, where an order can be wrong.
const RELOADS: u32 = 50_000;

fn plane() -> Arc<Plane> {
    let policy = Policy {
        snapshot: Arc::new(snapshot("d = host=h", "")),
        users: Arc::default(),
        client_tls: None,
        server_tls: ServersTls::disabled(),
    };
    Plane::new(Arc::new(policy), Box::default(), TrackedNames::new([]), Clock::new()).0
}

#[tokio::test]
async fn a_refusal_of_what_is_sent_no_more_is_nobody_s_answer() {
    let refusal = || {
        let fault = Fault::Relayed { sqlstate: "28P01".into(), text: "no".into() };
        Failure { fault: Some(fault), sequel: Sequel::Refused, ..Failure::new("login failed") }
    };
    for brings_another in [false, true] {
        let plane = plane();
        let entry = plane.pool_entry("d", "u").unwrap();
        let want = Want::Waiter { since: Micros(0) };
        let verdict = plane.places.decide(|ledger| ledger.consider(&entry.share, want, Micros(1)));
        let Verdict::Launch(opening) = verdict else { panic!("there is room") };
        let place = plane.places.given(&entry.share, opening);
        let attempt = Attempt::new(Arc::clone(&plane), Arc::clone(&entry), want);
        if brings_another {
            // a client has logged in by auth_query meanwhile
            plane.secrets.learn("d", "u", Arc::new(Secret::parse("another")));
        }
        attempt.fail(Line::default(), refusal(), place).await;
        assert_eq!(entry.tries.refusal(Micros(0)).is_none(), brings_another);
        assert_eq!(entry.share.failing().is_none(), brings_another);
    }
}

#[test]
fn no_attempt_counts_as_newer_than_the_entry_that_it_goes_by() {
    let plane = plane();
    let entry = plane.pool_entry("d", "u").unwrap();
    let first = entry.config.load_full();
    std::thread::scope(|scope| {
        let reloads = scope.spawn(|| {
            // as `Plane::adopt`: the entry first, then what makes older servers old
            for number in 1..=RELOADS {
                let mut config = Database::clone(&first);
                config.pool_size = Some(number);
                entry.config.store(Arc::new(config));
                entry.share.bump_generation();
            }
        });
        while !reloads.is_finished() {
            let want = Want::Waiter { since: Micros(0) };
            let attempt = Attempt::new(Arc::clone(&plane), Arc::clone(&entry), want);
            let number = attempt.config.pool_size.unwrap_or(0);
            assert!(attempt.generation <= number, "{} by entry {number}", attempt.generation);
        }
    });
}
