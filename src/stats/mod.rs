//! Counting: plain integers and histograms that one worker owns, and what merges them when someone looks.
//!
//! Never takes a lock, never knows a clock; never counts per query more than a few additions.

mod counters;
mod histogram;

pub use counters::PoolCounters;
pub use histogram::Histogram;
