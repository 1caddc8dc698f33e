//! What failed logins leave of a pool (why, what stands in the way, the clients' answer, the pause), against
//! what makes it untrue: a reload that has its servers logged in to in another way, and another version of
//! its secret. And against what does not: another pool's secret, a cancel request.

use super::*;
use crate::control::ReplicationWish;
use crate::control::tests::{plane, policy};
use crate::secrets::KeptSecret;
use crate::wire::startup::Replication;
use std::path::PathBuf;

const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app-AbCdEf";
const PATIENCE: Duration = Duration::from_secs(5);
const WHY: &str = "what was said before";

/// Every way to log in, as keys of a user or, but for a password, of a database.
fn ways() -> Vec<String> {
    let by_aws = "iam_credential_source=container";
    vec![
        "server_auth=password".to_owned(),
        "server_auth=secret_file secret_file=/nowhere/a".to_owned(),
        "server_auth=secret_file secret_file=/nowhere/b".to_owned(),
        format!("server_auth=secretsmanager secret_arn={ARN} {by_aws}"),
        format!("server_auth=rds_iam {by_aws}"),
        format!("server_auth=dsql_iam {by_aws}"),
    ]
}

/// A configuration whose database `app` is logged in to in that way, by the word of its entry or its user's.
fn files(way: &str, is_of_user: bool) -> (String, String) {
    let entry = "app = host=db.abc.eu-west-1.rds.amazonaws.com user=u";
    let (entry, users) = match is_of_user {
        true => (format!("{entry} iam_region=eu-west-1"), format!("[users]\nu = {way}")),
        false => (format!("{entry} iam_region=eu-west-1 {way}"), String::new()),
    };
    (entry, format!("server_tls_sslmode=verify-full\nserver_tls_ca_file=x\n{users}"))
}

/// How a login may fail, as far as it differs for those that follow.
fn sequels() -> [RetryDecision; 4] {
    let until = Micros::from_secs(1_000_000);
    [
        RetryDecision::Retry,
        RetryDecision::Refused,
        RetryDecision::RefuseUntil(until),
        RetryDecision::WaitUntil(until),
    ]
}

fn words() -> Fault {
    Fault::Relayed { sqlstate: "28P01".into(), text: "password authentication failed".into() }
}

fn failure(sequel: RetryDecision) -> Failure {
    let is_refusal = matches!(sequel, RetryDecision::Refused | RetryDecision::RefuseUntil(_));
    Failure { sequel, fault: is_refusal.then(words), ..Failure::new(WHY) }
}

const FOR_CLIENT: Want = Want::Waiter { since: Micros(0) };
const FOR_REPLICA: Want = Want::Replication { since: Micros(0) };

/// A place, where the ledger gives one now.
fn place(servers: &Servers, entry: &PoolEntry, want: Want) -> Option<Place> {
    let plane = &servers.plane;
    match plane.places.decide(|ledger| ledger.consider(&entry.share, want, plane.now())) {
        Verdict::Launch(opening) => Some(plane.places.given(&entry.share, opening)),
        _ => None,
    }
}

async fn fail(servers: &Arc<Servers>, entry: &Arc<PoolEntry>, failure: Failure) {
    let place = place(servers, entry, FOR_CLIENT).expect("there is room");
    let attempt = Attempt::new(Arc::clone(servers), Arc::clone(entry), FOR_CLIENT);
    attempt.fail(LoginConnection::default(), failure, place).await;
}

/// A replication client waits as long as what this gives is kept.
async fn fail_replica(servers: &Arc<Servers>, entry: &Arc<PoolEntry>, failure: Failure) -> impl Sized {
    let wish = ReplicationWish { kind: Replication::Physical, startup: Vec::new() };
    let answer = entry.replication.join(wish, Micros(0));
    let request = entry.replication.next().expect("it waits");
    let place = place(servers, entry, FOR_REPLICA).expect("there is room");
    let attempt = Attempt::new(Arc::clone(servers), Arc::clone(entry), FOR_REPLICA);
    attempt.fail_replica(LoginConnection::default(), failure, place, request).await;
    answer
}

