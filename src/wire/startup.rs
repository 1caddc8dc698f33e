//! The first packets of a client: SSLRequest, GSSENCRequest, CancelRequest, StartupMessage; read,
//! and written for servers.
//!
//! They have no tag: `length: u32` (counts itself), `code: u32`, payload. Pure reading; who may log in is
//! decided elsewhere. Source: PostgreSQL documentation, "Message Formats" and "SSL Session Encryption"; which
//! parameters are accepted and the texts of refusals: PgBouncer, src/client.c, and doc/config.md
//! (`ignore_startup_parameters`).

pub use write::{write_cancel_request, write_ssl_request, write_startup};
mod write;

use super::request_context::{ContextKeys, RequestContext};
use super::{Fault, TrackedNames, cstr, encode, tags};
use crate::base::limits;
use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

/// Bytes in front of a startup packet's payload: 4 of length, 4 of code.
pub const STARTUP_HEADER_BYTES: usize = 8;

const CODE_CANCEL: u32 = 1234 << 16 | 5678;
const CODE_SSL: u32 = 1234 << 16 | 5679;
const CODE_GSS: u32 = 1234 << 16 | 5680;
/// Protocol 3.0: what we speak, to clients and to servers.
const VERSION_3_0: u32 = 3 << 16;

/// Longest secret of a cancel key. Source: protocol 3.2, BackendKeyData.
const CANCEL_SECRET_BYTES_MAX: usize = 256;

/// A client's request to stop what another of its connections runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CancelView<'a> {
    /// Process id and secret as they stand in BackendKeyData: 8 bytes in protocol 3.0, up to 260 in 3.2.
    pub key: &'a [u8],
}

/// One packet of a client that has not said yet who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstPacket<'a> {
    /// Asks for TLS.
    SslRequest,
    /// Asks for GSSAPI encryption.
    GssRequest,
    /// Asks to cancel a query.
    Cancel(CancelView<'a>),
    /// Says who it is; `payload` is what [`Startup::read`] takes.
    Startup {
        /// Minor number of protocol 3.
        minor: u16,
        /// Pairs of zero-terminated strings.
        payload: &'a [u8],
    },
}

/// Bytes of the whole packet at the front of `input`, header included; `Ok(None)` where its
/// header is not there yet.
///
/// # Errors
/// [`Fault::BadPacketHeader`] for a length that cannot be (below 8, above
/// [`limits::STARTUP_BYTES_MAX`]) or an unknown code, [`Fault::OldProtocol`] for protocol 2,
/// [`Fault::PasswordBeforeStartup`] for a password message.
pub fn packet_bytes(input: &[u8]) -> Result<Option<usize>, Fault> {
    let Some((&first, rest)) = input.split_first() else { return Ok(None) };
    if first != 0 || rest.first().is_some_and(|second| *second != 0) {
        let is_password = first == tags::client::PASSWORD;
        return Err(if is_password { Fault::PasswordBeforeStartup } else { bad_header(input) });
    }
    let Some((&length, _)) = input.split_first_chunk() else { return Ok(None) };
    let bytes = u32::from_be_bytes(length) as usize;
    if !(STARTUP_HEADER_BYTES..=limits::STARTUP_BYTES_MAX).contains(&bytes) {
        return Err(bad_header(input));
    }
    let Some(code) = code_of(input) else { return Ok(None) };
    let payload_bytes = bytes - STARTUP_HEADER_BYTES;
    match code {
        CODE_SSL | CODE_GSS if payload_bytes == 0 => {}
        CODE_CANCEL if (8..=4 + CANCEL_SECRET_BYTES_MAX).contains(&payload_bytes) => {}
        version if version >> 16 == 3 => {}
        version if version >> 16 == 2 => return Err(Fault::OldProtocol),
        _ => return Err(bad_header(input)),
    }
    Ok(Some(bytes))
}

