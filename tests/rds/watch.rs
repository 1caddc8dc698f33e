//! What operators see of logins by IAM: SHOW IAM, the metrics, readiness, IAM REFRESH,
//! and `--check FILE --iam`.

use crate::common::certs::{RDS_HOST, certs};
use crate::common::{Pooler, PoolerSetup, page, programs, secrets, wait_until};
use crate::fake::{FakeAws, Service::Container};
use crate::rig::{KEY, RDS_PORT, REGION, Rds, attempt, whoami};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A pooler that has its credentials from the fake's container endpoint, and the port of its pages.
fn pooler(rds: &Rds, fake: &FakeAws, more: &str) -> (PoolerSetup, u16) {
    let text = format!("{} iam_credential_source=container {more}", rds.database());
    let setup = rds
        .bare_pooler()
        .database_at("app", &text)
        .environment("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/container", fake.url()))
        .environment("AWS_ENDPOINT_URL_STS", fake.url());
    let port = setup.page_port();
    (setup, port)
}

/// The row of SHOW IAM of a user of database `app`.
#[track_caller]
fn row(pooler: &Pooler, user: &str) -> BTreeMap<String, String> {
    let outcome = pooler.ask("show iam");
    let found = outcome.records().into_iter().find(|row| row["database"] == "app" && row["user"] == user);
    found.unwrap_or_else(|| panic!("no row of {user}: {outcome:?}"))
}

/// What the metrics page says of the first login as `app`, and of one transaction on it.
fn metrics_tell_of_one_login(port: u16) {
    let logins = |result: &str, reason: &str| {
        let labels = format!("{{database=\"app\",user=\"app\",result=\"{result}\",reason=\"{reason}\"}}");
        page::value(port, &format!("pgweir_backend_logins_total{labels}"))
    };
    assert_eq!((logins("ok", ""), logins("failed", "denied")), (Some(1.0), Some(0.0)));
    let of_source = |name: &str| page::value(port, &format!("{name}{{source=\"container\"}}"));
    assert!(of_source("pgweir_iam_credentials_expire_seconds").is_some_and(|left| left > 0.0));
    assert_eq!(of_source("pgweir_iam_credentials_usable"), Some(1.0));
    let refreshes = "pgweir_iam_refresh_total{source=\"container\",result=\"ok\",reason=\"\"}";
    assert!(page::value(port, refreshes).is_some_and(|count| count >= 1.0));
    assert_eq!(page::value(port, "pgweir_iam_login_throttle_wait_seconds_count"), Some(1.0));
    assert!(page::value(port, "pgweir_clock_skew_seconds").is_some_and(|skew| skew.abs() < 5.0));
    let of_pool = |name: &str| page::value(port, &format!("{name}{{database=\"app\",user=\"app\"}}"));
    assert!(of_pool("pgweir_backend_auth_oldest_seconds").is_some_and(|age| age > 0.0));
    assert_eq!(of_pool("pgweir_backend_auth_age_seconds_count"), Some(1.0), "one transaction");
    assert_eq!(of_source("pgweir_iam_token_age_seconds_count"), Some(1.0), "one token");
    assert!(of_source("pgweir_iam_token_age_seconds_sum").is_some_and(|age| age > 0.0 && age < 60.0));
    let minute = "pgweir_iam_token_age_seconds_bucket{source=\"container\",le=\"60\"}";
    assert_eq!(page::value(port, minute), Some(1.0), "it was young");
}

#[test]
fn show_iam_and_the_metrics_tell_how_logins_go() {
    let Some(rds) = Rds::start() else { return };
    let fake = FakeAws::start();
    fake.note_to(rds.keys());
    let (setup, port) = pooler(&rds, &fake, "");
    let pooler = setup.start();
    page::wait_for(port);
    let before = pooler.ask("show iam").records();
    assert_eq!((before.len(), &*before[0]["database"], &*before[0]["user"]), (1, "app", ""), "{before:?}");
    assert_eq!(whoami(&pooler, "app"), "app");
    wait_until("the principal is known", || row(&pooler, "app")["principal"].starts_with("arn:aws:"));
    let app = row(&pooler, "app");
    for (column, value) in [
        ("endpoint", &*format!("{RDS_HOST}:{RDS_PORT}")),
        ("region", REGION),
        ("source", "container"),
        ("cred_state", "fresh"),
        ("logins_ok", "1"),
        ("logins_denied", "0"),
        ("class", ""),
        ("login_rate", "20"),
        ("login_waiting", "0"),
        ("logins_under_way", "0"),
        ("stance", "renew"),
        ("sv_past_soft_age", "0"),
        ("sv_due", "0"),
        ("renewed", "0"),
        ("last_error", ""),
    ] {
        assert_eq!(app[column], value, "{column}: {app:?}");
    }
    let took =
        ["login_ms_p50", "login_ms_p99"].map(|column| app[column].parse::<u64>().expect("it is known"));
    assert!(took[0] == took[1] && took[0] < 10_000, "of one login: {app:?}");
    assert!(rds.verdicts()[0].key.ends_with(&app["key_tail"]) && app["key_tail"].len() == 4, "{app:?}");
    assert!(app["cred_expires_in"].parse::<u64>().is_ok() && app["auth_age"].len() < 3, "{app:?}");
    metrics_tell_of_one_login(port);

    rds.behave("denied=reader");
    attempt(&pooler, "reader", "app").unwrap_err();
    let reader = row(&pooler, "reader");
    assert!(reader["logins_denied"].parse::<u64>().is_ok_and(|count| count >= 1), "{reader:?}");
    assert_eq!((&*reader["class"], &*reader["logins_ok"]), ("denied", "0"), "{reader:?}");
    assert!(reader["last_error"].contains("check rds-db:connect for dbuser reader"), "{reader:?}");
    assert_eq!(row(&pooler, "app")["class"], "", "the other user's logins are fine");
}

