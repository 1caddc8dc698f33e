//! What is in the pooler's memory (passwords, keys) stays there: no core, no look at it by
//! programs of the same user. And no more of them stays there than is of use.

use crate::common::memory::{places, process_memory};
use crate::common::raw::{Raw, frame, startup_message};
use crate::common::skip::skip;
use crate::common::{Pooler, PoolerSetup, account, postgres, programs, wait_until};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;

fn pooler(allow_core_dump: u8) -> Pooler {
    PoolerSetup::new(postgres()).set("allow_core_dump", allow_core_dump).start()
}

/// Whether a program of the same user may look at what is the process's own.
fn is_open(pooler: &Pooler) -> bool {
    let mut look = account::command("cat");
    let output = look.arg(format!("/proc/{}/environ", pooler.pid())).output().expect("cat runs");
    let said = programs::said(&output);
    assert!(output.status.success() || said.contains("Permission denied"), "{said}");
    output.status.success()
}

/// Whether it leaves a core when it crashes, where nothing but itself keeps it from that.
fn leaves_core(mut pooler: Pooler) -> bool {
    let mut prlimit = account::command("prlimit");
    programs::run(prlimit.args(["--core=unlimited:", "--pid", &pooler.pid().to_string()]));
    pooler.signal("ABRT");
    let status = pooler.wait();
    assert_eq!(status.signal(), Some(6), "{status}");
    status.core_dumped()
}

#[test]
fn nobody_looks_into_the_memory_and_a_crash_leaves_no_core() {
    let usual = pooler(0);
    assert!(!is_open(&usual));
    assert!(!leaves_core(usual));
}

#[test]
fn one_who_hunts_a_fault_may_allow_both() {
    let allowed = pooler(1);
    assert!(is_open(&allowed));
    // Whether there is a core now is for the machine's own settings to say.
    println!("a core was left: {}", leaves_core(allowed));
}

/// A client that has sent `password` in clear text.
fn sent(pooler: &Pooler, user: &str, password: &str) -> Raw {
    let mut raw = Raw::tcp(pooler.port);
    raw.send(&startup_message(0x0003_0000, &[("user", user), ("database", "app")]));
    assert_eq!(raw.read().expect("an answer").body, [0, 0, 0, 3]);
    raw.send(&frame(b'p', &[password.as_bytes(), b"\0"].concat()));
    raw
}

#[test]
fn a_password_is_wiped_wherever_it_came_in() {
    let setup = PoolerSetup::new(postgres()).set("auth_type", "plain").set("allow_core_dump", 1);
    let pooler = setup.user("plain", "listed-password").start();
    for length in [20, 1_000, 3_000, 20_000, 65_000] {
        let password = format!("{}hUsH-{length}-hUsH", "p".repeat(length));
        assert!(sent(&pooler, "plain", &password).last_words().contains("password authentication failed"));
    }
    let Some(memory) = process_memory(pooler.pid()) else {
        return skip("the memory of another process cannot be read here").unwrap_or(());
    };
    let has = |word: &str| places(&memory, word).next().is_some();
    assert!(has("listed-password"), "it is the pooler's memory that was read");
    assert!(!has("-hUsH"), "a part of a password is left");
}

#[test]
fn who_waits_for_a_directory_makes_us_hold_his_password_once() {
    const CLIENTS: usize = 300;
    let directory = TcpListener::bind("127.0.0.1:0").expect("a port is free"); // and says nothing
    let port = directory.local_addr().expect("it is bound").port();
    let options = format!("ldapserver=127.0.0.1 ldapport={port} ldapprefix=uid=");
    let pooler =
        PoolerSetup::new(postgres()).set("auth_type", "ldap").set("auth_ldap_options", options).start();
    let before_kib = pooler.resident_kib();
    let password = "p".repeat(65_530);
    let _clients: Vec<_> = (0..CLIENTS).map(|_| sent(&pooler, "plain", &password)).collect();
    pooler.wait_for_log("WARNING LDAP: the queue is full");
    wait_until("all passwords are there", || {
        let memory_kib = pooler.resident_kib().saturating_sub(before_kib);
        memory_kib >= (CLIENTS * password.len()) as u64 / 1_024
    });
    let each_kib = pooler.resident_kib().saturating_sub(before_kib) / CLIENTS as u64;
    assert!(each_kib < 100, "each costs {each_kib} KiB");
}
