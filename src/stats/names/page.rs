//! The documentation's page of metrics, made from [`metrics()`].

use super::{OTHER, Unit, metrics};
use crate::base::{limits, wrap};

/// What carries over.
const EXPORTER: &str = "\
    Every metric of prometheus-community's pgbouncer_exporter 0.12 stands here under its own name, with its \
    own type and labels, so that its dashboards and alerts find their series without the exporter. \
    `pgbouncer_pools_*` is told of each pool; `pgbouncer_stats_totals_*` of each database, all users \
    together: of each pool `pgweir_pool_*` tells the same. What the exporter tells of PgBouncer's process \
    (`--pid-file`, `pgbouncer_process_*`) is `process_*` here, as for any program that serves its own \
    page.\n\n\
    With 600 pools the page is some 5 MB, most of it buckets of histograms. `metrics_pool_histograms=0` sums \
    each histogram of pools over all pools, without labels; what is counted of each pool stays.\n\n";

/// What is said of clients' own labels.
const CLIENTS: &str = "\
    `application_name` is what clients say. The {most} most frequent kinds of clients have series of their \
    own; of all further ones there is one series for each `state`, its other labels `other`.\n\n";

/// What the documentation says of probes.
const LIVE: &str = "\
    ## Probes\n\n\
    `http://<metrics_listen>/live` answers 200 and `live` as long as this page answers at all. It is for \
    who restarts what hangs (Kubernetes' `livenessProbe`, a watchdog): nothing that a restart does not cure \
    has a say in it, neither a database that is down nor AWS credentials that are missing nor a shutdown \
    that waits for clients. `/ready` is for who sends clients or does not (`readinessProbe`, a load \
    balancer's health check): a restart for what it tells would end all clients and help none.\n\n";

/// What the documentation says of readiness.
const READY: &str = "\
    `http://<metrics_listen>/ready` answers 200 and `ready` when clients can be served: the listeners are \
    up, the pooler is neither suspended nor shutting down, and every source of AWS credentials that the \
    configuration needs has usable ones. Else it answers 503, and the reasons one a line. A PAUSE, a server \
    that is down and a login that is denied do not count: they concern some databases only, and SHOW IAM and \
    the metrics tell of them.\n\n\
    `http://<metrics_listen>/ready?database=NAME` answers so for one database: 503 also while it is paused \
    or disabled, and where none of its pools has a server and the last login of each has failed, or its AWS \
    credentials are missing; sources that other databases need do not count. A failed login counts for a \
    minute and `server_login_retry` from when it was first asked about: where nobody comes, nobody learns \
    that it has passed. A database that nobody has used yet is ready; 404 is for one that no entry is for, \
    not even `*`. `pgweir_database_served` is the same for each database; the first {databases} have series \
    of their own, all further ones one with `database=\"other\"`, where the worst counts.\n\n\
    Where something of the pooler has panicked since the start, a last line says how often: `panics: 1`; it \
    goes on without what that has ended, and the log has the place.\n\n";

/// The documentation's page of metrics: one list, made from [`metrics()`].
pub fn markdown() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Served in the Prometheus text format on `http://<metrics_listen>/metrics`; off while \
         `metrics_listen` is empty. Who takes gzip (`Accept-Encoding`), as Prometheus does, is sent the page \
         packed so, which is ten to twenty times smaller. Who prefers `application/openmetrics-text` \
         (`Accept`), as Prometheus does, is sent OpenMetrics 1.0. This page is generated from \
         `src/stats/names/table`; `BLESS=1 cargo test metrics_page` rewrites it.\n\n",
    );
    page += EXPORTER;
    page += &CLIENTS.replace("{most}", &limits::METRICS_CLIENT_KINDS_MAX.to_string());
    page += &format!(
        "`database` and `user` are those of a pool; `user` is the one its servers log in as. The first {} \
         pools have series of their own; all further ones are summed in one series with \
         `database=\"{OTHER}\", user=\"{OTHER}\"`.\n\n",
        limits::METRICS_POOLS_MAX
    );
    page += &format!(
        "`source` is a source of AWS credentials as SHOW IAM names it; the first {} have series of their \
         own, all further ones one with `source=\"{OTHER}\"`, where the one that stands worst counts. \
         `reason` is empty where `result` is `ok`.\n\n",
        limits::METRICS_SOURCES_MAX
    );
    page += &format!(
        "`peer_id` is a process of `[peers]`; the first {} have series of their own, all further ones are \
         summed in one with `peer_id=\"{OTHER}\"`.\n\n",
        limits::METRICS_PEERS_MAX
    );
    page += &format!(
        "`instance` is a server of PostgreSQL, by its name in `[instances]`, else by host and port; the \
         first {} have series of their own, all further ones are summed in one with \
         `instance=\"{OTHER}\"`.\n\n",
        limits::METRICS_INSTANCES_MAX
    );
    page += "`issuer` is the name of an entry of `[issuers]`.\n\n";
    page += LIVE;
    page += &READY.replace("{databases}", &limits::METRICS_DATABASES_MAX.to_string());
    page += "## Metrics, one by one\n\n";
    page += "Each with its labels, its type, its unit, and where SHOW tells the same.\n\n";
    for metric in metrics() {
        let unit = match metric.unit {
            Unit::Count => "",
            Unit::Bytes => ", bytes",
            Unit::Seconds => ", seconds",
        };
        let labels = match metric.labels().join(", ") {
            none if none.is_empty() => none,
            some => format!("{{{some}}}"),
        };
        let show = if metric.show.is_empty() { String::new() } else { format!("; {}", metric.show) };
        let facts = format!("{}{unit}{show}", metric.kind());
        page += &format!("- `{}{labels}` ({facts}): {}\n", metric.name, metric.help);
    }
    wrap::page(&page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_page_of_the_documentation_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        if std::env::var_os("BLESS").is_some() {
            std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).unwrap();
            std::fs::write(path, markdown()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(written, markdown(), "docs/metrics.md is stale: run `BLESS=1 cargo test metrics_page`");
    }
}
