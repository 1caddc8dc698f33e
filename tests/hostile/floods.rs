//! Floods and slowness, each with a bound: many connections, many bytes, a server that stands
//! still, a pooler that does.

use crate::common::raw::{Raw, bind, execute, parse, query, sync};
use crate::common::{Pooler, PoolerSetup, account, page, postgres, programs, wait_until};
use crate::states::log_in;
use crate::wire::Wire;
use crate::witness::{Held, beside, closed, only_ended, peer_port};
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::process::Command;
use std::time::{Duration, Instant};

fn setup() -> PoolerSetup {
    PoolerSetup::new(postgres())
        .set("workers", 2)
        .set("client_login_timeout", 6)
        .set("log_connections", 0)
        .database("quiet", "dbname=app pool_size=2")
        .database("evil", "dbname=app pool_size=2")
}

/// The witness, both pools, and so many that attack.
fn clients(count: usize) -> Held {
    Held { clients: 1 + count, servers: 4, ..Held::default() }
}

fn unauthenticated(count: usize) -> Held {
    Held { unauthenticated: count, ..clients(1) }
}

fn signal(pid: impl ToString, name: &str) {
    programs::run(Command::new("kill").args(["-s", name, &pid.to_string()]));
}

#[test]
fn connections_that_come_and_go_cost_others_nothing() {
    let mut pooler = setup().start();
    beside("comers and goers", &mut pooler, unauthenticated(100), |pooler| {
        for _ in 0..10 {
            let half_open: Vec<Wire> = (0..100).map(|_| Wire::connect(pooler.port)).collect();
            drop(half_open);
        }
        (0..200).for_each(|_| drop(log_in(&mut Wire::connect(pooler.port), "app", "evil")));
    });
    only_ended(&pooler, &[]);
}

#[test]
fn who_sends_one_byte_a_second_is_ended_and_named() {
    let mut pooler = setup().start();
    beside("slow logins", &mut pooler, unauthenticated(100), |pooler| {
        let mut slow: Vec<Wire> = (0..100).map(|_| Wire::connect(pooler.port)).collect();
        slow.iter_mut().for_each(|wire| {
            wire.send(&[0, 0, 0]);
        });
        wait_until("each is ended, and named", || {
            let log = pooler.log();
            let ended = closed(&log, " C-").into_iter().filter(|line| line.contains("client_login_timeout"));
            let ports: HashSet<u16> = ended.filter_map(peer_port).collect();
            slow.iter().all(|wire| ports.contains(&wire.port()))
        });
    });
    only_ended(&pooler, &["client_login_timeout"]);
}

#[test]
fn who_does_not_read_is_not_read_from() {
    let mut pooler = setup().start();
    beside("answers unread", &mut pooler, clients(6), |pooler| {
        let mut deaf: Vec<Wire> = (0..6).map(|_| Wire::connect(pooler.port)).collect();
        for (number, wire) in deaf.iter_mut().enumerate() {
            let (user, database) = if number < 2 { ("admin", "pgbouncer") } else { ("app", "evil") };
            log_in(wire, user, database);
            let asked = match number {
                0 | 1 => query("show help"),
                2 | 3 => query("select repeat('x', 100000)"),
                _ => [parse("", "select 1"), bind("", &[]), execute(), sync()].concat(),
            };
            // More than both sockets take.
            let many = asked.repeat((1 << 20) / asked.len());
            assert!(wire.is_full_before(&many, 64 << 20), "client {number} is read on");
        }
    });
    only_ended(&pooler, &[]);
}

/// Texts of statements: rounds, statements in each, bytes of each. Six times what
/// memory is allowed to grow by.
const TEXTS: (usize, usize, usize) = (80, 20, 100_000);

#[test]
fn many_statements_of_one_client_stay_within_the_bound() {
    const MEMORY: usize = 4 << 20;
    let (rounds, statements, bytes) = TEXTS;
    let settings = setup().set("max_prepared_statements", 100).set("prepared_statements_memory", "4 MB");
    let mut pooler = settings.start();
    // One more may be on its way to a server.
    let held = Held { bytes: 2 * MEMORY, ..clients(1) };
    assert!(rounds * statements * bytes > 5 * held.most_bytes(), "what is sent could be held: {held:?}");
    beside("many statements", &mut pooler, held, |pooler| {
        let mut raw = Raw::log_in(pooler.port, "app", "evil");
        for round in 0..rounds {
            let text = |number: usize| format!("select '{}{round}.{number}'", "x".repeat(bytes));
            let many: Vec<_> = (0..statements)
                .map(|number| parse(&format!("s{round}.{number}"), &text(number)))
                .chain([sync()])
                .collect();
            let taken = raw.try_send(&many.concat());
            let outcome = raw.outcome();
            match outcome.status {
                Some(status) => assert!(taken.is_ok() && status == b'I', "{:?}", outcome.errors),
                // Ended for it, and comes again.
                None => raw = Raw::log_in(pooler.port, "app", "evil"),
            }
        }
    });
    only_ended(&pooler, &["prepared statements take too much memory"]);
}