fn is_paused(servers: &Servers, entry: &PoolEntry) -> bool {
    place(servers, entry, FOR_CLIENT).is_none()
}

/// What is left of what failed logins have said.
fn left(servers: &Servers, entry: &PoolEntry) -> Vec<&'static str> {
    let (share, now) = (&entry.share, servers.plane.now());
    let ready = servers.database_obstacles("app").expect("it is known").concat();
    let told = entry.replica_wait_over("limit", Fault::QueryWaitTimeout);
    [
        ("failing", share.failing().is_some()),
        ("obstacle", share.obstacle().is_some()),
        ("an answer", entry.last_failure.refusal(now).is_some()),
        ("not ready", ready.contains(WHY)),
        ("told to replication clients", told != Fault::QueryWaitTimeout),
        ("a pause", is_paused(servers, entry)),
        ("a pause of replication clients", place(servers, entry, FOR_REPLICA).is_none()),
    ]
    .into_iter()
    .filter_map(|(what, is_there)| is_there.then_some(what))
    .collect()
}

#[tokio::test]
async fn a_reload_to_another_way_to_log_in_forgets_what_logins_by_the_old_one_have_left() {
    let all = ways();
    let pairs = all.iter().flat_map(|from| all.iter().map(move |to| (from, to)));
    for (from, to) in pairs.filter(|(from, to)| from != to) {
        for (is_of_user, sequel) in [false, true]
            .into_iter()
            .zip([sequels(); 2])
            .flat_map(|(is, sequels)| sequels.map(|sequel| (is, sequel)))
        {
            let (entries, settings) = files(from, is_of_user);
            let servers = Servers::new(plane(&entries, &settings).0);
            servers.begin();
            let entry = servers.plane.pool_entry("app", "u").unwrap();
            let _waits =
                fail_replica(&servers, &entry, failure(RetryDecision::WaitUntil(Micros::NEVER))).await;
            fail(&servers, &entry, failure(sequel)).await;
            assert!(left(&servers, &entry).len() > 2, "{from}, {sequel:?}: {:?}", left(&servers, &entry));
            let (entries, settings) = files(to, is_of_user);
            servers.adopt(policy(&entries, &settings));
            let left = left(&servers, &entry);
            assert!(left.is_empty(), "from {from} to {to}, {sequel:?}: {left:?} is left");
        }
    }
}

/// Secrets of two pools, `app` and `other`.
struct Rig {
    directory: PathBuf,
    servers: Arc<Servers>,
    entry: Arc<PoolEntry>,
    other: Arc<PoolEntry>,
}

