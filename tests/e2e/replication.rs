//! Replication connections, physical and logical: the programs that use them, the pool that they count in,
//! who may have one, and how one ends. Source: PgBouncer, test/test_replication.py; PostgreSQL
//! documentation, "Streaming Replication Protocol".

use crate::common::certs::certs;
use crate::common::raw::{self, Raw};
use crate::common::{Pooler, PoolerSetup, postgres, programs, reaper, wait_until};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A pooler whose user `replica` may replicate, in front of a database of that name.
fn setup(database: &str, more: &str) -> PoolerSetup {
    postgres().psql("postgres", &format!("create database {database}"));
    PoolerSetup::new(postgres()).user("replica", "").database(database, more)
}

/// A pooler for the programs that replicate physically: up to PostgreSQL 16 these ask for a database of this
/// name, whatever they are told.
fn physical(more: &str) -> PoolerSetup {
    PoolerSetup::new(postgres()).user("replica", "").database("replication", more)
}

fn log_in(pooler: &Pooler, user: &str, database: &str, kind: &str) -> Raw {
    Raw::log_in_with(pooler.port, &[("user", user), ("database", database), ("replication", kind)])
}

/// A replication client that has said hello, and perhaps waits.
fn begin(pooler: &Pooler, database: &str) -> Raw {
    let mut raw = Raw::tcp(pooler.port);
    raw.startup(&[("user", "replica"), ("database", database), ("replication", "database")]);
    raw
}

fn refused(pooler: &Pooler, parameters: &[(&str, &str)]) -> String {
    let mut raw = Raw::tcp(pooler.port);
    raw.startup(parameters);
    raw.last_words()
}

/// One of PostgreSQL's programs, connected through the pooler.
fn program(name: &str, pooler: &Pooler, database: &str) -> Command {
    let mut command = programs::limited(programs::postgres(name));
    let target = format!("host=127.0.0.1 port={} user=replica dbname={database}", pooler.port);
    command.args(["--no-password", "--dbname", &target]);
    command
}

/// A program that runs until it is told to end.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it is installed"))
    }

    /// Tells it to end, as Ctrl-C does, and waits until it has.
    fn interrupt(mut self) {
        programs::run(Command::new("kill").args(["-INT", &self.0.id().to_string()]));
        assert!(self.0.wait().expect("it ends").success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill()); // it may have ended
        drop(self.0.wait());
    }
}

fn directory(name: &str) -> PathBuf {
    let directory = reaper::directory().join(name);
    std::fs::create_dir(&directory).expect("the parent is ours");
    directory
}

/// Walsenders that serve a client of that name.
fn walsenders(application_name: &str) -> usize {
    let sql = format!(
        "select count(*) from pg_stat_activity where backend_type = 'walsender' \
         and application_name = '{application_name}'"
    );
    postgres().psql("postgres", &sql).parse().expect("a count")
}

/// `servers` of a pool in SHOW POOLS that are active and idle, and clients that wait.
fn pool(pooler: &Pooler, user: &str) -> [String; 3] {
    let pools = pooler.ask("show pools").records();
    let row = pools.into_iter().find(|row| row["user"] == user).expect("such a pool");
    ["sv_active", "sv_idle", "cl_waiting"].map(|column| row[column].clone())
}

#[test]
fn pg_basebackup_takes_a_whole_backup() {
    let pooler = physical("pool_size=2").start();
    let target = reaper::directory().join("backup");
    let mut backup = program("pg_basebackup", &pooler, "");
    programs::run(backup.args(["--checkpoint=fast", "--pgdata"]).arg(&target));
    programs::run(Command::new(programs::postgres("pg_verifybackup")).arg(&target));
    wait_until("its servers are gone", || walsenders("pg_basebackup") == 0);
    wait_until("nobody is served", || pool(&pooler, "replica") == ["0", "0", "0"]);
    assert_eq!(pooler.log().matches("new connection to server").count(), 2, "one for files, one for WAL");
}

