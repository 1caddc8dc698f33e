//! Every transaction of PostgreSQL's log belongs to exactly one session of the audit log, by the queries of
//! docs/audit.md.

use crate::common::raw::Raw;
use crate::common::{Pooler, Postgres, own_postgres, programs, wait_until};
use crate::lines::{audited_before, file, hold_to_schema, of, text};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Tenants: a database each, half of them with session pooling.
const TENANTS: usize = 6;
const CLIENTS: usize = 4;
/// Transactions of each client, or more for as many seconds as `PGWEIR_AUDIT_LOAD_SECONDS` says.
const TRANSACTIONS: usize = 100;

fn load_time() -> Duration {
    let text = std::env::var("PGWEIR_AUDIT_LOAD_SECONDS").unwrap_or_default();
    Duration::from_secs(text.parse().unwrap_or(0))
}

/// The block of docs/audit.md behind `<!-- {name} -->`.
pub(crate) fn example(name: &str) -> String {
    let page = std::fs::read_to_string(programs::in_repository("docs/audit.md")).expect("is there");
    let (_, rest) =
        page.split_once(&format!("<!-- {name} -->\n```")).unwrap_or_else(|| panic!("{name} is there"));
    let (_, block) = rest.split_once('\n').expect("the block begins");
    block.split("\n```").next().expect("the block ends").to_owned()
}

/// How many transactions it has had.
fn work(port: u16, tenant: usize, client: usize, until: Instant) -> usize {
    let database = format!("tenant{tenant}");
    // one of each tenant has no name
    let name = if client == 0 { String::new() } else { format!("client{client}") };
    let parameters = [("user", "app"), ("database", &*database), ("application_name", &*name)];
    let mut session = Raw::log_in_with(port, &parameters[..if client == 0 { 2 } else { 3 }]);
    let name = format!("{database} {name}");
    // At its length it is a load, not a flood of lines.
    let pause = if until > Instant::now() { ", pg_sleep(0.05)" } else { "" };
    let mut count = 0;
    while count < TRANSACTIONS || Instant::now() < until {
        let number = count;
        count += 1;
        let fails = number % 10 == 9;
        let from = if fails { " from nowhere" } else { "" };
        let sql = format!("select 'by {name}', {number}{pause}{from}");
        if number % 3 == 0 {
            assert_eq!(session.simple(&sql).errors.len(), usize::from(fails));
        } else {
            session.simple("begin");
            assert_eq!(session.simple(&sql).errors.len(), usize::from(fails));
            session.simple(if number % 3 == 1 { "commit" } else { "rollback" });
        }
    }
    count
}

/// An audit log as the table `audit` of that database.
pub(crate) fn load_audit(postgres: &Postgres, database: &str, audit: &Path) {
    postgres.psql(database, &example("tables"));
    let form = "(format csv, quote e'\\x01', delimiter e'\\x02')";
    postgres.psql(database, &format!("\\copy audit from '{}' with {form}", audit.display()));
}

