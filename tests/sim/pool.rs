//! The simulated login plane's view of one pool: how many servers there are, and whether one more may be opened.

use super::plan::PoolPlan;
use pgweir::base::PoolId;
use pgweir::core::{DatabaseShare, PoolShare};
use std::sync::Arc;

/// What is to be done.
pub enum Verdict {
    /// A place was taken: log in.
    Launch,
    /// Ask again at this time.
    At(u64),
    No,
}

pub struct SimPool {
    pub share: Arc<PoolShare>,
    /// Clients that were handed to a worker.
    pub logins: u64,
    live: u32,
    is_logging_in: bool,
    retry_at: u64,
}

impl SimPool {
    pub fn new(at: usize, database: Arc<DatabaseShare>, plan: &PoolPlan, workers: usize) -> Self {
        let rules = Arc::new(plan.rules.clone());
        let share = PoolShare::new(PoolId(at as u32), database, plan.user.as_str().into(), rules, workers);
        Self { share: Arc::new(share), logins: 0, live: 0, is_logging_in: false, retry_at: 0 }
    }

    /// Servers that hold a place.
    pub fn places(&self) -> u32 {
        self.live + u32::from(self.is_logging_in)
    }

    pub fn consider(&mut self, now: u64) -> Verdict {
        if self.is_logging_in || self.share.database.is_paused() || self.share.oldest_waiter().is_none() {
            return Verdict::No;
        }
        if self.live >= self.share.rules().pool_size {
            self.share.set_full(true);
            return Verdict::No;
        }
        if now < self.retry_at {
            return Verdict::At(self.retry_at);
        }
        self.share.set_full(false);
        self.is_logging_in = true;
        Verdict::Launch
    }

    pub fn logged_in(&mut self) {
        self.is_logging_in = false;
        self.live += 1;
        self.share.set_live_count(self.live);
        self.share.set_failing(None);
    }

    /// True if the pool has no server at all.
    pub fn login_failed(&mut self, retry_at: u64) -> bool {
        self.is_logging_in = false;
        self.retry_at = retry_at;
        self.share.set_failing(Some("no luck".to_owned()));
        self.live == 0
    }

    pub fn returned(&mut self) {
        self.live -= 1;
        self.share.set_live_count(self.live);
        self.share.set_full(false);
    }
}