#[test]
fn pg_receivewal_gets_what_the_server_writes() {
    let pooler = physical("").start();
    let (target, slot) = (directory("wal"), "through_the_pooler");
    let receive = || program("pg_receivewal", &pooler, "");
    programs::run(receive().args(["--create-slot", "--slot", slot]));
    let running = Running::start(receive().args(["--no-loop", "--slot", slot, "--directory"]).arg(&target));
    wait_until("it streams", || {
        let active = format!("select active from pg_replication_slots where slot_name = '{slot}'");
        postgres().psql("postgres", &active) == "t"
    });
    let sql = "select pg_walfile_name(pg_current_wal_lsn())";
    let segment = postgres().psql("postgres", sql);
    postgres().psql("postgres", "create table pushes_wal (); drop table pushes_wal");
    postgres().psql("postgres", "select pg_switch_wal()");
    wait_until("the segment has come whole", || target.join(&segment).exists());
    let data = PathBuf::from(postgres().psql("postgres", "show data_directory"));
    let [theirs, ours] = [data.join("pg_wal").join(&segment), target.join(&segment)];
    assert!(std::fs::read(theirs).expect("it is there") == std::fs::read(ours).expect("it is there"));
    let clients = pooler.ask("show clients").records();
    let client = clients.iter().find(|row| row["user"] == "replica").expect("it is there");
    assert_eq!((&*client["replication"], &*client["state"]), ("physical", "active"));
    running.interrupt();
    programs::run(receive().args(["--drop-slot", "--slot", slot]));
    assert!(pooler.log().contains("replication=yes"));
}

#[test]
fn pg_recvlogical_hears_of_each_change() {
    let pooler = setup("changes", "").start();
    postgres().psql("changes", "create table t (n int)");
    let receive = || {
        let mut command = program("pg_recvlogical", &pooler, "changes");
        command.args(["--slot=changes"]);
        command
    };
    programs::run(receive().args(["--create-slot", "--plugin=test_decoding"]));
    let mut running = Running::start(receive().args(["--start", "--no-loop", "--file=-"]));
    postgres().psql("changes", "insert into t values (7)");
    let mut lines = BufReader::new(running.0.stdout.take().expect("it is piped")).lines();
    let mut next = || lines.next().expect("it runs").expect("text");
    assert!(next().starts_with("BEGIN "));
    assert_eq!(next(), "table public.t: INSERT: n[integer]:7");
    assert!(next().starts_with("COMMIT "));
    let servers = pooler.ask("show servers").records();
    let server = servers.iter().find(|row| row["database"] == "changes").expect("it is there");
    assert_eq!((&*server["replication"], &*server["application_name"]), ("logical", "pg_recvlogical"));
    running.interrupt();
    programs::run(receive().args(["--drop-slot"]));
}

#[test]
fn a_subscription_copies_and_follows() {
    let pooler = setup("publisher", "").start();
    postgres().psql("postgres", "create database subscriber");
    for database in ["publisher", "subscriber"] {
        postgres().psql(database, "create table t (n int); grant select on t to replica");
    }
    postgres().psql("publisher", "insert into t select generate_series(1, 1000)");
    postgres().psql("publisher", "create publication p for table t");
    // a subscription in the cluster that it subscribes to cannot make its slot itself
    postgres().psql("publisher", "select pg_create_logical_replication_slot('s', 'pgoutput')");
    let target = format!("host=127.0.0.1 port={} user=replica dbname=publisher", pooler.port);
    let sql = format!("create subscription s connection '{target}' publication p with (create_slot = false)");
    postgres().psql("subscriber", &sql);
    let rows = || postgres().psql("subscriber", "select count(*) from t");
    wait_until("the rows that were there are copied", || rows() == "1000");
    postgres().psql("publisher", "insert into t values (0)");
    wait_until("the row that came is there", || rows() == "1001");
    postgres().psql("subscriber", "drop subscription s");
    wait_until("its servers are gone", || postgres().sessions("publisher") == 0);
}

#[test]
fn postgres_js_subscribes() {
    let modules = programs::in_repository("tests/drivers/node_modules");
    assert!(modules.exists(), "{} is missing: run make setup", modules.display());
    let pooler = setup("js", "").start();
    postgres().psql("js", "create table heard (n int primary key); grant all on heard to replica");
    postgres().psql("js", "create publication alltables for all tables");
    let mut node = programs::limited("node");
    node.arg(programs::in_repository("tests/drivers/postgres_subscribe.mjs"));
    programs::run(node.env("PGWEIR_PORT", pooler.port.to_string()).env("PGWEIR_DATABASE", "js"));
}

