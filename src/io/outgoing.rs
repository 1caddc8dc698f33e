//! What the machine sends, gathered so that each destination costs one system call.
//!
//! Bytes that the machine makes, and parts of small inputs, are copied into the batch's own memory and may
//! wait for the end of the turn: that is an `Outgoing<'static>`. Parts of a large input are
//! borrowed (`Outgoing<'i>`), so the compiler sees to it that they are written, or copied, before the
//! input is gone, and that they are never looked up in another one. Order is kept for each destination,
//! not between destinations.

use super::key::Key;
use std::io::IoSlice;
use std::ops::Range;

/// Most slices given to one system call; more of them for one destination take another.
const SLICES_MAX: usize = 16;

/// Scratch memory that is given back to the allocator when one call has used more.
const SCRATCH_BYTES_MAX: usize = 256 * 1024;

/// Where a piece's bytes lie.
#[derive(Clone, Debug)]
enum Bytes<'i> {
    /// In the input of the call.
    Borrowed(&'i [u8]),
    /// In this range of the batch's own memory.
    Made(Range<usize>),
}

/// One run of bytes for one destination.
#[derive(Clone, Debug)]
struct Piece<'i> {
    to: Key,
    bytes: Bytes<'i>,
}

/// The pieces that are not written yet; some borrow the input `'i`.
#[derive(Debug, Default)]
pub(super) struct Outgoing<'i> {
    pieces: Vec<Piece<'i>>,
    made: Vec<u8>,
}

impl<'i> Outgoing<'i> {
    /// Whether nothing is to be sent.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// How many pieces there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Takes out what is to be sent to `to`, in order, as a copy.
    pub(super) fn take_for(&mut self, to: Key) -> Vec<u8> {
        let mut taken = Vec::new();
        self.pieces.retain(|piece| {
            if piece.to == to {
                taken.extend_from_slice(match &piece.bytes {
                    Bytes::Borrowed(bytes) => bytes,
                    Bytes::Made(range) => &self.made[range.clone()],
                });
            }
            piece.to != to
        });
        taken
    }

    /// Adds `input[range]` without a copy; `false` where the input has no such part.
    #[inline]
    pub(super) fn borrow(&mut self, to: Key, input: &'i [u8], range: Range<usize>) -> bool {
        let Some(part) = input.get(range.clone()) else { return false };
        if part.is_empty() {
            return true;
        }
        if let Some(Piece { to: last_to, bytes: Bytes::Borrowed(last) }) = self.pieces.last_mut()
            && *last_to == to
            && range.start >= last.len()
            && std::ptr::eq(&raw const input[range.start - last.len()], last.as_ptr())
        {
            *last = &input[range.start - last.len()..range.end];
        } else {
            self.pieces.push(Piece { to, bytes: Bytes::Borrowed(part) });
        }
        true
    }

    /// Adds a copy of `bytes`.
    #[inline]
    pub(super) fn make(&mut self, to: Key, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let start = self.made.len();
        self.made.extend_from_slice(bytes);
        match self.pieces.last_mut() {
            Some(Piece { to: last_to, bytes: Bytes::Made(last) }) if *last_to == to && last.end == start => {
                last.end = self.made.len();
            }
            _ => self.pieces.push(Piece { to, bytes: Bytes::Made(start..self.made.len()) }),
        }
    }

