//! What a server sends after login: views of ErrorResponse, ParameterStatus, BackendKeyData,
//! ReadyForQuery, CommandComplete.
//!
//! A view borrows from the payload (the frame without its header) and copies nothing. Authentication
//! requests are read in [`super::authentication`]. Source: PostgreSQL documentation, "Message Formats" and
//! "Error and Notice Message Fields".

use super::tags::{field, server, transaction};
use super::{WireError, cstr};
use crate::base::limits;
use std::borrow::Cow;

/// The fields of an ErrorResponse or NoticeResponse that the pooler reads. Absent ones are empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorFields<'a> {
    severity: &'a [u8],
    sqlstate: &'a [u8],
    message: &'a [u8],
    detail: &'a [u8],
}

impl<'a> ErrorFields<'a> {
    /// Reads a whole payload; fields of unknown codes are passed over, of a repeated code the first counts.
    ///
    /// # Errors
    /// [`WireError::Malformed`] where a field or the list of fields is not terminated.
    pub fn read(payload: &'a [u8]) -> Result<Self, WireError> {
        const MALFORMED: WireError = WireError::Malformed { tag: server::ERROR_RESPONSE };
        let mut fields = Self::default();
        let (mut localised, mut input) = (&b""[..], payload);
        loop {
            let (&code, rest) = input.split_first().ok_or(MALFORMED)?;
            if code == 0 {
                break;
            }
            let (text, rest) = cstr::split(rest).ok_or(MALFORMED)?;
            let slot = match code {
                field::SEVERITY => &mut localised,
                field::SEVERITY_FIXED => &mut fields.severity,
                field::CODE => &mut fields.sqlstate,
                field::MESSAGE => &mut fields.message,
                field::DETAIL => &mut fields.detail,
                _ => &mut &b""[..],
            };
            if slot.is_empty() {
                *slot = text;
            }
            input = rest;
        }
        if fields.severity.is_empty() {
            fields.severity = localised; // servers before 9.6 send only this one
        }
        Ok(fields)
    }

    /// `FATAL`, `ERROR`, … in English where the server gives it so, cut; empty where it is not even UTF-8.
    pub fn severity(&self) -> &'a str {
        std::str::from_utf8(cut(self.severity)).unwrap_or_default()
    }

    /// The SQLSTATE, cut; empty where the server sent none.
    pub fn sqlstate(&self) -> &'a str {
        std::str::from_utf8(cut(self.sqlstate)).unwrap_or_default()
    }

    /// The primary message, cut; bytes that are not UTF-8 (a server's own encoding) are replaced.
    pub fn message(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(cut(self.message))
    }

    /// The detail, cut, empty where there is none; bytes that are not UTF-8 are replaced.
    pub fn detail(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(cut(self.detail))
    }
}

/// The first [`limits::ERROR_TEXT_BYTES_MAX`] bytes, no character of UTF-8 in halves: what is kept of a
/// server's words, and told to as many clients as wait, is no longer than that.
fn cut(text: &[u8]) -> &[u8] {
    let most = text.len().min(limits::ERROR_TEXT_BYTES_MAX);
    let is_between = |end: &usize| text.get(*end).is_none_or(|byte| byte & 0xc0 != 0x80);
    let longest_char = 4;
    &text[..(most.saturating_sub(longest_char - 1)..=most).rev().find(is_between).unwrap_or(most)]
}

/// What PostgreSQL gives for cancelling a server's queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyView<'a> {
    /// Process id of the backend.
    pub pid: u32,
    /// Secret: 4 bytes in protocol 3.0, up to 256 in 3.2.
    pub secret: &'a [u8],
}

/// Reads a ParameterStatus: name and value.
///
/// # Errors
/// [`WireError::Malformed`] unless the payload is exactly two zero-terminated strings of UTF-8. (A value
/// outside of UTF-8 can only come with a `client_encoding` other than UTF8: a relay that does not care for it
/// may take this as "nothing to track".)
#[inline]
pub fn parameter_status(payload: &[u8]) -> Result<(&str, &str), WireError> {
    const MALFORMED: WireError = WireError::Malformed { tag: server::PARAMETER_STATUS };
    let (name, rest) = cstr::split_str(payload).ok_or(MALFORMED)?;
    match cstr::split_str(rest) {
        Some((value, [])) => Ok((name, value)),
        _ => Err(MALFORMED),
    }
}

/// The name in a ParameterStatus, also where its value cannot be read; `None` where the name cannot either.
pub fn parameter_name(payload: &[u8]) -> Option<&str> {
    cstr::split_str(payload).map(|(name, _)| name)
}

/// Reads a ReadyForQuery: `I` idle, `T` in a transaction, `E` in a failed one.
///
/// # Errors
/// [`WireError::Malformed`] for anything else.
#[inline]
pub fn ready_status(payload: &[u8]) -> Result<u8, WireError> {
    match payload {
        [status @ (transaction::IDLE | transaction::OPEN | transaction::FAILED)] => Ok(*status),
        _ => Err(WireError::Malformed { tag: server::READY_FOR_QUERY }),
    }
}

