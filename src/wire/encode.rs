//! The only writer of messages. Every function appends one whole frame to `out`.

use super::tags::{client, field, server};

/// Severity of an ErrorResponse or NoticeResponse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The connection ends after it.
    Fatal,
    /// The statement failed.
    Error,
    /// For information only.
    Notice,
}

impl Severity {
    /// The word on the wire.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Fatal => "FATAL",
            Self::Error => "ERROR",
            Self::Notice => "NOTICE",
        }
    }
}

/// Appends a frame whose payload `body` writes; the length is filled in afterwards.
pub fn frame(out: &mut Vec<u8>, tag: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// Appends `text` and its terminating zero byte.
pub fn cstr(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(text);
    out.push(0);
}

/// ErrorResponse with severity, SQLSTATE and message only, as PgBouncer sends it.
pub fn error(out: &mut Vec<u8>, severity: Severity, sqlstate: &str, text: &str) {
    message_fields(out, server::ERROR_RESPONSE, severity, sqlstate, text, None);
}

/// NoticeResponse; `detail` is optional.
pub fn notice(out: &mut Vec<u8>, severity: Severity, sqlstate: &str, text: &str, detail: Option<&str>) {
    message_fields(out, server::NOTICE_RESPONSE, severity, sqlstate, text, detail);
}

fn message_fields(
    out: &mut Vec<u8>,
    tag: u8,
    severity: Severity,
    sqlstate: &str,
    text: &str,
    detail: Option<&str>,
) {
    frame(out, tag, |out| {
        out.push(field::SEVERITY);
        cstr(out, severity.text().as_bytes());
        out.push(field::CODE);
        cstr(out, sqlstate.as_bytes());
        out.push(field::MESSAGE);
        cstr(out, text.as_bytes());
        if let Some(detail) = detail {
            out.push(field::DETAIL);
            cstr(out, detail.as_bytes());
        }
        out.push(0);
    });
}

/// Query.
pub fn query(out: &mut Vec<u8>, sql: &str) {
    frame(out, client::QUERY, |out| cstr(out, sql.as_bytes()));
}

/// Parse. `rest` is what follows the name in the client's own frame: query text, zero, parameter types.
pub fn parse(out: &mut Vec<u8>, name: &[u8], rest: &[u8]) {
    frame(out, client::PARSE, |out| {
        cstr(out, name);
        out.extend_from_slice(rest);
    });
}

/// Describe or Close; `kind` is `S` for a statement, `P` for a portal.
pub fn describe_or_close(out: &mut Vec<u8>, tag: u8, kind: u8, name: &[u8]) {
    frame(out, tag, |out| {
        out.push(kind);
        cstr(out, name);
    });
}

/// A frame without payload: Sync, Flush, Terminate, ParseComplete, CloseComplete, …
pub fn empty(out: &mut Vec<u8>, tag: u8) {
    out.extend_from_slice(&[tag, 0, 0, 0, 4]);
}

/// ReadyForQuery; `status` is `I`, `T` or `E`.
pub fn ready_for_query(out: &mut Vec<u8>, status: u8) {
    out.extend_from_slice(&[server::READY_FOR_QUERY, 0, 0, 0, 5, status]);
}

/// ParameterStatus.
pub fn parameter_status(out: &mut Vec<u8>, name: &str, value: &str) {
    frame(out, server::PARAMETER_STATUS, |out| {
        cstr(out, name.as_bytes());
        cstr(out, value.as_bytes());
    });
}

/// BackendKeyData.
pub fn backend_key_data(out: &mut Vec<u8>, pid: u32, key: &[u8]) {
    frame(out, server::BACKEND_KEY_DATA, |out| {
        out.extend_from_slice(&pid.to_be_bytes());
        out.extend_from_slice(key);
    });
}

/// RowDescription of columns that belong to no table, all in text format: (name, type's
/// object id, type's size).
pub fn row_description<'a>(out: &mut Vec<u8>, columns: impl ExactSizeIterator<Item = (&'a str, u32, i16)>) {
    frame(out, server::ROW_DESCRIPTION, |out| {
        out.extend_from_slice(&u16::try_from(columns.len()).unwrap_or(u16::MAX).to_be_bytes());
        for (name, oid, size) in columns {
            cstr(out, name.as_bytes());
            // No table, no column of one; then the type, its size, no modifier; format 0 is text.
            out.extend_from_slice(&[0; 6]);
            out.extend_from_slice(&oid.to_be_bytes());
            out.extend_from_slice(&size.to_be_bytes());
            out.extend_from_slice(&(-1i32).to_be_bytes());
            out.extend_from_slice(&[0; 2]);
        }
    });
}

/// DataRow; `None` is NULL.
pub fn data_row<T: AsRef<[u8]>>(out: &mut Vec<u8>, values: impl ExactSizeIterator<Item = Option<T>>) {
    frame(out, server::DATA_ROW, |out| {
        out.extend_from_slice(&u16::try_from(values.len()).unwrap_or(u16::MAX).to_be_bytes());
        for value in values {
            match value {
                None => out.extend_from_slice(&(-1i32).to_be_bytes()),
                Some(value) => {
                    let value = value.as_ref();
                    out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
                    out.extend_from_slice(value);
                }
            }
        }
    });
}

/// CommandComplete.
pub fn command_complete(out: &mut Vec<u8>, command: &str) {
    frame(out, server::COMMAND_COMPLETE, |out| cstr(out, command.as_bytes()));
}
