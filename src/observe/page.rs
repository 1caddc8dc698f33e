//! The Prometheus page: what was sampled, rendered by walking the table of `stats::names`.
//!
//! Lines are written by metrics-exporter-prometheus' own formatter. Its recorder is not used: it keeps every
//! recorded value until someone looks, which for a pooler's histograms is a value per query, and its series
//! never end; here a page is made from the workers' fixed slots when it is asked for, and nothing is kept but
//! [`Series`]. Buckets lie on powers of two microseconds, which are edges of the slots: the counts are exact.
//! Source: Prometheus documentation, "Exposition formats".

use super::gzip::gzip;
use crate::base::PoolId;
use crate::base::limits::{METRICS_DATABASES_MAX, METRICS_POOLS_MAX, METRICS_SOURCES_MAX};
use crate::stats::names::{
    DATABASE_LABELS, LOGIN_LABELS, METRICS, Metric, OTHER, POOL_LABELS, REFRESH_LABELS, SOURCE_LABELS,
    Source, Unit, VERSION_INFO,
};
use crate::stats::{
    Ages, CredentialLevels, Histogram, LoginCounters, PoolCounters, PoolLevels, ProcessLevels,
};
use metrics::{Key, Label};
use metrics_exporter_prometheus::LabelSet;
use metrics_exporter_prometheus::formatting::{write_help_line, write_metric_line, write_type_line};
use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

/// Upper edges of the histograms' buckets, as powers of two of a microsecond: 64 us to 67 s.
const BUCKET_POWERS: RangeInclusive<u32> = 6..=26;

/// One pool at the moment of a scrape.
#[derive(Clone, Debug)]
pub struct PoolSample {
    /// Which pool; never reused.
    pub id: PoolId,
    /// Its database entry.
    pub database: String,
    /// Its user.
    pub user: String,
    /// How it stands.
    pub levels: PoolLevels,
    /// What it has counted.
    pub counters: PoolCounters,
}

/// Everything at the moment of a scrape.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// As SHOW VERSION has it.
    pub version: String,
    /// The process.
    pub process: ProcessLevels,
    /// Every pool there is.
    pub pools: Vec<PoolSample>,
    /// Every source of AWS credentials.
    pub credentials: Vec<CredentialLevels>,
    /// Every database, and whether it can be served.
    pub databases: Vec<(String, bool)>,
}

/// Which pools have series of their own: the first `METRICS_POOLS_MAX` ever seen; a place comes free
/// when its pool goes. All others stay in the one series of the rest, also after they are gone, so that
/// its counters never go back.
#[derive(Debug, Default)]
pub struct Series {
    own: HashSet<PoolId>,
    rest: HashMap<PoolId, PoolCounters>,
    /// What pools of the rest had counted before they went; `None` = there never was a rest.
    gone: Option<PoolCounters>,
    /// Databases with series of their own: the first `METRICS_DATABASES_MAX` ever seen; a place
    /// comes free when one goes.
    databases: HashSet<String>,
    /// Rendering panics.
    #[cfg(test)]
    pub(super) trap: bool,
}

/// The page that was made, as it is and packed.
pub struct Page {
    /// As it is.
    pub text: String,
    /// In the format of gzip.
    pub packed: Vec<u8>,
}

impl Page {
    /// Packs it.
    pub fn of(text: String) -> Self {
        Self { packed: gzip(text.as_bytes()), text }
    }
}

impl Series {
    /// The pools as they are shown: those with series of their own, then at most one that sums the rest.
    fn arrange(&mut self, pools: Vec<PoolSample>) -> Vec<PoolSample> {
        let alive: HashSet<PoolId> = pools.iter().map(|pool| pool.id).collect();
        self.own.retain(|id| alive.contains(id));
        let gone = &mut self.gone;
        self.rest.retain(|id, last| {
            let stays = alive.contains(id);
            if !stays {
                gone.get_or_insert_default().merge(last);
            }
            stays
        });
        let mut shown = Vec::with_capacity(pools.len());
        let mut rest: Option<PoolSample> = None;
        for pool in pools {
            let place = self.own.len() < METRICS_POOLS_MAX && !self.rest.contains_key(&pool.id);
            if self.own.contains(&pool.id) || place {
                self.own.insert(pool.id);
                shown.push(pool);
                continue;
            }
            let sum = rest.get_or_insert_with(|| sum_of_rest(self.gone.get_or_insert_default()));
            sum.levels.merge(&pool.levels);
            sum.counters.merge(&pool.counters);
            self.rest.insert(pool.id, pool.counters);
        }
        let rest = rest.or_else(|| self.gone.as_ref().map(sum_of_rest));
        shown.extend(rest);
        shown
    }

