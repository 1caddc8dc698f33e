//! The ledger's rules for renewals: when a server's replacement is wanted, and how many are
//! replaced at the same time.
//!
//! The plan is made as a server logs in, with what is known then: how long logins take, and how many servers
//! share the pool's caps. So renewals begin early, wherever many servers were born together, and a login that
//! suddenly takes a tenth of the age finds few of them due. At a cap a server has to go before its
//! replacement can come: as many are missing at the same time as it takes to replace all within their age,
//! never more than a fifth.

use super::timetable::{Window, latest_free_in_both};
use super::{Account, Ledger, Verdict, Want, shared_caps};
use crate::base::Micros;
use crate::config::PoolRules;
use crate::core::pool::PoolShare;
use std::sync::Arc;

/// By this hundredth of its age a server's replacement is begun.
pub(crate) const REPLACED_BY_PERCENT: u64 = 85;

/// Between these hundredths of its age a server is to be replaced: early where many were
/// born together, else late.
const SOFT_PERCENT: (u64, u64) = (20, REPLACED_BY_PERCENT);

/// Of an endpoint's pace, in hundredths, so many are planned for renewals: the rest is
/// clients' and those of retries.
pub(crate) const PACE_PERCENT: u64 = 90;

/// A login that suddenly takes this hundredth of the age finds the pool's renewals so far apart,
/// where there is time for it.
const SLOW_PERCENT: u64 = 10;

/// How far apart those of an endpoint's different pools are, in hundredths of what would be even, over the
/// whole time of a server: the first of these for which there is room. Later it fits where servers were born
/// together, and after an age the first one mostly does.
const EVENNESS: [u64; 5] = [90, 75, 60, 40, 0];

/// The golden ratio's part of 2^32: multiples of it fill a range evenly, however many there are.
const GOLDEN: u32 = 2_654_435_769;

impl Account {
    /// How many servers may be missing at the same time because they were retired at a cap.
    fn missing_max(&self, rules: &PoolRules) -> u32 {
        self.missing_needed().clamp(1, self.missing_most(rules)) as u32
    }

    /// How many have to be replaced at the same time so that none reaches its hard age, even were all
    /// born together: all of them, where a login takes so much of the age that no time is left
    /// between the first and the last.
    pub(super) fn missing_needed(&self) -> u64 {
        let Window { earliest, latest } = window(Micros(0), self.max_age, self.login_time);
        let (span, servers) = (latest.since(earliest).0.max(1), u64::from(self.pooled().max(1)));
        servers.saturating_mul(self.login_time.0).div_ceil(span).min(servers)
    }

    /// A fifth of them, and no more than may be logged in to.
    pub(super) fn missing_most(&self, rules: &PoolRules) -> u64 {
        let fifth = u64::from(self.pooled().max(1)).div_ceil(5);
        fifth.min(u64::from(rules.server_login_concurrency))
    }

    /// A slow login counts at once, a quick one little by little.
    fn note_login_time(&mut self, took: Micros) {
        let known = self.login_time.0;
        self.login_time = Micros(took.0.max(known - known / 4 + took.0 / 4));
    }
}

impl Ledger {
    /// A renewal comes last: it takes no place for which others starve, and none that is not there; and there
    /// are not more of them than servers past their soft age.
    pub(super) fn judge_renewal(&mut self, pool: &Arc<PoolShare>, now: Micros) -> Verdict {
        if !pool.stance().renews() || self.others_starve(pool) {
            return Verdict::Nothing;
        }
        let (rules, wanted) = (pool.rules(), pool.wanted_retirements());
        let most = pool.aged_total().clamp(1, rules.server_login_concurrency);
        let account = self.account(pool);
        // a retired one has left its place: that is its replacement's
        let is_owed = account.owed > wanted;
        if !is_owed && account.renewing + wanted >= most {
            return Verdict::Nothing;
        }
        if self.has_room(pool) {
            return Verdict::Launch(self.opening(pool, Want::Renewal, false, now));
        }
        let account = self.account(pool);
        if account.retiring + account.pooled_logins() >= account.missing_max(&rules) {
            return Verdict::Nothing; // slow PostgreSQLs are not emptied
        }
        account.retiring += 1;
        pool.want_retirement();
        // What is retired from the reserve is not missed.
        let is_missed = rules.pool_size == 0 || account.live <= rules.pool_size;
        account.owed += u32::from(is_missed);
        Verdict::RetireFirst
    }