/// Reads the packet at the front of `input`, together with its length in bytes;
/// `Ok(None)`: not all of it is there.
///
/// # Errors
/// As [`packet_bytes`].
pub fn first_packet(input: &[u8]) -> Result<Option<(FirstPacket<'_>, usize)>, Fault> {
    let Some(bytes) = packet_bytes(input)? else { return Ok(None) };
    let Some(packet) = input.get(..bytes) else { return Ok(None) };
    let payload = &packet[STARTUP_HEADER_BYTES..];
    let packet = match code_of(packet) {
        Some(CODE_SSL) => FirstPacket::SslRequest,
        Some(CODE_GSS) => FirstPacket::GssRequest,
        Some(CODE_CANCEL) => FirstPacket::Cancel(CancelView { key: payload }),
        version => FirstPacket::Startup { minor: version.unwrap_or_default() as u16, payload },
    };
    Ok(Some((packet, bytes)))
}

fn code_of(input: &[u8]) -> Option<u32> {
    input.get(4..8)?.first_chunk().map(|code| u32::from_be_bytes(*code))
}

/// "bad packet header" with at most 8 bytes in hexadecimal, as PgBouncer shows them.
pub fn bad_header(input: &[u8]) -> Fault {
    let mut hex = String::with_capacity(16);
    for byte in input.iter().take(STARTUP_HEADER_BYTES) {
        let _ = write!(hex, "{byte:02x}"); // writing to a String cannot fail
    }
    Fault::BadPacketHeader { hex }
}

/// What a client wants of `replication`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replication {
    /// An ordinary connection.
    #[default]
    No,
    /// Logical, in one database.
    Logical,
    /// Physical, of the whole server.
    Physical,
}

impl Replication {
    /// As the log line "login attempt" has it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Logical => "database",
            Self::Physical => "yes",
        }
    }

    /// As a StartupMessage to a server has it; `None` where that has none.
    pub const fn parameter(self) -> Option<&'static str> {
        match self {
            Self::No => None,
            Self::Logical => Some("database"),
            Self::Physical => Some("true"),
        }
    }

    /// `database`, to the letter, or a boolean in any of PostgreSQL's spellings (`on`, `1`, a prefix of
    /// `true` or `yes`); anything else is ignored.
    fn read(value: &str) -> Self {
        let is = |word: &str| value.eq_ignore_ascii_case(word);
        let is_prefix_of = |word: &str| !value.is_empty() && word.get(..value.len()).is_some_and(is);
        if value == "database" {
            return Self::Logical;
        }
        let is_physical = is("on") || is("1") || is_prefix_of("true") || is_prefix_of("yes");
        if is_physical { Self::Physical } else { Self::No }
    }
}

/// What a StartupMessage says, sorted by what becomes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Startup {
    /// `user`, never empty.
    pub user: String,
    /// `database`, or the user's name where there is none.
    pub database: String,
    /// `replication`.
    pub replication: Replication,
    /// Tracked parameters that the client gave: position in [`TrackedNames`] and value, each position once.
    pub tracked: Vec<(usize, String)>,
    /// `options` as it came, for replication clients only: theirs is passed on unread.
    pub options: Option<String>,
    /// What it says of the request that it works for.
    pub context: RequestContext,
    /// Names of the protocol options (`_pq_.…`) that we do not know, each with its zero byte, as
    /// NegotiateProtocolVersion tells them.
    pub unknown_options: Vec<u8>,
    /// The protocol's minor version that the client asked for.
    pub minor: u16,
}

/// Names of startup parameters that are dropped silently (`ignore_startup_parameters`).
#[derive(Clone, Copy, Debug)]
pub struct IgnoredNames<'a>(pub &'a [Arc<str>]);

impl IgnoredNames<'_> {
    fn has(self, name: &str) -> bool {
        self.0.iter().any(|have| **have == *name)
    }
}

