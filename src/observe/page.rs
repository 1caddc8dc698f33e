//! The Prometheus page: what was sampled, rendered by walking the table of `stats::names`.
//!
//! metrics-exporter-prometheus' recorder is not used: it keeps every recorded value until someone looks,
//! which for a pooler's histograms is a value per query, and its series never end; here a page is made from
//! the workers' fixed slots when it is asked for, and nothing is kept but [`Series`]. Buckets lie on powers
//! of two microseconds, which are edges of the slots: the counts are exact.

mod lines;
mod series;

use super::gzip::gzip;
use crate::base::PoolId;
use crate::base::limits::{METRICS_INSTANCES_MAX, METRICS_PEERS_MAX, METRICS_SOURCES_MAX};
use crate::stats::names::{
    CLIENT_LABELS, DATABASE_LABELS, ENTRY_LABELS, INSTANCE_LABELS, ISSUER_LABELS, LOGIN_LABELS, Metric,
    OTHER, PEER_LABELS, POOL_LABELS, REFRESH_LABELS, SOURCE_LABELS, Source, metrics,
};
use crate::stats::{
    CredentialLevels, InstanceLevels, IssuerLevels, PeerLevels, PoolCounters, PoolLevels, ProcessLevels,
    SystemLevels,
};
use crate::status::{ClientsAlike, EntrySample};
pub use lines::Format;
use lines::{Lines, labels};
use metrics_exporter_prometheus::LabelSet;
pub(super) use series::Series;
use series::Shown;
use std::collections::BTreeMap;

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
pub(super) struct Sample {
    /// The process.
    pub process: ProcessLevels,
    /// What the system says of it.
    pub system: SystemLevels,
    /// Every pool there is.
    pub pools: Vec<PoolSample>,
    /// Whether each pool has histograms of its own (`metrics_pool_histograms`).
    pub has_pool_histograms: bool,
    /// Every source of AWS credentials.
    pub credentials: Vec<CredentialLevels>,
    /// Every database, and whether it can be served.
    pub databases: Vec<(String, bool)>,
    /// Every database as SHOW DATABASES has it.
    pub entries: Vec<EntrySample>,
    /// Clients, those that are alike together.
    pub clients: BTreeMap<ClientsAlike, u64>,
    /// Every pool of a peer, ordered by id.
    pub peers: Vec<PeerLevels>,
    /// Every server of PostgreSQL, by name.
    pub instances: Vec<InstanceLevels>,
    /// Every issuer of tokens.
    pub issuers: Vec<IssuerLevels>,
}

/// The page that was made, as it is and packed.
pub struct Page {
    /// As it is.
    pub text: String,
    /// In the format of gzip.
    pub packed: Vec<u8>,
    /// What it is written in.
    pub format: Format,
}

impl Page {
    /// Packs it.
    pub fn of(text: String, format: Format) -> Self {
        Self { packed: gzip(text.as_bytes()), text, format }
    }
}

/// Renders the page.
pub(super) fn page(series: &mut Series, mut sample: Sample, format: Format) -> String {
    let shown = series.arrange(&mut sample);
    let credentials = std::mem::take(&mut sample.credentials);
    let view = View {
        labels: shown.pools.iter().map(|pool| labels(POOL_LABELS, [&pool.database, &pool.user])).collect(),
        sources: CredentialLevels::arrange(credentials, METRICS_SOURCES_MAX, OTHER),
        sample: &sample,
        shown,
    };
    let mut lines = Lines::new(format, 4096 * (view.shown.pools.len() + 1));
    for metric in metrics() {
        lines.head(metric);
        view.tell(&mut lines, metric);
    }
    lines.end()
}

/// What is shown, and the labels of its pools.
struct View<'a> {
    sample: &'a Sample,
    shown: Shown,
    labels: Vec<LabelSet>,
    sources: Vec<CredentialLevels>,
}

