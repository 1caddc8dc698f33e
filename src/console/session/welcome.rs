//! What a client of the console is told at the end of its login.
//!
//! Source: PgBouncer, src/admin.c (admin_setup).

use crate::base::PGBOUNCER_VERSION;
use crate::control::KeyHolder;
use crate::wire::{encode, tags};

/// What the console reports of itself at login.
const PARAMETERS: [(&str, &str); 6] = [
    ("client_encoding", "UTF8"),
    ("server_encoding", "UTF8"),
    ("DateStyle", "ISO"),
    ("TimeZone", "GMT"),
    ("standard_conforming_strings", "on"),
    ("is_superuser", "on"),
];

/// The end of the login: parameters, the key, ReadyForQuery. AuthenticationOk has been sent.
pub(super) fn welcome(key: &KeyHolder) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    encode::parameter_status(&mut out, "server_version", &format!("{PGBOUNCER_VERSION}/bouncer"));
    for (name, value) in PARAMETERS {
        encode::parameter_status(&mut out, name, value);
    }
    let [a, b, c, d, secret @ ..] = key.key();
    encode::backend_key_data(&mut out, u32::from_be_bytes([a, b, c, d]), &secret);
    encode::ready_for_query(&mut out, tags::transaction::IDLE);
    out
}