/// Which startup parameters are accepted.
#[derive(Clone, Copy, Debug)]
pub struct Accepted<'a> {
    /// Those that are tracked.
    pub names: &'a TrackedNames,
    /// Those that are dropped.
    pub ignored: IgnoredNames<'a>,
    /// Those that carry a request's context; `None`: none does.
    pub context_keys: Option<&'a ContextKeys>,
}

impl Startup {
    /// Reads the payload of a StartupMessage of protocol 3.`minor`.
    ///
    /// # Errors
    /// [`Fault::StartupUnterminated`], [`Fault::NoUser`], [`Fault::NameTooLong`], [`Fault::NoSuchDatabase`],
    /// [`Fault::NotUtf8`], [`Fault::UnsupportedParameter`], [`Fault::UnsupportedParameterInOptions`],
    /// [`Fault::UnsupportedOptions`].
    pub fn read(
        minor: u16,
        payload: &[u8],
        names: &TrackedNames,
        ignored: IgnoredNames<'_>,
    ) -> Result<Self, Fault> {
        Self::read_in_context(minor, payload, &Accepted { names, ignored, context_keys: None })
    }

    /// The same, with parameters of a request's context among those that are accepted.
    ///
    /// # Errors
    /// As [`Startup::read`].
    pub fn read_in_context(minor: u16, payload: &[u8], accepted: &Accepted<'_>) -> Result<Self, Fault> {
        let mut startup = Self { minor, ..Self::default() };
        let mut input = payload;
        loop {
            match input {
                [0] => break,
                [] | [0, ..] => return Err(Fault::StartupUnterminated),
                _ => {}
            }
            let (key, rest) = cstr::split(input).ok_or(Fault::StartupUnterminated)?;
            let (value, rest) = cstr::split(rest).ok_or(Fault::StartupUnterminated)?;
            startup.take(key, value, accepted)?;
            input = rest;
        }
        startup.finish(accepted)
    }

    fn take(&mut self, key: &[u8], value: &[u8], accepted: &Accepted<'_>) -> Result<(), Fault> {
        let Accepted { names, ignored, .. } = *accepted;
        let key = text(key);
        match &*key {
            "user" => put(&mut self.user, name(value)?),
            "database" => put(&mut self.database, name(value)?),
            "replication" => self.replication = Replication::read(&text(value)),
            "options" => put(self.options.get_or_insert_default(), &text(value)),
            key => match names.position(key) {
                Some(position) => self.track(position, &text(value)),
                None if self.takes_context(key, &text(value), accepted) => {}
                None if ignored.has(key) => {}
                None if key.starts_with("_pq_.") => encode::cstr(&mut self.unknown_options, key.as_bytes()),
                None => return Err(Fault::UnsupportedParameter { name: key.to_owned() }),
            },
        }
        Ok(())
    }

    /// A later value of the same parameter wins.
    fn track(&mut self, position: usize, value: &str) {
        match self.tracked.iter_mut().find(|(have, _)| *have == position) {
            Some((_, slot)) => put(slot, value),
            None => self.tracked.push((position, value.to_owned())),
        }
    }

    fn takes_context(&mut self, key: &str, value: &str, accepted: &Accepted<'_>) -> bool {
        accepted.context_keys.is_some_and(|keys| self.context.take_parameter(keys, key, value))
    }

    fn finish(mut self, accepted: &Accepted<'_>) -> Result<Self, Fault> {
        if self.user.is_empty() {
            return Err(Fault::NoUser);
        }
        if self.user.len() > limits::NAME_BYTES_MAX {
            return Err(Fault::NameTooLong);
        }
        if self.database.is_empty() {
            self.database.clone_from(&self.user);
        }
        if self.database.len() > limits::DATABASE_NAME_BYTES_MAX {
            // no database can have such a name, whoever asks for it
            return Err(Fault::NoSuchDatabase { name: self.database });
        }
        // `options` is read only here, because whether it is read at all depends on
        // `replication`, wherever that stood
        if self.replication == Replication::No
            && let Some(options) = self.options.take()
        {
            self.take_options(&options, accepted)?;
        }
        Ok(self)
    }

