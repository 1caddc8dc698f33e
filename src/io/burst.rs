//! Many small writes in one system call: a turn's messages, through an io_uring.
//!
//! Readiness is epoll's; the ring only carries writes that never wait. Peers are woken while the one call lasts, so they do
//! not push the worker off its core between two writes, which at load costs more than the writes' own system calls.
//! Invariants: nothing is in flight between calls of [`Burst::run`]; one destination has at most one write in it, so a write
//! that falls short is never overtaken. Where the kernel refuses a ring (containers often do), there is no `Burst` and each
//! write is a system call of its own.
//!
//! Source: io_uring(7), io_uring_enter(2), io_uring_setup(2).

use super::kernel::{Ring, Write};
use super::table::Key;
use io_uring::{IoUring, opcode, types};
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::io;

/// Writes in one call.
const WRITES_MAX: u32 = 64;

/// Larger writes are not worth the copy.
pub const WRITE_BYTES_MAX: usize = 4 * 1024;

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

    /// Adds the bytes that `fill` appends. The writes to one destination come one after the other. `raw` must stay open
    /// until [`Burst::run`].
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
    /// # Panics
    /// Where the kernel does not give back what it was given: nothing is known of the writes then.
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
        mut written: impl FnMut(usize, Result<usize, Errno>),
    ) {
        let mut queue = self.submission();
        for (at, write) in writes.iter().enumerate() {
            let part = &bytes[write.range.clone()];
            let send = opcode::Send::new(types::Fd(write.to), part.as_ptr(), part.len() as u32)
                .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
                .build()
                .user_data(at as u64);
            // SAFETY: `bytes` is neither moved nor freed before every completion has been taken below.
            let pushed = unsafe { queue.push(&send) };
            assert!(pushed.is_ok(), "more writes than the ring holds");
        }
        drop(queue);
        let mut open = writes.len();
        while open > 0 {
            match self.submit_and_wait(open) {
                Ok(_) => {}
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)) => {}
                Err(error) => panic!("the ring of writes has failed: {error}"),
            }
            for done in self.completion() {
                let outcome =
                    usize::try_from(done.result()).map_err(|_| Errno::from_raw_os_error(-done.result()));
                written(done.user_data() as usize, outcome);
                open -= 1;
            }
        }
    }
}
