//! Whole workers in a simulated world: the program's own `worker::Worker`, driver and `Core` over simulated
//! sockets, simulated PostgreSQL servers and clients at random, in virtual time, everything from one number.
//!
//! `PGWEIR_SIM_SEED=<n>` replays one run and prints its last events; `PGWEIR_SIM_SEEDS=<n>` runs so many,
//! from `PGWEIR_SIM_FROM=<n>` on; `PGWEIR_SIM_GO_ON=1` goes on after a failure and lists all of them. That
//! holds for each kind of [`Worlds`] that has a test to search it: name the test, as a failure does. What is
//! asserted stands in ARCHITECTURE.md, "Invariants, as the simulation asserts them".

mod ages;
mod audited;
mod backend;
mod bounds;
mod cancels;
mod cases;
mod check;
mod client;
mod context;
mod doubts;
mod driver;
mod drives;
mod ear;
mod follows;
mod found;
mod ground;
mod identities;
mod kernel;
mod limits;
mod listener;
mod logins;
mod names;
mod plan;
mod plane;
mod reloads;
mod replication;
mod rest;
mod rng;
mod script;
mod server;
mod session;
mod sql;
mod supply;
mod tenures;
mod tls;
mod unasked;
mod unauthenticated;
mod unnamed;
mod weather;
mod wire;
mod work;
mod world;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

/// A kind of worlds, each made of a number.
struct Worlds {
    /// The test that searches them.
    test: &'static str,
    /// Those of one `cargo test`; the environment names others.
    seeds: std::ops::Range<u64>,
    /// The world of a number; whether it keeps a log.
    make: fn(u64, bool) -> world::World,
}

const WITH_FAULTS: Worlds = Worlds {
    test: "worlds_with_faults_keep_every_promise",
    seeds: 0..5_000,
    make: |seed, logs| world::World::new(seed, true, logs),
};

const RENEWALS: Worlds = Worlds {
    test: "no_renewal_is_late_that_could_be_in_time",
    seeds: 5_000_000..5_000_008,
    make: |seed, logs| {
        let mut rng = rng::Rng::new(seed);
        world::World::of(plan::Plan::for_renewals(&mut rng), seed, &mut rng, logs)
    },
};

const QUIET: Worlds = Worlds {
    test: "the_same_seed_is_the_same_world",
    seeds: 1_000_000..1_000_020,
    make: |seed, logs| world::World::new(seed, false, logs),
};

/// Lines of the log that a failure's report shows, unless `PGWEIR_SIM_LINES` says otherwise.
const LOG_LINES: u64 = 150;

thread_local! {
    static LOG: RefCell<VecDeque<String>> = const { RefCell::new(VecDeque::new()) };
    static LINES_MAX: u64 = from_environment("PGWEIR_SIM_LINES").unwrap_or(LOG_LINES);
}

