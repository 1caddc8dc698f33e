//! Why a peer is not being read from. One byte of reasons; reading stops with the first
//! and goes on after the last.

use crate::base::Peer;

/// Stops and goes on reading a peer.
pub(in crate::core) trait FlowControl {
    /// Reads no more of `peer`, until [`FlowControl::resume`].
    fn pause(&mut self, peer: Peer);

    /// Reads `peer` again.
    fn resume(&mut self, peer: Peer);
}

/// A reason not to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::core) enum Reason {
    /// A client that waits for a server, or for its server to be set up.
    Waiting = 1,
    /// What it sends has nowhere to go: the linked peer does not take its bytes.
    LinkBlocked = 2,
    /// SUSPEND.
    Suspended = 4,
    /// A client that does not read what it is sent.
    Unread = 8,
    /// A client that is owed very many answers, or whose statement nobody can tell from a forgotten one
    /// before those owed are there.
    Owed = 16,
    /// A client whose query was cancelled for a timeout: what it says next could be what the cancel ends.
    Canceling = 32,
    /// A client whose transaction the audit log has no room for.
    Unrecorded = 64,
    /// A client whose session is to end, and that is owed the answer to the request before: the next one may
    /// have to come to nothing.
    Ending = 128,
}

/// The reasons that hold one peer at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::core) struct Hold(u8);

impl Hold {
    /// Whether `reason` is among them.
    #[inline]
    pub(crate) fn has(self, reason: Reason) -> bool {
        self.0 & reason as u8 != 0
    }

    /// Whether there is none.
    #[inline]
    pub(crate) fn is_free(self) -> bool {
        self.0 == 0
    }

    /// Adds a reason.
    #[inline]
    pub(crate) fn add(&mut self, reason: Reason, peer: Peer, net: &mut impl FlowControl) {
        if self.0 == 0 {
            net.pause(peer);
        }
        self.0 |= reason as u8;
    }

    /// Takes a reason away.
    #[inline]
    pub(crate) fn lift(&mut self, reason: Reason, peer: Peer, net: &mut impl FlowControl) {
        if !self.has(reason) {
            return;
        }
        self.0 &= !(reason as u8);
        if self.0 == 0 {
            net.resume(peer);
        }
    }
}

/// The rest of a frame of which only a part has come: where its bytes go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::core) enum Partial {
    /// At a frame's edge.
    #[default]
    None,
    /// So many bytes go on to the linked peer.
    Forward(usize),
    /// So many bytes are dropped.
    Drop(usize),
}

impl Partial {
    /// What is left of a frame of `frame_bytes` of which `have_bytes` have come: it goes on.
    #[inline]
    pub(crate) fn forward(frame_bytes: usize, have_bytes: usize) -> Self {
        match frame_bytes.saturating_sub(have_bytes) {
            0 => Self::None,
            rest => Self::Forward(rest),
        }
    }

    /// As [`Partial::forward`], of a frame that is dropped.
    #[inline]
    pub(crate) fn drop(frame_bytes: usize, have_bytes: usize) -> Self {
        match frame_bytes.saturating_sub(have_bytes) {
            0 => Self::None,
            rest => Self::Drop(rest),
        }
    }

    /// Takes up to `have_bytes` off: how many bytes belong to the rest of the frame, and whether they go on.
    #[inline]
    pub(crate) fn take(&mut self, have_bytes: usize) -> (usize, bool) {
        let (left, taken, goes_on) = match *self {
            Self::None => return (0, false),
            Self::Forward(rest) => (Self::forward(rest, have_bytes), rest.min(have_bytes), true),
            Self::Drop(rest) => (Self::drop(rest, have_bytes), rest.min(have_bytes), false),
        };
        *self = left;
        (taken, goes_on)
    }
}
