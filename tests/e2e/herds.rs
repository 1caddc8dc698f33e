//! Clients that come many at once: every one is served; handshakes and the like are for threads that
//! give way to the workers.

use crate::common::certs::certs;
use crate::common::raw::{Raw, SSL_REQUEST, startup_message};
use crate::common::{Pooler, PoolerSetup, postgres, wait_until};
use pgweir::base::limits;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::Duration;

/// One thread of the pooler, as proc(5) tells it.
#[derive(Debug)]
struct Thread {
    nice: i32,
    /// How long it has had a core, in nanoseconds.
    ran_ns: u64,
    /// How long it has waited for one that it could have used.
    queued_ns: u64,
    /// How often it has been given one.
    turns: u64,
    /// How often it has gone to sleep, and so was woken.
    sleeps: u64,
}

impl Thread {
    /// That of a directory of proc(5), with its name; `None` where it has ended meanwhile.
    fn at(task: &Path) -> Option<(String, Self)> {
        let read = |file: &str| std::fs::read_to_string(task.join(file)).ok();
        let (stat, schedstat, status) = (read("stat")?, read("schedstat")?, read("status")?);
        // The fields behind the name, which may hold anything; the 19th of all is the nice value.
        let nice = stat.rsplit_once(')')?.1.split_whitespace().nth(16)?.parse().ok()?;
        let mut counts = schedstat.split_whitespace().map(|count| count.parse().ok());
        let (ran_ns, queued_ns, turns) = (counts.next()??, counts.next()??, counts.next()??);
        let mut lines = status.lines().filter_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let sleeps = lines.next()?.trim().parse().ok()?;
        Some((read("comm")?.trim().to_owned(), Self { nice, ran_ns, queued_ns, turns, sleeps }))
    }

    /// How long the thread that asks has run or waited for a core.
    fn own_time() -> Duration {
        let (_, own) = Self::at(Path::new("/proc/thread-self")).expect("it runs");
        Duration::from_nanos(own.ran_ns + own.queued_ns)
    }
}

/// The threads whose names begin so, by name and number.
fn threads(pooler: &Pooler, prefix: &str) -> BTreeMap<(String, PathBuf), Thread> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", pooler.pid())).expect("it runs");
    let thread = |task: PathBuf| {
        let (name, thread) = Thread::at(&task)?;
        Some(((name, task), thread))
    };
    let all = tasks.filter_map(|task| thread(task.ok()?.path()));
    all.filter(|((name, _), _)| name.starts_with(prefix)).collect()
}

/// The threads for handshakes, once all of them have begun and bear their names.
fn handshake_threads(pooler: &Pooler) -> BTreeMap<(String, PathBuf), Thread> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    wait_until("they have begun", || threads(pooler, "client-").len() == cores.min(8));
    threads(pooler, "client-")
}

/// A client that has asked to be let in and does not wait for the answer.
fn knock(pooler: &Pooler) -> Raw {
    let mut raw = Raw::tcp(pooler.port);
    raw.startup(&[("user", "app"), ("database", "app")]);
    raw
}

fn are_served(herd: &mut [Raw]) {
    herd.iter_mut().for_each(|client| assert_eq!(client.outcome().status, Some(b'I')));
    herd.iter_mut().for_each(|client| assert_eq!(client.simple("select 1").value(), "1"));
}

#[test]
fn who_needs_no_handshake_logs_in_on_a_worker_and_wakes_no_thread_for_handshakes() {
    let pooler = PoolerSetup::new(postgres()).set("workers", 2).start();
    drop(pooler.client());
    let mut console = pooler.console();
    assert_eq!(console.simple("suspend").commands, ["SUSPEND"]);
    let mut herd: Vec<Raw> = (0..60).map(|_| knock(&pooler)).collect();
    let before = handshake_threads(&pooler);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    assert_eq!(before.len(), cores.min(8), "{before:?}");
    assert_eq!(console.simple("resume").commands, ["RESUME"]);
    are_served(&mut herd);
    for (name, thread) in handshake_threads(&pooler) {
        assert_eq!(thread.turns, before[&name].turns, "{name:?}");
    }
}

