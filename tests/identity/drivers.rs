//! Drivers as applications use them, each with a token as its password: none has to know of tokens.

use crate::common::certs::certs;
use crate::common::{Pooler, programs};
use crate::issuer::Issuer;
use crate::setup;
use std::process::Command;
use tokio_postgres::NoTls;

/// What a script says that is given the pooler's port, a user, the authorities, and a token.
fn said(pooler: &Pooler, program: &str, script: &str, token: &str) -> String {
    let program = if program == "node" { program.into() } else { programs::in_repository(program) };
    let script = programs::in_repository("tests/drivers").join(script);
    let mut command = Command::new(program);
    command.arg(script).args([&pooler.port.to_string(), "app"]).arg(certs().ca());
    programs::run(command.env("TOKEN", token).env("PYTHONDONTWRITEBYTECODE", "1"))
}

#[test]
fn psycopg_asyncpg_and_pg8000() {
    let issuer = Issuer::start();
    let pooler = setup(&issuer, "").set("ignore_startup_parameters", "extra_float_digits").start();
    let said = said(&pooler, ".venv/bin/python", "token_logins.py", &issuer.token("app"));
    assert_eq!(said.lines().collect::<Vec<_>>(), ["psycopg app", "asyncpg app", "pg8000 app"], "{said}");
}

#[test]
fn node_postgres() {
    let issuer = Issuer::start();
    let pooler = setup(&issuer, "").start();
    let said = said(&pooler, "node", "token_login.mjs", &issuer.token("app"));
    assert_eq!(said.trim(), "node-postgres app");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokio_postgres() {
    let (issuer, pooler) = tokio::task::spawn_blocking(|| {
        let issuer = Issuer::start();
        let pooler = setup(&issuer, "").start();
        (issuer, pooler)
    })
    .await
    .expect("both start");
    let (directory, token) = (pooler.directory().display().to_string(), issuer.token("app"));
    let to = format!("host={directory} port={} user=app password={token} dbname=app", pooler.port);
    let (client, connection) = tokio_postgres::connect(&to, NoTls).await.expect("logs in");
    tokio::spawn(connection);
    let row = client.query_one("select current_user::text", &[]).await.expect("it is answered");
    assert_eq!(row.get::<_, String>(0), "app");
    tokio::task::spawn_blocking(|| drop((pooler, issuer))).await.expect("both end");
}
