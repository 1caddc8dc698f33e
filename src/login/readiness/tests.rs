//! Readiness over a plane without workers, with a source that finds nothing.

use super::*;
use crate::io::Clock;
use crate::login::registry::tests::snapshot;
use crate::login::{Doors, Policy, ServersTls};
use crate::wire::TrackedNames;

const BY_IAM: &str = "server_auth=rds_iam server_tls_ca_file=x iam_credential_source=container";
const HOST: &str = "db.abc.eu-west-1.rds.amazonaws.com";

fn plane(fallback: &str) -> (Arc<Plane>, Doors) {
    let databases = format!("app = host={HOST} user=app {BY_IAM}\nplain = host=10.0.0.1\n{fallback}");
    let policy = Policy {
        snapshot: Arc::new(snapshot(&databases, "")),
        users: Arc::default(),
        client_tls: None,
        server_tls: ServersTls::disabled(),
    };
    let (plane, doors) = Plane::new(Arc::new(policy), Box::default(), TrackedNames::new([]), Clock::new());
    plane.begin();
    (plane, doors)
}

fn why(plane: &Plane, name: &str) -> Option<String> {
    plane.database_obstacles(name).map(|lines| lines.join("\n"))
}

fn is_served(plane: &Plane, name: &str) -> bool {
    let of_page = plane.databases_served().into_iter().find(|(known, _)| &**known == name);
    let asked = why(plane, name).is_some_and(|why| why.is_empty());
    assert_eq!(of_page.map(|(_, is_served)| is_served), Some(asked), "the metric and the page agree");
    asked
}

#[tokio::test]
async fn a_database_that_nobody_has_used_is_served_unless_its_credentials_are_missing() {
    let (plane, _doors) = plane("");
    assert!(is_served(&plane, "plain") && !is_served(&plane, "app"));
    let expected = "database \"app\": no AWS credentials: they are being fetched, source container";
    assert_eq!(why(&plane, "app").as_deref(), Some(expected));
    assert_eq!(why(&plane, CONSOLE_DATABASE).as_deref(), Some(""));
    assert_eq!(why(&plane, "nowhere"), None);
    let (plane, _doors) = self::plane(&format!("* = host={HOST} {BY_IAM}"));
    assert!(why(&plane, "any").is_some_and(|why| why.contains("no AWS credentials")));
    let known: Vec<_> = plane.databases_served().into_iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(known, ["app", "plain"], "whoever asks makes no database");
}

#[tokio::test]
async fn switches_count() {
    let (plane, _doors) = plane("");
    let share = plane.registry.view("plain").unwrap().share;
    share.set_paused(true);
    assert_eq!(why(&plane, "plain").as_deref(), Some("database \"plain\" is paused"));
    share.set_disabled(true);
    assert_eq!(why(&plane, "plain").as_deref(), Some("database \"plain\" is disabled"));
    assert!(!is_served(&plane, "plain"));
    share.set_disabled(false);
    share.set_paused(false);
    assert!(is_served(&plane, "plain"));
}

#[tokio::test]
async fn one_pool_that_works_is_enough() {
    let (plane, _doors) = plane("");
    let [ann, bob] = ["ann", "bob"].map(|user| plane.pool_entry("plain", user).unwrap());
    assert!(is_served(&plane, "plain"));
    ann.share.set_failing(Some("no such role".to_owned()));
    assert!(is_served(&plane, "plain"), "another user takes nothing away");
    bob.share.set_failing(Some("connect failed".to_owned()));
    let expected =
        "database \"plain\", user \"ann\": no such role\ndatabase \"plain\", user \"bob\": connect failed";
    assert_eq!(why(&plane, "plain").as_deref(), Some(expected));
    assert!(!is_served(&plane, "plain"));
    bob.share.set_live_count(1);
    assert!(is_served(&plane, "plain"), "it has a server");
    bob.share.set_stance(Stance::CloseNow);
    assert!(!is_served(&plane, "plain"), "which is to be closed");
    ann.share.set_failing(None);
    assert!(is_served(&plane, "plain"));
}

#[test]
fn a_failure_counts_from_when_it_was_seen_and_another_anew() {
    let seen = FailureSeen::default();
    let [first, second] = ["no", "no"].map(|text| Arc::new(text.to_owned()));
    let at = Micros::from_secs;
    assert_eq!(seen.known_for(&first, at(100)), at(0));
    assert_eq!(seen.known_for(&first, at(170)), at(70));
    assert_eq!(seen.known_for(&second, at(171)), at(0), "the same words, another failure");
    assert_eq!(seen.known_for(&second, at(180)), at(9));
}

#[tokio::test]
async fn a_failure_that_nobody_renews_counts_no_more() {
    let (plane, _doors) = plane("");
    let ann = plane.pool_entry("plain", "ann").unwrap();
    ann.share.set_failing(Some("connect failed".to_owned()));
    assert!(!is_served(&plane, "plain"));
    let counts = FAILURE_COUNTS + plane.policy.load().snapshot.settings.server_login_retry;
    let view = plane.registry.view("plain").unwrap();
    let later = |span| plane.obstacles_of(&view, plane.now() + span);
    assert_eq!(later(counts - Micros::from_secs(2)).len(), 1);
    assert!(later(counts).is_empty());
    ann.share.set_failing(Some("connect failed".to_owned()));
    assert_eq!(later(counts).len(), 1, "another one");
}