    /// Whether no cap is reached; the reserve aside.
    pub fn has_room(&mut self, pool: &Arc<PoolShare>) -> bool {
        let rules = pool.rules();
        let is_free = |most: u32, servers: u32| most == 0 || servers < most;
        is_free(rules.pool_size, self.account(pool).servers())
            && shared_caps(pool, &rules).iter().all(|(scope, most)| is_free(*most, self.servers_in(scope)))
    }

    /// Whether a server of `pool` was retired at a cap and its replacement can be opened
    /// now: by [`Want::Renewal`].
    pub fn owes_replacement(&mut self, pool: &Arc<PoolShare>) -> bool {
        self.account(pool).owed > 0 && self.has_room(pool)
    }

    /// When a server of `pool` whose login began and was over then, and whose authorization is good for
    /// `max_age`, is to be replaced: as late as leaves time for it, but apart from the pool's others, so that
    /// the last one of as many as its caps allow has its turn in time, and from those of other pools at its
    /// endpoint, which takes so many logins in a thousand seconds.
    pub fn plan_renewal(
        &mut self,
        pool: &Arc<PoolShare>,
        (begun_at, over_at): (Micros, Micros),
        max_age: Micros,
        per_kilosecond: u32,
    ) -> Micros {
        let rules = pool.rules();
        self.renewals_at.retain(|_, table| {
            table.pass(begun_at);
            !table.is_empty()
        });
        let mut there = self.renewals_at.remove(&rules.endpoint).unwrap_or_default();
        let account = self.account(pool);
        // without its wait for a turn: an endpoint whose pools are all filled at once is no slow one
        account.note_login_time(over_at.since(begun_at));
        account.max_age = max_age;
        account.pace_per_kilosecond = per_kilosecond;
        account.planned = account.planned.wrapping_add(1);
        account.renewals.pass(begun_at);
        let window = window(begun_at, max_age, account.login_time);
        let span = window.latest.since(window.earliest);
        let of_pool = Micros(least_cap(pool, &rules).map_or(0, |servers| span.0 / u64::from(servers)));
        let apart = of_pool.min(Micros(2 * account.login_time.0).max(percent(max_age, SLOW_PERCENT)));
        let at_pace = Micros(1_000_000_000 * 100 / PACE_PERCENT / u64::from(per_kilosecond.max(1)));
        let whole = window.latest.since(begun_at);
        let even = |hundredths| at_pace.max(Micros(percent(whole, hundredths).0 / (there.len() as u64 + 1)));
        let free = EVENNESS.into_iter().find_map(|hundredths| {
            latest_free_in_both(window, (&account.renewals, apart.max(at_pace)), (&there, even(hundredths)))
        });
        if let Some(at) = free {
            account.renewals.hold(at);
            there.hold(at);
        }
        let anywhere = u64::from(account.planned.wrapping_add(pool.id.0 as u32).wrapping_mul(GOLDEN));
        self.renewals_at.insert(Arc::clone(&rules.endpoint), there);
        free.unwrap_or(window.earliest + Micros(((u128::from(span.0) * u128::from(anywhere)) >> 32) as u64))
    }
}

pub(super) fn percent(age: Micros, hundredths: u64) -> Micros {
    Micros(age.0 / 100 * hundredths)
}

/// When a server that is born at `begun_at` is to be replaced: there is time for a login behind it, twice
/// over, and it has served for as long as one takes, where its age allows that.
fn window(begun_at: Micros, max_age: Micros, login_time: Micros) -> Window {
    let (from, to) = (percent(max_age, SOFT_PERCENT.0), percent(max_age, SOFT_PERCENT.1));
    let in_time = max_age.since(Micros(2 * login_time.0));
    let latest = to.min(in_time).max(from);
    let earliest = from.max(Micros(2 * login_time.0)).min(latest);
    Window { earliest: begun_at + earliest, latest: begun_at + latest }
}

/// How many servers a pool may have; `None` where nothing limits it.
fn least_cap(pool: &PoolShare, rules: &PoolRules) -> Option<u32> {
    let shared = shared_caps(pool, rules).into_iter().map(|(_, most)| most);
    shared.chain([rules.pool_size]).filter(|cap| *cap > 0).min()
}
