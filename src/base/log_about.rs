//! The connection that a line of the log is about: the fields that become its prefix, in one place.
//!
//! Never logs by itself: [`log_about!`] is a line of `tracing` where it stands. Source: PgBouncer,
//! include/util.h (`slog_…`) and src/util.c (`log_socket_prefix()`).

use std::fmt::Display;

/// A client's or a server's connection, as the log names it: `S-0x3: db/user@peer`.
#[derive(Clone, Copy)]
pub(crate) struct About<'a> {
    /// `C` for a client, `S` for a server.
    pub(crate) side: &'static str,
    /// The socket's number of SHOW (`id`).
    pub(crate) id: u64,
    /// Database entry.
    pub(crate) database: &'a str,
    /// User, as far as it is known.
    pub(crate) user: &'a str,
    /// The other end.
    pub(crate) peer: &'a dyn Display,
}

/// One line of the log at `$level` (a macro's name of `tracing`) about the connection `$about`, an [`About`].
macro_rules! log_about {
    ($level:ident, $about:expr, $($text:tt)+) => {
        match $about {
            about => tracing::$level!(
                side = about.side,
                id = about.id,
                db = about.database,
                user = about.user,
                peer = %about.peer,
                $($text)+
            ),
        }
    };
}
pub(crate) use log_about;