#[test]
fn the_age_of_authorizations_is_shown() {
    let Some(rds) = Rds::start() else { return };
    let fake = FakeAws::start();
    fake.note_to(rds.keys());
    let (setup, port) = pooler(&rds, &fake, "iam_max_age=10");
    let pooler = setup.start();
    let mut held = pooler.client();
    assert_eq!(held.simple("begin").status, Some(b'T'));
    wait_until("its server has grown too old", || row(&pooler, "app")["sv_past_hard_age"] == "1");
    let old = row(&pooler, "app");
    assert!(old["auth_age"].parse::<u64>().is_ok_and(|age| age >= 10), "{old:?}");
    let labels = "{database=\"app\",user=\"app\"}";
    let of_pool = |name: &str| page::value(port, &format!("{name}{labels}"));
    assert_eq!(of_pool("pgweir_backend_auth_past_hard_age_connections"), Some(1.0));
    assert!(of_pool("pgweir_backend_auth_oldest_seconds").is_some_and(|age| age >= 10.0));
    held.simple("commit");
    wait_until("it is told of", || row(&pooler, "app")["over_age"] == "1");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(12) {
        assert_eq!(held.simple("select 1").status, Some(b'I'));
    }
    let count = of_pool("pgweir_backend_auth_age_seconds_count").expect("transactions have begun");
    let young = "pgweir_backend_auth_age_seconds_bucket{database=\"app\",user=\"app\",le=\"10\"}";
    assert!(count > 12.0, "{count} transactions over a generation of servers");
    assert_eq!(page::value(port, young), Some(count), "none began on a server past iam_max_age");
}

#[test]
fn iam_refresh_ends_the_pauses_after_failed_logins() {
    let Some(rds) = Rds::start() else { return };
    let fake = FakeAws::start();
    fake.note_to(rds.keys());
    let pooler = pooler(&rds, &fake, "").0.start();
    rds.behave("denied=app");
    attempt(&pooler, "app", "app").unwrap_err();
    let tries = || rds.codes("app").len();
    // Each failure makes the pause longer: after a few it is far longer than what follows.
    wait_until("it has failed some times", || {
        let _ = attempt(&pooler, "app", "app");
        tries() >= 6
    });
    rds.behave("");
    let done = pooler.ask("iam refresh app");
    assert_eq!(done.commands, ["IAM REFRESH"]);
    let [said] = &done.notices[..] else { panic!("one notice: {done:?}") };
    assert!(said.contains("credentials are fetched anew: ") && said.contains("1 source"), "{said}");
    assert!(said.ends_with("; pauses after failed logins ended: 1"), "{said}");
    assert_eq!(whoami(&pooler, "app"), "app", "at once");
    pooler.wait_for_log("IAM REFRESH 'app' command issued");
    let refused = pooler.ask("iam refresh nowhere");
    assert_eq!(refused.errors, ["ERROR 08P01: no such database: nowhere"], "{refused:?}");
}

/// What stands behind `"name":` in a line of the audit log, up to the next comma or brace.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, rest) = line.split_once(&format!("\"{name}\":")).unwrap_or_default();
    rest.split([',', '}']).next().unwrap_or_default()
}

