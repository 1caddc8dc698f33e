//! What the metrics page samples at a scrape: the workers' counters, by way of the console's [`Status`],
//! which merges them anyway.
//!
//! One scrape at a time is made, for all who ask meanwhile, and rendered on a thread where nobody waits
//! behind it: a login may not wait for a page of megabytes. The lock around [`Series`] is the page's own and
//! held for the rendering alone.

use super::http::Metrics;
use super::log::Log;
use super::page::{self, Format, Page, PoolSample, Sample, Series};
use super::system;
use crate::base::Micros;
use crate::config::CONSOLE_DATABASE;
use crate::control::CONSOLE_POOL;
use crate::secrets::KeptSecret;
use crate::stats::ProcessLevels;
use crate::status::Status;
use crate::tasks;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

/// Makes the page of metrics.
pub(crate) struct Scrape {
    status: Arc<Status>,
    log: Log,
    series: Arc<Mutex<Series>>,
    last: tokio::sync::Mutex<[Shared; 2]>,
    started_at_epoch_us: u64,
}

/// The page that was made last in a format, as long as somebody still reads it, and when it was begun.
type Shared = (Micros, Weak<Page>);

impl Scrape {
    /// A page about the process of that `status`.
    pub(crate) fn new(status: Arc<Status>, log: Log) -> Self {
        let none = || (Micros(0), Weak::new());
        let last = tokio::sync::Mutex::new([none(), none()]);
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let started_at_epoch_us = u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX);
        Self { status, log, series: Arc::default(), last, started_at_epoch_us }
    }

    async fn sample(&self) -> Sample {
        let levels = self.status.levels().await;
        let mut counters = self.status.counters().await;
        let pool = |(entry, levels): (Arc<crate::control::PoolEntry>, _)| PoolSample {
            id: entry.share.id,
            database: entry.share.database.name.to_string(),
            user: entry.share.user.to_string(),
            levels,
            counters: counters.remove(&entry.share.id).unwrap_or_default(),
        };
        let mut pools: Vec<_> = levels.into_iter().map(pool).collect();
        pools.extend(self.status.console_levels().map(|levels| PoolSample {
            id: CONSOLE_POOL,
            database: CONSOLE_DATABASE.to_owned(),
            user: CONSOLE_DATABASE.to_owned(),
            levels,
            counters: self.status.plane.console_clients.counters(),
        }));
        // Pools of lower numbers are older: they keep their series.
        pools.sort_by_key(|pool| pool.id);
        let credentials = self.status.credentials();
        let databases = self.status.databases_served();
        let settings = &self.status.plane.policy.load_full().snapshot.settings;
        Sample {
            process: self.process(),
            pools,
            has_pool_histograms: settings.metrics_pool_histograms,
            credentials,
            databases,
            entries: self.status.entries(),
            clients: self.status.clients_alike().await,
            peers: self.status.peer_pools(),
            instances: self.status.instances(),
            issuers: self.status.issuer_levels(),
            ..Sample::default()
        }
    }

    fn process(&self) -> ProcessLevels {
        let lists = self.status.lists();
        let policy = self.status.plane.policy.load();
        let settings = &policy.snapshot.settings;
        let statements = &self.status.plane.statements;
        let iam = &self.status.servers.iam;
        let (iam_login_wait, iam_login_wait_us) = iam.login_waits();
        let (secrets, wall) = (self.status.servers.secrets.all(), iam.wall_now());
        let age_us = |secret: &Arc<KeptSecret>| {
            let age = wall.duration_since(secret.report().fetched_at?).ok()?;
            u64::try_from(age.as_micros()).ok()
        };
        ProcessLevels {
            databases: lists.databases,
            users: lists.users,
            pools: lists.pools,
            used_clients: lists.used_clients,
            login_clients: lists.login_clients,
            used_servers: lists.used_servers,
            dns_names: lists.dns_names,
            dns_queries: lists.dns_queries,
            max_client_conn: settings.max_client_conn.into(),
            max_user_connections: settings.max_user_connections.into(),
            clients_refused: self.status.plane.admissions.refused(),
            tls_handshakes: self.status.clients.handshakes.counts(),
            caller_logins: self.status.clients.callers.counts(),
            rds_token_logins: self.status.servers.client_tokens.counts(),
            renewals_late: self.status.plane.places.late_pools() as u64,
            login_clients_cut_off: self.status.clients.unauthenticated.cut_off(),
            log_lines_lost: self.log.lines_lost(),
            audit_records: self.status.plane.audit.lines(),
            audit_records_dropped: self.status.plane.audit.dropped(),
            audit_waiting_bytes: self.status.plane.audit.waiting_bytes(),
            driver_faults: self.status.plane.workers.iter().map(|worker| worker.driver_faults()).sum(),
            statement_bytes: statements.bytes() as u64,
            statements_forgotten: statements.forgotten(),
            panics: self.log.panics(),
            iam_logins_waiting: iam
                .all_endpoint_states()
                .iter()
                .map(|endpoint_state| endpoint_state.turns.state().waiting as u64)
                .sum(),
            iam_login_wait,
            iam_login_wait_us,
            clock_skew_s: iam.skew_s(),
            secrets: secrets.len() as u64,
            secrets_failing: secrets.iter().filter(|secret| secret.failure().is_some()).count() as u64,
            secrets_age_us: secrets.iter().filter_map(age_us).max().unwrap_or(0),
            secret_fetches: self.status.servers.secrets.fetches(),
        }
    }
}

