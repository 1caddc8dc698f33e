//! The service manager: what it hands over at the start, and what it is told.
//!
//! Source: sd_notify(3), sd_listen_fds(3); PgBouncer, src/main.c and src/pooler.c (use_systemd).

use listenfd::ListenFd;
use rustix::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Says something to the service manager, if there is one. `state` is one or more `KEY=value` lines.
pub(super) fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let bytes = path.as_encoded_bytes();
    let address = match bytes.split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(&path),
    };
    let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::warn!("could not notify the service manager: {error}");
    }
}

/// RELOADING=1 with the time that systemd wants beside it.
pub(super) fn notify_reloading() {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let us = now.tv_sec.saturating_mul(1_000_000) + now.tv_nsec / 1_000;
    notify(&format!("RELOADING=1\nMONOTONIC_USEC={us}"));
}

/// Whether stderr is the journal's (`JOURNAL_STREAM`, systemd.exec(5)).
pub(super) fn stderr_is_journal() -> bool {
    let Some(named) = std::env::var_os("JOURNAL_STREAM") else { return false };
    let stderr = rustix::fs::fstat(std::io::stderr());
    stderr.is_ok_and(|stat| named.to_str() == Some(&*format!("{}:{}", stat.st_dev, stat.st_ino)))
}

/// The listening sockets that the service manager has opened for us, none where it has not; and how many
/// descriptors it has passed beside them that are something else.
pub(super) fn listening_sockets() -> (Vec<OwnedFd>, usize) {
    let mut passed = ListenFd::from_env();
    let count = passed.len();
    let sockets: Vec<_> = (0..count)
        .filter_map(|at| match passed.take_tcp_listener(at) {
            Ok(listener) => listener.map(OwnedFd::from),
            Err(_) => passed.take_unix_listener(at).ok().flatten().map(OwnedFd::from), // not TCP
        })
        .collect();
    let others = count - sockets.len();
    (sockets, others)
}
