//! Which pools, databases and kinds of clients have series of their own at a scrape, and what sums the
//! others.
//!
//! Counters of what is summed never go back: what a pool had counted before it went stays in the sum. Bounded
//! by `limits::METRICS_POOLS_MAX` and those beside it.

use super::{PoolSample, Sample};
use crate::base::PoolId;
use crate::base::limits::{METRICS_CLIENT_KINDS_MAX, METRICS_DATABASES_MAX, METRICS_POOLS_MAX};
use crate::stats::names::OTHER;
use crate::stats::{PoolCounters, PoolLevels, Totals};
use crate::status::{ClientsAlike, EntrySample};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Counters that can be summed.
trait Counters: Clone + Default {
    fn add(&mut self, other: &Self);
}

impl Counters for PoolCounters {
    fn add(&mut self, other: &Self) {
        self.merge(other);
    }
}

impl Counters for Totals {
    fn add(&mut self, other: &Self) {
        Self::add(self, other);
    }
}

/// The sum of what some pools count and what those have counted that are gone.
#[derive(Debug, Default)]
struct RunningSum<T> {
    gone: T,
    last: HashMap<PoolId, T>,
}

impl<T: Counters> RunningSum<T> {
    /// Only pools that `is_alive` says are there still: of the others the sum keeps what they had counted.
    fn retain(&mut self, is_alive: impl Fn(&PoolId) -> bool) {
        let gone = &mut self.gone;
        self.last.retain(|id, last| {
            let stays = is_alive(id);
            if !stays {
                gone.add(last);
            }
            stays
        });
    }

    fn set(&mut self, id: PoolId, counters: T) {
        self.last.insert(id, counters);
    }

    fn sum(&self) -> T {
        let mut sum = self.gone.clone();
        self.last.values().for_each(|counters| sum.add(counters));
        sum
    }
}

/// What was told at scrapes before: the first pools and databases ever seen have series of their own, and
/// their places come free when they go. All others stay in the one series of the rest, also after they are
/// gone, so that its counters never go back.
#[derive(Debug, Default)]
pub(in crate::observe) struct Series {
    own: HashSet<PoolId>,
    /// `None` = there never was a rest.
    rest: Option<RunningSum<PoolCounters>>,
    /// Of all pools; `None` while each has its own histograms.
    all: Option<RunningSum<PoolCounters>>,
    /// Databases whose readiness is told by itself.
    served: HashSet<String>,
    totals: BTreeMap<String, RunningSum<Totals>>,
    totals_of_rest: Option<RunningSum<Totals>>,
    /// Rendering panics.
    #[cfg(test)]
    pub(in crate::observe) trap: bool,
}

/// A [`Sample`] as it is shown.
pub(super) struct Shown {
    /// Those with series of their own, then at most one that sums the rest.
    pub pools: Vec<PoolSample>,
    /// What all pools have counted, where histograms are told of all together.
    pub all: Option<PoolCounters>,
    /// Databases, and whether they can be served; in that of the rest the worst counts.
    pub served: Vec<(String, bool)>,
    /// Databases' figures.
    pub totals: Vec<(String, Totals)>,
    /// Databases as SHOW DATABASES has them.
    pub entries: Vec<EntrySample>,
    /// Kinds of clients, and how many there are.
    pub clients: Vec<(ClientsAlike, u64)>,
}

impl Series {
    /// What is shown of this sample.
    pub(super) fn arrange(&mut self, sample: &mut Sample) -> Shown {
        #[cfg(test)]
        assert!(!self.trap, "the trap has sprung");
        let pools = std::mem::take(&mut sample.pools);
        let alive: HashSet<PoolId> = pools.iter().map(|pool| pool.id).collect();
        let totals = self.arrange_totals(&pools, &alive, &sample.databases);
        let all = self.sum_of_all(&pools, &alive, sample.has_pool_histograms);
        Shown {
            pools: self.arrange_pools(pools, &alive),
            all,
            served: self.arrange_served(std::mem::take(&mut sample.databases)),
            totals,
            entries: arrange_entries(std::mem::take(&mut sample.entries)),
            clients: arrange_clients(std::mem::take(&mut sample.clients)),
        }
    }

    fn sum_of_all(
        &mut self,
        pools: &[PoolSample],
        alive: &HashSet<PoolId>,
        has_pool_histograms: bool,
    ) -> Option<PoolCounters> {
        if has_pool_histograms {
            self.all = None;
            return None;
        }
        let all = self.all.get_or_insert_default();
        all.retain(|id| alive.contains(id));
        pools.iter().for_each(|pool| all.set(pool.id, pool.counters.clone()));
        Some(all.sum())
    }

