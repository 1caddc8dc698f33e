//! The driver's view of whatever decides: the four events of a connection.
//!
//! [`Core`] is the machine of the program; the driver's own tests put an echo or a relay in its place.
//! Together with `core::Net` this is the whole seam between a driver and what it drives.

use crate::base::{Micros, Peer};
use crate::core::{Core, Net};

/// What a driver tells; see the methods of the same names of [`Core`] for what each promises.
pub trait Machine {
    /// Bytes of `peer`, those kept from before in front; returns how many were consumed.
    fn received(&mut self, peer: Peer, input: &[u8], now: Micros, net: &mut impl Net) -> usize;
    /// `peer` is gone and its id is free.
    fn closed(&mut self, peer: Peer, now: Micros, net: &mut impl Net);
    /// `peer` does not take what is sent to it at present.
    fn blocked(&mut self, peer: Peer, net: &mut impl Net);
    /// Everything sent to `peer` has been written.
    fn drained(&mut self, peer: Peer, net: &mut impl Net);
}

impl Machine for Core {
    #[inline]
    fn received(&mut self, peer: Peer, input: &[u8], now: Micros, net: &mut impl Net) -> usize {
        Self::received(self, peer, input, now, net)
    }

    fn closed(&mut self, peer: Peer, now: Micros, net: &mut impl Net) {
        Self::closed(self, peer, now, net);
    }

    fn blocked(&mut self, peer: Peer, net: &mut impl Net) {
        Self::blocked(self, peer, net);
    }

    fn drained(&mut self, peer: Peer, net: &mut impl Net) {
        Self::drained(self, peer, net);
    }
}