#[test]
fn the_audit_log_tells_which_credentials_have_signed_for_a_server() {
    let Some(rds) = Rds::start() else { return };
    let fake = FakeAws::start();
    fake.note_to(rds.keys());
    let (setup, _) = pooler(&rds, &fake, "");
    let pooler = setup.set("audit_log", "file").set("audit_file", "audit.log").start();
    let lines = |event: &str| -> Vec<String> {
        let text = std::fs::read_to_string(pooler.directory().join("audit.log")).unwrap_or_default();
        let mark = format!("\"event\":\"{event}\"");
        text.lines().filter(|line| line.contains(&mark)).map(str::to_owned).collect()
    };
    assert_eq!(whoami(&pooler, "app"), "app");
    wait_until("the login is told", || lines("server_login").len() == 1);
    let login = lines("server_login").remove(0);
    let (_, credential) = login.split_once("\"credential\":").expect("it is told");
    assert_eq!(
        ["source", "generation"].map(|name| field(credential, name)),
        ["\"container\"", "1"],
        "{login}"
    );
    let fetched = lines("credentials").remove(0);
    assert_eq!(
        ["source", "generation"].map(|name| field(&fetched, name)),
        ["\"container\"", "1"],
        "{fetched}"
    );
    secrets::none_in("the audit log", &[lines("server_login"), lines("credentials")].concat().join("\n"));
}

#[test]
fn a_pooler_without_credentials_that_it_needs_is_not_ready() {
    let Some(rds) = Rds::start() else { return };
    let fake = FakeAws::start();
    fake.note_to(rds.keys());
    fake.set(Container, "status=500");
    let (setup, port) = pooler(&rds, &fake, "");
    let pooler = setup.start();
    page::wait_for(port);
    let why = "not ready: no AWS credentials from source container: ";
    wait_until("it says why", || {
        page::get(port, "/ready").1.contains(why) && !fake.calls(Container).is_empty()
    });
    assert_eq!(page::get(port, "/ready").0, "HTTP/1.1 503 Service Unavailable");
    fake.set(Container, "");
    wait_until("it is ready", || page::get(port, "/ready") == ("HTTP/1.1 200 OK".into(), "ready\n".into()));
    let mut console = pooler.console();
    assert_eq!(console.simple("suspend").commands, ["SUSPEND"]);
    assert_eq!(page::get(port, "/ready").1, "not ready: suspended\n");
    assert_eq!(console.simple("resume").commands, ["RESUME"]);
    assert_eq!(page::get(port, "/ready").0, "HTTP/1.1 200 OK");
}

#[test]
fn a_database_is_ready_as_long_as_one_of_its_pools_can_be_served() {
    let Some(rds) = Rds::start() else { return };
    let fake = FakeAws::start();
    fake.note_to(rds.keys());
    let (setup, port) = pooler(&rds, &fake, "");
    let setup = setup.database_at("gone", "host=127.0.0.1 port=1 user=app");
    let pooler = setup.start();
    page::wait_for(port);
    let ready = |name: &str| {
        let answer = page::get(port, &format!("/ready?database={name}"));
        let is_ready = answer == ("HTTP/1.1 200 OK".into(), "ready\n".into());
        let served = page::value(port, &format!("pgweir_database_served{{database=\"{name}\"}}"));
        (is_ready, served.is_some_and(|served| served == 1.0), answer.1)
    };
    wait_until("there are credentials", || ready("app").0);
    assert_eq!(page::get(port, "/ready?database=nowhere").0, "HTTP/1.1 404 Not Found");
    assert!(ready("gone").0, "nobody has tried yet");
    attempt(&pooler, "app", "gone").unwrap_err();
    let (is_ready, is_served, why) = ready("gone");
    assert_eq!((is_ready, is_served), (false, false));
    assert!(why.starts_with("not ready: database \"gone\", user \"app\": "), "{why}");
    assert!(page::get(port, "/ready").0.contains(" 200 "), "the process can serve others");

    rds.behave("denied=reader");
    attempt(&pooler, "reader", "app").unwrap_err();
    let (is_ready, is_served, why) = ready("app");
    assert_eq!((is_ready, is_served), (false, false), "{why}");
    assert!(why.contains("user \"reader\": the token for role reader was refused"), "{why}");
    assert_eq!(whoami(&pooler, "app"), "app");
    assert_eq!((ready("app").0, ready("app").1), (true, true), "one of them works");

    let mut console = pooler.console();
    assert_eq!(console.simple("pause app").commands, ["PAUSE"]);
    assert_eq!(ready("app"), (false, false, "not ready: database \"app\" is paused\n".into()));
    assert_eq!(console.simple("resume app").commands, ["RESUME"]);
}

