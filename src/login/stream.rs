//! One client's byte stream during its login: plain or TLS, with what was read and not yet consumed.
//!
//! Holds what has come, never room for what a length promises: a stranger pays for our memory with its own bytes. Reads no
//! message itself. Ends as a value for a worker, or as a stream for the console.

use super::strangers::{Ours, Pace};
use super::tls_text::tls_text;
use crate::base::limits;
use crate::io::{Channel, Guard};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// Bytes that one read makes room for: a StartupMessage and a password fit.
const READ_BYTES: usize = 1024;

/// A connected socket.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
    /// Over a Unix socket, and panics when it is read once the trap is set.
    #[cfg(test)]
    Trap(UnixStream, Arc<std::sync::atomic::AtomicBool>),
}

impl Socket {
    /// Gives up tokio's hold on it; it stays non-blocking.
    fn into_fd(self) -> io::Result<OwnedFd> {
        Ok(match self {
            Self::Tcp(stream) => stream.into_std()?.into(),
            Self::Unix(stream) => stream.into_std()?.into(),
            #[cfg(test)]
            Self::Trap(stream, _) => stream.into_std()?.into(),
        })
    }
}

/// A socket in front of which bytes lie that were read too early: direct TLS is known by its first byte.
#[derive(Debug)]
struct Rewound {
    front: Vec<u8>,
    socket: Socket,
}

#[derive(Debug)]
enum Transport {
    Plain(Socket),
    Tls(Box<TlsStream<Rewound>>),
    /// Between plain and TLS, or after a handshake that failed.
    Lost,
}

/// One client's byte stream.
#[derive(Debug)]
pub struct ClientStream {
    transport: Transport,
    inbox: Vec<u8>,
    pace: Option<Pace>,
}

impl ClientStream {
    /// A stream of which nothing has been read.
    pub fn new(socket: Socket) -> Self {
        Self { transport: Transport::Plain(socket), inbox: Vec::new(), pace: None }
    }

    /// Tells `pace` of every whole message.
    pub fn paced(self, pace: Pace) -> Self {
        Self { pace: Some(pace), ..self }
    }

    /// Whom it tells.
    pub fn pace(&self) -> Option<Pace> {
        self.pace.clone()
    }

    /// The client waits for us until the guard is dropped.
    pub fn ours(&self) -> Option<Ours> {
        self.pace.as_ref().map(Pace::ours)
    }

    fn step(&self) {
        if let Some(pace) = &self.pace {
            pace.step();
        }
    }

    /// What was read and not consumed.
    pub fn unread(&self) -> &[u8] {
        &self.inbox
    }

    /// Consumes the first `bytes` of [`ClientStream::unread`], and gives their memory back.
    pub fn consume(&mut self, bytes: usize) {
        self.inbox.drain(..bytes);
        self.inbox.shrink_to(READ_BYTES);
        self.step();
    }

    /// Appends to [`ClientStream::unread`] what comes next.
    ///
    /// # Errors
    /// The system's; `UnexpectedEof` at the end of the stream.
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn read_more(&mut self) -> io::Result<()> {
        self.inbox.reserve_exact(READ_BYTES); // doubling would cost a stranger twice what it sends
        let read = match &mut self.transport {
            Transport::Plain(socket) => socket.read_buf(&mut self.inbox).await?,
            Transport::Tls(stream) => stream.read_buf(&mut self.inbox).await?,
            Transport::Lost => 0,
        };
        if read > 0 { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// The system's.
    /// # Cancel safety
    /// A part may have been sent.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes).await?;
        self.flush().await
    }

    /// Makes a TLS server of the plain stream; what lies unread is taken for the beginning of the handshake.
    ///
    /// # Errors
    /// The handshake's. The stream is lost with it.
    /// # Cancel safety
    /// The stream is lost.
    pub async fn start_tls(&mut self, config: &Arc<rustls::ServerConfig>) -> io::Result<()> {
        let Transport::Plain(socket) = std::mem::replace(&mut self.transport, Transport::Lost) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let rewound = Rewound { front: std::mem::take(&mut self.inbox), socket };
        let stream = tokio_rustls::TlsAcceptor::from(config.clone()).accept(rewound).await?;
        self.transport = Transport::Tls(Box::new(stream));
        self.step();
        Ok(())
    }

    /// Whether the stream is encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self.transport, Transport::Tls(_))
    }

