//! How long clients wait for credentials: as long as there are none, and no longer than it helps.

use crate::common::{PoolerSetup, wait_until};
use crate::fake::{FakeAws, Service::Container};
use crate::rig::{Rds, attempt, whoami};
use std::time::{Duration, Instant};

/// A pooler's settings whose only source of credentials is the fake.
fn pooler(rds: &Rds, fake: &FakeAws) -> PoolerSetup {
    fake.note_to(rds.keys());
    rds.bare_pooler()
        .database_at("app", &format!("{} iam_credential_source=container", rds.database()))
        .environment("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/container", fake.url()))
        .environment("AWS_ENDPOINT_URL_STS", fake.url())
}

#[test]
fn clients_go_on_as_soon_as_credentials_are_there() {
    let Some(rds) = Rds::start() else { return };
    let fake = FakeAws::start();
    fake.set(Container, "status=500");
    let pooler = pooler(&rds, &fake).set("query_wait_timeout", 60).start();
    let waited = std::thread::scope(|scope| {
        let client = scope.spawn(|| (attempt(&pooler, "app", "app"), Instant::now()));
        pooler.wait_for_log("closing because: no AWS credentials: ");
        pooler.wait_for_log("no credentials: the service failed");
        fake.set(Container, "");
        pooler.wait_for_log("credentials loaded from container");
        let there_at = Instant::now();
        let (outcome, served_at) = client.join().expect("it came back");
        assert_eq!(outcome.as_deref(), Ok("app"));
        served_at.saturating_duration_since(there_at)
    });
    assert!(waited < Duration::from_secs(2), "served {waited:?} after the credentials had come");
}

#[test]
fn a_refused_login_waits_for_no_credentials_that_do_not_come() {
    let Some(rds) = Rds::start() else { return };
    let fake = FakeAws::start();
    let pooler = pooler(&rds, &fake).set("query_wait_timeout", 30).start();
    assert_eq!(whoami(&pooler, "app"), "app");
    let fetches = fake.calls(Container).len();
    rds.behave("denied=app");
    rds.psql("postgres", "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'");
    wait_until("its server is gone", || rds.backends("app").is_empty());
    let denied = attempt(&pooler, "app", "app").expect_err("it is denied, since it lasts");
    assert!(denied.starts_with("FATAL 28000: ") && denied.contains("role app"), "{denied}");
    assert_eq!(
        attempt(&pooler, "app", "app"),
        Err(denied),
        "who comes while nothing is tried hears the same"
    );
    let verdicts = rds.verdicts();
    let codes: Vec<_> = verdicts.iter().take(4).map(|verdict| verdict.code).collect();
    assert_eq!(codes, [200, 403, 403, 403], "a fresh token was tried, and then another one");
    let took_s = verdicts[3].at_s - verdicts[1].at_s;
    assert!(took_s < 4.0, "the third one came {took_s} s after the first");
    assert_eq!(
        fake.calls(Container).len(),
        fetches,
        "no credentials could come: the last ones are seconds old"
    );
}
