//! What the workers share of one pool: a few atomics that are written when something unusual happens (a queue
//! becomes non-empty, a connection opens), never per transaction by another core.

mod aging;
mod claims;
mod waiting;

use super::claim::Claim;
use super::database_share::DatabaseShare;
use super::login_health::LoginHealth;
use super::stance::Stance;
use super::throttle::Throttle;
use crate::base::sync::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use crate::base::{Micros, PoolId};
use crate::config::PoolRules;
use crate::core::scope::Scope;
use crate::wire::Fault;
use arc_swap::{ArcSwap, ArcSwapOption};
use std::sync::Arc;
use waiting::Slot;

/// A server that is on its way; see [`PoolShare::server_under_way`].
#[derive(Debug)]
pub struct ServerUnderWay(Arc<PoolShare>);

impl Drop for ServerUnderWay {
    fn drop(&mut self) {
        self.0.server_arrives();
    }
}

/// One pool (database entry, pool user) over all workers.
#[derive(Debug)]
pub struct PoolShare {
    /// The process-wide number of the pool.
    pub id: PoolId,
    /// Its database entry.
    pub database: Arc<DatabaseShare>,
    /// The user that its servers log in as.
    pub user: Arc<str>,
    slots: Box<[Slot]>,
    waiting_mask: AtomicU64,
    full: AtomicBool,
    live: AtomicU32,
    replication: AtomicU32,
    generation: AtomicU32,
    /// Servers on their way to a worker, from another one or from their login.
    moving: AtomicU32,
    removed: AtomicBool,
    lifetime_close: Throttle,
    renewal: Throttle,
    renewal_not_before: AtomicU64,
    retirements: AtomicU32,
    departed: AtomicU32,
    stance: AtomicU8,
    /// A server is kept beyond its hard age.
    overstay: AtomicBool,
    max_age: AtomicU64,
    login_span: AtomicU64,
    is_claimed: AtomicBool,
    claim: ArcSwapOption<Claim>,
    health: LoginHealth,
    rules: ArcSwap<PoolRules>,
}

impl PoolShare {
    /// A pool of which nothing is known yet.
    pub fn new(
        id: PoolId,
        database: Arc<DatabaseShare>,
        user: Arc<str>,
        rules: Arc<PoolRules>,
        workers: usize,
    ) -> Self {
        Self {
            id,
            database,
            user,
            rules: ArcSwap::new(rules),
            slots: (0..workers).map(|_| Slot::default()).collect(),
            waiting_mask: AtomicU64::new(0),
            full: AtomicBool::new(false),
            live: AtomicU32::new(0),
            replication: AtomicU32::new(0),
            generation: AtomicU32::new(0),
            moving: AtomicU32::new(0),
            removed: AtomicBool::new(false),
            lifetime_close: Throttle::default(),
            renewal: Throttle::default(),
            renewal_not_before: AtomicU64::new(0),
            retirements: AtomicU32::new(0),
            departed: AtomicU32::new(0),
            stance: AtomicU8::new(Stance::default() as u8),
            overstay: AtomicBool::new(false),
            max_age: AtomicU64::new(Micros::NEVER.0),
            login_span: AtomicU64::new(0),
            is_claimed: AtomicBool::new(false),
            claim: ArcSwapOption::empty(),
            health: LoginHealth::default(),
        }
    }

    /// Whether it is one of the pools of `scope`.
    pub fn is_in(&self, scope: &Scope) -> bool {
        match scope {
            Scope::All => true,
            Scope::Database(name) => self.database.name == *name,
            Scope::User(name) => self.user == *name,
            Scope::Endpoints(here) => self.rules().endpoints.iter().any(|endpoint| here.contains(endpoint)),
            Scope::Pool(id) => self.id == *id,
        }
    }

    /// Whether a server of it that is connected to `endpoint` is one of `scope`.
    pub(in crate::core) fn has_in(&self, scope: &Scope, endpoint: &Arc<str>) -> bool {
        match scope {
            Scope::Endpoints(here) => here.contains(endpoint),
            scope => self.is_in(scope),
        }
    }

