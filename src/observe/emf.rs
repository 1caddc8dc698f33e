//! Figures for CloudWatch, as lines of its embedded metric format on standard output or in a file.
//!
//! Calls nothing of AWS's: an agent that reads the lines does (ECS, EKS, Lambda, the CloudWatch agent). Names
//! are those of RDS Proxy, so that whoever knows its figures knows these. Each line is of one pooler, or of
//! one database of it; of the databases the first `limits::EMF_DATABASES_MAX` by name, since each is a metric
//! that is paid for. Source: Amazon CloudWatch User Guide, "Specification: Embedded metric format"; Amazon
//! RDS User Guide, "Monitoring RDS Proxy metrics with Amazon CloudWatch".

use crate::audit::json::{Inner, List, Object, Ready, Word, members};
use crate::audit::{Output, Target};
use crate::base::{Micros, limits};
use crate::stats::{PoolCounters, PoolLevels};
use crate::status::Status;
use crate::tasks;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Where CloudWatch files the metrics.
const NAMESPACE: &str = "pgweir";

/// Between two looks at a setting that says that nothing is wanted.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Tries of an output that has no room, before the lines of one time are given up.
const TRIES_MAX: usize = 10;

/// What one database, or all, has come to since the process began, and how it stands.
#[derive(Clone, Debug, Default)]
struct Figures {
    clients: u64,
    servers: u64,
    borrowed: u64,
    logins: u64,
    server_logins: u64,
    server_logins_failed: u64,
    borrowings: u64,
    wait_us: u64,
    queries: u64,
    query_us: u64,
    /// `max_db_connections` of one database; 0: no bound. Of no sum.
    servers_max: u64,
}

impl Figures {
    fn add(&mut self, levels: &PoolLevels, counters: &PoolCounters) {
        self.clients += levels.cl_active() + levels.cl_waiting;
        self.servers += levels.sv_active
            + levels.sv_active_cancel
            + levels.sv_being_canceled
            + levels.sv_idle
            + levels.sv_used
            + levels.sv_tested;
        self.borrowed += levels.sv_active;
        self.logins += counters.client_login_count;
        self.server_logins += counters.server_logins.accepted;
        self.server_logins_failed += counters.server_logins.failed.iter().sum::<u64>();
        self.borrowings += counters.server_assignment_count;
        self.wait_us += counters.wait_time_us;
        self.queries += counters.query_count;
        self.query_us += counters.query_time_us;
    }

    fn merge(&mut self, other: &Self) {
        self.clients += other.clients;
        self.servers += other.servers;
        self.borrowed += other.borrowed;
        self.logins += other.logins;
        self.server_logins += other.server_logins;
        self.server_logins_failed += other.server_logins_failed;
        self.borrowings += other.borrowings;
        self.wait_us += other.wait_us;
        self.queries += other.queries;
        self.query_us += other.query_us;
    }

    /// Each metric with its unit and value: counts of what has happened since `before`, how things stand now,
    /// and means, which are left out where nothing has happened.
    fn metrics(&self, before: &Self) -> Vec<(&'static str, &'static str, u64)> {
        let since = |of: fn(&Self) -> u64| of(self).saturating_sub(of(before));
        let mut metrics = vec![
            ("ClientConnections", "Count", self.clients),
            ("ClientConnectionsSetupSucceeded", "Count", since(|f| f.logins)),
            ("DatabaseConnections", "Count", self.servers),
            ("DatabaseConnectionsCurrentlyBorrowed", "Count", self.borrowed),
            ("DatabaseConnectionsSetupSucceeded", "Count", since(|f| f.server_logins)),
            ("DatabaseConnectionsSetupFailed", "Count", since(|f| f.server_logins_failed)),
            ("DatabaseConnectionRequests", "Count", since(|f| f.borrowings)),
            ("QueryRequests", "Count", since(|f| f.queries)),
        ];
        let mut mean = |name, sum: u64, count: u64| {
            metrics.extend(sum.checked_div(count).map(|mean| (name, "Microseconds", mean)));
        };
        mean("DatabaseConnectionsBorrowLatency", since(|f| f.wait_us), since(|f| f.borrowings));
        let queries = since(|f| f.queries);
        mean("QueryDatabaseResponseLatency", since(|f| f.query_us), queries);
        mean("QueryResponseLatency", since(|f| f.query_us) + since(|f| f.wait_us), queries);
        if self.servers_max > 0 {
            metrics.push(("MaxDatabaseConnectionsAllowed", "Count", self.servers_max));
        }
        metrics
    }
}

