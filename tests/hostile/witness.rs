//! The client that behaves: it asks on while others attack, and each of its answers has to be right and in time.

#![allow(clippy::print_stdout, reason = "a run tells its seed and figures")]

use crate::common::Pooler;
use crate::common::raw::Raw;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// No answer may take longer, on the slowest machine; the figure itself is printed. (Speed is the load test's affair.)
const SLOWEST: Duration = Duration::from_secs(5);

/// Resident memory that no attack of this suite may take the pooler beyond: a debug build with all its pools is below 100 MiB.
const RESIDENT_KIB_MAX: u64 = 400 << 10;

fn percentile(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// Asks until `is_over`; returns how long each answer took.
fn ask(port: u16, is_over: impl Fn(usize) -> bool) -> Vec<Duration> {
    let mut raw = Raw::log_in(port, "app", "quiet");
    let mut times = Vec::new();
    while !is_over(times.len()) {
        let began = Instant::now();
        let tag = format!("quiet/{}", times.len());
        assert_eq!(raw.simple(&format!("select '{tag}'")).value(), tag);
        times.push(began.elapsed());
        std::thread::sleep(Duration::from_millis(2));
    }
    times
}

/// Runs `attack` while the witness asks on in database `quiet`; then holds the pooler to its promises.
#[track_caller]
pub fn beside<T>(what: &str, pooler: &mut Pooler, attack: impl FnOnce(&Pooler) -> T) -> T {
    let quiet = percentile(&mut ask(pooler.port, |count| count == 100));
    let stop = AtomicBool::new(false);
    let (attacked, witnessed) = std::thread::scope(|scope| {
        let port = pooler.port;
        let stopped = &stop;
        let witness = scope.spawn(move || ask(port, |count| count > 20 && stopped.load(Ordering::Relaxed)));
        let attacked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| attack(pooler)));
        stop.store(true, Ordering::Relaxed);
        (attacked, witness.join())
    });
    if let Some(status) = pooler.status() {
        let log = pooler.log();
        panic!("{what}: the process has ended with {status}:\n{}", &log[log.len().saturating_sub(4000)..]);
    }
    let result = attacked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let mut times = witnessed.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let (count, resident) = (times.len(), pooler.resident_kib());
    let (worst, p99) = (times.iter().max().copied().unwrap_or_default(), percentile(&mut times));
    println!(
        "{what}: {count} answers, p99 {p99:?} (quiet {quiet:?}), worst {worst:?}, resident {resident} KiB"
    );
    assert!(worst < SLOWEST, "{what}: an answer took {worst:?}");
    assert!(resident < RESIDENT_KIB_MAX, "{what}: {resident} KiB resident");
    assert!(!pooler.log().contains("panicked"), "nothing panics");
    result
}
