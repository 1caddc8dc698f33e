//! Logins with tokens: good ones whoever the role is, and each way in which they go
//! wrong (cases 1 to 4 and 20).

use crate::cases::{Case, Server};
use crate::common::certs::{RDS_HOST, certs};
use crate::common::raw::{self, Raw};
use crate::common::skip::skip;
use crate::common::story::{SOME, Story};
use crate::common::{account, reaper, secrets, wait_until};
use crate::rig::{
    KEY, LONG_USER, ODD_USER, RDS_PORT, REGION, Rds, SECRET, attempt, preloaded, refused_with, whoami,
};
use std::time::{Duration, Instant};

/// Tokens were refused, and no reason is known but that the principal may not.
fn denied() -> Story<'static> {
    Story {
        class: "denied",
        ok: 0..=0,
        failed: &[("denied", SOME)],
        stance: "keep_to_hard_age",
        ..Story::FINE
    }
}

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
    let case = Case::of(&rds, &pooler);
    for user in ["app", "reader", ODD_USER, LONG_USER] {
        assert_eq!(whoami(&pooler, user), user);
        let told = case.is(&Story { user, ok: 1..=1, ..Story::FINE }, &Server::FINE);
        assert_eq!(told.row["key_tail"], "LONG", "of the key there is no more to see");
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
fn an_expired_token_is_followed_by_a_fresh_one_at_once() {
    let Some(rds) = Rds::start() else { return };
    let pooler = rds.pooler().set("default_pool_size", 1).start();
    let case = Case::of(&rds, &pooler);
    rds.behave("ahead_s=1000\ntimes=1");
    assert_eq!(whoami(&pooler, "app"), "app", "the client notices nothing");
    let server = Server { refused: &["ExpiredToken"], log: &["pam_authenticate failed: Permission denied"] };
    case.is(&Story { ok: 1..=1, failed: &[("denied", 1..=1)], ..Story::FINE }, &server);
    assert_eq!(rds.codes("app"), [400, 200]);
}

#[test]
fn one_refused_token_is_followed_by_a_fresh_one_at_once() {
    let Some(rds) = Rds::start() else { return };
    for (times, codes) in [(1, &[500, 200][..]), (2, &[500, 500, 200])] {
        // A source that was asked a moment ago is not asked again at once, only waited for.
        let pooler = rds.pooler().set("query_wait_timeout", 15).set("default_pool_size", 1).start();
        let (before, case) = (rds.codes("app").len(), Case::of(&rds, &pooler));
        rds.behave(&format!("fault=1\ntimes={times}"));
        let begun = Instant::now();
        assert_eq!(whoami(&pooler, "app"), "app", "the client notices nothing");
        assert_eq!(rds.codes("app")[before..], *codes);
        assert!(begun.elapsed() < Duration::from_secs(10), "server_login_retry is not waited for");
        let story = Story { ok: 1..=1, failed: &[("denied", times..=times)], ..Story::FINE };
        case.is(&story, &Server { refused: &["InternalError"], ..Server::FINE });
    }
}

#[test]
fn a_token_for_the_wrong_region_is_refused_and_the_region_named() {
    let Some(rds) = Rds::start() else { return };
    let text = format!("{} iam_credential_source=env iam_region=eu-west-1", rds.database());
    let pooler = rds.pooler().database_at("app", &text).start();
    let case = Case::of(&rds, &pooler);
    let error = attempt(&pooler, "app", "app").unwrap_err();
    assert!(!error.contains("hUsH"), "{error}");
    let endpoint = format!("endpoint {RDS_HOST}:{RDS_PORT}");
    let why =
        "FATAL 28000: the token for role app was refused, probably because the principal has no permission";
    refused_with(&pooler, "app", "app", &format!("{why} ({endpoint})"));
    pooler.wait_for_log(&format!("{endpoint}, region eu-west-1"));
    let story = Story { last_error: "region eu-west-1", ..denied() };
    let told = case.is(&story, &Server { refused: &["InvalidToken: scope"], ..Server::FINE });
    assert_eq!(told.row["region"], "eu-west-1", "the one that was used");
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
    let case = Case::of(&rds, &pooler);
    pooler.wait_for_log("not the name of an RDS endpoint");
    let endpoint = format!("localhost:{}", rds.port);
    refused_with(
        &pooler,
        "app",
        "app",
        &format!(
            "the token for role app was refused, probably because the principal has no permission (endpoint \
             {endpoint})"
        ),
    );
    let story = Story { last_error: "and that localhost is RDS's own name of it", ..denied() };
    let reason = format!("InvalidToken: made for {endpoint}");
    let told = case.is(&story, &Server { refused: &[&reason], ..Server::FINE });
    assert_eq!(told.row["endpoint"], endpoint);
}

#[test]
fn a_wrong_key_is_tried_less_and_less_often_and_told_once() {
    let Some(rds) = Rds::start() else { return };
    let pooler = rds.pooler().environment("AWS_SECRET_ACCESS_KEY", "hUsHhUsH-another").start();
    let (case, begun) = (Case::of(&rds, &pooler), Instant::now());
    let mut asked = 0;
    while begun.elapsed() < Duration::from_secs(6) {
        attempt(&pooler, "app", "app").unwrap_err();
        asked += 1;
    }
    refused_with(&pooler, "app", "app", "FATAL 28000: the token for role app was refused");
    let story = Story { last_error: "check rds-db:connect for dbuser app", ..denied() };
    case.is(&story, &Server { refused: &["NotAuthorized: signature"], ..Server::FINE });
    let verdicts = rds.verdicts();
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
        // AWS's clocks agree with each other; ours is the one that is off.
        let ahead_s: i64 = minutes * 60;
        fake.set(Imds, &format!("ahead_s={ahead_s}"));
        rds.behave(&format!("ahead_s={}", ahead_s - ahead_s.signum() * 5));
        let pooler = rds
            .bare_pooler()
            .database_at("app", &format!("{} iam_credential_source=imds", rds.database()))
            .environment("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake.url())
            .start();
        let case = Case::of(&rds, &pooler);
        let side = if minutes > 0 { "behind" } else { "ahead of" };
        pooler.wait_for_log(&format!("s {side} AWS's, so that RDS may refuse tokens: synchronise it"));
        let fine = Story { skew_s: Some(ahead_s - 2..=ahead_s + 2), ..Story::FINE };
        if i64::abs(minutes) == 5 {
            assert_eq!(whoami(&pooler, "app"), "app", "{minutes} minutes are borne");
            case.is(&fine, &Server::FINE);
            continue;
        }
        refused_with(
            &pooler,
            "app",
            "app",
            "FATAL 08006: query_wait_timeout: the token for role app was refused",
        );
        let over = Story { failed: &[("clock", SOME)], ..fine };
        let off = Story {
            class: "clock",
            last_error: "because the clocks disagree",
            ok: 0..=0,
            stance: "keep_on",
            ..over.clone()
        };
        let server = Server {
            refused: &[if minutes > 0 { "ExpiredToken" } else { "InvalidToken: from the future" }],
            ..Server::FINE
        };
        let told = case.is(&off, &server);
        assert!(told.row["last_error"].ends_with("; synchronise this machine's clock"), "{told:?}");
        pooler.wait_for_log("because the clocks disagree");
        rds.behave("");
        wait_until("tokens are good again", || attempt(&pooler, "app", "app").is_ok());
        case.is(&over, &server);
    }
}

#[test]
fn a_clock_that_is_set_wrong_is_told_without_an_answer_of_aws() {
    let library = match preloaded("tests/rds/clock.c") {
        Ok(library) => library,
        Err(why) => return skip(&why).unwrap_or(()),
    };
    let Some(rds) = Rds::start() else { return };
    for minutes in [20, -20] {
        let offset = reaper::directory().join(format!("clock-{minutes}"));
        account::write(&offset, "0", 0o644);
        let pooler = rds
            .pooler()
            .database_at("beside", &format!("{} iam_credential_source=env", rds.database()))
            .environment("LD_PRELOAD", library.display().to_string())
            .environment("CLOCK_FILE", offset.display().to_string())
            .start();
        assert_eq!(attempt(&pooler, "app", "app").as_deref(), Ok("app"));
        account::write(&offset, (minutes * 60).to_string(), 0o644);
        const WHY: &str = "FATAL 08006: query_wait_timeout: the token for role app was refused, probably \
            because the clocks";
        refused_with(&pooler, "app", "beside", WHY);
        pooler.wait_for_log("; synchronise this machine's clock");
        let rows = pooler.ask("show iam").records();
        let row = rows.iter().find(|row| row["user"] == "app").expect("it has logged in");
        assert_eq!(
            (&*row["class"], &*row["logins_denied"], &*row["stance"]),
            ("clock", "0", "keep_on"),
            "{row:?}"
        );
        account::write(&offset, "0", 0o644);
        wait_until("tokens are good again", || attempt(&pooler, "app", "beside").is_ok());
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
