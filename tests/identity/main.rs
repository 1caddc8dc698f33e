//! Clients that prove who they are by tokens (`auth_type=jwt`): an issuer of the test's own, tokens of an
//! independent library, drivers as they are, and whatever an issuer or a client may do wrong. What
//! documentation and examples show of them.

#[path = "../common/mod.rs"]
mod common;
#[path = "../audit/lines.rs"]
mod lines;

mod bearer;
mod config;
mod drivers;
mod issuer;
mod keys;
mod logins;
mod narrowing;
mod refusals;
mod samples;

use common::certs::certs;
use common::raw::{Raw, frame};
use common::{Pooler, PoolerSetup, postgres};
use issuer::Issuer;

/// A pooler that takes tokens of `issuer`, whose entry is named `tests` and says `more`; clients may have
/// TLS.
fn setup(issuer: &Issuer, more: &str) -> PoolerSetup {
    with_tokens(PoolerSetup::new(postgres()), issuer, more)
}

/// The same of another pooler.
fn with_tokens(setup: PoolerSetup, issuer: &Issuer, more: &str) -> PoolerSetup {
    setup
        .set("auth_type", "jwt")
        .set("client_tls_sslmode", "allow")
        .set("client_tls_ca_file", certs().ca().display())
        .set("client_tls_cert_file", certs().server().display())
        .set("client_tls_key_file", certs().server_key().display())
        .issuer("tests", &issuer.entry(more))
}

/// Logs in within TLS with `password`; the connection behind AuthenticationOk and ReadyForQuery, or the last
/// words.
fn log_in(pooler: &Pooler, user: &str, password: &str) -> Result<Raw, String> {
    log_in_to(pooler, user, "app", password)
}

/// The same, to that database.
fn log_in_to(pooler: &Pooler, user: &str, database: &str, password: &str) -> Result<Raw, String> {
    let mut client = Raw::tls(pooler.port, "localhost", &certs().ca());
    client.startup(&[("user", user), ("database", database)]);
    prove(client, password)
}

/// The console, as `admin`.
fn console(pooler: &Pooler, issuer: &Issuer) -> Raw {
    log_in_to(pooler, "admin", "pgbouncer", &issuer.token("admin")).expect("admin is let in")
}

/// Answers the request for a password.
fn prove(mut client: Raw, password: &str) -> Result<Raw, String> {
    match client.read() {
        Some(request) if request.tag == b'R' && request.body == [0, 0, 0, 3] => {}
        Some(other) => return Err(other.message()),
        None => return Err(String::new()),
    }
    client.send(&frame(b'p', &[password.as_bytes(), &[0]].concat()));
    let outcome = client.outcome();
    match outcome.status {
        Some(_) => Ok(client),
        None => Err(outcome.errors.join("; ")),
    }
}

/// Whether no part of the token that counts stands in the text: its signature, nor its payload as it came.
#[track_caller]
fn no_token_in(what: &str, text: &str, token: &str) {
    for part in token.split('.').filter(|part| part.len() > 20) {
        assert!(!text.contains(part), "{what} has a part of a token");
        assert!(!text.contains(&part[part.len() - 20..]), "{what} has the end of a part of a token");
    }
}
