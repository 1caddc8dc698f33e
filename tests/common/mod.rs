//! What the integration tests share: a throw-away PostgreSQL, a pooler under test, a raw protocol client.
//!
//! One PostgreSQL per test binary, started at first use ([`postgres()`]); as many poolers as tests want
//! ([`pooler::Pooler`]). Nothing here sleeps for a fixed time: it waits for conditions ([`wait_until`]).
//! As root, PostgreSQL and the pooler run as user `postgres`, since both refuse root.
//! The program under test is the one that Cargo built, or the one that `PGWEIR_BIN` names.

#![allow(dead_code, unused_imports, reason = "each test binary uses its own part of this")]

pub mod account;
pub mod certs;
pub mod memory;
pub mod page;
pub mod pooler;
pub mod postgres;
pub mod programs;
pub mod raw;
pub mod reaper;
pub mod secrets;
pub mod skip;
pub mod story;

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

#[allow(unused_imports, reason = "as above")]
pub use pooler::{Pooler, PoolerSetup};
pub use postgres::{Postgres, own_postgres, postgres, postgres_18};

/// How long a condition may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks `condition` again and again until it holds; panics with `what` when it has not within [`PATIENCE`].
#[track_caller]
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    wait_until_for(what, PATIENCE, condition);
}

/// As [`wait_until`], with a patience of its own.
#[track_caller]
pub fn wait_until_for(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {patience:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Looks again and again until there is something to see; panics with the last reason why not, when that was
/// not within [`PATIENCE`].
#[track_caller]
pub fn wait_for<T>(mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(seen) => return seen,
            Err(why) => assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {why}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Length of a timed load in seconds: `PGWEIR_LOAD_SECONDS`, or `usual_s`.
pub fn load_time(usual_s: u64) -> Duration {
    let seconds = std::env::var("PGWEIR_LOAD_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(usual_s))
}

/// A TCP port of 127.0.0.1 that nobody listens on. Taken from below the range from which the kernel draws the
/// local ports of outgoing connections, so that a busy test cannot take it away again.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20_000;
    const PORTS: u16 = 12_000;
    let start = u16::try_from(std::process::id() * 37 % u32::from(PORTS)).expect("below PORTS");
    for _ in 0..PORTS {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS) % PORTS;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + PORTS);
}
