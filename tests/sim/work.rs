//! How much one round of a worker does: what the driver and the core promise is a bound here.

use super::ear;
use super::wire::Wire;
use pgweir::base::{Peer, limits};
use pgweir::core::{Bounds, ServerLoad};
use pgweir::io::{DISCARDS_PER_TURN, READS_PER_TURN};
use std::collections::BTreeMap;

/// A connection has a turn for its event, and one on the ready list.
const TURNS_PER_ROUND: usize = 2;

/// So often is the core called with what one connection has sent, and so often is it read from.
const CALLS_PER_ROUND: usize = TURNS_PER_ROUND * READS_PER_TURN;

/// One that the core has closed is only being emptied.
const DISCARDS_PER_ROUND: usize = TURNS_PER_ROUND * DISCARDS_PER_TURN;

/// What is read of one connection before the core is called with it: what fits into the buffer, and the last
/// words of a client that has hung up.
const BYTES_PER_CALL: usize = limits::READ_BUFFER_BYTES + limits::LAST_WORDS_BYTES;

/// A Bind or a Close goes on with another name than it came with.
const RENAMED_BYTES_MAX: usize = 40;

/// A Bind of a statement that its server does not hold is owed an answer, and our Parse another; what it does
/// to the context of a client that sets one is noted behind its answer. Closes of statements that have to go
/// for it come on top.
pub const OWED_PER_FRAME: usize = 3;

/// A server holds no more statements: the most that `plan::rules` draws.
pub const PREPARED_MAX: usize = 100;

pub const OWES_ALL: &str = "a server owes as much as it may, and its client says more";

/// What is shown by worlds in which these bounds are met, not only kept.
pub const AT_THE_BOUND: [&str; 4] = [
    "a call spends its frames",
    "a round spends its calls",
    "a round spends its reads, and there is more",
    "a round spends its reads on what is nobody's, and there is more",
];

/// What was done for one connection in this round.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    calls: usize,
    reads: usize,
    discards: usize,
    bytes: usize,
    /// Since the core was called the last time.
    bytes_of_call: usize,
}

/// One round, by socket.
#[derive(Debug, Default)]
pub struct Round(BTreeMap<u64, Done>);

impl Round {
    pub fn begin(&mut self) {
        self.0.clear();
    }

    /// A socket was read from, and so many bytes came.
    pub fn reads(&mut self, socket: u64, wire: &Wire, bytes: usize) {
        let done = self.0.entry(socket).or_default();
        if wire.is_closed {
            done.discards += 1;
            assert!(
                done.discards <= DISCARDS_PER_ROUND,
                "one round empties wire {socket} {} times",
                done.discards
            );
            if done.discards == DISCARDS_PER_TURN && wire.up.has_arrived() {
                ear::hear(AT_THE_BOUND[3]);
            }
            return;
        }
        done.reads += usize::from(bytes > 0);
        done.bytes += bytes;
        done.bytes_of_call += bytes;
        assert!(done.reads <= CALLS_PER_ROUND, "one round reads {} times of wire {socket}", done.reads);
        let bytes_max = CALLS_PER_ROUND * limits::READ_BUFFER_BYTES;
        assert!(done.bytes <= bytes_max, "one round reads {} bytes of wire {socket}", done.bytes);
        let of_call = done.bytes_of_call;
        assert!(of_call <= BYTES_PER_CALL, "{of_call} bytes of wire {socket} are read at once");
        if done.reads == READS_PER_TURN && wire.up.has_arrived() {
            ear::hear(AT_THE_BOUND[2]);
        }
    }

    /// The core is called with what a socket has brought.
    pub fn calls(&mut self, socket: u64) {
        let done = self.0.entry(socket).or_default();
        done.calls += 1;
        done.bytes_of_call = 0;
        assert!(done.calls <= CALLS_PER_ROUND, "one round calls {} times for wire {socket}", done.calls);
        if done.calls == READS_PER_TURN {
            ear::hear(AT_THE_BOUND[1]);
        }
    }
}

/// Where one stream of messages stands.
#[derive(Debug, Default)]
struct Frames {
    header: Vec<u8>,
    rest: usize,
}

impl Frames {
    /// How many messages begin in these bytes.
    fn pass(&mut self, mut bytes: &[u8]) -> u32 {
        let mut begun = 0;
        while !bytes.is_empty() {
            if self.rest == 0 {
                begun += u32::from(self.header.is_empty());
                self.header.push(bytes[0]);
                bytes = &bytes[1..];
                if let [_, length @ ..] = &self.header[..]
                    && let Ok(length) = <[u8; 4]>::try_from(length)
                {
                    self.rest = u32::from_be_bytes(length).saturating_sub(4) as usize;
                    self.header.clear();
                }
            } else {
                let passed = self.rest.min(bytes.len());
                self.rest -= passed;
                bytes = &bytes[passed..];
            }
        }
        begun
    }
}

/// What one call of the core takes and makes.
pub struct Calls {
    bounds: Bounds,
    streams: BTreeMap<u64, Frames>,
    made: usize,
    largest: usize,
}

impl Calls {
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, streams: BTreeMap::new(), made: 0, largest: 0 }
    }

    pub fn begin(&mut self) {
        (self.made, self.largest) = (0, 0);
    }

    /// Bytes are made for a peer.
    pub fn makes(&mut self, to: Peer, bytes: usize) {
        if let Peer::Server(_) = to {
            self.made += bytes;
            self.largest = self.largest.max(bytes);
        }
    }

    /// A client's call is over; it has consumed that.
    pub fn end(&mut self, socket: u64, input: usize, consumed: &[u8]) -> usize {
        let frames = self.streams.entry(socket).or_default().pass(consumed);
        let frames_max = self.bounds.frames_per_call;
        assert!(frames <= frames_max, "one call takes {frames} messages of wire {socket}");
        if frames == frames_max {
            ear::hear(AT_THE_BOUND[0]);
        }
        let renamed = (frames as usize + 1) * RENAMED_BYTES_MAX;
        let made_max = self.bounds.made_bytes_per_call + self.largest + input + renamed;
        assert!(self.made <= made_max, "one call makes {} bytes, for wire {socket}", self.made);
        frames as usize
    }

    /// A client's call is over: what its server owes has grown by what the frames ask for, and not at all
    /// where it owed very much.
    pub fn check_owed(
        &self,
        before: Option<ServerLoad>,
        after: Option<ServerLoad>,
        frames: usize,
        input: usize,
    ) {
        let (Some(before), Some(after)) = (before, after) else { return };
        if before.socket_id != after.socket_id || input == 0 {
            return;
        }
        let is_full = before.answers_owed >= self.bounds.expected_max;
        let most = if is_full { 0 } else { OWED_PER_FRAME * (1 + frames) + before.statements };
        assert!(
            after.answers_owed <= before.answers_owed + most,
            "{frames} frames of a client add to what is owed: {before:?}, {after:?}"
        );
        if is_full {
            ear::hear(OWES_ALL);
        }
    }
}
