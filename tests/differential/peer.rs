//! One connection to a pooler: sends bytes as they are, answers requests for a password, and notes each frame
//! that comes as a line.
//!
//! Never panics over what the other side does: that is what is compared. Bytes that are no frames are noted,
//! too.

use super::mask::Mask;
use super::steps::{Secret, Until};
use crate::common::raw::{Frame, frame};
use pgweir::auth::md5;
use pgweir::auth::scram::{Challenge, ScramClient};
use pgweir::base::Password;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How long to wait for what may not come.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Where an answer is due: without one there is silence.
    pub silence: Duration,
    /// Where nobody knows whether something comes.
    pub quiet: Duration,
}

/// A connection, and what has been seen of it.
pub struct Peer {
    stream: TcpStream,
    /// What has come and is no whole frame yet.
    unread: Vec<u8>,
    mask: Mask,
    user: String,
    secret: Secret,
    scram: Option<ScramClient>,
    /// Process id and key of BackendKeyData.
    pub key: Vec<u8>,
    pub state: State,
}

/// How a connection stands, as far as its client can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Before the first ReadyForQuery.
    LoggingIn,
    /// After ReadyForQuery with this status.
    Ready(u8),
    /// In the middle of a request.
    Busy,
    Ended,
}

impl Peer {
    pub fn connect(port: u16, user: &str, secret: Secret, mask: Mask) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
        stream.set_nodelay(true).expect("is a TCP socket");
        let port = stream.local_addr().expect("is a TCP socket").port();
        let mask = mask.with(port.to_string(), "(own port)");
        let (user, unread, key) = (user.to_owned(), Vec::new(), Vec::new());
        Self { stream, unread, mask, user, secret, scram: None, key, state: State::LoggingIn }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        // Whoever has hung up says so when it is read from.
        let _ = self.stream.write_all(bytes);
        if let State::Ready(_) = self.state {
            self.state = State::Busy;
        }
    }

    /// Reads until what is waited for has come, or the connection has ended; gives a line for each frame.
    pub fn read(&mut self, until: Until, pace: Pace) -> Vec<String> {
        let mut lines = Vec::new();
        let mut missing = until.count();
        while missing > 0 && self.state != State::Ended {
            let patience = if until == Until::Quiet { pace.quiet } else { pace.silence };
            let Some(frame) = self.next(patience, &mut lines) else { break };
            missing -= usize::from(until.is_met_by(frame.tag));
            lines.push(self.mask.line(&frame));
            self.act(&frame);
        }
        if missing > 0 && self.state != State::Ended && until != Until::Quiet {
            lines.push("(silence)".into());
        }
        lines
    }

    /// The next frame; none at the end of the connection, which is noted, or of patience.
    fn next(&mut self, patience: Duration, lines: &mut Vec<String>) -> Option<Frame> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(frame) = self.take_frame() {
                return Some(frame);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            self.stream
                .set_read_timeout(Some(left.max(Duration::from_millis(1))))
                .expect("a positive duration");
            let mut chunk = [0; 1 << 14];
            match self.stream.read(&mut chunk) {
                Ok(0) => return self.end(lines),
                Ok(count) => self.unread.extend_from_slice(&chunk[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return None;
                }
                Err(_) => return self.end(lines),
            }
        }
    }

    fn end(&mut self, lines: &mut Vec<String>) -> Option<Frame> {
        if !self.unread.is_empty() {
            lines.push(format!("(half a frame) {}", self.unread.escape_ascii()));
        }
        lines.push("(end)".into());
        self.state = State::Ended;
        None
    }

    fn take_frame(&mut self) -> Option<Frame> {
        let (tag, rest) = self.unread.split_first()?;
        // The answer to SSLRequest and GSSENCRequest has no length.
        if self.state == State::LoggingIn && matches!(tag, b'S' | b'N') && rest.first() != Some(&0) {
            let tag = self.unread.remove(0);
            return Some(Frame { tag, body: Vec::new() });
        }
        let length = u32::from_be_bytes(*rest.first_chunk()?) as usize;
        let body = rest.get(4..length.max(4))?.to_vec();
        let frame = Frame { tag: *tag, body };
        self.unread.drain(..=length.max(4));
        Some(frame)
    }

    /// Keeps what a frame says, and answers it where it asks for a proof.
    fn act(&mut self, frame: &Frame) {
        match frame.tag {
            b'K' => self.key.clone_from(&frame.body),
            b'Z' => self.state = State::Ready(frame.body.first().copied().unwrap_or_default()),
            b'R' => self.prove(&frame.body),
            _ => {}
        }
    }

    fn prove(&mut self, body: &[u8]) {
        let Some((kind, rest)) = body.split_first_chunk() else { return };
        let password = match self.secret.clone() {
            Secret::None => return,
            Secret::Bytes(bytes) if u32::from_be_bytes(*kind) != 0 => return self.send(&bytes),
            Secret::Bytes(_) => return,
            Secret::Password(password) => Password::new(password),
        };
        let answer = match u32::from_be_bytes(*kind) {
            3 => Some([password.expose().as_bytes(), &[0]].concat()),
            5 => rest.first_chunk().and_then(|salt| md5_answer(&password, &self.user, *salt)),
            10 => Some(self.begin_scram()),
            11 => self.go_on_with_scram(rest, &password),
            _ => None,
        };
        if let Some(answer) = answer {
            self.send(&frame(b'p', &answer));
        }
    }

    fn begin_scram(&mut self) -> Vec<u8> {
        let (client, first) = ScramClient::start("a-nonce-of-the-test".into());
        self.scram = Some(client);
        let length = u32::try_from(first.len()).expect("short").to_be_bytes();
        [b"SCRAM-SHA-256\0", &length[..], first.as_bytes()].concat()
    }

    fn go_on_with_scram(&mut self, challenge: &[u8], password: &Password) -> Option<Vec<u8>> {
        let challenge: Challenge = self.scram.take()?.challenged(challenge, 100_000).ok()?;
        let keys = challenge.sum(password).compute();
        let (_, last) = challenge.answer(&keys);
        Some(last.into_bytes())
    }
}

fn md5_answer(password: &Password, user: &str, salt: [u8; 4]) -> Option<Vec<u8>> {
    let answer = md5::answer(&md5::hash(password.expose().as_bytes(), user), salt)?;
    Some([answer.expose().as_bytes(), &[0]].concat())
}