/// Reads a BackendKeyData.
///
/// # Errors
/// [`WireError::Malformed`] where the secret is shorter than 4 or longer than 256 bytes.
pub fn backend_key(payload: &[u8]) -> Result<KeyView<'_>, WireError> {
    match payload.split_first_chunk() {
        Some((pid, secret)) if (4..=256).contains(&secret.len()) => {
            Ok(KeyView { pid: u32::from_be_bytes(*pid), secret })
        }
        _ => Err(WireError::Malformed { tag: server::BACKEND_KEY_DATA }),
    }
}

/// Reads a CommandComplete: its command tag, such as `INSERT 0 1`.
///
/// # Errors
/// [`WireError::Malformed`] unless the payload is exactly one zero-terminated string.
#[inline]
pub fn command_tag(payload: &[u8]) -> Result<&[u8], WireError> {
    match cstr::split(payload) {
        Some((tag, [])) => Ok(tag),
        _ => Err(WireError::Malformed { tag: server::COMMAND_COMPLETE }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::HEADER_BYTES;
    use crate::wire::encode::{self, Severity};
    use proptest::prelude::*;

    #[test]
    fn errors_are_read_back_as_written() {
        let mut out = Vec::new();
        encode::error(&mut out, Severity::Fatal, "3D000", "database \"x\" does not exist");
        let fields = ErrorFields::read(&out[HEADER_BYTES..]).unwrap();
        assert_eq!(fields.severity(), "FATAL");
        assert_eq!(fields.sqlstate(), "3D000");
        assert_eq!(fields.message(), "database \"x\" does not exist");
        assert_eq!(fields.detail(), "");
    }

    #[test]
    fn the_severity_that_is_never_localised_wins() {
        let fields = ErrorFields::read(b"SFEHLER\0VERROR\0C42601\0MSyntaxfehler bei \xe4\0\0").unwrap();
        assert_eq!(fields.severity(), "ERROR");
        assert_eq!(fields.message(), "Syntaxfehler bei \u{fffd}");
    }

    #[test]
    fn of_each_text_so_much_is_kept_and_no_character_in_halves() {
        let most = limits::ERROR_TEXT_BYTES_MAX;
        for (text, kept) in
            [("x".repeat(1 << 20), most), ("x".repeat(most), most), ("€".repeat(most), most / 3 * 3)]
        {
            let payload =
                [b"V", text.as_bytes(), b"\0C", text.as_bytes(), b"\0M", text.as_bytes(), b"\0D"].concat();
            let payload = [&payload, text.as_bytes(), b"\0\0"].concat();
            let fields = ErrorFields::read(&payload).unwrap();
            let texts = [fields.severity(), fields.sqlstate(), &fields.message(), &fields.detail()]
                .map(str::to_owned);
            assert_eq!(texts, [(); 4].map(|()| text[..kept].to_owned()));
        }
        let foreign = [b"M", &[0xbf_u8; 2_000][..], b"\0\0"].concat();
        let fields = ErrorFields::read(&foreign).unwrap();
        assert_eq!(fields.message().chars().count(), most, "an encoding that is not UTF-8");
    }

    #[test]
    fn fields_may_be_missing_or_come_twice() {
        let all = |payload| {
            let fields = ErrorFields::read(payload).unwrap();
            [fields.severity(), fields.sqlstate(), &fields.message(), &fields.detail()].map(str::to_owned)
        };
        assert_eq!(all(b"\0"), ["", "", "", ""]);
        assert_eq!(all(b"SFATAL\0Mno code\0\0"), ["FATAL", "", "no code", ""]);
        assert_eq!(all(b"C28000\0C3D000\0Mone\0Mtwo\0VFATAL\0VERROR\0\0"), ["FATAL", "28000", "one", ""]);
    }

    #[test]
    fn broken_errors_are_refused() {
        for payload in [&b""[..], b"S", b"SFATAL", b"SFATAL\0", b"SFATAL\0C", b"C28000\0Mno end"] {
            assert!(ErrorFields::read(payload).is_err(), "{payload:?}");
        }
    }

    #[test]
    fn the_small_ones() {
        assert_eq!(parameter_status(b"TimeZone\0UTC\0"), Ok(("TimeZone", "UTC")));
        assert_eq!(parameter_status(b"application_name\0\0"), Ok(("application_name", "")));
        assert!(parameter_status(b"TimeZone\0UTC").is_err());
        assert!(parameter_status(b"TimeZone\0UTC\0x").is_err());
        assert!(parameter_status(b"search_path\0\xe4\0").is_err());
        assert_eq!(parameter_name(b"search_path\0\xe4\0"), Some("search_path"));
        assert_eq!(parameter_name(b"\xe4\0x\0"), None);
        assert_eq!(ready_status(b"T"), Ok(b'T'));
        assert!(ready_status(b"X").is_err());
        assert!(ready_status(b"II").is_err());
        assert_eq!(backend_key(b"\0\0\x01\0abcd"), Ok(KeyView { pid: 256, secret: b"abcd" }));
        assert!(backend_key(b"\0\0\x01\0abc").is_err());
        assert!(backend_key(&[0; 261]).is_err());
        assert_eq!(command_tag(b"DISCARD ALL\0"), Ok(&b"DISCARD ALL"[..]));
        assert!(command_tag(b"DISCARD ALL").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = ErrorFields::read(&payload);
            let _ = parameter_status(&payload);
            let _ = ready_status(&payload);
            let _ = backend_key(&payload);
            let _ = command_tag(&payload);
        }
    }
}