#[test]
fn a_server_is_one_clients_whatever_the_pools_mode() {
    for mode in ["transaction", "statement", "session"] {
        let database = format!("own_{mode}");
        let pooler = setup(&database, &format!("pool_mode={mode} pool_size=3")).start();
        let options = ("options", "-c work_mem=77kB");
        let login = [("user", "replica"), ("database", &database), ("replication", "database"), options];
        let named = [&login[..], &[("application_name", "mine")]].concat();
        let mut own = Raw::log_in_with(pooler.port, &named);
        assert!(own.parameters.contains(&("application_name".into(), "mine".into())));
        let pid = own.simple("select pg_backend_pid()").value();
        assert_eq!(own.simple("show work_mem").value(), "77kB", "options go to the server as they come");
        let status = own.simple("begin").status;
        assert_eq!(status, Some(b'T'), "{mode}: a block is its own affair");
        let mut other = Raw::log_in(pooler.port, "replica", &database);
        assert_ne!(other.simple("select pg_backend_pid()").value(), pid);
        assert_eq!(other.simple("show work_mem").value(), "4MB");
        own.simple("commit");
        assert_eq!(own.simple("select pg_backend_pid()").value(), pid);
        own.send(&raw::frame(b'X', &[]));
        wait_until("its server is gone with it", || walsenders("mine") == 0);
        pooler.wait_for_log("closing because: replication client was closed");
    }
}

#[test]
fn a_full_pool_gives_up_one_idle_server_for_it() {
    let pooler = setup("evicts", "pool_size=2").start();
    let mut clients: Vec<Raw> = (0..2).map(|_| Raw::log_in(pooler.port, "replica", "evicts")).collect();
    clients.iter_mut().for_each(|client| client.send(&raw::query("select pg_sleep(0.1)")));
    assert!(clients.iter_mut().all(|client| client.outcome().status == Some(b'I')));
    assert_eq!(pool(&pooler, "replica"), ["0", "2", "0"]);
    let mut own = log_in(&pooler, "replica", "evicts", "database");
    assert_eq!(postgres().sessions("evicts"), 1, "the idle ones but one");
    assert_eq!(pool(&pooler, "replica"), ["1", "1", "0"]);
    assert_eq!(pooler.log().matches("closing because: evicted").count(), 1);
    assert_eq!(clients[0].simple("select 1").value(), "1");
    assert_eq!(own.simple("select 2").value(), "2");
}

#[test]
fn a_pool_full_of_them_makes_the_others_wait_and_they_wait_for_a_busy_one() {
    let pooler = setup("waits", "pool_size=1").start();
    let first = log_in(&pooler, "replica", "waits", "database");
    let mut other = Raw::log_in(pooler.port, "postgres", "waits");
    assert_eq!(other.simple("select 1").value(), "1", "another pool");
    let mut second = begin(&pooler, "waits");
    wait_until("it waits", || pool(&pooler, "replica") == ["1", "0", "1"]);
    let clients = pooler.ask("show clients").records();
    assert!(clients.iter().any(|row| row["replication"] == "logical" && row["state"] == "waiting"));
    let walsenders = "select count(*) from pg_stat_activity where datname = 'waits' \
                      and backend_type = 'walsender'";
    assert_eq!(postgres().psql("postgres", walsenders), "1");
    drop(first);
    assert_eq!(second.outcome().status, Some(b'I'));
    drop(second);
    let mut busy = Raw::log_in(pooler.port, "replica", "waits");
    busy.simple("begin");
    let mut third = begin(&pooler, "waits");
    wait_until("it waits", || pool(&pooler, "replica") == ["1", "0", "1"]);
    busy.simple("commit");
    assert_eq!(third.outcome().status, Some(b'I'), "the server that is released goes for it");
    assert!(pooler.log().contains("closing because: evicted"));
}

