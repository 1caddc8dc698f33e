//! Logins with tokens: good ones whoever the role is, and each way in which they go wrong (cases 1 to 4 and 20).

use crate::common::certs::{RDS_HOST, certs};
use crate::common::raw::{self, Raw};
use crate::common::{secrets, wait_until};
use crate::rig::{KEY, LONG_USER, ODD_USER, RDS_PORT, REGION, Rds, SECRET, attempt, whoami};
use std::time::{Duration, Instant};

#[test]
fn clients_share_servers_that_were_logged_in_to_with_fresh_tokens() {
    let Some(rds) = Rds::start() else { return };
    let pooler = rds.pooler().start();
    let mut clients: Vec<_> = (0..10).map(|_| pooler.client()).collect();
    for client in &mut clients {
        assert_eq!(client.simple("select current_user").value(), "app");
    }
    let tls = clients[0].simple("select ssl from pg_stat_ssl where pid = pg_backend_pid()").value();
    assert_eq!(tls, "t");
    let verdicts = rds.verdicts();
    assert!(!verdicts.is_empty() && verdicts.len() < 10, "they share: {verdicts:?}");
    for verdict in verdicts {
        assert_eq!((verdict.code, verdict.key.as_str()), (200, KEY), "{verdict:?}");
        assert!(verdict.age_s.is_some_and(|age| (-1.0..60.0).contains(&age)), "{verdict:?}");
    }
}

#[test]
fn names_of_roles_are_encoded_and_long_session_tokens_sent_whole() {
    let Some(rds) = Rds::start() else { return };
    let session = format!("{}//+=", secrets::MARK).repeat(260);
    rds.add_key("ASIALONG", SECRET, &session, "-");
    let pooler = rds
        .pooler()
        .environment("AWS_ACCESS_KEY_ID", "ASIALONG")
        .environment("AWS_SESSION_TOKEN", &session)
        .set("default_pool_size", 1)
        .start();
    for user in ["app", "reader", ODD_USER, LONG_USER] {
        assert_eq!(whoami(&pooler, user), user);
        assert_eq!(rds.codes(user), [200], "{user}");
    }
}

#[test]
fn a_forced_user_logs_in_for_all_clients() {
    let Some(rds) = Rds::start() else { return };
    let pooler = rds
        .pooler()
        .database_at("app", &format!("{} iam_credential_source=env user=reader", rds.database()))
        .set("default_pool_size", 1)
        .start();
    assert_eq!(whoami(&pooler, "app"), "reader");
    assert_eq!((rds.codes("reader"), rds.codes("app")), (vec![200], vec![]));
}

#[test]
fn any_database_logs_in_by_a_template() {
    let Some(rds) = Rds::start() else { return };
    let template = rds.database().replace(" dbname=app", "");
    let pooler = rds.pooler().database_at("*", &format!("{template} iam_credential_source=env")).start();
    assert_eq!(attempt(&pooler, "app", "postgres").as_deref(), Ok("app"));
}

#[test]
fn one_refused_token_is_followed_by_a_fresh_one_at_once() {
    let Some(rds) = Rds::start() else { return };
    for (times, codes) in [(1, &[500, 200][..]), (2, &[500, 500, 200])] {
        // a source that was asked a moment ago is not asked again at once, only waited for
        let pooler = rds.pooler().set("query_wait_timeout", 15).set("default_pool_size", 1).start();
        let before = rds.codes("app").len();
        rds.behave(&format!("fault=1\ntimes={times}"));
        let begun = Instant::now();
        assert_eq!(whoami(&pooler, "app"), "app", "the client notices nothing");
        assert_eq!(rds.codes("app")[before..], *codes);
        assert!(begun.elapsed() < Duration::from_secs(10), "server_login_retry is not waited for");
    }
}

