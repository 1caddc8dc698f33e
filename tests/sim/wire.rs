//! One connection of the simulated network: two directions of limited room, ends that can be shut or break.

use std::collections::VecDeque;

/// One direction.
#[derive(Debug, Default)]
pub struct Pipe {
    bytes: VecDeque<u8>,
    room: usize,
    /// Its writer has shut it: end of stream after the bytes.
    pub shut: bool,
}

impl Pipe {
    /// Takes as much as there is room for.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room.saturating_sub(self.bytes.len()));
        self.bytes.extend(&bytes[..taken]);
        taken
    }

    pub fn read(&mut self, bytes_max: usize) -> Vec<u8> {
        let taken = bytes_max.min(self.bytes.len());
        let (front, back) = self.bytes.as_slices();
        let mut bytes = front[..taken.min(front.len())].to_vec();
        bytes.extend_from_slice(&back[..taken - bytes.len()]);
        self.bytes.drain(..taken);
        bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
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
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Remote {
    #[default]
    Nobody,
    Client(usize),
    Server(usize),
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
    /// The pooler has let go of its end; what comes is lost.
    pub is_dropped: bool,
    /// How much later than others the other end gets round to anything, in microseconds.
    pub slowness_us: u64,
    pub pooler_due: bool,
    pub remote_due: bool,
}

impl Wire {
    pub fn new(rooms: [usize; 2]) -> Self {
        let pipe = |room| Pipe { room, ..Pipe::default() };
        Self { up: pipe(rooms[0]), down: pipe(rooms[1]), ..Self::default() }
    }

    /// The other end breaks off.
    pub fn reset(&mut self) {
        self.is_reset = true;
        self.up.bytes.clear();
        self.down.bytes.clear();
    }

    /// The pooler lets go of its end; what it had written is still delivered.
    pub fn drop_pooler_end(&mut self) {
        self.is_dropped = true;
        self.worker = None;
        self.down.shut = true;
        self.up.bytes.clear();
    }
}
