//! A client that speaks the protocol frame by frame, for tests of exact bytes. Blocking;
//! every read has a deadline.
//!
//! It knows just enough to log in by trust or cleartext; everything else a test writes itself.
//! Source: PostgreSQL documentation, "Message Formats".

use super::secrets;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// One message of the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its first byte.
    pub tag: u8,
    /// What follows the length.
    pub body: Vec<u8>,
}

impl Frame {
    /// The field `kind` of an ErrorResponse or NoticeResponse.
    pub fn field(&self, kind: u8) -> Option<String> {
        let fields = self.body.split(|byte| *byte == 0);
        fields
            .filter_map(|field| field.split_first())
            .find(|(first, _)| **first == kind)
            .map(|(_, text)| lossy(text))
    }

    /// `SEVERITY SQLSTATE: text` of an error or notice.
    pub fn message(&self) -> String {
        let part = |kind| self.field(kind).unwrap_or_default();
        format!("{} {}: {}", part(b'S'), part(b'C'), part(b'M'))
    }

    fn row(&self) -> Vec<Option<String>> {
        let mut rest = &self.body[2..];
        let mut columns = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk() {
            let length = i32::from_be_bytes(*length);
            let bytes = usize::try_from(length).unwrap_or(0);
            columns.push((length >= 0).then(|| lossy(&after[..bytes])));
            rest = &after[bytes..];
        }
        columns
    }

    fn names(&self) -> Vec<String> {
        let mut rest = &self.body[2..];
        let mut names = Vec::new();
        while let Some(end) = rest.iter().position(|byte| *byte == 0) {
            names.push(lossy(&rest[..end]));
            rest = &rest[end + 19..];
        }
        names
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What came back up to ReadyForQuery, or to the end of the connection.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Column names of the last RowDescription.
    pub columns: Vec<String>,
    /// Rows in text; NULL is `None`.
    pub rows: Vec<Vec<Option<String>>>,
    /// CommandComplete tags.
    pub commands: Vec<String>,
    /// Errors as [`Frame::message`] prints them.
    pub errors: Vec<String>,
    /// Notices likewise.
    pub notices: Vec<String>,
    /// The transaction status of ReadyForQuery; `None`: the connection ended first.
    pub status: Option<u8>,
    /// The tags of all frames, in order.
    pub tags: String,
}

impl Outcome {
    /// The only value of the only row.
    #[track_caller]
    pub fn value(&self) -> String {
        assert!(self.errors.is_empty() && self.rows.len() == 1, "one row expected: {self:?}");
        self.rows[0][0].clone().expect("not NULL")
    }

    /// Each row as the pairs of column name and text (NULL: empty).
    pub fn records(&self) -> Vec<std::collections::BTreeMap<String, String>> {
        let pair =
            |(name, value): (&String, &Option<String>)| (name.clone(), value.clone().unwrap_or_default());
        self.rows.iter().map(|row| self.columns.iter().zip(row).map(pair).collect()).collect()
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// One connection.
pub struct Raw {
    stream: Box<dyn Stream>,
    /// Process id and key of BackendKeyData.
    pub key: Vec<u8>,
    /// ParameterStatus messages seen so far, in order.
    pub parameters: Vec<(String, String)>,
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Raw").field("key", &self.key).finish_non_exhaustive()
    }
}

/// A TLS client that believes the authority in the file `ca`, and remembers its sessions.
pub fn trusting(ca: &Path) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    let pem = CertificateDer::from_pem_file(ca).expect("a certificate");
    roots.add(pem).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions that the provider knows")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

const DEADLINE: Duration = Duration::from_secs(20);

impl Raw {
    /// Connects over TCP; nothing is sent.
    #[track_caller]
    pub fn tcp(port: u16) -> Self {
        Self::try_tcp(port).expect("somebody listens")
    }

    /// As [`Raw::tcp`], where perhaps nobody listens.
    pub fn try_tcp(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(DEADLINE)).expect("a positive duration");
        stream.set_nodelay(true).expect("is a TCP socket");
        Ok(Self { stream: Box::new(stream), key: Vec::new(), parameters: Vec::new() })
    }

    /// Connects over a Unix socket; nothing is sent.
    #[track_caller]
    pub fn unix(directory: &Path, port: u16) -> Self {
        let stream =
            UnixStream::connect(directory.join(format!(".s.PGSQL.{port}"))).expect("somebody listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a positive duration");
        Self { stream: Box::new(stream), key: Vec::new(), parameters: Vec::new() }
    }

    /// Connects over TCP and goes over to TLS with a server that proves to be `name` to the authority in the
    /// file `ca`; nothing more is sent.
    #[track_caller]
    pub fn tls(port: u16, name: &'static str, ca: &Path) -> Self {
        let name = ServerName::try_from(name).expect("a DNS name");
        let session = rustls::ClientConnection::new(trusting(ca), name).expect("a sound configuration");
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a positive duration");
        stream.set_nodelay(true).expect("is a TCP socket");
        stream.write_all(&SSL_REQUEST).expect("it reads");
        let mut answer = [0];
        stream.read_exact(&mut answer).expect("one byte comes");
        assert_eq!(answer, *b"S", "the server speaks TLS");
        let stream = Box::new(rustls::StreamOwned::new(session, stream));
        Self { stream, key: Vec::new(), parameters: Vec::new() }
    }

    /// Over a socket that is connected already; nothing is sent.
    #[track_caller]
    pub fn over(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).expect("a positive duration");
        Self { stream: Box::new(stream), key: Vec::new(), parameters: Vec::new() }
    }

    /// Connects over TCP and logs in without a password.
    #[track_caller]
    pub fn log_in(port: u16, user: &str, database: &str) -> Self {
        Self::log_in_with(port, &[("user", user), ("database", database)])
    }