    /// Gives each destination its pieces in order, at most [`SLICES_MAX`] at a time. What is left is empty,
    /// borrows nothing and keeps its memory for the next batch.
    pub(super) fn each(self, mut send: impl FnMut(Key, &mut [IoSlice<'_>])) -> Outgoing<'static> {
        let Self { mut pieces, mut made } = self;
        if pieces.windows(2).any(|pair| pair[0].to != pair[1].to) {
            pieces.sort_by_key(|piece| piece.to); // stable: the order within one destination stays
        }
        for run in pieces.chunk_by(|a, b| a.to == b.to) {
            for part in run.chunks(SLICES_MAX) {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                for (slice, piece) in slices.iter_mut().zip(part) {
                    *slice = IoSlice::new(match &piece.bytes {
                        Bytes::Borrowed(bytes) => bytes,
                        Bytes::Made(range) => &made[range.clone()],
                    });
                }
                send(part[0].to, &mut slices[..part.len()]);
            }
        }
        pieces.clear();
        made.clear();
        if made.capacity() > SCRATCH_BYTES_MAX {
            made.shrink_to(SCRATCH_BYTES_MAX);
        }
        // An empty vector of another lifetime, in the same memory: the collection is done in place.
        let pieces =
            pieces.into_iter().map(|piece| Piece { to: piece.to, bytes: Bytes::Made(0..0) }).collect();
        Outgoing { pieces, made }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn key(index: u32) -> Key {
        Key { index, generation: 1 }
    }

    fn gather(outgoing: Outgoing<'_>) -> (usize, BTreeMap<u32, Vec<u8>>, Outgoing<'static>) {
        let (mut calls, mut out) = (0, BTreeMap::<u32, Vec<u8>>::new());
        let left = outgoing.each(|to, slices| {
            calls += 1;
            slices.iter().for_each(|slice| out.entry(to.index).or_default().extend_from_slice(slice));
        });
        assert!(left.is_empty());
        (calls, out, left)
    }

    #[test]
    fn pieces_come_in_order_for_each_destination_and_in_one_call() {
        let (mut outgoing, input) = (Outgoing::default(), b"abcdef");
        outgoing.borrow(key(7), input, 0..2);
        outgoing.borrow(key(7), input, 2..4);
        outgoing.make(key(3), b"xy");
        outgoing.make(key(7), b"--");
        outgoing.borrow(key(3), input, 4..6);
        let (calls, out, _) = gather(outgoing);
        assert_eq!(calls, 2);
        assert_eq!(out[&7], b"abcd--");
        assert_eq!(out[&3], b"xyef");
    }

    #[test]
    fn adjoining_parts_of_the_input_become_one_slice() {
        let (mut outgoing, input) = (Outgoing::default(), [9; 100]);
        (0..100).for_each(|at| assert!(outgoing.borrow(key(1), &input, at..at + 1)));
        assert_eq!(outgoing.len(), 1);
        let (calls, out, _) = gather(outgoing);
        assert_eq!((calls, out[&1].len()), (1, 100));
    }

    #[test]
    fn a_part_that_the_input_does_not_have_is_refused() {
        let mut outgoing = Outgoing::default();
        assert!(!outgoing.borrow(key(1), b"abc", 2..4));
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
        let refused = !outgoing.borrow(key(1), b"abc", 3..2);
        assert!(refused && outgoing.is_empty());
    }

    #[test]
    fn waiting_bytes_are_joined_by_borrowed_ones_and_leave_nothing_behind() {
        let mut waiting = Outgoing::<'static>::default();
        waiting.make(key(1), b"bc");
        waiting.make(key(2), b"-");
        let left = {
            let input = b"123".to_vec();
            let mut outgoing: Outgoing<'_> = waiting;
            outgoing.borrow(key(2), &input, 1..2);
            let (calls, out, left) = gather(outgoing);
            assert_eq!(calls, 2);
            assert_eq!((&out[&1][..], &out[&2][..]), (&b"bc"[..], &b"-2"[..]));
            left
        };
        assert!(left.is_empty());
    }

    #[test]
    fn one_destination_can_be_taken_out_whatever_its_pieces_are() {
        let (mut outgoing, input) = (Outgoing::default(), b"abcdef");
        outgoing.make(key(1), b"..");
        outgoing.borrow(key(1), input, 0..2);
        outgoing.borrow(key(2), input, 2..4);
        outgoing.borrow(key(1), input, 4..6);
        outgoing.make(key(3), b"x");
        assert_eq!(outgoing.take_for(key(1)), b"..abef");
        outgoing.borrow(key(3), input, 0..1);
        let (calls, out, _) = gather(outgoing);
        assert_eq!((calls, &out[&2][..], &out[&3][..]), (2, &b"cd"[..], &b"xa"[..]));
    }

    #[test]
    fn many_pieces_take_several_calls() {
        let (mut outgoing, input) = (Outgoing::default(), b"abcdefghijklmnopqrst");
        for at in 0..20 {
            outgoing.borrow(key(1), input, at..at + 1);
            outgoing.make(key(1), b".");
        }
        let (calls, out, _) = gather(outgoing);
        assert_eq!(calls, 40usize.div_ceil(SLICES_MAX));
        assert_eq!(&out[&1][..6], b"a.b.c.");
        assert_eq!(out[&1].len(), 40);
    }
}
