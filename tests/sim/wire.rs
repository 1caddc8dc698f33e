//! One connection of the simulated network: two directions of limited room, ends that can be shut or break,
//! and what the pooler's end of it owes.

use super::tls::Far;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use std::collections::VecDeque;

/// One direction.
#[derive(Debug, Default)]
pub struct Pipe {
    bytes: VecDeque<u8>,
    /// How many of them have arrived at the reader's end.
    arrived: usize,
    room: usize,
    /// Its writer has shut it: end of stream after the bytes.
    pub shut: bool,
}

impl Pipe {
    /// Takes as much as there is room for.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        self.bytes.extend(&bytes[..taken]);
        taken
    }

    /// Takes all of it, room or not.
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// So many bytes more arrive; returns how many there were.
    pub fn arrive(&mut self, bytes_max: usize) -> usize {
        let more = bytes_max.min(self.bytes.len() - self.arrived);
        self.arrived += more;
        more
    }

    /// Bytes that have been read are gone.
    pub fn read(&mut self, bytes_max: usize) -> Vec<u8> {
        let taken = bytes_max.min(self.arrived);
        self.arrived -= taken;
        let (front, back) = self.bytes.as_slices();
        let mut bytes = front[..taken.min(front.len())].to_vec();
        bytes.extend_from_slice(&back[..taken - bytes.len()]);
        self.bytes.drain(..taken);
        bytes
    }

    pub fn room(&self) -> usize {
        self.room.saturating_sub(self.bytes.len())
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn has_arrived(&self) -> bool {
        self.arrived > 0
    }

    pub fn is_under_way(&self) -> bool {
        self.arrived < self.bytes.len()
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.iter().copied().collect()
    }

    pub fn is_full(&self) -> bool {
        self.bytes.len() >= self.room
    }

    /// Everything was read and no more comes.
    pub fn is_ended(&self) -> bool {
        self.shut && self.bytes.is_empty()
    }

    /// The end of the stream has arrived behind what has.
    pub fn end_has_arrived(&self) -> bool {
        self.shut && !self.is_under_way()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.arrived = 0;
    }
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Remote {
    #[default]
    Nobody,
    Client(usize),
    Server(usize),
}

/// What the pooler's end is watched for, and by what name.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    pub data: u64,
    pub interest: EventFlags,
}

/// One connection between the pooler and a client or a server.
#[expect(clippy::struct_excessive_bools, reason = "separate facts, not states of one thing")]
#[derive(Debug, Default)]
pub struct Wire {
    /// Towards the pooler.
    pub up: Pipe,
    /// From the pooler.
    pub down: Pipe,
    pub remote: Remote,
    /// Which worker holds the pooler's end; `None` on its way between two, before and after.
    pub worker: Option<usize>,
    /// The other end has vanished: what is sent is lost, what was on its way is lost.
    pub is_reset: bool,
    /// The other end has been closed: what it sent is still to be read, what is sent to it fails.
    pub is_left: bool,
    /// The pooler has shut its side after all it had to say.
    pub is_shut_properly: bool,
    /// The pooler has let go of its end; what comes is lost.
    pub is_dropped: bool,
    /// How much later than others the other end gets round to anything, in microseconds.
    pub slowness_us: u64,
    pub pooler_due: bool,
    pub remote_due: bool,
    pub watch: Option<Watch>,
    /// It stands on its worker's list of those with an edge.
    pub is_ready: bool,
    /// The far end's session, where there is TLS: the pipes carry records then.
    pub tls: Option<Far>,
    /// What the core has said is to be sent, and the driver has not written yet: byte by byte what must come
    /// next. Where there is TLS, what the far end has not read yet.
    pub owed: VecDeque<u8>,
    /// How many bytes that was, and will have been.
    pub owed_bytes: u64,
    /// From this byte on its client has sent what it is told after that was to end.
    pub late_from: Option<u64>,
    /// A write has failed: the driver keeps nothing for it any more, however much the core says.
    pub has_failed: bool,
    /// Bytes that the driver has read and the core has not consumed.
    pub held: usize,
    /// The core has closed it: what comes is nobody's.
    pub is_closed: bool,
    /// When that was.
    pub closed_at: Option<u64>,
    pub is_paused: bool,
}

