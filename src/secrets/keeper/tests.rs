//! One secret through changes, failures and refusals, in virtual time.

use super::*;
use crate::base::Micros;
use crate::config::FileStamp;
use crate::iam::SystemClock;
use crate::secrets::fetch::{Fetching, Fingerprint, Found};
use crate::secrets::{Place, PoolSecret, Purpose};
use std::sync::atomic::Ordering;

/// A place whose versions a test sets.
#[derive(Default)]
struct Vault {
    /// By stage: name and password.
    versions: Mutex<[Option<(String, String)>; 3]>,
    failing: Mutex<Option<SecretError>>,
    is_file: bool,
    state: AtomicU64,
    calls: AtomicU64,
}

impl Vault {
    fn put(&self, stage: Stage, version: Option<(&str, &str)>) {
        let version = version.map(|(id, password)| (id.to_owned(), password.to_owned()));
        self.versions.lock().unwrap()[stage as usize] = version;
        self.state.fetch_add(1, Ordering::Relaxed);
    }

    fn fail(&self, error: Option<SecretError>) {
        *self.failing.lock().unwrap() = error;
        self.state.fetch_add(1, Ordering::Relaxed);
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Fetch for Vault {
    fn fetch(self: Arc<Self>, stage: Stage) -> Fetching<Result<Option<Found>, SecretError>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let failing = self.failing.lock().unwrap().clone();
        let version = self.versions.lock().unwrap()[stage as usize].clone();
        Box::pin(async move {
            if let Some(error) = failing {
                return Err(error);
            }
            Ok(version.map(|(id, password)| Found {
                id: (!self.is_file).then(|| id.into()),
                created_at: None,
                content: Content::Login(Login::read(password.as_bytes()).unwrap()),
                doubt: None,
            }))
        })
    }

    fn fingerprint(self: Arc<Self>) -> Fetching<Fingerprint> {
        let state = self.state.load(Ordering::Relaxed);
        Box::pin(std::future::ready(vec![Some(FileStamp::numbered(state))]))
    }

    fn is_watched(&self) -> bool {
        self.is_file
    }
}

fn keep(vault: &Arc<Vault>) -> Arc<KeptSecret> {
    let key = SecretKey { place: Place::File("/s".into()), purpose: Purpose::Servers };
    Arc::new(KeptSecret::start(
        key,
        Arc::clone(vault) as Arc<dyn Fetch>,
        Arc::default(),
        Arc::new(SystemClock),
    ))
}

fn ids(secret: &KeptSecret) -> Vec<String> {
    secret.versions().map(|version| version.id.to_string()).collect()
}

const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn it_is_fetched_at_once_and_then_each_five_minutes_or_so() {
    let vault = Arc::new(Vault::default());
    vault.put(Stage::Current, Some(("v1", "one")));
    let secret = keep(&vault);
    assert_eq!(secret.report().state, "empty");
    secret.first(PATIENCE).await;
    assert_eq!((ids(&secret), secret.report().state), (vec!["v1".to_owned()], "fresh"));
    tokio::time::sleep(Duration::from_secs(239)).await;
    assert_eq!(vault.calls(), 1);
    vault.put(Stage::Current, Some(("v2", "two")));
    tokio::time::sleep(Duration::from_secs(122)).await;
    assert_eq!(vault.calls(), 2);
    assert_eq!(ids(&secret), ["v2", "v1"], "the one before is still known");
}

#[tokio::test(start_paused = true)]
async fn an_outage_keeps_what_was_known_and_is_tried_again_with_growing_pauses() {
    let vault = Arc::new(Vault::default());
    vault.put(Stage::Current, Some(("v1", "one")));
    let secret = keep(&vault);
    secret.first(PATIENCE).await;
    vault.fail(Some(SecretError::new(Reason::Timeout)));
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let report = secret.report();
    assert_eq!((report.state, ids(&secret)), ("stale", vec!["v1".to_owned()]));
    assert_eq!(report.failures[Reason::Timeout as usize].1 + 1, vault.calls());
    assert!((50..80).contains(&vault.calls()), "{} calls in an hour", vault.calls());
    vault.fail(None);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(secret.report().state, "fresh");
}

#[tokio::test(start_paused = true)]
async fn a_file_is_read_when_it_changes_and_a_broken_one_changes_nothing() {
    let vault = Arc::new(Vault { is_file: true, ..Vault::default() });
    vault.put(Stage::Current, Some(("", "one")));
    let secret = keep(&vault);
    secret.first(PATIENCE).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!((vault.calls(), ids(&secret)), (1, vec!["#1".to_owned()]));
    vault.fail(Some(SecretError::from(crate::secrets::Unreadable::NotJson)));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!((secret.report().state, ids(&secret)), ("stale", vec!["#1".to_owned()]));
    vault.fail(None);
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!((secret.report().state, ids(&secret)), ("fresh", vec!["#1".to_owned()]), "nothing new in it");
    vault.put(Stage::Current, Some(("", "two")));
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(ids(&secret), ["#2", "#1"]);
    tokio::time::sleep(PREVIOUS_FOR + Duration::from_secs(400)).await;
    // By the machine's clock, which a test does not move, the change is young yet.
    assert_eq!(secret.current().unwrap().id, "#2".into());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_fetches_at_once_once_for_all_and_not_without_end() {
    let vault = Arc::new(Vault::default());
    vault.put(Stage::Current, Some(("v1", "one")));
    let secret = keep(&vault);
    secret.first(PATIENCE).await;
    let refused = secret.current().unwrap();
    vault.put(Stage::Pending, Some(("v2", "two")));
    let both = async || {
        let (one, other) = (secret.refused(&refused, PATIENCE), secret.refused(&refused, PATIENCE));
        tokio::join!(one, other);
    };
    let began = Instant::now();
    both().await;
    assert!(began.elapsed() <= Duration::from_secs(2));
    assert_eq!(ids(&secret), ["v1", "v2"]);
    let calls = vault.calls();
    assert!(calls <= 1 + 2 * 3, "{calls} calls: a round has three at the most");
    for _ in 0..100 {
        secret.refused(&refused, PATIENCE).await;
    }
    let rounds = vault.calls() / 3;
    assert!(rounds <= 10 + 2, "{rounds} rounds");
    vault.put(Stage::Current, Some(("v2", "two")));
    tokio::time::sleep(Duration::from_secs(400)).await;
    let before = vault.calls();
    secret.refused(&refused, PATIENCE).await;
    assert_eq!(vault.calls(), before, "what was refused is not the current one any more");
}

#[tokio::test(start_paused = true)]
async fn a_pool_tries_what_it_was_let_in_with_then_current_pending_previous() {
    let vault = Arc::new(Vault::default());
    vault.put(Stage::Current, Some(("v2", "two")));
    vault.put(Stage::Pending, Some(("v3", "three")));
    vault.put(Stage::Previous, Some(("v1", "one")));
    let secret = keep(&vault);
    secret.first(PATIENCE).await;
    let pool = PoolSecret::new(Arc::clone(&secret));
    secret.refused(&secret.current().unwrap(), PATIENCE).await;
    let order = || {
        let mut tried = Vec::new();
        while let Some(next) = pool.next(&tried) {
            tried.push(Arc::clone(&next.version.id));
        }
        tried.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(order(), ["v2", "v3", "v1"]);
    let pending = pool.next(&["v2".into()]).unwrap();
    assert!(!pool.accepted(pending));
    assert_eq!(order(), ["v3", "v2", "v1"], "the next login begins with what was taken");
    vault.put(Stage::Current, Some(("v4", "four")));
    secret.refused(&secret.current().unwrap(), PATIENCE).await;
    assert_eq!(order().first().map(String::as_str), Some("v4"), "a newer one goes first");
}

#[tokio::test(start_paused = true)]
async fn a_login_that_was_under_way_when_the_secret_changed_says_nothing_of_the_newer_version() {
    let vault = Arc::new(Vault::default());
    vault.put(Stage::Current, Some(("v1", "one")));
    let secret = keep(&vault);
    secret.first(PATIENCE).await;
    let pool = PoolSecret::new(Arc::clone(&secret));
    let under_way = pool.next(&[]).unwrap();
    vault.put(Stage::Current, Some(("v2", "two")));
    secret.refused(&under_way.version, PATIENCE).await;
    pool.accepted(under_way);
    assert_eq!(pool.next(&[]).unwrap().version.id, "v2".into(), "both are good: the newer one goes first");
    let newer = pool.next(&[]).unwrap();
    pool.accepted(newer);
    assert_eq!(pool.next(&[]).unwrap().version.id, "v2".into());
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_to_a_minute_and_clients_wait_for_a_rotation_only() {
    let vault = Arc::new(Vault::default());
    vault.put(Stage::Current, Some(("v1", "one")));
    let secret = keep(&vault);
    secret.first(PATIENCE).await;
    let pool = PoolSecret::new(Arc::clone(&secret));
    assert!(!pool.refused(Micros(0)).may_pass, "nobody was ever let in");
    assert!(pool.accepted(pool.next(&[]).unwrap()));
    let (mut now, mut pauses) = (Micros::from_secs(100), Vec::new());
    for _ in 0..9 {
        let pause = pool.refused(now);
        assert_eq!(pool.refused(now), pause, "those that were under way together are one refusal");
        assert_eq!(pause.may_pass, now.as_secs() < 160);
        pauses.push(pause.until.since(now).as_secs());
        now = pause.until;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
}
