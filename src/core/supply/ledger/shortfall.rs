//! Whether servers can be replaced as fast as they age, by how long logins take lately; and if not,
//! what bound is in the way.
//!
//! Of a pool by itself: how many of its servers may be missing or logged in to at a time. Of its endpoint,
//! whose pools are added up once in a while: how many logins go at a time there, and how many in a second.
//! Never decides anything: operators read it.

use super::renewals::{PACE_PERCENT, REPLACED_BY_PERCENT, percent};
use super::{Account, Ledger};
use crate::base::{Micros, PoolId, limits};
use std::collections::HashMap;
use std::sync::Arc;

/// Why a pool's servers may reach their hard age before they are replaced: what that
/// takes, and what there is, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortfall {
    /// Of what.
    pub of: Bound,
    /// How many are needed.
    pub needed: u64,
    /// How many there may be.
    pub most: u64,
}

/// A bound on renewals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// A fifth of the pool at most is missing at a time, where it has no room for more
    /// servers than its clients use.
    Missing,
    /// `server_login_concurrency`, for the pool's own logins at a time.
    Logins,
    /// `server_login_concurrency`, for those of all pools at the endpoint.
    LoginsThere,
    /// Logins a second that the endpoint's pace has for renewals.
    Pace,
}

/// What the pools of an endpoint want of it together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    /// Logins under way at any time, in thousandths.
    under_way: u64,
    /// Logins in a thousand seconds.
    per_kilosecond: u64,
    /// Logins in a thousand seconds that it takes; of several, the least.
    pace_per_kilosecond: u32,
}

impl Account {
    /// How often a server is replaced, in thousandths of what is done all the time: by its login,
    /// or in a thousand seconds.
    fn of_all(&self, micros: u64) -> u64 {
        let every = percent(self.max_age, REPLACED_BY_PERCENT).0.max(1);
        u64::from(self.pooled()).saturating_mul(micros) / every
    }

    /// How many of its logins are under way at any time while its servers are replaced as
    /// they age, in thousandths.
    fn under_way_thousandths(&self) -> u64 {
        self.of_all(self.login_time.0.saturating_mul(1_000))
    }
}

impl Ledger {
    /// Adds up for each endpoint what its pools want of it. Every pool is looked at: not for each
    /// of them, but once for all.
    pub fn add_up_endpoints(&mut self) {
        let mut asked: HashMap<Arc<str>, Asked> = HashMap::new();
        for account in self.accounts.values().filter(|account| account.planned > 0) {
            let there = asked.entry(Arc::clone(&account.share.rules().endpoint)).or_default();
            there.under_way += account.under_way_thousandths();
            there.per_kilosecond += account.of_all(1_000_000_000);
            let paces = [there.pace_per_kilosecond, account.pace_per_kilosecond];
            there.pace_per_kilosecond = paces.into_iter().filter(|pace| *pace > 0).min().unwrap_or(0);
        }
        self.asked = asked;
    }

    /// Whether servers of a pool can be replaced as fast as they age; `None` where they do not
    /// age, as far as is known.
    pub fn keeps_up(&self, pool: PoolId) -> Option<bool> {
        let is_aging = self.accounts.get(&pool).is_some_and(|account| account.planned > 0);
        is_aging.then(|| self.shortfall(pool).is_none())
    }

    /// How many pools' servers cannot be replaced as fast as they age.
    pub fn late_pools(&self) -> usize {
        self.accounts.keys().filter(|pool| self.shortfall(**pool).is_some()).count()
    }

    /// The bound that keeps a pool's servers from being replaced as fast as they age, if one does: by what
    /// its last logins have taken, and what the endpoint's pools wanted when they were last added up
    /// ([`Ledger::add_up_endpoints`]).
    pub fn shortfall(&self, pool: PoolId) -> Option<Shortfall> {
        let account = self.accounts.get(&pool).filter(|account| account.planned > 0)?;
        let rules = account.share.rules();
        let logins = u64::from(rules.server_login_concurrency);
        let room = match rules.pool_size {
            0 => logins,
            size => u64::from(size.saturating_sub(account.servers())).min(logins),
        };
        let (needed, most) = (account.missing_needed(), account.missing_most(&rules).max(room));
        if needed > most {
            let of = if most == logins { Bound::Logins } else { Bound::Missing };
            return Some(Shortfall { of, needed: 1_000 * needed, most: 1_000 * most });
        }
        let there = self.asked.get(&rules.endpoint).copied().unwrap_or_default();
        // the first login of each pool is its own; where the others are too many, it has
        // no second one to count on
        if there.under_way > 1_000 * logins && account.under_way_thousandths() > 1_000 {
            let (needed, most) = (there.under_way, 1_000 * logins);
            return Some(Shortfall { of: Bound::LoginsThere, needed, most });
        }
        let (needed, most) =
            (there.per_kilosecond, u64::from(there.pace_per_kilosecond) * PACE_PERCENT / 100);
        (needed > most).then_some(Shortfall { of: Bound::Pace, needed, most })
    }
}

/// Whether an operator is told that servers are not replaced in time: what comes and goes
/// within seconds is no news.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lateness {
    is_told: bool,
    /// Since when the opposite of what was told has been so.
    differs_since: Option<Micros>,
}

impl Lateness {
    /// Whether they are late `now`, as the ledger says; what an operator is to be told, if anything.
    pub(crate) fn news(&mut self, is_late: bool, now: Micros) -> Option<bool> {
        if is_late == self.is_told {
            self.differs_since = None;
            return None;
        }
        let since = *self.differs_since.get_or_insert(now);
        let lasts_ms = if is_late { limits::LATE_TOLD_AFTER_MS } else { limits::LATE_OVER_AFTER_MS };
        if now.since(since) < Micros::from_millis(lasts_ms) {
            return None;
        }
        *self = Self { is_told: is_late, differs_since: None };
        Some(is_late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_and_goes_is_told_once_and_over_once() {
        let mut lateness = Lateness::default();
        let mut told = Vec::new();
        // late for two seconds of three, then always, then for one second of twenty, then no more
        for second in 0..400 {
            let is_late = match second {
                0..100 => second % 3 != 0,
                100..200 => true,
                200..300 => second % 20 == 0,
                _ => false,
            };
            told.extend(lateness.news(is_late, Micros::from_secs(second)).map(|news| (second, news)));
        }
        assert_eq!(told, [(110, true), (341, false)]);
    }
}
