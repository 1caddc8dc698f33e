//! A command of the console that panics, by a stream that does as it is written to: it costs that client, and
//! no other. (What a panic costs elsewhere is tried in the crate, beside what panics:
//! `clients/client/tests/panics.rs`, `servers/tests/panics.rs`, `observe/`.)

use crate::common::raw::query;
use pgweir::base::Address;
use pgweir::clients::{Clients, ConsoleLogin, ConsoleStream, Rights};
use pgweir::config::Snapshot;
use pgweir::console::{Console, serve_all};
use pgweir::control::{Plane, Policy, WorkerSet};
use pgweir::core::ClientIdentity;
use pgweir::servers::Servers;
use pgweir::status::Status;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::mpsc;

/// Panics when the description of rows is written, where it is set.
struct Trap(DuplexStream, bool);

impl ConsoleStream for Trap {
    fn has_hung_up(&self) -> bool {
        false
    }
}

impl AsyncRead for Trap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, out)
    }
}

impl AsyncWrite for Trap {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        assert!(!self.1 || bytes.first() != Some(&b'T'), "the trap has sprung");
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Clients of a process without workers, the console's visitors, and what it shows.
fn clients() -> (Arc<Clients>, mpsc::UnboundedReceiver<ConsoleLogin>, Arc<Status>) {
    let snapshot = Snapshot::load_with("x.ini", None, &|_| Ok("[databases]\n[pgbouncer]\n".into()));
    let snapshot = snapshot.unwrap_or_else(|_| panic!("it is sound"));
    let (plane, _launcher) = Plane::new(Arc::new(Policy::without_tls(snapshot)), WorkerSet::none());
    let servers = Servers::new(Arc::clone(&plane));
    let (clients, visits) = Clients::new(plane);
    let status = Status::new(Arc::clone(&clients), servers);
    (clients, visits, status)
}

/// A visitor whose far end is returned, with what its visit holds.
fn visit(clients: &Clients, is_trapped: bool) -> (DuplexStream, Arc<()>) {
    let (near, far) = tokio::io::duplex(16 << 10);
    let (held, here) = (Arc::new(()), Address::Unix { port: 0, pid: 0, uid: 0 });
    let identity = ClientIdentity {
        socket_id: clients.plane.next_socket_id(),
        database: "pgbouncer".into(),
        user: "admin".into(),
        proof: pgweir::base::Proof::by("trust"),
        remote: here.clone(),
        local: here,
        tls: String::new(),
        connected_at_epoch_s: 0,
        replication: pgweir::wire::startup::Replication::No,
        internal: false,
    };
    let visit = ConsoleLogin {
        stream: Box::new(Trap(near, is_trapped)),
        identity: Arc::new(identity),
        rights: Rights::Admin,
        guard: Box::new(Arc::clone(&held)),
    };
    assert!(clients.console.send(visit).is_ok(), "the console is open");
    (far, held)
}

#[tokio::test]
async fn a_command_of_the_console_that_panics_ends_its_client_alone() {
    let (clients, visits, status) = clients();
    let (console, _orders) = Console::new(Arc::clone(&status));
    tokio::spawn(serve_all(console, visits));
    let (mut unlucky, held) = visit(&clients, true);
    let (mut other, _) = visit(&clients, false);
    unlucky.write_all(&query("show version")).await.expect("it is read");
    let mut got = Vec::new();
    unlucky.read_to_end(&mut got).await.expect("it ends");
    assert!(got.ends_with(b"Z\0\0\0\x05I"), "its welcome, and nothing behind it");
    while Arc::strong_count(&held) > 1 || status.plane.console_clients.count() != 1 {
        tokio::task::yield_now().await;
    }
    other.write_all(&query("show version")).await.expect("it is read");
    let mut got = Vec::new();
    while !got.windows(7).any(|part| part == b"pgweir ") {
        assert!(other.read_buf(&mut got).await.expect("it is served") > 0, "{got:?}");
    }
}