impl Metrics for Scrape {
    async fn page(&self, format: Format) -> Option<Arc<Page>> {
        let now = || self.status.plane.now();
        let asked_at = now();
        let mut both = self.last.lock().await;
        let last = &mut both[format as usize];
        if last.0 >= asked_at
            && let Some(page) = last.1.upgrade()
        {
            return Some(page); // it was begun while this one waited for another
        }
        let begun_at = now();
        let (mut sample, series) = (self.sample().await, Arc::clone(&self.series));
        let started_at_epoch_us = self.started_at_epoch_us;
        let render = move || {
            sample.system = system::levels(started_at_epoch_us);
            let mut series = series.lock().unwrap_or_else(PoisonError::into_inner);
            Page::of(page::page(&mut series, sample, format), format)
        };
        let page = Arc::new(tasks::blocking("page", "metrics", render).await?);
        *last = (begun_at, Arc::downgrade(&page));
        Some(page)
    }

    fn obstacles(&self) -> Vec<String> {
        self.status.obstacles()
    }

    fn database_obstacles(&self, name: &str) -> Option<Vec<String>> {
        self.status.database_obstacles(name)
    }

    fn panics(&self) -> u64 {
        self.log.panics()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::Clients;
    use crate::config::Snapshot;
    use crate::control::{Plane, Policy, WorkerSet};
    use crate::observe::sink::Destinations;
    use crate::servers::Servers;

    #[tokio::test]
    async fn rendering_that_panics_makes_no_page_and_the_next_is_made() {
        let text = "[databases]\nd =\n[pgbouncer]\n";
        let snapshot = Snapshot::load_with("x.ini", None, &|_| Ok(text.into())).unwrap();
        let (plane, _launcher) = Plane::new(Arc::new(Policy::without_tls(snapshot)), WorkerSet::none());
        let (clients, servers) = (Clients::new(Arc::clone(&plane)).0, Servers::new(plane));
        let log = Log::new(Destinations::default().open().unwrap(), 0).unwrap();
        let scrape = Scrape::new(Status::new(clients, servers), log);
        let set = |trap| scrape.series.lock().unwrap_or_else(PoisonError::into_inner).trap = trap;
        set(true);
        assert!(scrape.page(Format::Prometheus).await.is_none());
        set(false);
        let page = scrape.page(Format::Prometheus).await.expect("a page");
        assert!(page.text.contains("pgweir_panics_total") && !page.text.ends_with("# EOF\n"));
        let open = scrape.page(Format::OpenMetrics).await.expect("a page");
        assert!(open.text.ends_with("# EOF\n"), "each format has its own page");
    }
}
