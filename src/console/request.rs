//! What a client of the console sends, from the bytes that have come: queries, and
//! what must be refused. Pure.
//!
//! Only the simple query protocol is spoken here. Source: PgBouncer, src/admin.c (admin_handle_client()).

use crate::base::limits::CONSOLE_QUERY_BYTES_MAX;
use crate::wire::tags::client;
use crate::wire::{FrameHeader, HEADER_BYTES};

/// One thing that a client wants, or did wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// A simple query.
    Query(String),
    /// Terminate.
    Goodbye,
    /// A message that has no place here: told as an error, then the connection ends ("bad packet").
    Misplaced(String),
    /// Bytes that make no sense: the connection ends with this.
    Malformed(String),
}

/// Takes the first request out of `inbox`; `None` = more must come. `length_max` is `max_packet_size`.
pub(super) fn next(inbox: &mut Vec<u8>, length_max: u32) -> Option<Request> {
    let header = match FrameHeader::read(inbox, length_max) {
        Ok(header) => header?,
        Err(_) => {
            let hex: String = inbox.iter().take(HEADER_BYTES).map(|byte| format!("{byte:02x}")).collect();
            return Some(Request::Malformed(format!("bad packet header: '{hex}'")));
        }
    };
    match header.tag {
        client::QUERY => {}
        client::TERMINATE => return Some(Request::Goodbye),
        tag => return Some(refuse(tag)),
    }
    if header.frame_bytes > CONSOLE_QUERY_BYTES_MAX {
        return Some(Request::Malformed("incomplete pkt".to_owned()));
    }
    if inbox.len() < header.frame_bytes {
        return None;
    }
    let payload = &inbox[HEADER_BYTES..header.frame_bytes];
    let request = match payload.iter().position(|byte| *byte == 0) {
        Some(end) => Request::Query(String::from_utf8_lossy(&payload[..end]).into_owned()),
        None => Request::Malformed("incomplete query".to_owned()),
    };
    inbox.drain(..header.frame_bytes);
    Some(request)
}

fn refuse(tag: u8) -> Request {
    match tag {
        client::PARSE | client::BIND | client::EXECUTE => {
            Request::Misplaced("extended query protocol not supported by admin console".to_owned())
        }
        client::FUNCTION_CALL
        | client::DESCRIBE
        | client::CLOSE
        | client::SYNC
        | client::FLUSH
        | client::COPY_DATA
        | client::COPY_DONE
        | client::COPY_FAIL => {
            Request::Misplaced(format!("unsupported packet type for admin console: {tag}"))
        }
        _ => Request::Malformed("unknown pkt".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> (Vec<Request>, usize) {
        let mut inbox = bytes.to_vec();
        let mut requests = Vec::new();
        while let Some(request) = next(&mut inbox, 1 << 30) {
            let ends = !matches!(request, Request::Query(_));
            requests.push(request);
            if ends {
                break;
            }
        }
        (requests, inbox.len())
    }

    fn query(text: &str) -> Request {
        Request::Query(text.to_owned())
    }

    #[test]
    fn queries_are_taken_one_by_one_and_halves_left() {
        // A text ends at its first zero, whatever follows.
        let bytes = b"Q\0\0\0\x09show\0Q\0\0\0\x0aSHOW\0xQ\0\0\0\x09sh";
        assert_eq!(all(bytes), (vec![query("show"), query("SHOW")], 7));
        assert_eq!(all(b"Q\0\0\0\x09sh"), (vec![], 7));
        assert_eq!(all(b""), (vec![], 0));
    }

    #[test]
    fn refusals_are_pgbouncers() {
        let only = |bytes: &[u8]| all(bytes).0.remove(0);
        let misplaced = |text: &str| Request::Misplaced(text.to_owned());
        let malformed = |text: &str| Request::Malformed(text.to_owned());
        for tag in [b'P', b'B', b'E'] {
            assert_eq!(
                only(&[tag, 0, 0, 9, 0]),
                misplaced("extended query protocol not supported by admin console")
            );
        }
        assert_eq!(only(b"S\0\0\0\x04"), misplaced("unsupported packet type for admin console: 83"));
        assert_eq!(only(b"d\0\0\0\x04"), misplaced("unsupported packet type for admin console: 100"));
        assert_eq!(only(b"X\0\0\0\x04"), Request::Goodbye);
        assert_eq!(only(b"p\0\0\0\x04"), malformed("unknown pkt"));
        assert_eq!(only(b"\0\0\0\0\x04"), malformed("unknown pkt"));
        assert_eq!(only(b"Q\0\0\0\x03"), malformed("bad packet header: '5100000003'"));
        assert_eq!(only(b"Q\0\0\0\x04"), malformed("incomplete query"));
        assert_eq!(only(b"Q\0\x01\0\x04"), malformed("incomplete pkt"));
    }
}
