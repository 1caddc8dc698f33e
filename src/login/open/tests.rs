//! What an attempt takes with it when it begins, against a configuration that changes at the same time.

use super::*;
use crate::io::Clock;
use crate::login::registry::tests::snapshot;
use crate::login::servers_tls::ServersTls;
use crate::wire::TrackedNames;

/// Reloads that attempts may fall between: a few hundred are enough, where an order can be wrong.
const RELOADS: u32 = 50_000;

#[test]
fn no_attempt_counts_as_newer_than_the_entry_that_it_goes_by() {
    let policy = Policy {
        snapshot: Arc::new(snapshot("d = host=h", "")),
        users: Arc::default(),
        client_tls: None,
        server_tls: ServersTls::disabled(),
    };
    let (plane, _doors) = Plane::new(Arc::new(policy), Box::default(), TrackedNames::new([]), Clock::new());
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
