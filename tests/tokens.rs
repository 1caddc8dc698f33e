//! Where tokens go, and where not a byte of one goes: the whole program against a server that
//! records all that it is sent.
//!
//! The server speaks as much of the protocol as a login needs, does what its test tells it, and keeps every
//! byte that comes in, inside TLS and outside. Tokens are only looked at, never verified: that is the matter
//! of the tests against a real PostgreSQL.

#[path = "common/mod.rs"]
mod common;
#[path = "tokens/recorder.rs"]
mod recorder;
#[path = "tokens/reloads.rs"]
mod reloads;

use common::certs::{RDS_HOST, certs};
use common::raw::{Outcome, Raw};
use common::story::{SOME, Story};
use common::{Pooler, PoolerSetup, secrets, wait_until};
use recorder::*;
use std::path::Path;
use std::time::{Duration, Instant};

/// What a client hears that logs in and asks something.
fn ask(pooler: &Pooler) -> Result<Outcome, String> {
    let mut raw = Raw::tcp(pooler.port);
    raw.startup(&[("user", "app"), ("database", "app")]);
    let outcome = raw.outcome();
    match outcome.errors.first() {
        Some(error) => Err(error.clone()),
        None => Ok(raw.simple("select 1")),
    }
}

fn end(pooler: Pooler) {
    secrets::none_in("the log", &pooler.log());
}

#[test]
fn a_verified_server_that_asks_gets_a_token_of_its_own() {
    let server = Recorder::usual(&[Reply::Accept]);
    let pooler = server.pooler("").start();
    assert!(ask(&pooler).unwrap().errors.is_empty());
    let tokens = server.tokens();
    assert_eq!(tokens.len(), 1);
    assert!(
        tokens[0].starts_with(&format!("{RDS_HOST}:5432/?Action=connect&DBUser=app&")),
        "the endpoint's own"
    );
    assert!(tokens[0].contains("eu-central-1%2Frds-db%2Faws4_request"));
    let said = server.visits()[0].text();
    assert!(said.contains("user\0app\0database\0app\0"), "{said:?}");
    end(pooler);
}

/// Nobody is sent a token who is not proven to be the endpoint; clients learn why when their time is over.
fn sends_nothing(behaviour: Behaviour, ca: &Path) {
    let server = Recorder::start(behaviour);
    let own = format!("server_tls_ca_file={}", ca.display());
    let pooler = server.pooler(&own).set("query_wait_timeout", 2).start();
    let error = ask(&pooler).expect_err("no server");
    assert!(
        error.starts_with(
            "FATAL 08006: query_wait_timeout: no verified TLS with the server; no token was sent"
        ),
        "{error}"
    );
    assert!(!server.visits().is_empty(), "it was called");
    Story::UNTRUSTED.told_by(&pooler);
    server.assert_no_token();
    end(pooler);
}

#[test]
fn another_authority_sees_no_token() {
    sends_nothing(
        Behaviour { tls: rds_tls(), asks: CLEARTEXT, replies: vec![Reply::Accept] },
        &certs().other_ca(),
    );
}

#[test]
fn a_server_without_tls_sees_no_token() {
    sends_nothing(Behaviour { tls: None, asks: CLEARTEXT, replies: vec![Reply::Accept] }, &certs().ca());
}

#[test]
fn another_name_sees_no_token() {
    let tls = tls(&certs().stranger(), &certs().stranger_key());
    sends_nothing(Behaviour { tls, asks: CLEARTEXT, replies: vec![Reply::Accept] }, &certs().ca());
}

#[test]
fn a_request_for_another_proof_gets_no_token() {
    for (asks, words) in [
        (SASL, "role app is not a member of rds_iam: the server asked for SCRAM"),
        (MD5, "role app is not a member of rds_iam: the server asked for md5"),
        (OK, "the server let role app in without asking for a token"),
    ] {
        let server = Recorder::start(Behaviour { tls: rds_tls(), asks, replies: vec![Reply::Accept] });
        let pooler = server.pooler("").start();
        let error = ask(&pooler).unwrap_err();
        assert!(error.starts_with(&format!("FATAL 28000: {words} (endpoint {RDS_HOST}:5432")), "{error}");
        server.assert_no_token();
        assert_eq!(server.visits().len(), 1, "what a new token cannot cure is not tried again at once");
        pooler.wait_for_log(words);
        let story = Story {
            class: "denied",
            last_error: words,
            ok: 0..=0,
            failed: &[("denied", SOME)],
            stance: "keep_to_hard_age",
            ..Story::FINE
        };
        story.told_by(&pooler);
        end(pooler);
    }
}

