//! The client that behaves: it asks on while others attack, and each of its answers has
//! to be right and in time.

#![allow(clippy::print_stdout, reason = "a run tells its seed and figures")]

use crate::common::raw::Raw;
use crate::common::{Pooler, wait_until};
use crate::wire::is_long;
use pgweir::base::limits;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// No answer may take longer, on the slowest machine; the figure itself is printed. (Speed is
/// the load test's affair.)
const SLOWEST: Duration = Duration::from_secs(15);

/// In a long run, so many times the quiet p99 is the most that an attack may make of it. Attackers and
/// PostgreSQL share the pooler's cores here; how much that alone costs, a second client knows that asks
/// PostgreSQL itself: where the attack slows it down, the client behind the pooler may be slowed down as much
/// once more.
const P99_TIMES: f64 = 2.0;

/// More than that is no more the machine's doing, whatever the other client sees: an attack that makes
/// PostgreSQL itself so slow is one that the pooler should have held back.
const MACHINE_TIMES_MAX: f64 = 100.0;

/// Fewer answers have no p99 that says anything: in a long run an attack is repeated until there are as many.
const ANSWERS_MIN: usize = 1_000;

/// For so long it is repeated, at most; then there are too few answers, and the test fails.
const LONGEST: Duration = Duration::from_secs(300);

/// How large an attack is: what it may make the pooler hold follows by `base/limits.rs`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// Connections that have not proven who they are.
    pub unauthenticated: usize,
    /// Clients at a time.
    pub clients: usize,
    /// Servers at a time, those that are logged in to included.
    pub servers: usize,
    /// What else there is a bound for: texts of statements by their setting, buffers.
    pub bytes: usize,
}

impl Held {
    /// Beside what is held for peers: pages of the program touched for the first time, stacks, lines on their
    /// way to the log, and what the allocator has got back and keeps.
    const OTHER_BYTES: usize = 12 << 20;

    /// By how much memory may grow.
    pub fn most_bytes(self) -> usize {
        let call = 2 * limits::READ_BUFFER_BYTES + limits::MADE_BYTES_PER_CALL + limits::PARAMETERS_BYTES_MAX;
        // A startup or a message, and the task.
        let login = limits::STARTUP_BYTES_MAX + limits::LOGIN_MESSAGE_BYTES_MAX;
        let server = call + 16 * limits::EXPECTED_MAX + limits::SERVER_LOGIN_MESSAGE_BYTES_MAX as usize;
        let peers = self.unauthenticated * login + self.clients * call + self.servers * server;
        peers + self.bytes + Self::OTHER_BYTES
    }
}

/// Why a client is gone that nobody ended.
const OWN_ENDS: [&str; 4] =
    ["client unexpected eof", "client close request", "client connection failed", "cancel request"];

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
        // A PostgreSQL that is slow to let the first one in is not what is tried.
        wait_until("the quiet one is let in", || {
            let mut first = Raw::tcp(pooler.port);
            first.startup(&[("user", "app"), ("database", "quiet")]);
            first.outcome().status == Some(b'I')
        });
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

/// Runs `attack` while the witness asks on in database `quiet`, in a long run again and again until
/// there are [`ANSWERS_MIN`] answers; then holds the pooler to its promises, memory to `held`.
/// Returns what the last run gave.
#[track_caller]
pub fn beside<T>(what: &str, pooler: &mut Pooler, held: Held, mut attack: impl FnMut(&Pooler) -> T) -> T {
    // Where figures are asserted, another test's attack is not to be among them.
    let _alone = is_long().then(|| ALONE.lock().unwrap_or_else(PoisonError::into_inner));
    let mut witnesses = Witnesses::new(pooler);
    let enough = if is_long() { 2 * ANSWERS_MIN } else { 100 };
    let (mut before, mut before_direct) = witnesses.ask(pooler, |count| count == enough);
    let (stop, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    let here = &*pooler;
    let (attacked, witnessed) = std::thread::scope(|scope| {
        let is_over = |count| {
            answers.store(count, Ordering::Relaxed);
            count > 20 && stop.load(Ordering::Relaxed)
        };
        let witness = scope.spawn(move || witnesses.ask(here, is_over));
        let (began, is_asked) = (Instant::now(), || !witness.is_finished());
        let attacked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            loop {
                let result = attack(here);
                let is_enough = !is_long() || answers.load(Ordering::Relaxed) >= ANSWERS_MIN;
                if is_enough || !is_asked() || began.elapsed() > LONGEST {
                    break result;
                }
            }
        }));
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
        "{what}: {count} answers, p99 {p99:?} (quiet {quiet:?}; past the pooler {p99_direct:?}, quiet \
         {quiet_direct:?}), worst {worst:?}, resident {} KiB before, at most {grown} more of {most}",
        before.resident_kib
    );
    assert!(worst < SLOWEST, "{what}: an answer took {worst:?}");
    assert!(grown <= most, "{what}: {grown} KiB more, where {most} are allowed: {held:?}");
    if is_long() {
        assert!(count >= ANSWERS_MIN, "{what}: {count} answers are too few to judge");
        let machine = (p99_direct.as_secs_f64() / quiet_direct.as_secs_f64()).clamp(1.0, MACHINE_TIMES_MAX);
        let most = quiet.mul_f64(P99_TIMES * machine);
        assert!(p99 <= most, "{what}: p99 {p99:?}, {quiet:?} when it is quiet, at most {most:?} is right");
    }
    assert!(!pooler.log().contains("panicked"), "nothing panics");
    result
}

/// Lines of `log` that tell why a connection of that side was closed; age is no
/// reason, a run may take longer.
pub fn closed<'l>(log: &'l str, side: &str) -> Vec<&'l str> {
    let is_one = |line: &&str| {
        line.contains(side) && line.contains(" closing because: ") && !line.contains("server lifetime over")
    };
    log.lines().filter(is_one).collect()
}

/// Whether a line tells of a client that nobody ended.
pub fn goes_by_itself(line: &str) -> bool {
    OWN_ENDS.iter().any(|own| line.contains(own))
}

/// Only offenders were ended: of the clients, those that went by themselves, and those whose end is told with
/// one of `reasons` and an address (one client at least for each; no reason: nobody was); of the witness's
/// servers, none.
#[track_caller]
pub fn only_ended(pooler: &Pooler, reasons: &[&str]) {
    let names = |line: &str, reason: &str| line.contains(reason) && peer_port(line).is_some();
    for reason in reasons {
        wait_until(&format!("the log names who was ended for {reason:?}"), || {
            closed(&pooler.log(), " C-").into_iter().any(|line| names(line, reason))
        });
    }
    let log = pooler.log();
    let clients = closed(&log, " C-").into_iter().filter(|line| {
        let is_witness = line.contains(" quiet/");
        !goes_by_itself(line) && (is_witness || !reasons.iter().any(|reason| names(line, reason)))
    });
    let servers = closed(&log, " S-").into_iter().filter(|line| line.contains(" quiet/"));
    let others: Vec<_> = clients.chain(servers).collect();
    assert!(others.is_empty(), "others were ended: {others:#?}");
}

/// The port of the peer that a line is about.
pub fn peer_port(line: &str) -> Option<u16> {
    let (_, peer) = line.split_once("@127.0.0.1:")?;
    peer.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}