impl Rig {
    async fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("pgweir-forgotten-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let by = |name: &str| {
            let file = directory.join(name);
            format!("{name} = host=h user=u server_auth=secret_file secret_file={}\n", file.display())
        };
        let servers = Servers::new(plane(&[by("app"), by("other")].concat(), "").0);
        let [entry, other] = ["app", "other"].map(|name| {
            std::fs::write(directory.join(name), "first").unwrap();
            servers.plane.pool_entry(name, "u").unwrap()
        });
        servers.begin();
        let rig = Self { directory, servers, entry, other };
        for entry in [&rig.entry, &rig.other] {
            rig.kept(entry).first(PATIENCE).await;
        }
        rig
    }

    fn kept(&self, entry: &PoolEntry) -> Arc<KeptSecret> {
        Arc::clone(&entry.secret.load().as_ref().expect("it goes by one").kept)
    }

    /// The secret of `entry` says something else, which is known when this is over.
    async fn change(&self, entry: &PoolEntry, text: &str) {
        let (kept, name) = (self.kept(entry), &entry.share.database.name);
        let before = kept.current();
        std::fs::write(self.directory.join(&**name), text).unwrap();
        match &before {
            Some(before) => kept.refused(before, PATIENCE).await,
            None => kept.refresh(),
        }
        let is_new = |now: Arc<Version>| before.as_ref().is_none_or(|before| before.id != now.id);
        crate::control::tests::until(|| kept.current().is_some_and(is_new)).await;
        self.servers.go_on_with_secrets();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[tokio::test]
async fn a_pool_s_own_secret_ends_its_pause_and_another_s_does_not() {
    let rig = Rig::new("pause").await;
    let Rig { servers, entry, other, .. } = &rig;
    // the pause of a plain refusal is over before a file has been looked at
    let sequels = sequels().into_iter().filter(|sequel| *sequel != RetryDecision::Refused);
    for (number, sequel) in sequels.enumerate() {
        fail(servers, entry, failure(sequel)).await;
        rig.change(other, &format!("other {number}")).await;
        assert!(is_paused(servers, entry), "{sequel:?}: it is none of its business");
        rig.change(entry, &format!("own {number}")).await;
        assert_eq!(left(servers, entry), [""; 0], "{sequel:?}");
    }
}

#[tokio::test]
async fn a_replication_client_hears_why_it_waits_and_goes_on_as_soon_as_that_has_passed() {
    let rig = Rig::new("replica").await;
    let Rig { servers, entry, other, .. } = &rig;
    let told = |entry: &PoolEntry| entry.replica_wait_over("limit", Fault::QueryWaitTimeout);
    let waits = fail_replica(servers, entry, failure(RetryDecision::WaitUntil(Micros::NEVER))).await;
    assert_eq!(told(entry), Fault::NoServer { limit: "limit", why: WHY.to_owned() });
    let others = entry.share.wait_over("limit", Fault::QueryWaitTimeout);
    assert_eq!(others, Fault::QueryWaitTimeout, "it says nothing of logins for others");
    assert!(!is_paused(servers, entry));
    rig.change(other, "other").await;
    assert!(place(servers, entry, FOR_REPLICA).is_none(), "it is none of its business");
    rig.change(entry, "own").await;
    assert!(place(servers, entry, FOR_REPLICA).is_some());
    assert_eq!(told(entry), Fault::QueryWaitTimeout);
    drop(waits);
}

#[tokio::test]
async fn who_comes_in_the_pause_behind_a_refusal_is_told_the_server_s_words_until_the_secret_changes() {
    let rig = Rig::new("words").await;
    let Rig { servers, entry, .. } = &rig;
    let share = Arc::clone(&entry.share);
    let answer = async || tokio::time::timeout(Duration::ZERO, servers.plane.welcome(&share)).await;
    let now = servers.plane.now();
    fail(servers, entry, failure(RetryDecision::RefuseUntil(now + Micros::from_secs(60)))).await;
    for _ in 0..2 {
        assert_eq!(answer().await.expect("nobody waits").unwrap_err(), words());
    }
    rig.change(entry, "second").await;
    assert!(answer().await.is_err(), "it waits for what becomes of that");
    fail(servers, entry, failure(RetryDecision::RefuseUntil(servers.plane.now()))).await;
    assert!(answer().await.is_err(), "the first behind the pause has the server asked again");
}

#[tokio::test]
async fn a_cancel_request_that_goes_through_ends_no_pause_but_that_for_want_of_an_answer() {
    for sequel in sequels().into_iter().filter(|sequel| *sequel != RetryDecision::Refused) {
        let servers = Servers::new(plane("app = host=h user=u", "").0);
        let entry = servers.plane.pool_entry("app", "u").unwrap();
        fail(&servers, &entry, failure(sequel)).await;
        servers.plane.endpoint_answers(&entry);
        assert_eq!(is_paused(&servers, &entry), sequel != RetryDecision::Retry, "{sequel:?}");
    }
}