    /// Connects over TCP and logs in with these startup parameters.
    #[track_caller]
    pub fn log_in_with(port: u16, parameters: &[(&str, &str)]) -> Self {
        let mut raw = Self::tcp(port);
        raw.startup(parameters);
        let outcome = raw.outcome();
        assert_eq!(outcome.status, Some(b'I'), "login of {parameters:?}: {outcome:?}");
        raw
    }

    /// Sends the StartupMessage of protocol 3.0.
    pub fn startup(&mut self, parameters: &[(&str, &str)]) {
        self.send(&startup_message(196_608, parameters));
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the other side takes it");
    }

    /// As [`Raw::send`], where the other side may have gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads one frame; `None` at the end of the stream.
    #[track_caller]
    pub fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 5];
        match self.stream.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                return None;
            }
            Err(error) => panic!("no frame: {error}"),
        }
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let mut body = vec![0; length.checked_sub(4).expect("a length counts itself")];
        self.stream.read_exact(&mut body).ok()?;
        let frame = Frame { tag: head[0], body };
        match frame.tag {
            b'K' => self.key.clone_from(&frame.body),
            b'S' => {
                let mut parts = frame.body.split(|byte| *byte == 0).map(lossy);
                self.parameters.push((parts.next().unwrap_or_default(), parts.next().unwrap_or_default()));
            }
            _ => {}
        }
        Some(frame)
    }

    /// Whether the stream ends here, over TLS by its close_notify.
    pub fn ends_in_order(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0))
    }

    /// Reads single bytes that are no frame (the answer to SSLRequest).
    #[track_caller]
    pub fn read_byte(&mut self) -> u8 {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).expect("one byte comes");
        byte[0]
    }

    /// Reads up to ReadyForQuery or the end; nobody is ever told a secret.
    #[track_caller]
    pub fn outcome(&mut self) -> Outcome {
        let mut outcome = Outcome::default();
        while let Some(frame) = self.read() {
            outcome.tags.push(char::from(frame.tag));
            match frame.tag {
                b'T' => outcome.columns = frame.names(),
                b'D' => outcome.rows.push(frame.row()),
                b'C' => outcome.commands.push(lossy(frame.body.strip_suffix(&[0]).unwrap_or(&frame.body))),
                b'E' => outcome.errors.push(frame.message()),
                b'N' => outcome.notices.push(frame.message()),
                b'Z' => {
                    outcome.status = Some(frame.body[0]);
                    break;
                }
                _ => {}
            }
        }
        let Outcome { rows, errors, notices, .. } = &outcome;
        let cells = rows.iter().flatten().flatten();
        for text in cells.chain(errors).chain(notices) {
            secrets::none_in("an answer", text);
        }
        outcome
    }

    /// Sends a simple query and reads its outcome.
    #[track_caller]
    pub fn simple(&mut self, sql: &str) -> Outcome {
        self.send(&query(sql));
        self.outcome()
    }

    /// Sends frames and reads their outcome.
    #[track_caller]
    pub fn ask(&mut self, frames: &[Vec<u8>]) -> Outcome {
        self.send(&frames.concat());
        self.outcome()
    }

    /// Reads the last words of the other side: the error it ends with, and that it ends.
    #[track_caller]
    pub fn last_words(&mut self) -> String {
        let outcome = self.outcome();
        assert_eq!(outcome.status, None, "the connection should have ended: {outcome:?}");
        outcome.errors.last().cloned().unwrap_or_default()
    }
}

/// A frame of ours.
pub fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("tests send less than 4 GiB");
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

/// A StartupMessage, or with other codes an SSLRequest, CancelRequest and so on (then without parameters).
pub fn startup_message(code: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = code.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).expect("short");
    [&length.to_be_bytes()[..], &body].concat()
}

/// SSLRequest.
pub const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// CancelRequest with the key that BackendKeyData gave.
pub fn cancel_request(key: &[u8]) -> Vec<u8> {
    let length = u32::try_from(key.len() + 8).expect("short");
    [&length.to_be_bytes()[..], &80_877_102_u32.to_be_bytes(), key].concat()
}

/// Query.
pub fn query(sql: &str) -> Vec<u8> {
    frame(b'Q', format!("{sql}\0").as_bytes())
}

/// Parse, without parameter types.
pub fn parse(name: &str, sql: &str) -> Vec<u8> {
    frame(b'P', format!("{name}\0{sql}\0\0\0").as_bytes())
}

/// Bind to the unnamed portal, text parameters, text results.
pub fn bind(statement: &str, parameters: &[&str]) -> Vec<u8> {
    let mut body = format!("\0{statement}\0\0\0").into_bytes();
    body.extend_from_slice(&u16::try_from(parameters.len()).expect("few").to_be_bytes());
    for parameter in parameters {
        body.extend_from_slice(&u32::try_from(parameter.len()).expect("short").to_be_bytes());
        body.extend_from_slice(parameter.as_bytes());
    }
    body.extend_from_slice(&[0, 0]);
    frame(b'B', &body)
}

/// Describe of a statement.
pub fn describe(statement: &str) -> Vec<u8> {
    frame(b'D', format!("S{statement}\0").as_bytes())
}

/// Close of a statement.
pub fn close(statement: &str) -> Vec<u8> {
    frame(b'C', format!("S{statement}\0").as_bytes())
}

/// Execute of the unnamed portal.
pub fn execute() -> Vec<u8> {
    frame(b'E', &[0; 5])
}

/// Flush.
pub fn flush() -> Vec<u8> {
    frame(b'H', &[])
}

/// Sync.
pub fn sync() -> Vec<u8> {
    frame(b'S', &[])
}
