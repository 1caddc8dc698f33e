//! Many small writes in one system call: a turn's messages, through an io_uring.
//!
//! Readiness is epoll's; the ring only carries writes that never wait. Peers are woken while the one call lasts, so they do
//! not push the worker off its core between two writes, which at load costs more than the writes' own system calls.
//! Invariants: nothing is in flight between calls of [`Burst::run`]; one destination has at most one write in it, so a write
//! that falls short is never overtaken. Where the kernel refuses a ring (containers often do), there is no `Burst` and each
//! write is a system call of its own.
//!
//! Source: io_uring(7), io_uring_enter(2), io_uring_setup(2).

use super::table::Key;
use io_uring::{IoUring, opcode, types};
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::io;
use std::ops::Range;

/// Writes in one call.
const WRITES_MAX: u32 = 64;

/// Larger writes are not worth the copy.
pub const WRITE_BYTES_MAX: usize = 4 * 1024;

/// One write, to be done.
struct Write {
    to: Key,
    fd: RawFd,
    range: Range<usize>,
}

/// The writes of the next call.
pub struct Burst {
    ring: IoUring,
    writes: Vec<Write>,
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
        Ok(Self { ring, writes: Vec::new(), bytes: Vec::new() })
    }

    /// Whether the next write needs a call first.
    pub fn is_full(&self) -> bool {
        self.writes.len() == WRITES_MAX as usize
    }

    /// Whether the last write is to `to`: what comes next for it must be added, too.
    pub fn ends_with(&self, to: Key) -> bool {
        self.writes.last().is_some_and(|write| write.to == to)
    }

    /// Adds the bytes that `fill` appends. The writes to one destination come one after the other. `fd` must stay open
    /// until [`Burst::run`].
    pub fn add(&mut self, to: Key, fd: RawFd, fill: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        fill(&mut self.bytes);
        match self.writes.last_mut() {
            Some(last) if last.to == to => last.range.end = self.bytes.len(),
            _ => self.writes.push(Write { to, fd, range: start..self.bytes.len() }),
        }
    }

    /// Writes everything in one call, and says of each write what came of it and what was to be written.
    ///
    /// # Panics
    /// Where the kernel does not give back what it was given: nothing is known of the writes then.
    #[expect(unsafe_code, reason = "what the ring is given must outlive the call, which only we can promise")]
    pub fn run(&mut self, mut written: impl FnMut(Key, Result<usize, Errno>, &[u8])) {
        let Self { ring, writes, bytes } = self;
        let mut queue = ring.submission();
        for (at, write) in writes.iter().enumerate() {
            let part = &bytes[write.range.clone()];
            let send = opcode::Send::new(types::Fd(write.fd), part.as_ptr(), part.len() as u32)
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
            match ring.submit_and_wait(open) {
                Ok(_) => {}
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)) => {}
                Err(error) => panic!("the ring of writes has failed: {error}"),
            }
            for done in ring.completion() {
                let write = &writes[done.user_data() as usize];
                let outcome =
                    usize::try_from(done.result()).map_err(|_| Errno::from_raw_os_error(-done.result()));
                written(write.to, outcome, &bytes[write.range.clone()]);
                open -= 1;
            }
        }
        writes.clear();
        bytes.clear();
    }
}
