//! Who is connected to the metrics page, and who makes room when everybody's place is taken.
//!
//! Those go first that have not asked yet, then those that do not take their answers, the oldest first. Never
//! sends away one that waits for us. Never knows a socket.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// How far a connection has come; the order is that in which they make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Its request has not come.
    Asking,
    /// It is sent its answer.
    Taking,
    /// It waits for us.
    Served,
}

/// The places there are.
#[derive(Debug)]
pub(super) struct PageSlots {
    most: usize,
    table: Mutex<Table>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    taken: BTreeMap<u64, Taken>,
}

#[derive(Debug)]
struct Taken {
    stage: Stage,
    is_wanted: bool,
    word: Arc<Notify>,
}

/// A place; free again when it is dropped.
#[derive(Debug)]
pub(super) struct PageSlot {
    slots: Arc<PageSlots>,
    number: u64,
    word: Arc<Notify>,
}

impl PageSlots {
    /// So many places.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, table: Mutex::default(), left: Notify::new() })
    }

    /// Waits for a place, which somebody has to give up where all are taken.
    ///
    /// # Cancel safety
    /// No place is taken.
    pub(super) async fn take(self: &Arc<Self>) -> PageSlot {
        loop {
            let left = self.left.notified();
            if let Some(slot) = self.try_take() {
                return slot;
            }
            left.await;
        }
    }

    fn try_take(self: &Arc<Self>) -> Option<PageSlot> {
        let mut table = self.table();
        if table.taken.len() >= self.most {
            table.want_one();
            return None;
        }
        let (number, word) = (table.next, Arc::new(Notify::new()));
        table.next += 1;
        table.taken.insert(number, Taken { stage: Stage::Asking, is_wanted: false, word: Arc::clone(&word) });
        Some(PageSlot { slots: Arc::clone(self), number, word })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Tells the one that has to make room, unless one has been told and is on its way.
    fn want_one(&mut self) {
        if self.taken.values().any(|taken| taken.is_wanted) {
            return;
        }
        let first = self.taken.values_mut().filter(|taken| taken.stage != Stage::Served);
        // Of equals the first one is the oldest.
        if let Some(taken) = first.min_by_key(|taken| taken.stage) {
            taken.is_wanted = true;
            taken.word.notify_one();
        }
    }
}

impl PageSlot {
    /// It has come further.
    pub(super) fn enter(&self, stage: Stage) {
        if let Some(taken) = self.slots.table().taken.get_mut(&self.number) {
            taken.stage = stage;
        }
        self.slots.left.notify_waiters(); // who waits looks again whether somebody can go now
    }

    /// Returns when it has to make room.
    ///
    /// # Cancel safety
    /// A word that has come is lost: to be waited for by one only.
    pub(super) async fn wanted(&self) {
        self.word.notified().await;
    }
}

impl Drop for PageSlot {
    fn drop(&mut self) {
        self.slots.table().taken.remove(&self.number);
        self.slots.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(slot: &PageSlot) -> bool {
        slot.slots.table().taken[&slot.number].is_wanted
    }

    #[tokio::test]
    async fn the_oldest_that_has_not_asked_goes_first_and_who_waits_for_us_never() {
        let slots = PageSlots::new(4);
        let mut here = Vec::new();
        for stage in [Stage::Served, Stage::Taking, Stage::Asking, Stage::Asking] {
            let slot = slots.take().await;
            slot.enter(stage);
            here.push(slot);
        }
        for goes in [2, 2, 1] {
            assert!(slots.try_take().is_none() && slots.try_take().is_none());
            assert_eq!(here.iter().position(wanted), Some(goes));
            assert_eq!(here.iter().filter(|slot| wanted(slot)).count(), 1, "one is enough");
            here.remove(goes).wanted().await;
            let next = slots.try_take().expect("it has made room");
            next.enter(Stage::Served);
            here.push(next);
        }
        assert!(slots.try_take().is_none());
        assert!(!here.iter().any(wanted), "all wait for us");
        let next = tokio::spawn(async move { slots.take().await });
        tokio::task::yield_now().await;
        here[0].enter(Stage::Taking);
        here[0].wanted().await;
        here.remove(0);
        next.await.unwrap();
    }
}
