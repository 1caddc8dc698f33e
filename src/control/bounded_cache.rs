//! A cache within bounds of entries and of bytes: it forgets others to stay within them.
//!
//! For what can be had again, such as secrets that auth_query has found. Never forgets the entry that was
//! changed last. Does not look at age or use: which other goes is chance.

use dashmap::DashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What an entry costs beside the bytes that [`Weight`] tells: names, keys, the table's own.
const ENTRY_BYTES: usize = 256;

/// How many bytes a value holds, beyond its own size.
pub(crate) trait Weight {
    /// Those bytes.
    fn bytes(&self) -> usize;
}

/// A cache of so many entries and bytes at the most.
pub(crate) struct BoundedCache<K, V> {
    table: DashMap<K, V>,
    bytes: AtomicUsize,
    entries_max: usize,
    bytes_max: usize,
}

impl<K: Clone + Eq + Hash, V: Weight + Default> BoundedCache<K, V> {
    /// An empty one, with its bounds. Each thread that changes it may go beyond them
    /// by one entry for a moment.
    pub(crate) fn new(entries_max: usize, bytes_max: usize) -> Self {
        Self { table: DashMap::new(), bytes: AtomicUsize::new(0), entries_max, bytes_max }
    }

    /// What `read` makes of the entry.
    pub(crate) fn get<R>(&self, key: &K, read: impl FnOnce(&V) -> R) -> Option<R> {
        self.table.get(key).map(|entry| read(&entry))
    }

    /// Changes an entry, a new one where there is none, and makes room.
    pub(crate) fn change(&self, key: K, change: impl FnOnce(&mut V)) {
        let mut entry = self.table.entry(key.clone()).or_insert_with(|| {
            self.bytes.fetch_add(ENTRY_BYTES, Ordering::Relaxed);
            V::default()
        });
        let before = entry.bytes();
        change(&mut entry);
        self.bytes.fetch_add(entry.bytes(), Ordering::Relaxed);
        self.bytes.fetch_sub(before, Ordering::Relaxed);
        drop(entry);
        while self.is_over() && self.forget_another(&key) {}
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    fn is_over(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.bytes_max || self.table.len() > self.entries_max
    }

    fn forget_another(&self, than: &K) -> bool {
        let another = self.table.iter().map(|entry| entry.key().clone()).find(|key| key != than);
        let Some((_, gone)) = another.and_then(|key| self.table.remove(&key)) else { return false };
        self.bytes.fetch_sub(ENTRY_BYTES + gone.bytes(), Ordering::Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weight for Vec<u8> {
        fn bytes(&self) -> usize {
            self.len()
        }
    }

    #[test]
    fn entries_and_bytes_stay_within_their_bounds_and_the_last_change_stays() {
        let kept = BoundedCache::<u32, Vec<u8>>::new(100, 100 * ENTRY_BYTES);
        let mut most = 0;
        for round in 0..2_000u32 {
            let (key, length) = (round % 300, (round as usize * 7919) % 3_000);
            kept.change(key, |value| value.resize(length, 0));
            assert_eq!(kept.get(&key, Vec::len), Some(length));
            let bytes: usize = kept.table.iter().map(|entry| ENTRY_BYTES + entry.len()).sum();
            assert_eq!(kept.bytes.load(Ordering::Relaxed), bytes);
            assert!(bytes <= kept.bytes_max && kept.table.len() <= 100);
            most = most.max(kept.table.len());
        }
        assert!(most > 5, "{most}");
        let small = BoundedCache::<u32, Vec<u8>>::new(100, 100 * ENTRY_BYTES);
        (0..300).for_each(|key| small.change(key, |value| value.clear()));
        assert_eq!(small.table.len(), 100, "small ones are bounded by their number");
    }
}