    /// The TLS session as SHOW prints it, empty without TLS.
    pub fn tls_text(&self) -> String {
        match &self.transport {
            Transport::Tls(stream) => tls_text(stream.get_ref().1),
            Transport::Plain(_) | Transport::Lost => String::new(),
        }
    }

    /// Sends the last words and closes. Waits (bounded by [`limits::CLIENT_LINGER_MS`]) for the client to close its side,
    /// passing over what it still sends: closing a socket with bytes unread would take the words back.
    ///
    /// # Cancel safety
    /// The stream is closed at once.
    pub async fn farewell(mut self, words: &[u8]) {
        let goodbye = async {
            self.send(words).await?;
            self.shutdown().await?;
            let mut passed_over = 0;
            while passed_over < limits::FAREWELL_BYTES_MAX {
                self.inbox.clear();
                self.read_more().await?;
                passed_over += self.inbox.len();
            }
            io::Result::Ok(())
        };
        // whether it heard us or not, it is gone either way
        let _ = tokio::time::timeout(Duration::from_millis(limits::CLIENT_LINGER_MS), goodbye).await;
    }

    /// Closes without a word: over TLS with its close_notify, which tells an end from a cut line.
    ///
    /// # Cancel safety
    /// The stream is closed at once.
    pub async fn close(mut self) {
        let limit = Duration::from_millis(limits::CLIENT_LINGER_MS);
        let _ = tokio::time::timeout(limit, self.shutdown()).await; // a client that is gone needs none
    }

    /// The stream as a worker takes it. Everything sent must have been flushed, which [`ClientStream::send`] does.
    ///
    /// # Errors
    /// The system's; the connection is closed.
    pub fn into_channel(self, guard: Guard) -> io::Result<Channel> {
        let mut unread = self.inbox;
        let (socket, tls) = match self.transport {
            Transport::Plain(socket) => (socket, None),
            Transport::Tls(stream) => {
                let (rewound, mut session) = stream.into_inner();
                drain_plaintext(&mut session, &mut unread)?;
                (rewound.socket, Some(Box::new(rustls::Connection::Server(session))))
            }
            Transport::Lost => return Err(io::ErrorKind::NotConnected.into()),
        };
        unread.shrink_to_fit(); // mostly empty, and kept for as long as the client is idle
        Ok(Channel { fd: socket.into_fd()?, tls, unread, unsent: Vec::new(), guard })
    }
}

/// Takes out what the session has decrypted; what it holds of an unfinished record stays with it.
fn drain_plaintext(session: &mut rustls::ServerConnection, unread: &mut Vec<u8>) -> io::Result<()> {
    match session.reader().read_to_end(unread) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Both variants implement tokio's traits: `$call` is made on the one there is.
macro_rules! on_stream {
    ($transport:expr, $stream:ident => $call:expr, lost: $lost:expr) => {
        match $transport {
            Transport::Plain($stream) => $call,
            Transport::Tls($stream) => $call,
            Transport::Lost => $lost,
        }
    };
}

impl AsyncRead for ClientStream {
    /// What lies unread comes first.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.inbox.is_empty() {
            take_front(&mut self.inbox, out);
            return Poll::Ready(Ok(()));
        }
        on_stream!(&mut self.transport, stream => Pin::new(stream).poll_read(cx, out), lost: Poll::Ready(Ok(())))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let lost = Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        on_stream!(&mut self.transport, stream => Pin::new(stream).poll_write(cx, bytes), lost: lost)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(&mut self.transport, stream => Pin::new(stream).poll_flush(cx), lost: Poll::Ready(Ok(())))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(&mut self.transport, stream => Pin::new(stream).poll_shutdown(cx), lost: Poll::Ready(Ok(())))
    }
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
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// Moves as much of `from` as fits into `out`.
fn take_front(from: &mut Vec<u8>, out: &mut ReadBuf<'_>) {
    let bytes = from.len().min(out.remaining());
    out.put_slice(&from[..bytes]);
    from.drain(..bytes);
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, out),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, out),
            #[cfg(test)]
            Self::Trap(stream, is_set) => {
                assert!(!is_set.load(std::sync::atomic::Ordering::Relaxed), "the trap has sprung");
                Pin::new(stream).poll_read(cx, out)
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(test)]
            Self::Trap(stream, _) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(test)]
            Self::Trap(stream, _) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(test)]
            Self::Trap(stream, _) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