/// One line; without `database` it is of the whole pooler.
fn line(
    out: &mut String,
    at: Timestamp,
    pooler: &str,
    database: Option<&str>,
    metrics: &[(&'static str, &'static str, u64)],
) {
    let mut line = Object::begin(out);
    let dimensions = if database.is_some() { "[[\"Pooler\",\"Database\"]]" } else { "[[\"Pooler\"]]" };
    let directive = |directive: &mut Object<'_>, ()| {
        let fill = |metric: &mut Object<'_>, (name, unit, _): &(&'static str, &'static str, u64)| {
            members!(metric, "Name": Word(name), "Unit": Word(unit));
        };
        members!(
            directive,
            "Namespace": NAMESPACE, "Dimensions": Ready(dimensions), "Metrics": List(metrics, fill),
        );
    };
    let aws = |aws: &mut Object<'_>| {
        members!(aws, "Timestamp": at.as_millisecond(), "CloudWatchMetrics": List([()], directive));
    };
    members!(&mut line, "_aws": Inner(aws), "Pooler": pooler);
    if let Some(database) = database {
        members!(&mut line, "Database": database);
    }
    for (name, _, value) in metrics {
        line.named(name, *value);
    }
    line.end();
    out.push('\n');
}

/// The figures of each database, by name.
type ByDatabase = BTreeMap<String, Figures>;

/// The lines of one time.
fn lines(at: Timestamp, pooler: &str, now: &ByDatabase, before: &ByDatabase) -> String {
    let none = Figures::default();
    let sum = |all: &ByDatabase| {
        all.values().fold(Figures::default(), |mut sum, figures| {
            sum.merge(figures);
            sum
        })
    };
    let mut out = String::new();
    line(&mut out, at, pooler, None, &sum(now).metrics(&sum(before)));
    for (database, figures) in now.iter().take(limits::EMF_DATABASES_MAX) {
        let metrics = figures.metrics(before.get(database).unwrap_or(&none));
        line(&mut out, at, pooler, Some(database), &metrics);
    }
    out
}

