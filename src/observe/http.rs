//! The least HTTP/1.1 that Prometheus, a load balancer and a browser need: GET of four pages,
//! one request a connection.
//!
//! Never holds more than `limits::HTTP_REQUEST_BYTES_MAX` of a request, more than
//! `limits::HTTP_CONNECTIONS_MAX` connections, or one longer than `limits::HTTP_TIMEOUT_MS`: where all places
//! are taken, the slowest makes room. A slow or hostile scraper costs itself only. Says nothing but metrics,
//! and whether clients can be served. Source: RFC 9112.

use super::accept;
use super::page::{Format, Page};
use super::seats::{Seat, Seats, Stage};
use crate::base::limits::{HTTP_ASK_MS, HTTP_CONNECTIONS_MAX, HTTP_REQUEST_BYTES_MAX, HTTP_TIMEOUT_MS};
use crate::tasks;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

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
    let seats = Seats::new(HTTP_CONNECTIONS_MAX);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (metrics, seat) = (Arc::clone(&metrics), seats.seat().await);
                tasks::spawn("scrape", peer, async move { answer_in_time(stream, &*metrics, &seat).await });
            }
            Err(error) => {
                tracing::warn!("metrics_listen: accept failed: {error}");
                tokio::time::sleep(Duration::from_millis(ACCEPT_AGAIN_MS)).await;
            }
        }
    }
}

/// Between two tries where accepting fails: of a process without descriptors the log
/// hears a line now and then.
const ACCEPT_AGAIN_MS: u64 = 1_000;

/// Answers one request, unless that takes too long or somebody else needs the seat. A scraper that goes away
/// or is too slow is its own affair.
async fn answer_in_time<S, M>(stream: S, metrics: &M, seat: &Seat)
where
    S: AsyncRead + AsyncWrite + Unpin,
    M: Metrics,
{
    let time = Duration::from_millis(HTTP_TIMEOUT_MS);
    tokio::select! {
        _ = timeout(time, answer(stream, metrics, seat)) => {}
        () = seat.wanted() => {}
    }
}