    /// `-c key=value`, `-ckey=value`, `--key=value`, with blanks and backslashes escaped by a backslash.
    fn take_options(&mut self, options: &str, accepted: &Accepted<'_>) -> Result<(), Fault> {
        let Accepted { names, ignored, .. } = *accepted;
        let lenient = ignored.has("options");
        let mut words = Words(options);
        while let Some(word) = words.next() {
            let next = if word == "-c" { words.next() } else { None };
            let assignment = match &next {
                Some(next) => Some(&**next),
                None => word.strip_prefix("-c").or_else(|| word.strip_prefix("--")),
            };
            let Some((key, value)) = assignment.and_then(|pair| pair.split_once('=')) else {
                if lenient {
                    continue;
                }
                return Err(Fault::UnsupportedOptions);
            };
            let key = underscored(key);
            match names.position(&key) {
                Some(position) => self.track(position, value),
                None if self.takes_context(&key, value, accepted) => {}
                None if lenient || ignored.has(&key) => {}
                None => return Err(Fault::UnsupportedParameterInOptions { name: key.into_owned() }),
            }
        }
        Ok(())
    }

    /// NegotiateProtocolVersion, where the client must be told, before anything else, that we speak protocol
    /// 3.0 without its options. Their names go with it: they can be long, and so can a login.
    pub fn take_negotiation(&mut self) -> Option<Vec<u8>> {
        let options = std::mem::take(&mut self.unknown_options);
        (self.minor > 0 || !options.is_empty()).then(|| write::negotiation(&options))
    }
}

/// The blank-separated words of `options`; a backslash makes the next character part of the word. A worker
/// reads them on its loop, so that those without a backslash, nearly all, are not copied.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Cow<'a, str>> {
        let input = self.0.trim_ascii_start();
        let mut is_escaped = false;
        let mut bytes = input.bytes().enumerate();
        let end = loop {
            match bytes.next() {
                Some((at, byte)) if byte.is_ascii_whitespace() => break at,
                Some((_, b'\\')) => {
                    is_escaped = true;
                    bytes.next(); // of a longer character the rest is no blank and no backslash
                }
                Some(_) => {}
                None => break input.len(),
            }
        };
        let (word, rest) = input.split_at(end);
        self.0 = rest;
        let word = if !is_escaped { Cow::Borrowed(word) } else { Cow::Owned(unescaped(word)) };
        (!input.is_empty()).then_some(word)
    }
}

/// `word` without the backslashes that make the next character part of it.
fn unescaped(word: &str) -> String {
    let (mut out, mut bytes) = (Vec::with_capacity(word.len()), word.bytes());
    while let Some(byte) = bytes.next() {
        out.extend(if byte == b'\\' { bytes.next() } else { Some(byte) });
    }
    // INVARIANT: UTF-8 without some of its ASCII is UTF-8; behind a backslash stands a first byte.
    String::from_utf8(out).expect("UTF-8")
}

/// A parameter's name in `options`, as PostgreSQL reads it.
fn underscored(key: &str) -> Cow<'_, str> {
    if key.contains('-') { Cow::Owned(key.replace('-', "_")) } else { Cow::Borrowed(key) }
}

/// In the memory of what is there: whoever says one parameter a thousand times makes us ask for some once.
fn put(slot: &mut String, value: &str) {
    slot.clear();
    slot.push_str(value);
}

/// A name: it finds users and databases, so bytes that are not UTF-8 are refused rather
/// than made equal to others.
fn name(value: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(value).map_err(|_| Fault::NotUtf8)
}

/// A value: it is only shown and passed on, so bytes that are not UTF-8 are replaced.
fn text(value: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(value)
}

#[cfg(test)]
mod tests;
