//! Zero-terminated strings inside payloads. Source: PostgreSQL documentation, "Message Data Types", `String`.

use std::ffi::CStr;

/// The bytes in front of the first zero byte, and what follows it; `None` where there is no zero byte.
#[inline]
pub(super) fn split(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = CStr::from_bytes_until_nul(input).ok()?.to_bytes();
    Some((text, &input[text.len() + 1..]))
}

/// Like [`split`], for text that must be UTF-8.
#[inline]
pub(super) fn split_str(input: &[u8]) -> Option<(&str, &[u8])> {
    let (text, rest) = split(input)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}
