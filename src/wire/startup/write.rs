//! The first packets as we write them: to a server, and the answer to options that nobody knows.
//!
//! Source: PostgreSQL documentation, "Message Formats".

use super::{CODE_CANCEL, CODE_SSL, VERSION_3_0};
use crate::wire::{encode, tags};

/// NegotiateProtocolVersion: we speak 3.0 and none of `options`, which are
/// [`super::Startup::unknown_options`].
pub(super) fn negotiation(options: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let count = options.iter().filter(|byte| **byte == 0).count();
    encode::frame(&mut out, tags::server::NEGOTIATE_PROTOCOL_VERSION, |out| {
        out.extend_from_slice(&VERSION_3_0.to_be_bytes());
        out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(options);
    });
    out
}

pub(super) fn write_packet(out: &mut Vec<u8>, code: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&code.to_be_bytes());
    body(out);
    let length = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// SSLRequest.
pub fn write_ssl_request(out: &mut Vec<u8>) {
    write_packet(out, CODE_SSL, |_| {});
}

/// CancelRequest; `secret` as BackendKeyData gave it.
pub fn write_cancel_request(out: &mut Vec<u8>, pid: u32, secret: &[u8]) {
    write_packet(out, CODE_CANCEL, |out| {
        out.extend_from_slice(&pid.to_be_bytes());
        out.extend_from_slice(secret);
    });
}

/// StartupMessage of protocol 3.0. No name or value may hold a zero byte.
pub fn write_startup<'a>(out: &mut Vec<u8>, parameters: impl IntoIterator<Item = (&'a str, &'a str)>) {
    write_packet(out, VERSION_3_0, |out| {
        for (name, value) in parameters {
            encode::cstr(out, name.as_bytes());
            encode::cstr(out, value.as_bytes());
        }
        out.push(0);
    });
}
