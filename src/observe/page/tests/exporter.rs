//! The page against what pgbouncer_exporter serves: dashboards made for it must find their series.

use super::*;
use std::collections::BTreeSet;

const POOL: &[&str] = &["database", "user"];
const DATABASE: &[&str] = &["database"];
const ENTRY: &[&str] = &["database", "force_user", "host", "name", "pool_mode", "port"];

/// Names, types and labels of the exporter's metrics. Source: prometheus-community/pgbouncer_exporter 0.12,
/// collector.go (metricMaps, listsMap, configMap, clientConnectionsDesc, bouncerVersionDesc,
/// scrapeSuccessDesc).
const LISTED: &[(&str, &str, &[&str], &[&str])] = &[
    (
        "pgbouncer_databases_",
        "gauge",
        ENTRY,
        &["pool_size", "reserve_pool", "max_connections", "current_connections", "paused", "disabled"],
    ),
    (
        "pgbouncer_stats_totals_",
        "counter",
        DATABASE,
        &[
            "queries_pooled_total",
            "queries_duration_seconds_total",
            "received_bytes_total",
            "queries_total",
            "sent_bytes_total",
            "client_wait_seconds_total",
            "sql_transactions_pooled_total",
            "server_in_transaction_seconds_total",
            "client_parses_total",
            "server_parses_total",
            "binds_total",
            "server_assignments_total",
        ],
    ),
    (
        "pgbouncer_pools_",
        "gauge",
        POOL,
        &[
            "client_active_connections",
            "client_active_cancel_connections",
            "client_waiting_connections",
            "client_waiting_cancel_connections",
            "server_active_connections",
            "server_active_cancel_connections",
            "server_being_canceled_connections",
            "server_idle_connections",
            "server_used_connections",
            "server_testing_connections",
            "server_login_connections",
            "client_maxwait_seconds",
        ],
    ),
    (
        "pgbouncer_",
        "gauge",
        &[],
        &[
            "databases",
            "users",
            "pools",
            "free_clients",
            "used_clients",
            "login_clients",
            "free_servers",
            "used_servers",
            "cached_dns_names",
            "cached_dns_zones",
            "in_flight_dns_queries",
            "config_max_client_connections",
            "config_max_user_connections",
            "up",
        ],
    ),
    ("pgbouncer_", "gauge", &["application_name", "database", "state", "user"], &["client_connections"]),
    ("pgbouncer_", "gauge", &["version"], &["version_info"]),
];

/// Names of the labels, as printed.
fn names(labels: &str) -> BTreeSet<&str> {
    labels.split("\",").filter_map(|pair| pair.split_once('=')).map(|(name, _)| name).collect()
}

#[test]
fn every_metric_of_the_exporter_is_there_with_its_type_and_labels() {
    let page = once(full());
    let lines = parse(&page);
    let mut listed = BTreeSet::new();
    for (prefix, kind, labels, ends) in LISTED {
        for end in *ends {
            let name = format!("{prefix}{end}");
            assert!(page.contains(&format!("# TYPE {name} {kind}\n")), "{name} is a {kind}");
            let found: Vec<_> =
                lines.iter().filter(|line| line.0 == name).map(|line| names(&line.1)).collect();
            assert!(!found.is_empty(), "{name} has a series");
            let wanted: BTreeSet<&str> = labels.iter().copied().collect();
            assert!(found.iter().all(|names| *names == wanted), "{name}: {found:?}");
            listed.insert(name);
        }
    }
    let others = metrics().filter(|metric| metric.name.starts_with("pgbouncer_"));
    let unlisted: Vec<_> = others.map(|metric| metric.name).filter(|name| !listed.contains(*name)).collect();
    assert_eq!(unlisted, [""; 0], "what is ours has a name of ours");
}
