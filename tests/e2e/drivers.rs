//! The drivers that applications use, each with a small real workload through transaction pooling.
//!
//! Python and JavaScript workloads are the scripts in `tests/drivers/`; `make test` installs what they
//! import. A script that fails says why on standard error, which becomes the message of the failed test.

use crate::common::{PoolerSetup, postgres, programs, wait_until};
use std::path::PathBuf;
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// The login messages that drivers send and PgBouncer does not know by itself.
const IGNORED: &str = "extra_float_digits,options";

fn workload(program: PathBuf, script: Option<&str>) {
    assert!(
        program.components().count() == 1 || program.exists(),
        "{} is missing: run make setup",
        program.display()
    );
    let pooler = PoolerSetup::new(postgres())
        .database("app", "pool_size=4")
        .set("auth_type", "scram-sha-256")
        .set("ignore_startup_parameters", IGNORED)
        .start();
    let mut command = programs::limited(program);
    if let Some(script) = script {
        command.arg(programs::in_repository("tests/drivers").join(script));
    }
    command.env("PGWEIR_PORT", pooler.port.to_string()).env("PYTHONDONTWRITEBYTECODE", "1");
    programs::run(&mut command);
    wait_until("every server came back", || {
        let mut psql = programs::limited(programs::postgres("psql"));
        psql.args([
            "-X",
            "-At",
            "-h",
            "127.0.0.1",
            "-p",
            &pooler.port.to_string(),
            "-U",
            "admin",
            "-d",
            "pgbouncer",
        ]);
        let pools = programs::run(psql.args(["-c", "show pools"]).env("PGPASSWORD", "admin-secret"));
        // Database, user, cl_active, cl_waiting, two for cancels, sv_active.
        let own = pools.lines().filter(|line| line.starts_with("app|app|"));
        own.map(|line| line.split('|').collect::<Vec<_>>()).all(|row| (row[3], row[6]) == ("0", "0"))
    });
}

fn python(script: &str) {
    workload(programs::in_repository(".venv/bin/python"), Some(script));
}

fn node(script: &str) {
    let modules = programs::in_repository("tests/drivers/node_modules");
    assert!(modules.exists(), "{} is missing: run make setup", modules.display());
    workload("node".into(), Some(script));
}

#[test]
fn psycopg() {
    python("psycopg_workload.py");
}

#[test]
fn asyncpg() {
    python("asyncpg_workload.py");
}

#[test]
fn pg8000_and_sqlalchemy() {
    python("pg8000_workload.py");
}

#[test]
fn node_postgres() {
    node("pg_workload.mjs");
}

#[test]
fn postgres_js() {
    node("postgres_workload.mjs");
}

#[test]
fn sqlx() {
    // target/debug/deps/e2e-… -> target/drivers/debug/sqlx-client
    let own = std::env::current_exe().expect("we run");
    let target = own.ancestors().nth(3).expect("target/PROFILE/deps/NAME");
    workload(target.join("drivers/debug/sqlx-client"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokio_postgres() {
    let setup = PoolerSetup::new(postgres()).database("app", "pool_size=3").set("auth_type", "scram-sha-256");
    let pooler = tokio::task::spawn_blocking(|| setup.start()).await.expect("the pooler starts");
    let to = format!("host=127.0.0.1 port={} user=app password=app-secret dbname=app", pooler.port);
    let mut clients = Vec::new();
    for _ in 0..8 {
        let (client, connection) = tokio_postgres::connect(&to, NoTls).await.expect("logs in");
        let mode = connection.parameter("pgbouncer.pool_mode");
        assert_eq!(mode, Some("transaction"));
        tokio::spawn(connection);
        clients.push(client);
    }
    let tasks =
        clients.into_iter().enumerate().map(|(number, client)| tokio::spawn(one_client(number, client)));
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no client panics").expect("no client fails");
    }
    let console =
        format!("host=127.0.0.1 port={} user=admin password=admin-secret dbname=pgbouncer", pooler.port);
    let (client, connection) = tokio_postgres::connect(&console, NoTls).await.expect("logs in");
    tokio::spawn(connection);
    let pools = client.simple_query("show pools").await.expect("the console answers");
    assert!(pools.iter().any(|message| {
        matches!(message, SimpleQueryMessage::Row(row) if row.get("database") == Some("app"))
    }));
    tokio::task::spawn_blocking(|| drop(pooler)).await.expect("the pooler ends");
}

async fn one_client(number: usize, mut client: tokio_postgres::Client) -> Result<(), tokio_postgres::Error> {
    let own = i64::try_from(number).expect("few");
    let table = format!("tokio_{number}");
    client.batch_execute(&format!("create table {table} (owner bigint, n bigint)")).await?;
    let insert = client.prepare(&format!("insert into {table} values ($1, $2)")).await?;
    for round in 0..20_i64 {
        let transaction = client.transaction().await?;
        transaction.execute(&insert, &[&own, &round]).await?;
        if round % 2 == 0 { transaction.commit().await? } else { transaction.rollback().await? }
    }
    let row = client.query_one(&format!("select count(*), max(owner) from {table}"), &[]).await?;
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (10, own));
    // Requests that are not awaited one by one are pipelined.
    let add = client.prepare("select $1::bigint + 1").await?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&own, &1_i64, &2_i64];
    let [first, second, third] = [&parameters[0..1], &parameters[1..2], &parameters[2..3]];
    let answers = tokio::try_join!(
        client.query_one(&add, first),
        client.query_one(&add, second),
        client.query_one(&add, third)
    )?;
    assert_eq!([answers.0.get::<_, i64>(0), answers.1.get(0), answers.2.get(0)], [own + 1, 2, 3]);
    let error = client.query("select 1/0", &[]).await.expect_err("division by zero");
    assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some("22012"));
    let messages =
        client.simple_query(&format!("select owner from {table} limit 1; drop table {table}")).await?;
    let owners: Vec<_> = messages
        .iter()
        .filter_map(|message| if let SimpleQueryMessage::Row(row) = message { row.get(0) } else { None })
        .collect();
    assert_eq!(owners, [own.to_string()]);
    Ok(())
}
