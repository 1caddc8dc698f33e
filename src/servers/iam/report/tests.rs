//! Reports and IAM REFRESH over a plane without workers, with sources that find nothing.

use super::*;
use crate::control::tests::policy;
use crate::control::{LauncherReceiver, Plane, Policy, WorkerSet};
use crate::iam::denial::{Asked, Evidence, Outcome, Suspicion, Who};
use crate::iam::{SourceKey, SourceKind};
use std::time::Duration;

const BY_IAM: &str = "server_auth=rds_iam server_tls_ca_file=x iam_credential_source=container";
const HOST: &str = "db.abc.eu-west-1.rds.amazonaws.com";
const OTHER_HOST: &str = "db.xyz.eu-west-1.rds.amazonaws.com";
const ROLE: &str = "arn:aws:iam::123456789012:role/db";

fn begun(policy: Policy) -> (Arc<Servers>, LauncherReceiver) {
    let (plane, launcher) = Plane::new(Arc::new(policy), WorkerSet::none());
    let servers = Servers::new(plane);
    servers.begin();
    (servers, launcher)
}

fn servers() -> (Arc<Servers>, LauncherReceiver) {
    let databases = format!(
        "app = host={HOST} user=app {BY_IAM}\n\
         pair = host={OTHER_HOST},{HOST},{HOST} {BY_IAM} iam_login_rate=5\n\
         plain = host=10.0.0.1\n\
         * = host={HOST} {BY_IAM} iam_role_arn={ROLE}"
    );
    begun(policy(&databases, ""))
}

/// Who logs in to the entry `app`.
fn app() -> Who {
    let region = "eu-west-1".parse().unwrap();
    Who { user: "app".into(), source: SourceKey::new(SourceKind::Container, None, None, None, &region) }
}

/// (database, user, endpoint's host, source) of every row.
fn told(servers: &Servers) -> Vec<String> {
    let word = |word: &Option<Arc<str>>| word.as_deref().unwrap_or("-").to_owned();
    let line = |row: IamRow| {
        let host = row.endpoint.map_or("-".to_owned(), |endpoint| endpoint.host().to_owned());
        format!("{} {} {host} {}", word(&row.database), word(&row.user), row.source.key())
    };
    servers.iam_rows().into_iter().map(line).collect()
}

#[tokio::test]
async fn every_pool_endpoint_and_source_has_its_row() {
    let (servers, _launcher) = servers();
    let forced = format!("app app {HOST} container");
    let orphan = format!("- - - container as {ROLE}");
    let without_user = [HOST, OTHER_HOST].map(|host| format!("pair - {host} container"));
    assert_eq!(told(&servers), [&forced, &without_user[0], &without_user[1], &orphan].map(String::clone));
    for user in ["ann", "bob"] {
        servers.plane.pool_entry("pair", user).unwrap();
    }
    servers.plane.pool_entry("plain", "ann").unwrap();
    servers.plane.pool_entry("made", "ann").unwrap();
    let expected = [
        forced,
        format!("made ann {HOST} container as {ROLE}"),
        format!("pair ann {HOST} container"),
        format!("pair ann {OTHER_HOST} container"),
        format!("pair bob {HOST} container"),
        format!("pair bob {OTHER_HOST} container"),
    ];
    assert_eq!(told(&servers), expected);
    let rows = servers.iam_rows();
    assert!(rows[0].pool.is_none() && rows[1].pool.is_some());
    assert_eq!(
        rows.iter().map(|row| row.rate.unwrap()).collect::<Vec<_>>(),
        [5; 6],
        "the least for each endpoint"
    );
}

#[tokio::test]
async fn what_was_counted_is_told_where_the_user_is() {
    let (servers, _launcher) = servers();
    let endpoint_state = servers
        .iam
        .all_endpoint_states()
        .into_iter()
        .find(|endpoint_state| endpoint_state.endpoint().host() == HOST)
        .unwrap();
    endpoint_state.accepted(&app());
    let rows = servers.iam_rows();
    assert_eq!(rows[0].logins.as_ref().unwrap().tally.accepted, 1);
    assert!(rows[1..].iter().all(|row| row.logins.is_none()));
}