    fn arrange_pools(&mut self, pools: Vec<PoolSample>, alive: &HashSet<PoolId>) -> Vec<PoolSample> {
        self.own.retain(|id| alive.contains(id));
        if let Some(rest) = &mut self.rest {
            rest.retain(|id| alive.contains(id));
        }
        let mut shown = Vec::with_capacity(pools.len());
        let mut levels = PoolLevels::default();
        for pool in pools {
            let is_of_rest = self.rest.as_ref().is_some_and(|rest| rest.last.contains_key(&pool.id));
            let has_place = self.own.len() < METRICS_POOLS_MAX && !is_of_rest;
            if self.own.contains(&pool.id) || has_place {
                self.own.insert(pool.id);
                shown.push(pool);
                continue;
            }
            levels.merge(&pool.levels);
            self.rest.get_or_insert_default().set(pool.id, pool.counters);
        }
        shown.extend(self.rest.as_ref().map(|rest| PoolSample {
            id: PoolId(u64::MAX),
            database: OTHER.to_owned(),
            user: OTHER.to_owned(),
            levels,
            counters: rest.sum(),
        }));
        shown
    }

    /// Figures of databases: those that are there, and those that pools are for.
    fn arrange_totals(
        &mut self,
        pools: &[PoolSample],
        alive: &HashSet<PoolId>,
        databases: &[(String, bool)],
    ) -> Vec<(String, Totals)> {
        let names: HashSet<&str> = databases
            .iter()
            .map(|(name, _)| &**name)
            .chain(pools.iter().map(|pool| &*pool.database))
            .collect();
        self.totals.retain(|name, _| names.contains(&**name));
        let sums = self.totals.values_mut().chain(&mut self.totals_of_rest);
        sums.for_each(|sum| sum.retain(|id| alive.contains(id)));
        for pool in pools {
            let is_of_rest =
                self.totals_of_rest.as_ref().is_some_and(|rest| rest.last.contains_key(&pool.id));
            let has_place =
                self.totals.len() < METRICS_DATABASES_MAX || self.totals.contains_key(&pool.database);
            let sum = if has_place && !is_of_rest {
                self.totals.entry(pool.database.clone()).or_default()
            } else {
                self.totals_of_rest.get_or_insert_default()
            };
            sum.set(pool.id, Totals::from(&pool.counters));
        }
        let rest = self.totals_of_rest.as_ref().map(|rest| (OTHER.to_owned(), rest.sum()));
        self.totals.iter().map(|(name, sum)| (name.clone(), sum.sum())).chain(rest).collect()
    }

    /// Readiness of databases; a place comes free when one goes.
    fn arrange_served(&mut self, databases: Vec<(String, bool)>) -> Vec<(String, bool)> {
        let alive: HashSet<&str> = databases.iter().map(|(name, _)| &**name).collect();
        self.served.retain(|name| alive.contains(&**name));
        let mut rest = None;
        let mut shown = Vec::with_capacity(databases.len());
        for (name, is_served) in databases {
            if self.served.contains(&name) || self.served.len() < METRICS_DATABASES_MAX {
                self.served.insert(name.clone());
                shown.push((name, is_served));
            } else {
                rest = Some(rest.unwrap_or(true) && is_served);
            }
        }
        shown.extend(rest.map(|is_served| (OTHER.to_owned(), is_served)));
        shown
    }
}

/// The first databases in the order of their names, and one that sums the rest.
fn arrange_entries(mut entries: Vec<EntrySample>) -> Vec<EntrySample> {
    entries.sort_by(|a, b| a.labels.cmp(&b.labels));
    let rest = entries.split_off(METRICS_DATABASES_MAX.min(entries.len()));
    let sum = rest.into_iter().reduce(|mut sum, entry| {
        sum.levels.merge(&entry.levels);
        sum
    });
    entries.extend(sum.map(|sum| {
        let mut labels: [String; 6] = Default::default();
        OTHER.clone_into(&mut labels[0]);
        EntrySample { labels, ..sum }
    }));
    entries
}

/// The most frequent kinds, and one for each state that sums the rest.
fn arrange_clients(clients: BTreeMap<ClientsAlike, u64>) -> Vec<(ClientsAlike, u64)> {
    let mut kinds: Vec<_> = clients.into_iter().collect();
    if kinds.len() <= METRICS_CLIENT_KINDS_MAX {
        return kinds;
    }
    kinds.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut rest: BTreeMap<ClientsAlike, u64> = BTreeMap::new();
    let other: Arc<str> = OTHER.into();
    for ([.., state], count) in kinds.split_off(METRICS_CLIENT_KINDS_MAX) {
        let key = [other.clone(), other.clone(), other.clone(), state];
        *rest.entry(key).or_default() += count;
    }
    kinds.extend(rest);
    kinds
}
