//! Everybody who may hurt the pooler tries to, over live sockets, while a client that behaves asks on: clients in every state,
//! an evil PostgreSQL, floods, and tenants whose every answer is tagged.
//!
//! Each test asserts that the witness is answered right and in time, that memory stays within a bound, that the process lives, and
//! that the log names the offender. `PGWEIR_HOSTILE_SECONDS` makes it long (for each timed test), `PGWEIR_SEED` repeats a run's choices.

mod amplifiers;
mod clients;
#[path = "../common/mod.rs"]
mod common;
mod crosstalk;
mod floods;
mod panics;
mod servers;
mod states;
mod wire;
mod witness;
