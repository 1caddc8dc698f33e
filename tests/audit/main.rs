//! The audit log before a real PostgreSQL: what it tells, that it tells all, that it joins with PostgreSQL's
//! own log, and what becomes of clients where it cannot be written.
//!
//! Each line that any test here looks at is held to docs/audit.schema.json, by
//! `tests/drivers/audit_lines.py`. The queries of docs/audit.md run as they stand there.

mod changes;
#[path = "../common/mod.rs"]
mod common;
mod context;
mod emf;
mod events;
mod join;
mod lines;
mod outputs;
