//! The least HTTP/1.1 that Prometheus, a load balancer and a browser need: GET of four pages,
//! one request a connection.
//!
//! Never holds more than `limits::HTTP_REQUEST_BYTES_MAX` of a request, more than
//! `limits::HTTP_CONNECTIONS_MAX` connections, or one longer than `limits::HTTP_TIMEOUT_MS`: where all places
//! are taken, the slowest makes room. A slow or hostile scraper costs itself only. Says nothing but metrics,
//! and whether clients can be served. Source: RFC 9112.

use super::accept;
use super::page::{Format, Page};
use super::page_slots::{PageSlot, PageSlots, Stage};
use crate::base::limits::{
    ACCEPT_COMPLAINT_MS, HTTP_ASK_MS, HTTP_CONNECTIONS_MAX, HTTP_REQUEST_BYTES_MAX, HTTP_TIMEOUT_MS,
};
use crate::tasks;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

/// The Content-Type of a format.
fn metrics_type(format: Format) -> &'static str {
    match format {
        Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
    }
}

const HTML_TYPE: &str = "text/html; charset=utf-8";
const TEXT_TYPE: &str = "text/plain; charset=utf-8";
const INDEX: &str = "<!DOCTYPE html><title>pgweir</title><a href=\"/metrics\">metrics</a> \
                     <a href=\"/ready\">ready</a> <a href=\"/live\">live</a>\n";

/// What makes the pages.
pub trait Metrics: Send + Sync + 'static {
    /// The page of metrics as it is now, or was a moment ago: those who ask at the same time are given the
    /// same. `None`: making it has panicked.
    fn page(&self, format: Format) -> impl Future<Output = Option<Arc<Page>>> + Send;

    /// Why clients cannot be served at present; empty = they can.
    fn obstacles(&self) -> Vec<String>;

    /// Why clients of one database cannot be; `None`: there is no such database.
    fn database_obstacles(&self, name: &str) -> Option<Vec<String>>;

    /// Panics since the start, each of which has ended one task.
    fn panics(&self) -> u64;
}

/// Answers requests on `listener` for ever.
///
/// # Cancel safety
/// Dropping it stops accepting; requests under way are answered.
pub async fn serve<M: Metrics>(listener: Arc<TcpListener>, metrics: Arc<M>) {
    let slots = PageSlots::new(HTTP_CONNECTIONS_MAX);
    let mut told_at: Option<Instant> = None;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (metrics, slot) = (Arc::clone(&metrics), slots.take().await);
                tasks::spawn("scrape", peer, async move { answer_in_time(stream, &*metrics, &slot).await });
            }
            Err(error) => {
                if told_at.is_none_or(|then| then.elapsed() >= Duration::from_millis(ACCEPT_COMPLAINT_MS)) {
                    tracing::warn!("metrics_listen: accept failed: {error}");
                    told_at = Some(Instant::now());
                }
                tokio::time::sleep(Duration::from_millis(ACCEPT_AGAIN_MS)).await;
            }
        }
    }
}

/// Between two tries where accepting fails.
const ACCEPT_AGAIN_MS: u64 = 1_000;

/// Answers one request, unless that takes too long or somebody else needs the slot. A scraper that goes away
/// or is too slow is its own affair.
async fn answer_in_time<S, M>(stream: S, metrics: &M, slot: &PageSlot)
where
    S: AsyncRead + AsyncWrite + Unpin,
    M: Metrics,
{
    let time = Duration::from_millis(HTTP_TIMEOUT_MS);
    tokio::select! {
        _ = timeout(time, answer(stream, metrics, slot)) => {}
        () = slot.wanted() => {}
    }
}

/// Reads one request and answers it.
async fn answer<S, M>(mut stream: S, metrics: &M, slot: &PageSlot) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    M: Metrics,
{
    let head = timeout(Duration::from_millis(HTTP_ASK_MS), read_head(&mut stream)).await;
    let head = match head.map_err(|_| std::io::ErrorKind::TimedOut)?? {
        Some(head) => head,
        None => {
            let text = Content::text(TEXT_TYPE, "");
            return respond(&mut stream, "431 Request Header Fields Too Large", &text, Body::Sent).await;
        }
    };
    slot.enter(Stage::Served);
    let text = |text: &str| Content::text(TEXT_TYPE, text);
    let (status, content, body) = match target(&head) {
        Some((body, "/metrics", _)) => match metrics.page(accept::format(&head)).await {
            Some(page) => ("200 OK", Content::Page { page, is_packed: accept::takes_gzip(&head) }, body),
            None => ("500 Internal Server Error", text("the log says why\n"), body),
        },
        Some((body, "/ready", query)) => {
            let (status, told) = ready(metrics, query);
            (status, text(&told), body)
        }
        // That this can be answered is all that it says.
        Some((body, "/live", _)) => ("200 OK", text("live\n"), body),
        Some((body, "/", _)) => ("200 OK", Content::text(HTML_TYPE, INDEX), body),
        Some((body, ..)) => ("404 Not Found", text("not found; the metrics are at /metrics\n"), body),
        None if head.starts_with(b"GET ") => ("400 Bad Request", text(""), Body::Sent),
        None => ("405 Method Not Allowed", text("only GET\n"), Body::Sent),
    };
    slot.enter(Stage::Taking);
    respond(&mut stream, status, &content, body).await
}

