//! How much one round of a worker does: what the driver and the core promise is a bound here.

use super::ear;
use pgweir::base::{Peer, limits};
use pgweir::core::Bounds;
use pgweir::io::READS_PER_TURN;
use std::collections::BTreeMap;

/// A connection has a turn for its event, and one on the ready list.
const CALLS_PER_ROUND: usize = 2 * READS_PER_TURN;

/// One that is being emptied is read from more often: `io/linger.rs`.
const READS_PER_ROUND: usize = 2 * 16;

/// A Bind or a Close goes on with another name than it came with.
const RENAMED_BYTES_MAX: usize = 40;

/// What is shown by worlds in which these bounds are met, not only kept.
pub const AT_THE_BOUND: [&str; 2] = ["a call spends its frames", "a round spends its calls"];

/// What was done for one connection in this round.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    calls: usize,
    reads: usize,
    bytes: usize,
}

/// One round, by socket.
#[derive(Debug, Default)]
pub struct Round(BTreeMap<u64, Done>);

impl Round {
    pub fn begin(&mut self) {
        self.0.clear();
    }

    /// So many bytes are read of a socket.
    pub fn reads(&mut self, socket: u64, bytes: usize) {
        let done = self.0.entry(socket).or_default();
        done.reads += usize::from(bytes > 0);
        done.bytes += bytes;
        let bytes_max = READS_PER_ROUND * limits::READ_BUFFER_BYTES;
        assert!(done.bytes <= bytes_max, "one round reads {} bytes of wire {socket}", done.bytes);
    }

    /// The core is called with what a socket has brought.
    pub fn calls(&mut self, socket: u64) {
        let done = self.0.entry(socket).or_default();
        done.calls += 1;
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
    pub fn end(&mut self, socket: u64, input: usize, consumed: &[u8]) {
        let frames = self.streams.entry(socket).or_default().pass(consumed);
        let frames_max = self.bounds.frames_per_call;
        assert!(frames <= frames_max, "one call takes {frames} messages of wire {socket}");
        if frames == frames_max {
            ear::hear(AT_THE_BOUND[0]);
        }
        let renamed = (frames as usize + 1) * RENAMED_BYTES_MAX;
        let made_max = self.bounds.made_bytes_per_call + self.largest + input + renamed;
        assert!(self.made <= made_max, "one call makes {} bytes, for wire {socket}", self.made);
    }
}
