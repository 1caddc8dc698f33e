//! A socket for bytes that are no protocol, with short patience, and the dice that choose them.

#![allow(clippy::print_stdout, reason = "a run tells its seed and figures")]

use crate::common::raw::cancel_request;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A small generator with a seed.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64, number: usize) -> Self {
        let mut dice = Self((seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1);
        for _ in 0..8 {
            dice.below(2);
        }
        dice
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("below a usize")
    }

    pub fn bytes(&mut self, most: usize) -> Vec<u8> {
        let count = 1 + self.below(most);
        (0..count).map(|_| u8::try_from(self.below(256)).expect("a byte")).collect()
    }
}

/// The seed of this run, printed so that it can be repeated.
pub fn seed() -> u64 {
    let given = std::env::var("PGWEIR_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
    println!("PGWEIR_SEED={seed}");
    seed
}

/// How long a timed test runs: `PGWEIR_HOSTILE_SECONDS`, or `usual_s`.
pub fn length(usual_s: u64) -> Duration {
    let given = std::env::var("PGWEIR_HOSTILE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(given.unwrap_or(usual_s))
}

/// Whether this is the long variant, in which figures are worth asserting.
pub fn is_long() -> bool {
    length(0) >= Duration::from_secs(60)
}

/// Accepts until `stop`, and serves each connection by a thread of its own; returns when all have ended.
pub fn listen(listener: &TcpListener, stop: &AtomicBool, serve: impl Fn(TcpStream) + Sync) {
    listener.set_nonblocking(true).expect("is a socket");
    let serve = &serve;
    std::thread::scope(|scope| {
        while !stop.load(Ordering::Relaxed) {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).expect("is a socket");
                    scope.spawn(move || serve(stream));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(5)), // until it is looked at again
            }
        }
    });
}

/// One connection of somebody who keeps to no rule.
pub struct Wire(TcpStream);

impl Wire {
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
        stream.set_nodelay(true).expect("is a TCP socket");
        stream.set_write_timeout(Some(Duration::from_secs(1))).expect("a positive duration");
        Self(stream)
    }

    /// Sends on until the other side takes nothing for a second, `bytes_max` at the most;
    /// whether it came to that.
    pub fn is_full_before(&mut self, bytes: &[u8], bytes_max: usize) -> bool {
        (0..bytes_max.div_ceil(bytes.len())).any(|_| self.0.write_all(bytes).is_err())
    }

    /// Sends what the other side still takes.
    pub fn send(&mut self, bytes: &[u8]) -> &mut Self {
        let _ = self.0.write_all(bytes);
        self
    }

    /// What comes until `end` stands in it, the stream ends, nothing came for `patience`, or 1 MiB is there.
    pub fn read_until(&mut self, end: &[u8], patience: Duration) -> Vec<u8> {
        let deadline = Instant::now() + patience;
        let (mut got, mut chunk) = (Vec::new(), [0; 4096]);
        let is_end = |part: &[u8]| !end.is_empty() && part.windows(end.len()).any(|part| part == end);
        let mut is_there = false;
        while got.len() < 1 << 20 && !is_there {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.0.set_read_timeout(Some(left)).expect("a positive duration");
            match self.0.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => {
                    // It may have begun in what came before.
                    let new = got.len().saturating_sub(end.len());
                    got.extend_from_slice(&chunk[..count]);
                    is_there = is_end(&got[new..]);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        got
    }

    /// Whether something has come, which stays unread.
    pub fn has_words(&self) -> bool {
        self.0.set_nonblocking(true).expect("is a socket");
        let is_there = self.0.peek(&mut [0]).is_ok();
        self.0.set_nonblocking(false).expect("is a socket");
        is_there
    }

    /// What comes next; nothing at the end, or where nothing comes for long.
    pub fn read_some(&mut self) -> Vec<u8> {
        let mut chunk = vec![0; 16 << 10];
        self.0.set_read_timeout(Some(Duration::from_secs(15))).expect("a positive duration");
        let count = self.0.read(&mut chunk).unwrap_or(0);
        chunk.truncate(count);
        chunk
    }

    /// Up to a ReadyForQuery, whatever its status.
    pub fn ready(&mut self) -> &mut Self {
        self.read_until(b"Z\0\0\0\x05", Duration::from_secs(3));
        self
    }

    /// Our port, by which the log names us.
    pub fn port(&self) -> u16 {
        self.0.local_addr().expect("it is connected").port()
    }

    /// Has what `key` stands for cancelled, from a connection of its own that waits for nothing.
    pub fn cancel(&self, key: &[u8]) {
        let port = self.0.peer_addr().expect("it is connected").port();
        Self::connect(port).send(&cancel_request(key));
    }

    /// Says that no more comes from here.
    pub fn half_close(&mut self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }
}