#[test]
fn a_refused_token_is_followed_by_a_fresh_one_and_clients_notice_nothing() {
    let server = Recorder::usual(&[Reply::Refuse, Reply::Accept]);
    let pooler = server.pooler("").start();
    assert!(ask(&pooler).unwrap().errors.is_empty());
    assert_eq!(server.tokens().len(), 2);
    pooler.wait_for_log("logins by IAM as role app succeed again");
    end(pooler);
}

#[test]
fn a_user_that_is_denied_is_told_and_tried_again_with_pauses() {
    let server = Recorder::usual(&[Reply::Refuse, Reply::Refuse, Reply::Refuse, Reply::Accept]);
    let pooler = server.pooler("").start();
    let error = ask(&pooler).unwrap_err();
    let why = "the token for role app was refused, probably because the principal has no permission";
    assert!(error.starts_with(&format!("FATAL 28000: {why}")), "{error}");
    assert_eq!(server.tokens().len(), 3, "a fresh token, fresh credentials");
    wait_until("it is let in again without a reload", || ask(&pooler).is_ok());
    let log = pooler.log();
    assert_eq!(log.matches("login by IAM failed (denied)").count(), 1, "told once: {log}");
    assert!(log.contains("check rds-db:connect for dbuser app"), "{log}");
    end(pooler);
}

#[test]
fn a_server_that_hangs_up_over_a_token_is_waited_for() {
    let server = Recorder::usual(&[Reply::HangUp, Reply::Accept]);
    let pooler = server.pooler("").start();
    assert!(ask(&pooler).unwrap().errors.is_empty(), "it was slow once");
    let gone = Recorder::usual(&[Reply::HangUp]);
    let pooler = gone.pooler("").set("query_wait_timeout", 2).start();
    let error = ask(&pooler).unwrap_err();
    let why = "the server closed the connection while it checked the token of role app";
    assert!(error.starts_with(&format!("FATAL 08006: query_wait_timeout: {why}")), "{error}");
    end(pooler);
}

#[test]
fn without_credentials_the_pooler_starts_and_clients_learn_why_they_waited() {
    let server = Recorder::usual(&[Reply::Accept]);
    let setup = server.pooler("iam_credential_source=container").set("query_wait_timeout", 2);
    let pooler = setup.environment("AWS_CONTAINER_CREDENTIALS_FULL_URI", "").start();
    let error = ask(&pooler).unwrap_err();
    assert!(
        error.starts_with(
            "FATAL 08006: query_wait_timeout: no AWS credentials: no credentials found, source container"
        ),
        "{error}"
    );
    assert!(server.visits().is_empty(), "no use to knock without a token");
    let closings = pooler.log().matches("closing because: no AWS credentials").count();
    assert_eq!(closings, 1, "one line, not one a second: {}", pooler.log());
    end(pooler);
}

#[test]
fn a_dead_host_of_a_list_costs_no_login() {
    let server = Recorder::usual(&[Reply::Accept]);
    for balance in ["round-robin", "disable"] {
        let more = format!("host=127.0.0.2,127.0.0.1 load_balance_hosts={balance}");
        // The dead one listens nowhere: the recorder's port on another address of the loopback network.
        let pooler = server.pooler(&more).start();
        assert!(ask(&pooler).unwrap().errors.is_empty(), "{balance}");
        end(pooler);
    }
}

/// The roles that tokens were made for, in order, each once in a row.
fn roles(server: &Recorder) -> Vec<String> {
    let role = |token: &String| {
        let (_, rest) = token.split_once("DBUser=").expect("every token has one");
        rest.split('&').next().unwrap_or_default().to_owned()
    };
    let mut roles: Vec<_> = server.tokens().iter().map(role).collect();
    roles.dedup(); // a pool may open one server more than it needs
    roles
}

#[test]
fn whoever_the_servers_user_is_its_token_is_its_own() {
    let server = Recorder::usual(&[Reply::Accept]);
    let text = |pooler: PoolerSetup, name: &str, more: &str| {
        let entry = format!(
            "host=127.0.0.1 port={} iam_host={RDS_HOST} server_tls_ca_file={} {more}",
            server.port,
            certs().ca().display()
        );
        pooler.database_at(name, &entry)
    };
    let setup = text(server.pooler(""), "forced", "server_auth=rds_iam user=reports");
    let setup = text(setup, "*", "server_auth=rds_iam");
    let setup = text(setup, "mixed", "").user_settings("other", "server_auth=rds_iam");
    let pooler = setup.set("iam_credential_source", "env").start();
    for (user, database) in [("app", "forced"), ("app", "made"), ("other", "mixed")] {
        assert!(Raw::log_in(pooler.port, user, database).simple("select 1").errors.is_empty(), "{database}");
    }
    assert_eq!(roles(&server), ["reports", "app", "other"]);
    let said: Vec<String> = server.visits().iter().map(Visit::text).collect();
    assert!(said[1].contains("database\0made\0"), "{said:?}");
    end(pooler);
}

