//! Everybody who may hurt the pooler tries to, over live sockets, while a client that behaves asks on:
//! clients in every state, an evil PostgreSQL, floods, and tenants whose every answer is tagged.
//!
//! Each test asserts that the witness is answered right and in time, that memory stays within a bound, that
//! the process lives, and who was ended. Whoever is to be ended is named in the log, with a reason and an
//! address, and nobody else is: slow logins, a client with many statements, a stopped backend's client,
//! unauthenticated clients without a descriptor or a place, evil servers and those they refuse, clients
//! astray. Where nobody is to be ended (comers and goers, answers unread, a stopped client, a stopped pooler,
//! cross-talk, words of a server that nobody reads) nobody was but by himself, and no server of the witness.
//! The console's panic is told of by the test itself, without a log.
//!
//! `PGWEIR_HOSTILE_SECONDS` makes it long: clients astray, evil servers and cross-talk go on so long, every
//! other attack is repeated until there are enough answers for a p99, and that is asserted. `PGWEIR_SEED`
//! repeats a run's choices.

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
