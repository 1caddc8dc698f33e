//! The bare relays that `loadtest/floor.py` measures poolers against (`loadtest/relay`): whoever is
//! measured must do the work.

use crate::common::raw::Raw;
use crate::common::{account, free_port, postgres, programs, reaper, skip, wait_until};
use pgweir::io::Burst;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;

const CLIENTS: usize = 8;
const SERVERS: usize = 2;
const TRANSACTIONS: usize = 1_000;

/// More than the sockets between take at once.
const LARGE_BYTES: usize = 8 * 1024 * 1024;

struct Relay {
    child: Child,
    port: u16,
}

impl Relay {
    fn start(kind: &str, database: &str) -> Self {
        let port = free_port();
        let mut command = account::command(program());
        command.arg(kind).args(["--listen", &port.to_string(), "--postgres", &postgres().port.to_string()]);
        command.args(["--user", "app", "--database", database, "--servers", &SERVERS.to_string()]);
        let child = command.stdin(Stdio::null()).spawn().expect("it is a program");
        reaper::guard(child.id(), "TERM");
        wait_until("the relay listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { child, port }
    }
}

/// The relay, copied to where its account can reach it.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // target/debug/deps/e2e-… -> target/relay/debug/relay
        let own = std::env::current_exe().expect("we run");
        let built = own.ancestors().nth(3).expect("target/PROFILE/deps/NAME").join("relay/debug/relay");
        assert!(built.exists(), "{} is missing: tests/run.sh builds it", built.display());
        let copy = reaper::directory().join("relay");
        // Not by us: a child of another test would hold it open for writing, and a program that is
        // being written does not start.
        programs::run(Command::new("cp").args([&built, &copy]));
        account::hand_over(&copy, 0o755);
        copy
    })
}

impl Drop for Relay {
    fn drop(&mut self) {
        let ended = self.child.try_wait().expect("is our child");
        if ended.is_none() {
            self.child.kill().expect("is our child");
            self.child.wait().expect("is our child");
        }
        reaper::release(self.child.id());
        assert!(thread::panicking() || ended.is_none(), "the relay has ended by itself: {ended:?}");
    }
}

/// Transactions of one client, each with an answer that is no other's.
fn work(port: u16, client: usize, database: &str) {
    let mut raw = Raw::log_in(port, "app", database);
    for number in 0..TRANSACTIONS / CLIENTS {
        let tag = format!("client {client}, transaction {number}");
        let select = format!("select '{tag}'");
        if number % 5 == 0 {
            assert_eq!(raw.simple("begin").status, Some(b'T'));
            let server = raw.simple("select pg_backend_pid()").value();
            assert_eq!(raw.simple(&select).value(), tag);
            assert_eq!(raw.simple("select pg_backend_pid()").value(), server, "{tag}: one server");
            assert_eq!(raw.simple("commit").status, Some(b'I'));
        } else {
            let outcome = raw.simple(&select);
            assert_eq!((outcome.value(), outcome.status), (tag, Some(b'I')));
        }
    }
    if client == 0 {
        let large = raw.simple(&format!("select repeat('x', {LARGE_BYTES})")).value();
        assert!(large.len() == LARGE_BYTES && large.bytes().all(|byte| byte == b'x'));
        // A request of many reads, and the next one behind it.
        assert_eq!(raw.simple(&format!("select length('{large}')")).value(), LARGE_BYTES.to_string());
        assert_eq!(raw.simple("select 'last'").value(), "last");
    }
}

fn passes_transactions(kind: &str) {
    let database = format!("floor_{}", kind.replace('-', "_"));
    postgres().psql("postgres", &format!("create database {database}"));
    let relay = Relay::start(kind, &database);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (database, port) = (&database, relay.port);
            scope.spawn(move || work(port, client, database));
        }
    });
    assert_eq!(postgres().sessions(&database), SERVERS);
    // Those who come when others have left are served, too.
    assert_eq!(Raw::log_in(relay.port, "app", &database).simple("select 'more'").value(), "more");
}

/// The same for a relay that needs a ring.
fn passes_transactions_by_ring(kind: &str) {
    match Burst::new() {
        Ok(_) => passes_transactions(kind),
        Err(error) => skip::skip(&format!("no io_uring here: {error}")).unwrap_or_default(),
    }
}

#[test]
fn epoll_passes_transactions() {
    passes_transactions("epoll");
}

#[test]
fn epoll_with_bursts_passes_transactions() {
    passes_transactions_by_ring("epoll-burst");
}

#[test]
fn io_uring_passes_transactions() {
    passes_transactions_by_ring("io-uring");
}

#[test]
fn tokio_uring_passes_transactions() {
    passes_transactions_by_ring("tokio-uring");
}