#[tokio::test]
async fn refresh_reaches_the_sources_and_the_users_concerned() {
    let (servers, _launcher) = servers();
    let endpoint_state = servers
        .iam
        .all_endpoint_states()
        .into_iter()
        .find(|endpoint_state| endpoint_state.endpoint().host() == HOST)
        .unwrap();
    let calm = Evidence::default();
    let deny = || {
        let outcome = Outcome::Asked(Asked::Scram);
        endpoint_state.failed(&app(), &outcome, calm, Micros::NEVER, None);
        let suspicion = endpoint_state.suspicion(&app(), calm.patience);
        assert_eq!((suspicion, endpoint_state.may_try(&app()).is_err()), (Some(Suspicion::Proven), true));
    };
    deny();
    let refresh = |database| {
        let refreshed = servers.refresh_iam(database);
        (refreshed.begin_in.len(), refreshed.pauses)
    };
    assert_eq!((refresh(Some("plain")), refresh(Some("pair"))), ((0, 0), (1, 0)));
    assert!(endpoint_state.may_try(&app()).is_err(), "not of that database");
    assert_eq!(refresh(Some("app")), (1, 1));
    assert!(endpoint_state.may_try(&app()).is_ok());
    deny();
    assert_eq!(refresh(None), (2, 1), "all sources, those of no database too");
    assert_eq!(refresh(None), (2, 0), "nobody is kept waiting any more");
    assert!(endpoint_state.may_try(&app()).is_ok());
}

#[tokio::test]
async fn what_pools_of_a_template_have_learnt_survives_a_reload() {
    let role = "iam_role_arn=arn:aws:iam::123456789012:role/{user}";
    let users = format!("[users]\nann = {role}\nbob = {role}\neve = pool_size=1");
    let databases = format!("app = host={HOST} {BY_IAM}\nteam = host={OTHER_HOST} {BY_IAM} {role}");
    let (servers, _launcher) = begun(policy(&databases, &users));
    let pools = [("app", "ann"), ("app", "bob"), ("team", "eve")];
    let source = |(database, user): (&str, &str)| {
        let snapshot = Arc::clone(&servers.plane.policy.load().snapshot);
        let entry = snapshot.database(database).unwrap();
        let rules = entry::rules(&snapshot, &entry, user).unwrap().unwrap();
        Arc::clone(&servers.iam.signers(&rules)[0].source)
    };
    let before = pools.map(|pool| {
        servers.plane.pool_entry(pool.0, pool.1).unwrap();
        source(pool)
    });
    let endpoint_states = servers.iam.all_endpoint_states().len();
    servers.adopt(policy(&databases, &users));
    for (pool, before) in pools.into_iter().zip(&before) {
        assert!(Arc::ptr_eq(before, &source(pool)), "{pool:?} would fetch anew");
    }
    assert_eq!(
        servers.iam.all_endpoint_states().len(),
        endpoint_states,
        "what was judged there is kept, too"
    );
    servers.adopt(policy(&format!("app = host={HOST} {BY_IAM}"), &users.replace("bob", "rob")));
    let left: Vec<_> = servers.iam.all_sources().iter().map(|source| source.key().to_string()).collect();
    assert!(left.iter().all(|name| !name.ends_with("/bob") && !name.ends_with("/eve")), "{left:?}");
}

#[tokio::test]
async fn sources_without_credentials_stand_in_the_way() {
    let (servers, _launcher) = servers();
    let pending = servers.iam_obstacles();
    assert!(pending.iter().all(|line| line.ends_with("yet: they are being fetched")), "{pending:?}");
    for source in servers.iam.all_sources() {
        source.fetched_after(0).await;
    }
    let words = "no credentials found (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not set)";
    let expected = [
        format!("no AWS credentials from source container: {words}"),
        format!("no AWS credentials from source container as {ROLE}: {words}"),
    ];
    assert_eq!(servers.iam_obstacles(), expected);
}

#[test]
fn a_refresh_is_told_in_words() {
    let told = |begin_in_ms: &[u64], pauses| {
        let begin_in = begin_in_ms.iter().copied().map(Duration::from_millis).collect();
        Refreshed { begin_in, pauses }.to_string()
    };
    assert_eq!(told(&[], 0), "no source of AWS credentials is in use");
    let pauses = "pauses after failed logins ended";
    assert_eq!(told(&[0], 0), format!("credentials are fetched anew: 1 source at once; {pauses}: 0"));
    assert_eq!(
        told(&[0, 22_100, 0, 400], 3),
        format!("credentials are fetched anew: 2 sources at once, 2 sources within 23s; {pauses}: 3")
    );
    assert_eq!(
        told(&[5_000], 1),
        format!("credentials are fetched anew: 0 sources at once, 1 source within 5s; {pauses}: 1")
    );
}
