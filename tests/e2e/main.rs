//! The whole program against a real PostgreSQL: what an application, an operator and an attacker see of it.
//!
//! One binary, so that all share one PostgreSQL; each test has a pooler of its own.
//! The load test with hundreds of clients is `tests/isolation.rs`.
//!
//! By what there is to see of PgBouncer: the process `signals`, `service`; files `ini`, `reload`; settings
//! `timeouts`, `limits`, `tls` (and `tests/settings.rs`, each of them); entries `entries`; users and rules
//! `auth`, `hba`, `vouched`, `ldap`, `pam`, `identities`; the console `console`; the protocol `bad_input`,
//! `postgres18`, `replication`; pooling `pooling`; prepared statements `statements`; cancel requests
//! `cancel`, `peers`; what clients are told `errors`; statistics `statistics`; the log `lines`, `watch`.
//! Ours: secrets that others keep `secrets`, `secrets_manager`, `client_secrets`,
//! `client_rotations`.

#[path = "../common/mod.rs"]
mod common;

#[path = "../common/vault.rs"]
mod vault;

mod auth;
mod bad_input;
mod callers;
mod cancel;
mod client_rotations;
mod client_secrets;
mod console;
mod context;
mod drivers;
mod entries;
mod errors;
mod floor;
mod hba;
mod herds;
mod identities;
mod ini;
mod ldap;
mod limits;
mod lines;
mod memory;
mod moto;
mod names;
mod pam;
mod peers;
mod pgbench;
mod pooling;
mod postgres18;
mod query_limits;
mod reload;
mod replication;
mod rolling;
mod secrets;
mod secrets_manager;
mod service;
mod signals;
mod statements;
mod statistics;
mod timeouts;
mod tls;
mod unauthenticated;
mod vouched;
mod watch;
