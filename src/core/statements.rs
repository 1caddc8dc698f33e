//! Prepared statements shared over servers: what a statement is, which ones a client has named, which ones a server holds.
//!
//! A statement is identified by its text and parameter types; each distinct one gets a process-wide name `PGBOUNCER_<n>` that is
//! never reused, so a server can carry it from worker to worker. Only protocol-level named statements are tracked
//! (PgBouncer behaviour, surface section 10).

use dashmap::DashMap;
use lru::LruCache;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Statements that nobody uses are dropped from the registry when it has grown by this many since the last sweep.
const SWEEP_GROWTH: usize = 1_000;

/// One distinct statement of the process.
#[derive(Debug)]
pub struct Statement {
    /// Its number; the name is made from it.
    pub id: u64,
    /// Its name on every server: `PGBOUNCER_<id>`.
    pub name: Box<str>,
    /// What follows the name in a Parse message: query text, zero byte, parameter types.
    pub rest: Box<[u8]>,
}

/// All distinct statements of the process, shared by the workers. Looked at when a client prepares, never when it executes.
#[derive(Debug, Default)]
pub struct StatementRegistry {
    by_rest: DashMap<Box<[u8]>, Arc<Statement>>,
    next_id: AtomicU64,
    swept_len: AtomicUsize,
}

impl StatementRegistry {
    /// The statement with this text and types, made if it is new.
    pub fn intern(&self, rest: &[u8]) -> Arc<Statement> {
        if let Some(found) = self.by_rest.get(rest) {
            return Arc::clone(&found);
        }
        self.sweep();
        let entry = self.by_rest.entry(rest.into()).or_insert_with(|| {
            let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
            Arc::new(Statement { id, name: format!("PGBOUNCER_{id}").into(), rest: rest.into() })
        });
        Arc::clone(&entry)
    }

    /// How many distinct statements are known.
    pub fn count(&self) -> usize {
        self.by_rest.len()
    }

    /// Drops the statements that only the registry still knows, when it has grown enough to be worth a walk.
    fn sweep(&self) {
        if self.by_rest.len() < 2 * self.swept_len.load(Ordering::Relaxed) + SWEEP_GROWTH {
            return;
        }
        self.by_rest.retain(|_, statement| Arc::strong_count(statement) > 1);
        self.swept_len.store(self.by_rest.len(), Ordering::Relaxed);
    }
}

/// The names that one client has given.
#[derive(Debug, Default)]
pub(super) struct ClientStatements {
    by_name: HashMap<Box<[u8]>, Arc<Statement>>,
}

impl ClientStatements {
    /// The statement that the client calls `name`.
    pub fn find(&self, name: &[u8]) -> Option<&Arc<Statement>> {
        self.by_name.get(name)
    }

    /// Names a statement; false if the name is taken.
    pub fn insert(&mut self, name: &[u8], statement: Arc<Statement>) -> bool {
        match self.by_name.entry(name.into()) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(statement);
                true
            }
        }
    }

    /// Forgets one name.
    pub fn remove(&mut self, name: &[u8]) {
        self.by_name.remove(name);
    }

    /// How many names there are.
    pub fn count(&self) -> usize {
        self.by_name.len()
    }
}

/// The statements that one server holds, least recently used first to go.
#[derive(Debug, Default)]
pub(super) struct ServerStatements {
    held: Option<Box<LruCache<u64, Arc<Statement>>>>,
}

impl ServerStatements {
    /// Whether the server holds it; marks it as used.
    #[inline]
    pub fn touch(&mut self, statement: &Statement) -> bool {
        self.held.as_mut().is_some_and(|held| held.get(&statement.id).is_some())
    }

    /// The server is about to hold it.
    pub fn insert(&mut self, statement: Arc<Statement>) {
        self.held.get_or_insert_with(|| Box::new(LruCache::unbounded())).put(statement.id, statement);
    }

    /// The server does not hold it after all.
    pub fn remove(&mut self, statement: &Statement) {
        if let Some(held) = &mut self.held {
            held.pop(&statement.id);
        }
    }

    /// Puts back what was to be evicted: its Close never happened.
    pub fn restore(&mut self, statement: Arc<Statement>) {
        self.insert(statement);
    }

    /// Takes the least recently used statement while there are more than `count_max`.
    pub fn evict(&mut self, count_max: usize) -> Option<Arc<Statement>> {
        let held = self.held.as_mut()?;
        if held.len() <= count_max {
            return None;
        }
        held.pop_lru().map(|(_, statement)| statement)
    }

    /// The server has forgotten all (DEALLOCATE ALL, DISCARD ALL).
    pub fn clear(&mut self) {
        self.held = None;
    }

    /// How many it holds.
    pub fn count(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_statement_and_names_are_never_reused() {
        let registry = StatementRegistry::default();
        let one = registry.intern(b"select 1\0\0\0");
        assert!(Arc::ptr_eq(&one, &registry.intern(b"select 1\0\0\0")));
        let two = registry.intern(b"select 2\0\0\0");
        assert_eq!((&*one.name, &*two.name), ("PGBOUNCER_1", "PGBOUNCER_2"));
    }

    #[test]
    fn the_registry_forgets_what_nobody_uses() {
        let registry = StatementRegistry::default();
        let kept = registry.intern(b"kept\0");
        for n in 0..10 * SWEEP_GROWTH {
            registry.intern(format!("select {n}\0").as_bytes());
        }
        assert!(registry.count() <= 3 * SWEEP_GROWTH, "{}", registry.count());
        assert!(Arc::ptr_eq(&kept, &registry.intern(b"kept\0")));
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let registry = StatementRegistry::default();
        let [a, b, c] = [b"a\0", b"b\0", b"c\0"].map(|rest| registry.intern(rest));
        let mut server = ServerStatements::default();
        [&a, &b, &c].into_iter().for_each(|statement| server.insert(Arc::clone(statement)));
        assert!(server.touch(&a));
        assert!(Arc::ptr_eq(&server.evict(2).expect("three held"), &b));
        assert!(server.evict(2).is_none());
        server.restore(b);
        assert_eq!(server.count(), 3);
    }
}