#[test]
fn a_server_that_stands_still_holds_up_its_own_clients_alone() {
    let mut pooler = setup().set("query_timeout", 2).start();
    beside("SIGSTOP of a backend", &mut pooler, clients(1), |pooler| {
        let mut raw = Raw::log_in(pooler.port, "app", "evil");
        let pid = raw.simple("select pg_backend_pid()").value();
        signal(&pid, "STOP");
        let ended = std::panic::catch_unwind(AssertUnwindSafe(|| raw.simple("select 1")));
        signal(&pid, "CONT");
        let outcome = ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert_eq!(outcome.status, None, "it is ended: {outcome:?}");
    });
    only_ended(&pooler, &["query timeout"]);
}

#[test]
fn a_pooler_that_stood_still_goes_on() {
    let pooler = setup().start();
    let mut raw = Raw::log_in(pooler.port, "app", "quiet");
    for round in 0..5 {
        pooler.signal("STOP");
        raw.send(&query(&format!("select '{round}'")));
        pooler.signal("CONT");
        assert_eq!(raw.outcome().rows, [[Some(round.to_string())]]);
    }
    wait_until("it is at rest", || pooler.ask("show pools").errors.is_empty());
    only_ended(&pooler, &[]);
}

#[test]
fn a_client_that_stands_still_holds_up_itself_alone() {
    let mut pooler = setup().start();
    let mut psql = Command::new(programs::postgres("psql"));
    psql.args(["-X", "-At", "-h", "127.0.0.1", "-U", "app", "-d", "evil", "-p", &pooler.port.to_string()]);
    psql.args([
        "-c",
        "select pg_advisory_lock_shared(7); select repeat('stopped', 150000) from generate_series(1, 60)",
    ]);
    let waits = "select count(*) from pg_stat_activity where query like '%''stopped''%' and wait_event = '";
    let waits = |event: &str| postgres().psql("postgres", &format!("{waits}{event}'")) == "1";
    // It says nothing before it has been stopped.
    let mut gate = Raw::log_in(postgres().port, "app", "app");
    gate.simple("select pg_advisory_lock(7)");
    beside("SIGSTOP of a client", &mut pooler, clients(1), |_| {
        let mut psql = psql.stdout(std::process::Stdio::null()).spawn().expect("psql runs");
        let stopped = std::panic::catch_unwind(AssertUnwindSafe(|| {
            wait_until("its query runs", || waits("advisory"));
            signal(psql.id(), "STOP");
            gate.simple("select pg_advisory_unlock(7)");
            wait_until("its answer is in nobody's memory but PostgreSQL's", || waits("ClientWrite"));
        }));
        signal(psql.id(), "CONT");
        stopped.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert!(psql.wait().expect("is our child").success(), "it gets its answer all the same");
    });
    only_ended(&pooler, &[]);
}

/// Has the pooler find no descriptor beyond `more` than it has.
fn leave_descriptors(pooler: &Pooler, more: usize) {
    let most = pooler.descriptors() + more;
    let (pid, limit) = (pooler.pid().to_string(), format!("--nofile={most}:"));
    // Under the pooler's own account: it may, and root in a container may not.
    programs::run(account::command("prlimit").args(["--pid", &pid, &limit]));
}

#[test]
fn a_process_without_descriptors_serves_on_and_says_so_once() {
    // The settings that let a test count them where it is not root.
    let mut pooler = setup().set("allow_core_dump", 1).start();
    drop(Raw::log_in(pooler.port, "app", "evil"));
    let told = |pooler: &Pooler| pooler.log().matches("accept() failed").count();
    let (began, reason) = (Instant::now(), "closing because: too many logins at a time");
    beside("no descriptors", &mut pooler, unauthenticated(100), |pooler| {
        let made_room = |pooler: &Pooler| pooler.log().matches(reason).count();
        let before = made_room(pooler);
        leave_descriptors(pooler, 3);
        let mut unauthenticated: Vec<Wire> = (0..100).map(|_| Wire::connect(pooler.port)).collect();
        // Whoever says nothing is not accepted (tcp_defer_accept).
        unauthenticated.iter_mut().for_each(|wire| {
            wire.send(&[0, 0]);
        });
        pooler.wait_for_log("accept() failed");
        wait_until("they make room", || made_room(pooler) > before);
        // A line a minute, however often it is tried.
        let most = 1 + began.elapsed().as_secs() / 60;
        assert!(told(pooler) as u64 <= most, "{} lines, {most} are right", told(pooler));
        drop(unauthenticated);
        leave_descriptors(pooler, 60);
        wait_until("logins work again", || {
            let mut wire = Wire::connect(pooler.port);
            !log_in(&mut wire, "app", "evil").is_empty()
        });
        let mut raw = Raw::log_in(pooler.port, "app", "evil");
        assert_eq!(raw.simple("select 'served'").value(), "served");
    });
    only_ended(&pooler, &[reason]);
}

