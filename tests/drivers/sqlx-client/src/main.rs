//! sqlx through transaction pooling: it prepares everything it runs and keeps the statements.
//! `PGWEIR_PORT` names the pooler; the exit status says whether all went well.

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, Executor, PgConnection, Row};
use std::time::Duration;

type Done = Result<(), Box<dyn std::error::Error>>;

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

async fn transactions(conn: &mut PgConnection) -> Done {
    conn.execute("create table sqlx_rows (id int primary key, t text)").await?;
    let mut outer = conn.begin().await?;
    sqlx::query("insert into sqlx_rows values ($1, $2)").bind(1).bind("one").execute(&mut *outer).await?;
    let mut inner = outer.begin().await?;
    let again = sqlx::query("insert into sqlx_rows values (1, 'again')").execute(&mut *inner).await;
    assert_eq!(code(&again.expect_err("a duplicate")).as_deref(), Some("23505"));
    inner.rollback().await?;
    outer.commit().await?;
    let rows: i64 = sqlx::query_scalar("select count(*) from sqlx_rows").fetch_one(&mut *conn).await?;
    assert_eq!(rows, 1);
    Ok(())
}

async fn statements(conn: &mut PgConnection) -> Done {
    for number in 0..50 {
        let got: i32 = sqlx::query_scalar("select $1 + 1").bind(number).fetch_one(&mut *conn).await?;
        assert_eq!(got, number + 1);
    }
    // Beyond the cache of 100 that sqlx keeps: it closes statements.
    for number in 0..150 {
        let sql = format!("select {number}");
        assert_eq!(sqlx::query(&sql).fetch_one(&mut *conn).await?.get::<i32, _>(0), number);
    }
    let error = sqlx::query("select 1 / $1").bind(0).fetch_one(&mut *conn).await.expect_err(
        "division by \
        zero",
    );
    assert_eq!(code(&error).as_deref(), Some("22012"));
    Ok(())
}

async fn copy(conn: &mut PgConnection) -> Done {
    conn.execute("create table sqlx_copied (n int)").await?;
    let mut into = conn.copy_in_raw("copy sqlx_copied from stdin").await?;
    let lines: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    into.send(lines.as_bytes()).await?;
    assert_eq!(into.finish().await?, 20_000);
    let rows: i64 = sqlx::query_scalar("select count(*) from sqlx_copied").fetch_one(&mut *conn).await?;
    assert_eq!(rows, 20_000);
    conn.execute("drop table sqlx_copied, sqlx_rows").await?;
    Ok(())
}

async fn large(conn: &mut PgConnection) -> Done {
    const LARGE_BYTES: i32 = 100 << 20;
    let row: String =
        sqlx::query_scalar("select repeat('x', $1)").bind(LARGE_BYTES).fetch_one(&mut *conn).await?;
    assert_eq!(row.len(), LARGE_BYTES as usize);
    let length: i32 = sqlx::query_scalar("select length($1)").bind(row).fetch_one(&mut *conn).await?;
    assert_eq!(length, LARGE_BYTES);
    Ok(())
}

/// sqlx reads rows of a simple query where it is told to prepare nothing.
async fn console(to: PgConnectOptions) -> Done {
    let mut conn = PgConnection::connect_with(&to).await?;
    let pools = sqlx::raw_sql("show pools").fetch_all(&mut conn).await?;
    assert!(pools.iter().any(|row| row.get::<String, _>("database") == "app"));
    conn.close().await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done {
    let port = std::env::var("PGWEIR_PORT")?.parse()?;
    let to = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username("app")
        .password("app-secret")
        .database("app")
        // sqlx sets this at login; PgBouncer refuses it unless it is told to ignore it.
        .extra_float_digits(None);
    let mut conn = PgConnection::connect_with(&to).await?;
    transactions(&mut conn).await?;
    statements(&mut conn).await?;
    copy(&mut conn).await?;
    large(&mut conn).await?;
    conn.close().await?;
    console(to.clone().username("admin").password("admin-secret").database("pgbouncer")).await?;

    let pool = PgPoolOptions::new()
        .max_connections(10)
        .acquire_timeout(Duration::from_secs(20))
        .connect_with(to)
        .await?;
    let mut tasks = Vec::new();
    for number in 0..100_i32 {
        let pool = pool.clone();
        tasks.push(tokio::spawn(async move {
            sqlx::query_scalar::<_, i32>("select $1")
                .bind(number)
                .fetch_one(&pool)
                .await
                .map(|got| (got, number))
        }));
    }
    for task in tasks {
        let (got, number) = task.await??;
        assert_eq!(got, number);
    }
    Ok(())
}
