//! A rolling restart: processes that share a port (`so_reuseport`) are replaced one after the other while
//! clients log in all the time, and none of them fails; of one program, or of PgBouncer and pgweir.
//!
//! Who is amid TCP's handshake with a socket that is closed is cut off by the kernel, unless
//! `net.ipv4.tcp_migrate_req` is set: that is done in a network of the test's own.

use crate::cancel::running;
use crate::common::raw::{self, Raw};
use crate::common::skip::{skip, skip_all_the_same};
use crate::common::{Pooler, PoolerSetup, account, free_port, postgres, programs, reaper, wait_until};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

/// One process of the group.
fn setup(id: u16, port: u16) -> PoolerSetup {
    PoolerSetup::new(postgres()).set("peer_id", id).set("pool_mode", "session").sharing(port)
}

/// Makes processes known to each other as 1 and 2, by their Unix sockets.
fn introduce(group: &mut [Pooler; 2]) {
    let address = |pooler: &Pooler| format!("host={} port={}", pooler.directory().display(), pooler.port);
    let [one, two] = group.each_ref().map(address);
    for pooler in group {
        pooler.rewrite(|setup| setup.peer(1, &one).peer(2, &two));
        assert_eq!(pooler.ask_itself("reload").errors, [""; 0]);
    }
}

fn log_in(port: u16) -> Result<Raw, String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut client = Raw::try_tcp(port).map_err(failed)?;
    let startup = raw::startup_message(196_608, &[("user", "app"), ("database", "app")]);
    client.try_send(&startup).map_err(failed)?;
    let outcome = client.outcome();
    if outcome.status == Some(b'I') { Ok(client) } else { Err(format!("{outcome:?}")) }
}

/// Clients that log in, one login after the other, until they are counted.
struct Crowd {
    is_over: Arc<AtomicBool>,
    logins: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Result<(), String>>>,
}

impl Crowd {
    fn gather(port: u16) -> Self {
        let (is_over, logins) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let one = || {
            let (is_over, logins) = (Arc::clone(&is_over), Arc::clone(&logins));
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    log_in(port)?;
                    logins.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        };
        let threads = (0..4).map(|_| one()).collect();
        Self { is_over, logins, threads }
    }

    /// Waits until so many more have logged in.
    fn goes_on(&self) {
        let before = self.logins.load(Ordering::Relaxed);
        wait_until("clients log in", || {
            let is_over = self.threads.iter().any(JoinHandle::is_finished);
            is_over || self.logins.load(Ordering::Relaxed) > before + 100
        });
    }

    /// None of them has failed.
    fn disperse(self) {
        self.is_over.store(true, Ordering::Relaxed);
        let outcomes = self.threads.into_iter().map(|thread| thread.join().expect("no panic"));
        let failed: Vec<_> = outcomes.filter_map(Result::err).collect();
        assert!(failed.is_empty(), "after {} logins: {failed:#?}", self.logins.load(Ordering::Relaxed));
    }
}

/// A query of the client's is cancelled by a request that comes to another process than its own.
fn cancel_at(other: &Pooler, client: &mut Raw, marker: &str) {
    client.send(&raw::query(&format!("select pg_sleep(60) as {marker}")));
    wait_until("the query runs", || running(&format!("as {marker}")));
    let mut messenger = Raw::unix(other.directory(), other.port);
    messenger.send(&raw::cancel_request(&client.key));
    assert_eq!(messenger.read(), None, "closed without an answer");
    assert_eq!(client.outcome().errors, ["ERROR 57014: canceling statement due to user request"]);
}

/// A client of that process and of no other.
fn client_of(pooler: &Pooler) -> Raw {
    let mut client = Raw::unix(pooler.directory(), pooler.port);
    client.startup(&[("user", "app"), ("database", "app")]);
    assert_eq!(client.outcome().status, Some(b'I'));
    client
}

/// Ends the process by the signal, and another one takes its place; meanwhile clients log in. With `cancels`
/// its last client's query is cancelled by a request at the other.
fn replace(group: &mut [Pooler; 2], at: usize, signal: &str, cancels: bool, by: PoolerSetup) {
    let crowd = Crowd::gather(group[at].port);
    crowd.goes_on();
    let mut client = client_of(&group[at]);
    client.simple("begin");
    group[at].signal(signal);
    group[at].wait_for_log(&format!("got SIG{signal}, shutting down"));
    crowd.goes_on();
    if cancels {
        cancel_at(&group[1 - at], &mut client, &format!("of_{}", group[at].pid()));
    }
    client.simple("rollback");
    drop(client);
    assert_eq!(group[at].wait().code(), Some(0));
    crowd.goes_on();
    group[at] = by.start();
    introduce(group);
    crowd.goes_on();
    crowd.disperse();
}