/// Reads one request and answers it.
async fn answer<S, M>(mut stream: S, metrics: &M, seat: &Seat) -> std::io::Result<()>
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
    seat.enter(Stage::Served);
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
        // that this can be answered is all that it says
        Some((body, "/live", _)) => ("200 OK", text("live\n"), body),
        Some((body, "/", _)) => ("200 OK", Content::text(HTML_TYPE, INDEX), body),
        Some((body, ..)) => ("404 Not Found", text("not found; the metrics are at /metrics\n"), body),
        None if head.starts_with(b"GET ") => ("400 Bad Request", text(""), Body::Sent),
        None => ("405 Method Not Allowed", text("only GET\n"), Body::Sent),
    };
    seat.enter(Stage::Taking);
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
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::net::TcpStream;

    struct Fixed;

    impl Metrics for Fixed {
        async fn page(&self, format: Format) -> Option<Arc<Page>> {
            Some(Arc::new(Page::of("up 1\n".to_owned(), format)))
        }

        fn obstacles(&self) -> Vec<String> {
            vec!["one".to_owned(), "another".to_owned()]
        }

        fn database_obstacles(&self, name: &str) -> Option<Vec<String>> {
            match name {
                "fine" => Some(Vec::new()),
                "a b&c" => Some(vec!["it is down".to_owned()]),
                _ => None,
            }
        }

        fn panics(&self) -> u64 {
            0
        }
    }

    /// What is answered to `request`, sent in two parts.
    fn ask(request: &[u8]) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (client, server) = tokio::io::duplex(64);
            let served = tokio::spawn(async move {
                let seat = Seats::new(1).seat().await;
                answer(server, &Fixed, &seat).await
            });
            let (mut from, mut to) = tokio::io::split(client);
            let (front, rest) = request.split_at(request.len() / 2);
            let write = async {
                // A request that is refused half-way is not read to its end.
                let _ = to.write_all(front).await;
                let _ = to.write_all(rest).await;
                let _ = to.shutdown().await;
            };
            let mut text = String::new();
            let (read, ()) = tokio::join!(from.read_to_string(&mut text), write);
            read.unwrap();
            let _ = served.await.unwrap();
            text
        })
    }

    #[test]
    fn metrics_are_served_with_their_type_and_length() {
        assert_eq!(
            ask(b"GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n"),
            "HTTP/1.1 200 OK\r\n\
             Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
             Content-Length: 5\r\n\
             Vary: Accept, Accept-Encoding\r\n\
             Connection: close\r\n\
             \r\n\
             up 1\n"
        );
        let open = ask(b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text\r\n\r\n");
        let kind = "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
        assert!(open.contains(kind), "{open}");
        let packed = Page::of("up 1\n".to_owned(), Format::Prometheus).packed.len();
        let head = ask(b"HEAD /metrics HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n");
        assert!(head.contains(&format!("Content-Length: {packed}\r\nContent-Encoding: gzip\r\n")), "{head}");
        let head = ask(b"HEAD /metrics HTTP/1.0\r\n\r\n");
        assert!(head.contains("Content-Length: 5") && head.ends_with("\r\n\r\n"));
    }

    #[test]
    fn who_is_not_ready_says_why() {
        let answer = ask(b"GET /ready HTTP/1.1\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nnot ready: one\nnot ready: another\n"), "{answer}");
        assert_eq!(readiness(&[], 0), ("200 OK", "ready\n".to_owned()));
        assert_eq!(readiness(&[], 2), ("200 OK", "ready\npanics: 2\n".to_owned()));
    }

    #[test]
    fn who_is_not_ready_is_live() {
        let answer = ask(b"GET /live HTTP/1.1\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nlive\n"), "{answer}");
        assert!(ask(b"HEAD /live HTTP/1.1\r\n\r\n").ends_with("Connection: close\r\n\r\n"));
    }

    #[test]
    fn one_database_is_asked_for_by_its_name() {
        let of = |query: &str| {
            let answer = ask(format!("GET /ready?{query} HTTP/1.1\r\n\r\n").as_bytes());
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
        };
        let answer = |status: &str, body: &str| (status.to_owned(), body.to_owned());
        assert_eq!(of("database=fine"), answer("200", "ready\n"));
        assert_eq!(of("x=y&database=f%69n%65&z"), answer("200", "ready\n"));
        assert_eq!(of("database=a+b%26c"), answer("503", "not ready: it is down\n"));
        assert_eq!(of("database=nowhere"), answer("404", "no such database\n"));
        assert_eq!(of("").0, "503", "all of them");
        assert_eq!(of("databases=fine").0, "503", "no parameter of ours");
        for query in
            ["database", "database=", "database=%f", "database=%zz", "database=%ff", "database=a&database=b"]
        {
            assert_eq!(of(query).0, "400", "{query}");
        }
    }

    #[test]
    fn everything_else_is_refused_plainly() {
        assert!(ask(b"GET / HTTP/1.1\r\n\r\n").contains("href=\"/metrics\""));
        assert!(ask(b"GET /metricsx HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        assert!(ask(b"POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
        assert!(ask(b"GET /metrics\r\n\r\n").starts_with("HTTP/1.1 400 "));
        assert!(ask(b"GET /a b HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400 "));
        assert!(ask(b"\x16\x03\x01\r\n\r\n").starts_with("HTTP/1.1 405 "));
        assert!(ask(&[b'A'; 2 * HTTP_REQUEST_BYTES_MAX]).starts_with("HTTP/1.1 431 "));
        assert_eq!(ask(b""), "");
        assert_eq!(ask(b"GET / HTTP/1.1\r\n"), "", "half a request, then the end");
    }

    /// What is answered to a GET of `path`; `None`: the connection is closed without an answer.
    async fn get(address: std::net::SocketAddr, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).await.ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.ok()?;
        (!text.is_empty()).then_some(text)
    }

    #[tokio::test]
    async fn slow_ones_make_room_and_the_slowest_first() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(Arc::new(listener), Arc::new(Fixed)));
        let mut slow = Vec::new();
        for _ in 0..HTTP_CONNECTIONS_MAX {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /re").await.unwrap();
            slow.push(stream);
        }
        for _ in 0..3 {
            assert!(get(address, "/metrics").await.is_some_and(|text| text.ends_with("up 1\n")));
        }
        let mut end = [0; 1];
        assert!(matches!(slow[0].read(&mut end).await, Ok(0) | Err(_)), "the oldest had to go");
        let last = slow.last_mut().unwrap();
        last.write_all(b"ady HTTP/1.1\r\n\r\n").await.unwrap();
        let mut text = String::new();
        last.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 503 "), "the youngest is served: {text}");
    }

    /// How long a scraper that sends `request` and takes nothing is borne with.
    async fn borne_with(request: &[u8]) -> Duration {
        let (mut client, server) = tokio::io::duplex(16);
        let began = tokio::time::Instant::now();
        let seat = Seats::new(1).seat().await;
        let write = async {
            let _ = client.write_all(request).await;
        };
        tokio::join!(answer_in_time(server, &Fixed, &seat), write);
        drop(client);
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_slow_is_left_in_time() {
        assert_eq!(borne_with(b"GET /metr").await, Duration::from_millis(HTTP_ASK_MS));
        assert_eq!(
            borne_with(b"GET /metrics HTTP/1.1\r\n\r\n").await,
            Duration::from_millis(HTTP_TIMEOUT_MS)
        );
    }

    /// Its first page cannot be made, making the second panics.
    #[derive(Default)]
    struct Unlucky(AtomicU64);

    impl Metrics for Unlucky {
        async fn page(&self, format: Format) -> Option<Arc<Page>> {
            match self.0.fetch_add(1, Ordering::Relaxed) {
                0 => None,
                1 => panic!("of this scrape"),
                _ => Some(Arc::new(Page::of("up 1\n".to_owned(), format))),
            }
        }

        fn obstacles(&self) -> Vec<String> {
            Vec::new()
        }

        fn database_obstacles(&self, _: &str) -> Option<Vec<String>> {
            None
        }

        fn panics(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[tokio::test]
    async fn a_panic_costs_one_scrape_and_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(Arc::new(listener), Arc::new(Unlucky::default())));
        let first = get(address, "/metrics").await.unwrap();
        assert!(first.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{first}");
        assert_eq!(get(address, "/metrics").await, None, "its connection is closed");
        for _ in 0..2 * HTTP_CONNECTIONS_MAX {
            assert!(get(address, "/metrics").await.is_some_and(|text| text.ends_with("\r\nup 1\n")));
        }
        assert!(get(address, "/ready").await.is_some_and(|text| text.contains("\npanics: ")));
    }
}
