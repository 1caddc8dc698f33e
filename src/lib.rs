//! pgweir: a multi-tenant PostgreSQL connection pooler that drops into PgBouncer's place.
//!
//! The rooms, bottom to top; imports go down only (`tests/house.rs` holds this):
//! `base`, `wire`, `config`, `auth`, `stats`, `core` are pure: no socket, no clock of their own;
//! `tasks` is where tasks begin; `io` owns sockets and TLS sessions; `worker` turns a driver and a `Core` into a loop; `iam` makes
//! tokens of AWS; `login` is everything that happens once per connection; `console`, `observe` are for operators; `boot` knows all.
//! ARCHITECTURE.md draws the house and the walk of a byte through it.

pub mod auth;
pub mod base;
pub mod boot;
pub mod config;
pub mod console;
pub mod core;
pub mod iam;
pub mod io;
pub mod login;
pub mod observe;
pub mod stats;
pub mod tasks;
pub mod wire;
pub mod worker;
