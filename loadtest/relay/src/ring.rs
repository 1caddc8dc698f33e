//! What the relays ask of io_uring, and the only `unsafe` here: memory that the kernel reads and
//! writes while we do not look.
//!
//! [`Burst`] carries the small writes of a turn in one call, as pgweir's own `io/burst.rs` does. [`Ring`]
//! does everything through one ring: each socket has one receive for good, which fills buffers that the
//! kernel takes from a ring of them; what has come is sent on from where it lies. A send never waits and says
//! something only where it fails, so a turn is one call. A [`Piece`] is a buffer that is ours for the time
//! being; the kernel gets it back when it is given back, or has been sent.
//!
//! Source: io_uring_enter(2), io_uring_register_buf_ring(3), io_uring_prep_recv_multishot(3).
#![expect(unsafe_code, reason = "the kernel is given addresses, which must be good as long as it has them")]

use io_uring::types::{BufRingEntry, Fd};
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{BorrowedFd, RawFd};
use rustix::io::Errno;
use rustix::net::SendFlags;
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

/// Writes in one call of a burst.
const BURST_WRITES: u32 = 64;
/// A larger write is not worth the copy.
const BURST_WRITE_BYTES: usize = 4 * 1024;

/// The small writes of a turn.
pub struct Burst {
    ring: IoUring,
    writes: Vec<(RawFd, Range<usize>)>,
    bytes: Vec<u8>,
}

impl Burst {
    /// Nothing to write yet.
    pub fn new() -> io::Result<Self> {
        Ok(Self { ring: IoUring::new(BURST_WRITES)?, writes: Vec::new(), bytes: Vec::new() })
    }

    /// Adds a write, where there is room for it and nothing else to the same socket that might be overtaken.
    pub fn add(&mut self, to: RawFd, bytes: &[u8]) -> bool {
        let is_room = self.writes.len() < BURST_WRITES as usize && bytes.len() <= BURST_WRITE_BYTES;
        if !is_room || self.writes.iter().any(|(other, _)| *other == to) {
            return false;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.writes.push((to, start..self.bytes.len()));
        true
    }

    /// Writes everything; comes back when all is done. That a reader has gone shows when it is read.
    pub fn run(&mut self) {
        let mut queue = self.ring.submission();
        for (to, range) in &self.writes {
            let part = &self.bytes[range.clone()];
            let send = opcode::Send::new(Fd(*to), part.as_ptr(), part.len() as u32)
                .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL);
            // SAFETY: `self.bytes` stays as it is until every completion has been taken, below; where that
            // cannot be, the process ends.
            unsafe { queue.push(&send.build()) }.expect("no more writes are added than fit");
        }
        drop(queue);
        let mut open = self.writes.len();
        while open > 0 {
            if !enter(&self.ring, open) {
                continue;
            }
            open -= self.ring.completion().count();
        }
        self.writes.clear();
        self.bytes.clear();
    }
}

/// Submits, and waits for so many completions; `false` where it must be tried again.
fn enter(ring: &IoUring, completions: usize) -> bool {
    match ring.submitter().submit_and_wait(completions) {
        Ok(_) => true,
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)) => false,
        Err(error) => {
            // Nothing is known of what the kernel still has: no destructor may run.
            eprintln!("the ring has failed: {error}");
            std::process::abort();
        }
    }
}

/// Entries of the submission queue; the completion queue has four times as many.
const ENTRIES: u32 = 1024;
/// Buffers that the kernel may fill, a power of two; and the bytes of each. Few, so
/// that they stay in the cache.
const BUFFERS: u16 = 1024;
const BUFFER_BYTES: usize = 2 * 1024;
const GROUP: u16 = 0;
const PAGE_BYTES: usize = 4096;

/// The kinds of completions, in the uppermost bits of what they carry.
const KIND_SHIFT: u32 = 62;
const RECEIVE: u64 = 0;
const SEND: u64 = 1;
const POLL: u64 = 2;

/// A buffer with something in it, which is ours.
pub struct Piece {
    buffer: u16,
    length: u32,
}

/// What is being sent; it stays where it is until the submission is over.
enum Outgoing {
    Piece(Piece),
    Copy(Vec<u8>),
}

