//! pgbench and psql through transaction pooling: the tools that every operator tries first.

use crate::common::{Pooler, PoolerSetup, postgres, programs};

fn pgbench(pooler: &Pooler, arguments: &[&str]) -> String {
    let mut pgbench = programs::limited(programs::postgres("pgbench"));
    pgbench
        .args(["-h", "127.0.0.1", "-p", &pooler.port.to_string(), "-U", "app", "-n"])
        .args(arguments)
        .arg("app");
    programs::run(&mut pgbench)
}

fn run(mode: &str, more: &[&str]) {
    let pooler = PoolerSetup::new(postgres()).database("app", "pool_size=4").start();
    let script = pooler.directory().join("script.sql");
    let sql = "\\set n random(1, 1000)\nselect :n, count(*) from generate_series(1, 10) g where g < :n;\n";
    std::fs::write(&script, sql).expect("the directory is ours");
    let script = script.display().to_string();
    let said =
        pgbench(&pooler, &[&["-M", mode, "-c", "20", "-j", "2", "-t", "50", "-f", &script], more].concat());
    assert!(said.contains("number of transactions actually processed: 1000/1000"), "{said}");
    assert!(said.contains("number of failed transactions: 0"), "{said}");
}

#[test]
fn simple() {
    run("simple", &[]);
}

#[test]
fn extended() {
    run("extended", &[]);
}

#[test]
fn prepared() {
    run("prepared", &[]);
}

#[test]
fn a_connection_per_transaction() {
    run("simple", &["--connect"]);
}

#[test]
fn initialisation_and_its_own_transactions() {
    let name = "bench";
    postgres().psql("postgres", "create database bench owner app");
    let pooler = PoolerSetup::new(postgres()).database(name, "pool_size=4").start();
    let mut init = programs::limited(programs::postgres("pgbench"));
    let port = pooler.port.to_string();
    programs::run(init.args(["-h", "127.0.0.1", "-p", &port, "-U", "app", "-i", "-q", "-s", "1", name]));
    let mut bench = programs::limited(programs::postgres("pgbench"));
    bench.args([
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-U",
        "app",
        "-n",
        "-c",
        "8",
        "-t",
        "50",
        "-b",
        "tpcb-like",
        name,
    ]);
    let said = programs::run(&mut bench);
    assert!(said.contains("number of transactions actually processed: 400/400"), "{said}");
    let sums = postgres().psql(
        name,
        "select (select sum(delta) from pgbench_history) = (select sum(abalance) from pgbench_accounts)",
    );
    assert_eq!(sums, "t", "every transaction ran once and whole");
}

#[test]
fn psql_scripts_with_transactions_copy_and_errors() {
    let pooler = PoolerSetup::new(postgres()).start();
    let script = "create table from_psql (n int, t text);
        begin; insert into from_psql select g, 'row ' || g from generate_series(1, 100) g; commit;
        \\copy from_psql to '/dev/null'
        \\set ON_ERROR_STOP off
        select 1/0;
        begin; select broken; rollback;
        \\set ON_ERROR_STOP on
        begin; prepare p as select count(*) from from_psql; execute p; deallocate p; commit;
        select count(*) from from_psql \\gset
        \\echo count :count
        drop table from_psql;";
    let file = pooler.directory().join("script.sql");
    std::fs::write(&file, script).expect("the directory is ours");
    let said = programs::run(pooler.psql().arg("-f").arg(&file));
    assert!(said.contains("count 100") && said.contains("division by zero"), "{said}");
}

#[test]
fn psql_reads_and_writes_a_hundred_megabytes() {
    let pooler = PoolerSetup::new(postgres()).start();
    let said = programs::run(pooler.psql().args(["-c", "select repeat('z', 100 << 20)"]));
    assert_eq!(said.trim_end().len(), 100 << 20);
}
