//! What is in the pooler's memory (passwords, keys) stays there: no core, no look at it by
//! programs of the same user.

use crate::common::{Pooler, PoolerSetup, account, postgres, programs};
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
