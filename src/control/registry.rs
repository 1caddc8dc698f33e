//! The databases and pools there are: made when first asked for, changed by reloads,
//! forgotten when long unused.
//!
//! One lock around ordered maps, read once per login. Never opens anything; what running pools must
//! be told of a change is `reload.rs`. Source: PgBouncer, doc/config.md (`*`,
//! `autodb_idle_timeout`, `pool_idle_timeout`).

mod unproven;

use super::pool_entry::{CountedClient, PoolEntry};
use crate::base::{Micros, PoolId};
use crate::config::{Database, Snapshot};
use crate::core::{DatabaseShare, Gate, PoolShare};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// One database entry with its pools.
pub(super) struct DatabaseEntry {
    /// Its switches.
    pub share: Arc<DatabaseShare>,
    /// The entry in force.
    pub config: Arc<Database>,
    /// Made from `*`.
    pub is_auto: bool,
    /// Whether a client has proven that it may ask for it.
    standing: Standing,
    pools: BTreeMap<Arc<str>, Arc<PoolEntry>>,
    unused_since: Option<Micros>,
}

impl DatabaseEntry {
    fn view(&self) -> DatabaseView {
        DatabaseView {
            share: Arc::clone(&self.share),
            config: Arc::clone(&self.config),
            is_auto: self.is_auto,
            pools: self.pools.values().cloned().collect(),
        }
    }
}

/// Whether a database that `*` made is one that somebody has a right to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Made for auth_query; the number is its key in [`Tables::unproven`].
    Unproven(u64),
    /// Of the files, or proven.
    Known,
}

/// On whose behalf a database is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    /// Of somebody who has proven that he may.
    Proven,
    /// Of auth_query, for anybody.
    Anybody,
}

#[derive(Default)]
struct Tables {
    databases: BTreeMap<Arc<str>, DatabaseEntry>,
    by_id: HashMap<PoolId, Arc<PoolEntry>>,
    /// Names of databases that were made for auth_query, in that order; those that are proven or gone are
    /// dropped when it is gone through.
    unproven: BTreeMap<u64, Arc<str>>,
    made: u64,
}

/// The databases and pools there are.
pub struct Registry {
    tables: RwLock<Tables>,
    gate: Arc<Gate>,
    workers: usize,
    next_id: AtomicU64,
}

/// What a database looks like to SHOW DATABASES.
#[derive(Clone)]
pub struct DatabaseView {
    /// Its switches.
    pub share: Arc<DatabaseShare>,
    /// The entry in force.
    pub config: Arc<Database>,
    /// Made from `*`.
    pub is_auto: bool,
    /// Its pools, by user.
    pub pools: Vec<Arc<PoolEntry>>,
}

impl Registry {
    /// Nothing known yet. `workers` is how many data workers there are.
    pub fn new(gate: Arc<Gate>, workers: usize) -> Self {
        Self { tables: RwLock::default(), gate, workers, next_id: AtomicU64::new(0) }
    }

    /// The pool of a database entry for clients that log in as `user`: that of the entry's own user where it
    /// names one. Made if it is new; `None` where `snapshot` has no such database, not even `*`.
    pub fn pool(&self, snapshot: &Snapshot, database: &str, user: &str) -> Option<Arc<PoolEntry>> {
        let user = |config: &Database| config.user.clone().unwrap_or_else(|| user.into());
        self.pool_of(snapshot, database, Asker::Proven, user, Arc::clone)
    }

    /// As [`Registry::pool`], of `user` even where the entry names another.
    pub fn pool_as(&self, snapshot: &Snapshot, database: &str, user: &str) -> Option<Arc<PoolEntry>> {
        self.pool_of(snapshot, database, Asker::Proven, |_| user.into(), Arc::clone)
    }

    /// As [`Registry::pool_as`], for auth_query: whoever it asks for may be anybody. It is counted before
    /// anybody can take it out again ([`Registry::take_unproven`]).
    pub fn count_client_as(&self, snapshot: &Snapshot, database: &str, user: &str) -> Option<CountedClient> {
        self.pool_of(snapshot, database, Asker::Anybody, |_| user.into(), PoolEntry::count_client)
    }

