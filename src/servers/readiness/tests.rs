//! Readiness over a plane without workers, with a source that finds nothing.

use super::*;
use crate::control::LauncherReceiver;

const BY_IAM: &str = "server_auth=rds_iam server_tls_ca_file=x iam_credential_source=container";
const HOST: &str = "db.abc.eu-west-1.rds.amazonaws.com";

fn servers(fallback: &str) -> (Arc<Servers>, LauncherReceiver) {
    let databases = format!("app = host={HOST} user=app {BY_IAM}\nplain = host=10.0.0.1\n{fallback}");
    let (plane, launcher) = crate::control::tests::plane(&databases, "");
    let servers = Servers::new(plane);
    servers.begin();
    (servers, launcher)
}

fn why(servers: &Servers, name: &str) -> Option<String> {
    servers.database_obstacles(name).map(|lines| lines.join("\n"))
}

fn is_served(servers: &Servers, name: &str) -> bool {
    let of_page = servers.databases_served().into_iter().find(|(known, _)| &**known == name);
    let asked = why(servers, name).is_some_and(|why| why.is_empty());
    assert_eq!(of_page.map(|(_, is_served)| is_served), Some(asked), "the metric and the page agree");
    asked
}

#[tokio::test]
async fn a_database_that_nobody_has_used_is_served_unless_its_credentials_are_missing() {
    let (servers, _launcher) = servers("");
    assert!(is_served(&servers, "plain") && !is_served(&servers, "app"));
    let expected = "database \"app\": no AWS credentials: they are being fetched, source container";
    assert_eq!(why(&servers, "app").as_deref(), Some(expected));
    assert_eq!(why(&servers, CONSOLE_DATABASE).as_deref(), Some(""));
    assert_eq!(why(&servers, "nowhere"), None);
    let (servers, _launcher) = self::servers(&format!("* = host={HOST} {BY_IAM}"));
    assert!(why(&servers, "any").is_some_and(|why| why.contains("no AWS credentials")));
    let known: Vec<_> = servers.databases_served().into_iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(known, ["app", "plain"], "whoever asks makes no database");
}

#[tokio::test]
async fn switches_count() {
    let (servers, _launcher) = servers("");
    let share = servers.plane.registry.view("plain").unwrap().share;
    share.set_paused(true);
    assert_eq!(why(&servers, "plain").as_deref(), Some("database \"plain\" is paused"));
    share.set_disabled(true);
    assert_eq!(why(&servers, "plain").as_deref(), Some("database \"plain\" is disabled"));
    assert!(!is_served(&servers, "plain"));
    share.set_disabled(false);
    share.set_paused(false);
    assert!(is_served(&servers, "plain"));
}

#[tokio::test]
async fn one_pool_that_works_is_enough() {
    let (servers, _launcher) = servers("");
    let [ann, bob] = ["ann", "bob"].map(|user| servers.plane.pool_entry("plain", user).unwrap());
    assert!(is_served(&servers, "plain"));
    ann.share.set_failing(Some("no such role".to_owned()));
    assert!(is_served(&servers, "plain"), "another user takes nothing away");
    bob.share.set_failing(Some("connect failed".to_owned()));
    let expected =
        "database \"plain\", user \"ann\": no such role\ndatabase \"plain\", user \"bob\": connect failed";
    assert_eq!(why(&servers, "plain").as_deref(), Some(expected));
    assert!(!is_served(&servers, "plain"));
    bob.share.set_live_count(1);
    assert!(is_served(&servers, "plain"), "it has a server");
    bob.share.set_stance(Stance::CloseNow);
    assert!(!is_served(&servers, "plain"), "which is to be closed");
    ann.share.set_failing(None);
    assert!(is_served(&servers, "plain"));
}

#[tokio::test]
async fn a_failure_that_nobody_renews_counts_no_more() {
    let (servers, _launcher) = servers("");
    let ann = servers.plane.pool_entry("plain", "ann").unwrap();
    ann.share.set_failing(Some("connect failed".to_owned()));
    assert!(!is_served(&servers, "plain"));
    let counts = FAILURE_COUNTS + servers.plane.policy.load().snapshot.settings.server_login_retry;
    let view = servers.plane.registry.view("plain").unwrap();
    let later = |span| servers.obstacles_of(&view, servers.plane.now() + span);
    assert_eq!(later(counts - Micros::from_secs(2)).len(), 1);
    assert!(later(counts).is_empty());
    ann.share.set_failing(Some("connect failed".to_owned()));
    assert_eq!(later(counts).len(), 1, "another one");
}
