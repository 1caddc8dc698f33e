//! What is summed over pools, databases and clients.

use super::*;

fn of(database: &str, id: u64, queries: u64) -> PoolSample {
    let mut one = pool(id, 0);
    one.database = database.into();
    one.counters.query_count = queries;
    (0..queries).for_each(|_| one.counters.query_time.record(100));
    one.counters.query_time_us = 100 * queries;
    one
}

const QUERIES: &str = "pgbouncer_stats_totals_queries_pooled_total";

#[test]
fn a_databases_total_outlives_its_pools() {
    let mut series = Series::default();
    let mut queries = |pools: Vec<PoolSample>, names: &[&str]| {
        let mut sample = sample(pools);
        sample.databases = names.iter().map(|name| ((*name).to_owned(), true)).collect();
        let page = page(&mut series, sample, Format::Prometheus);
        ["a", "b"].map(|name| find(&page, QUERIES, &format!("database=\"{name}\"")))
    };
    assert_eq!(
        queries(vec![of("a", 1, 3), of("a", 2, 4), of("b", 3, 9)], &["a", "b"]),
        [Some(7.0), Some(9.0)]
    );
    assert_eq!(queries(vec![of("a", 2, 5)], &["a", "b"]), [Some(8.0), Some(9.0)], "what went has counted");
    assert_eq!(queries(vec![of("a", 4, 1)], &["a", "b"]), [Some(9.0), Some(9.0)]);
    assert_eq!(
        queries(vec![of("b", 5, 2)], &["b"]),
        [None, Some(11.0)],
        "a database that went has no series"
    );
}

#[test]
fn databases_beyond_the_bound_are_one_total_that_never_goes_back() {
    let mut series = Series::default();
    let max = METRICS_DATABASES_MAX as u64;
    let mut other = |ids: std::ops::Range<u64>, queries| {
        let pools = ids.map(|id| of(&format!("d{id}"), id, queries)).collect();
        let page = page(&mut series, Sample { pools, ..Sample::default() }, Format::Prometheus);
        let own = page.lines().filter(|line| line.starts_with(QUERIES)).count();
        (own, find(&page, QUERIES, "database=\"other\""))
    };
    assert_eq!(other(0..max, 1), (METRICS_DATABASES_MAX, None));
    assert_eq!(other(0..max + 3, 2), (METRICS_DATABASES_MAX + 1, Some(6.0)));
    assert_eq!(
        other(2..max + 3, 3),
        (METRICS_DATABASES_MAX - 1, Some(9.0)),
        "who is of the rest stays there"
    );
    assert_eq!(other(2..max, 3), (METRICS_DATABASES_MAX - 1, Some(9.0)));
}

#[test]
fn histograms_can_be_told_of_all_pools_together() {
    let mut series = Series::default();
    let mut count = |pools: Vec<PoolSample>, has_pool_histograms| {
        let sample = Sample { pools, has_pool_histograms, ..Sample::default() };
        let page = page(&mut series, sample, Format::Prometheus);
        let own = "database=\"a\",user=\"ada\"";
        let name = "pgweir_query_seconds_count";
        let sum = find(&page, "pgweir_query_seconds_sum", "");
        (find(&page, name, ""), find(&page, name, own), find(&page, "pgweir_pool_queries_total", own), sum)
    };
    let both = || vec![of("a", 1, 3), of("b", 2, 4)];
    assert_eq!(count(both(), true), (None, Some(3.0), Some(3.0), None));
    assert_eq!(count(both(), false), (Some(7.0), None, Some(3.0), Some(0.0007)));
    assert_eq!(count(vec![of("a", 1, 5)], false), (Some(9.0), None, Some(5.0), Some(0.0009)));
    assert_eq!(count(both(), true).0, None);
}

#[test]
fn pages_without_histograms_of_pools_are_small() {
    let mut all = sample((0..METRICS_POOLS_MAX as u64).map(busy).collect());
    all.has_pool_histograms = false;
    let (with, without) = (once(sample((0..METRICS_POOLS_MAX as u64).map(busy).collect())), once(all));
    assert!(without.len() < with.len() / 2, "{} of {}", without.len(), with.len());
}

#[test]
fn kinds_of_clients_are_bounded_and_the_most_frequent_are_told() {
    let kind = |application: &str, state: &str| ["app", "ada", application, state].map(Arc::<str>::from);
    let mut clients = BTreeMap::from([(kind("many", "idle"), 90)]);
    for number in 0..METRICS_CLIENT_KINDS_MAX + 9 {
        clients.insert(kind(&format!("app - 10.0.0.1:{number}"), "idle"), 1);
        clients.insert(kind(&format!("job {number}"), "waiting"), 1);
    }
    let all: u64 = clients.values().sum();
    let page = once(Sample { clients, ..Sample::default() });
    let name = "pgbouncer_client_connections";
    let lines: Vec<_> = parse(&page).into_iter().filter(|line| line.0 == name).collect();
    assert_eq!(lines.len(), METRICS_CLIENT_KINDS_MAX + 2);
    assert_eq!(lines.iter().map(|line| line.2).sum::<f64>(), all as f64, "all are counted");
    let many = "database=\"app\",user=\"ada\",application_name=\"many\",state=\"idle\"";
    assert_eq!(find(&page, name, many), Some(90.0));
    let rest = "database=\"other\",user=\"other\",application_name=\"other\",state=\"waiting\"";
    assert!(find(&page, name, rest) > Some(400.0));
}

#[test]
fn entries_beyond_the_bound_are_summed() {
    let entry = |number: usize| {
        let mut labels: [String; 6] = Default::default();
        labels[0] = format!("d{number:04}");
        EntrySample { labels, levels: DatabaseLevels { current_connections: 1, ..DatabaseLevels::default() } }
    };
    let entries = (0..METRICS_DATABASES_MAX + 4).map(entry).collect();
    let page = once(Sample { entries, ..Sample::default() });
    let other = "name=\"other\",host=\"\",port=\"\",database=\"\",force_user=\"\",pool_mode=\"\"";
    assert_eq!(find(&page, "pgbouncer_databases_current_connections", other), Some(4.0));
}