    fn pool_of<T>(
        &self,
        snapshot: &Snapshot,
        database: &str,
        asker: Asker,
        user: impl Fn(&Database) -> Arc<str>,
        take: impl Fn(&Arc<PoolEntry>) -> T,
    ) -> Option<T> {
        let known = self
            .read()
            .databases
            .get(database)
            .and_then(|entry| entry.pools.get(&user(&entry.config)).map(&take));
        if known.is_some() {
            return known;
        }
        let mut tables = self.write();
        let entry = self.ensure_database(&mut tables, snapshot, database, asker)?;
        let user = user(&entry.config);
        if let Some(pool) = entry.pools.get(&user) {
            return Some(take(pool)); // made by someone else meanwhile
        }
        let id = PoolId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let rules = Arc::new(snapshot.pool_rules(&entry.config, &user));
        let share = PoolShare::new(id, Arc::clone(&entry.share), Arc::clone(&user), rules, self.workers);
        let pool = Arc::new(PoolEntry::new(Arc::new(share), Arc::clone(&entry.config)));
        entry.pools.insert(user, Arc::clone(&pool));
        tables.by_id.insert(id, Arc::clone(&pool));
        Some(take(&pool))
    }

    /// The pool of exactly this database and pool user, if there is one.
    pub fn find(&self, database: &str, user: &str) -> Option<Arc<PoolEntry>> {
        self.read().databases.get(database)?.pools.get(user).cloned()
    }

    /// The pool of a database entry and `user`, and whether it is there; else one that nobody else knows of
    /// and that ends with whoever holds it: for somebody who has not proven that there need be one.
    pub fn pool_or_sketch(
        &self,
        snapshot: &Snapshot,
        config: &Arc<Database>,
        user: &str,
    ) -> (Arc<PoolEntry>, bool) {
        if let Some(pool) = self.find(&config.name, user) {
            return (pool, true);
        }
        let id = PoolId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let database = Arc::new(DatabaseShare::new(Arc::clone(&config.name), Arc::clone(&self.gate)));
        let rules = Arc::new(snapshot.pool_rules(config, user));
        let share = PoolShare::new(id, database, user.into(), rules, self.workers);
        (Arc::new(PoolEntry::new(Arc::new(share), Arc::clone(config))), false)
    }

    /// A database's switches, for a client that has proven that it may ask for it; an entry is made from `*`
    /// if need be. `None` where there is no such database.
    pub fn database(&self, snapshot: &Snapshot, name: &str) -> Option<Arc<DatabaseShare>> {
        if let Some(entry) = self.read().databases.get(name)
            && matches!(entry.standing, Standing::Known)
        {
            return Some(Arc::clone(&entry.share));
        }
        let mut tables = self.write();
        let entry = self.ensure_database(&mut tables, snapshot, name, Asker::Proven)?;
        Some(Arc::clone(&entry.share))
    }

