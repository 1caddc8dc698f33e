//! Replication clients whose servers are logged in to by IAM: each by a token of its own, and for as long as
//! it stays. Roles may replicate where RDS has granted them `rds_replication`; here by `REPLICATION`.

use crate::cases::{Case, Server};
use crate::common::raw::{self, Raw};
use crate::common::story::{SOME, Story};
use crate::common::{Pooler, wait_until};
use crate::rig::{Rds, whoami};

/// A rig whose role `app` may replicate.
fn start() -> Option<Rds> {
    let rds = Rds::start()?;
    rds.psql("postgres", "alter role app replication");
    Some(rds)
}

/// A replication client of `app`, before its welcome.
fn begin(pooler: &Pooler, user: &str) -> Raw {
    let mut raw = Raw::tcp(pooler.port);
    raw.startup(&[("user", user), ("database", "app"), ("replication", "database")]);
    raw
}

fn log_in(pooler: &Pooler) -> Raw {
    let mut raw = begin(pooler, "app");
    assert_eq!(raw.outcome().status, Some(b'I'));
    raw
}

/// Walsenders of `app`, all of which came over TLS.
fn walsenders(rds: &Rds) -> String {
    let sql = "select count(*) from pg_stat_activity join pg_stat_ssl using (pid) \
               where usename = 'app' and backend_type = 'walsender' and ssl";
    rds.psql("postgres", sql)
}

#[test]
fn each_is_logged_in_to_by_a_token_of_its_own() {
    let Some(rds) = start() else { return };
    let pooler = rds.pooler().start();
    let case = Case::of(&rds, &pooler);
    let mut both = [log_in(&pooler), log_in(&pooler)];
    for own in &mut both {
        assert_eq!(own.simple("select current_user").value(), "app");
    }
    assert_eq!(walsenders(&rds), "2");
    case.is(&Story { ok: 2..=2, ..Story::FINE }, &Server::FINE);
    assert_eq!(rds.codes("app"), [200, 200]);
    drop(both);
    wait_until("their servers are gone", || walsenders(&rds) == "0");
}

#[test]
fn a_refused_token_is_followed_by_a_fresh_one_at_once() {
    let Some(rds) = start() else { return };
    let pooler = rds.pooler().start();
    let case = Case::of(&rds, &pooler);
    rds.behave("ahead_s=1000\ntimes=1");
    let mut own = log_in(&pooler);
    assert_eq!(own.simple("IDENTIFY_SYSTEM").rows.len(), 1, "the client notices nothing");
    let server = Server { refused: &["ExpiredToken"], log: &["pam_authenticate failed: Permission denied"] };
    case.is(&Story { ok: 1..=1, failed: &[("denied", 1..=1)], ..Story::FINE }, &server);
    assert_eq!(rds.codes("app"), [400, 200]);
}

#[test]
fn a_role_that_is_denied_is_told_why_and_one_that_may_not_replicate_is_so_alone() {
    let Some(rds) = start() else { return };
    let pooler = rds.pooler().start();
    let words = begin(&pooler, "reader").last_words();
    assert_eq!(words, "FATAL 08P01: login failed");
    pooler.wait_for_log("must be superuser or replication role to start walsender");
    assert_eq!(whoami(&pooler, "reader"), "reader", "the pool's other clients hear nothing of it");
    let case = Case::of(&rds, &pooler);
    rds.behave("denied=app");
    let words = begin(&pooler, "app").last_words();
    assert!(words.starts_with("FATAL 28000: the token for role app was refused"), "{words}");
    let story = Story {
        class: "denied",
        last_error: "role app",
        ok: 0..=0,
        failed: &[("denied", SOME)],
        stance: "keep_to_hard_age",
        ..Story::FINE
    };
    case.is(&story, &Server { refused: &["NotAuthorized"], ..Server::FINE });
    rds.behave("");
    wait_until("it is served again", || begin(&pooler, "app").outcome().status.is_some());
}

#[test]
fn one_whose_login_takes_too_long_says_nothing_of_the_others() {
    let Some(rds) = start() else { return };
    let pooler = rds.pooler().set("iam_login_timeout", 1).start();
    let mut stuck = Raw::tcp(pooler.port);
    let login = [("user", "app"), ("database", "app"), ("replication", "database")];
    stuck.startup(&[&login[..], &[("options", "-c post_auth_delay=5")]].concat());
    pooler.wait_for_log("new connection to server");
    let mut other = begin(&pooler, "app");
    assert_eq!(other.outcome().status, Some(b'I'));
    assert_eq!(whoami(&pooler, "app"), "app");
    let log = pooler.log();
    assert!(log.contains("closing because: connect timeout"), "{log}");
    assert!(!log.contains("login by IAM failed"), "it is not IAM that failed: {log}");
}

#[test]
fn a_stream_goes_on_beyond_its_servers_age() {
    let Some(rds) = start() else { return };
    let text = format!("{} iam_credential_source=env iam_max_age=10", rds.database());
    let pooler = rds.pooler().database_at("app", &text).start();
    let mut own = log_in(&pooler);
    own.simple("CREATE_REPLICATION_SLOT old TEMPORARY LOGICAL test_decoding");
    own.send(&raw::query("START_REPLICATION SLOT old LOGICAL 0/0"));
    assert_eq!(own.read().map(|frame| frame.tag), Some(b'W'), "CopyBothResponse");
    pooler.wait_for_log("authorization expired; kept until the session ends");
    rds.psql("app", "select pg_logical_emit_message(true, '', 'late')");
    let mut hears = || own.read().is_some_and(|frame| frame.tag == b'd');
    assert!(hears(), "the stream goes on");
    own.send(&raw::frame(b'c', &[]));
    assert!(own.outcome().tags.ends_with("CCZ"));
    assert_eq!(own.simple("select 1").value(), "1", "and so does the session");
    assert_eq!(rds.codes("app"), [200], "nothing was renewed for it");
    assert_eq!(pooler.log().matches("authorization expired; kept").count(), 1, "told once");
}