    /// The rules in force. Workers keep their own copy (`Command::Rules` replaces it):
    /// this is for the login plane.
    pub fn rules(&self) -> Arc<PoolRules> {
        self.rules.load_full()
    }

    /// Replaces the rules after a reload or SET; the workers are told by `Command::Rules`.
    pub fn set_rules(&self, rules: Arc<PoolRules>) {
        self.rules.store(rules);
    }

    /// Whether the ledger has said that no server can be opened now, so that asking is in vain.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// Set by the ledger when the pool reaches or leaves its limits.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Release);
    }

    /// Servers logged in and not yet closed that may be lent, over all workers; written by the ledger.
    pub fn live_count(&self) -> u32 {
        self.live.load(Ordering::Acquire)
    }

    /// Written by the ledger at each login and close.
    pub fn set_live_count(&self, count: u32) {
        self.live.store(count, Ordering::Release);
    }

    /// Servers of replication clients, over all workers; written by the ledger.
    pub fn replication_count(&self) -> u32 {
        self.replication.load(Ordering::Acquire)
    }

    /// Written by the ledger at each login and close.
    pub fn set_replication_count(&self, count: u32) {
        self.replication.store(count, Ordering::Release);
    }

    /// A server leaves for another worker, where a client waits.
    pub(in crate::core) fn server_leaves(&self) {
        self.moving.fetch_add(1, Ordering::AcqRel);
    }

    /// It has arrived.
    pub(in crate::core) fn server_arrives(&self) {
        self.moving.fetch_sub(1, Ordering::AcqRel);
    }

    /// A server is on its way to a worker until what is returned is dropped.
    pub fn server_under_way(self: &Arc<Self>) -> ServerUnderWay {
        self.server_leaves();
        ServerUnderWay(Arc::clone(self))
    }

    /// Whether a server is on its way to a worker: from another one, or from its login.
    pub fn is_moving(&self) -> bool {
        self.moving.load(Ordering::Acquire) > 0
    }

    /// The generation that servers must have been opened in to be lent again.
    pub fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// RECONNECT, or a changed connect string: every server opened before is `close_needed`.
    pub fn bump_generation(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether the pool is gone: nothing is opened for it any more, and who comes to it late is turned away.
    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    /// It is gone. A server that is on its way, from its login or between workers, is not lent again either.
    pub fn set_removed(&self) {
        self.removed.store(true, Ordering::Release);
        self.bump_generation();
    }

    /// How long a login to one of its servers takes lately, or less; zero = not known.
    pub fn login_span(&self) -> Micros {
        Micros(self.login_span.load(Ordering::Acquire))
    }

    /// Set by the login plane after each login by IAM.
    pub fn set_login_span(&self, span: Micros) {
        self.login_span.store(span.0, Ordering::Release);
    }

    /// Why logins to servers fail at present; `None` = the last one succeeded.
    pub fn failing(&self) -> Option<Arc<String>> {
        self.health.failing()
    }

    /// Set by the ledger after each login to a server, and by the login plane where
    /// that says nothing any more.
    pub fn set_failing(&self, text: Option<String>) {
        self.health.set_failing(text.map(Arc::new));
    }

    /// Why servers cannot be had at present although clients may wait for one: what they are told
    /// when their time is over.
    pub fn obstacle(&self) -> Option<Arc<String>> {
        self.health.obstacle()
    }

    /// Set by the login plane after each login to a server.
    pub fn set_obstacle(&self, text: Option<String>) {
        self.health.set_obstacle(text.map(Arc::new));
    }

    /// What a client is told whose wait for a server has ended by `limit`: the reason where
    /// one is known, else `usual`.
    pub fn wait_over(&self, limit: &'static str, usual: Fault) -> Fault {
        self.obstacle().map_or(usual, |why| Fault::NoServer { limit, why: why.to_string() })
    }

    /// What a client is told at once that needs a server while there is none and logins fail; `None` = it may
    /// wait. Where the login plane has named an obstacle the role is denied, and the client learns that as
    /// those did who waited for the verdict.
    pub fn refusal(&self) -> Option<Fault> {
        self.health.refusal()
    }
}