    fn ensure_database<'a>(
        &self,
        tables: &'a mut Tables,
        snapshot: &Snapshot,
        name: &str,
        asker: Asker,
    ) -> Option<&'a mut DatabaseEntry> {
        if !tables.databases.contains_key(name) {
            let config = snapshot.database(name)?;
            let is_auto = !snapshot.databases.contains_key(name);
            let number = tables.made;
            tables.made += 1;
            let standing = if is_auto { Standing::Unproven(number) } else { Standing::Known };
            if is_auto && asker == Asker::Anybody {
                tables.unproven.insert(number, name.into());
            }
            let share = Arc::new(DatabaseShare::new(Arc::clone(&config.name), Arc::clone(&self.gate)));
            limit_statements(&share, &config);
            let pools = BTreeMap::new();
            let entry = DatabaseEntry { share, config, is_auto, standing, pools, unused_since: None };
            tables.databases.insert(name.into(), entry);
        }
        let entry = tables.databases.get_mut(name)?;
        if asker == Asker::Proven && entry.standing != Standing::Known {
            entry.standing = Standing::Known;
            tracing::info!("registered new auto-database: {name}");
        }
        Some(entry)
    }

    /// The pool of that number, unless it is gone.
    pub fn by_id(&self, id: PoolId) -> Option<Arc<PoolEntry>> {
        self.read().by_id.get(&id).cloned()
    }

    /// Every pool, ordered by (database, user).
    pub fn entries(&self) -> Vec<Arc<PoolEntry>> {
        self.read().databases.values().flat_map(|entry| entry.pools.values().cloned()).collect()
    }

    /// The pools of one database, or all.
    pub fn entries_of(&self, database: Option<&str>) -> Vec<Arc<PoolEntry>> {
        let mut entries = self.entries();
        entries.retain(|entry| database.is_none_or(|name| &*entry.share.database.name == name));
        entries
    }

    /// The entries that name their user and have no pool yet, with that user.
    pub fn forced_without_pool(&self) -> Vec<(Arc<Database>, Arc<str>)> {
        let forced = |entry: &DatabaseEntry| {
            let user = entry.config.user.as_ref().filter(|_| entry.pools.is_empty())?;
            Some((Arc::clone(&entry.config), Arc::clone(user)))
        };
        self.read().databases.values().filter_map(forced).collect()
    }

    /// Every database, in order.
    pub fn databases(&self) -> Vec<DatabaseView> {
        self.read().databases.values().map(DatabaseEntry::view).collect()
    }

    /// The database of that name, if it is known.
    pub fn view(&self, name: &str) -> Option<DatabaseView> {
        self.read().databases.get(name).map(DatabaseEntry::view)
    }

    /// Makes the entries of `snapshot` known and brings those that are to what it says; those that it no
    /// longer has stay until they are removed.
    pub fn adopt(&self, snapshot: &Snapshot) {
        let mut tables = self.write();
        for name in snapshot.databases.keys() {
            self.ensure_database(&mut tables, snapshot, name, Asker::Proven);
        }
        for (name, entry) in &mut tables.databases {
            if let Some(config) = snapshot.database(name) {
                entry.is_auto = !snapshot.databases.contains_key(name);
                if !entry.is_auto {
                    entry.standing = Standing::Known;
                }
                entry.pools.values().for_each(|pool| pool.config.store(Arc::clone(&config)));
                limit_statements(&entry.share, &config);
                entry.config = config;
            }
        }
    }

    /// Takes a database out with its pools, which are returned: nothing is opened for them any more.
    pub fn remove(&self, database: &str) -> Vec<Arc<PoolEntry>> {
        let mut tables = self.write();
        let Some(entry) = tables.databases.remove(database) else { return Vec::new() };
        let pools: Vec<_> = entry.pools.into_values().collect();
        for pool in &pools {
            tables.forget(pool);
        }
        pools
    }

    /// Takes out pools that nobody has used for `pool_idle` and databases made from `*` that nobody
    /// has used for `database_idle` (zero = never), and returns those pools. `servers` tells how
    /// many servers a pool has.
    pub fn remove_unused(
        &self,
        now: Micros,
        pool_idle: Micros,
        database_idle: Micros,
        servers: impl Fn(PoolId) -> u32,
    ) -> Vec<Arc<PoolEntry>> {
        let mut removed = Vec::new();
        let mut tables = self.write();
        tables.databases.retain(|name, entry| {
            let mut is_used = entry.share.is_paused_itself() || entry.share.is_disabled();
            entry.pools.retain(|_, pool| {
                let unused = pool.unused_for(servers(pool.share.id), now);
                is_used |= unused.is_none();
                let goes = pool_idle > Micros(0) && unused.is_some_and(|unused| unused > pool_idle);
                if goes {
                    tracing::info!("cleaning up idle pool: {name}/{}", pool.share.user);
                }
                removed.extend(goes.then(|| Arc::clone(pool)));
                !goes
            });
            if is_used || !entry.is_auto {
                entry.unused_since = None;
                return true;
            }
            let since = *entry.unused_since.get_or_insert(now);
            let goes = database_idle > Micros(0) && now.since(since) > database_idle;
            if goes {
                tracing::debug!("dropping auto-database: {name}");
                removed.extend(entry.pools.values().cloned());
            }
            !goes
        });
        for pool in &removed {
            tables.forget(pool);
        }
        removed
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn forget(&mut self, pool: &PoolEntry) {
        pool.leave(&mut self.by_id);
    }
}

