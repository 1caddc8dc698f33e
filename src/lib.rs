//! pgweir: a multi-tenant PostgreSQL connection pooler that drops into PgBouncer's place.
//!
//! This library is the program `pgweir`, so that benches, fuzz targets and tests can reach its parts; what is
//! public here is what they need, and no promise to others. ARCHITECTURE.md draws the same house with its
//! walks (a query, a client's login, a login to a server, a reload, a SHOW).
//!
//! # Two planes
//!
//! What happens once for each connection is async code: a client logs in ([`clients`]), a server is logged in
//! to ([`servers`]). What happens for each message runs in a worker's loop: a driver ([`io`]) reads and
//! writes, a [`core::Core`] of plain state machines decides ([`mod@core`]). A finished login is a value that
//! is handed over once ([`worker::Mail`]).
//!
//! # The rooms, bottom to top
//!
//! Imports go down only; `tests/house` holds that, and which outside crates each room may name.
//!
//! | room | what it is |
//! |---|---|
//! | [`base`] | ids, times, addresses, secrets that do not print, every fixed limit |
//! | [`wire`] | PostgreSQL's messages: reading and writing, faults and SQLSTATEs |
//! | [`config`] | PgBouncer's files to typed settings, every error with its line |
//! | [`auth`] | md5, SCRAM, the user list |
//! | [`identity`] | tokens of clients: their verification, and which roles their claims give |
//! | [`stats`] | counters, histograms, the table of metrics |
//! | [`mod@audit`] | records of who did what where, and the thread that writes them |
//! | [`mod@core`] | one worker without I/O: clients, servers, pools, the relay, the ledger of places |
//! | `tasks` | where every task and thread begins |
//! | [`io`] | sockets, TLS records, epoll and io_uring: the only room with `unsafe` |
//! | [`tls`] | what handshakes go by |
//! | [`worker`] | a driver and a `Core` as a loop on a thread of its own |
//! | [`iam`] | AWS credentials, tokens, and what a refusal means |
//! | [`secrets`] | secrets that others keep and change: one memory and one task for each |
//! | [`control`] | what clients and servers share: the policy in force, registry, places, cancel keys |
//! | [`clients`], [`servers`] | the logins; neither imports the other |
//! | [`status`] | one snapshot of everything for SHOW and the metrics |
//! | [`console`], [`observe`] | for operators: the console; the log, the metrics page |
//! | [`boot`] | arguments, signals, start and end of the process |
//!
//! # Invariants above all
//!
//! - A server is lent only when idle, in sync, reset, and of the right database and user
//!   (`core`'s `Server::enter` is the only door between its states).
//! - No cap is exceeded by one: [`core::Ledger`] counts a place from before the connect to after the close.
//! - Whatever a peer can make us hold or compute has a bound in [`base::limits`].
//! - A secret never reaches a log, an error, the console or a panic.

#![warn(unreachable_pub)]

pub mod audit;
pub mod auth;
pub mod base;
pub mod boot;
pub mod clients;
pub mod config;
pub mod console;
pub mod control;
pub mod core;
pub mod iam;
pub mod identity;
pub mod io;
pub mod observe;
pub mod secrets;
pub mod servers;
pub mod stats;
pub mod status;
mod tasks;
pub mod tls;
pub mod wire;
pub mod worker;