#[test]
fn a_token_for_the_wrong_region_is_refused_and_the_region_named() {
    let Some(rds) = Rds::start() else { return };
    let text = format!("{} iam_credential_source=env iam_region=eu-west-1", rds.database());
    let pooler = rds.pooler().database_at("app", &text).start();
    let error = attempt(&pooler, "app", "app").unwrap_err();
    assert!(!error.contains("hUsH"), "{error}");
    pooler.wait_for_log("was refused");
    pooler.wait_for_log("region eu-west-1");
    pooler.wait_for_log(&format!("endpoint {RDS_HOST}:{RDS_PORT}"));
    assert!(pooler.log().contains("iam_region differs from the region in the host name"), "said at load");
    let verdicts = rds.verdicts();
    assert!(verdicts.iter().all(|verdict| verdict.code == 400), "{verdicts:?}");
    assert!(verdicts[0].reason.contains("eu-west-1"), "{verdicts:?}");
}

#[test]
fn a_token_for_an_alias_is_refused_and_the_alias_warned_of() {
    let Some(rds) = Rds::start() else { return };
    let text = format!(
        "host=localhost port={} dbname=app server_auth=rds_iam iam_region={REGION} iam_credential_source=env \
         server_tls_ca_file={}",
        rds.port,
        certs().ca().display()
    );
    let pooler = rds.pooler().database_at("app", &text).start();
    pooler.wait_for_log("not the name of an RDS endpoint");
    attempt(&pooler, "app", "app").unwrap_err();
    let verdicts = rds.verdicts();
    assert!(verdicts.iter().all(|verdict| verdict.code == 400), "{verdicts:?}");
    assert_eq!(verdicts[0].reason, format!("InvalidToken: made for localhost:{}", rds.port));
}

#[test]
fn a_wrong_key_is_tried_less_and_less_often_and_told_once() {
    let Some(rds) = Rds::start() else { return };
    let pooler = rds.pooler().environment("AWS_SECRET_ACCESS_KEY", "hUsHhUsH-another").start();
    let begun = Instant::now();
    let mut asked = 0;
    while begun.elapsed() < Duration::from_secs(6) {
        attempt(&pooler, "app", "app").unwrap_err();
        asked += 1;
    }
    let verdicts = rds.verdicts();
    assert!(verdicts.iter().all(|verdict| verdict.reason == "NotAuthorized: signature"), "{verdicts:?}");
    assert!((2..=8).contains(&verdicts.len()), "{asked} clients came: {verdicts:?}");
    let log = pooler.log();
    let told = log.lines().filter(|line| line.contains("login by IAM failed")).count();
    assert_eq!(told, 1, "{} logins:\n{log}", verdicts.len());
}

#[test]
fn clocks_that_disagree_are_told_as_such() {
    use crate::fake::{FakeAws, Service::Imds};
    let Some(rds) = Rds::start() else { return };
    for minutes in [5, -5, 20, -20] {
        let fake = FakeAws::start();
        fake.note_to(rds.keys());
        // AWS's clocks agree with each other; ours is the one that is off
        let ahead_s: i64 = minutes * 60;
        fake.set(Imds, &format!("ahead_s={ahead_s}"));
        rds.behave(&format!("ahead_s={}", ahead_s - ahead_s.signum() * 5));
        let pooler = rds
            .bare_pooler()
            .database_at("app", &format!("{} iam_credential_source=imds", rds.database()))
            .environment("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake.url())
            .start();
        if i64::abs(minutes) == 5 {
            assert_eq!(whoami(&pooler, "app"), "app", "{minutes} minutes are borne");
            continue;
        }
        attempt(&pooler, "app", "app").unwrap_err();
        pooler.wait_for_log("because the clocks disagree");
        pooler.wait_for_log("synchronise this machine's clock");
        rds.behave("");
        wait_until("tokens are good again", || attempt(&pooler, "app", "app").is_ok());
    }
}

#[test]
fn a_cancel_request_takes_the_same_way() {
    let Some(rds) = Rds::start() else { return };
    let pooler = rds.pooler().start();
    let mut client = pooler.client();
    client.send(&raw::query("select pg_sleep(60)"));
    let sleeps = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
    wait_until("it sleeps", || rds.psql("postgres", sleeps) == "1");
    Raw::tcp(pooler.port).send(&raw::cancel_request(&client.key));
    assert_eq!(client.outcome().errors, ["ERROR 57014: canceling statement due to user request"]);
    assert_eq!(client.simple("select current_user").value(), "app");
}
