//! The wall clock, by which AWS dates tokens and credentials; tests hand in one that they move.
//!
//! Spans that do not leave this process (ages of connections, budgets, back-off) are measured on the
//! monotonic clock instead and come in as [`crate::base::Micros`].

use aws_smithy_async::time::TimeSource;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// What tells the time of day.
pub trait WallClock: fmt::Debug + Send + Sync + 'static {
    /// Now.
    fn now(&self) -> SystemTime;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl WallClock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A [`WallClock`] for the AWS libraries.
#[derive(Clone, Debug)]
pub(super) struct Shared(pub Arc<dyn WallClock>);

impl TimeSource for Shared {
    fn now(&self) -> SystemTime {
        self.0.now()
    }
}

/// A clock that stands still at the beginning of time: to whoever reads it, nothing has ever expired.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing;

impl TimeSource for Standing {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH
    }
}