#[test]
fn servers_that_will_be_too_old_before_a_login_is_over_are_told() {
    let Some(rds) = Rds::start() else { return };
    let fake = FakeAws::start();
    fake.note_to(rds.keys());
    // A login takes three seconds of an age of ten.
    rds.behave("delay_ms=3000");
    let (setup, port) = pooler(&rds, &fake, "iam_max_age=10");
    let pooler = setup.start();
    let mut held = pooler.client();
    assert_eq!(held.simple("begin").status, Some(b'T'));
    let age = || row(&pooler, "app")["auth_age"].parse::<u64>().unwrap_or_default();
    let young = row(&pooler, "app");
    let took = young["login_ms_p99"].parse::<u64>().expect("it is known");
    assert!((3_000..9_000).contains(&took), "{young:?}");
    wait_until("its age will come before another login is over", || row(&pooler, "app")["sv_due"] == "1");
    assert!(age() >= 1 && age() <= 10);
    let labels = "{database=\"app\",user=\"app\"}";
    let of_pool = |name: &str| page::value(port, &format!("{name}{labels}"));
    assert_eq!(of_pool("pgweir_backend_auth_due_connections"), Some(1.0));
    wait_until("it is too old", || {
        let row = row(&pooler, "app");
        (&*row["sv_due"], &*row["sv_past_hard_age"]) == ("0", "1")
    });
    held.simple("commit");
}

/// What `--check FILE --iam` of these files says, and whether it finds all well.
fn check(setup: &PoolerSetup, iam: &str) -> (String, bool) {
    let output = setup.check(&[iam]);
    let said = programs::said(&output);
    secrets::none_in("the answer to --check --iam", &said);
    (said, output.status.success())
}

#[test]
fn check_iam_goes_the_whole_way_and_says_what_it_found() {
    let Some(rds) = Rds::start() else { return };
    let fake = FakeAws::start();
    let setup = rds.pooler().environment("AWS_ENDPOINT_URL_STS", fake.url());
    let (said, is_well) = check(&setup, "--iam=app");
    let tail = &KEY[KEY.len() - 4..];
    let who = format!("database \"app\" as app at {RDS_HOST}:{RDS_PORT} (source env): ");
    assert!(is_well, "{said}");
    assert!(
        said.contains(&format!("source env: credentials from env, key ****{tail}, do not expire\n")),
        "{said}"
    );
    assert!(said.contains("source env: principal arn:aws:"), "{said}");
    assert!(said.contains(&format!("{who}logged in (127.0.0.1:{})\n", rds.port)), "{said}");
    assert_eq!(rds.codes("app"), [200]);
    wait_until("the session is ended", || rds.backends("app").is_empty());

    let (said, is_well) = check(&setup, "--iam");
    assert!(
        is_well && said.contains("not tried, since the entry names no user; name one: --iam=USER"),
        "{said}"
    );
    assert_eq!(rds.codes("app").len(), 1);
}

#[test]
fn check_iam_fails_with_the_next_step() {
    let Some(rds) = Rds::start() else { return };
    // Nobody listens there: STS cannot be reached.
    let setup = rds.pooler().environment("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1");
    rds.behave("denied=app");
    let (said, is_well) = check(&setup, "--iam=app");
    assert!(!is_well);
    assert!(said.contains("source env: principal not known: STS GetCallerIdentity: no connection"), "{said}");
    assert!(said.contains("FAILED: the token for role app was refused"), "{said}");
    assert!(said.contains("check rds-db:connect for dbuser app"), "{said}");

    rds.psql("postgres", "revoke rds_iam from app");
    let (said, is_well) = check(&setup, "--iam=app");
    assert!(!is_well && said.contains("run: GRANT rds_iam TO \"app\""), "{said}");

    let authorities = [certs().ca(), certs().other_ca()].map(|path| path.display().to_string());
    let text = rds.database().replace(&authorities[0], &authorities[1]);
    let untrusted = setup.clone().database_at("app", &format!("{text} iam_credential_source=env"));
    let (said, is_well) = check(&untrusted, "--iam=reader");
    assert!(!is_well && said.contains("check server_tls_ca_file and tls_server_name"), "{said}");
    assert!(said.contains("no token was sent: TLS handshake failed: certificate verify failed"), "{said}");

    let lost =
        setup.clone().database_at("app", &format!("{} iam_credential_source=container", rds.database()));
    let (said, is_well) = check(&lost, "--iam=app");
    assert!(!is_well && said.contains("source container: FAILED: no credentials: "), "{said}");
    assert!(said.contains("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), "the hint: {said}");

    let text = format!("{} iam_credential_source=default", rds.database());
    let half = setup.database_at("app", &text).environment("AWS_SECRET_ACCESS_KEY", "");
    let (said, is_well) = check(&half, "--iam=app");
    let expected = "source default: FAILED: no credentials from env: ";
    assert!(!is_well && said.contains(expected), "which of the chain has answered so: {said}");
}
