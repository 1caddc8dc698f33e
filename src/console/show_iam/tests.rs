//! Rows of SHOW IAM as a client reads them.

use super::*;
use crate::config::Snapshot;
use crate::control::{Plane, Policy, PoolEntry, WorkerSet};
use crate::core::Stance;
use crate::iam::fetch::Fetching;
use crate::iam::{
    Credentials, Endpoint, Fetch, FetchError, Fetched, Reason, Region, Source, SourceKey, SourceKind,
    StaticStability, SystemClock,
};
use crate::servers::iam::{IamRow, Tally};
use crate::stats::{PoolCounters, PoolLevels};
use aws_credential_types::Credentials as AwsCredentials;
use std::collections::HashMap;
use std::sync::Arc;

const SECRET: &str = "SECRETSECRETSECRET";

/// Gives credentials with an hour to live, or none.
struct Given(Result<(), Reason>);

impl Fetch for Given {
    fn fetch(self: Arc<Self>) -> Fetching<Result<Fetched, FetchError>> {
        Box::pin(async move {
            self.0.map_err(FetchError::new)?;
            let expiry = SystemTime::now() + Duration::from_secs(3600);
            let credentials =
                AwsCredentials::new("AKIDABCD1234", SECRET, Some(SECRET.into()), Some(expiry), "given");
            Ok(Fetched { credentials, via: SourceKind::Imds, principal: None })
        })
    }

    fn identify(self: Arc<Self>, _: Arc<Credentials>) -> Fetching<Result<String, FetchError>> {
        Box::pin(std::future::ready(Ok("arn:aws:sts::1:assumed-role/a/b".to_owned())))
    }
}

async fn source(outcome: Result<(), Reason>) -> Arc<Source> {
    let region: Region = "eu-west-1".parse().unwrap();
    let key = SourceKey::new(SourceKind::Imds, None, None, None, &region);
    let source = Source::start(key, Arc::new(Given(outcome)), Arc::new(SystemClock), StaticStability::Off);
    source.fetched_after(0).await;
    source.identified().await;
    Arc::new(source)
}

fn pool() -> Arc<PoolEntry> {
    let file = "[databases]\napp = host=10.0.0.1\n[pgbouncer]\n";
    let snapshot = Snapshot::load_with("test.ini", None, &|_| Ok(file.into())).unwrap();
    let (plane, _launcher) = Plane::new(Arc::new(Policy::without_tls(snapshot)), WorkerSet::none());
    plane.pool_entry("app", "ann").unwrap()
}

fn report(tally: Tally, trouble: Option<Class>) -> LoginReport {
    LoginReport { user: "ann".into(), tally, trouble }
}

fn row(source: Arc<Source>, logins: Option<LoginReport>, pool: Option<Arc<PoolEntry>>) -> IamRow {
    IamRow {
        database: Some("app".into()),
        user: Some("ann".into()),
        endpoint: Some(Endpoint::new("db.abc.eu-west-1.rds.amazonaws.com", 5432, None).unwrap()),
        source,
        rate: Some(20),
        waiting: 3,
        under_way: pool.as_ref().map(|_| 5),
        spans: logins.as_ref().map(|_| [21, 950].map(Micros::from_millis)),
        keeps_up: Some(false),
        logins,
        pool,
    }
}

/// The one row, by column; a column that is NULL is left out.
fn shown(view: IamView) -> HashMap<String, String> {
    let now = Now { process: Micros::from_secs(100), wall: SystemTime::now() };
    let rows = iam(&[view], now).read_back().remove(0);
    rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

#[tokio::test]
async fn a_row_tells_who_logs_in_how_and_how_it_goes() {
    let pool = pool();
    pool.share.set_stance(Stance::KeepOn);
    let mut tally = Tally::default();
    (tally.accepted, tally.accepted_at) = (7, Some(Micros::from_secs(58)));
    tally.failed = [1, 2, 3, 4, 5, 6];
    tally.last_error = Some("it was slow".into());
    let row = row(source(Ok(())).await, Some(report(tally, Some(Class::Unreachable))), Some(pool));
    let levels = PoolLevels {
        auth_age_us: 61_000_000,
        sv_past_soft_age: 2,
        sv_past_hard_age: 1,
        sv_due: 4,
        ..PoolLevels::default()
    };
    let counters =
        PoolCounters { renewed: 8, extended: 9, over_age_transactions: 10, ..PoolCounters::default() };
    let shown = shown(IamView { row, levels, counters });
    let expires_in: u64 = shown["cred_expires_in"].parse().unwrap();
    assert!((3590..=3600).contains(&expires_in), "{expires_in}");
    for (column, value) in [
        ("database", "app"),
        ("user", "ann"),
        ("endpoint", "db.abc.eu-west-1.rds.amazonaws.com:5432"),
        ("region", "eu-west-1"),
        ("source", "imds"),
        ("principal", "arn:aws:sts::1:assumed-role/a/b"),
        ("cred_state", "fresh"),
        ("key_tail", "1234"),
        ("last_refresh", "0"),
        ("last_login", "42"),
        ("logins_ok", "7"),
        ("logins_denied", "1"),
        ("throttled", "2"),
        ("logins_failed", "18"),
        ("class", "unreachable"),
        ("login_rate", "20"),
        ("login_waiting", "3"),
        ("logins_under_way", "5"),
        ("login_ms_p50", "21"),
        ("login_ms_p99", "950"),
        ("stance", "keep_on"),
        ("renewals", "late"),
        ("auth_age", "61"),
        ("sv_past_soft_age", "2"),
        ("sv_past_hard_age", "1"),
        ("sv_due", "4"),
        ("renewed", "8"),
        ("extended", "9"),
        ("over_age", "10"),
        ("last_error", "it was slow"),
    ] {
        assert_eq!(shown.get(column).map(String::as_str), Some(value), "{column}");
    }
    assert!(!format!("{shown:?}").contains(SECRET));
}

#[tokio::test]
async fn what_is_not_known_is_null() {
    let row = row(source(Ok(())).await, None, None);
    let shown = shown(IamView { row, levels: PoolLevels::default(), counters: PoolCounters::default() });
    for column in [
        "last_login",
        "class",
        "logins_under_way",
        "login_ms_p50",
        "login_ms_p99",
        "stance",
        "auth_age",
        "sv_past_soft_age",
        "sv_due",
        "renewed",
        "last_error",
    ] {
        assert_eq!(shown.get(column), None, "{column}");
    }
    assert_eq!((&*shown["logins_ok"], &*shown["logins_failed"]), ("0", "0"));
}

#[tokio::test]
async fn a_dead_source_is_the_reason_whatever_logins_said_before() {
    let mut tally = Tally::default();
    tally.last_error = Some("denied once".into());
    let row = row(source(Err(Reason::Timeout)).await, Some(report(tally, Some(Class::Denied))), None);
    let shown = shown(IamView { row, levels: PoolLevels::default(), counters: PoolCounters::default() });
    assert_eq!((&*shown["cred_state"], &*shown["class"]), ("dead", "credentials"));
    assert_eq!(shown["last_error"], "fetching credentials failed: no answer in time");
    assert!(!shown.contains_key("key_tail") && !shown.contains_key("principal"));
}
