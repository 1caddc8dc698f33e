//! What a client sends after login: views of Query, Parse, Bind, Describe, Close.
//!
//! A view borrows from the payload (the frame without its five bytes of header) and copies nothing. It never
//! judges names or SQL: it only says where they are, or that the payload does not have the form that its tag
//! promises. Source: PostgreSQL documentation, "Message Formats".

use super::tags::{client, target};
use super::{FrameHeader, WireError, cstr};
use crate::base::limits;

/// A Parse message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseView<'a> {
    /// The statement's name, empty for the unnamed one.
    pub name: &'a [u8],
    /// Everything behind the name: query text, zero byte, parameter types. Two statements with
    /// equal `rest` are the same.
    pub rest: &'a [u8],
}

/// The front of a Bind message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindView<'a> {
    /// The portal's name, empty for the unnamed one.
    pub portal: &'a [u8],
    /// The statement's name, empty for the unnamed one.
    pub statement: &'a [u8],
    /// Bytes of the payload in front of what follows the statement's name: formats and values start here.
    pub rest_at: usize,
}

/// A Describe or Close message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetView<'a> {
    /// [`target::STATEMENT`] or [`target::PORTAL`].
    pub kind: u8,
    /// Name of the statement or portal, empty for the unnamed one.
    pub name: &'a [u8],
}

/// The SQL text of a Query message.
///
/// # Errors
/// [`WireError::Malformed`] unless the payload is exactly one zero-terminated string.
pub fn query_view(payload: &[u8]) -> Result<&[u8], WireError> {
    match cstr::split(payload) {
        Some((text, [])) => Ok(text),
        _ => Err(WireError::Malformed { tag: client::QUERY }),
    }
}

/// Reads a whole Parse payload.
///
/// # Errors
/// [`WireError::Malformed`] where a string is not terminated or the count of parameter types does
/// not fit what follows it.
pub fn parse_view(payload: &[u8]) -> Result<ParseView<'_>, WireError> {
    const MALFORMED: WireError = WireError::Malformed { tag: client::PARSE };
    let (name, rest) = cstr::split(payload).ok_or(MALFORMED)?;
    let (_query, types) = cstr::split(rest).ok_or(MALFORMED)?;
    let (count, oids) = types.split_first_chunk().ok_or(MALFORMED)?;
    if oids.len() != usize::from(u16::from_be_bytes(*count)) * 4 {
        return Err(MALFORMED);
    }
    Ok(ParseView { name, rest })
}

/// Reads the names at the front of a Bind payload, of which `payload_prefix` may be only the first part.
///
/// `Ok(None)`: more bytes are needed. A caller that has handed in the whole payload and gets `None` has a
/// broken message; one whose buffer is full has names longer than it wants to hold.
///
/// # Errors
/// None at present: every prefix is either enough or too short. The type leaves room for stricter reading.
#[inline]
pub fn bind_view(payload_prefix: &[u8]) -> Result<Option<BindView<'_>>, WireError> {
    let Some((portal, rest)) = cstr::split(payload_prefix) else { return Ok(None) };
    let Some((statement, rest)) = cstr::split(rest) else { return Ok(None) };
    Ok(Some(BindView { portal, statement, rest_at: payload_prefix.len() - rest.len() }))
}

/// Reads a whole Describe or Close payload; which of the two it was is the caller's knowledge.
///
/// # Errors
/// [`WireError::Malformed`] (with the tag of Describe) where the kind is neither `S` nor `P` or the name
/// does not end the payload.
#[inline]
pub fn target_view(payload: &[u8]) -> Result<TargetView<'_>, WireError> {
    const MALFORMED: WireError = WireError::Malformed { tag: client::DESCRIBE };
    let (&kind, rest) = payload.split_first().ok_or(MALFORMED)?;
    match (kind, cstr::split(rest)) {
        (target::STATEMENT | target::PORTAL, Some((name, []))) => Ok(TargetView { kind, name }),
        _ => Err(MALFORMED),
    }
}

/// Whether a message may be as long as its header says: those without a payload have none, and what is short
/// ends where PostgreSQL ends it (`SocketBackend` in its `postgres.c`), but for names of statements.
#[inline]
pub fn has_plausible_length(header: FrameHeader) -> bool {
    let length = header.frame_bytes - 1;
    match header.tag {
        client::QUERY | client::COPY_DATA | client::BIND | client::PARSE | client::FUNCTION_CALL => true,
        client::SYNC | client::FLUSH | client::COPY_DONE => length == 4,
        client::DESCRIBE | client::CLOSE => length <= limits::STATEMENT_NAME_BYTES_MAX as usize,
        client::EXECUTE | client::COPY_FAIL | client::TERMINATE => {
            length <= limits::SMALL_MESSAGE_BYTES_MAX as usize
        }
        _ => true, // refused for its tag
    }
}

