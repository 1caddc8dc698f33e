//! Clients that come many at once: every one is served, by threads that share the work and give way to the workers.

use crate::common::raw::Raw;
use crate::common::{Pooler, PoolerSetup, postgres};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One thread of the pooler, as proc(5) tells it.
#[derive(Debug)]
struct Thread {
    nice: i32,
    /// How often it has been given a core.
    turns: u64,
}

/// The threads whose names begin so.
fn threads(pooler: &Pooler, prefix: &str) -> BTreeMap<String, Thread> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", pooler.pid())).expect("it runs");
    let thread = |task: PathBuf| {
        let read = |file: &str| std::fs::read_to_string(task.join(file)).ok(); // it may have ended meanwhile
        let (stat, schedstat) = (read("stat")?, read("schedstat")?);
        // the fields behind the name, which may hold anything; the 19th of all is the nice value
        let nice = stat.rsplit_once(')')?.1.split_whitespace().nth(16)?.parse().ok()?;
        let turns = schedstat.split_whitespace().nth(2)?.parse().ok()?;
        Some((read("comm")?.trim().to_owned(), Thread { nice, turns }))
    };
    let all = tasks.filter_map(|task| thread(task.ok()?.path()));
    all.filter(|(name, _)| name.starts_with(prefix)).collect()
}

/// A client that has asked to be let in and does not wait for the answer.
fn knock(pooler: &Pooler) -> Raw {
    let mut raw = Raw::tcp(pooler.port);
    raw.startup(&[("user", "app"), ("database", "app")]);
    raw
}

#[test]
fn all_login_threads_take_their_part_of_a_herd_and_give_way_to_workers() {
    let pooler = PoolerSetup::new(postgres()).start();
    drop(pooler.client());
    let mut console = pooler.console();
    assert_eq!(console.simple("suspend").commands, ["SUSPEND"]);
    let mut herd: Vec<Raw> = (0..60).map(|_| knock(&pooler)).collect();
    let before = threads(&pooler, "client-");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    assert_eq!(before.len(), cores.min(8), "{before:?}");
    assert_eq!(console.simple("resume").commands, ["RESUME"]);
    herd.iter_mut().for_each(|client| assert_eq!(client.outcome().status, Some(b'I')));
    let after = threads(&pooler, "client-");
    let workers = threads(&pooler, "worker-");
    let nice = workers.values().map(|worker| worker.nice).max().expect("a worker");
    for (name, thread) in &after {
        assert!(thread.turns > before[name].turns, "{name} took nobody: {before:?} {after:?}");
        assert!(thread.nice > nice || thread.nice == 19, "{after:?} {workers:?}");
    }
    herd.iter_mut().for_each(|client| assert_eq!(client.simple("select 1").value(), "1"));
}

#[test]
fn a_herd_is_served_although_only_one_may_log_in_at_a_time() {
    let pooler = PoolerSetup::new(postgres()).set("max_login_conn", 1).start();
    let mut herd: Vec<Raw> = (0..40).map(|_| knock(&pooler)).collect();
    herd.iter_mut().for_each(|client| assert_eq!(client.outcome().status, Some(b'I')));
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
