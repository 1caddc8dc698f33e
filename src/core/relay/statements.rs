//! Prepared statements shared over servers: what a statement is, which ones a client has named,
//! which ones a server holds.
//!
//! A statement is identified by its text and parameter types; each distinct one gets a process-wide name
//! `PGBOUNCER_<n>` that is never reused, so a server can carry it from worker to worker. Only protocol-level
//! named statements are tracked.
//!
//! Who holds what: texts lie in the registry alone, each once; a client holds names ([`Named`]), a server
//! numbers. So the registry knows every byte ([`StatementRegistry::bytes`]) and keeps them within its limit:
//! what no client names at present is forgotten, the least recently named first; where that is not enough, a
//! Parse is refused. The last quarter is for databases that hold less than their share
//! ([`StatementRegistry::share`]): who takes all it can leaves them that.

use super::statement_memory::Meter;
use crate::base::limits;
use crate::base::sync::{AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering, RandomState};
use crate::core::conn::ContextChange;
use crate::core::pool::DatabaseShare;
use crate::wire::frontend;
use lru::LruCache;
use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, PoisonError, Weak};

/// The registry's parts, each under a lock of its own: workers meet in one only when they
/// prepare at the same time.
const SHARDS: usize = 16;

/// What one distinct statement costs beside its text, and one name beside its letters:
/// entries of tables, allocations.
const TEXT_COST: usize = 384;
const NAME_COST: usize = 128;

/// The number of a distinct statement; its name on every server is made from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::core) struct StatementId(pub u64);

/// How the names begin that servers know statements by.
pub(in crate::core) const NAME_PREFIX: &str = "PGBOUNCER_";

impl fmt::Display for StatementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAME_PREFIX}{}", self.0)
    }
}

/// One distinct statement of the process.
#[derive(Debug)]
pub(in crate::core) struct Statement {
    pub id: StatementId,
    /// Its name on every server.
    pub name: Box<str>,
    /// What follows the name in a Parse message: query text, zero byte, parameter types.
    pub rest: Box<[u8]>,
    /// Executing it makes a session forget its statements.
    pub forgets: bool,
    home: Weak<StatementRegistry>,
    shard: usize,
}

/// A statement as a key: by its text and types.
#[derive(Debug)]
struct ByRest(Arc<Statement>);

impl Borrow<[u8]> for ByRest {
    fn borrow(&self) -> &[u8] {
        &self.0.rest
    }
}

impl Hash for ByRest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.rest.hash(state);
    }
}

impl PartialEq for ByRest {
    fn eq(&self, other: &Self) -> bool {
        self.0.rest == other.0.rest
    }
}

impl Eq for ByRest {}

/// How many names stand for a statement in each database; a database is known by where its share lies.
type Users = HashMap<usize, u32>;

/// A statement that no client names at present.
#[derive(Debug)]
struct Unnamed {
    statement: Arc<Statement>,
    /// Its place among all that were given up, from 1.
    since: u64,
}

#[derive(Debug)]
struct Shard {
    by_rest: HashSet<ByRest>,
    users: HashMap<StatementId, Users>,
    unnamed: LruCache<StatementId, Unnamed>,
}

impl Default for Shard {
    fn default() -> Self {
        Self { by_rest: HashSet::new(), users: HashMap::new(), unnamed: LruCache::unbounded() }
    }
}

/// All distinct statements of the process, shared by the workers. Looked at when a client prepares or forgets
/// a name, never when it executes.
#[derive(Debug, Default)]
pub struct StatementRegistry {
    shards: [Mutex<Shard>; SHARDS],
    /// Of each shard [`Unnamed::since`] of the first to be forgotten; 0: it has none. Written under its lock.
    oldest: [AtomicU64; SHARDS],
    hasher: RandomState,
    next_id: AtomicU64,
    /// Texts and names.
    meter: Meter,
    /// The texts that no client names at present.
    unnamed_bytes: AtomicUsize,
    /// Databases of the configuration.
    databases: AtomicUsize,
    /// Databases whose clients have named something.
    holders: AtomicUsize,
    /// How many times a last name was given up.
    given_up: AtomicU64,
    forgotten: AtomicU64,
}

/// Why a statement gets no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) struct NoRoom;

impl StatementRegistry {
    /// Bytes of all statements and of the names that clients have given to them.
    pub fn bytes(&self) -> usize {
        self.meter.bytes()
    }

