//! A connection's bytes, whatever carries them.

use tokio::io::{AsyncRead, AsyncWrite};

/// A stream of bytes both ways, plain or TLS.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
