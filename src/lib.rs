//! pgweir: a multi-tenant PostgreSQL connection pooler that drops into PgBouncer's place.
//!
//! The rooms, bottom to top; imports go down only (`tests/house.rs` holds this): `base`, `wire`, `config`,
//! `auth`, `stats`, `core` are pure: no socket, no clock of their own; `tasks` is where tasks begin; `io`
//! owns sockets and TLS sessions, `tls` what they go by; `worker` turns a driver and a `Core` into a loop;
//! `iam` makes tokens of AWS; `clients` and `servers` are what happens once per connection, `control` what
//! they share; `status`, `console`, `observe` are for operators; `boot` knows all. ARCHITECTURE.md draws the
//! house and the walk of a byte through it.

#![warn(unreachable_pub)]

pub mod auth;
pub mod base;
pub mod boot;
pub mod clients;
pub mod config;
pub mod console;
pub mod control;
pub mod core;
pub mod iam;
pub mod io;
pub mod observe;
pub mod servers;
pub mod stats;
pub mod status;
mod tasks;
pub mod tls;
pub mod wire;
pub mod worker;
