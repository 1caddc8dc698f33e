//! Worlds in which the simulation once found a fault, by number; run with every test, whatever `PGWEIR_SIM_SEEDS` says.
//!
//! A number is a world for as long as nothing else is drawn from its dice: after a change to what worlds are made of it is
//! another world like it. The commit beside each has the world as it was: check it out and replay it with `PGWEIR_SIM_SEED`.

use super::run;

/// The seed, the commit at which it failed (`^`: at the one before it), and of what.
const FOUND: &[(u64, &str, &str)] = &[
    (169, "08186b6", "bytes lent from an input whose server has moved"),
    (340, "08186b6", "bytes lent from an input whose server has moved"),
    (535, "08186b6", "bytes lent from an input whose server has moved"),
    (590, "08186b6", "a server moved with something unsent"),
    (676, "08186b6", "a server moved with something unsent"),
    (1085, "08186b6", "a server moved with something unsent"),
    (1154, "08186b6", "a server checked in unclean: a cancel, and a notification meanwhile"),
    (2081, "08186b6", "a server checked in unclean: a cancel, and a notification meanwhile"),
    (2327, "23e0768^", "a cancel that found only a Flush waiting was answered"),
    (13611, "87844a2^", "a session that ended within its client's bytes ended the process"),
    (15985, "e145c5e^", "no cancel of a full pool could go"),
    (20576, "8d916bb^", "the end of a message was kept back as its client was refused"),
    (36663, "83a0d8e^", "more than a buffer was kept of a client that waited"),
    (58291, "9517c92^", "work began on an old server because a link had begun before"),
    (100_897, "55890d3^", "a server handed over while its host moved"),
    (178_385, "d2afac9^", "our side was shut before the goodbye was written"),
];

#[test]
fn what_was_found_stays_mended() {
    for (seed, commit, what) in FOUND {
        if let Err(report) = run(*seed, true) {
            panic!("{report}\nonce found at {commit}: {what}");
        }
    }
}
