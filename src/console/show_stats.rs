//! SHOW STATS, STATS_TOTALS, STATS_AVERAGES, TOTALS: the figures of `stats::STATS` by database, or over all.
//!
//! A database's figures are the sums over the pools that exist; averages are made from sums, never summed.
//! Source: PgBouncer, doc/usage.md (Show commands).

use super::rows::{Cell, Rows};
use super::tables;
use crate::base::Micros;
use crate::stats::{STATS, Totals, Window};
use crate::status::PoolFigures;
use std::collections::BTreeMap;

/// Figures of one database: since its pools were made, and averaged over the window.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    totals: Totals,
    growth: Totals,
}

fn by_database(pools: &[PoolFigures], window: &Window) -> BTreeMap<String, Figures> {
    let mut databases: BTreeMap<String, Figures> = BTreeMap::new();
    for pool in pools {
        let figures = databases.entry(pool.database.clone()).or_default();
        figures.totals.add(&pool.totals);
        figures.growth.add(&window.growth(pool.id, &pool.totals));
    }
    databases
}

fn numbers<'a>(totals: &Totals) -> impl Iterator<Item = Cell<'a>> + use<'a> {
    totals.0.into_iter().map(Cell::Number)
}

/// Which halves of the figures a table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halves {
    /// STATS_TOTALS.
    Totals,
    /// STATS_AVERAGES.
    Averages,
    /// STATS.
    Both,
}

/// SHOW STATS, STATS_TOTALS or STATS_AVERAGES at `now`.
pub(super) fn stats(halves: Halves, pools: &[PoolFigures], window: &Window, now: Micros) -> Rows {
    let name = match halves {
        Halves::Totals => "stats_totals",
        Halves::Averages => "stats_averages",
        Halves::Both => "stats",
    };
    let mut rows = Rows::new(tables::columns(name));
    for (database, figures) in by_database(pools, window) {
        let averages = figures.growth.averaged(window.span_us(now));
        let mut cells: Vec<Cell<'_>> = vec![(&*database).into()];
        if halves != Halves::Averages {
            cells.extend(numbers(&figures.totals));
        }
        if halves != Halves::Totals {
            cells.extend(numbers(&averages));
        }
        rows.push(&cells);
    }
    rows
}

/// SHOW TOTALS at `now`.
pub(super) fn totals(pools: &[PoolFigures], window: &Window, now: Micros) -> Rows {
    let mut all = Figures::default();
    for figures in by_database(pools, window).into_values() {
        all.totals.add(&figures.totals);
        all.growth.add(&figures.growth);
    }
    let averages = all.growth.averaged(window.span_us(now));
    let mut rows = Rows::new(tables::columns("totals"));
    for (kind, figures) in [("total", all.totals), ("avg", averages)] {
        for (stat, figure) in STATS.iter().zip(figures.0) {
            rows.push(&[format!("{kind}_{}", stat.name).into(), figure.into()]);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::PoolId;

    fn pool(id: u64, database: &str, first: u64) -> PoolFigures {
        let totals = Totals(std::array::from_fn(|at| first * (at as u64 + 1)));
        PoolFigures { id: PoolId(id), database: database.into(), totals }
    }

    fn values(row: &[(String, Option<String>)]) -> Vec<String> {
        row.iter().map(|(_, value)| value.clone().unwrap()).collect()
    }

    /// The last full period took 8 seconds, the running one 2 until now.
    fn window() -> (Window, Micros) {
        let mut window = Window::new(Micros(0));
        window.tick([], Micros::from_secs(2));
        window.tick([], Micros::from_secs(10));
        (window, Micros::from_secs(12))
    }

    #[test]
    fn databases_sum_their_pools() {
        let (window, now) = window();
        let pools = [pool(1, "b", 100), pool(2, "a", 10), pool(3, "a", 20)];
        let both = stats(Halves::Both, &pools, &window, now).read_back();
        assert_eq!(both.len(), 2);
        assert_eq!(
            values(&both[0]).join(" "),
            "a 30 60 90 120 150 180 210 240 270 300 330 360 3 6 9 12 15 3 2 8 27 30 33 36"
        );
        let totals = stats(Halves::Totals, &pools, &window, now).read_back();
        assert_eq!(values(&totals[1]).join(" "), "b 100 200 300 400 500 600 700 800 900 1000 1100 1200");
        let averages = stats(Halves::Averages, &pools, &window, now).read_back();
        assert_eq!(values(&averages[0])[1..], values(&both[0])[13..]);
    }

    #[test]
    fn totals_name_each_figure_twice() {
        let (window, now) = window();
        let read = totals(&[pool(1, "b", 100), pool(2, "a", 10)], &window, now).read_back();
        let rows: Vec<String> = read.iter().map(|row| values(row).join("=")).collect();
        assert_eq!(rows.len(), 24);
        assert_eq!(
            rows[..3],
            ["total_server_assignment_count=110", "total_xact_count=220", "total_query_count=330"]
        );
        assert_eq!(rows[3..5], ["total_client_bytes=440", "total_server_bytes=550"]);
        assert_eq!(rows[8], "total_ps_client_parse_count=990");
        assert_eq!(rows[11], "total_client_login_count=1320");
        assert_eq!(rows[12..14], ["avg_server_assignment_count=11", "avg_xact_count=22"]);
    }

    #[test]
    fn no_pool_is_no_row_but_totals_of_zero() {
        let (window, now) = window();
        assert!(stats(Halves::Both, &[], &window, now).read_back().is_empty());
        assert!(totals(&[], &window, now).read_back().iter().all(|row| values(row)[1] == "0"));
    }
}
