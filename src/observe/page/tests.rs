//! Tests of `page.rs`.

use super::*;
use crate::base::limits::{METRICS_CLIENT_KINDS_MAX, METRICS_DATABASES_MAX, METRICS_POOLS_MAX};
use crate::stats::{Ages, DatabaseLevels, InstanceLevels, IssuerLevels};
use lines::seconds;
use std::sync::Arc;

mod exporter;
mod openmetrics;
mod sums;

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
const METRICS_PAGE_BYTES: usize = 8_000_000;

fn pool(id: u64, logins: u64) -> PoolSample {
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
    Sample { pools, databases, has_pool_histograms: true, ..Sample::default() }
}

/// The page of one scrape.
fn once(sample: Sample) -> String {
    page(&mut Series::default(), sample, Format::Prometheus)
}

fn instance(name: &str, servers: u64) -> InstanceLevels {
    let endpoints = vec![format!("{name}:5432")];
    InstanceLevels { instance: name.to_owned(), endpoints, servers, servers_max: 10 }
}

/// A sample in which every metric has a series.
fn full() -> Sample {
    let mut sample = sample(vec![pool(1, 5)]);
    sample.pools[0].counters.auth_age.record(1);
    sample.process.databases = 7;
    sample.process.clock_skew_s = Some(-3);
    sample.process.clients_refused = [5, 0, 2];
    sample.process.tls_handshakes = [8, 9];
    sample.process.renewals_late = 4;
    sample.credentials = vec![source("imds", 3)];
    sample.system = SystemLevels {
        started_at_epoch_us: Some(1_795_320_830_500_000),
        cpu_us: Some(1_500_000),
        resident_bytes: Some(1),
        virtual_bytes: Some(2),
        open_files: Some(3),
        open_files_max: Some(4),
        threads: Some(5),
    };
    let labels = ["app", "10.0.0.1", "5432", "shop", "", "session"].map(str::to_owned);
    let levels = DatabaseLevels { pool_size: 20, current_connections: 2, ..DatabaseLevels::default() };
    sample.entries = vec![EntrySample { labels, levels }];
    sample.clients = BTreeMap::from([(["app", "ada", "psql", "idle"].map(Arc::from), 2)]);
    sample.issuers = vec![IssuerLevels {
        issuer: "staff".to_owned(),
        keys: 2,
        keys_age_s: Some(30),
        logins: [5, 1],
        fetches: [7, 0],
    }];
    sample.peers = vec![PeerLevels { peer_id: 2, active: 3, waiting: 1 }];
    sample.instances = vec![instance("main", 3)];
    sample
}

