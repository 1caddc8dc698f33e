//! The same sessions before PgBouncer and before pgweir: scripted ones and random ones, byte for byte but for
//! keys, pids and times.
//!
//! PgBouncer is the one on PATH; without one the tests are skipped. What pgweir does otherwise stands in
//! `known/list.rs`, with the reason; anything else is a failure, which prints the shortest session that shows
//! it. `PGWEIR_DIFF_SEEDS=<n>` plays so many random sessions, `PGWEIR_DIFF_SEED=<n>` that one only;
//! `PGWEIR_DIFF_SCRIPT=<words>` plays the scripted sessions whose names hold these words.

#[path = "../common/mod.rs"]
mod common;

mod known;
mod mask;
mod peer;
mod play;
mod random;
mod scripts;
mod shrink;
mod steps;
mod world;

use known::{Difference, LIST, Verdict};
use play::{BRISK, PATIENT, Session};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use world::{CURRENT, Reference};

/// Random sessions of one `cargo test`.
const SEEDS: u64 = 80;

/// Most of a session is waiting.
const THREADS: usize = 8;

fn reference() -> Option<Reference> {
    Reference::find().or_else(|| common::skip::skip("no pgbouncer on PATH"))
}

/// Runs `work` for each of `all`, some at a time, each beside the name of a database for it alone.
fn for_each<T: Sync>(name: &str, all: &[T], work: impl Fn(&T, &str) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS.min(all.len()) {
            let (next, work) = (&next, &work);
            scope.spawn(move || {
                let database = format!("{name}_{thread}");
                world::database(common::postgres(), &database);
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(one, &database);
                }
            });
        }
    });
}

/// Plays a session; what seems to differ is played again with more patience, and counts only then.
fn judge(session: &Session, reference: &Reference, database: &str, they_share: bool) -> Verdict {
    let play = |pace| {
        let lines = session.play(reference, database, pace);
        known::compare(&lines, reference.version, they_share)
    };
    let verdict = play(BRISK);
    if verdict.differences.is_empty() { verdict } else { play(PATIENT) }
}

#[test]
fn scripted_sessions_are_the_same() {
    let Some(reference) = reference() else { return };
    let words = std::env::var("PGWEIR_DIFF_SCRIPT").unwrap_or_default();
    let mut scripts = scripts::all();
    scripts.retain(|script| script.since <= reference.version && script.name.contains(&words));
    let met = Mutex::new(BTreeSet::new());
    let failures = Mutex::new(String::new());
    for_each("scripted", &scripts, |script, database| {
        let verdict = judge(&script.session, &reference, database, false);
        met.lock().unwrap().extend(verdict.met);
        for difference in &verdict.differences {
            let case = script.case_of(difference.step);
            let told = told(&script.session, difference);
            writeln!(failures.lock().unwrap(), "{}, {case}: {told}", script.name).unwrap();
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "PgBouncer {:?} and pgweir differ:\n{failures}", reference.version);
    let met = met.into_inner().unwrap();
    let mut gone = Vec::new();
    for known in LIST.iter().filter(|known| known.concerns(reference.version)) {
        match met.contains(known.name) {
            true => println!("as expected, {}: {}", known.name, known.reason),
            false if known.always => gone.push(known.name),
            false => {}
        }
    }
    if words.is_empty() && reference.version >= CURRENT {
        assert!(gone.is_empty(), "differences of known/list.rs that no script has met: {gone:?}");
    }
}

#[test]
fn random_sessions_are_the_same() {
    let Some(reference) = reference().filter(|reference| reference.version >= CURRENT) else { return };
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds: Vec<u64> = match number("PGWEIR_DIFF_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("PGWEIR_DIFF_SEEDS").unwrap_or(SEEDS)).collect(),
    };
    let failures = Mutex::new(String::new());
    for_each("random", &seeds, |seed, database| {
        let session = random::session(*seed);
        let differs = |session: &Session| !judge(session, &reference, database, true).differences.is_empty();
        if differs(&session) {
            let shortest = shrink::shrink(&session, differs);
            let verdict = judge(&shortest, &reference, database, true);
            let told = verdict.differences.first().map(|difference| told(&shortest, difference));
            let steps: Vec<_> = shortest.steps.iter().map(|step| format!("    {step}\n")).collect();
            writeln!(
                failures.lock().unwrap(),
                "PGWEIR_DIFF_SEED={seed}: {}\n  {:?}\n{}",
                told.unwrap_or_else(|| "differs now and then".into()),
                shortest.world,
                steps.concat()
            )
            .unwrap();
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "PgBouncer {:?} and pgweir differ:\n{failures}", reference.version);
}

fn told(session: &Session, difference: &Difference) -> String {
    let Difference { step, who, theirs, ours, whole: [all, all_of_ours] } = difference;
    let shown = session.steps.get(*step).map_or_else(|| "the end".into(), ToString::to_string);
    format!(
        "step {step}, seen by client {who}: {shown}\n  theirs: {theirs}\n  ours:   {ours}\n  of their {}\n  \
         and our  {}",
        all.join(" / "),
        all_of_ours.join(" / ")
    )
}
