//! The statements that one client has named, and those that one server holds.
//!
//! Both are bounded: a client by bytes, a server by `max_prepared_statements`.

use super::statements::{Named, NoRoom, Statement, StatementId};
use crate::core::conn::ContextChange;
use lru::LruCache;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The names that one client has given.
#[derive(Debug, Default)]
pub(in crate::core) struct ClientStatements {
    by_name: HashMap<Box<[u8]>, Named>,
    pub(super) bytes: usize,
}

impl ClientStatements {
    /// The statement that the client calls `name`.
    pub(crate) fn find(&self, name: &[u8]) -> Option<&Arc<Statement>> {
        self.by_name.get(name).map(|named| &named.statement)
    }

    /// What executing the statement does that the client calls `name`.
    pub(crate) fn change_by(&self, name: &[u8]) -> Option<Arc<ContextChange>> {
        self.by_name.get(name)?.change.clone()
    }

    /// Names a statement; refused where the client would have more than `bytes_max`. The name must be free.
    pub(crate) fn insert(&mut self, name: &[u8], named: Named, bytes_max: usize) -> Result<(), NoRoom> {
        if self.bytes + named.cost() > bytes_max {
            return Err(NoRoom);
        }
        self.bytes += named.cost();
        self.by_name.insert(name.into(), named);
        Ok(())
    }

    /// Forgets one name.
    pub(crate) fn remove(&mut self, name: &[u8]) {
        if let Some(named) = self.by_name.remove(name) {
            self.bytes -= named.cost();
            // A table that was once large is not kept for ever.
            if self.by_name.len() < self.by_name.capacity() / 8 {
                self.by_name.shrink_to(2 * self.by_name.len());
            }
        }
    }

    /// Forgets all names but those of `kept`.
    pub(crate) fn retain(&mut self, kept: &HashSet<StatementId>) {
        self.by_name.retain(|_, named| kept.contains(&named.statement.id));
        self.by_name.shrink_to_fit();
        self.bytes = self.recount();
    }

    /// Bytes of all names and their texts, counted one by one.
    pub(crate) fn recount(&self) -> usize {
        self.by_name.values().map(Named::cost).sum()
    }

    /// How many names there are.
    pub(crate) fn count(&self) -> usize {
        self.by_name.len()
    }
}

/// The statements that one server holds, least recently used first to go.
#[derive(Debug, Default)]
pub(in crate::core) struct ServerStatements {
    held: Option<Box<LruCache<StatementId, ()>>>,
    /// Nobody knows which: none counts as held, and each may be. For good.
    are_in_doubt: bool,
}

impl ServerStatements {
    /// Whether the server holds it; marks it as used.
    #[inline]
    pub(crate) fn touch(&mut self, statement: StatementId) -> bool {
        self.held.as_mut().is_some_and(|held| held.get(&statement).is_some())
    }

    /// From now on nobody knows what it holds: the server ends with its client's link.
    pub(crate) fn doubt(&mut self) {
        *self = Self { held: None, are_in_doubt: true };
    }

    /// Whether nobody knows what it holds.
    pub(crate) fn are_in_doubt(&self) -> bool {
        self.are_in_doubt
    }

    /// The server is about to hold it, or holds it after all: its Close never happened.
    pub(crate) fn insert(&mut self, statement: StatementId) {
        if self.are_in_doubt {
            return;
        }
        self.held.get_or_insert_with(|| Box::new(LruCache::unbounded())).put(statement, ());
    }

    /// The server does not hold it after all.
    pub(crate) fn remove(&mut self, statement: StatementId) {
        if let Some(held) = &mut self.held {
            held.pop(&statement);
        }
    }

    /// Takes the least recently used statement while there are more than `count_max`.
    pub(crate) fn evict(&mut self, count_max: usize) -> Option<StatementId> {
        let held = self.held.as_mut()?;
        if held.len() <= count_max {
            return None;
        }
        held.pop_lru().map(|(statement, ())| statement)
    }

    /// The server has forgotten all (DEALLOCATE ALL, DISCARD ALL).
    pub(crate) fn clear(&mut self) {
        self.held = None;
    }

    /// How many it holds.
    pub(crate) fn count(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.len())
    }

    /// Bytes that the list keeps for one of them: a node with two links, as the allocator rounds it up, and
    /// two slots of a table that has just grown.
    pub(crate) const ENTRY_BYTES: usize = size_of::<(StatementId, [usize; 8])>();
}