#[test]
fn all_login_threads_take_their_part_of_handshakes_and_give_way_to_workers() {
    let pooler = PoolerSetup::new(postgres())
        .set("workers", 1)
        .set("client_tls_sslmode", "allow")
        .set("client_tls_cert_file", certs().server().display())
        .set("client_tls_key_file", certs().server_key().display())
        .start();
    let before = handshake_threads(&pooler);
    let mut herd: Vec<Raw> = (0..4 * before.len())
        .map(|_| {
            drop(pooler.client()); // who needs no handshake takes no thread's turn
            let mut raw = Raw::tls(pooler.port, "localhost", &certs().ca());
            raw.startup(&[("user", "app"), ("database", "app")]);
            raw
        })
        .collect();
    are_served(&mut herd);
    let (after, workers) = (handshake_threads(&pooler), threads(&pooler, "worker-"));
    let nice = workers.values().map(|worker| worker.nice).max().expect("a worker");
    for (name, thread) in &after {
        assert!(thread.turns > before[name].turns, "{name:?} took nobody: {before:?} {after:?}");
        assert!(thread.nice > nice || thread.nice == 19, "{after:?} {workers:?}");
    }
}

#[test]
fn a_herd_that_shakes_hands_waits_for_its_turns_and_loses_nobody() {
    const HERD: usize = 600; // more than `max_login_conn`: some wait for the places of others
    let pooler = PoolerSetup::new(postgres())
        .set("workers", 2)
        .set("client_tls_sslmode", "require")
        .set("client_tls_cert_file", certs().server().display())
        .set("client_tls_key_file", certs().server_key().display())
        .start();
    let gate = Barrier::new(HERD);
    let come = || {
        gate.wait();
        let before = Thread::own_time();
        let mut raw = Raw::tls(pooler.port, "localhost", &certs().ca());
        let sent = raw.try_send(&startup_message(196_608, &[("user", "app"), ("database", "app")]));
        let is_served = sent.is_ok() && raw.outcome().status == Some(b'I');
        // So long at the most it was the pooler that waited for the client, and not the other way round.
        (is_served.then_some(raw), Thread::own_time() - before)
    };
    let herd: Vec<_> = std::thread::scope(|scope| {
        let herd: Vec<_> = (0..HERD).map(|_| scope.spawn(come)).collect();
        herd.into_iter().map(|client| client.join().expect("it comes to an end")).collect()
    });
    // Who was silent for longer may have been cut off for others, and on a machine as
    // busy as this one some may be.
    let slow = herd.iter().filter(|(_, own)| own.as_millis() >= u128::from(limits::LOGIN_GRACE_MS)).count();
    let served = herd.iter().filter(|(client, _)| client.is_some()).count();
    let cut_off = pooler.log().matches("too many logins at a time").count();
    assert!(served + cut_off >= HERD, "{served} served, {cut_off} cut off of {HERD}");
    assert!(cut_off <= slow, "{cut_off} were cut off, {slow} were silent for so long");
}

/// A client that only asks for TLS, hears that there is none, and goes.
fn look_in(pooler: &Pooler) {
    let mut stream = TcpStream::connect(("127.0.0.1", pooler.port)).expect("somebody listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a positive duration");
    stream.write_all(&SSL_REQUEST).expect("it reads");
    let mut answer = [0];
    stream.read_exact(&mut answer).expect("one byte comes");
    assert_eq!(answer, *b"N");
}