    /// The databases as they are shown: those with series of their own, then one for the
    /// rest, where the worst counts.
    fn arrange_databases(&mut self, databases: Vec<(String, bool)>) -> Vec<(String, bool)> {
        let alive: HashSet<&str> = databases.iter().map(|(name, _)| &**name).collect();
        self.databases.retain(|name| alive.contains(&**name));
        let mut rest = None;
        let mut shown = Vec::with_capacity(databases.len());
        for (name, is_served) in databases {
            if self.databases.contains(&name) || self.databases.len() < METRICS_DATABASES_MAX {
                self.databases.insert(name.clone());
                shown.push((name, is_served));
            } else {
                rest = Some(rest.unwrap_or(true) && is_served);
            }
        }
        shown.extend(rest.map(|is_served| (OTHER.to_owned(), is_served)));
        shown
    }

    /// Renders the page.
    pub fn page(&mut self, sample: Sample) -> String {
        let pools = self.arrange(sample.pools);
        #[cfg(test)]
        assert!(!self.trap, "the trap has sprung");
        let labels: Vec<LabelSet> = pools.iter().map(pool_labels).collect();
        let databases = self.arrange_databases(sample.databases);
        let sources = CredentialLevels::arrange(sample.credentials, METRICS_SOURCES_MAX, OTHER);
        let mut page = String::with_capacity(4096 * (pools.len() + 1));
        for metric in METRICS {
            head(&mut page, metric.name, metric.help, metric.kind());
            let of_pools = pools.iter().zip(&labels);
            match metric.source {
                Source::Process(of) | Source::ProcessCounter(of) => {
                    value(&mut page, metric, &label_set([]), of(&sample.process));
                }
                Source::ProcessCounters([label], names, of) => {
                    let counts = names.iter().zip(of(&sample.process));
                    counts.for_each(|(name, of)| value(&mut page, metric, &label_set([(label, name)]), *of));
                }
                Source::ProcessTimes(of) => {
                    let (histogram, sum_us) = of(&sample.process);
                    buckets(&mut page, metric.name, &label_set([]), histogram, sum_us);
                }
                Source::ProcessIfKnown(of) => whole(&mut page, metric, &label_set([]), of(&sample.process)),
                Source::Level(of) => {
                    of_pools.for_each(|(pool, labels)| value(&mut page, metric, labels, of(&pool.levels)));
                }
                Source::Counter(of) => {
                    of_pools.for_each(|(pool, labels)| value(&mut page, metric, labels, of(&pool.counters)));
                }
                Source::Times(of) => of_pools.for_each(|(pool, labels)| {
                    let (histogram, sum_us) = of(&pool.counters);
                    buckets(&mut page, metric.name, labels, histogram, sum_us);
                }),
                Source::Ages(of) => of_pools.for_each(|(pool, labels)| {
                    ages(&mut page, metric.name, labels, of(&pool.counters));
                }),
                Source::Logins(of) => {
                    pools.iter().for_each(|pool| logins(&mut page, metric, pool, of(&pool.counters)));
                }
                Source::Served => databases.iter().for_each(|(name, is_served)| {
                    let labels = label_set([(DATABASE_LABELS[0], &**name)]);
                    value(&mut page, metric, &labels, u64::from(*is_served));
                }),
                Source::Credentials(of) => sources.iter().for_each(|source| {
                    let labels = label_set([(SOURCE_LABELS[0], &*source.source)]);
                    whole(&mut page, metric, &labels, of(source));
                }),
                Source::CredentialAges(of) => sources.iter().for_each(|source| {
                    let labels = label_set([(SOURCE_LABELS[0], &*source.source)]);
                    ages(&mut page, metric.name, &labels, of(source));
                }),
                Source::Refreshes => sources.iter().for_each(|source| refreshes(&mut page, metric, source)),
            }
        }
        head(&mut page, VERSION_INFO, "The version, in its label; always 1.", "gauge");
        let version = label_set([("version", &*sample.version)]);
        write_metric_line(&mut page, VERSION_INFO, None, &version, None::<(&str, u8)>, 1, None);
        page
    }
}