/// Both logs as tables of a database, as the page loads them.
fn load(postgres: &Postgres, audit: &Path) {
    postgres.psql("postgres", &example("tables"));
    let log = postgres.socket_directory().join("log");
    let script = example("load").replace("audit.log", &audit.display().to_string());
    let script = script.replace("postgresql.log", &log.display().to_string());
    let psql = programs::postgres("psql");
    let own = psql.parent().expect("it stands in a directory").display();
    let path = format!("{own}:{}", std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.args(["-ec", &script]).env("PATH", path).env("PGHOST", postgres.socket_directory());
    shell.env("PGPORT", postgres.port.to_string()).env("PGUSER", "postgres").env("PGDATABASE", "postgres");
    programs::run(&mut shell);
    postgres.psql("postgres", &example("views"));
}

/// A PostgreSQL whose log is as docs/audit.md wants it.
fn with_a_log(name: &str) -> Postgres {
    let postgres = own_postgres(name);
    for setting in ["log_line_prefix = '%m|%p|%a|'", "log_timezone = 'UTC'", "log_min_duration_statement = 0"]
    {
        postgres.psql("postgres", &format!("alter system set {setting}"));
    }
    postgres.psql("postgres", "select pg_reload_conf()");
    postgres
}

#[test]
fn a_name_that_a_client_gives_itself_in_its_transaction_takes_no_line_from_who_has_sent_it() {
    let postgres = with_a_log("claimed");
    let pooler = audited_before(&postgres)
        .set("default_pool_size", 1)
        .set("application_name_template", "%s|%p|%a")
        .start();
    let log_in = |name| Raw::log_in_with(pooler.port, &[("user", "app"), ("application_name", name)]);
    let (mut ada, mut mallory) = (log_in("ada"), log_in("mallory"));
    let name_of_ada = ada.simple("show application_name").value();
    assert!(name_of_ada.ends_with("|app|ada"), "her session stands in front: {name_of_ada}");
    ada.simple("select 'by ada'");
    mallory.simple("begin");
    mallory.simple(&format!("set application_name = '{name_of_ada}'"));
    // As far behind her transaction as clocks may differ, but within what is allowed for slow machines.
    mallory.simple("select pg_sleep(0.1)");
    mallory.simple("select 'by mallory'");
    mallory.simple("commit");
    drop((ada, mallory));
    wait_until("both have left", || of(&text(&pooler), "logout").len() == 2);

    load(&postgres, &file(&pooler));
    let claimed = "select application_name from pg_log where statement like '%by mallory%'";
    assert_eq!(postgres.psql("postgres", claimed), name_of_ada, "what PostgreSQL was made to believe");
    let told = "select s.application_name, j.statement from joined as j \
        join sessions as s using (session) where j.statement ~ 'select ''by' order by j.number";
    let expected = "ada|select 'by ada'\nmallory|select 'by mallory'";
    assert_eq!(postgres.psql("postgres", told), expected);
    let is_sure = "select is_sure from joined where statement like '%by mallory%'";
    assert_eq!(postgres.psql("postgres", is_sure), "t", "by the time, not by a name");
}

/// Texts have line ends, and whatever else: none of them makes a line of PostgreSQL's log that is another's.
#[test]
fn a_line_in_a_statement_that_looks_like_one_of_the_log_is_nobodys() {
    let postgres = with_a_log("forged");
    let pooler = audited_before(&postgres)
        .set("default_pool_size", 1)
        .set("application_name_template", "%s|%p|%a")
        .start();
    let log_in = |name| Raw::log_in_with(pooler.port, &[("user", "app"), ("application_name", name)]);
    let (mut ada, mut mallory) = (log_in("ada"), log_in("mallory"));
    ada.simple("begin");
    let name = ada.simple("show application_name").value();
    let pid = ada.simple("select pg_backend_pid()").value();
    let now = "to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.MS')";
    let at = ada.simple(&format!("select {now}")).value();
    ada.simple("commit");
    let forged = format!("{at} UTC|{pid}|{name}|LOG:  duration: 1.234 ms  statement: drop table payroll");
    for before in ["\n", "\r", "\r\n", "\n\t", "\x01\n", "\x02", "\\\n", "\x0b", "\\.\n"] {
        let outcome = mallory.simple(&format!("select 'by mallory' /*{before}{forged}\n*/"));
        assert_eq!(outcome.value(), "by mallory");
    }
    ada.simple("select 'by ada'");
    drop((ada, mallory));
    wait_until("both have left", || of(&text(&pooler), "logout").len() == 2);

    load(&postgres, &file(&pooler));
    let told = |sql: &str| postgres.psql("postgres", sql);
    assert_eq!(told("select count(*) from joined where statement like 'drop table%'"), "0");
    let of_mallory = "select count(*) from joined as j join sessions as s using (session) \
        where j.statement like 'select ''by mallory%' and s.application_name = 'mallory'";
    assert_eq!(told(of_mallory), "9", "each of her lines is there, and hers");
    assert_eq!(told("select count(*) from joined where statement like '%by ada%'"), "1");
}

#[test]
fn every_transaction_of_postgresqls_log_is_of_exactly_one_session() {
    // every line of its log is of this pooler's clients
    let postgres = with_a_log("joined");
    let mut setup = audited_before(&postgres).set("default_pool_size", 3);
    for tenant in 0..TENANTS {
        let mode = if tenant % 2 == 0 { "transaction" } else { "session pool_size=10" };
        let shown = if tenant % 3 == 0 { " application_name_template=%s|%p|%a" } else { "" };
        setup = setup.database(&format!("tenant{tenant}"), &format!("dbname=app pool_mode={mode}{shown}"));
    }
    let pooler = setup.start();
    let port = pooler.port;
    let until = Instant::now() + load_time();
    let expected: usize = std::thread::scope(|scope| {
        let clients = (0..TENANTS).flat_map(|tenant| (0..CLIENTS).map(move |client| (tenant, client)));
        let threads: Vec<_> =
            clients.map(|(tenant, client)| scope.spawn(move || work(port, tenant, client, until))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    wait_until("all have left", || of(&text(&pooler), "logout").len() == TENANTS * CLIENTS);
    postgres.psql("postgres", "alter system reset log_min_duration_statement");
    postgres.psql("postgres", "select pg_reload_conf()");
    if load_time().is_zero() {
        hold_to_schema(&file(&pooler)); // a millisecond for each line
    }

    load(&postgres, &file(&pooler));
    let count = |sql: &str| -> usize { postgres.psql("postgres", sql).parse().expect("a count") };
    assert_eq!(count("select count(*) from transactions"), expected);
    let selects = "from pg_log where statement like 'select ''by %'";
    assert_eq!(count(&format!("select count(*) {selects}")), expected);
    let of_clients = "from pg_log where statement ~ '^(select ''by|begin|commit|rollback)'";
    let all = count(&format!("select count(*) {of_clients}"));
    assert!(all > expected);
    postgres.psql("postgres", "create table joined_once as select * from joined");
    postgres.psql("postgres", &format!("create table of_clients as select number {of_clients}"));
    let of_one = "select count(*) from (select number from joined_once group by number \
        having count(distinct session) = 1) of_one join of_clients using (number)";
    let others = "select * from pg_log l left join joined_once as j using (number) where number in \
        (select number from of_clients except select number from joined_once group by number \
        having count(distinct session) = 1)";
    assert_eq!((count(of_one), postgres.psql("postgres", others)), (all, String::new()));
    // It is the right one: the text says who it was.
    let wrong = "select count(*) from joined_once join sessions as s using (session) \
        where statement like 'select ''by %' and statement not like \
        'select ''by ' || s.database || ' ' || replace(s.application_name, '[unknown]', '') || '%'";
    assert_eq!(count(wrong), 0);
    // By time and process alone all are found, too, most of them without doubt.
    let by_time = "select count(*) from pg_log l where statement like 'select ''by %' and not exists \
        (select from transactions t where t.pid = l.pid and l.at <@ t.during)";
    assert_eq!(count(by_time), 0);
    eprintln!("{expected} transactions, {all} lines of PostgreSQL's log, each of exactly one session");
    jq_finds_them_too(&postgres, &pooler);
}

/// Whom the page's lines for jq name, though the file has half a line in front, and PostgreSQL's milliseconds
/// lie before the begin, or behind the end.
fn jq_finds_them_too(postgres: &Postgres, pooler: &Pooler) {
    let half = pooler.directory().join("half");
    std::fs::write(&half, format!("{{\"v\":1,\"ts\n{}", text(pooler))).expect("the directory is ours");
    let mut found = 0;
    for when in ["at < begin_at", "at between begin_at and end_at", "at > end_at"] {
        let line = format!(
            "select pid, to_char(at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS \"UTC\"'), database \
             from joined_once join transactions as t using (pid, session, txn) \
             where {when} and is_sure and statement like 'select ''by %' limit 1"
        );
        let line = postgres.psql("postgres", &line);
        let Some((pid, rest)) = line.split_once('|') else { continue };
        let (at, database) = rest.split_once('|').expect("three words");
        let told = who_was_behind(&half, pid, at);
        found += 1;
        assert!(told.contains(&format!("\"database\":\"{database}\"")), "{when}: {told}");
    }
    assert!(found > 0, "each line was looked for");
    let nobody = who_was_behind(&file(pooler), "1", "2020-01-01 00:00:00 UTC");
    assert_eq!(nobody, "no transaction within 20 ms of 2020-01-01 00:00:00 UTC\n");
}

/// What the page's lines for jq tell of a backend at a time.
fn who_was_behind(audit: &Path, pid: &str, at: &str) -> String {
    let script = example("jq").replace("audit.log", &audit.display().to_string());
    programs::run(Command::new("sh").args(["-c", &script]).env("PID", pid).env("AT", at))
}