/// Keeps a line of the log for a report.
fn publish(line: String) {
    LOG.with_borrow_mut(|log| {
        if log.len() as u64 == LINES_MAX.with(|lines| *lines) {
            log.pop_front();
        }
        log.push_back(line);
    });
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// One whole run; the hash of all that happened.
fn live(worlds: &Worlds, seed: u64, logs: bool) -> u64 {
    ear::open();
    ear::closed();
    ear::canceled();
    let world = (worlds.make)(seed, logs);
    let ear = ear::Ear { faults: world.plan.faults };
    tracing::subscriber::with_default(ear, || world.run())
}

/// Runs one seed; a failure is told with its last events.
fn run(worlds: &Worlds, seed: u64) -> Result<u64, String> {
    let result = catch_unwind(|| live(worlds, seed, false));
    result.map_err(|_| {
        LOG.take();
        let again = catch_unwind(AssertUnwindSafe(|| live(worlds, seed, true)));
        let reason = again.err().map_or("it passes the second time".to_owned(), |panic| text_of(&*panic));
        let log: Vec<_> = LOG.take().into();
        format!(
            "{}\nseed {seed}: {reason}\nreplay: PGWEIR_SIM_SEED={seed} cargo test --test sim {}",
            log.join("\n"),
            worlds.test
        )
    })
}

/// Runs seeds on all cores and lists those that fail, each with the first line of why.
fn list_all(worlds: &Worlds, seeds: std::ops::Range<u64>) {
    let next = AtomicU64::new(seeds.start);
    let failed = std::sync::Mutex::new(Vec::new());
    std::panic::set_hook(Box::new(|_| {}));
    let run_some = || {
        while let seed @ 0.. = next.fetch_add(1, Ordering::Relaxed)
            && seed < seeds.end
        {
            if let Err(panic) = catch_unwind(|| live(worlds, seed, false)) {
                let text = text_of(&*panic);
                let text = text.lines().next().unwrap_or_default().to_owned();
                failed.lock().expect("no run panics here").push((seed, text));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        (0..threads).for_each(|_| drop(scope.spawn(run_some)));
    });
    drop(std::panic::take_hook());
    let mut failed = failed.into_inner().expect("no run panics here");
    failed.sort();
    let lines: Vec<_> = failed.iter().map(|(seed, text)| format!("seed {seed}: {text}")).collect();
    assert!(
        failed.is_empty(),
        "{} of {} seeds fail:\n{}",
        failed.len(),
        seeds.end - seeds.start,
        lines.join("\n")
    );
}

/// Runs seeds on all cores; the first failure ends it.
fn run_all(worlds: &Worlds, seeds: std::ops::Range<u64>) {
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicU64::new(u64::MAX);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while failed.load(Ordering::Relaxed) == u64::MAX {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    if catch_unwind(|| live(worlds, seed, false)).is_err() {
                        failed.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    drop(std::panic::take_hook());
    let seed = failed.load(Ordering::Relaxed);
    if seed != u64::MAX {
        report(worlds, seed);
    }
}

fn report(worlds: &Worlds, seed: u64) {
    if let Err(report) = run(worlds, seed) {
        panic!("{report}");
    }
}

/// Runs what the environment names of these worlds.
fn search(worlds: &Worlds) {
    if let Some(seed) = from_environment("PGWEIR_SIM_SEED") {
        return report(worlds, seed);
    }
    let std::ops::Range { start, end } = worlds.seeds;
    let from = from_environment("PGWEIR_SIM_FROM").unwrap_or(start);
    let seeds = from..from + from_environment("PGWEIR_SIM_SEEDS").unwrap_or(end - start);
    match from_environment("PGWEIR_SIM_GO_ON") {
        Some(1..) => list_all(worlds, seeds),
        _ => run_all(worlds, seeds),
    }
}

#[test]
fn worlds_with_faults_keep_every_promise() {
    search(&WITH_FAULTS);
}

#[test]
fn no_renewal_is_late_that_could_be_in_time() {
    search(&RENEWALS);
}

#[test]
fn servers_do_grow_old() {
    for seed in 2_000_000..2_000_200 {
        live(&WITH_FAULTS, seed, false);
    }
    let heard = ear::heard();
    let ends = ["authorization renewed", "authorization too old", "authorization denied"];
    for what in ends.iter().chain(&check::SHOWN) {
        assert!(heard.contains(*what), "none of these worlds has shown: {what}");
    }
}

#[test]
fn worlds_of_renewals_meet_what_they_assert() {
    let kinds = [logins::REPLACED_BEFORE, logins::SEVERAL, "authorization renewed"];
    let has_shown = |seed| {
        live(&RENEWALS, seed, false);
        kinds.iter().all(|kind| ear::heard().contains(*kind))
    };
    let missing = || kinds.into_iter().filter(|kind| !ear::heard().contains(*kind)).collect::<Vec<_>>();
    assert!(RENEWALS.seeds.into_iter().any(has_shown), "none of these worlds has shown: {:?}", missing());
}

#[test]
fn servers_do_move_with_bytes_gathered() {
    let kinds = [check::MOVED_GATHERED, check::MOVED_FULL];
    // Some of those in which the driver once was mistaken about just that, then others.
    let seeds = [169, 340, 535, 590, 676, 1085].into_iter().chain(3_000_000..3_002_000);
    let has_shown = |seed| {
        live(&WITH_FAULTS, seed, false);
        kinds.iter().all(|kind| ear::heard().contains(*kind))
    };
    assert!(seeds.into_iter().any(has_shown), "these worlds move servers at rest only");
}

#[test]
fn worlds_meet_what_they_assert() {
    let kinds = [
        ear::MOVED,
        check::MOVED_TLS,
        work::AT_THE_BOUND[0],
        work::AT_THE_BOUND[1],
        work::AT_THE_BOUND[2],
        work::OWES_ALL,
        check::FORGOTTEN,
        plan::STATEMENTS_FULL,
        plan::CLIENT_STATEMENTS_FULL,
        plan::PARAMETERS_TOO_LONG,
        cancels::JOINED,
        cancels::OVER_LIMIT,
        unauthenticated::CUT_OFF,
        unauthenticated::MOVED_ON,
        plane::REFUSED,
        logins::SEVERAL,
        logins::BESIDE_RENEWALS,
        plane::UNANSWERED,
        logins::FROM_RESERVE,
        logins::FAIL_TOGETHER,
        logins::KEPT,
        replication::OWN_SERVER,
        replication::MADE_ROOM,
        identities::EXPIRED,
        identities::DENIED,
        identities::DRAINS,
    ];
    let has_shown = |seed| {
        live(&WITH_FAULTS, seed, false);
        kinds.iter().all(|kind| ear::heard().contains(*kind))
    };
    let missing = || kinds.into_iter().filter(|kind| !ear::heard().contains(*kind)).collect::<Vec<_>>();
    assert!((4_000_000..4_001_000).any(has_shown), "none of these worlds has shown: {:?}", missing());
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in QUIET.seeds {
        let [one, two] = [(), ()].map(|()| live(&QUIET, seed, false));
        assert_eq!(one, two, "seed {seed}");
    }
}
