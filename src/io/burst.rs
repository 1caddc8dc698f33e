//! Many small writes in one system call: a turn's messages, through an io_uring.
//!
//! Readiness is epoll's; the ring only carries writes that never wait. Peers are woken while the one call
//! lasts, so they do not push the worker off its core between two writes, which at load costs more than the
//! writes' own system calls. Invariants: nothing is in flight between calls of [`Burst::run`], also where
//! one ends by a panic; one destination has at most one write in it, so a write that falls short is never
//! overtaken. Where the kernel refuses a ring (containers often do), there is no `Burst` and each write is
//! a system call of its own.
//!
//! Source: io_uring(7), io_uring_enter(2), io_uring_setup(2).

use super::kernel::{Ring, Write};
use super::key::Key;
use crate::tasks;
use io_uring::{IoUring, opcode, types};
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::io;

/// Writes in one call.
const WRITES_MAX: u32 = 64;

/// Larger writes are not worth the copy.
pub(super) const WRITE_BYTES_MAX: usize = 4 * 1024;

/// The writes of the next call.
pub struct Burst<R: Ring = IoUring> {
    ring: R,
    /// Whom each write is for.
    keys: Vec<Key>,
    writes: Vec<Write<R::Raw>>,
    bytes: Vec<u8>,
}

impl Burst {
    /// A ring with nothing in it.
    ///
    /// # Errors
    /// The kernel's, where it gives no ring, or one too old to trust: before 5.17 a write could wait.
    pub fn new() -> io::Result<Self> {
        let ring = IoUring::new(WRITES_MAX)?;
        if !ring.params().is_feature_linked_file() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Self::over(ring))
    }
}

impl<R: Ring> Burst<R> {
    /// Nothing to write yet, and `ring` to write it.
    pub fn over(ring: R) -> Self {
        Self { ring, keys: Vec::new(), writes: Vec::new(), bytes: Vec::new() }
    }

    /// Whether the next write needs a call first.
    pub fn is_full(&self) -> bool {
        self.writes.len() == WRITES_MAX as usize
    }

    /// Whether the last write is to `to`: what comes next for it must be added, too.
    pub fn ends_with(&self, to: Key) -> bool {
        self.keys.last() == Some(&to)
    }

    /// Adds the bytes that `fill` appends. The writes to one destination come one after the other. `raw` must
    /// stay open until [`Burst::run`].
    pub fn add(&mut self, to: Key, raw: R::Raw, fill: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        let is_more = self.ends_with(to);
        fill(&mut self.bytes);
        match self.writes.last_mut() {
            Some(last) if is_more => last.range.end = self.bytes.len(),
            _ => {
                self.keys.push(to);
                self.writes.push(Write { to: raw, range: start..self.bytes.len() });
            }
        }
    }

    /// Writes everything in one call, and says of each write what came of it and what was to be written.
    ///
    /// Where the kernel does not give back what it was given the process ends: nothing is
    /// known of the writes then.
    pub fn run(&mut self, mut written: impl FnMut(Key, Result<usize, Errno>, &[u8])) {
        let Self { ring, keys, writes, bytes } = self;
        ring.write_all(writes, bytes, |at, outcome| {
            written(keys[at], outcome, &bytes[writes[at].range.clone()]);
        });
        keys.clear();
        writes.clear();
        bytes.clear();
    }
}

impl Ring for IoUring {
    type Raw = RawFd;

    #[expect(unsafe_code, reason = "what the ring is given must outlive the call, which only we can promise")]
    fn write_all(
        &mut self,
        writes: &[Write<RawFd>],
        bytes: &[u8],
        written: impl FnMut(usize, Result<usize, Errno>),
    ) {
        let mut in_flight = InFlight { ring: self, open: 0 };
        let InFlight { ring, open } = &mut in_flight;
        let mut queue = ring.submission();
        for (at, write) in writes.iter().enumerate() {
            let part = &bytes[write.range.clone()];
            let send = opcode::Send::new(types::Fd(write.to), part.as_ptr(), part.len() as u32)
                .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
                .build()
                .user_data(at as u64);
            // SAFETY: `bytes` is borrowed until this call is over, and `in_flight` lets it be over, by its
            // end or by a panic, only when every completion has been taken.
            let pushed = unsafe { queue.push(&send) };
            if pushed.is_err() {
                tasks::abort("io_uring holds fewer writes than it was made for");
            }
            *open += 1;
        }
        drop(queue);
        in_flight.take_back(written);
    }
}

/// Writes that the kernel has been given, or is about to be. Their bytes are its own until this is dropped.
struct InFlight<'r> {
    ring: &'r mut IoUring,
    /// So many have not come back.
    open: usize,
}

impl InFlight<'_> {
    /// Waits for all that is open. Where that cannot be, nothing may be said of the
    /// bytes, and the process ends.
    fn take_back(&mut self, mut written: impl FnMut(usize, Result<usize, Errno>)) {
        while self.open > 0 {
            match self.ring.submit_and_wait(self.open) {
                Ok(_) => {}
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)) => {}
                Err(error) => tasks::abort(&format!("io_uring has failed: {error}")),
            }
            for done in self.ring.completion() {
                self.open -= 1; // first: `written` may panic
                let outcome =
                    usize::try_from(done.result()).map_err(|_| Errno::from_raw_os_error(-done.result()));
                written(done.user_data() as usize, outcome);
            }
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.take_back(|_, _| {}); // nothing is open but where a panic is on its way
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_panic_leaves_nothing_with_the_kernel() {
        let mut burst = match Burst::new() {
            Ok(burst) => burst,
            Err(error) => return eprintln!("NOT TESTED, no io_uring here: {error}"),
        };
        let pairs: Vec<_> = (0..3).map(|_| UnixStream::pair().unwrap()).collect();
        for (index, (near, _)) in (0..).zip(&pairs) {
            let key = Key { index, generation: 1 };
            burst.add(key, near.as_raw_fd(), |out| out.extend_from_slice(b"sent"));
        }
        let run = AssertUnwindSafe(|| burst.run(|_, _, _| panic!("of who hears of the first write")));
        assert!(catch_unwind(run).is_err());
        assert!(burst.ring.submission().is_empty() && burst.ring.completion().is_empty());
        for (near, mut far) in pairs {
            drop(near);
            let mut got = Vec::new();
            far.read_to_end(&mut got).unwrap();
            assert_eq!(got, b"sent");
        }
    }
}
