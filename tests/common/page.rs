//! The pages that a pooler serves on `metrics_listen`, as one who looks at them sees them.

use super::{secrets, wait_until};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

/// What the page's address answers to a GET of `path`: the status line and the body.
#[track_caller]
pub fn get(port: u16, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the page is served");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    secrets::none_in("a page", &answer);
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

/// Every series of the page of metrics, with its value.
#[track_caller]
pub fn metrics(port: u16) -> BTreeMap<String, f64> {
    let (_, page) = get(port, "/metrics");
    let series = page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    series.map(|(name, value)| (name.to_owned(), value.parse().expect("a number"))).collect()
}

/// The value of one series of the page of metrics.
#[track_caller]
pub fn value(port: u16, series: &str) -> Option<f64> {
    metrics(port).get(series).copied()
}

/// Waits until the pages are served.
#[track_caller]
pub fn wait_for(port: u16) {
    wait_until("the page is served", || TcpStream::connect(("127.0.0.1", port)).is_ok());
}
