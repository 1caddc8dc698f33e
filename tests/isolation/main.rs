//! Isolation under load: hundreds of clients on a few servers run random mixes of everything, and each sees
//! only its own rows, parameters and statements; the caps hold at every moment as PostgreSQL itself counts; a
//! server that is killed hurts only whoever was linked to it.
//!
//! `PGWEIR_LOAD_SECONDS` sets how long (usually 10); `PGWEIR_SEED` repeats a run's choices.

#[path = "../common/mod.rs"]
mod common;
mod load;

use common::{PoolerSetup, load_time, postgres, wait_until};
use load::{Client, Report, Shared};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

const CLIENTS: usize = 200;
const CLIENTS_OF_OTHER: usize = 20;
const POOL_SIZE: usize = 5;
const DATABASE_MAX: usize = 7;

/// What the monitor saw at most.
#[derive(Debug, Default)]
struct Peaks {
    app: usize,
    other: usize,
    both: usize,
    looks: usize,
}

/// Counts sessions in PostgreSQL again and again, over one connection of its own, until `stop`.
fn watch(stop: &AtomicBool) -> Peaks {
    let mut raw = common::raw::Raw::log_in(postgres().port, "postgres", "postgres");
    let sql = "select count(*) filter (where usename = 'app'), count(*) filter (where usename = 'other') \
               from pg_stat_activity where datname = 'isolation' and backend_type = 'client backend'";
    let mut peaks = Peaks::default();
    while !stop.load(Ordering::Relaxed) {
        let outcome = raw.simple(sql);
        let count = |column: usize| {
            outcome.rows[0][column].as_deref().and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        let (app, other): (usize, usize) = (count(0), count(1));
        peaks.app = peaks.app.max(app);
        peaks.other = peaks.other.max(other);
        peaks.both = peaks.both.max(app + other);
        peaks.looks += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    peaks
}

/// Ends a server of the pool every now and then; returns how many it ended.
fn kill(stop: &AtomicBool) -> usize {
    let mut raw = common::raw::Raw::log_in(postgres().port, "postgres", "postgres");
    let sql = "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'isolation' \
               and backend_type = 'client backend' order by random() limit 1";
    let mut killed = 0;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(300));
        killed += raw.simple(sql).rows.len();
    }
    killed
}

#[test]
fn each_client_sees_only_its_own_and_the_caps_hold() {
    postgres().psql("postgres", "create database isolation owner app");
    postgres().psql("isolation", "create table rows (client int, n int); grant all on rows to public");
    let limits = format!("pool_size={POOL_SIZE} max_db_connections={DATABASE_MAX}");
    let setup = PoolerSetup::new(postgres()).database("isolation", &limits);
    // The number of workers is a setting of ours that PgBouncer, which PGWEIR_BIN may name, does not know.
    let setup = if std::env::var_os("PGWEIR_BIN").is_some() { setup } else { setup.set("workers", 2) };
    let pooler =
        setup.set("log_connections", 0).set("log_disconnections", 0).set("query_wait_timeout", 60).start();
    let seed = std::env::var("PGWEIR_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(u64::from(std::process::id()));
    println!("PGWEIR_SEED={seed}");

    let shared =
        Shared { port: pooler.port, until: Instant::now() + load_time(10), hurt: AtomicUsize::new(0) };
    let stop = AtomicBool::new(false);
    let (reports, peaks, killed) = std::thread::scope(|scope| {
        let (watcher, killer) = (scope.spawn(|| watch(&stop)), scope.spawn(|| kill(&stop)));
        let clients: Vec<ScopedJoinHandle<'_, Report>> = (0..CLIENTS + CLIENTS_OF_OTHER)
            .map(|number| {
                let user = if number < CLIENTS { "app" } else { "other" };
                let shared = &shared;
                let start = move || Client::new(shared, number, user, seed).run();
                let thread = std::thread::Builder::new().stack_size(512 << 10);
                thread.spawn_scoped(scope, start).expect("a thread for each client")
            })
            .collect();
        // Joined first and judged afterwards, so that a failed client does not leave
        // the others without an end.
        let ended: Vec<_> = clients.into_iter().map(ScopedJoinHandle::join).collect();
        stop.store(true, Ordering::Relaxed);
        let peaks = watcher.join().expect("the monitor came through");
        let killed = killer.join().expect("the killer came through");
        let reports: Vec<Report> =
            ended.into_iter().map(|end| end.expect("a client failed, see above")).collect();
        (reports, peaks, killed)
    });

    let steps: usize = reports.iter().map(|report| report.steps).sum();
    let hurt = shared.hurt.load(Ordering::Relaxed);
    println!("{steps} steps, {killed} servers killed, {hurt} clients hurt, {peaks:?}");
    assert!(peaks.app <= POOL_SIZE && peaks.other <= POOL_SIZE && peaks.both <= DATABASE_MAX, "{peaks:?}");
    assert!(peaks.looks > 50 && peaks.app >= 2, "the monitor saw the load: {peaks:?}");
    assert!(hurt <= killed, "{killed} servers were killed, but {hurt} clients were hurt");
    assert!(killed > 0 && reports.iter().all(|report| report.steps > 0), "everybody got a turn: {reports:?}");
    wait_until("every server came back", || {
        let pools = pooler.ask("show pools").records();
        let own = pools.iter().filter(|row| row["database"] == "isolation");
        own.into_iter().all(|row| row["sv_active"] == "0" && row["cl_waiting"] == "0")
    });
}