/// A whole Query of [`forgets_statements`] has fewer bytes than this, unless it is written in an unusual way.
pub const FORGETTING_BYTES_MAX: usize = 128;

/// Whether SQL text (the front of a payload, up to a zero byte or its end) begins with a command that
/// can make a session forget its prepared statements: DISCARD or DEALLOCATE. One that stands elsewhere
/// in the text is not found.
#[inline]
pub fn forgets_statements(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let begins = |word: &[u8]| text.get(..word.len()).is_some_and(|front| front.eq_ignore_ascii_case(word));
    begins(b"DISCARD") || begins(b"DEALLOCATE")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parse_gives_name_and_everything_behind_it() {
        let payload = b"s1\0select $1\0\x00\x01\0\0\0\x17";
        let view = parse_view(payload).unwrap();
        assert_eq!((view.name, view.rest), (&b"s1"[..], &payload[3..]));
    }

    #[test]
    fn parse_refuses_what_does_not_add_up() {
        for payload in [&b""[..], b"s1", b"s1\0select", b"s1\0select\0", b"\0\0\0\x01\0\0\0", b"\0\0\0\0\0"] {
            assert_eq!(parse_view(payload), Err(WireError::Malformed { tag: client::PARSE }), "{payload:?}");
        }
    }

    #[test]
    fn bind_is_read_from_a_prefix() {
        let payload = b"p\0s1\0\0\0\0\0\0\0";
        for cut in 0..5 {
            assert_eq!(bind_view(&payload[..cut]), Ok(None), "cut at {cut}");
        }
        for cut in 5..=payload.len() {
            let view = bind_view(&payload[..cut]).unwrap().unwrap();
            assert_eq!(view, BindView { portal: b"p", statement: b"s1", rest_at: 5 });
        }
    }

    #[test]
    fn target_wants_a_known_kind_and_nothing_behind() {
        assert_eq!(target_view(b"Sname\0").unwrap(), TargetView { kind: target::STATEMENT, name: b"name" });
        assert_eq!(target_view(b"P\0").unwrap(), TargetView { kind: target::PORTAL, name: b"" });
        for payload in [&b""[..], b"S", b"Sname", b"Sname\0x", b"Xname\0"] {
            assert!(target_view(payload).is_err(), "{payload:?}");
        }
    }

    #[test]
    fn query_is_exactly_one_string() {
        assert_eq!(query_view(b"select 1\0"), Ok(&b"select 1"[..]));
        assert!(query_view(b"select 1").is_err());
        assert!(query_view(b"select 1\0\0").is_err());
    }

    #[test]
    fn lengths_are_those_that_postgresql_takes() {
        let header = |tag, length: usize| FrameHeader { tag, frame_bytes: 1 + length };
        for tag in [client::SYNC, client::FLUSH, client::COPY_DONE] {
            assert!(has_plausible_length(header(tag, 4)));
            assert!(!has_plausible_length(header(tag, 5)) && !has_plausible_length(header(tag, 40_000)));
        }
        for tag in [client::EXECUTE, client::TERMINATE, client::COPY_FAIL] {
            assert!(has_plausible_length(header(tag, 10_000)) && !has_plausible_length(header(tag, 10_001)));
        }
        for tag in [client::DESCRIBE, client::CLOSE] {
            assert!(has_plausible_length(header(tag, 65_535)) && !has_plausible_length(header(tag, 65_536)));
        }
        for tag in [client::QUERY, client::BIND, client::PARSE, client::COPY_DATA] {
            assert!(has_plausible_length(header(tag, 1 << 30)));
        }
    }

    #[test]
    fn commands_that_forget_are_found_at_the_front() {
        for text in [&b"DISCARD ALL\0"[..], b" \n deallocate all\0", b"Deallocate x", b"discard plans;"] {
            assert!(forgets_statements(text), "{}", text.escape_ascii());
        }
        for text in [&b""[..], b"d", b"DISCAR", b"delete from t", b"select 'DISCARD ALL'"] {
            assert!(!forgets_statements(text), "{}", text.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = query_view(&payload);
            let _ = parse_view(&payload);
            let _ = target_view(&payload);
            if let Ok(Some(view)) = bind_view(&payload) {
                prop_assert_eq!(view.portal.len() + view.statement.len() + 2, view.rest_at);
            }
        }
    }
}
