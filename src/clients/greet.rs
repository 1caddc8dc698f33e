//! From the first byte to the StartupMessage: requests for encryption, direct TLS, cancel requests.
//!
//! Never judges who the client is. Source: PostgreSQL documentation, "SSL Session Encryption"; PgBouncer,
//! src/client.c.

use super::stream::ClientStream;
use crate::tls::Handshakes;
use crate::tls::client::Acceptor;
use crate::wire::startup::{self, Accepted, FirstPacket, Startup};
use crate::wire::{Fault, FrameHeader, tags};
use std::io;

/// Why a login ended without a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LoginEnd {
    /// The client is told.
    Fault(Fault),
    /// The connection is closed without a word; the log has the reason.
    Silent(String),
    /// The same, and nothing for the log either: health checks connect and leave every few
    /// seconds. As PgBouncer does it.
    Unsaid,
    /// TLS could not be agreed on: closed without a word, and the log has the reason whatever it
    /// leaves out otherwise.
    Handshake(String),
}

impl From<Fault> for LoginEnd {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<io::Error> for LoginEnd {
    /// The socket has failed, so there is nobody to tell.
    fn from(error: io::Error) -> Self {
        Self::Silent(match error.kind() {
            io::ErrorKind::UnexpectedEof => "client unexpected eof".to_owned(),
            _ => format!("client connection failed: {error}"),
        })
    }
}

/// What a client said in its first packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// It wants to log in.
    Startup(Box<Startup>),
    /// It wants a query cancelled; the key as it came: process id and secret.
    Cancel(Box<[u8]>),
}

/// What greeting depends on.
pub(super) struct GreetRules<'a> {
    /// What TLS needs; `None` = not offered here.
    pub tls: Option<&'a Acceptor>,
    /// Counts what comes of it.
    pub handshakes: &'a Handshakes,
    /// No login without TLS.
    pub tls_required: bool,
    /// Startup parameters that are accepted.
    pub accepted: Accepted<'a>,
}

/// The first byte of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

/// Reads up to and including the StartupMessage or CancelRequest, and makes the stream a TLS one
/// where that is agreed on.
///
/// # Errors
/// What [`startup::first_packet`] and [`Startup::read_in_context`] say; [`Fault::SslRequired`],
/// [`Fault::UnencryptedAfterSsl`], [`Fault::UnencryptedAfterGss`]; silent ones.
/// # Cancel safety
/// The login cannot be taken up again.
pub(super) async fn greet(stream: &mut ClientStream, rules: &GreetRules<'_>) -> Result<Greeting, LoginEnd> {
    while stream.unread().is_empty() {
        // Whoever leaves before a single byte was only looking whether we are there.
        stream.read_more().await.map_err(|_| LoginEnd::Unsaid)?;
    }
    while let Some(first) = typed_message(stream.unread()) {
        match first {
            Typed::Whole => return Err(LoginEnd::Silent("bad packet".to_owned())),
            Typed::Begun => stream.read_more().await?,
        }
    }
    if stream.unread()[0] == TLS_HANDSHAKE
        && let Some(acceptor) = rules.tls
    {
        handshake(stream, acceptor, rules).await?;
    }
    // Each once, as in PostgreSQL (ProcessStartupPacket in backend_startup.c): whoever asks on and on would
    // be answered, never be late, and hold its place among the logins.
    let (mut has_asked_ssl, mut has_asked_gss) = (false, false);
    loop {
        let Some((packet, bytes)) = startup::first_packet(stream.unread())? else {
            stream.read_more().await?;
            continue;
        };
        match packet {
            FirstPacket::SslRequest => {
                if !stream.is_tls() {
                    once(&mut has_asked_ssl)?;
                }
                stream.consume(bytes);
                answer_ssl(stream, rules).await?;
            }
            FirstPacket::GssRequest => {
                once(&mut has_asked_gss)?;
                stream.consume(bytes);
                if !stream.unread().is_empty() {
                    return Err(Fault::UnencryptedAfterGss.into());
                }
                stream.send(&[tags::SSL_NO]).await?;
            }
            FirstPacket::Cancel(cancel) => return Ok(Greeting::Cancel(cancel.key.into())),
            FirstPacket::Startup { minor, payload } => {
                if rules.tls_required && !stream.is_tls() {
                    return Err(Fault::SslRequired.into());
                }
                let startup = Startup::read_in_context(minor, payload, &rules.accepted)?;
                stream.consume(bytes);
                return Ok(Greeting::Startup(Box::new(startup)));
            }
        }
    }
}

fn once(has_asked: &mut bool) -> Result<(), LoginEnd> {
    match std::mem::replace(has_asked, true) {
        false => Ok(()),
        true => Err(LoginEnd::Silent("encryption requested twice".to_owned())),
    }
}

/// A message that a session has, in front of the StartupMessage.
enum Typed {
    /// Its header is there, which says all there is to log.
    Whole,
    /// Its header is not there yet.
    Begun,
}

/// What a driver whose user changed his mind begins with (Terminate), or one that is out of step. Like
/// PostgreSQL and PgBouncer (`handle_client_startup` in src/client.c) we have no words for it: an error
/// would be news to nobody.
fn typed_message(input: &[u8]) -> Option<Typed> {
    use tags::client::{BIND, CLOSE, DESCRIBE, EXECUTE, FLUSH, FUNCTION_CALL, PARSE, QUERY, SYNC, TERMINATE};
    let tag = *input.first()?;
    match tag {
        BIND | CLOSE | DESCRIBE | EXECUTE | FLUSH | FUNCTION_CALL | PARSE | QUERY | SYNC | TERMINATE => {}
        _ => return None,
    }
    match FrameHeader::read(input, i32::MAX.unsigned_abs()) {
        Ok(None) => Some(Typed::Begun),
        Ok(Some(_)) => Some(Typed::Whole),
        Err(_) => None,
    }
}

async fn answer_ssl(stream: &mut ClientStream, rules: &GreetRules<'_>) -> Result<(), LoginEnd> {
    if stream.is_tls() {
        return Err(LoginEnd::Silent("SSL req inside SSL".to_owned()));
    }
    if !stream.unread().is_empty() {
        // Whoever sits between us and the client could have put them there.
        return Err(Fault::UnencryptedAfterSsl.into());
    }
    match rules.tls {
        Some(acceptor) => {
            stream.send(&[tags::SSL_YES]).await?;
            handshake(stream, acceptor, rules).await
        }
        None => Ok(stream.send(&[tags::SSL_NO]).await?),
    }
}

async fn handshake(
    stream: &mut ClientStream,
    acceptor: &Acceptor,
    rules: &GreetRules<'_>,
) -> Result<(), LoginEnd> {
    let failed = |error: io::Error| LoginEnd::Handshake(format!("TLS handshake error: {error}"));
    Box::pin(stream.start_tls(acceptor)).await.map_err(failed)?; // boxed: who comes without pays nothing
    stream.handshake_kind().into_iter().for_each(|kind| rules.handshakes.add(kind));
    Ok(())
}

#[cfg(test)]
mod tests;
