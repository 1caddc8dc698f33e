//! The way through the input of one call: what of it is decided, and what the call may still do.

use crate::core::bounds::Bounds;
use crate::wire::{FrameHeader, HEADER_BYTES};
use std::ops::Range;

/// The input at hand and what of it has been decided: `run` is to be forwarded, everything before it is done.
pub(in crate::core) struct Walk<'a> {
    pub input: &'a [u8],
    pub run: Range<usize>,
    /// What this call may still do for its client before others have their turn; a server's needs no bound.
    frames_left: u32,
    made_left: usize,
}

impl<'a> Walk<'a> {
    /// At the begin of `input`, with a whole call's budget.
    #[inline]
    pub(crate) fn new(input: &'a [u8], bounds: Bounds) -> Self {
        let (frames_left, made_left) = (bounds.frames_per_call, bounds.made_bytes_per_call);
        Self { input, run: 0..0, frames_left, made_left }
    }

    /// Counts a frame; false where the budget is spent, and the rest of the input has to wait.
    #[inline]
    pub(crate) fn may_go_on(&mut self) -> bool {
        let may = self.frames_left > 0 && self.made_left > 0;
        self.frames_left = self.frames_left.saturating_sub(1);
        may
    }

    /// This call does one frame more, and no other.
    pub(crate) fn go_on_by_one(&mut self) {
        self.frames_left = self.frames_left.min(1);
    }

    /// Counts bytes that were made for what the input asks, beside itself.
    pub(crate) fn count_made(&mut self, bytes: usize) {
        self.made_left = self.made_left.saturating_sub(bytes);
    }

    /// The bytes from the end of the run on.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.input[self.run.end..]
    }

    /// The payload of a frame at the run's end, as far as it has come.
    #[inline]
    pub(crate) fn payload(&self, header: FrameHeader) -> &'a [u8] {
        let have = self.rest().len().min(header.frame_bytes);
        &self.rest()[HEADER_BYTES..have]
    }

    /// Whether the frame at the run's end has come whole.
    pub(crate) fn is_whole(&self, header: FrameHeader) -> bool {
        self.rest().len() >= header.frame_bytes
    }

    /// Leaves out `bytes` behind the run; the run starts anew after them. The old run must have been flushed.
    pub(crate) fn skip(&mut self, bytes: usize) {
        let at = (self.run.end + bytes).min(self.input.len());
        self.run = at..at;
    }
}
