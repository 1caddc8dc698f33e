//! The metrics themselves, in the order of the page.

mod exporter;
mod iam;
mod instances;
mod issuers;
mod pools;
mod process;
mod query_limits;
mod secrets;
mod sessions;

use super::{Metric, Source, Unit};
use crate::stats::{DatabaseLevels, Histogram, PoolCounters, PoolLevels, ProcessLevels};

const fn level(
    name: &'static str,
    source: fn(&PoolLevels) -> u64,
    show: &'static str,
    help: &'static str,
) -> Metric {
    Metric { name, unit: Unit::Count, source: Source::Level(source), show, help }
}

const fn counter(
    name: &'static str,
    unit: Unit,
    source: fn(&PoolCounters) -> u64,
    show: &'static str,
    help: &'static str,
) -> Metric {
    Metric { name, unit, source: Source::Counter(source), show, help }
}

const fn times(
    name: &'static str,
    source: fn(&PoolCounters) -> (&Histogram, u64),
    help: &'static str,
) -> Metric {
    Metric { name, unit: Unit::Seconds, source: Source::Times(source), show: "", help }
}

const fn process(
    name: &'static str,
    source: fn(&ProcessLevels) -> u64,
    show: &'static str,
    help: &'static str,
) -> Metric {
    Metric { name, unit: Unit::Count, source: Source::Process(source), show, help }
}

const fn total(
    name: &'static str,
    unit: Unit,
    figure: &'static str,
    show: &'static str,
    help: &'static str,
) -> Metric {
    Metric { name, unit, source: Source::Total(figure), show, help }
}

const fn database(
    name: &'static str,
    source: fn(&DatabaseLevels) -> u64,
    show: &'static str,
    help: &'static str,
) -> Metric {
    Metric { name, unit: Unit::Count, source: Source::Database(source), show, help }
}

/// Every metric.
pub fn metrics() -> impl Iterator<Item = &'static Metric> {
    [
        exporter::METRICS,
        pools::METRICS,
        iam::METRICS,
        issuers::METRICS,
        instances::METRICS,
        sessions::METRICS,
        query_limits::METRICS,
        process::METRICS,
        secrets::METRICS,
    ]
    .into_iter()
    .flatten()
}