#[test]
fn caps_over_pools_hold_for_it() {
    let pooler = setup("capped", "pool_size=5 max_db_connections=2").start();
    let _first = log_in(&pooler, "replica", "capped", "database");
    let mut idle = Raw::log_in(pooler.port, "app", "capped");
    idle.simple("select 1");
    let _second = log_in(&pooler, "replica", "capped", "database");
    pooler.wait_for_log("closing because: evicted");
    let all = "select count(*) from pg_stat_activity where datname = 'capped'";
    assert_eq!(postgres().psql("postgres", all), "2");
    let mut third = begin(&pooler, "capped");
    wait_until("it waits", || pool(&pooler, "replica")[2] == "1");
    assert_eq!(postgres().psql("postgres", all), "2");
    drop(_first);
    assert_eq!(third.outcome().status, Some(b'I'));
}

#[test]
fn who_waits_too_long_or_leaves_is_done_with() {
    let pooler = setup("patience", "pool_size=1").set("query_wait_timeout", "0.5").start();
    let _first = log_in(&pooler, "replica", "patience", "database");
    assert_eq!(begin(&pooler, "patience").last_words(), "FATAL 08P01: query_wait_timeout");
    drop(begin(&pooler, "patience"));
    wait_until("nobody waits", || pool(&pooler, "replica")[2] == "0");
}

#[test]
fn a_time_limit_ends_what_it_runs_a_stream_too() {
    let pooler = setup("limited", "").set("query_timeout", "0.5").set("client_idle_timeout", "0.1").start();
    let mut own = log_in(&pooler, "replica", "limited", "true");
    own.simple("CREATE_REPLICATION_SLOT limited TEMPORARY PHYSICAL RESERVE_WAL");
    own.send(&raw::query("START_REPLICATION SLOT limited PHYSICAL 0/1000000"));
    let words = own.last_words();
    assert!(words.is_empty() || words == "FATAL 08P01: query timeout", "not amid a message: {words}");
    pooler.wait_for_log("closing because: query timeout");
    assert!(!pooler.log().contains("closing because: client_idle_timeout"));
}

#[test]
fn a_refusal_is_told_to_that_client_alone() {
    let pooler = setup("refuses", "").start();
    let login = [("user", "app"), ("database", "refuses")];
    for kind in ["database", "true"] {
        let words = refused(&pooler, &[&login[..], &[("replication", kind)]].concat());
        assert_eq!(words, "FATAL 08P01: login failed");
    }
    let closed = || pooler.log().matches("closing because: login failed (age=").count();
    wait_until("the log tells of clients and servers", || closed() == 4);
    pooler
        .wait_for_log("server login failed: FATAL must be superuser or replication role to start walsender");
    let mut other = Raw::log_in_with(pooler.port, &login);
    assert_eq!(other.simple("select 1").value(), "1", "the pool's other clients hear nothing of it");
    assert!(!pooler.log().contains("server login has been failing"));
}

#[test]
fn while_there_is_no_postgresql_it_waits() {
    let port = crate::common::free_port();
    let pooler = PoolerSetup::new(postgres())
        .user("replica", "")
        .database_at("later", &format!("host=127.0.0.1 port={port} dbname=app"))
        .set("server_login_retry", "0.3")
        .start();
    let mut client = begin(&pooler, "later");
    wait_until("it was tried again", || pooler.log().matches("connect failed (age=").count() >= 2);
    let found = std::net::TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    let (mut server, _) = found.accept().expect("it is tried again");
    let mut startup = [0; 512];
    let length = std::io::Read::read(&mut server, &mut startup).expect("it speaks first");
    let startup = String::from_utf8_lossy(&startup[..length]).into_owned();
    assert!(startup.contains("replication\0database\0"), "{startup:?}");
    let refusal = raw::frame(b'E', b"SFATAL\0C57P03\0Mstarting up\0\0");
    std::io::Write::write_all(&mut server, &refusal).expect("it reads");
    drop(server);
    pooler.wait_for_log("starting up");
    let (mut server, _) = found.accept().expect("that may pass, too");
    let refusal = raw::frame(b'E', b"SFATAL\0C28000\0Mno\0\0");
    std::io::Write::write_all(&mut server, &refusal).expect("it reads");
    assert_eq!(client.last_words(), "FATAL 08P01: login failed");
}

