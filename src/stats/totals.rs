//! The twelve figures of SHOW STATS as one row of numbers, in PgBouncer's column order,
//! and how each is averaged.
//!
//! [`STATS`] is the one table of them: SHOW STATS, STATS_TOTALS, STATS_AVERAGES, TOTALS and the log's
//! `stats:` line walk it. Pure arithmetic. Source: PgBouncer, doc/usage.md (SHOW STATS, SHOW TOTALS).

use super::PoolCounters;

/// How a figure's growth over a span of time becomes its average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// Divided by the span: so many a second.
    Second,
    /// Divided by the growth of another figure of [`STATS`], by position: so many microseconds each.
    Each(usize),
}

/// One figure.
#[derive(Debug)]
pub struct Stat {
    /// Its name in SHOW TOTALS, behind `total_` and `avg_`.
    pub name: &'static str,
    /// How it is averaged.
    pub per: Per,
    /// Where it is counted.
    of: fn(&PoolCounters) -> u64,
}

/// Position of `server_assignment_count` in [`STATS`].
const ASSIGNMENTS: usize = 0;
/// Position of `xact_count` in [`STATS`].
const XACTS: usize = 1;
/// Position of `query_count` in [`STATS`].
const QUERIES: usize = 2;

/// Every figure, in the column order of SHOW STATS.
pub const STATS: [Stat; 12] = [
    Stat { name: "server_assignment_count", per: Per::Second, of: |c| c.server_assignment_count },
    Stat { name: "xact_count", per: Per::Second, of: |c| c.xact_count },
    Stat { name: "query_count", per: Per::Second, of: |c| c.query_count },
    Stat { name: "client_bytes", per: Per::Second, of: |c| c.client_bytes },
    Stat { name: "server_bytes", per: Per::Second, of: |c| c.server_bytes },
    Stat { name: "xact_time", per: Per::Each(XACTS), of: |c| c.xact_time_us },
    Stat { name: "query_time", per: Per::Each(QUERIES), of: |c| c.query_time_us },
    Stat { name: "wait_time", per: Per::Each(ASSIGNMENTS), of: |c| c.wait_time_us },
    Stat { name: "ps_client_parse_count", per: Per::Second, of: |c| c.client_parse_count },
    Stat { name: "ps_server_parse_count", per: Per::Second, of: |c| c.server_parse_count },
    Stat { name: "ps_bind_count", per: Per::Second, of: |c| c.bind_count },
    Stat { name: "client_login_count", per: Per::Second, of: |c| c.client_login_count },
];

/// The figures of one pool, one database or everything, in the order of [`STATS`]. Times are microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals(pub [u64; STATS.len()]);

impl From<&PoolCounters> for Totals {
    fn from(counters: &PoolCounters) -> Self {
        Self(std::array::from_fn(|at| (STATS[at].of)(counters)))
    }
}

impl Totals {
    /// The figure of that name.
    pub fn named(&self, name: &str) -> Option<u64> {
        STATS.iter().zip(self.0).find_map(|(stat, figure)| (stat.name == name).then_some(figure))
    }

    /// Adds `other` to this.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
    }

    /// What this has grown by since `earlier`; a figure that shrank (its pool was
    /// made anew) counts from zero.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self(std::array::from_fn(|at| match self.0[at].checked_sub(earlier.0[at]) {
            Some(growth) => growth,
            None => self.0[at],
        }))
    }

    /// Takes this as growth over `span_us` microseconds and averages every figure as [`Per`] says;
    /// nothing by nothing is 0.
    #[must_use]
    pub fn averaged(&self, span_us: u64) -> Self {
        Self(std::array::from_fn(|at| {
            let (scale, by) = match STATS[at].per {
                Per::Second => (1_000_000, span_us),
                Per::Each(other) => (1, self.0[other]),
            };
            if by == 0 {
                return 0;
            }
            u64::try_from(u128::from(self.0[at]) * scale / u128::from(by)).unwrap_or(u64::MAX)
        }))
    }

    /// PgBouncer's line of averages, for the log and for systemd's STATUS: `self` is already averaged.
    pub fn line(&self) -> String {
        let [
            _,
            xacts,
            queries,
            bytes_in,
            bytes_out,
            xact_us,
            query_us,
            wait_us,
            parses,
            server_parses,
            binds,
            logins,
        ] = self.0;
        format!(
            "stats: {xacts} xacts/s, {queries} queries/s, {parses} client parses/s, {server_parses} server \
             parses/s, {binds} binds/s, {logins} client logins/s, in {bytes_in} B/s, out {bytes_out} B/s, \
             xact {xact_us} us, query {query_us} us, wait {wait_us} us"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_its_own_place() {
        let counters = PoolCounters {
            server_assignment_count: 1,
            xact_count: 2,
            query_count: 3,
            client_bytes: 4,
            server_bytes: 5,
            xact_time_us: 6,
            query_time_us: 7,
            wait_time_us: 8,
            client_parse_count: 9,
            server_parse_count: 10,
            bind_count: 11,
            client_login_count: 12,
            ..PoolCounters::default()
        };
        assert_eq!(Totals::from(&counters).0, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    }

    #[test]
    fn counts_average_per_second_and_times_per_event() {
        let growth = Totals([4, 10, 20, 1000, 2000, 500, 400, 80, 0, 0, 0, 3]);
        let averaged = growth.averaged(2_000_000);
        assert_eq!(averaged.0, [2, 5, 10, 500, 1000, 50, 20, 20, 0, 0, 0, 1]);
        assert_eq!(Totals::default().averaged(0), Totals::default());
    }

    #[test]
    fn growth_of_a_pool_made_anew_counts_from_zero() {
        let mut before = Totals::default();
        before.0[XACTS] = 100;
        let mut now = Totals::default();
        now.0[XACTS] = 7;
        now.0[QUERIES] = 9;
        let growth = now.since(&before);
        assert_eq!((growth.0[XACTS], growth.0[QUERIES]), (7, 9));
    }

    #[test]
    fn the_line_reads_as_pgbouncers() {
        let line = Totals([99, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]).line();
        assert_eq!(
            line,
            "stats: 1 xacts/s, 2 queries/s, 8 client parses/s, 9 server parses/s, 10 binds/s, 11 client \
             logins/s, in 3 B/s, out 4 B/s, xact 5 us, query 6 us, wait 7 us"
        );
    }
}
