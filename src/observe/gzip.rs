//! The page of metrics as Prometheus asks for it: packed. Ten to twenty times smaller, since its
//! lines are so much alike.
//!
//! Pure. Source: RFC 9110, "Accept-Encoding" and "Quality Values".

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// `text` in the format of gzip, packed by the fastest algorithm: some 20 ms for a page of 6 MB.
pub(super) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // INVARIANT: it writes to memory, which takes everything.
    encoder.write_all(text).and_then(|()| encoder.finish()).expect("memory takes everything")
}

/// Whether the client of this request takes what is packed so.
pub(super) fn is_accepted(head: &[u8]) -> bool {
    let Ok(head) = std::str::from_utf8(head) else { return false };
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let codings = fields.filter(|(name, _)| name.eq_ignore_ascii_case("accept-encoding"));
    codings.flat_map(|(_, codings)| codings.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip")) && parts.all(is_wanted)
    })
}

/// Whether a coding with this parameter is wanted at all: its weight is above zero. A
/// weight that is none is not.
fn is_wanted(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let is_weight = name.trim().eq_ignore_ascii_case("q");
    !is_weight || value.trim().parse().is_ok_and(|weight: f32| weight > 0.0 && weight <= 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;

    #[test]
    fn what_is_packed_comes_out_again() {
        let page: Vec<u8> =
            (0..20_000).flat_map(|n| format!("name{{database=\"db{n}\"}} {n}\n").into_bytes()).collect();
        for text in [&page[..], b"x", b""] {
            let mut unpacked = Vec::new();
            GzDecoder::new(&gzip(text)[..]).read_to_end(&mut unpacked).unwrap();
            assert_eq!(unpacked, text);
        }
        assert!(gzip(&page).len() < page.len() / 4);
    }

    #[test]
    fn only_who_asks_is_given_it() {
        let asks = |line: &str| is_accepted(format!("GET / HTTP/1.1\r\n{line}\r\n\r\n").as_bytes());
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
        assert!(!is_accepted(b"\xff\xfe"));
    }
}