#[test]
fn every_metric_is_there_with_help_and_type() {
    let page = once(full());
    for metric in metrics() {
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
    let refused = |limit: &str| find(&page, "pgweir_clients_refused_total", &format!("limit=\"{limit}\""));
    let limits = ["max_client_conn", "max_db_client_connections", "max_user_client_connections"];
    assert_eq!(limits.map(refused), [Some(5.0), Some(0.0), Some(2.0)]);
    let handshakes = "pgweir_client_tls_handshakes_total";
    let kinds = ["kind=\"full\"", "kind=\"resumed\""].map(|kind| find(&page, handshakes, kind));
    assert_eq!((kinds, find(&page, "pgweir_renewals_late", "")), ([Some(8.0), Some(9.0)], Some(4.0)));
    assert_eq!(find(&page, "pgweir_iam_credentials_expire_seconds", "source=\"imds\""), Some(90.0));
    let timeouts = "source=\"imds\",result=\"failed\",reason=\"timeout\"";
    assert_eq!(find(&page, "pgweir_iam_refresh_total", timeouts), Some(1.0));
    assert_eq!(find(&page, "pgweir_iam_token_age_seconds_count", "source=\"imds\""), Some(3.0));
    let denials = "database=\"db1\",user=\"ada\",result=\"failed\",reason=\"denied\"";
    assert_eq!(find(&page, "pgweir_backend_logins_total", denials), Some(0.0));
    assert_eq!(find(&page, "pgweir_database_served", "database=\"db1\""), Some(1.0));
    let version = format!("version=\"{}\"", crate::base::VERSION);
    assert_eq!(find(&page, "pgbouncer_version_info", &version), Some(1.0));
    assert_eq!(find(&page, "pgbouncer_up", ""), Some(1.0));
    assert_eq!(find(&page, "process_start_time_seconds", ""), Some(1_795_320_830.5));
    assert_eq!(find(&page, "process_cpu_seconds_total", ""), Some(1.5));
    let client = "database=\"app\",user=\"ada\",application_name=\"psql\",state=\"idle\"";
    assert_eq!(find(&page, "pgbouncer_client_connections", client), Some(2.0));
    let entry = "name=\"app\",host=\"10.0.0.1\",port=\"5432\",database=\"shop\",force_user=\"\",\
                 pool_mode=\"session\"";
    assert_eq!(find(&page, "pgbouncer_databases_current_connections", entry), Some(2.0));
}

#[test]
fn histograms_add_up_and_times_are_seconds() {
    let mut one = pool(1, 0);
    for us in [10, 63, 64, 100_000, 90_000_000] {
        one.counters.query_time.record(us);
        one.counters.query_time_us += us;
    }
    one.levels.maxwait_us = 1_500_000;
    let page = once(sample(vec![one]));
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
    let page = once(sample(vec![by_iam, other]));
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
fn busy(id: u64) -> PoolSample {
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
    let mut all = sample((0..METRICS_POOLS_MAX as u64).map(busy).collect());
    all.databases = all.pools.iter().map(|pool| (pool.database.clone(), true)).collect();
    all.credentials = vec![source("imds", 1_000)];
    let entry = |pool: &PoolSample| {
        let labels = [&*pool.database, "10.0.0.1", "5432", &*pool.database, "", ""].map(str::to_owned);
        EntrySample { labels, levels: DatabaseLevels::default() }
    };
    all.entries = all.pools.iter().map(entry).collect();
    let kind = |pool: &PoolSample| {
        ["x", "ada", "an application", "idle"].map(|word| Arc::from(word.replace('x', &pool.database)))
    };
    all.clients = all.pools.iter().map(|pool| (kind(pool), 1)).collect();
    let page = once(all);
    let tokens = page.lines().filter(|line| line.starts_with("pgweir_iam_token_age_seconds")).count();
    assert!(tokens < 30, "{tokens} lines of tokens that one source has signed");
    let bytes = page.len();
    assert!(bytes <= METRICS_PAGE_BYTES, "{bytes} bytes");
    let packed = Page::of(page, Format::Prometheus).packed.len();
    assert!(packed <= bytes / 15, "{packed} bytes of {bytes}");
}

#[test]
fn databases_are_bounded_and_the_worst_of_the_rest_counts() {
    let mut series = Series::default();
    let max = METRICS_DATABASES_MAX;
    let mut served = |databases: Vec<(String, bool)>| {
        let page = page(&mut series, Sample { databases, ..Sample::default() }, Format::Prometheus);
        let of = |name: &str| find(&page, "pgweir_database_served", &format!("database=\"{name}\""));
        let lines = page.lines().filter(|line| line.starts_with("pgweir_database_served{")).count();
        (lines, ["d0", "d1", "other"].map(of))
    };
    let all = |count, except: usize| (0..count).map(|n| (format!("d{n}"), n != except)).collect::<Vec<_>>();
    assert_eq!(served(all(max, 1)), (max, [Some(1.0), Some(0.0), None]));
    assert_eq!(served(all(max + 3, max + 9)), (max + 1, [Some(1.0), Some(1.0), Some(1.0)]));
    assert_eq!(served(all(max + 3, max + 2)), (max + 1, [Some(1.0), Some(1.0), Some(0.0)]));
    // One is gone: another takes its place.
    assert_eq!(served(all(max + 1, max)[1..].to_vec()), (max, [None, Some(1.0), None]));
}

#[test]
fn peers_are_bounded_and_the_rest_is_summed() {
    let active = |count: u16| {
        let peers = (1..=count).map(|peer_id| PeerLevels { peer_id, active: 2, waiting: 0 }).collect();
        let page = once(Sample { peers, ..Sample::default() });
        let of = |id: &str| find(&page, "pgweir_peer_active_cancel_requests", &format!("peer_id=\"{id}\""));
        ["1", "100", "101", "other"].map(of)
    };
    assert_eq!(METRICS_PEERS_MAX, 100);
    assert_eq!(active(100), [Some(2.0), Some(2.0), None, None]);
    assert_eq!(active(103), [Some(2.0), Some(2.0), None, Some(6.0)]);
}

#[test]
fn servers_of_postgresql_are_bounded_and_the_rest_is_summed() {
    let connections = |count: usize| {
        let instances = (1..=count).map(|number| instance(&number.to_string(), 2)).collect();
        let page = once(Sample { instances, ..Sample::default() });
        let name = "pgweir_instance_server_connections";
        let of = |name_of: &str| find(&page, name, &format!("instance=\"{name_of}\""));
        ["1", "200", "201", "other"].map(of)
    };
    assert_eq!(METRICS_INSTANCES_MAX, 200);
    assert_eq!(connections(200), [Some(2.0), Some(2.0), None, None]);
    assert_eq!(connections(203), [Some(2.0), Some(2.0), None, Some(6.0)]);
}

#[test]
fn names_are_escaped() {
    let mut one = pool(1, 3);
    one.database = "a\"b\\c\nd".into();
    let page = once(sample(vec![one]));
    let labels = "database=\"a\\\"b\\\\c\\nd\",user=\"ada\"";
    assert_eq!(find(&page, "pgweir_client_logins_total", labels), Some(3.0));
}

#[test]
fn series_are_bounded_and_the_rest_never_goes_back() {
    let mut series = Series::default();
    let mut next = |sample| page(&mut series, sample, Format::Prometheus);
    let logins = |page: &str, labels: &str| find(page, "pgweir_client_logins_total", labels);
    let other = "database=\"other\",user=\"other\"";
    let max = METRICS_POOLS_MAX as u64;

    let page = next(sample((0..max + 10).map(|id| pool(id, 1)).collect()));
    let with_own = parse(&page).iter().filter(|(name, ..)| name == "pgweir_client_logins_total").count();
    assert_eq!(with_own, METRICS_POOLS_MAX + 1);
    assert_eq!(logins(&page, other), Some(10.0));
    assert_eq!(find(&page, "pgbouncer_pools_server_idle_connections", other), Some(10.0));

    // Five of the rest are gone, and one with a series of its own: the rest stays where it was.
    let page = next(sample((1..max + 5).map(|id| pool(id, 2)).collect()));
    assert_eq!(logins(&page, other), Some(15.0), "5 x 2 alive, 5 x 1 gone");
    assert_eq!(find(&page, "pgbouncer_pools_server_idle_connections", other), Some(5.0));
    assert_eq!(logins(&page, "database=\"db0\",user=\"ada\""), None);

    // A new pool takes the free place.
    let page = next(sample((1..max + 5).chain([9999]).map(|id| pool(id, 2)).collect()));
    assert_eq!(logins(&page, "database=\"db9999\",user=\"ada\""), Some(2.0));
    assert_eq!(logins(&page, other), Some(15.0));

    // All of the rest are gone; what they counted is not.
    let page = next(sample(vec![pool(1, 2)]));
    assert_eq!(logins(&page, other), Some(15.0));
}
