//! Tests of `http.rs`.

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
            let slot = PageSlots::new(1).take().await;
            answer(server, &Fixed, &slot).await
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
    let began = Instant::now();
    let slot = PageSlots::new(1).take().await;
    let write = async {
        let _ = client.write_all(request).await;
    };
    tokio::join!(answer_in_time(server, &Fixed, &slot), write);
    drop(client);
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn whoever_is_slow_is_left_in_time() {
    assert_eq!(borne_with(b"GET /metr").await, Duration::from_millis(HTTP_ASK_MS));
    assert_eq!(borne_with(b"GET /metrics HTTP/1.1\r\n\r\n").await, Duration::from_millis(HTTP_TIMEOUT_MS));
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
