//! Averages over the last full `stats_period` plus the running one, as PgBouncer keeps them.
//!
//! A [`Window`] remembers the figures of every pool at the last two ticks. SHOW averages what has grown
//! since the older of them; the log line averages the period just ended. A pool that is gone is forgotten
//! at the next tick. Time comes in as an argument. Source: PgBouncer, doc/usage.md (SHOW STATS) and
//! src/stats.c (calc_average()).

use super::Totals;
use crate::base::{Micros, PoolId};
use std::collections::HashMap;

/// The figures of every pool at one moment.
#[derive(Debug, Default)]
struct Mark {
    at: Micros,
    pools: HashMap<PoolId, Totals>,
}

impl Mark {
    fn of(&self, pool: PoolId) -> Totals {
        self.pools.get(&pool).copied().unwrap_or_default()
    }
}

/// Two marks, one `stats_period` apart.
#[derive(Debug)]
pub struct Window {
    older: Mark,
    newer: Mark,
}

impl Window {
    /// A window that begins at `now`, before anything was counted.
    pub fn new(now: Micros) -> Self {
        let empty = || Mark { at: now, pools: HashMap::new() };
        Self { older: empty(), newer: empty() }
    }

    /// A period has ended: `pools` are the figures of every pool that exists. Returns the period's
    /// averages over all of them.
    pub fn tick(&mut self, pools: impl IntoIterator<Item = (PoolId, Totals)>, now: Micros) -> Totals {
        let next = Mark { at: now, pools: pools.into_iter().collect() };
        self.older = std::mem::replace(&mut self.newer, next);
        let mut growth = Totals::default();
        for (pool, totals) in &self.newer.pools {
            growth.add(&totals.since(&self.older.of(*pool)));
        }
        growth.averaged(now.since(self.older.at).0)
    }

    /// What `pool`, now at `totals`, has grown by over the window. Sum these before averaging them.
    pub fn growth(&self, pool: PoolId, totals: &Totals) -> Totals {
        totals.since(&self.older.of(pool))
    }

    /// The window's length at `now`, in microseconds: what growth is averaged over.
    pub fn span_us(&self, now: Micros) -> u64 {
        now.since(self.older.at).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: PoolId = PoolId(1);
    const OTHER: PoolId = PoolId(2);

    fn queries(count: u64) -> Totals {
        let mut totals = Totals::default();
        totals.0[2] = count;
        totals
    }

    #[test]
    fn shows_the_last_full_period_plus_the_running_one() {
        let mut window = Window::new(Micros(0));
        // Before the first tick: all since the start.
        assert_eq!(
            window.growth(POOL, &queries(30)).averaged(window.span_us(Micros::from_secs(30))),
            queries(1)
        );

        assert_eq!(window.tick([(POOL, queries(60))], Micros::from_secs(60)), queries(1));
        assert_eq!(window.tick([(POOL, queries(180))], Micros::from_secs(120)), queries(2));
        // 120 in the full period, 30 in the running 30 seconds: 150 in 90 seconds.
        let growth = window.growth(POOL, &queries(210));
        assert_eq!(growth, queries(150));
        assert_eq!(window.span_us(Micros::from_secs(150)), 90_000_000);
        assert_eq!(growth.averaged(window.span_us(Micros::from_secs(150))), queries(1));
    }

    #[test]
    fn the_period_line_sums_all_pools_and_forgets_those_gone() {
        let mut window = Window::new(Micros(0));
        window.tick([(POOL, queries(10)), (OTHER, queries(1000))], Micros::from_secs(10));
        // OTHER is gone, and so is what it had counted; POOL has grown by 20 in 10 seconds.
        assert_eq!(window.tick([(POOL, queries(30))], Micros::from_secs(20)), queries(2));
        // A pool of the same id would be new: all of it is growth.
        window.tick([(POOL, queries(30))], Micros::from_secs(30));
        assert_eq!(window.growth(OTHER, &queries(5)), queries(5));
    }

    #[test]
    fn no_time_is_no_average() {
        let mut window = Window::new(Micros(5));
        assert_eq!(window.tick([(POOL, queries(9))], Micros(5)), Totals::default());
    }
}
