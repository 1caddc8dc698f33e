//! One client's byte stream during its login: plain or TLS, with what was read and not yet consumed.
//!
//! Holds what has come, never room for what a length promises: a stranger pays for our memory with its own
//! bytes. Reads no message itself. Ends as a value for a worker, or as a stream for the console.

use super::bell::Bell;
use super::berth::Berth;
use super::strangers::{Ours, Pace};
use crate::base::limits;
use crate::io::{Channel, Guard, Interest, Socket as _, has_hung_up};
use crate::tls::tls_text;
use rustix::io::Errno;
use std::future::poll_fn;
use std::io::{self, IoSlice, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// Bytes that one read makes room for: a StartupMessage and a password fit.
const READ_BYTES: usize = 1024;

/// A connected socket that no loop of tokio's watches.
#[derive(Debug)]
pub struct Fresh {
    fd: OwnedFd,
    is_tcp: bool,
    berth: Option<Berth>,
}

/// A connected socket.
#[derive(Debug)]
pub enum Socket {
    /// What has come already can be read, and mostly all that a login without a proof needs has
    /// (`tcp_defer_accept`). From the first wait on it is watched: by the worker where it has a place on
    /// one's loop, else by tokio. Never `None`.
    Fresh(Option<Fresh>),
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
    /// Over a Unix socket, and panics when it is read once the trap is set.
    #[cfg(test)]
    Trap(UnixStream, Arc<std::sync::atomic::AtomicBool>),
}

impl Fresh {
    /// A non-blocking socket with a place on a worker's loop.
    pub fn new(fd: OwnedFd, is_tcp: bool, berth: Berth) -> Self {
        Self { fd, is_tcp, berth: Some(berth) }
    }

    /// Gives its place on the worker's loop back, if it has one.
    fn leave_loop(&mut self) -> io::Result<Option<Berth>> {
        let mut berth = self.berth.take();
        if let Some(berth) = &mut berth {
            berth.watch.end(self.fd.as_fd())?;
        }
        Ok(berth)
    }
}

impl Socket {
    /// Does `io` on a fresh socket, and has it watched where that would have to wait;
    /// `None`: tokio watches it.
    fn unwatched<T>(
        &mut self,
        interest: Interest,
        io: impl FnOnce(&OwnedFd) -> Result<T, Errno>,
    ) -> Option<Poll<io::Result<T>>> {
        let Self::Fresh(slot) = self else { return None };
        let Some(fresh) = slot else { return Some(Poll::Ready(Err(io::ErrorKind::NotConnected.into()))) };
        match io(&fresh.fd) {
            Err(Errno::AGAIN) => {}
            done => return Some(Poll::Ready(done.map_err(io::Error::from))),
        }
        if let Some(berth) = &mut fresh.berth {
            let watched = berth.watch.wait_for(interest, fresh.fd.as_fd());
            return Some(watched.map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending));
        }
        let Fresh { fd, is_tcp, .. } = slot.take()?;
        let watched = if is_tcp {
            TcpStream::from_std(fd.into()).map(Self::Tcp)
        } else {
            UnixStream::from_std(fd.into()).map(Self::Unix)
        };
        match watched {
            Ok(watched) => *self = watched,
            Err(error) => return Some(Poll::Ready(Err(error))),
        }
        None
    }

    /// Whether the client has closed it, or its half of it.
    fn has_hung_up(&self) -> bool {
        match self {
            Self::Fresh(fresh) => fresh.as_ref().is_none_or(|fresh| has_hung_up(&fresh.fd)),
            Self::Tcp(stream) => has_hung_up(stream),
            Self::Unix(stream) => has_hung_up(stream),
            #[cfg(test)]
            Self::Trap(stream, _) => has_hung_up(stream),
        }
    }

    /// Gives up whatever loop's hold on it; it stays non-blocking.
    fn into_fd(self) -> io::Result<OwnedFd> {
        Ok(match self {
            Self::Fresh(fresh) => {
                fresh.ok_or(io::ErrorKind::NotConnected)?.fd // its worker goes on to watch it
            }
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
    /// During the handshake: who is told that the client has sent a whole flight, which is what we answer.
    pace: Option<Pace>,
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
pub(super) struct ClientStream {
    transport: Transport,
    inbox: Vec<u8>,
    /// Words that go out with the next ones.
    held: Vec<u8>,
    pace: Option<Pace>,
    /// The bell of the thread that it has left its worker for.
    bell: Option<Arc<Bell>>,
}

impl ClientStream {
    /// A stream of which nothing has been read.
    pub(super) fn new(socket: Socket) -> Self {
        Self {
            transport: Transport::Plain(socket),
            inbox: Vec::new(),
            held: Vec::new(),
            pace: None,
            bell: None,
        }
    }

    /// Tells `pace` of every whole message.
    pub(super) fn paced(self, pace: Pace) -> Self {
        Self { pace: Some(pace), ..self }
    }

    /// Whom it tells.
    pub(super) fn pace(&self) -> Option<Pace> {
        self.pace.clone()
    }

    /// The client waits for us until the guard is dropped.
    pub(super) fn ours(&self) -> Option<Ours> {
        self.pace.as_ref().map(Pace::ours)
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

    /// Consumes the first `bytes` of [`ClientStream::unread`], and gives their memory back.
    pub(super) fn consume(&mut self, bytes: usize) {
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
    pub(super) async fn read_more(&mut self) -> io::Result<()> {
        if !self.held.is_empty() {
            self.send_held().await?; // what the client waits for comes before what we wait for
        }
        self.inbox.reserve_exact(READ_BYTES); // doubling would cost a stranger twice what it sends
        let read = match &mut self.transport {
            Transport::Plain(socket) => socket.read_buf(&mut self.inbox).await?,
            Transport::Tls(stream) => stream.read_buf(&mut self.inbox).await?,
            Transport::Lost => 0,
        };
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
    pub(super) async fn start_tls(&mut self, config: &Arc<rustls::ServerConfig>) -> io::Result<()> {
        if let Some(berth) = self.leave_loop()? {
            let _ours = self.ours(); // the thread may have others to shake hands with first
            self.bell = Some(berth.exit.take().await); // what a handshake costs must not make queries wait
        }
        let Transport::Plain(socket) = std::mem::replace(&mut self.transport, Transport::Lost) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        // before a signature is spent on it: nobody half-closes in front of a handshake
        if socket.has_hung_up() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let rewound = Rewound { front: std::mem::take(&mut self.inbox), socket, pace: self.pace() };
        let mut stream = tokio_rustls::TlsAcceptor::from(config.clone()).accept(rewound).await?;
        stream.get_mut().0.pace = None;
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
    pub(super) fn take_bell(&mut self) -> Option<Arc<Bell>> {
        self.bell.take()
    }

    /// Whether it is on a worker's loop.
    pub(super) fn is_on_loop(&self) -> bool {
        matches!(&self.transport, Transport::Plain(Socket::Fresh(Some(fresh))) if fresh.berth.is_some())
    }

    /// Takes it off the worker's loop that it is on, if it is, and gives its place there back.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn leave_loop(&mut self) -> io::Result<Option<Berth>> {
        match &mut self.transport {
            Transport::Plain(Socket::Fresh(Some(fresh))) => fresh.leave_loop(),
            Transport::Plain(_) | Transport::Tls(_) | Transport::Lost => Ok(None),
        }
    }

    /// Whether the stream is encrypted.
    pub(super) fn is_tls(&self) -> bool {
        matches!(self.transport, Transport::Tls(_))
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
        // whether it heard us or not, it is gone either way
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

/// Moves as much of `from` as fits into `out`.
fn take_front(from: &mut Vec<u8>, out: &mut ReadBuf<'_>) {
    let bytes = from.len().min(out.remaining());
    out.put_slice(&from[..bytes]);
    from.drain(..bytes);
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(done) = this.unwatched(Interest::Bytes, |fd| fd.recv(out.initialize_unfilled())) {
            return done.map_ok(|bytes| out.advance(bytes));
        }
        match this {
            Self::Fresh(_) => Poll::Pending,
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
        let this = self.get_mut();
        if let Some(done) = this.unwatched(Interest::Room, |fd| fd.send(&[IoSlice::new(bytes)])) {
            return done;
        }
        match this {
            Self::Fresh(_) => Poll::Pending,
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(test)]
            Self::Trap(stream, _) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Fresh(_) => Poll::Ready(Ok(())),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(test)]
            Self::Trap(stream, _) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(done) = this.unwatched(Interest::Room, |fd| {
            fd.shutdown_write();
            Ok(())
        }) {
            return done;
        }
        match this {
            Self::Fresh(_) => Poll::Pending,
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(test)]
            Self::Trap(stream, _) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests;
