//! Replays every fuzz target's corpus (`fuzz/corpus/<target>/`) through the same body that the fuzzer runs,
//! so that a finding once made stays found without a fuzzer.

use std::path::Path;

#[path = "../fuzz/bodies/cancel.rs"]
mod cancel;
#[path = "../fuzz/bodies/console.rs"]
mod console;
#[path = "../fuzz/bodies/context.rs"]
mod context;
#[path = "../fuzz/bodies/frames.rs"]
mod frames;
#[path = "../fuzz/bodies/hba.rs"]
mod hba;
#[path = "../fuzz/bodies/iam.rs"]
mod iam;
#[path = "../fuzz/bodies/identity.rs"]
mod identity;
#[path = "../fuzz/bodies/ini.rs"]
mod ini;
#[path = "../fuzz/bodies/ldap.rs"]
mod ldap;
#[path = "../fuzz/bodies/presigned.rs"]
mod presigned;
#[path = "../fuzz/bodies/scram.rs"]
mod scram;
#[path = "../fuzz/bodies/startup.rs"]
mod startup;
#[path = "../fuzz/bodies/userlist.rs"]
mod userlist;

/// Runs `body` on each file of one target's corpus.
fn replay(target: &str, body: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files = 0;
    for entry in std::fs::read_dir(&corpus).expect("the corpus can be listed") {
        let path = entry.expect("the corpus can be listed").path();
        let bytes = std::fs::read(&path).expect("the corpus can be read");
        if let Err(panic) = std::panic::catch_unwind(|| body(&bytes)) {
            panic!("{}: {:?}", path.display(), panic.downcast_ref::<String>());
        }
        files += 1;
    }
    assert!(files > 0, "{} is empty", corpus.display());
}

#[test]
fn ini_corpus() {
    replay("ini", ini::run);
}

#[test]
fn frames_corpus() {
    replay("frames", frames::run);
}

#[test]
fn startup_corpus() {
    replay("startup", startup::run);
}

#[test]
fn userlist_corpus() {
    replay("userlist", userlist::run);
}

#[test]
fn scram_corpus() {
    replay("scram", scram::run);
}

#[test]
fn console_corpus() {
    replay("console", console::run);
}

#[test]
fn hba_corpus() {
    replay("hba", hba::run);
}

#[test]
fn iam_corpus() {
    replay("iam", iam::run);
}

#[test]
fn identity_corpus() {
    replay("identity", identity::run);
}

#[test]
fn ldap_corpus() {
    replay("ldap", ldap::run);
}

#[test]
fn cancel_corpus() {
    replay("cancel", cancel::run);
}

#[test]
fn context_corpus() {
    replay("context", context::run);
}

#[test]
fn presigned_corpus() {
    replay("presigned", presigned::run);
}
