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
                Source::Ages(of) => {
                    of_pools
                        .for_each(|(pool, labels)| ages(&mut page, metric.name, labels, of(&pool.counters)));
                }
                Source::Logins(of) => {
                    pools.iter().for_each(|pool| logins(&mut page, metric, pool, of(&pool.counters)));
                }
                Source::Served => databases.iter().for_each(|(name, is_served)| {
                    value(
                        &mut page,
                        metric,
                        &label_set([(DATABASE_LABELS[0], &**name)]),
                        (*is_served).into(),
                    );
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
    PoolSample { id: PoolId(u32::MAX), database, user, levels: PoolLevels::default(), counters: gone.clone() }
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
mod tests {
    use super::*;

    /// (name, labels as printed, value) of every line that is no comment.
    fn parse(page: &str) -> Vec<(String, String, f64)> {
        let line = |line: &str| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            (name.to_owned(), labels.strip_suffix('}').unwrap().to_owned(), value.parse().unwrap())
        };
        page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(line).collect()
    }

    fn find(page: &str, name: &str, labels: &str) -> Option<f64> {
        let lines = parse(page);
        let mut found = lines.iter().filter(|(n, l, _)| n == name && l == labels);
        let value = found.next().map(|line| line.2);
        assert!(found.next().is_none(), "{name}{{{labels}}} twice");
        value
    }

    /// What `limits::METRICS_POOLS_MAX` says of the page.
    const METRICS_PAGE_BYTES: usize = 6_700_000;

    fn pool(id: u32, logins: u64) -> PoolSample {
        let counters = PoolCounters { client_login_count: logins, ..PoolCounters::default() };
        PoolSample {
            id: PoolId(id),
            database: format!("db{id}"),
            user: "ada".into(),
            levels: PoolLevels { sv_idle: 1, ..PoolLevels::default() },
            counters,
        }
    }

    fn source(name: &str, tokens: u64) -> CredentialLevels {
        let refreshes = vec![("ok", "", 2), ("failed", "timeout", 1)];
        let mut token_age = Ages::default();
        (0..tokens).for_each(|_| token_age.record(1));
        CredentialLevels { source: name.into(), expires_in_s: Some(90), usable: true, refreshes, token_age }
    }

    fn sample(pools: Vec<PoolSample>) -> Sample {
        let databases = vec![("db1".to_owned(), true)];
        Sample { version: "PgBouncer 9".into(), pools, databases, ..Sample::default() }
    }

    #[test]
    fn every_metric_is_there_with_help_and_type() {
        let mut sample = sample(vec![pool(1, 5)]);
        sample.pools[0].counters.auth_age.record(1);
        sample.process.databases = 7;
        sample.process.clock_skew_s = Some(-3);
        sample.credentials = vec![source("imds", 3)];
        let page = Series::default().page(sample);
        for metric in METRICS {
            assert!(page.contains(&format!("# HELP {} {}\n", metric.name, metric.help)), "{}", metric.name);
            assert!(page.contains(&format!("# TYPE {} {}\n", metric.name, metric.kind())), "{}", metric.name);
            let suffix = if metric.kind() == "histogram" { "_count" } else { "" };
            assert!(
                parse(&page).iter().any(|(name, ..)| *name == format!("{}{suffix}", metric.name)),
                "{}",
                metric.name
            );
        }
        assert_eq!(find(&page, "pgbouncer_databases", ""), Some(7.0));
        assert_eq!(find(&page, "pgweir_client_logins_total", "database=\"db1\",user=\"ada\""), Some(5.0));
        assert_eq!(find(&page, "pgweir_clock_skew_seconds", ""), Some(-3.0));
        assert_eq!(find(&page, "pgweir_iam_credentials_expire_seconds", "source=\"imds\""), Some(90.0));
        let timeouts = "source=\"imds\",result=\"failed\",reason=\"timeout\"";
        assert_eq!(find(&page, "pgweir_iam_refresh_total", timeouts), Some(1.0));
        assert_eq!(find(&page, "pgweir_iam_token_age_seconds_count", "source=\"imds\""), Some(3.0));
        let denials = "database=\"db1\",user=\"ada\",result=\"failed\",reason=\"denied\"";
        assert_eq!(find(&page, "pgweir_backend_logins_total", denials), Some(0.0));
        assert_eq!(find(&page, "pgweir_database_served", "database=\"db1\""), Some(1.0));
        assert_eq!(find(&page, "pgbouncer_version_info", "version=\"PgBouncer 9\""), Some(1.0));
    }

    #[test]
    fn histograms_add_up_and_times_are_seconds() {
        let mut one = pool(1, 0);
        for us in [10, 63, 64, 100_000, 90_000_000] {
            one.counters.query_time.record(us);
            one.counters.query_time_us += us;
        }
        one.levels.maxwait_us = 1_500_000;
        let page = Series::default().page(sample(vec![one]));
        let labels = "database=\"db1\",user=\"ada\"";
        let bucket = |le: &str| find(&page, "pgweir_query_seconds_bucket", &format!("{labels},le=\"{le}\""));
        assert_eq!(bucket("0.000064"), Some(2.0));
        assert_eq!(bucket("0.000128"), Some(3.0));
        assert_eq!(bucket("0.131072"), Some(4.0));
        assert_eq!(bucket("67.108864"), Some(4.0));
        assert_eq!(bucket("+Inf"), Some(5.0));
        assert_eq!(find(&page, "pgweir_query_seconds_count", labels), Some(5.0));
        assert_eq!(find(&page, "pgweir_query_seconds_sum", labels), Some(90.100137));
        assert_eq!(find(&page, "pgbouncer_pools_client_maxwait_seconds", labels), Some(1.5));
        assert_eq!(seconds(0), "0");
        assert_eq!(seconds(10_000_000), "10");
    }

    #[test]
    fn ages_have_buckets_of_their_own_and_none_where_nothing_has_an_age() {
        let (mut by_iam, other) = (pool(1, 0), pool(2, 0));
        for seconds in [5, 600, 899, 900, 901, 90_000] {
            by_iam.counters.auth_age.record(seconds * 1_000_000);
        }
        let page = Series::default().page(sample(vec![by_iam, other]));
        let name = "pgweir_backend_auth_age_seconds";
        let labels = "database=\"db1\",user=\"ada\"";
        let bucket = |le: &str| find(&page, &format!("{name}_bucket"), &format!("{labels},le=\"{le}\""));
        assert_eq!(
            ["10", "600", "900", "1800", "86400", "+Inf"].map(bucket),
            [1.0, 2.0, 4.0, 5.0, 5.0, 6.0].map(Some)
        );
        assert_eq!(find(&page, &format!("{name}_count"), labels), Some(6.0));
        assert_eq!(find(&page, &format!("{name}_sum"), labels), Some(93_305.0));
        assert_eq!(find(&page, &format!("{name}_count"), "database=\"db2\",user=\"ada\""), None);
    }

    /// A pool that has been used for everything, by IAM.
    fn busy(id: u32) -> PoolSample {
        let mut one = pool(id, 1_000);
        one.database = format!("tenant_{id:04}");
        let counters = &mut one.counters;
        for us in [90, 300, 1_500, 40_000, 700_000] {
            for histogram in [
                &mut counters.xact_time,
                &mut counters.query_time,
                &mut counters.wait_time,
                &mut counters.login_time,
            ] {
                histogram.record(us);
            }
            counters.auth_age.record(us * 1_000);
        }
        one
    }

    #[test]
    fn five_hundred_busy_databases_make_a_page_within_its_bound() {
        let mut all = sample((0..METRICS_POOLS_MAX as u32).map(busy).collect());
        all.databases = all.pools.iter().map(|pool| (pool.database.clone(), true)).collect();
        all.credentials = vec![source("imds", 1_000)];
        let page = Series::default().page(all);
        let tokens = page.lines().filter(|line| line.starts_with("pgweir_iam_token_age_seconds")).count();
        assert!(tokens < 30, "{tokens} lines of tokens that one source has signed");
        let bytes = page.len();
        assert!(bytes <= METRICS_PAGE_BYTES, "{bytes} bytes");
        let packed = Page::of(page).packed.len();
        assert!(packed <= bytes / 15, "{packed} bytes of {bytes}");
    }

    #[test]
    fn databases_are_bounded_and_the_worst_of_the_rest_counts() {
        let mut series = Series::default();
        let max = METRICS_DATABASES_MAX;
        let mut served = |databases: Vec<(String, bool)>| {
            let page = series.page(Sample { databases, ..Sample::default() });
            let of = |name: &str| find(&page, "pgweir_database_served", &format!("database=\"{name}\""));
            let lines = page.lines().filter(|line| line.starts_with("pgweir_database_served{")).count();
            (lines, ["d0", "d1", "other"].map(of))
        };
        let all =
            |count, except: usize| (0..count).map(|n| (format!("d{n}"), n != except)).collect::<Vec<_>>();
        assert_eq!(served(all(max, 1)), (max, [Some(1.0), Some(0.0), None]));
        assert_eq!(served(all(max + 3, max + 9)), (max + 1, [Some(1.0), Some(1.0), Some(1.0)]));
        assert_eq!(served(all(max + 3, max + 2)), (max + 1, [Some(1.0), Some(1.0), Some(0.0)]));
        // one is gone: another takes its place
        assert_eq!(served(all(max + 1, max)[1..].to_vec()), (max, [None, Some(1.0), None]));
    }

    #[test]
    fn names_are_escaped() {
        let mut one = pool(1, 3);
        one.database = "a\"b\\c\nd".into();
        let page = Series::default().page(sample(vec![one]));
        let labels = "database=\"a\\\"b\\\\c\\nd\",user=\"ada\"";
        assert_eq!(find(&page, "pgweir_client_logins_total", labels), Some(3.0));
    }

    #[test]
    fn series_are_bounded_and_the_rest_never_goes_back() {
        let mut series = Series::default();
        let logins = |page: &str, labels: &str| find(page, "pgweir_client_logins_total", labels);
        let other = "database=\"other\",user=\"other\"";
        let max = METRICS_POOLS_MAX as u32;

        let page = series.page(sample((0..max + 10).map(|id| pool(id, 1)).collect()));
        let with_own = parse(&page).iter().filter(|(name, ..)| name == "pgweir_client_logins_total").count();
        assert_eq!(with_own, METRICS_POOLS_MAX + 1);
        assert_eq!(logins(&page, other), Some(10.0));
        assert_eq!(find(&page, "pgbouncer_pools_server_idle_connections", other), Some(10.0));

        // Five of the rest are gone, and one with a series of its own: the rest stays where it was.
        let page = series.page(sample((1..max + 5).map(|id| pool(id, 2)).collect()));
        assert_eq!(logins(&page, other), Some(15.0), "5 x 2 alive, 5 x 1 gone");
        assert_eq!(find(&page, "pgbouncer_pools_server_idle_connections", other), Some(5.0));
        assert_eq!(logins(&page, "database=\"db0\",user=\"ada\""), None);

        // A new pool takes the free place.
        let page = series.page(sample((1..max + 5).chain([9999]).map(|id| pool(id, 2)).collect()));
        assert_eq!(logins(&page, "database=\"db9999\",user=\"ada\""), Some(2.0));
        assert_eq!(logins(&page, other), Some(15.0));

        // All of the rest are gone; what they counted is not.
        let page = series.page(sample(vec![pool(1, 2)]));
        assert_eq!(logins(&page, other), Some(15.0));
    }
}