    /// Most bytes that there may be (`prepared_statements_memory`).
    pub fn bytes_max(&self) -> usize {
        self.meter.bytes_max()
    }

    /// Sets that; what is too much now is forgotten as others come, and as clients leave.
    pub fn set_bytes_max(&self, bytes: usize) {
        self.meter.set_bytes_max(bytes);
    }

    /// Sets how many databases the configuration names.
    pub fn set_databases(&self, count: usize) {
        self.databases.store(count, Ordering::Relaxed);
    }

    /// What every database may hold whatever the others do: an equal part of the quarter kept for that. One
    /// part more than there are databases, so that one that no file names finds something, too.
    pub fn share(&self) -> usize {
        let databases = self.databases.load(Ordering::Relaxed).max(self.holders.load(Ordering::Relaxed));
        self.kept_for_shares() / databases.saturating_add(1)
    }

    fn kept_for_shares(&self) -> usize {
        self.bytes_max() / limits::STATEMENT_SHARES_PART
    }

    /// How many distinct statements are known.
    pub fn count(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).by_rest.len()).sum()
    }

    /// How many were forgotten to make room.
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// A name of `name_bytes` for the statement with this text and types, which is made if it is new.
    pub(in crate::core) fn name(
        self: &Arc<Self>,
        name_bytes: usize,
        rest: &[u8],
        database: &Arc<DatabaseShare>,
    ) -> Result<Named, NoRoom> {
        let shard = self.hasher.hash_one(rest) as usize % SHARDS;
        let (found, is_here) = self.look(shard, rest, database);
        let is_new = found.is_none();
        let statement = found.unwrap_or_else(|| self.make(shard, rest));
        let cost =
            |with_text: bool| name_cost(name_bytes) + if with_text { text_cost(&statement) } else { 0 };
        self.make_room(cost(is_new), self.bytes_max_for(database, cost(!is_here)))?;
        let mut held = lock(&self.shards[shard]);
        // Another worker may have made it, or forgotten it, since we have looked.
        let known = held.by_rest.get(rest).map(|key| Arc::clone(&key.0));
        match (&known, is_new) {
            (Some(_), true) => self.meter.discharge(text_cost(&statement)),
            (None, false) => self.meter.charge_anyway(text_cost(&statement)),
            _ => 0,
        };
        let statement = known.unwrap_or_else(|| {
            held.by_rest.insert(ByRest(Arc::clone(&statement)));
            statement
        });
        let users = held.users.entry(statement.id).or_default();
        let here = users.entry(Arc::as_ptr(database) as usize).or_default();
        *here += 1;
        let for_database = name_cost(name_bytes) + if *here == 1 { text_cost(&statement) } else { 0 };
        if held.unnamed.pop(&statement.id).is_some() {
            self.unnamed_bytes.fetch_sub(text_cost(&statement), Ordering::Relaxed);
            self.note_oldest(shard, &held);
        }
        drop(held);
        let before = database.statements().charge_anyway(for_database);
        if before == 0 {
            self.holders.fetch_add(1, Ordering::Relaxed);
        }
        // From here on its drop settles the accounts.
        let named = Named { statement, change: None, database: Arc::clone(database), name_bytes };
        let has_room = before.saturating_add(for_database) <= database.statements().bytes_max();
        if has_room { Ok(named) } else { Err(NoRoom) }
    }

    /// The statement with this text and types, and whether a client of `database` has named it.
    fn look(
        &self,
        shard: usize,
        rest: &[u8],
        database: &Arc<DatabaseShare>,
    ) -> (Option<Arc<Statement>>, bool) {
        let held = lock(&self.shards[shard]);
        let Some(found) = held.by_rest.get(rest).map(|key| Arc::clone(&key.0)) else { return (None, false) };
        let users = held.users.get(&found.id);
        let is_here = users.is_some_and(|users| users.contains_key(&(Arc::as_ptr(database) as usize)));
        (Some(found), is_here)
    }

    /// How many bytes there may be in all once `database` holds `added` more: what is kept for shares is only
    /// for those who stay within theirs. Clients of one database that ask on two workers at once may both be
    /// let in; the total holds.
    fn bytes_max_for(&self, database: &DatabaseShare, added: usize) -> usize {
        let is_within = database.statements().bytes() + added <= self.share();
        let most = self.bytes_max(); // once: a reload may change it meanwhile
        most - if is_within { 0 } else { most / limits::STATEMENT_SHARES_PART }
    }

    fn make(self: &Arc<Self>, shard: usize, rest: &[u8]) -> Arc<Statement> {
        let id = StatementId(self.next_id.fetch_add(1, Ordering::Relaxed) + 1);
        Arc::new(Statement {
            id,
            name: id.to_string().into(),
            rest: rest.into(),
            forgets: frontend::forgets_statements(rest),
            home: Arc::downgrade(self),
            shard,
        })
    }

    /// Charges `bytes` within `most`, for which statements are forgotten that nobody names.
    fn make_room(&self, bytes: usize, most: usize) -> Result<(), NoRoom> {
        while !self.meter.charge(bytes, most) {
            if !self.forget_one() {
                return Err(NoRoom);
            }
        }
        Ok(())
    }

    /// Forgets the least recently named statement; false where there is none.
    fn forget_one(&self) -> bool {
        let oldest = |at: &usize| match self.oldest[*at].load(Ordering::Relaxed) {
            0 => u64::MAX,
            since => since,
        };
        while let Some(at) = (0..SHARDS).min_by_key(oldest).filter(|at| oldest(at) < u64::MAX) {
            let mut shard = lock(&self.shards[at]);
            let unnamed = shard.unnamed.pop_lru();
            self.note_oldest(at, &shard);
            // Another worker may have named or forgotten it since.
            let Some((id, Unnamed { statement, .. })) = unnamed else { continue };
            shard.users.remove(&id);
            shard.by_rest.remove(&*statement.rest);
            self.unnamed_bytes.fetch_sub(text_cost(&statement), Ordering::Relaxed);
            self.meter.discharge(text_cost(&statement));
            self.forgotten.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        false
    }

    /// What a shard has of statements that nobody names has changed.
    fn note_oldest(&self, at: usize, shard: &Shard) {
        let oldest = shard.unnamed.peek_lru().map_or(0, |(_, unnamed)| unnamed.since);
        self.oldest[at].store(oldest, Ordering::Relaxed);
    }

    /// A name is given up. Statements that nobody names are kept for those who come again, within
    /// their part of the memory.
    fn give_up(&self, named: &Named) {
        let statement = &named.statement;
        let mut shard = lock(&self.shards[statement.shard]);
        let Some(users) = shard.users.get_mut(&statement.id) else { return };
        let database = Arc::as_ptr(&named.database) as usize;
        let Some(here) = users.get_mut(&database) else { return };
        *here -= 1;
        let mut for_database = name_cost(named.name_bytes);
        if *here == 0 {
            users.remove(&database);
            for_database += text_cost(statement);
        }
        if named.database.statements().discharge(for_database) == for_database {
            self.holders.fetch_sub(1, Ordering::Relaxed);
        }
        self.meter.discharge(name_cost(named.name_bytes));
        if users.is_empty() {
            shard.users.remove(&statement.id);
            let since = self.given_up.fetch_add(1, Ordering::Relaxed) + 1;
            shard.unnamed.put(statement.id, Unnamed { statement: Arc::clone(statement), since });
            self.note_oldest(statement.shard, &shard);
            self.unnamed_bytes.fetch_add(text_cost(statement), Ordering::Relaxed);
        }
        drop(shard);
        let most = || self.bytes_max() / limits::UNNAMED_STATEMENTS_PART;
        while (self.unnamed_bytes.load(Ordering::Relaxed) > most() || self.bytes() > self.bytes_max())
            && self.forget_one()
        {}
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text_cost(statement: &Statement) -> usize {
    TEXT_COST + statement.rest.len()
}

fn name_cost(name_bytes: usize) -> usize {
    NAME_COST + name_bytes
}

/// A name that stands for a statement: while it lives the statement is known, and both are counted.
#[derive(Debug)]
pub(in crate::core) struct Named {
    pub statement: Arc<Statement>,
    /// What executing it does to its client's context.
    pub change: Option<Arc<ContextChange>>,
    database: Arc<DatabaseShare>,
    name_bytes: usize,
}

impl Named {
    /// What it costs its client: the text is counted although others may have it, too.
    pub(super) fn cost(&self) -> usize {
        name_cost(self.name_bytes) + text_cost(&self.statement)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if let Some(registry) = self.statement.home.upgrade() {
            registry.give_up(self);
        }
    }
}

#[cfg(test)]
mod tests;
