//! Who waits and who has idle servers, over all workers: a line for each, written by that worker alone.

use super::PoolShare;
use crate::base::sync::{AtomicU32, AtomicU64, Ordering, fence};
use crate::base::{Micros, WorkerId};

/// One worker's own line in a pool: written by that worker only, read by others when clients wait.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Slot {
    idle: AtomicU32,
    waiting: AtomicU32,
    aged: AtomicU32,
    /// When the hard age of the oldest of them is that is free, or soon will be.
    oldest_ends_at: AtomicU64,
    waiting_since: AtomicU64,
}

impl Default for Slot {
    fn default() -> Self {
        let [idle, waiting, aged] = [(); 3].map(|()| AtomicU32::new(0));
        let [oldest_ends_at, waiting_since] = [(); 2].map(|()| AtomicU64::new(Micros::NEVER.0));
        Self { idle, waiting, aged, oldest_ends_at, waiting_since }
    }
}

/// How it stands with those who wait for a server; see [`PoolShare::outlook`].
#[derive(Clone, Copy, Debug)]
pub struct Outlook {
    /// Idle servers over all workers.
    pub idle: u32,
    /// Servers on their way to a worker.
    pub moving: u32,
    /// Since when the longest waiting client waits, if one does.
    pub waiting_since: Option<Micros>,
    /// How many wait.
    pub waiting: u32,
}

impl PoolShare {
    /// Publishes how many idle servers `worker` has. A store on the worker's own line, no more.
    #[inline]
    pub fn set_idle(&self, worker: WorkerId, count: u32) {
        self.slots[worker.0 as usize].idle.store(count, Ordering::Release);
    }

    /// Publishes how many clients of `worker` wait. A store on the worker's own line.
    pub fn set_waiting(&self, worker: WorkerId, count: u32) {
        self.slots[worker.0 as usize].waiting.store(count, Ordering::Release);
    }

    /// Clients that wait, over all workers, as last published.
    fn waiting_total(&self) -> u32 {
        self.slots.iter().map(|slot| slot.waiting.load(Ordering::Acquire)).sum()
    }

    /// Publishes how many servers of `worker` are past their soft age. A store on the worker's own line.
    pub fn set_aged(&self, worker: WorkerId, count: u32) {
        self.slots[worker.0 as usize].aged.store(count, Ordering::Release);
    }

    /// Publishes when the hard age of the oldest of them is; [`Micros::NEVER`] = none
    /// is free, nor soon will be.
    pub(in crate::core) fn set_oldest(&self, worker: WorkerId, hard_at: Micros) {
        self.slots[worker.0 as usize].oldest_ends_at.store(hard_at.0, Ordering::Release);
    }

    /// When the hard age of the pool's oldest server is, over all workers, of those past their soft age.
    pub(in crate::core) fn oldest_ends_at(&self) -> Micros {
        let ends = self.slots.iter().map(|slot| slot.oldest_ends_at.load(Ordering::Acquire));
        Micros(ends.min().unwrap_or(Micros::NEVER.0))
    }

    /// Servers past their soft age, over all workers, as they were counted at the last passes.
    pub fn aged_total(&self) -> u32 {
        self.slots.iter().map(|slot| slot.aged.load(Ordering::Acquire)).sum()
    }

    /// Publishes since when the oldest client of `worker` waits; [`Micros::NEVER`] = none waits.
    pub fn set_waiting_since(&self, worker: WorkerId, since: Micros) {
        let slot = &self.slots[worker.0 as usize];
        let before = slot.waiting_since.swap(since.0, Ordering::AcqRel);
        let bit = 1u64 << worker.0;
        if before == Micros::NEVER.0 && since != Micros::NEVER {
            self.waiting_mask.fetch_or(bit, Ordering::AcqRel);
        } else if before != Micros::NEVER.0 && since == Micros::NEVER {
            self.waiting_mask.fetch_and(!bit, Ordering::AcqRel);
        }
    }

    /// The worker other than `here` whose client has waited longest, and since when.
    #[inline]
    pub fn oldest_waiter_elsewhere(&self, here: WorkerId) -> Option<(WorkerId, Micros)> {
        let mask = self.waiting_mask.load(Ordering::Relaxed) & !(1u64 << here.0);
        if mask == 0 {
            return None;
        }
        self.oldest_in(mask)
    }

    /// Whether a client of another worker waits, now that `here` has published an idle server. One of
    /// two who cross each other, that client with its look at what is idle
    /// ([`PoolShare::idle_elsewhere`]) or this, sees the other.
    #[inline]
    pub fn has_waiter_after_all(&self, here: WorkerId) -> bool {
        if self.slots.len() < 2 {
            return false;
        }
        fence(Ordering::SeqCst);
        self.oldest_waiter_elsewhere(here).is_some()
    }

    /// Since when the longest waiting client of all workers waits.
    pub fn oldest_waiter(&self) -> Option<(WorkerId, Micros)> {
        self.oldest_in(self.waiting_mask.load(Ordering::Acquire))
    }

    fn oldest_in(&self, mask: u64) -> Option<(WorkerId, Micros)> {
        (0..self.slots.len())
            .filter(|k| mask & (1 << k) != 0)
            .map(|k| (WorkerId(k as u16), Micros(self.slots[k].waiting_since.load(Ordering::Acquire))))
            .filter(|(_, since)| *since != Micros::NEVER)
            .min_by_key(|(_, since)| *since)
    }

    /// A worker other than `here` that has idle servers, the one with most of them.
    pub fn idle_elsewhere(&self, here: WorkerId) -> Option<WorkerId> {
        fence(Ordering::SeqCst); // see `has_waiter_after_all`
        (0..self.slots.len())
            .filter(|k| *k != here.0 as usize)
            .map(|k| (self.slots[k].idle.load(Ordering::Relaxed), WorkerId(k as u16)))
            .filter(|(idle, _)| *idle > 0)
            .max_by_key(|(idle, _)| *idle)
            .map(|(_, worker)| worker)
    }

    /// Idle servers over all workers, as last published.
    pub fn idle_total(&self) -> u32 {
        self.slots.iter().map(|slot| slot.idle.load(Ordering::Acquire)).sum()
    }

    /// What helps those who wait, and since when the first of them does. A server that goes from one worker's
    /// idle ones to a client of another is seen in one of the three: as idle, as moving, or by that its
    /// client waits no more. So they are read in that order, and written so by whoever moves it.
    pub fn outlook(&self) -> Outlook {
        let idle = self.idle_total();
        let moving = self.moving.load(Ordering::Acquire);
        let waiting_since = self.oldest_waiter().map(|(_, since)| since);
        Outlook { idle, moving, waiting_since, waiting: self.waiting_total() }
    }
}