/// What an answer holds.
enum Content {
    /// A text of its type.
    Text { kind: &'static str, text: String },
    /// The page of metrics, as it is or packed.
    Page { page: Arc<Page>, is_packed: bool },
}

impl Content {
    fn text(kind: &'static str, text: &str) -> Self {
        Self::Text { kind, text: text.to_owned() }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Text { kind, .. } => kind,
            Self::Page { page, .. } => metrics_type(page.format),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text { text, .. } => text.as_bytes(),
            Self::Page { page, is_packed: true } => &page.packed,
            Self::Page { page, is_packed: false } => page.text.as_bytes(),
        }
    }

    /// Lines of the head that tell how to read it.
    fn coding(&self) -> &'static str {
        match self {
            Self::Text { .. } => "",
            Self::Page { is_packed: true, .. } => {
                "Content-Encoding: gzip\r\nVary: Accept, Accept-Encoding\r\n"
            }
            Self::Page { is_packed: false, .. } => "Vary: Accept, Accept-Encoding\r\n",
        }
    }
}

/// The answer to who asks whether clients can be served, all of them or those of one database.
fn ready(metrics: &impl Metrics, query: &str) -> (&'static str, String) {
    let obstacles = match Question::read(query) {
        Some(Question::All) => metrics.obstacles(),
        Some(Question::Database(name)) => match metrics.database_obstacles(&name) {
            Some(obstacles) => obstacles,
            None => return ("404 Not Found", "no such database\n".to_owned()),
        },
        None => return ("400 Bad Request", "ask for one database: /ready?database=NAME\n".to_owned()),
    };
    readiness(&obstacles, metrics.panics())
}

/// What /ready is asked about.
#[derive(Debug, PartialEq, Eq)]
enum Question {
    All,
    Database(String),
}

impl Question {
    /// Reads the query; `None`: more than one database, or none that could be. Parameters of other
    /// names are nothing to us.
    fn read(query: &str) -> Option<Self> {
        let mut names = query.split('&').filter_map(|word| match word.split_once('=') {
            Some(("database", name)) => Some(name),
            None if word == "database" => Some(""),
            _ => None,
        });
        match (names.next(), names.next()) {
            (None, _) => Some(Self::All),
            (Some(name), None) => decoded(name).filter(|name| !name.is_empty()).map(Self::Database),
            (Some(_), Some(_)) => None,
        }
    }
}

/// A parameter's value as a form sends it: `+` is a space, `%XX` a byte.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn readiness(obstacles: &[String], panics: u64) -> (&'static str, String) {
    let (status, mut text) = match obstacles {
        [] => ("200 OK", "ready\n".to_owned()),
        some => ("503 Service Unavailable", some.iter().map(|why| format!("not ready: {why}\n")).collect()),
    };
    if panics > 0 {
        text.push_str(&format!("panics: {panics}\n"));
    }
    (status, text)
}

/// Whether the answer's body is sent: HEAD wants its length only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Sent,
    Withheld,
}

/// The request up to the empty line; `None` where it is longer than allowed.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let mut head = Vec::with_capacity(1024);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() >= HTTP_REQUEST_BYTES_MAX {
            return Ok(None);
        }
        if stream.read_buf(&mut head).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(Some(head))
}

/// The path of a GET or HEAD, and its query.
fn target(head: &[u8]) -> Option<(Body, &str, &str)> {
    let line = head.split(|b| *b == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let body = match words.next()? {
        "GET" => Body::Sent,
        "HEAD" => Body::Withheld,
        _ => return None,
    };
    let path = words.next()?;
    let version = words.next()?;
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    (version.starts_with("HTTP/1.") && words.next().is_none()).then_some((body, path, query))
}

async fn respond(
    stream: &mut (impl AsyncWrite + Unpin),
    status: &str,
    content: &Content,
    body: Body,
) -> std::io::Result<()> {
    let (kind, length, coding) = (content.kind(), content.bytes().len(), content.coding());
    let head = format!(
        "HTTP/1.1 {status}\r\n\
         Content-Type: {kind}\r\n\
         Content-Length: {length}\r\n\
         {coding}Connection: close\r\n\
         \r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    if body == Body::Sent {
        stream.write_all(content.bytes()).await?;
    }
    stream.shutdown().await
}

#[cfg(test)]
mod tests;
