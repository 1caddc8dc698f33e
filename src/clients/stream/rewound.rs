//! A stream with bytes in front of it that were read too early: what a TLS handshake begins with.
//!
//! Gives each byte once, in order.

use super::Socket;
use super::take_front;
use crate::clients::unauthenticated::Pace;
use std::io::{self};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket in front of which bytes lie that were read too early: direct TLS is known by its first byte.
#[derive(Debug)]
pub(super) struct Rewound {
    pub(super) front: Vec<u8>,
    pub(super) socket: Socket,
    /// During the handshake: who is told that the client has sent a whole flight, which is what we answer.
    pub(super) pace: Option<Pace>,
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.front.is_empty() {
            take_front(&mut self.front, out);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_read(cx, out)
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        if let (Poll::Ready(Ok(_)), Some(pace)) = (&written, &self.pace) {
            pace.step();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
