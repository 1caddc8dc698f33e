//! No token but into a request for one, inside TLS with the very server (cases 14 to 17). Here the verifier
//! hears of none; that not a byte leaves is what the tests with a recording server show.

use crate::cases::{Case, Server};
use crate::common::PoolerSetup;
use crate::common::certs::{RDS_HOST, certs};
use crate::common::story::{SOME, Story};
use crate::rig::{Rds, refused_with};

const NO_TLS: &str = "FATAL 08006: query_wait_timeout: no verified TLS with the server; no token was sent";

/// A pooler whose database has these words in place of others.
fn with(rds: &Rds, from: &str, to: &str) -> PoolerSetup {
    let text = format!("{} iam_credential_source=env", rds.database());
    assert!(text.contains(from), "{text}");
    rds.pooler().database_at("app", &text.replace(from, to))
}

/// Clients hear `words`, the pooler and PostgreSQL tell why, and the verifier hears of no token.
fn refuses(rds: &Rds, setup: PoolerSetup, words: &str, story: &Story<'_>, log: &[&str]) {
    let pooler = setup.start();
    let case = Case::of(rds, &pooler);
    refused_with(&pooler, story.user, "app", words);
    pooler.wait_for_log(story.last_error);
    case.is(story, &Server { log, ..Server::FINE });
    assert_eq!(rds.asked(story.user), 0, "{words}");
}

#[test]
fn another_authority_or_another_name_sees_no_token() {
    let Some(rds) = Rds::start() else { return };
    let (ca, other) = (certs().ca().display().to_string(), certs().other_ca().display().to_string());
    refuses(&rds, with(&rds, &ca, &other), NO_TLS, &Story::UNTRUSTED, &["could not accept SSL connection"]);
    let (name, elsewhere) = (format!("tls_server_name={RDS_HOST}"), "tls_server_name=elsewhere.example");
    refuses(
        &rds,
        with(&rds, &name, elsewhere),
        NO_TLS,
        &Story::UNTRUSTED,
        &["could not accept SSL connection"],
    );
}

#[test]
fn a_server_without_tls_sees_no_token() {
    let Some(rds) = Rds::start_with("ssl = off") else { return };
    let usual = with(&rds, "server_auth", "server_auth");
    refuses(&rds, usual, NO_TLS, &Story::UNTRUSTED, &["connection received"]);
}

#[test]
fn a_request_for_another_proof_gets_no_token() {
    let Some(rds) = Rds::start() else { return };
    let usual = with(&rds, "server_auth", "server_auth").user("plain", "");
    const WHY: &str = "FATAL 28000: role plain is not a member of rds_iam: the server asked for SCRAM";
    let story = Story {
        user: "plain",
        class: "denied",
        last_error: "; run: GRANT rds_iam TO \"plain\"",
        failed: &[("denied", SOME)],
        stance: "keep_to_hard_age",
        ..Story::UNTRUSTED
    };
    refuses(&rds, usual, WHY, &story, &["connection received"]);
}

#[test]
fn a_weaker_mode_is_an_error_of_the_file() {
    let Some(rds) = Rds::start() else { return };
    for mode in ["disable", "allow", "prefer", "require", "verify-ca"] {
        let mut pooler = rds.pooler().set("server_tls_sslmode", mode).launch();
        assert!(!pooler.wait().success(), "{mode}");
        let log = pooler.log();
        assert!(log.contains("verify-full") && log.contains("pgweir.ini"), "{mode}: {log}");
    }
}
