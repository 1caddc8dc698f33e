//! One client's byte stream during its login: plain or TLS, with what was read and not yet consumed.
//!
//! Holds what has come, never room for what a length promises: an unauthenticated client pays for our memory
//! with its own bytes. Reads no message itself. Ends as a value for a worker, or as a stream for the console.

mod rewound;
mod socket;

use super::clients::ConsoleStream;
use super::loop_place::LoopPlace;
use super::unauthenticated::{Pace, WaitsForUs};
use super::wake_batch::WakeBatch;
use crate::auth::CertificateNames;
use crate::base::limits;
use crate::io::{Channel, Guard};
use crate::tls::client::Acceptor;
use crate::tls::{Authorities, NamesError, certificate_names, tls_text};
use rewound::Rewound;
pub use socket::{Fresh, Socket};
use std::future::poll_fn;
use std::io::{self, Read as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::server::TlsStream;
use zeroize::{Zeroize, Zeroizing};

/// Bytes that one read makes room for: a StartupMessage and a password fit.
const READ_BYTES: usize = 1024;

#[derive(Debug)]
enum Transport {
    Plain(Socket),
    Tls(Box<TlsStream<Rewound>>),
    /// Between plain and TLS, or after a handshake that failed.
    Lost,
}

/// One client's byte stream.
#[derive(Debug)]
pub(super) struct ClientStream {
    transport: Transport,
    inbox: Vec<u8>,
    /// Words that go out with the next ones.
    held: Vec<u8>,
    pace: Option<Pace>,
    has_spoken: bool,
    /// Who has vouched for the certificate that the client has shown, if it has.
    authorities: Option<Arc<Authorities>>,
    /// The batch of wakeups of the thread that it has left its worker for.
    wake_batch: Option<Arc<WakeBatch>>,
}

impl ClientStream {
    /// A stream of which nothing has been read.
    pub(super) fn new(socket: Socket) -> Self {
        Self {
            transport: Transport::Plain(socket),
            inbox: Vec::new(),
            held: Vec::new(),
            pace: None,
            has_spoken: false,
            authorities: None,
            wake_batch: None,
        }
    }

    /// Tells `pace` of every whole message.
    pub(super) fn paced(self, pace: Pace) -> Self {
        Self { pace: Some(pace), ..self }
    }

    /// Whether the client has sent a single byte.
    pub(super) fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    /// Whom it tells.
    pub(super) fn pace(&self) -> Option<Pace> {
        self.pace.clone()
    }

    /// The client waits for us until the guard is dropped.
    pub(super) fn waits_for_us(&self) -> Option<WaitsForUs> {
        self.pace.as_ref().map(Pace::waits_for_us)
    }

    fn step(&self) {
        if let Some(pace) = &self.pace {
            pace.step();
        }
    }

    /// What was read and not consumed.
    pub(super) fn unread(&self) -> &[u8] {
        &self.inbox
    }

    /// Consumes the first `bytes` of [`ClientStream::unread`], and gives their memory back: wiped, since they
    /// may be a password.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.inbox[..bytes].zeroize();
        self.inbox.drain(..bytes);
        self.inbox.shrink_to(READ_BYTES);
        self.step();
    }

    /// Takes the first `bytes` of [`ClientStream::unread`], which may be a secret, and does not copy them.
    pub(super) fn take(&mut self, bytes: usize) -> Zeroizing<Vec<u8>> {
        let behind = self.inbox.split_off(bytes);
        let taken = Zeroizing::new(std::mem::replace(&mut self.inbox, behind));
        self.step();
        taken
    }

    /// Appends to [`ClientStream::unread`] what comes next.
    ///
    /// # Errors
    /// The system's; `UnexpectedEof` at the end of the stream.
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn read_more(&mut self) -> io::Result<()> {
        if !self.held.is_empty() {
            self.send_held().await?; // what the client waits for comes before what we wait for
        }
        make_room(&mut self.inbox);
        let read = match &mut self.transport {
            Transport::Plain(socket) => socket.read_buf(&mut self.inbox).await?,
            Transport::Tls(stream) => stream.read_buf(&mut self.inbox).await?,
            Transport::Lost => 0,
        };
        self.has_spoken |= read > 0;
        if read > 0 { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Sends `bytes` with what is sent next, or before the client is waited for.
    pub(super) fn hold(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// What is held and not sent: whoever asks sends it.
    pub(super) fn take_held(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    async fn send_held(&mut self) -> io::Result<()> {
        while !self.held.is_empty() {
            let (transport, held) = (&mut self.transport, &self.held);
            let written = poll_fn(|context| transport.poll_write(context, held)).await?;
            self.held.drain(..written); // with no wait behind the write: nothing is lost, nothing sent twice
        }
        self.flush().await
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// The system's.
    /// # Cancel safety
    /// A part may have been sent.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.held.is_empty() {
            self.hold(bytes);
            return self.send_held().await;
        }
        self.write_all(bytes).await?;
        self.flush().await
    }

    /// Makes a TLS server of the plain stream; what lies unread is taken for the beginning of the handshake.
    ///
    /// # Errors
    /// The handshake's. The stream is lost with it.
    /// # Cancel safety
    /// The stream is lost.
    pub(super) async fn start_tls(&mut self, acceptor: &Acceptor) -> io::Result<()> {
        if let Some(loop_place) = self.leave_loop()? {
            let _waits_for_us = self.waits_for_us(); // the thread may have others to shake hands with first
            // What a handshake costs must not make queries wait.
            self.wake_batch = Some(loop_place.exit.take().await);
        }
        let Transport::Plain(socket) = std::mem::replace(&mut self.transport, Transport::Lost) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        // Before a signature is spent on it: nobody half-closes in front of a handshake.
        if socket.has_hung_up() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let rewound = Rewound { front: std::mem::take(&mut self.inbox), socket, pace: self.pace() };
        let mut stream = tokio_rustls::TlsAcceptor::from(acceptor.config.clone()).accept(rewound).await?;
        stream.get_mut().0.pace = None;
        self.authorities.clone_from(&acceptor.authorities);
        self.transport = Transport::Tls(Box::new(stream));
        self.step();
        Ok(())
    }

    /// Whether the client has closed it, or its half of it: whom we owe an answer that it must
    /// answer has gone with that.
    pub(super) fn has_hung_up(&self) -> bool {
        match &self.transport {
            Transport::Plain(socket) => socket.has_hung_up(),
            Transport::Tls(stream) => stream.get_ref().0.socket.has_hung_up(),
            Transport::Lost => true,
        }
    }

    /// What wakes workers for the thread that it is on, if it has left its worker.
    pub(super) fn take_wake_batch(&mut self) -> Option<Arc<WakeBatch>> {
        self.wake_batch.take()
    }

    /// Whether it is on a worker's loop.
    pub(super) fn is_on_loop(&self) -> bool {
        matches!(&self.transport, Transport::Plain(Socket::Fresh(Some(fresh))) if fresh.loop_place.is_some())
    }

    /// Takes it off the worker's loop that it is on, if it is, and gives its place there back.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn leave_loop(&mut self) -> io::Result<Option<LoopPlace>> {
        match &mut self.transport {
            Transport::Plain(Socket::Fresh(Some(fresh))) => fresh.leave_loop(),
            Transport::Plain(_) | Transport::Tls(_) | Transport::Lost => Ok(None),
        }
    }

    /// Whether the stream is encrypted.
    pub(super) fn is_tls(&self) -> bool {
        matches!(self.transport, Transport::Tls(_))
    }

    /// How hands were shaken; `None` without TLS.
    pub(super) fn handshake_kind(&self) -> Option<rustls::HandshakeKind> {
        match &self.transport {
            Transport::Tls(stream) => stream.get_ref().1.handshake_kind(),
            Transport::Plain(_) | Transport::Lost => None,
        }
    }

    /// The names of the certificate that the client has shown; `None` where it has shown none.
    pub(super) fn certificate_names(&self) -> Option<Result<CertificateNames, NamesError>> {
        match &self.transport {
            Transport::Tls(stream) => {
                certificate_names(stream.get_ref().1.peer_certificates()?, self.authorities.as_deref())
            }
            Transport::Plain(_) | Transport::Lost => None,
        }
    }

    /// The TLS session as SHOW prints it, empty without TLS.
    pub(super) fn tls_text(&self) -> String {
        match &self.transport {
            Transport::Tls(stream) => tls_text(stream.get_ref().1),
            Transport::Plain(_) | Transport::Lost => String::new(),
        }
    }

    /// Sends the last words and closes. Waits (bounded by [`limits::CLIENT_LINGER_MS`]) for the
    /// client to close its side, passing over what it still sends: closing a socket with bytes unread
    /// would take the words back.
    ///
    /// # Cancel safety
    /// The stream is closed at once.
    pub(super) async fn farewell(mut self, words: &[u8]) {
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
        // Whether it heard us or not, it is gone either way.
        let _ = tokio::time::timeout(Duration::from_millis(limits::CLIENT_LINGER_MS), goodbye).await;
    }

    /// Closes without a word: over TLS with its close_notify, which tells an end from a cut line.
    ///
    /// # Cancel safety
    /// The stream is closed at once.
    pub(super) async fn close(mut self) {
        let limit = Duration::from_millis(limits::CLIENT_LINGER_MS);
        let _ = tokio::time::timeout(limit, self.shutdown()).await; // a client that is gone needs none
    }

    /// The stream as a worker takes it: the one on whose loop it is, where it is on one. Everything sent must
    /// have been flushed, which [`ClientStream::send`] does.
    ///
    /// # Errors
    /// The system's; the connection is closed.
    pub(super) fn into_channel(self, guard: Guard) -> io::Result<Channel> {
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

impl Transport {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let lost = Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        on_stream!(self, stream => Pin::new(stream).poll_write(cx, bytes), lost: lost)
    }
}

impl ConsoleStream for ClientStream {
    fn has_hung_up(&self) -> bool {
        Self::has_hung_up(self)
    }
}

/// Makes room for one read: doubling would cost twice what the client sends. What has to move for it is wiped
/// where it was: it may be a part of a password.
fn make_room(inbox: &mut Vec<u8>) {
    if inbox.capacity() - inbox.len() >= READ_BYTES {
        return;
    }
    let mut roomier = Vec::with_capacity(inbox.len() + READ_BYTES);
    roomier.extend_from_slice(inbox);
    std::mem::replace(inbox, roomier).zeroize();
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
        on_stream!(
            &mut self.transport,
            stream => Pin::new(stream).poll_read(cx, out),
            lost: Poll::Ready(Ok(()))
        )
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.transport.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(&mut self.transport, stream => Pin::new(stream).poll_flush(cx), lost: Poll::Ready(Ok(())))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(
            &mut self.transport,
            stream => Pin::new(stream).poll_shutdown(cx),
            lost: Poll::Ready(Ok(()))
        )
    }
}

/// Moves as much of `from` as fits into `out`.
fn take_front(from: &mut Vec<u8>, out: &mut ReadBuf<'_>) {
    let bytes = from.len().min(out.remaining());
    out.put_slice(&from[..bytes]);
    from.drain(..bytes);
}

#[cfg(test)]
mod tests;
