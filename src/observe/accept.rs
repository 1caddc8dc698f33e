//! What who asks for the page of metrics takes: packed or not, in which format.
//!
//! Pure. Source: RFC 9110, "Accept", "Accept-Encoding" and "Quality Values"; the OpenMetrics specification
//! 1.0 ("Protocol Negotiation").

use super::page::Format;

/// The words of all header fields of that name, with their parameters.
fn words<'a>(head: &'a str, field: &'a str) -> impl Iterator<Item = &'a str> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let named = fields.filter(move |(name, _)| name.eq_ignore_ascii_case(field));
    named.flat_map(|(_, words)| words.split(',')).map(str::trim)
}

/// A word without its parameters, and those.
fn split(word: &str) -> (&str, impl Iterator<Item = (&str, &str)>) {
    let mut parts = word.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let parameters = parts.map(|part| part.split_once('=').unwrap_or((part, "")));
    (name, parameters.map(|(name, value)| (name.trim(), value.trim())))
}

/// The weight of a word; one that is none is 0, without one it is 1.
fn weight(word: &str) -> f32 {
    let given = split(word).1.find(|(name, _)| name.eq_ignore_ascii_case("q"));
    let weight = given.map_or(Some(1.0), |(_, value)| value.parse::<f32>().ok());
    weight.filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.0)
}

/// Whether the client of this request takes what is packed by gzip.
pub(super) fn takes_gzip(head: &[u8]) -> bool {
    let Ok(head) = std::str::from_utf8(head) else { return false };
    words(head, "accept-encoding")
        .any(|word| split(word).0.eq_ignore_ascii_case("gzip") && weight(word) > 0.0)
}

/// The format that it wants: OpenMetrics where it says so, and does not like the other one better.
pub(super) fn format(head: &[u8]) -> Format {
    let Ok(head) = std::str::from_utf8(head) else { return Format::Prometheus };
    let best = |is_meant: fn(&str) -> bool| {
        words(head, "accept").filter(|word| is_meant(word)).map(weight).fold(0.0, f32::max)
    };
    let (open, text) = (best(is_openmetrics), best(|word| split(word).0.eq_ignore_ascii_case("text/plain")));
    if open > 0.0 && open >= text { Format::OpenMetrics } else { Format::Prometheus }
}

/// Whether this is the version that is served, or any.
fn is_openmetrics(word: &str) -> bool {
    let (name, mut parameters) = split(word);
    let version = parameters.find(|(name, _)| name.eq_ignore_ascii_case("version"));
    name.eq_ignore_ascii_case("application/openmetrics-text")
        && version.is_none_or(|(_, version)| version.trim_matches('"') == "1.0.0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> Vec<u8> {
        format!("GET / HTTP/1.1\r\n{line}\r\n\r\n").into_bytes()
    }

    #[test]
    fn only_who_asks_is_given_gzip() {
        let asks = |line: &str| takes_gzip(&request(line));
        for line in [
            "Accept-Encoding: gzip",
            "accept-encoding:deflate, GZIP;q=0.5",
            "X: y\r\nAccept-Encoding: br,gzip",
        ] {
            assert!(asks(line), "{line}");
        }
        for line in [
            "",
            "Accept-Encoding: deflate",
            "Accept-Encoding: gzip;q=0",
            "Accept-Encoding: gzip; Q=0.000",
            "Accept-Encoding: gzip;q=0;x=1",
            "Accept-Encoding: gzip;q=nan",
            "Accept-Encoding: gzip;q=-1",
            "Accept: gzip",
            "Accept-Encoding: xgzip",
        ] {
            assert!(!asks(line), "{line}");
        }
        assert!(!takes_gzip(b"\xff\xfe"));
    }

    #[test]
    fn openmetrics_is_for_who_prefers_it() {
        let is_open = |accept: &str| format(&request(&format!("Accept: {accept}"))) == Format::OpenMetrics;
        for accept in [
            // Prometheus 2 and 3.
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;\
             q=0.2,*/*;q=0.1",
            "application/openmetrics-text",
            "text/plain, application/openmetrics-text; version=\"1.0.0\"",
            "Application/OpenMetrics-Text; Version=1.0.0",
        ] {
            assert!(is_open(accept), "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/plain;version=0.0.4",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;q=0",
            "text/plain, application/openmetrics-text;q=0.9",
            "text/html,application/xhtml+xml,*/*;q=0.8",
        ] {
            assert!(!is_open(accept), "{accept}");
        }
        assert_eq!(format(b"GET / HTTP/1.1\r\n\r\n"), Format::Prometheus);
        assert_eq!(format(b"\xff\xfe"), Format::Prometheus);
    }
}
