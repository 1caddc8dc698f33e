//! The supply of servers: how many there may be, and when one is opened, retired or replaced.
//! Over all workers, and pure.
//!
//! Events in, actions out: whoever owns both carries out what is decided.

mod launcher;
mod ledger;

pub use launcher::{Action, Demand, Event, Launcher};
pub use ledger::{Bound, Ledger, Opening, Use, Verdict, Want};
pub(crate) use ledger::{Lateness, PACE_PERCENT, REPLACED_BY_PERCENT, Shortfall};

#[cfg(test)]
pub(in crate::core) use ledger::tests;
