//! One secret through changes, failures and refusals, in virtual time.

use super::*;
use crate::base::Micros;
use crate::config::FileStamp;
use crate::iam::{Region, SourceKey, SourceKind, Sources, StaticStability, SystemClock};
use crate::secrets::fetch::{Fetching, Fingerprint, Found};
use crate::secrets::{AwsSecret, Place, PoolSecret, Purpose};
use std::sync::atomic::Ordering;

/// A place whose versions a test sets.
#[derive(Default)]
struct Vault {
    /// By stage: name and password.
    versions: Mutex<[Option<(String, String)>; 3]>,
    failing: Mutex<Option<SecretError>>,
    is_file: bool,
    /// Its texts say whom clients may be.
    is_of_clients: bool,
    /// How long an answer takes, which is as old then.
    takes: Duration,
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

    fn purpose(&self) -> Purpose {
        if self.is_of_clients { Purpose::User } else { Purpose::Servers }
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
            if !self.takes.is_zero() {
                tokio::time::sleep(self.takes).await;
            }
            if let Some(error) = failing {
                return Err(error);
            }
            Ok(version.map(|(id, password)| Found {
                id: (!self.is_file).then(|| id.into()),
                created_at: None,
                content: Content::read(self.purpose(), password.as_bytes()).unwrap(),
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
    let key = SecretKey { place: Place::File("/s".into()), purpose: vault.purpose() };
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

#[tokio::test(start_paused = true)]
async fn without_credentials_that_is_the_reason_however_long_their_source_takes() {
    let region: Region = "eu-west-1".parse().unwrap();
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app-AbCdEf";
    for kind in [SourceKind::Profile, SourceKind::Container] {
        let source = SourceKey::new(kind, Some("there is none of this name"), None, None, &region);
        let sources = Sources::new(Arc::new(SystemClock), StaticStability::On);
        let manager = sources.secrets_manager(&source, &region);
        let fetch = Arc::new(AwsSecret::new(manager, arn.into(), Purpose::Servers));
        let place = Place::Aws { arn: arn.into(), region: region.clone(), source };
        let key = SecretKey { place, purpose: Purpose::Servers };
        let secret = KeptSecret::start(key, fetch, Arc::default(), Arc::new(SystemClock));
        tokio::time::sleep(Duration::from_secs(1_800)).await;
        let report = secret.report();
        assert!(report.failed() > 5, "{kind}: {}", report.failed());
        let reasons: Vec<_> = report.failures.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(reasons, [&(Reason::Credentials, report.failed())], "{kind}");
    }
}

fn of_clients(text: &str) -> Arc<Vault> {
    let vault = Arc::new(Vault { is_of_clients: true, ..Vault::default() });
    vault.put(Stage::Current, Some(("v1", text)));
    vault
}

fn proofs(secret: &KeptSecret, user: &str) -> Vec<String> {
    secret.proofs(user).iter().map(|secret| secret.to_text().expose().to_owned()).collect()
}

/// Has `vault` go on to the next version, and `secret` know it.
async fn rotate(vault: &Vault, secret: &KeptSecret, (id, text): (&str, &str)) {
    vault.put(Stage::Current, Some((id, text)));
    secret.refresh();
    while secret.current().is_none_or(|now| &*now.id != id) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Others have asked for nothing.
const FREE: fn(Instant) -> Result<(), Duration> = |_| Ok(());

/// So many clients have proven something else than `checked`, at a time.
async fn all_mistaken(secret: &Arc<KeptSecret>, checked: Option<&Arc<Version>>, count: usize) {
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (secret, checked) = (Arc::clone(secret), checked.cloned());
        clients.spawn(async move { secret.mistaken(checked.as_deref(), PATIENCE, FREE).await });
    }
    clients.join_all().await;
}

#[tokio::test(start_paused = true)]
async fn clients_are_proven_by_two_versions_and_who_is_gone_from_a_list_by_none() {
    let vault = of_clients(r#"{"users":{"a":"a1","b":"b1","c":"c1","d":"d1"}}"#);
    let secret = keep(&vault);
    assert_eq!(proofs(&secret, "a"), [""; 0], "nothing is known yet");
    secret.first(PATIENCE).await;
    rotate(&vault, &secret, ("v2", r#"{"users":{"a":"a2","b":"b1","c":""}}"#)).await;
    assert_eq!(proofs(&secret, "a"), ["a2", "a1"]);
    assert_eq!(proofs(&secret, "b"), ["b1"]);
    assert_eq!(
        proofs(&secret, "c"),
        [""],
        "whom nothing proves any more, the version before does not either"
    );
    assert_eq!(proofs(&secret, "d"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn alternating_users_are_both_proven_for_a_while() {
    let login = |user: &str, password: &str| format!(r#"{{"username":"{user}","password":"{password}"}}"#);
    let vault = of_clients(&login("a", "1"));
    let secret = keep(&vault);
    secret.first(PATIENCE).await;
    rotate(&vault, &secret, ("v2", &login("b", "2"))).await;
    assert_eq!((proofs(&secret, "b"), proofs(&secret, "a")), (vec!["2".to_owned()], vec!["1".to_owned()]));
    rotate(&vault, &secret, ("v3", &login("b", "3"))).await;
    assert_eq!((proofs(&secret, "b"), proofs(&secret, "a").len()), (vec!["3".to_owned(), "2".to_owned()], 0));
}

#[test]
fn the_version_before_is_good_for_a_quarter_of_an_hour() {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    assert!(is_young(at, at) && is_young(at, at + Duration::from_secs(899)));
    assert!(!is_young(at, at + Duration::from_secs(900)));
    assert!(!is_young(at, at - Duration::from_secs(1)), "a clock that was put back");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_proves_something_else_waits_for_one_fetch_and_sees_what_it_brings() {
    let vault = of_clients("one");
    let secret = keep(&vault);
    secret.first(PATIENCE).await;
    let checked = secret.current().unwrap();
    vault.put(Stage::Current, Some(("v2", "two")));
    all_mistaken(&secret, Some(&checked), 50).await;
    assert_eq!(proofs(&secret, "a"), ["two", "one"]);
    assert_eq!(vault.calls(), 2, "one for all, of one stage");
    secret.mistaken(Some(&checked), PATIENCE, FREE).await;
    assert_eq!(vault.calls(), 2, "what it was held against is not the current one any more");
}

#[tokio::test(start_paused = true)]
async fn what_began_before_a_client_proved_something_is_not_what_it_waits_for() {
    let takes = Duration::from_millis(700);
    let vault = Arc::new(Vault { is_of_clients: true, takes, ..Vault::default() });
    vault.put(Stage::Current, Some(("v1", "one")));
    let secret = keep(&vault);
    secret.first(PATIENCE).await;
    let checked = secret.current().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    secret.refresh();
    while vault.calls() < 2 {
        tokio::task::yield_now().await;
    }
    vault.put(Stage::Current, Some(("v2", "two"))); // AWS has answered already, and the answer is on its way
    secret.mistaken(Some(&checked), PATIENCE, FREE).await;
    assert_eq!((proofs(&secret, "a").first().map(String::as_str), vault.calls()), (Some("two"), 3));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_wrong_proofs_makes_few_fetches_and_shuts_nobody_out() {
    let vault = of_clients("one");
    let secret = keep(&vault);
    secret.first(PATIENCE).await;
    let flood = {
        let secret = Arc::clone(&secret);
        tokio::spawn(async move {
            loop {
                all_mistaken(&secret, secret.current().as_ref(), 20).await;
            }
        })
    };
    tokio::time::sleep(Duration::from_secs(600)).await;
    let calls = vault.calls();
    assert!((100..=10 + 200 + 5).contains(&calls), "{calls} in ten minutes: one each three seconds");
    for number in 2..20 {
        let (id, checked) = (format!("v{number}"), secret.current().unwrap());
        vault.put(Stage::Current, Some((&id, &id)));
        secret.mistaken(Some(&checked), PATIENCE, FREE).await;
        assert_eq!(secret.current().unwrap().id, id.as_str().into(), "the one that is right sees it");
    }
    flood.abort();
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_its_patience() {
    let vault = of_clients("one");
    let secret = keep(&vault);
    secret.first(PATIENCE).await;
    let now = secret.current();
    let began = Instant::now();
    secret.mistaken(now.as_deref(), PATIENCE, |_| Err(Duration::from_secs(1))).await;
    assert_eq!((began.elapsed(), vault.calls()), (PATIENCE, 1), "others use all that there is");
    secret.mistaken(now.as_deref(), PATIENCE, FREE).await;
    assert_eq!(vault.calls(), 2, "and what was not granted was not used");
}