/// Writes lines every `emf_interval`, as long as the process runs.
///
/// # Cancel safety
/// A line may be left half written.
pub(crate) async fn run(status: Arc<Status>) {
    let mut before = None;
    let mut is_told = false;
    loop {
        let policy = status.plane.policy.load_full();
        let settings = &policy.snapshot.settings;
        if settings.emf_interval == Micros(0) {
            before = None;
            tokio::time::sleep(LOOK_AGAIN).await;
            continue;
        }
        let now = look(&status).await;
        if let Some(before) = before.replace(now.clone()) {
            let pooler =
                if settings.emf_pooler.is_empty() { host() } else { settings.emf_pooler.to_string() };
            let text = lines(Timestamp::now(), &pooler, &now, &before);
            let target = match &*settings.emf_file {
                "" => Target::Stdout,
                file => Target::File(file.into()),
            };
            let written = tasks::blocking("EMF", "metrics", move || write(&target, &text)).await;
            match written.unwrap_or_else(|| Err(io::ErrorKind::Other.into())) {
                Ok(()) => is_told = false,
                Err(error) if !std::mem::replace(&mut is_told, true) => {
                    tracing::error!("could not write metrics for CloudWatch: {error}");
                }
                Err(_) => {}
            }
        }
        tokio::time::sleep(settings.emf_interval.to_duration().max(LOOK_AGAIN)).await;
    }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

async fn look(status: &Status) -> ByDatabase {
    let counters = status.counters().await;
    let none = PoolCounters::default();
    let mut all = ByDatabase::new();
    for (entry, levels) in status.levels().await {
        let counters = counters.get(&entry.share.id).unwrap_or(&none);
        all.entry(entry.share.database.name.to_string()).or_default().add(&levels, counters);
    }
    let policy = status.plane.policy.load();
    for view in status.databases() {
        // one that nobody has asked for yet has no figures
        if let Some(figures) = all.get_mut(&*view.entry.name) {
            figures.servers_max = view.sample(&policy.snapshot.settings).levels.max_connections;
        }
    }
    all
}

/// Writes lines to what is opened for them each time: it may have been rotated. An output without room is
/// tried for a second; what it has not taken then is lost, but for a line that was begun.
fn write(target: &Target, text: &str) -> io::Result<()> {
    let mut output: Output = target.open()?;
    let (mut written, mut tries) = (0, 0);
    while written < text.len() {
        match output.write(&text.as_bytes()[written..])? {
            0 if tries == TRIES_MAX => return Err(io::ErrorKind::WouldBlock.into()),
            0 => tries += 1,
            bytes => (written, tries) = (written + bytes, 0),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(queries: u64, query_us: u64) -> Figures {
        Figures { clients: 3, queries, query_us, ..Figures::default() }
    }

    #[test]
    fn a_line_is_of_the_pooler_and_one_of_each_database() {
        let before = ByDatabase::from([("a".to_owned(), figures(10, 100))]);
        let now = ByDatabase::from([("a".to_owned(), figures(30, 500)), ("b\"\n".to_owned(), figures(0, 0))]);
        let text = lines(Timestamp::UNIX_EPOCH, "host", &now, &before);
        let [all, a, b] = text.lines().collect::<Vec<_>>()[..] else { panic!("three lines: {text}") };
        assert!(
            all.starts_with("{\"_aws\":{\"Timestamp\":0,\"CloudWatchMetrics\":[{\"Namespace\":\"pgweir\",")
        );
        assert!(all.contains("\"Dimensions\":[[\"Pooler\"]]") && !all.contains("Database\":\""), "{all}");
        assert!(all.contains("\"ClientConnections\":6,") && all.contains("\"QueryRequests\":20"), "{all}");
        assert!(a.contains("\"QueryDatabaseResponseLatency\":20,\"QueryResponseLatency\":20}"), "{a}");
        assert!(b.contains("\"Database\":\"b\\\"\\n\"") && !b.contains("Latency"), "{b}");
        let shrunk = lines(Timestamp::UNIX_EPOCH, "host", &before, &now);
        assert!(shrunk.contains("\"QueryRequests\":0"), "a pool that is forgotten takes its counts along");
    }

    #[test]
    fn a_wait_is_part_of_a_response_and_a_bound_is_of_one_database() {
        let before = ByDatabase::new();
        let figures = Figures { wait_us: 300, borrowings: 5, servers_max: 40, ..figures(10, 100) };
        let text = lines(Timestamp::UNIX_EPOCH, "host", &[("a".to_owned(), figures)].into(), &before);
        let [all, a] = text.lines().collect::<Vec<_>>()[..] else { panic!("two lines: {text}") };
        for line in [all, a] {
            assert!(line.contains("\"QueryDatabaseResponseLatency\":10,"), "{line}");
            assert!(line.contains("\"QueryResponseLatency\":40"), "{line}");
            assert!(line.contains("\"DatabaseConnectionsBorrowLatency\":60"), "{line}");
        }
        assert!(a.contains("\"MaxDatabaseConnectionsAllowed\":40}"), "{a}");
        assert!(!all.contains("MaxDatabaseConnectionsAllowed"), "{all}");
    }

    #[test]
    fn databases_beyond_the_most_are_in_the_sum_alone() {
        let now: ByDatabase = (0..300).map(|n| (format!("d{n}"), figures(1, 1))).collect();
        let text = lines(Timestamp::UNIX_EPOCH, "host", &now, &ByDatabase::new());
        assert_eq!(text.lines().count(), 1 + limits::EMF_DATABASES_MAX);
        assert!(text.lines().next().is_some_and(|all| all.contains("\"QueryRequests\":300")));
        assert!(text.lines().all(|line| line.len() < 1 << 20), "an event has 1 MB at the most");
    }
}
