//! What a cancel request comes to, as the log tells it of whoever sent it.
//!
//! The words are PgBouncer's where it has them. Source: PgBouncer, src/objects.c (accept_cancel_request(),
//! unlink_server()).

/// What a cancel request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelEnd {
    /// Nobody has that key.
    UnknownKey,
    /// A peer has issued it that `[peers]` does not have.
    UnknownPeer,
    /// It has been forwarded too often.
    OutOfHops,
    /// It was for a client of the console.
    OfConsole,
    /// Nothing runs that could be cancelled.
    OfIdle,
    /// Its client was answered before a server had its query.
    OfWaiting,
    /// PostgreSQL, or the peer, has taken it.
    Taken,
    /// It was given up on its way there; another line tells why.
    GivenUp,
    /// It was not on its way in time (`cancel_wait_timeout`).
    TooLate,
}

impl CancelEnd {
    /// Behind `closing because`.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::UnknownKey => "failed cancel request",
            Self::UnknownPeer => "could not find peer to forward request to",
            Self::OutOfHops => "failed to forward cancel request because its TTL was exhausted",
            Self::OfConsole => "cancel request for console client",
            Self::OfIdle => "cancel request for idle client",
            Self::OfWaiting => "cancel request for waiting client",
            Self::Taken => "successfully sent cancel request",
            Self::GivenUp => "failed to send cancel request",
            Self::TooLate => "cancel_wait_timeout",
        }
    }
}