/// Whether the calling test is in a network where connections move on with `tcp_migrate_req`; else it runs
/// again in one.
fn is_in_own_network(test: &str) -> bool {
    const SWITCH: &str = "/proc/sys/net/ipv4/tcp_migrate_req";
    const SETUP: &str = "ip link set lo up && echo 1 > \"$0\" && exec \"$@\"";
    if std::fs::read_to_string(SWITCH).is_ok_and(|text| text.trim() == "1") {
        return true;
    }
    let made = Command::new("unshare").args(["--net", "sh", "-c", SETUP, SWITCH, "true"]).output();
    if !made.is_ok_and(|output| output.status.success()) {
        skip::<()>("a network of its own takes root, unshare, ip and Linux 5.14 or later");
        return false;
    }
    let mut again = Command::new("unshare");
    again.args(["--net", "sh", "-c", SETUP, SWITCH]).arg(std::env::current_exe().expect("we run"));
    programs::run(again.args(["--exact", test, "--nocapture"]));
    false
}

#[test]
fn processes_that_share_a_port_are_replaced_without_a_failed_login() {
    if !is_in_own_network("rolling::processes_that_share_a_port_are_replaced_without_a_failed_login") {
        return;
    }
    let port = free_port();
    let mut group = [setup(1, port).start(), setup(2, port).start()];
    introduce(&mut group);
    for signal in ["INT", "TERM"] {
        for (at, id) in [(0, 1), (1, 2)] {
            replace(&mut group, at, signal, true, setup(id, port));
        }
    }
}

/// PgBouncer, where there is one that knows peers by the same keys (1.21 and later): `PGWEIR_PGBOUNCER`, or
/// PATH. Debian 12's is too old, so `PGWEIR_PGBOUNCER=none`, as in CI, skips the test even where nothing else
/// may be skipped.
fn pgbouncer() -> Option<PathBuf> {
    let named = std::env::var_os("PGWEIR_PGBOUNCER");
    if named.as_deref().is_some_and(|name| name == "none") {
        return skip_all_the_same("PGWEIR_PGBOUNCER=none");
    }
    let program = named.unwrap_or_else(|| "pgbouncer".into());
    let Ok(output) = Command::new(&program).arg("--version").output() else {
        return skip("no PgBouncer: name one by PGWEIR_PGBOUNCER");
    };
    let said = programs::said(&output);
    let version = said.lines().find_map(|line| line.strip_prefix("PgBouncer 1.")).unwrap_or_default();
    let minor: u32 = version.split('.').next().and_then(|minor| minor.parse().ok()).unwrap_or(0);
    if minor < 21 {
        return skip(&format!("PgBouncer 1.21 or later is needed, {} is {said:?}", program.display()));
    }
    let found = programs::run(Command::new("sh").args(["-c", "command -v \"$0\""]).arg(&program));
    let copy = reaper::directory().join("pgbouncer");
    std::fs::copy(found.trim(), &copy).expect("it was run a moment ago");
    account::hand_over(&copy, 0o755);
    Some(copy)
}

#[test]
fn pgbouncer_is_replaced_and_comes_back_without_a_failed_login() {
    if pgbouncer().is_none()
        || !is_in_own_network("rolling::pgbouncer_is_replaced_and_comes_back_without_a_failed_login")
    {
        return;
    }
    let Some(pgbouncer) = pgbouncer() else { return };
    let port = free_port();
    let theirs = |id| setup(id, port).program(Some(pgbouncer.clone()));
    let mut group = [theirs(1).start(), theirs(2).start()];
    introduce(&mut group);
    // A PgBouncer that ends by SIGINT has paused its pools, and cancel requests with them.
    replace(&mut group, 0, "INT", false, setup(1, port));
    cancel_at(&group[0], &mut client_of(&group[1]), "of_pgbouncer");
    cancel_at(&group[1], &mut client_of(&group[0]), "of_pgweir");
    replace(&mut group, 1, "TERM", true, setup(2, port));
    replace(&mut group, 0, "TERM", true, theirs(1));
}