#[test]
fn auth_query_runs_as_a_user_that_logs_in_by_iam() {
    let server = Recorder::usual(&[Reply::Accept]);
    let pooler = server.pooler("auth_user=lookup").set("auth_type", "plain").start();
    let mut raw = Raw::tcp(pooler.port);
    raw.startup(&[("user", "eve"), ("database", "app")]);
    assert_eq!(raw.read().map(|frame| frame.tag), Some(b'R'));
    assert_eq!(roles(&server), ["lookup"]);
    raw.send(&common::raw::frame(b'p', b"pw\0"));
    assert_eq!(raw.outcome().status, Some(b'I'), "it is who it says");
    assert_eq!(roles(&server), ["lookup", "eve"], "a token, and not the secret that was found");
    end(pooler);
}

#[test]
fn logins_keep_to_the_budget_of_their_endpoint() {
    let server = Recorder::usual(&[Reply::Accept]);
    let pooler = server.pooler("iam_login_rate=5 pool_size=20").set("pool_mode", "session").start();
    let clients: Vec<Raw> = (0..14).map(|_| Raw::log_in(pooler.port, "app", "app")).collect();
    let asked: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            std::thread::spawn(move || {
                assert!(client.simple("select 1").errors.is_empty());
                client
            })
        })
        .collect();
    let _held: Vec<Raw> = asked.into_iter().map(|thread| thread.join().unwrap()).collect();
    let times: Vec<Instant> = server.visits().iter().map(|visit| visit.at).collect();
    assert_eq!(times.len(), 14);
    for (index, from) in times.iter().enumerate() {
        let within = times[index..].iter().filter(|at| **at - *from < Duration::from_millis(950)).count();
        // A burst of 5 and 5 more; what is late by some of them arrives closer together.
        assert!(within <= 12, "{within} logins within a second");
    }
    assert!(times[13] - times[0] > Duration::from_millis(1_500), "{:?}", times[13] - times[0]);
    end(pooler);
}

#[test]
fn a_trouble_that_has_passed_is_noticed_although_no_server_is_wanted() {
    let server = Recorder::usual(&[Reply::Accept, Reply::HangUp, Reply::HangUp, Reply::Accept]);
    let setup = server.pooler("pool_size=1").database_at("other", &server.entry(""));
    let pooler = setup.set("query_wait_timeout", 1).start();
    let _served = Raw::log_in(pooler.port, "app", "app");
    let mut raw = Raw::tcp(pooler.port);
    raw.startup(&[("user", "app"), ("database", "other")]);
    assert!(
        raw.last_words().contains("closed the connection while it checked the token"),
        "the same role is in trouble"
    );
    // Nobody wants a server any more, and the pool that has one has no room for another.
    pooler.wait_for_log("logins by IAM as role app succeed again");
    let probe = server.visits().pop().expect("it was called").text();
    assert!(probe.contains("database\0pgweir_login_probe\0"), "no session of the database comes of it");
    assert_eq!(server.tokens().len(), 4);
    end(pooler);
}

#[test]
fn a_cancel_request_takes_the_way_of_its_server() {
    let server = Recorder::usual(&[Reply::Accept]);
    let pooler = server.pooler("").set("query_wait_timeout", 5).start();
    let mut client = Raw::log_in(pooler.port, "app", "app");
    client.send(&common::raw::query("sleep"));
    wait_until("the query has come", || server.visits()[0].text().contains("sleep"));
    Raw::tcp(pooler.port).send(&common::raw::cancel_request(&client.key));
    wait_until("the cancel request has come", || server.visits().len() == 2);
    let cancel = server.visits().remove(1);
    wait_until("it is whole", || cancel.said.lock().unwrap().len() == 16);
    assert!(cancel.in_tls);
    assert_eq!(cancel.said.lock().unwrap()[8..], [0, 0, 0, 77, 1, 2, 3, 4], "the server's own key");
    end(pooler);
}

#[test]
fn a_database_whose_token_cannot_be_safe_is_no_configuration() {
    let server = Recorder::usual(&[Reply::Accept]);
    let mut pooler = server.pooler("").set("server_tls_sslmode", "require").launch();
    assert!(!pooler.wait().success());
    assert!(pooler.log().contains("pgweir.ini:") && pooler.log().contains("verify-full"), "{}", pooler.log());
    let running = server.pooler("").start();
    let outcome = running.ask("set server_tls_sslmode = 'prefer'");
    assert_eq!(outcome.errors.len(), 1, "{outcome:?}");
    running.wait_for_log("server_tls_sslmode=prefer is too weak");
    assert!(ask(&running).is_ok(), "and nothing has changed");
}
