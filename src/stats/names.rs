//! The one table of metrics: name, kind, unit, labels, help, and the SHOW column that tells the same.
//!
//! The Prometheus page, docs/metrics.md and their tests walk [`METRICS`]; a metric is added there
//! (`table.rs`) and nowhere else. What SHOW also has carries the name that prometheus-community's
//! pgbouncer_exporter gives it, so that dashboards carry over; the rest is `pgweir_<noun>_<unit>`. Labels
//! have a bound: `limits::METRICS_POOLS_MAX`, `limits::METRICS_SOURCES_MAX`.

mod page;
mod table;

pub use page::markdown;
pub use table::METRICS;

use super::{Ages, CredentialLevels, Histogram, LoginCounters, PoolCounters, PoolLevels, ProcessLevels};

/// What a metric's figures are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things counted.
    Count,
    /// Bytes.
    Bytes,
    /// Microseconds inside, printed as seconds.
    Seconds,
}

/// Where a metric's figure comes from; says also what kind of metric it is.
#[derive(Clone, Copy)]
pub enum Source {
    /// A gauge of each pool.
    Level(fn(&PoolLevels) -> u64),
    /// A counter of each pool.
    Counter(fn(&PoolCounters) -> u64),
    /// A histogram of each pool, and the exact sum of its values in microseconds.
    Times(fn(&PoolCounters) -> (&Histogram, u64)),
    /// A histogram of ages of each pool; not on the page before the first.
    Ages(fn(&PoolCounters) -> &Ages),
    /// A gauge of the process.
    Process(fn(&ProcessLevels) -> u64),
    /// A counter of the process.
    ProcessCounter(fn(&ProcessLevels) -> u64),
    /// A counter of the process for each of these values of a label.
    ProcessCounters([&'static str; 1], &'static [&'static str], fn(&ProcessLevels) -> &[u64]),
    /// A histogram of the process, and the exact sum of its values in microseconds.
    ProcessTimes(fn(&ProcessLevels) -> (&Histogram, u64)),
    /// A gauge of the process in whole units; not on the page while it is not known.
    ProcessIfKnown(fn(&ProcessLevels) -> Option<i64>),
    /// A counter of each pool, by outcome.
    Logins(fn(&PoolCounters) -> &LoginCounters),
    /// A gauge in whole units of each source of AWS credentials; not on the page while it is not known.
    Credentials(fn(&CredentialLevels) -> Option<i64>),
    /// Whether each database can be served.
    Served,
    /// A histogram of ages of each source of AWS credentials; not on the page before the first.
    CredentialAges(fn(&CredentialLevels) -> &Ages),
    /// Refreshes of AWS credentials: a counter of each source, by outcome.
    Refreshes,
}

/// One metric.
pub struct Metric {
    /// Its name on the page.
    pub name: &'static str,
    /// What its figures are in.
    pub unit: Unit,
    /// Where they come from.
    pub source: Source,
    /// The SHOW command and column that tell the same; empty if none does.
    pub show: &'static str,
    /// One sentence for the page and the documentation.
    pub help: &'static str,
}

impl Metric {
    /// `gauge`, `counter` or `histogram`, as the page's TYPE line has it.
    pub fn kind(&self) -> &'static str {
        match self.source {
            Source::Level(_)
            | Source::Process(_)
            | Source::ProcessIfKnown(_)
            | Source::Credentials(_)
            | Source::Served => "gauge",
            Source::Counter(_)
            | Source::ProcessCounter(_)
            | Source::ProcessCounters(..)
            | Source::Logins(_)
            | Source::Refreshes => "counter",
            Source::Times(_) | Source::Ages(_) | Source::ProcessTimes(_) | Source::CredentialAges(_) => {
                "histogram"
            }
        }
    }

    /// Names of its labels.
    pub fn labels(&self) -> &[&'static str] {
        match &self.source {
            Source::ProcessCounters(label, ..) => label,
            Source::Level(_) | Source::Counter(_) | Source::Times(_) | Source::Ages(_) => &POOL_LABELS,
            Source::Logins(_) => &LOGIN_LABELS,
            Source::Served => &DATABASE_LABELS,
            Source::Credentials(_) | Source::CredentialAges(_) => &SOURCE_LABELS,
            Source::Refreshes => &REFRESH_LABELS,
            Source::Process(_)
            | Source::ProcessCounter(_)
            | Source::ProcessTimes(_)
            | Source::ProcessIfKnown(_) => &[],
        }
    }
}

/// Labels of every metric of a pool. `user` is the pool's: the one its servers log in as.
pub const POOL_LABELS: [&str; 2] = ["database", "user"];

/// Labels of every metric of a database.
pub const DATABASE_LABELS: [&str; 1] = ["database"];

/// Labels of logins to servers.
pub const LOGIN_LABELS: [&str; 4] = ["database", "user", "result", "reason"];

/// Labels of every metric of a source of AWS credentials.
pub const SOURCE_LABELS: [&str; 1] = ["source"];

/// Labels of refreshes of AWS credentials.
pub const REFRESH_LABELS: [&str; 3] = ["source", "result", "reason"];

/// What both labels of the one series say that sums all pools beyond the bound.
pub const OTHER: &str = "other";

/// The metric that tells the version in its label `version`; its value is always 1.
pub const VERSION_INFO: &str = "pgbouncer_version_info";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_tell_kind_and_unit() {
        let mut seen = HashSet::new();
        for metric in METRICS {
            assert!(seen.insert(metric.name), "{} twice", metric.name);
            assert!(
                metric.name.starts_with("pgbouncer_") || metric.name.starts_with("pgweir_"),
                "{}",
                metric.name
            );
            assert_eq!(metric.kind() == "counter", metric.name.ends_with("_total"), "{}", metric.name);
            assert_eq!(metric.unit == Unit::Seconds, metric.name.contains("_seconds"), "{}", metric.name);
            assert_eq!(metric.unit == Unit::Bytes, metric.name.contains("_bytes"), "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}