#[test]
fn rules_tell_physical_from_logical_ones() {
    let rules = "host replication replica all trust\nhost ruled app all trust\n\
                 host ruled postgres all trust\nhost pgbouncer admin all trust\n";
    let pooler = setup("ruled", "")
        .set("auth_type", "hba")
        .set("auth_hba_file", "rules.conf")
        .file("rules.conf", rules)
        .start();
    let of = |user, kind| [("user", user), ("database", "ruled"), ("replication", kind)];
    const NOT_FOUND: &str = "FATAL 08P01: no authentication method is found";
    assert_eq!(refused(&pooler, &of("replica", "database")), NOT_FOUND);
    assert_eq!(refused(&pooler, &of("postgres", "true")), NOT_FOUND, "no rule of its database is for it");
    let mut physical = Raw::log_in_with(pooler.port, &of("replica", "true"));
    assert_eq!(physical.simple("IDENTIFY_SYSTEM").rows.len(), 1);
    let mut logical = Raw::log_in_with(pooler.port, &of("postgres", "database"));
    assert_eq!(logical.simple("select 1").value(), "1");
}

#[test]
fn a_client_that_leaves_amid_a_stream_takes_its_server_along() {
    let pooler = setup("leaves", "pool_size=1").start();
    let mut own = log_in(&pooler, "replica", "leaves", "true");
    own.simple("CREATE_REPLICATION_SLOT amid TEMPORARY PHYSICAL RESERVE_WAL");
    own.send(&raw::query("START_REPLICATION SLOT amid PHYSICAL 0/1000000"));
    assert_eq!(own.read().map(|frame| frame.tag), Some(b'W'), "CopyBothResponse");
    assert_eq!(own.read().map(|frame| frame.tag), Some(b'd'));
    drop(own);
    let slots = "select count(*) from pg_replication_slots where slot_name = 'amid'";
    wait_until("the walsender has ended", || postgres().psql("postgres", slots) == "0");
    let mut next = log_in(&pooler, "replica", "leaves", "database");
    assert_eq!(next.simple("select 1").value(), "1", "the place is free again");
}

#[test]
fn both_ends_of_a_stream_are_closed_in_order() {
    let pooler = setup("ends", "").start();
    let mut own = log_in(&pooler, "replica", "ends", "true");
    own.simple("CREATE_REPLICATION_SLOT ends TEMPORARY PHYSICAL RESERVE_WAL");
    for _ in 0..2 {
        own.send(&raw::query("START_REPLICATION SLOT ends PHYSICAL 0/1000000"));
        assert_eq!(own.read().map(|frame| frame.tag), Some(b'W'));
        // a reply that asks for one, then the end of the client's half
        let mut reply = vec![b'r'];
        reply.extend([0; 32]);
        reply.push(1);
        own.send(&[raw::frame(b'd', &reply), raw::frame(b'c', &[])].concat());
        let outcome = own.outcome();
        assert!(outcome.errors.is_empty() && outcome.tags.ends_with("cCCZ"), "{outcome:?}");
        assert_eq!(own.simple("IDENTIFY_SYSTEM").rows.len(), 1, "the session goes on");
    }
}

/// A standby's word of how far it has come.
fn status_update(position: u64) -> Vec<u8> {
    let mut update = vec![b'r'];
    (0..3).for_each(|_| update.extend(position.to_be_bytes()));
    update.extend([0; 9]);
    raw::frame(b'd', &update)
}

#[test]
fn what_a_client_tells_while_it_does_not_read_reaches_its_server() {
    let pooler = setup("slow", "").start();
    let login = [("user", "replica"), ("database", "slow"), ("replication", "true")];
    let mut own = Raw::log_in_with(pooler.port, &[&login[..], &[("application_name", "slow")]].concat());
    own.simple("CREATE_REPLICATION_SLOT slow TEMPORARY PHYSICAL RESERVE_WAL");
    let begin = postgres().psql("postgres", "select pg_current_wal_lsn()");
    own.send(&raw::query(&format!("START_REPLICATION SLOT slow PHYSICAL {begin}")));
    let told = |columns: &str| {
        let sql = format!("select {columns} from pg_stat_replication where application_name = 'slow'");
        postgres().psql("postgres", &sql)
    };
    wait_until("both sockets are full", || {
        let fill = "select count(pg_logical_emit_message(false, '', repeat('x', 1000000))) \
                    from generate_series(1, 10)";
        let before = told("sent_lsn");
        postgres().psql("slow", fill);
        told(&format!("sent_lsn = '{before}' and sent_lsn < pg_current_wal_lsn()")) == "t"
    });
    own.send(&status_update(0x10_0000));
    wait_until("it is heard", || told("write_lsn") == "0/100000");
}

