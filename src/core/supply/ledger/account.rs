//! What the ledger counts of a pool.
//!
//! Counts only: what they allow is decided in `ledger.rs`.

use super::timetable::Timetable;
use crate::base::Micros;
use crate::core::pool::{Claim, PoolShare};
use std::sync::Arc;

/// One pool's counts.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) share: Arc<PoolShare>,
    /// Logins in progress, those of renewals and those that have failed included.
    pub(super) logging_in: u32,
    /// Those that have failed.
    pub(super) failed: u32,
    pub(super) renewing: u32,
    /// Those that replace a server that grows old, also one that had to go first.
    pub(super) renewals_under_way: u32,
    /// The endpoint in whose queue for a login it is.
    pub(super) held_at: Option<Arc<str>>,
    /// Logins in progress for replication clients.
    pub(super) replication_logins: u32,
    /// Servers past their login that may be lent.
    pub(super) live: u32,
    /// Those of replication clients.
    pub(super) replication: u32,
    pub(super) cancels: u32,
    /// The generation of the last login that has ended, where that succeeded.
    pub(super) proven: Option<u32>,
    /// How many logins have failed.
    pub(super) failures: u32,
    pub(super) retry_at: Micros,
    /// The same for replication clients, whose logins say nothing of the others'.
    pub(super) replication_retry_at: Micros,
    /// The last server that ended by itself and had answered nothing: when, and the pause that followed.
    pub(super) unanswered: Option<(Micros, Micros)>,
    /// Servers that were retired at a cap and not replaced yet.
    pub(super) owed: u32,
    /// Servers that were retired, less the places of live servers that have come back since.
    pub(super) retiring: u32,
    /// How long logins take lately.
    pub(super) login_time: Micros,
    /// How long the authorization of the last server is good for that has one.
    pub(super) max_age: Micros,
    /// How many logins in a thousand seconds its endpoint took then.
    pub(super) pace_per_kilosecond: u32,
    /// When its servers are to be replaced, and for how many that was planned.
    pub(super) renewals: Timetable,
    pub(super) planned: u32,
}

impl Account {
    pub(super) fn new(share: Arc<PoolShare>) -> Self {
        Self {
            share,
            logging_in: 0,
            failed: 0,
            renewing: 0,
            renewals_under_way: 0,
            held_at: None,
            replication_logins: 0,
            live: 0,
            replication: 0,
            cancels: 0,
            proven: None,
            failures: 0,
            retry_at: Micros(0),
            replication_retry_at: Micros(0),
            unanswered: None,
            owed: 0,
            retiring: 0,
            login_time: Micros(0),
            max_age: Micros::NEVER,
            pace_per_kilosecond: 0,
            renewals: Timetable::default(),
            planned: 0,
        }
    }

    pub(super) fn servers(&self) -> u32 {
        self.logging_in + self.live + self.replication
    }

    /// Servers that are lent, or will be.
    pub(super) fn pooled(&self) -> u32 {
        self.pooled_logins() + self.live
    }

    /// Logins in progress of servers to be lent, those that have failed included.
    pub(super) fn pooled_logins(&self) -> u32 {
        self.logging_in - self.replication_logins
    }

    /// Of these, those that bring one more server than there are.
    pub(super) fn coming(&self) -> u32 {
        self.pooled_logins() - self.renewals_under_way
    }

    /// Whether the next login is as good as sure to succeed. A server that is dead, or
    /// refuses, meets one at a time.
    pub(super) fn is_proven(&self) -> bool {
        self.live > 0 && self.proven == Some(self.share.generation())
    }
}

/// What is being done to make room where a cap is reached.
#[derive(Debug)]
pub(super) enum MakingRoom {
    /// Workers are asked for an idle server, or one is being closed.
    Evicting,
    /// They had none: who starves longest claims the next one that is released.
    Claimed(Arc<Claim>),
}

impl MakingRoom {
    /// Whether a place is on its way already.
    pub(super) fn is_under_way(&self) -> bool {
        match self {
            Self::Evicting => true,
            Self::Claimed(claim) => !claim.is_open(),
        }
    }

    pub(super) fn claim(&self) -> Option<&Claim> {
        match self {
            Self::Evicting => None,
            Self::Claimed(claim) => Some(claim),
        }
    }
}