impl View<'_> {
    /// Every series of one metric.
    fn tell(&self, lines: &mut Lines, metric: &Metric) {
        match metric.source {
            Source::Level(_)
            | Source::Counter(_)
            | Source::Times(_)
            | Source::Ages(_)
            | Source::Logins(_) => {
                self.tell_of_pools(lines, metric);
            }
            Source::Served | Source::Total(_) | Source::Database(_) | Source::Clients => {
                self.tell_of_databases(lines, metric);
            }
            Source::Credentials(_) | Source::CredentialAges(_) | Source::Refreshes => {
                self.sources.iter().for_each(|source| tell_of_source(lines, metric, source));
            }
            Source::Issuer(_) | Source::IssuerResults(..) => {
                self.sample.issuers.iter().for_each(|issuer| tell_of_issuer(lines, metric, issuer));
            }
            Source::Peer(of) => tell_of_peers(lines, metric, &self.sample.peers, of),
            Source::Instance(of) => tell_of_instances(lines, metric, &self.sample.instances, of),
            Source::Process(_)
            | Source::ProcessCounter(_)
            | Source::ProcessCounters(..)
            | Source::ProcessTimes(_)
            | Source::ProcessIfKnown(_)
            | Source::System(_)
            | Source::SystemCounter(_)
            | Source::Info(_) => self.tell_of_process(lines, metric),
        }
    }

    fn tell_of_pools(&self, lines: &mut Lines, metric: &Metric) {
        let all = self.shown.all.as_ref();
        match (&metric.source, all) {
            (Source::Times(of), Some(all)) => {
                let (histogram, sum_us) = of(all);
                return lines.histogram(metric.name, &labels([], []), histogram, sum_us);
            }
            (Source::Ages(of), Some(all)) => return lines.ages(metric.name, &labels([], []), of(all)),
            _ => {}
        }
        for (pool, own) in self.shown.pools.iter().zip(&self.labels) {
            match metric.source {
                Source::Level(of) => lines.value(metric, own, of(&pool.levels)),
                Source::Counter(of) => lines.value(metric, own, of(&pool.counters)),
                Source::Times(of) => {
                    let (histogram, sum_us) = of(&pool.counters);
                    lines.histogram(metric.name, own, histogram, sum_us);
                }
                Source::Ages(of) => lines.ages(metric.name, own, of(&pool.counters)),
                Source::Logins(of) => {
                    for (result, reason, count) in of(&pool.counters).outcomes() {
                        let values = [&*pool.database, &*pool.user, result, reason];
                        lines.value(metric, &labels(LOGIN_LABELS, values), count);
                    }
                }
                _ => {}
            }
        }
    }

    fn tell_of_databases(&self, lines: &mut Lines, metric: &Metric) {
        match metric.source {
            Source::Served => self.shown.served.iter().for_each(|(name, is_served)| {
                lines.value(metric, &labels(DATABASE_LABELS, [name]), u64::from(*is_served));
            }),
            Source::Total(figure) => self.shown.totals.iter().for_each(|(name, totals)| {
                let figure = totals.named(figure).unwrap_or_default();
                lines.value(metric, &labels(DATABASE_LABELS, [name]), figure);
            }),
            Source::Database(of) => self.shown.entries.iter().for_each(|entry| {
                let values = entry.labels.each_ref().map(String::as_str);
                lines.value(metric, &labels(ENTRY_LABELS, values), of(&entry.levels));
            }),
            _ => self.shown.clients.iter().for_each(|(kind, count)| {
                let values = kind.each_ref().map(|value| &**value);
                lines.value(metric, &labels(CLIENT_LABELS, values), *count);
            }),
        }
    }

    fn tell_of_process(&self, lines: &mut Lines, metric: &Metric) {
        let (process, system, none) = (&self.sample.process, &self.sample.system, &labels([], []));
        match metric.source {
            Source::Process(of) | Source::ProcessCounter(of) => lines.value(metric, none, of(process)),
            Source::ProcessCounters(label, names, of) => {
                let counts = names.iter().zip(of(process));
                counts.for_each(|(name, of)| lines.value(metric, &labels(label, [name]), *of));
            }
            Source::ProcessTimes(of) => {
                let (histogram, sum_us) = of(process);
                lines.histogram(metric.name, none, histogram, sum_us);
            }
            Source::ProcessIfKnown(of) => lines.whole(metric, none, of(process)),
            Source::System(of) | Source::SystemCounter(of) => {
                of(system).into_iter().for_each(|value| lines.value(metric, none, value));
            }
            Source::Info(pairs) => lines.value(metric, &lines::label_set(pairs.iter().copied()), 1),
            _ => {}
        }
    }
}

fn tell_of_peers(lines: &mut Lines, metric: &Metric, peers: &[PeerLevels], of: fn(&PeerLevels) -> u64) {
    let (shown, rest) = peers.split_at(METRICS_PEERS_MAX.min(peers.len()));
    for peer in shown {
        lines.value(metric, &labels(PEER_LABELS, [&peer.peer_id.to_string()]), of(peer));
    }
    if !rest.is_empty() {
        lines.value(metric, &labels(PEER_LABELS, [OTHER]), rest.iter().map(of).sum());
    }
}

fn tell_of_instances(
    lines: &mut Lines,
    metric: &Metric,
    instances: &[InstanceLevels],
    of: fn(&InstanceLevels) -> u64,
) {
    let (shown, rest) = instances.split_at(METRICS_INSTANCES_MAX.min(instances.len()));
    for instance in shown {
        lines.value(metric, &labels(INSTANCE_LABELS, [&instance.instance]), of(instance));
    }
    if !rest.is_empty() {
        lines.value(metric, &labels(INSTANCE_LABELS, [OTHER]), rest.iter().map(of).sum());
    }
}

fn tell_of_issuer(lines: &mut Lines, metric: &Metric, issuer: &IssuerLevels) {
    let [label, _] = ISSUER_LABELS;
    match metric.source {
        Source::Issuer(of) => lines.whole(metric, &labels([label], [&issuer.issuer]), of(issuer)),
        Source::IssuerResults(results, of) => {
            for (result, count) in results.into_iter().zip(of(issuer)) {
                lines.value(metric, &labels(ISSUER_LABELS, [&*issuer.issuer, result]), count);
            }
        }
        _ => {}
    }
}

fn tell_of_source(lines: &mut Lines, metric: &Metric, source: &CredentialLevels) {
    let own = labels(SOURCE_LABELS, [&source.source]);
    match metric.source {
        Source::Credentials(of) => lines.whole(metric, &own, of(source)),
        Source::CredentialAges(of) => lines.ages(metric.name, &own, of(source)),
        _ => {
            for (result, reason, count) in &source.refreshes {
                let values = [&*source.source, result, reason];
                lines.value(metric, &labels(REFRESH_LABELS, values), *count);
            }
        }
    }
}

#[cfg(test)]
mod tests;