/// What has happened.
pub enum Event {
    /// Bytes have come for this token.
    Received(u64, Piece),
    /// Nothing more comes for this token: its end, or its fault.
    Ended(u64),
    /// The buffers have run out: [`Ring::receive`] must be asked for again.
    Starved(u64),
    /// What is polled is readable.
    Readable,
}

/// One page's alignment, which the kernel wants of the ring of buffers.
#[repr(C, align(4096))]
struct Page([u8; PAGE_BYTES]);

/// The ring, and the buffers that go round in it.
pub struct Ring {
    ring: IoUring,
    /// The ring of free buffers, shared with the kernel; as long as the process lives.
    free: *mut BufRingEntry,
    tail: u16,
    /// The buffers themselves; as long as the process lives.
    buffers: *mut u8,
    /// What has been put into the submission queue to be sent.
    sends: Vec<(RawFd, Outgoing)>,
    /// Copies that have been sent, to be used again.
    spare: Vec<Vec<u8>>,
    done: Vec<cqueue::Entry>,
    events: VecDeque<Event>,
}

impl Ring {
    /// A ring whose buffers are all free.
    pub fn new() -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(4 * ENTRIES)
            .build(ENTRIES)?;
        let pages = (usize::from(BUFFERS) * size_of::<BufRingEntry>()).div_ceil(PAGE_BYTES);
        let pages: Vec<Page> = (0..pages).map(|_| Page([0; PAGE_BYTES])).collect();
        let free = Box::leak(pages.into_boxed_slice()).as_mut_ptr().cast::<BufRingEntry>();
        let buffers = Box::leak(vec![0; usize::from(BUFFERS) * BUFFER_BYTES].into_boxed_slice()).as_mut_ptr();
        // SAFETY: the pages are leaked, so the address is good for ever, and they hold as many entries.
        unsafe { ring.submitter().register_buf_ring_with_flags(free as u64, BUFFERS, GROUP, 0)? };
        let (sends, spare, done, events) = (Vec::new(), Vec::new(), Vec::new(), VecDeque::new());
        let mut own = Self { ring, free, tail: 0, buffers, sends, spare, done, events };
        for buffer in 0..BUFFERS {
            own.give_back(Piece { buffer, length: 0 });
        }
        Ok(own)
    }

    /// From now on what comes at `from` is an event with `token`, until its end or [`Event::Starved`].
    pub fn receive(&mut self, from: RawFd, token: u64) {
        let entry = opcode::RecvMulti::new(Fd(from), GROUP).build();
        self.push(&entry.user_data(RECEIVE << KIND_SHIFT | token));
    }

    /// From now on it is an event whenever `from` becomes readable.
    pub fn poll(&mut self, from: RawFd) {
        let entry = opcode::PollAdd::new(Fd(from), libc::POLLIN as u32).multi(true).build();
        self.push(&entry.user_data(POLL << KIND_SHIFT));
    }

    /// Sends a piece at the end of the turn. `to` must stay open until then, or until [`Ring::submit`].
    pub fn send(&mut self, to: RawFd, piece: Piece) {
        self.put(to, Outgoing::Piece(piece));
    }

    /// Sends a copy of `bytes`, as [`Ring::send`] does a piece.
    pub fn send_copy(&mut self, to: RawFd, bytes: &[u8]) {
        let mut copy = self.spare.pop().unwrap_or_default();
        copy.extend_from_slice(bytes);
        self.put(to, Outgoing::Copy(copy));
    }

    fn put(&mut self, to: RawFd, outgoing: Outgoing) {
        if self.sends.iter().any(|(other, _)| *other == to) {
            self.submit(); // should that one fall short, its rest comes first
        }
        if self.ring.submission().is_full() {
            self.submit();
        }
        let bytes = self.outgoing_bytes(&outgoing);
        let entry = opcode::Send::new(Fd(to), bytes.as_ptr(), bytes.len() as u32)
            // With MSG_WAITALL a send that falls short is a failure, which is told.
            .flags(libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | libc::MSG_WAITALL)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(SEND << KIND_SHIFT | self.sends.len() as u64);
        self.push(&entry);
        self.sends.push((to, outgoing));
    }

    /// What is in a piece.
    pub fn bytes(&self, piece: &Piece) -> &[u8] {
        // SAFETY: the kernel has filled that much of the buffer, and does not touch it
        // while the piece is ours.
        unsafe { std::slice::from_raw_parts(self.address(piece), piece.length as usize) }
    }

    /// Lets the kernel fill the buffer again.
    pub fn give_back(&mut self, piece: Piece) {
        let at = usize::from(self.tail % BUFFERS);
        // SAFETY: `at` is below the number of entries, and the entry is ours: there are as many entries as
        // buffers, so the kernel has taken what stood there. The kernel reads entries before the tail only.
        // The first entry's last field, which is the tail, is not written here.
        unsafe {
            let entry = &mut *self.free.add(at);
            entry.set_addr(self.address(&piece) as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(piece.buffer);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the leaked pages, aligned, and is written here alone.
        unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.free).cast_mut()) }
            .store(self.tail, Ordering::Release);
    }

    /// The next event. Where there is none, everything is submitted, and waited.
    pub fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            self.enter(1);
        }
    }

    /// Submits everything: what was sent has been taken by its socket, or its reader is gone.
    pub fn submit(&mut self) {
        self.enter(0);
    }

    fn enter(&mut self, completions: usize) {
        while !enter(&self.ring, completions) {}
        // A new receive, whose outcome is in no hurry, may be left in the queue; a send must not.
        while !self.ring.submission().is_empty() {
            enter(&self.ring, 0);
        }
        let mut done = std::mem::take(&mut self.done);
        done.extend(self.ring.completion());
        for one in done.drain(..) {
            self.completed(&one);
        }
        self.done = done;
        while let Some((_, outgoing)) = self.sends.pop() {
            match outgoing {
                Outgoing::Piece(piece) => self.give_back(piece),
                Outgoing::Copy(mut bytes) => {
                    bytes.clear();
                    self.spare.push(bytes);
                }
            }
        }
    }

    fn completed(&mut self, done: &cqueue::Entry) {
        let (kind, token) = (done.user_data() >> KIND_SHIFT, done.user_data() & !(u64::MAX << KIND_SHIFT));
        match kind {
            SEND => self.send_rest(token as usize, done.result()),
            POLL => self.events.push_back(Event::Readable),
            _ => {
                let piece = cqueue::buffer_select(done.flags())
                    .map(|buffer| Piece { buffer, length: done.result().max(0) as u32 });
                match piece {
                    Some(piece) if piece.length > 0 => self.events.push_back(Event::Received(token, piece)),
                    Some(piece) => self.give_back(piece),
                    None => {}
                }
                if !cqueue::more(done.flags()) {
                    let is_starved = done.result() > 0 || done.result() == -libc::ENOBUFS;
                    self.events.push_back(if is_starved {
                        Event::Starved(token)
                    } else {
                        Event::Ended(token)
                    });
                }
            }
        }
    }

    /// Sends what a send of this turn has left, waiting until it is taken.
    fn send_rest(&self, at: usize, outcome: i32) {
        let (to, outgoing) = &self.sends[at];
        let taken = match outcome {
            count if count >= 0 => count as usize,
            error if error == -libc::EAGAIN => 0,
            _ => return, // the reader has gone, which shows when it is read
        };
        // SAFETY: whoever sends keeps the socket open until the submission is over, which it is behind this.
        let to = unsafe { BorrowedFd::borrow_raw(*to) };
        let mut rest = &self.outgoing_bytes(outgoing)[taken..];
        while !rest.is_empty() {
            match rustix::net::send(to, rest, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let _ = poll(&mut [PollFd::new(&to, PollFlags::OUT)], None);
                }
                Err(_) => return,
            }
        }
    }

    fn outgoing_bytes<'a>(&'a self, outgoing: &'a Outgoing) -> &'a [u8] {
        match outgoing {
            Outgoing::Piece(piece) => self.bytes(piece),
            Outgoing::Copy(bytes) => bytes,
        }
    }

    fn address(&self, piece: &Piece) -> *const u8 {
        // SAFETY: there are as many buffers as numbers of buffers.
        unsafe { self.buffers.add(usize::from(piece.buffer) * BUFFER_BYTES) }
    }

    fn push(&mut self, entry: &squeue::Entry) {
        if self.ring.submission().is_full() {
            self.submit();
        }
        // SAFETY: a receive names no memory, but fills buffers that live as long as the process; what is sent
        // stands in `sends`, unchanged and unmoved, until the submission is over.
        unsafe { self.ring.submission().push(entry) }.expect("there is room");
    }
}