impl Wire {
    pub fn new(rooms: [usize; 2]) -> Self {
        let pipe = |room| Pipe { room, ..Pipe::default() };
        Self { up: pipe(rooms[0]), down: pipe(rooms[1]), ..Self::default() }
    }

    /// The other end says so much of it as there is room for.
    pub fn say(&mut self, bytes: &[u8], renews_keys: bool) -> usize {
        let Some(tls) = &mut self.tls else { return self.up.write(bytes) };
        let taken = bytes.len().min(self.up.room());
        if taken > 0 && !self.is_dropped {
            self.up.push(&tls.say(&bytes[..taken], renews_keys));
        }
        taken
    }

    /// The other end will say no more.
    pub fn say_end(&mut self) {
        if let Some(tls) = &mut self.tls
            && !self.up.shut
            && tls.is_polite
        {
            self.up.push(&tls.say_goodbye());
        }
        self.up.shut = true;
    }

    /// The other end reads: what it gets is what is owed to it.
    pub fn hear(&mut self, bytes_max: usize) -> Vec<u8> {
        let bytes = self.down.read(bytes_max);
        let Some(tls) = &mut self.tls else { return bytes };
        let plain = tls.hear(&bytes);
        assert!(
            plain.len() <= self.owed.len() && self.owed.iter().zip(&plain).all(|(owed, byte)| owed == byte),
            "foreign bytes for {:?}: nobody has sent {:?}",
            self.remote,
            String::from_utf8_lossy(&plain[..plain.len().min(80)]),
        );
        self.owed.drain(..plain.len());
        if self.is_shut_properly && self.down.is_ended() {
            assert!(tls.has_heard_goodbye, "{:?} has heard no goodbye of TLS", self.remote);
            assert!(self.owed.is_empty(), "{:?} is left with {} bytes unsent", self.remote, self.owed.len());
        }
        plain
    }

    /// What is on its way to the other end, or is to be.
    pub fn coming(&self) -> Vec<u8> {
        if self.tls.is_some() { self.owed.iter().copied().collect() } else { self.down.bytes() }
    }

    /// What the driver has not written yet, at the most.
    pub fn unsent(&self) -> usize {
        if self.tls.is_some() { self.owed.len().saturating_sub(self.down.len()) } else { self.owed.len() }
    }

    /// The core says so much more.
    pub fn owe(&mut self, bytes: &[u8]) {
        if !self.has_failed {
            self.owed.extend(bytes);
        }
    }

    /// A write of the driver's fails.
    pub fn fail(&mut self) -> Errno {
        self.has_failed = true;
        self.owed.clear();
        if self.is_reset { Errno::CONNRESET } else { Errno::PIPE }
    }

    /// The other end breaks off.
    pub fn reset(&mut self) {
        self.is_reset = true;
        self.up.clear();
        self.down.clear();
    }

    /// The pooler lets go of its end; what it had written is still delivered.
    pub fn drop_pooler_end(&mut self) {
        self.is_dropped = true;
        self.worker = None;
        self.watch = None;
        self.down.shut = true;
        self.up.clear();
        if self.tls.is_none() || self.is_reset {
            self.owed.clear();
        }
    }

    /// What a wait tells of it.
    pub fn readiness(&self) -> EventFlags {
        let Some(watch) = self.watch else { return EventFlags::empty() };
        let mut flags = EventFlags::empty();
        let ended = self.up.end_has_arrived();
        flags.set(EventFlags::IN, self.up.has_arrived() || ended || self.is_reset);
        flags.set(EventFlags::RDHUP, ended || self.is_reset);
        flags.set(EventFlags::OUT, self.is_reset || self.is_left || !self.down.is_full());
        flags &= watch.interest;
        flags.set(EventFlags::HUP, self.is_reset || (ended && self.down.shut));
        flags.set(EventFlags::ERR, self.is_reset);
        flags
    }
}
