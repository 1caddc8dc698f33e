//! When many pools of an endpoint are filled at once, their renewals are spread over
//! the age of their servers.

use super::*;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Seconds.
const AGE: u64 = 60;
const STEP: u64 = 10;

/// Logins in each ten seconds of five minutes that follow the first age: of so many pools of two servers
/// each, all of them first logged in to at `rate` a second, which is the endpoint's pace.
fn logins(databases: u32, rate: u32) -> Vec<u32> {
    let mut ledger = Ledger::default();
    let pools = pools(databases, 1, &rules());
    let fills = (0..2 * databases).map(|number| {
        let at = Micros(u64::from(number) * 1_000_000 / u64::from(rate));
        Reverse((at, (number % databases) as usize))
    });
    let mut due: BinaryHeap<_> = fills.collect();
    let mut counts = vec![0; 36];
    while let Some(Reverse((now, pool))) = due.pop() {
        let Some(count) = counts.get_mut((now.as_secs() / STEP) as usize) else { break };
        *count += 1;
        let soft_at = ledger.plan_renewal(&pools[pool], (now, now), Micros::from_secs(AGE), 1_000 * rate);
        assert!(soft_at > now && soft_at < now + Micros::from_secs(AGE), "it is replaced in time");
        due.push(Reverse((soft_at, pool)));
    }
    counts.split_off((AGE / STEP) as usize)
}

#[test]
fn the_logins_of_many_pools_that_were_filled_at_once_come_evenly() {
    for (databases, rate) in [(500, 40), (500, 60), (50, 20)] {
        let counts = logins(databases, rate);
        let mean = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
        let is_even = |count: &u32| (f64::from(*count) / mean - 1.0).abs() <= 0.2;
        assert!(counts.iter().all(is_even), "{databases} databases, {mean:.0} on the average: {counts:?}");
        // no more often than it takes: each server serves for three fifths of its age at
        // the least, on the average
        let often = 2.0 * f64::from(databases) * STEP as f64 / mean;
        assert!(often >= AGE as f64 * 0.6, "each {often:.0} s");
    }
}
