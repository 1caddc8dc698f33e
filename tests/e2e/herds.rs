//! Clients that come many at once: every one is served; handshakes and the like are for threads that give way to the workers.

use crate::common::certs::certs;
use crate::common::raw::{Raw, startup_message};
use crate::common::{Pooler, PoolerSetup, postgres};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Barrier;

/// One thread of the pooler, as proc(5) tells it.
#[derive(Debug)]
struct Thread {
    nice: i32,
    /// How long it has had a core, in nanoseconds.
    ran_ns: u64,
    /// How often it has been given one.
    turns: u64,
}

/// The threads whose names begin so, by name and number.
fn threads(pooler: &Pooler, prefix: &str) -> BTreeMap<(String, PathBuf), Thread> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", pooler.pid())).expect("it runs");
    let thread = |task: PathBuf| {
        let read = |file: &str| std::fs::read_to_string(task.join(file)).ok(); // it may have ended meanwhile
        let (stat, schedstat) = (read("stat")?, read("schedstat")?);
        // the fields behind the name, which may hold anything; the 19th of all is the nice value
        let nice = stat.rsplit_once(')')?.1.split_whitespace().nth(16)?.parse().ok()?;
        let mut counts = schedstat.split_whitespace().map(|count| count.parse().ok());
        let (ran_ns, turns) = (counts.next()??, counts.nth(1)??);
        Some(((read("comm")?.trim().to_owned(), task), Thread { nice, ran_ns, turns }))
    };
    let all = tasks.filter_map(|task| thread(task.ok()?.path()));
    all.filter(|((name, _), _)| name.starts_with(prefix)).collect()
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
fn who_needs_no_handshake_logs_in_on_a_worker_and_wakes_no_other_thread() {
    let pooler = PoolerSetup::new(postgres()).set("workers", 2).start();
    drop(pooler.client());
    let mut console = pooler.console();
    assert_eq!(console.simple("suspend").commands, ["SUSPEND"]);
    let mut herd: Vec<Raw> = (0..60).map(|_| knock(&pooler)).collect();
    let before = threads(&pooler, "client-");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    assert_eq!(before.len(), cores.min(8), "{before:?}");
    assert_eq!(console.simple("resume").commands, ["RESUME"]);
    are_served(&mut herd);
    for (name, thread) in threads(&pooler, "client-") {
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
    let before = threads(&pooler, "client-");
    let mut herd: Vec<Raw> = (0..4 * before.len())
        .map(|_| {
            drop(pooler.client()); // who needs no handshake takes no thread's turn
            let mut raw = Raw::tls(pooler.port, "localhost", &certs().ca());
            raw.startup(&[("user", "app"), ("database", "app")]);
            raw
        })
        .collect();
    are_served(&mut herd);
    let (after, workers) = (threads(&pooler, "client-"), threads(&pooler, "worker-"));
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
        let mut raw = Raw::tls(pooler.port, "localhost", &certs().ca());
        raw.try_send(&startup_message(196_608, &[("user", "app"), ("database", "app")])).ok()?;
        (raw.outcome().status == Some(b'I')).then_some(raw)
    };
    let served = std::thread::scope(|scope| {
        let herd: Vec<_> = (0..HERD).map(|_| scope.spawn(come)).collect();
        herd.into_iter().filter_map(|client| client.join().ok()?).count()
    });
    assert_eq!(served, HERD);
    assert!(!pooler.log().contains("others wait to log in"), "nobody was silent");
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
