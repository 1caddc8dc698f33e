//! The URI encoding that AWS signs over. Source: RFC 3986 §2.3; AWS General Reference, "Signature Version 4".

use crate::base::limits;

/// Whether a session token may belong to credentials that sign: one that HTTP can carry, and so short that
/// whatever it signs is a password that servers read.
pub(super) fn is_session_token(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic()) && encoded_len(text) <= limits::SESSION_TOKEN_BYTES_MAX
}

/// Whether RFC 3986 leaves a byte as it is wherever it stands.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
}

/// Bytes of `text` once it is encoded.
pub(super) fn encoded_len(text: &str) -> usize {
    text.bytes().map(|byte| if is_unreserved(byte) { 1 } else { 3 }).sum()
}

/// Appends `text`, all but RFC 3986's unreserved characters as `%XX`.
pub(super) fn percent_encode(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if is_unreserved(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}
