//! What the machine sends, gathered so that each destination costs one system call.
//!
//! Parts of a call's input are lent: named by their range, and written before the call's input is gone. Bytes made by the
//! machine, and small inputs ([`Outgoing::own`]), lie in one scratch buffer and may wait for the end of the turn.
//! Invariant: between calls nothing is lent; between turns it is empty. Order is kept for each destination, not between
//! destinations.

use super::table::Key;
use std::io::IoSlice;
use std::ops::Range;

/// Most slices given to one system call; more of them for one destination take another.
const SLICES_MAX: usize = 16;

/// Scratch memory that is given back to the allocator when one call has used more.
const SCRATCH_BYTES_MAX: usize = 256 * 1024;

/// Where a piece's bytes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// In the input of the call.
    Input,
    /// In the scratch buffer.
    Made,
}

/// One run of bytes for one destination.
#[derive(Clone, Debug)]
struct Piece {
    to: Key,
    source: Source,
    range: Range<usize>,
}

/// The pieces that are not written yet.
#[derive(Debug, Default)]
pub struct Outgoing {
    pieces: Vec<Piece>,
    made: Vec<u8>,
    /// How many pieces in front are certainly not lent.
    owned: usize,
}

impl Outgoing {
    /// Whether nothing is to be sent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// How many pieces there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Copies what is lent from `input`, so that it can be written when that is gone.
    #[inline]
    pub fn own(&mut self, input: &[u8]) {
        for piece in &mut self.pieces[self.owned..] {
            if piece.source == Source::Input {
                let start = self.made.len();
                self.made.extend_from_slice(&input[piece.range.clone()]);
                (piece.source, piece.range) = (Source::Made, start..self.made.len());
            }
        }
        self.owned = self.pieces.len();
    }

    /// Takes out what is to be sent to `to`, of which nothing may be lent.
    pub fn take_for(&mut self, to: Key) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.pieces.retain(|piece| {
            if piece.to == to {
                assert!(piece.source == Source::Made, "{to:?} leaves with something lent to it");
                bytes.extend_from_slice(&self.made[piece.range.clone()]);
            }
            piece.to != to
        });
        self.owned = self.owned.min(self.pieces.len());
        bytes
    }

    /// Adds a part of the input.
    #[inline]
    pub fn lend(&mut self, to: Key, range: Range<usize>) {
        self.add(to, Source::Input, range);
    }

    /// Adds a copy of `bytes`.
    #[inline]
    pub fn make(&mut self, to: Key, bytes: &[u8]) {
        let start = self.made.len();
        self.made.extend_from_slice(bytes);
        self.add(to, Source::Made, start..self.made.len());
    }

    #[inline]
    fn add(&mut self, to: Key, source: Source, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        match self.pieces.last_mut() {
            Some(last) if last.to == to && last.source == source && last.range.end == range.start => {
                last.range.end = range.end;
            }
            _ => self.pieces.push(Piece { to, source, range }),
        }
    }

    /// Gives each destination its pieces in order, at most [`SLICES_MAX`] at a time, and forgets them.
    pub fn each(&mut self, input: &[u8], mut send: impl FnMut(Key, &mut [IoSlice<'_>])) {
        let Self { pieces, made, owned } = self;
        if pieces.windows(2).any(|pair| pair[0].to != pair[1].to) {
            pieces.sort_by_key(|piece| piece.to); // stable: the order within one destination stays
        }
        for run in pieces.chunk_by(|a, b| a.to == b.to) {
            for part in run.chunks(SLICES_MAX) {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                for (slice, piece) in slices.iter_mut().zip(part) {
                    let bytes = if piece.source == Source::Input { input } else { &made[..] };
                    *slice = IoSlice::new(&bytes[piece.range.clone()]);
                }
                send(part[0].to, &mut slices[..part.len()]);
            }
        }
        pieces.clear();
        made.clear();
        *owned = 0;
        if made.capacity() > SCRATCH_BYTES_MAX {
            made.shrink_to(SCRATCH_BYTES_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn key(index: u32) -> Key {
        Key { index, generation: 1 }
    }

    fn gather(outgoing: &mut Outgoing, input: &[u8]) -> (usize, BTreeMap<u32, Vec<u8>>) {
        let (mut calls, mut out) = (0, BTreeMap::<u32, Vec<u8>>::new());
        outgoing.each(input, |to, slices| {
            calls += 1;
            slices.iter().for_each(|slice| out.entry(to.index).or_default().extend_from_slice(slice));
        });
        (calls, out)
    }

    #[test]
    fn pieces_come_in_order_for_each_destination_and_in_one_call() {
        let mut outgoing = Outgoing::default();
        outgoing.lend(key(7), 0..2);
        outgoing.lend(key(7), 2..4);
        outgoing.make(key(3), b"xy");
        outgoing.make(key(7), b"--");
        outgoing.lend(key(3), 4..6);
        let (calls, out) = gather(&mut outgoing, b"abcdef");
        assert_eq!(calls, 2);
        assert_eq!(out[&7], b"abcd--");
        assert_eq!(out[&3], b"xyef");
        assert!(outgoing.is_empty());
    }

    #[test]
    fn adjoining_parts_of_the_input_become_one_slice() {
        let mut outgoing = Outgoing::default();
        (0..100).for_each(|at| outgoing.lend(key(1), at..at + 1));
        let input = [9; 100];
        let (calls, out) = gather(&mut outgoing, &input);
        assert_eq!((calls, out[&1].len()), (1, 100));
    }

    #[test]
    fn owned_bytes_outlive_their_input_and_join_later_ones() {
        let mut outgoing = Outgoing::default();
        outgoing.lend(key(1), 1..3);
        outgoing.make(key(2), b"-");
        outgoing.own(b"abcd");
        outgoing.lend(key(1), 0..1);
        outgoing.own(b"xyz");
        outgoing.lend(key(2), 1..2);
        let (calls, out) = gather(&mut outgoing, b"123");
        assert_eq!(calls, 2);
        assert_eq!((&out[&1][..], &out[&2][..]), (&b"bcx"[..], &b"-2"[..]));
    }

    #[test]
    fn one_destination_can_be_taken_out() {
        let mut outgoing = Outgoing::default();
        outgoing.lend(key(1), 0..2);
        outgoing.lend(key(2), 2..4);
        outgoing.lend(key(1), 4..6);
        outgoing.own(b"abcdef");
        outgoing.lend(key(3), 0..1);
        assert_eq!(outgoing.take_for(key(1)), b"abef");
        let (calls, out) = gather(&mut outgoing, b"x");
        assert_eq!((calls, &out[&2][..], &out[&3][..]), (2, &b"cd"[..], &b"x"[..]));
    }

    #[test]
    fn many_pieces_take_several_calls() {
        let mut outgoing = Outgoing::default();
        for at in 0..20 {
            outgoing.lend(key(1), at..at + 1);
            outgoing.make(key(1), b".");
        }
        let (calls, out) = gather(&mut outgoing, b"abcdefghijklmnopqrst");
        assert_eq!(calls, 40usize.div_ceil(SLICES_MAX));
        assert_eq!(&out[&1][..6], b"a.b.c.");
        assert_eq!(out[&1].len(), 40);
    }
}
