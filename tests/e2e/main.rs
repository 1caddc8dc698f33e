//! The whole program against a real PostgreSQL: what an application, an operator and an attacker see of it.
//!
//! One binary, so that all share one PostgreSQL; each test has a pooler of its own.
//! The load test with hundreds of clients is `tests/isolation.rs`.

#[path = "../common/mod.rs"]
mod common;

mod auth;
mod bad_input;
mod cancel;
mod console;
mod drivers;
mod floor;
mod hba;
mod herds;
mod ldap;
mod limits;
mod lines;
mod memory;
mod pam;
mod peers;
mod pgbench;
mod pooling;
mod postgres18;
mod reload;
mod replication;
mod rolling;
mod service;
mod signals;
mod statements;
mod timeouts;
mod tls;
mod unauthenticated;
mod vouched;
mod watch;
