//! Files -> one immutable [`Snapshot`], validated whole.
//!
//! Pure but for reading the files named to it: knows no socket, no clock, nothing of what runs. A setting is one row of
//! one table (`settings.rs`); whatever has several readers (SHOW CONFIG, SET, the reference page, reload) walks that table.
//! Invariant: a `Snapshot` that exists is valid; a load that fails returns every error with file and line and changes nothing.

mod rules;

pub use rules::{ClientRules, PoolMode, PoolRules};
