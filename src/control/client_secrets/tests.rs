//! Whose secret counts for whom, what is asked in whose name, and how long anybody waits.

use super::*;
use crate::secrets::{
    Content, Fetch, Fetching, Found, Place, Purpose, Reason, SecretError, SecretKey, Secrets, Stage, Users,
};
use std::sync::atomic::AtomicU64;

/// A place with a list of users, or with none.
struct Vault {
    users: Option<Vec<&'static str>>,
    /// What it has never answered.
    hangs: bool,
    calls: AtomicU64,
}

impl Vault {
    fn of(users: &[&'static str]) -> Arc<Self> {
        Arc::new(Self { users: Some(users.to_vec()), hangs: false, calls: AtomicU64::new(0) })
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Fetch for Vault {
    fn fetch(self: Arc<Self>, _stage: Stage) -> Fetching<Result<Option<Found>, SecretError>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            if self.hangs {
                std::future::pending::<()>().await;
            }
            let users = self.users.as_ref().ok_or_else(|| SecretError::new(Reason::Missing))?;
            let list = users.iter().map(|name| (Arc::from(*name), Arc::new(Secret::parse(name)))).collect();
            let content = Content::Users(Users::List(list));
            Ok(Some(Found { id: None, created_at: None, content, doubt: None }))
        })
    }
}

fn kept(secrets: &Secrets, path: &str, vault: &Arc<Vault>) -> Arc<KeptSecret> {
    let key = SecretKey { place: Place::File(path.into()), purpose: Purpose::Clients };
    secrets.kept(&key, || Arc::clone(vault) as Arc<dyn Fetch>)
}

fn snapshot(text: &str) -> Snapshot {
    Snapshot::load_with("p.ini", None, &|_| Ok(text.as_bytes().to_vec())).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_database_s_list_goes_before_that_of_all_and_a_user_s_own_stands_alone() {
    let (secrets, vault) = (Secrets::default(), Vault::of(&["a"]));
    let [own, of_database, of_fallback, of_all] =
        ["own", "database", "*", "all"].map(|path| kept(&secrets, path, &vault));
    let all = SecretsOfClients {
        users: HashMap::from([("u".into(), own)]),
        databases: HashMap::from([("one".into(), of_database)]),
        fallback: Some(of_fallback),
        all: Some(of_all),
        ..SecretsOfClients::default()
    };
    let snapshot = snapshot("[databases]\none = host=h\nplain = host=h\n* = host=h\n[pgbouncer]\n");
    let list = |database: &str| all.list(&snapshot, database).map(|secret| secret.key().to_string());
    let lists = ["one", "plain", "any", CONSOLE_DATABASE].map(|database| list(database).unwrap_or_default());
    assert_eq!(lists, ["database", "all", "*", "all"]);
    assert_eq!(all.own("u").map(|secret| secret.key().to_string()).as_deref(), Some("own"));
    assert!(all.own("a").is_none() && !all.is_empty() && SecretsOfClients::default().is_empty());
}

#[tokio::test(start_paused = true)]
async fn all_wait_for_the_first_fetch_and_not_longer_than_their_patience() {
    let secrets = Secrets::default();
    let none = Arc::new(Vault { users: None, hangs: false, calls: AtomicU64::new(0) });
    let hanging = Arc::new(Vault { users: None, hangs: true, calls: AtomicU64::new(0) });
    let of = |path: &str, vault: &Arc<Vault>| {
        let all = Some(kept(&secrets, path, vault));
        SecretsOfClients { all, ..SecretsOfClients::default() }
    };
    let known = of("known", &Vault::of(&["a"]));
    assert!(known.is_awaited() && known.lacks_any());
    known.first().await;
    assert!(!known.is_awaited() && !known.lacks_any());
    let missing = of("missing", &none);
    missing.first().await;
    assert!(!missing.is_awaited() && missing.lacks_any());
    let began = Instant::now();
    let hanging = of("hanging", &hanging);
    hanging.first().await;
    assert_eq!(began.elapsed(), PATIENCE);
    assert!(hanging.is_awaited() && hanging.lacks_any());
}

#[tokio::test(start_paused = true)]
async fn whoever_is_refused_has_something_fetched_within_the_budget_of_all() {
    let (secrets, plane) = (Secrets::default(), ClientSecrets::default());
    let vault = Vault::of(&["a"]);
    let users = (0..1_000).map(|number| {
        let name: Arc<str> = format!("u{number}").into();
        (Arc::clone(&name), kept(&secrets, &name, &vault))
    });
    let all = Arc::new(SecretsOfClients { users: users.collect(), ..SecretsOfClients::default() });
    all.first().await;
    assert_eq!(vault.calls(), 1_000);
    plane.look_again(&all, "nobody", None).await;
    assert_eq!(vault.calls(), 1_001, "another one's, in its place");
    plane.look_again(&all, "u7", Some(&Checked::now(&all.users["u7"]))).await;
    assert_eq!(vault.calls(), 1_002);
    // each names a user of its own, so that no secret's own budget is used up
    let (plane, began) = (Arc::new(plane), Instant::now());
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..1_000 {
        let (plane, all) = (Arc::clone(&plane), Arc::clone(&all));
        clients.spawn(async move {
            let user = format!("u{number}");
            plane.look_again(&all, &user, Some(&Checked::now(&all.users[&*user]))).await;
        });
    }
    clients.join_all().await;
    let Allowance { burst, refill } = Allowance::OF_ALL_CLIENTS;
    let most = u64::from(burst) + PATIENCE.as_millis() as u64 / refill.as_millis() as u64;
    let calls = vault.calls() - 1_002;
    assert!(calls <= most && calls >= u64::from(burst) - 2, "{calls} for 1,000 users");
    assert!(began.elapsed() <= PATIENCE, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_is_known_beforehand_is_all_that_any_version_names() {
    let (secrets, vault) = (Secrets::default(), Vault::of(&["a", "b"]));
    let list = kept(&secrets, "list", &vault);
    let users = HashMap::from([("a".into(), Arc::clone(&list)), ("z".into(), Arc::clone(&list))]);
    let all = SecretsOfClients { users, all: Some(list), ..SecretsOfClients::default() };
    assert!(all.known().is_empty());
    let before = all.stamp();
    all.first().await;
    let mut names: Vec<_> = all.known().into_iter().map(|(name, _)| name.to_string()).collect();
    names.sort();
    assert_eq!(names, ["a", "a", "b"], "of the own ones, and of the list");
    assert_ne!(all.stamp(), before);
}
