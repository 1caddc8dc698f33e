//! The one table of metrics: name, kind, unit, labels, help, and the SHOW column that tells the same.
//!
//! The Prometheus page, docs/metrics.md and their tests walk [`metrics()`]; a metric is added in one of the
//! tables below `table` and nowhere else. What prometheus-community's pgbouncer_exporter tells carries its
//! name, type and labels, so that dashboards carry over; what every client library tells of its process is
//! `process_<noun>_<unit>`, the rest `pgweir_<noun>_<unit>`. Labels have a bound:
//! `limits::METRICS_POOLS_MAX` and those beside it.

mod page;
mod table;

pub use page::markdown;
pub use table::metrics;

use super::{
    Ages, CredentialLevels, DatabaseLevels, Histogram, InstanceLevels, IssuerLevels, LoginCounters,
    PeerLevels, PoolCounters, PoolLevels, ProcessLevels, SystemLevels,
};

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
    /// A counter of each database: a figure of [`super::STATS`], summed over its pools.
    Total(&'static str),
    /// A gauge of each database, with what SHOW DATABASES says of it in its labels.
    Database(fn(&DatabaseLevels) -> u64),
    /// How many clients there are of each kind.
    Clients,
    /// A gauge of each peer that a cancel request was forwarded to.
    Peer(fn(&PeerLevels) -> u64),
    /// A gauge in whole units of each issuer of tokens; not on the page while it is not known.
    Issuer(fn(&IssuerLevels) -> Option<i64>),
    /// A gauge of each server of PostgreSQL.
    Instance(fn(&InstanceLevels) -> u64),
    /// A counter of each issuer for each of these two results.
    IssuerResults([&'static str; 2], fn(&IssuerLevels) -> [u64; 2]),
    /// A gauge of what the system says of the process; not on the page while it is not known.
    System(fn(&SystemLevels) -> Option<u64>),
    /// A counter of the same.
    SystemCounter(fn(&SystemLevels) -> Option<u64>),
    /// What never changes, in labels; its value is always 1.
    Info(&'static [(&'static str, &'static str)]),
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
            | Source::Served
            | Source::Database(_)
            | Source::Clients
            | Source::Peer(_)
            | Source::Issuer(_)
            | Source::Instance(_)
            | Source::System(_)
            | Source::Info(_) => "gauge",
            Source::Counter(_)
            | Source::ProcessCounter(_)
            | Source::ProcessCounters(..)
            | Source::Logins(_)
            | Source::Refreshes
            | Source::Total(_)
            | Source::IssuerResults(..)
            | Source::SystemCounter(_) => "counter",
            Source::Times(_) | Source::Ages(_) | Source::ProcessTimes(_) | Source::CredentialAges(_) => {
                "histogram"
            }
        }
    }

    /// Names of its labels.
    pub fn labels(&self) -> Vec<&'static str> {
        match &self.source {
            Source::ProcessCounters(label, ..) => label.to_vec(),
            Source::Info(labels) => labels.iter().map(|(name, _)| *name).collect(),
            Source::Level(_) | Source::Counter(_) | Source::Times(_) | Source::Ages(_) => {
                POOL_LABELS.to_vec()
            }
            Source::Logins(_) => LOGIN_LABELS.to_vec(),
            Source::Served | Source::Total(_) => DATABASE_LABELS.to_vec(),
            Source::Database(_) => ENTRY_LABELS.to_vec(),
            Source::Clients => CLIENT_LABELS.to_vec(),
            Source::Peer(_) => PEER_LABELS.to_vec(),
            Source::Instance(_) => INSTANCE_LABELS.to_vec(),
            Source::Issuer(_) => ISSUER_LABELS[..1].to_vec(),
            Source::IssuerResults(..) => ISSUER_LABELS.to_vec(),
            Source::Credentials(_) | Source::CredentialAges(_) => SOURCE_LABELS.to_vec(),
            Source::Refreshes => REFRESH_LABELS.to_vec(),
            Source::Process(_)
            | Source::ProcessCounter(_)
            | Source::ProcessTimes(_)
            | Source::ProcessIfKnown(_)
            | Source::System(_)
            | Source::SystemCounter(_) => Vec::new(),
        }
    }
}

/// Labels of every metric of a pool. `user` is the pool's: the one its servers log in as.
pub const POOL_LABELS: [&str; 2] = ["database", "user"];

/// Labels of every metric of a database.
pub const DATABASE_LABELS: [&str; 1] = ["database"];

/// Labels of what SHOW DATABASES tells of a database.
pub const ENTRY_LABELS: [&str; 6] = ["name", "host", "port", "database", "force_user", "pool_mode"];

/// Labels of clients that are alike.
pub const CLIENT_LABELS: [&str; 4] = ["database", "user", "application_name", "state"];

/// Labels of every metric of a peer.
pub const PEER_LABELS: [&str; 1] = ["peer_id"];

/// Labels of what is counted of an issuer of tokens by result; the first alone of what is not.
pub const ISSUER_LABELS: [&str; 2] = ["issuer", "result"];

/// The label of what is told of a server of PostgreSQL.
pub const INSTANCE_LABELS: [&str; 1] = ["instance"];

/// Labels of logins to servers.
pub const LOGIN_LABELS: [&str; 4] = ["database", "user", "result", "reason"];

/// Labels of every metric of a source of AWS credentials.
pub const SOURCE_LABELS: [&str; 1] = ["source"];

/// Labels of refreshes of AWS credentials.
pub const REFRESH_LABELS: [&str; 3] = ["source", "result", "reason"];

/// What the labels of the one series say that sums all beyond the bound.
pub const OTHER: &str = "other";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Totals;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_tell_kind_and_unit() {
        let mut seen = HashSet::new();
        for metric in metrics() {
            assert!(seen.insert(metric.name), "{} twice", metric.name);
            let prefixes = ["pgbouncer_", "pgweir_", "process_"];
            assert!(prefixes.iter().any(|prefix| metric.name.starts_with(prefix)), "{}", metric.name);
            assert_eq!(metric.kind() == "counter", metric.name.ends_with("_total"), "{}", metric.name);
            assert_eq!(metric.unit == Unit::Seconds, metric.name.contains("_seconds"), "{}", metric.name);
            assert_eq!(metric.unit == Unit::Bytes, metric.name.contains("_bytes"), "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
            assert!(!metric.help.contains(['"', '\\', '\n']), "{} needs no escapes", metric.name);
        }
    }

    #[test]
    fn totals_are_figures_of_the_statistics() {
        let figures = metrics().filter_map(|metric| match metric.source {
            Source::Total(figure) => Some(figure),
            _ => None,
        });
        let unknown: Vec<_> = figures.filter(|name| Totals::default().named(name).is_none()).collect();
        assert_eq!(unknown, [""; 0]);
    }
}
