//! No token but into a request for one, inside TLS with the very server (cases 14 to 17). Here the verifier hears of none; that not a
//! byte leaves is what the tests with a recording server show.

use crate::common::PoolerSetup;
use crate::common::certs::{RDS_HOST, certs};
use crate::rig::{Rds, attempt};

/// A pooler whose database has these words in place of others.
fn with(rds: &Rds, from: &str, to: &str) -> PoolerSetup {
    let text = format!("{} iam_credential_source=env", rds.database());
    assert!(text.contains(from), "{text}");
    rds.pooler().database_at("app", &text.replace(from, to))
}

fn refuses(rds: &Rds, setup: PoolerSetup, user: &str, words: &str) {
    let pooler = setup.start();
    attempt(&pooler, user, "app").expect_err("it must not be served");
    pooler.wait_for_log(words);
    assert!(rds.verdicts().is_empty(), "{words}: {:?}", rds.verdicts());
}

#[test]
fn another_authority_or_another_name_sees_no_token() {
    let Some(rds) = Rds::start() else { return };
    const UNTRUSTED: &str = "no verified TLS with the server; no token was sent";
    let (ca, other) = (certs().ca().display().to_string(), certs().other_ca().display().to_string());
    refuses(&rds, with(&rds, &ca, &other), "app", UNTRUSTED);
    let name = format!("tls_server_name={RDS_HOST}");
    refuses(&rds, with(&rds, &name, "tls_server_name=elsewhere.example"), "app", UNTRUSTED);
}

#[test]
fn a_server_without_tls_sees_no_token() {
    let Some(rds) = Rds::start_with("ssl = off") else { return };
    let usual = with(&rds, "server_auth", "server_auth");
    refuses(&rds, usual, "app", "no verified TLS with the server; no token was sent");
}

#[test]
fn a_request_for_another_proof_gets_no_token() {
    let Some(rds) = Rds::start() else { return };
    let usual = || with(&rds, "server_auth", "server_auth").user("plain", "");
    refuses(&rds, usual(), "plain", "role plain is not a member of rds_iam: the server asked for SCRAM");
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