#[test]
fn clients_leave_the_last_descriptors_to_others() {
    let mut pooler = setup().set("allow_core_dump", 1).set("max_client_conn", 1_000).with_page().start();
    let refused = "closing because: no more connections allowed (max_client_conn)";
    beside("clients on every descriptor", &mut pooler, clients(200), |pooler| {
        leave_descriptors(pooler, 100);
        let (mut held, mut refused) = (Vec::new(), 0);
        while refused < 20 {
            let mut wire = Wire::connect(pooler.port);
            match log_in(&mut wire, "app", "evil")[..] {
                [] => refused += 1,
                _ => held.push(wire),
            }
        }
        assert!((60..100).contains(&held.len()), "{} are let in", held.len());
        assert_eq!(page::get(pooler.page_port(), "/live").0, "HTTP/1.1 200 OK");
        assert!(!page::metrics(pooler.page_port()).is_empty());
        assert!(pooler.ask("show clients").records().len() > held.len());
        let mut last = held.pop().expect("somebody is there");
        last.send(&query("select 'a new server'")).read_until(b"a new server", Duration::from_secs(3));
        let told = pooler.log().matches("clients are refused: the last open files").count();
        assert_eq!(told, 1, "once a minute");
    });
    only_ended(&pooler, &[refused]);
}

#[test]
fn servers_leave_the_last_descriptors_to_the_console() {
    let many = |setup: PoolerSetup| setup.database("many", "dbname=app pool_size=200");
    let mut pooler = many(setup()).set("allow_core_dump", 1).with_page().start();
    beside("servers on every descriptor", &mut pooler, Held { servers: 100, ..clients(50) }, |pooler| {
        let mut held: Vec<Wire> = (0..50).map(|_| Wire::connect(pooler.port)).collect();
        assert!(held.iter_mut().all(|wire| !log_in(wire, "app", "many").is_empty()));
        leave_descriptors(pooler, 40);
        held.iter_mut().for_each(|wire| {
            wire.send(&query("begin"));
        });
        pooler.wait_for_log("Too many open files");
        assert_eq!(page::get(pooler.page_port(), "/live").0, "HTTP/1.1 200 OK");
        assert!(pooler.ask("show clients").records().len() > held.len());
        assert_eq!(pooler.ask("reload").errors, [""; 0]);
    });
    only_ended(&pooler, &[]);
}

/// A PostgreSQL that lets one in, never answers its query, and accepts nothing more: who wants to
/// cancel waits in its backlog.
fn deaf_postgresql() -> (u16, std::sync::mpsc::Sender<()>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("is bound").port();
    let (open, opened) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut first, _) = listener.accept().expect("somebody comes");
        std::io::Read::read(&mut first, &mut [0; 4096]).expect("a startup");
        std::io::Write::write_all(&mut first, &crate::servers::welcome()).expect("it is read");
        let _ = opened.recv();
    });
    (port, open)
}

#[test]
fn whoever_holds_a_key_cannot_pile_up_cancel_requests() {
    const LOGINS: usize = 20;
    let (port, open) = deaf_postgresql();
    let mut pooler = setup()
        .set("max_login_conn", LOGINS)
        .set("server_connect_timeout", 600)
        .set("cancel_wait_timeout", 600)
        .set("allow_core_dump", 1)
        .database_at("deaf", &format!("host=127.0.0.1 port={port} pool_size=100"))
        .start();
    let mut holder = Raw::log_in(pooler.port, "app", "deaf");
    holder.send(&query("select 'never answered'"));
    let row = |pooler: &Pooler| {
        let rows = pooler.ask("show pools").records();
        rows.into_iter().find(|row| row["database"] == "deaf").expect("there is a pool")
    };
    let mut before = None;
    beside("cancel requests", &mut pooler, unauthenticated(LOGINS), |pooler| {
        let row = || row(pooler);
        wait_until("the query runs", || row()["cl_active"] == "1" && row()["sv_active"] == "1");
        let before = *before.get_or_insert_with(|| pooler.descriptors());
        let request = crate::common::raw::cancel_request(&holder.key);
        let mut requests: Vec<Wire> = (0..100).map(|_| Wire::connect(pooler.port)).collect();
        requests.iter_mut().for_each(|wire| {
            wire.send(&request);
        });
        wait_until("they are carried", || row()["cl_active_cancel_req"] == "4");
        // They make room for each other, and for whoever else comes.
        assert_eq!(Raw::log_in(pooler.port, "app", "evil").simple("select 'in'").value(), "in");
        for _ in 0..20 {
            let (row, open) = (row(), pooler.descriptors());
            assert_eq!((&*row["cl_active_cancel_req"], &*row["cl_waiting_cancel_req"]), ("4", "0"));
            // Those who wait to log in, what is carried; the two connections that ask
            // here, and a server of theirs.
            assert!(open <= before + LOGINS + 4 + 8, "{open} descriptors, {before} before");
        }
    });
    // A request whose connection makes room is carried all the same: nobody has lost anything.
    only_ended(&pooler, &[]);
    drop(open);
    wait_until("nothing is left", || {
        row(&pooler)["cl_active_cancel_req"] == "0"
            && Some(pooler.descriptors()) <= before.map(|count| count + 8)
    });
}
