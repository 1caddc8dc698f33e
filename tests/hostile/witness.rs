//! The client that behaves: it asks on while others attack, and each of its answers has to be right and in time.

#![allow(clippy::print_stdout, reason = "a run tells its seed and figures")]

use crate::common::Pooler;
use crate::common::raw::Raw;
use crate::wire::is_long;
use pgweir::base::limits;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// No answer may take longer, on the slowest machine; the figure itself is printed. (Speed is the load test's affair.)
const SLOWEST: Duration = Duration::from_secs(5);

/// In a long run, so many times the quiet p99 is the most that an attack may make of it. Attackers and PostgreSQL share the
/// pooler's cores here; how much that alone costs, a second client knows that asks PostgreSQL itself: where the attack slows it
/// down, the client behind the pooler may be slowed down as much once more.
const P99_TIMES: f64 = 2.0;

/// Fewer answers have no p99 that says anything.
const ANSWERS_MIN: usize = 1_000;

/// How large an attack is: what it may make the pooler hold follows by `base/limits.rs`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// Connections that have not proven who they are.
    pub strangers: usize,
    /// Clients at a time.
    pub clients: usize,
    /// Servers at a time, those that are logged in to included.
    pub servers: usize,
    /// What else there is a bound for: texts of statements by their setting, buffers.
    pub bytes: usize,
}

impl Held {
    /// Beside what is held for peers: pages of the program touched for the first time, stacks, lines on their way to the log, and
    /// what the allocator has got back and keeps.
    const OTHER_BYTES: usize = 12 << 20;

    /// By how much memory may grow.
    pub fn most_bytes(self) -> usize {
        let call = 2 * limits::READ_BUFFER_BYTES + limits::MADE_BYTES_PER_CALL + limits::PARAMETERS_BYTES_MAX;
        // a startup or a message, and the task
        let stranger = limits::STARTUP_BYTES_MAX + limits::LOGIN_MESSAGE_BYTES_MAX;
        let server = call + 16 * limits::EXPECTED_MAX + limits::SERVER_LOGIN_MESSAGE_BYTES_MAX as usize;
        let peers = self.strangers * stranger + self.clients * call + self.servers * server;
        peers + self.bytes + Self::OTHER_BYTES
    }
}

/// Held by the attack that is under way in a long run.
static ALONE: Mutex<()> = Mutex::new(());

fn percentile(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// What a witness has seen.
#[derive(Debug, Default)]
struct Seen {
    times: Vec<Duration>,
    resident_kib: u64,
}

impl Seen {
    fn p99(&mut self) -> Duration {
        percentile(&mut self.times)
    }
}

/// The two that ask: one through the pooler, one as far from PostgreSQL as the pooler is.
struct Witnesses {
    pooled: Raw,
    direct: Raw,
}

impl Witnesses {
    fn new(pooler: &Pooler) -> Self {
        let pooled = Raw::log_in(pooler.port, "app", "quiet");
        let direct = Raw::log_in(pooler.postgres_port(), "app", "app");
        Self { pooled, direct }
    }

    /// Both ask until `is_over` for the one behind the pooler.
    fn ask(&mut self, pooler: &Pooler, is_over: impl Fn(usize) -> bool + Sync) -> (Seen, Seen) {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let direct = scope.spawn(|| ask(&mut self.direct, || 0, |_| done.load(Ordering::Relaxed)));
            let pooled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                ask(&mut self.pooled, || resident_kib(pooler), is_over)
            }));
            done.store(true, Ordering::Relaxed);
            let direct = direct.join();
            let pooled = pooled.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (pooled, direct.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }
}

/// Asks until `is_over`; looks at the memory now and then.
fn ask(raw: &mut Raw, resident_kib: impl Fn() -> u64, is_over: impl Fn(usize) -> bool) -> Seen {
    let mut seen = Seen::default();
    while !is_over(seen.times.len()) {
        let began = Instant::now();
        let tag = format!("quiet/{}", seen.times.len());
        assert_eq!(raw.simple(&format!("select '{tag}'")).value(), tag);
        seen.times.push(began.elapsed());
        if seen.times.len() % 16 == 0 {
            seen.resident_kib = seen.resident_kib.max(resident_kib());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    seen
}

/// Zero where it has ended, which is told better elsewhere.
fn resident_kib(pooler: &Pooler) -> u64 {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pooler.resident_kib())).unwrap_or(0)
}

/// Runs `attack` while the witness asks on in database `quiet`; then holds the pooler to its promises, memory to `held`.
#[track_caller]
pub fn beside<T>(what: &str, pooler: &mut Pooler, held: Held, attack: impl FnOnce(&Pooler) -> T) -> T {
    // where figures are asserted, another test's attack is not to be among them
    let _alone = is_long().then(|| ALONE.lock().unwrap_or_else(PoisonError::into_inner));
    let mut witnesses = Witnesses::new(pooler);
    let enough = if is_long() { 2 * ANSWERS_MIN } else { 100 };
    let (mut before, mut before_direct) = witnesses.ask(pooler, |count| count == enough);
    let stop = AtomicBool::new(false);
    let here = &*pooler;
    let (attacked, witnessed) = std::thread::scope(|scope| {
        let stopped = &stop;
        let is_over = |count| count > 20 && stopped.load(Ordering::Relaxed);
        let witness = scope.spawn(move || witnesses.ask(here, is_over));
        let attacked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| attack(here)));
        stop.store(true, Ordering::Relaxed);
        (attacked, witness.join())
    });
    if let Some(status) = pooler.status() {
        let log = pooler.log();
        panic!("{what}: the process has ended with {status}:\n{}", &log[log.len().saturating_sub(4000)..]);
    }
    let result = attacked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let (mut during, mut during_direct) = witnessed.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let (count, worst) = (during.times.len(), during.times.iter().max().copied().unwrap_or_default());
    let grown = during.resident_kib.max(pooler.resident_kib()).saturating_sub(before.resident_kib);
    let most = held.most_bytes() as u64 >> 10;
    let (quiet, p99, quiet_direct) = (before.p99(), during.p99(), before_direct.p99());
    let p99_direct = if during_direct.times.is_empty() { quiet_direct } else { during_direct.p99() };
    println!(
        "{what}: {count} answers, p99 {p99:?} (quiet {quiet:?}; past the pooler {p99_direct:?}, quiet {quiet_direct:?}), \
         worst {worst:?}, resident {} KiB before, at most {grown} more of {most}",
        before.resident_kib
    );
    assert!(worst < SLOWEST, "{what}: an answer took {worst:?}");
    assert!(grown <= most, "{what}: {grown} KiB more, where {most} are allowed: {held:?}");
    if is_long() && count >= ANSWERS_MIN {
        let machine = (p99_direct.as_secs_f64() / quiet_direct.as_secs_f64()).max(1.0);
        let most = quiet.mul_f64(P99_TIMES * machine);
        assert!(p99 <= most, "{what}: p99 {p99:?}, {quiet:?} when it is quiet, at most {most:?} is right");
    }
    assert!(!pooler.log().contains("panicked"), "nothing panics");
    result
}

/// Lines of `log` that tell why a connection of that side was closed.
pub fn closed<'l>(log: &'l str, side: &str) -> Vec<&'l str> {
    let is_one = |line: &&str| line.contains(side) && line.contains(" closing because: ");
    log.lines().filter(is_one).collect()
}

/// The port of the peer that a line is about.
pub fn peer_port(line: &str) -> Option<u16> {
    let (_, peer) = line.split_once("@127.0.0.1:")?;
    peer.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}