#[test]
fn a_client_that_comes_alone_wakes_few_workers() {
    const WORKERS: u64 = 8;
    const CLIENTS: u64 = 300;
    let pooler = PoolerSetup::new(postgres()).set("workers", WORKERS).start();
    drop(pooler.client());
    let sleeps = || threads(&pooler, "worker-").values().map(|worker| worker.sleeps).sum::<u64>();
    assert_eq!(threads(&pooler, "worker-").len() as u64, WORKERS);
    let before = sleeps();
    (0..CLIENTS).for_each(|_| look_in(&pooler));
    let woken = sleeps() - before;
    // It takes its worker a few turns; were every worker woken for it, there would be eight and these.
    assert!(woken < CLIENTS * (WORKERS - 2), "{woken} wakings for {CLIENTS} clients");
}

#[test]
fn of_a_herd_each_worker_gets_clients() {
    const HERD: usize = 100; // fewer than a listening socket lets wait
    const QUERIES: usize = 3;
    let pooler = PoolerSetup::new(postgres()).set("workers", 2).start();
    let mut console = pooler.console();
    assert_eq!(console.simple("suspend").commands, ["SUSPEND"]);
    let mut herd: Vec<Raw> = (0..HERD).map(|_| knock(&pooler)).collect();
    assert_eq!(console.simple("resume").commands, ["RESUME"]);
    are_served(&mut herd);
    let before = threads(&pooler, "worker-");
    assert_eq!(before.len(), 2);
    for client in &mut herd {
        (0..QUERIES).for_each(|_| assert_eq!(client.simple("select 1").value(), "1"));
    }
    // A worker sleeps between one query and the next of its own clients.
    for (name, worker) in threads(&pooler, "worker-") {
        let sleeps = worker.sleeps - before[&name].sleeps;
        assert!(sleeps as usize > HERD * QUERIES / 10, "{name:?}: {sleeps} wakings");
    }
}

#[test]
fn what_a_secret_costs_to_derive_is_not_taken_from_queries_or_from_other_logins() {
    let pooler = PoolerSetup::new(postgres())
        .set("auth_type", "scram-sha-256")
        .set("scram_iterations", 1_000_000)
        .set("max_scram_iterations", 1_000_000)
        .user("slow", "a password")
        .start();
    let spent = |prefix: &str| threads(&pooler, prefix).values().map(|thread| thread.ran_ns).sum::<u64>();
    let all = ["worker-", "client-", "login"];
    let before = all.map(spent);
    let mut client = Raw::tcp(pooler.port);
    client.startup(&[("user", "slow"), ("database", "app")]);
    assert_eq!(client.read().expect("a request").body[..4], 10_u32.to_be_bytes(), "SASL");
    let first = b"SCRAM-SHA-256\0\0\0\0\x10n,,n=,r=abcdefgh";
    client.send(&[&[b'p'][..], &(first.len() as u32 + 4).to_be_bytes(), first].concat());
    assert_eq!(client.read().expect("a challenge").body[..4], 11_u32.to_be_bytes(), "SASLContinue");
    let [workers, handshakes, others] = {
        let after = all.map(spent);
        [0, 1, 2].map(|at| after[at] - before[at])
    };
    assert!(workers + handshakes < others / 4, "{workers} {handshakes} {others}");
}

#[test]
fn a_herd_is_served_although_only_one_may_log_in_at_a_time() {
    let pooler = PoolerSetup::new(postgres()).set("workers", 2).set("max_login_conn", 1).start();
    let mut herd: Vec<Raw> = (0..40).map(|_| knock(&pooler)).collect();
    are_served(&mut herd);
}

#[test]
fn who_is_logging_in_when_the_pooler_ends_is_let_go() {
    let mut pooler = PoolerSetup::new(postgres()).set("auth_type", "plain").start();
    let mut herd: Vec<Raw> = (0..20).map(|_| knock(&pooler)).collect();
    herd.iter_mut().for_each(|client| assert_eq!(client.read().expect("a request").tag, b'R'));
    pooler.signal("QUIT");
    pooler.wait();
    herd.iter_mut().for_each(|client| assert_eq!(client.read(), None));
}