#[test]
fn a_server_that_ends_is_told_of() {
    let pooler = setup("dies", "").start();
    let mut own = log_in(&pooler, "replica", "dies", "database");
    let pid = own.simple("select pg_backend_pid()").value();
    postgres().psql("postgres", &format!("select pg_terminate_backend({pid})"));
    let outcome = own.outcome();
    assert_eq!(outcome.status, None);
    assert!(outcome.errors[0].contains("57P01"), "PostgreSQL's own words first: {outcome:?}");
}

#[test]
fn a_cancel_reaches_what_it_runs() {
    let pooler = setup("cancels", "").start();
    let mut own = log_in(&pooler, "replica", "cancels", "database");
    own.send(&raw::query("select pg_sleep(60) as cancel_the_replica"));
    wait_until("the query runs", || crate::cancel::running("as cancel_the_replica"));
    let mut messenger = Raw::tcp(pooler.port);
    messenger.send(&raw::cancel_request(&own.key.clone()));
    assert_eq!(messenger.read(), None);
    assert_eq!(own.outcome().errors, ["ERROR 57014: canceling statement due to user request"]);
    assert_eq!(own.simple("select 1").value(), "1");
}

#[test]
fn orders_reach_it() {
    let pooler = setup("orders", "pool_size=2").start();
    let mut own = log_in(&pooler, "replica", "orders", "database");
    let mut console = pooler.console();
    console.send(&raw::query("pause orders"));
    let mut late = begin(&pooler, "orders");
    wait_until("who comes while it pauses waits", || pool(&pooler, "replica")[2] == "1");
    assert_eq!(own.simple("select 1").value(), "1", "who is there works on, as in session pooling");
    pooler.ask("resume orders");
    assert_eq!(late.outcome().status, Some(b'I'));
    pooler.ask("reconnect orders");
    for raw in [&mut own, &mut late] {
        assert_eq!(raw.last_words(), "FATAL 08P01: database configuration changed", "at once");
    }
    let mut own = log_in(&pooler, "replica", "orders", "database");
    pooler.ask("kill orders");
    assert_eq!(own.last_words(), "FATAL 08P01: database removed");
    let mut waits = begin(&pooler, "orders");
    wait_until("it waits", || pool(&pooler, "replica")[2] == "1");
    pooler.ask("kill orders");
    assert_eq!(waits.last_words(), "FATAL 08P01: database removed");
}

#[test]
fn whom_show_clients_has_kill_client_finds() {
    let pooler = setup("kills", "pool_size=1").start();
    let mut both = [log_in(&pooler, "replica", "kills", "database"), begin(&pooler, "kills")];
    wait_until("one waits", || pool(&pooler, "replica") == ["1", "0", "1"]);
    let clients = pooler.ask("show clients").records();
    for (raw, state) in both.iter_mut().zip(["active", "waiting"]).rev() {
        let row = clients.iter().find(|row| row["replication"] == "logical" && row["state"] == state);
        let killed = pooler.ask(&format!("kill_client {}", row.expect("SHOW CLIENTS has it")["id"]));
        assert_eq!(killed.commands, ["KILL_CLIENT"], "{state}: {killed:?}");
        assert_eq!(raw.last_words(), "FATAL 08P01: admin forced disconnect");
    }
    wait_until("nobody is served", || pool(&pooler, "replica") == ["0", "0", "0"]);
}

#[test]
fn it_comes_over_tls_too() {
    let pooler = setup("veiled", "")
        .set("client_tls_sslmode", "require")
        .set("client_tls_cert_file", certs().server().display())
        .set("client_tls_key_file", certs().server_key().display())
        .start();
    let target = format!(
        "host=127.0.0.1 port={} user=replica dbname=veiled sslmode=require replication=database",
        pooler.port
    );
    let mut psql = programs::limited(programs::postgres("psql"));
    let said = programs::run(psql.args(["-X", "-At", "-d", &target, "-c", "IDENTIFY_SYSTEM"]));
    assert!(said.trim_end().ends_with("|veiled"), "{said}");
    pooler.wait_for_log("replication=database");
}
