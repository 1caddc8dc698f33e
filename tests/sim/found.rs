//! Where the simulation once found a fault, by number: more worlds for each test, and a record
//! of what worlds have shown.
//!
//! It does not keep a fault mended: a number is a world for as long as nothing else is drawn from its dice,
//! and has been another one ever since. What keeps it mended stands in `cases.rs` and `drives.rs`. The commit
//! beside each has the world as it was: check it out and replay it with `PGWEIR_SIM_SEED`.

use super::{WITH_FAULTS, run};

/// The seed, the commit at which it failed (`^`: at the one before it), and of what. None is
/// among those that `worlds_with_faults_keep_every_promise` runs anyway.
const FOUND: &[(u64, &str, &str)] = &[
    (13611, "87844a2^", "a session that ended within its client's bytes ended the process"),
    (15985, "e145c5e^", "no cancel of a full pool could go"),
    (20576, "8d916bb^", "the end of a message was kept back as its client was refused"),
    (36663, "83a0d8e^", "more than a buffer was kept of a client that waited"),
    (58291, "9517c92^", "work began on an old server because a link had begun before"),
    (100_897, "55890d3^", "a server handed over while its host moved"),
    (178_385, "d2afac9^", "our side was shut before the goodbye was written"),
];

#[test]
fn worlds_of_numbers_that_once_failed_keep_every_promise() {
    for (seed, commit, what) in FOUND {
        if let Err(report) = run(&WITH_FAULTS, *seed) {
            panic!("{report}\nanother world of that number failed at {commit}: {what}");
        }
    }
}