/// `prepared_statements_memory` of one database.
fn limit_statements(share: &DatabaseShare, config: &Database) {
    share.statements().set_bytes_max(config.prepared_statements_bytes.unwrap_or(usize::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::tests::{registry, snapshot};

    #[test]
    fn a_pool_is_made_once_and_a_forced_user_is_everybodys() {
        let snapshot = snapshot("own =\nforced = user=boss", "");
        let registry = registry();
        registry.adopt(&snapshot);
        assert_eq!(&*registry.forced_without_pool()[0].1, "boss");
        let first = registry.pool(&snapshot, "own", "a").unwrap();
        assert!(Arc::ptr_eq(&first, &registry.pool(&snapshot, "own", "a").unwrap()));
        assert!(!Arc::ptr_eq(&first, &registry.pool(&snapshot, "own", "b").unwrap()));
        assert!(!first.is_forced());
        let forced = registry.pool(&snapshot, "forced", "a").unwrap();
        assert_eq!(&*forced.share.user, "boss");
        assert!(registry.forced_without_pool().is_empty());
        assert!(forced.is_forced());
        assert!(Arc::ptr_eq(&forced, &registry.pool(&snapshot, "forced", "b").unwrap()));
        assert!(registry.pool(&snapshot, "other", "a").is_none());
        assert!(registry.pool(&snapshot, "pgbouncer", "a").is_none());
        let names: Vec<_> = registry
            .entries()
            .iter()
            .map(|pool| format!("{}/{}", pool.share.database.name, pool.share.user))
            .collect();
        assert_eq!(names, ["forced/boss", "own/a", "own/b"]);
    }

    #[test]
    fn no_pool_is_made_under_the_id_of_another_however_many_there_have_been() {
        let snapshot = snapshot("* =", "");
        let registry = registry();
        let first = registry.pool(&snapshot, "first", "a").unwrap().share.id;
        registry.next_id.store(u32::MAX.into(), Ordering::Relaxed);
        let later = ["x", "y"].map(|name| registry.pool(&snapshot, name, "a").unwrap().share.id);
        assert!(!later.contains(&first), "{later:?}");
        assert_eq!(registry.by_id(first).unwrap().share.database.name.as_ref(), "first");
    }

    #[test]
    fn the_fallback_makes_databases_on_demand() {
        let snapshot = snapshot("* = host=10.0.0.1", "");
        let registry = registry();
        let pool = registry.pool(&snapshot, "made", "a").unwrap();
        assert_eq!((&*pool.share.database.name, &*pool.config.load().dbname), ("made", "made"));
        assert!(registry.databases()[0].is_auto);
        assert!(registry.database(&snapshot, "paused").is_some());
        assert_eq!(registry.databases().len(), 2);
    }

    #[test]
    fn what_nobody_uses_goes_after_its_time() {
        let snapshot = snapshot("own =\n* =", "");
        let registry = registry();
        let own = registry.pool(&snapshot, "own", "a").unwrap();
        let auto = registry.pool(&snapshot, "auto", "a").unwrap();
        let (pool_idle, database_idle) = (Micros::from_secs(50), Micros::from_secs(10));
        let pass = |seconds, servers: u32| {
            let removed =
                registry.remove_unused(Micros::from_secs(seconds), pool_idle, database_idle, |_| servers);
            removed.iter().map(|pool| pool.share.database.name.to_string()).collect::<Vec<_>>()
        };
        let counted = auto.count_client();
        assert!(pass(1, 0).is_empty() && pass(100, 1).is_empty());
        drop(counted);
        assert!(pass(101, 1).is_empty(), "servers keep a pool");
        assert!(pass(102, 0).is_empty() && pass(112, 0).is_empty());
        assert_eq!(pass(113, 0), ["auto"]);
        assert!(auto.is_removed() && registry.by_id(auto.share.id).is_none());
        assert!(pass(152, 0).is_empty());
        assert_eq!(pass(153, 0), ["own"]);
        assert!(own.is_removed());
        assert_eq!(registry.databases().len(), 1, "an entry of the file stays");
    }

    #[test]
    fn a_pool_that_is_kept_filled_is_never_unused() {
        let snapshot = snapshot("kept = user=u min_pool_size=1\nforced = user=u\nown = min_pool_size=1", "");
        let registry = registry();
        for name in ["kept", "forced", "own"] {
            registry.pool(&snapshot, name, "u").unwrap();
        }
        let pass = |seconds| {
            registry.remove_unused(Micros::from_secs(seconds), Micros::from_secs(1), Micros(0), |_| 0)
        };
        assert!(pass(1).is_empty());
        let removed: Vec<_> = pass(9).iter().map(|pool| pool.share.database.name.to_string()).collect();
        assert_eq!(removed, ["forced", "own"]);
    }

    #[test]
    fn a_reload_changes_entries_in_place_and_removal_takes_the_pools() {
        let before = snapshot("own = port=1\ngone =", "");
        let registry = registry();
        registry.adopt(&before);
        let own = registry.pool(&before, "own", "a").unwrap();
        let gone = registry.pool(&before, "gone", "a").unwrap();
        let after = snapshot("own = port=2\nnew =", "");
        registry.adopt(&after);
        assert_eq!(own.config.load().port, 2);
        assert_eq!(registry.remove("gone").len(), 1);
        assert!(gone.is_removed() && !own.is_removed());
        let names: Vec<_> = registry.databases().iter().map(|entry| entry.config.name.to_string()).collect();
        assert_eq!(names, ["new", "own"]);
    }
}