/// The series of the rest, before the pools alive are added.
fn sum_of_rest(gone: &PoolCounters) -> PoolSample {
    let (database, user) = (OTHER.to_owned(), OTHER.to_owned());
    PoolSample { id: PoolId(u64::MAX), database, user, levels: PoolLevels::default(), counters: gone.clone() }
}

fn label_set<const N: usize>(labels: [(&'static str, &str); N]) -> LabelSet {
    let labels: Vec<Label> = labels.map(|(name, value)| Label::new(name, value.to_owned())).into();
    LabelSet::from_key_and_global(&Key::from_parts("", labels), &Default::default())
}

fn head(page: &mut String, name: &str, help: &str, kind: &str) {
    write_help_line(page, name, None, None, help);
    write_type_line(page, name, None, None, kind);
}

fn value(page: &mut String, metric: &Metric, labels: &LabelSet, value: u64) {
    let none = None::<(&str, u8)>;
    match metric.unit {
        Unit::Seconds => write_metric_line(page, metric.name, None, labels, none, seconds(value), None),
        Unit::Count | Unit::Bytes => write_metric_line(page, metric.name, None, labels, none, value, None),
    }
}

/// A value in whole units, where it is known.
fn whole(page: &mut String, metric: &Metric, labels: &LabelSet, value: Option<i64>) {
    if let Some(value) = value {
        write_metric_line(page, metric.name, None, labels, None::<(&str, u8)>, value, None);
    }
}

fn logins(page: &mut String, metric: &Metric, pool: &PoolSample, logins: &LoginCounters) {
    for (result, reason, count) in logins.outcomes() {
        let values = [&*pool.database, &*pool.user, result, reason];
        value(
            page,
            metric,
            &label_set(std::array::from_fn::<_, 4, _>(|at| (LOGIN_LABELS[at], values[at]))),
            count,
        );
    }
}

fn refreshes(page: &mut String, metric: &Metric, source: &CredentialLevels) {
    for (result, reason, count) in &source.refreshes {
        let values = [&*source.source, result, reason];
        value(
            page,
            metric,
            &label_set(std::array::from_fn::<_, 3, _>(|at| (REFRESH_LABELS[at], values[at]))),
            *count,
        );
    }
}

fn buckets(page: &mut String, name: &str, labels: &LabelSet, histogram: &Histogram, sum_us: u64) {
    for power in BUCKET_POWERS {
        let edge_us = 1 << power;
        let edge = Some(("le", seconds(edge_us)));
        write_metric_line(page, name, Some("bucket"), labels, edge, histogram.count_below(edge_us), None);
    }
    totals(page, name, labels, histogram.count(), sum_us);
}

/// Most pools have no server that was logged in to by IAM, and no series of its age; a source that has signed
/// nothing none of tokens'.
fn ages(page: &mut String, name: &str, labels: &LabelSet, ages: &Ages) {
    if ages.count() == 0 {
        return;
    }
    for (edge_us, below) in ages.below() {
        write_metric_line(page, name, Some("bucket"), labels, Some(("le", seconds(edge_us))), below, None);
    }
    totals(page, name, labels, ages.count(), ages.sum_us());
}

/// The last lines of a histogram.
fn totals(page: &mut String, name: &str, labels: &LabelSet, count: u64, sum_us: u64) {
    write_metric_line(page, name, Some("bucket"), labels, Some(("le", "+Inf")), count, None);
    write_metric_line(page, name, Some("sum"), labels, None::<(&str, u8)>, seconds(sum_us), None);
    write_metric_line(page, name, Some("count"), labels, None::<(&str, u8)>, count, None);
}

/// Microseconds as seconds, printed without a loss.
fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn pool_labels(pool: &PoolSample) -> LabelSet {
    label_set([(POOL_LABELS[0], &*pool.database), (POOL_LABELS[1], &*pool.user)])
}

#[cfg(test)]
mod tests;
