//! How many clients have shaken hands, and how.

use crate::stats::HANDSHAKE_KINDS;
use rustls::HandshakeKind;
use std::sync::atomic::{AtomicU64, Ordering};

/// Clients' handshakes since the start.
#[derive(Debug, Default)]
pub struct Handshakes([AtomicU64; HANDSHAKE_KINDS.len()]);

impl Handshakes {
    /// One more that has come to its end.
    pub fn add(&self, kind: HandshakeKind) {
        let at = usize::from(kind == HandshakeKind::Resumed);
        self.0[at].fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were of each kind, in the order of [`HANDSHAKE_KINDS`].
    pub fn counts(&self) -> [u64; HANDSHAKE_KINDS.len()] {
        self.0.each_ref().map(|count| count.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_apart() {
        let handshakes = Handshakes::default();
        let kinds = [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::FullWithHelloRetryRequest];
        kinds.into_iter().for_each(|kind| handshakes.add(kind));
        assert_eq!(
            HANDSHAKE_KINDS.into_iter().zip(handshakes.counts()).collect::<Vec<_>>(),
            [("full", 2), ("resumed", 1)]
        );
    }
}
