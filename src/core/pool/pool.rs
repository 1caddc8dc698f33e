//! This worker's part of one pool: its idle servers, its queue of waiting clients, its counters.

use super::pool_share::{PoolShare, ServerUnderWay};
use crate::base::{ClientId, Micros, ServerId, WorkerId, limits};
use crate::config::PoolRules;
use crate::core::slots::slot;
use crate::stats::PoolCounters;
use std::collections::VecDeque;
use std::sync::Arc;

/// Index of a pool on its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) struct PoolSlot(pub u32);

slot!(PoolSlot);

/// Which of a pool's clients a part of it on a worker is for, and their servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::core) enum Part {
    /// Those that are lent servers.
    Pooled,
    /// Replication clients, each with a server of its own.
    Replication,
}

impl Part {
    pub(in crate::core) const ALL: [Self; 2] = [Self::Pooled, Self::Replication];

    /// What is in force for this part, by the rules of the pool.
    pub(in crate::core) fn rules(self, rules: &Arc<PoolRules>) -> Arc<PoolRules> {
        match self {
            Self::Pooled => Arc::clone(rules),
            Self::Replication => Arc::new(rules.for_replication()),
        }
    }
}

/// One client's place in the queue; stale once the client waits no longer under this ticket.
#[derive(Clone, Copy, Debug)]
pub(in crate::core) struct Waiter {
    pub client: ClientId,
    pub ticket: u64,
    pub since: Micros,
}

/// One worker's part of a pool.
#[derive(Debug)]
pub(in crate::core) struct Pool {
    pub part: Part,
    pub share: Arc<PoolShare>,
    pub rules: Arc<PoolRules>,
    pub counters: PoolCounters,
    /// Free servers; the most recently used at the back.
    pub idle: VecDeque<ServerId>,
    /// First come, first served. May hold stale places: see `Core::is_waiting`.
    pub waiters: VecDeque<Waiter>,
    /// Clients that wait: the queue's places that are not stale.
    pub waiting: u32,
    /// Servers that answer a check query: each is for a client that waits already. Those that take longer
    /// than a janitor's period are given up, so it may be too few by those that answer late.
    pub checking: u32,
    /// Those of them that are for clients of other workers.
    checked_for_others: Vec<ServerUnderWay>,
    /// Clients and servers of this worker in this pool.
    pub clients: u32,
    pub servers: u32,
    /// For how many clients the ledger has been asked for a server since it was last heard of.
    pub asked: u32,
    worker: WorkerId,
    published_since: Micros,
    published_waiting: u32,
}

impl Pool {
    pub(crate) fn new(share: Arc<PoolShare>, part: Part, worker: WorkerId) -> Self {
        let rules = part.rules(&share.rules());
        Self {
            part,
            share,
            rules,
            counters: PoolCounters::default(),
            idle: VecDeque::new(),
            waiters: VecDeque::new(),
            waiting: 0,
            checking: 0,
            checked_for_others: Vec::new(),
            clients: 0,
            servers: 0,
            asked: 0,
            worker,
            published_since: Micros::NEVER,
            published_waiting: 0,
        }
    }

    /// Takes the next idle server to lend: the most recently used, or the longest idle
    /// with `server_round_robin`.
    pub(crate) fn take_idle(&mut self) -> Option<ServerId> {
        let server = if self.rules.round_robin { self.idle.pop_front() } else { self.idle.pop_back() };
        if server.is_some() {
            self.publish_idle();
        }
        server
    }

    /// A server is free.
    pub(crate) fn put_idle(&mut self, server: ServerId) {
        self.idle.push_back(server);
        self.publish_idle();
    }

    /// A free server is gone.
    pub(crate) fn remove_idle(&mut self, server: ServerId) {
        self.idle.retain(|idle| *idle != server);
        self.publish_idle();
    }

    fn publish_idle(&self) {
        self.share.set_idle(self.worker, self.idle.len() as u32);
    }

    /// Whether most places in the queue are stale, and worth a walk.
    pub(crate) fn is_mostly_stale(&self) -> bool {
        self.waiters.len() > 2 * self.waiting as usize + limits::STALE_WAITERS_MAX
    }

    /// A server is being checked: for a client of this worker, or, with `leaving`, for one of another.
    pub(crate) fn check_begins(&mut self, leaving: Option<ServerUnderWay>) {
        self.checking += 1;
        self.checked_for_others.extend(leaving);
        self.publish_waiting();
    }

    /// A check is over. The server is on its way, where it may be for another worker, until what is returned
    /// is dropped.
    pub(crate) fn check_ends(&mut self) -> Option<ServerUnderWay> {
        self.checking = self.checking.saturating_sub(1);
        let leaving = self.checked_for_others.pop();
        self.publish_waiting();
        leaving
    }

    /// `checking` was counted anew: no more of them than that are for others.
    pub(crate) fn checks_counted(&mut self) {
        self.checked_for_others.truncate(self.checking as usize);
    }

    /// Whether clients wait for whom no server is being checked.
    pub(crate) fn is_short(&self) -> bool {
        self.short_by() > 0
    }

    /// Clients that wait for whom no server is being checked.
    fn short_by(&self) -> u32 {
        self.waiting.saturating_sub(self.checked_for_own())
    }

    fn checked_for_own(&self) -> u32 {
        self.checking.saturating_sub(self.checked_for_others.len() as u32)
    }

    /// Whether the ledger is to be asked for a server: for one more client than it has been, of those who may
    /// be logged in for at the same time.
    pub(crate) fn asks(&mut self) -> bool {
        let wanted = self.short_by().min(self.rules.server_login_concurrency);
        let is_news = wanted > self.asked && !self.share.is_full();
        if is_news {
            self.asked = wanted;
        }
        is_news
    }

    /// Tells how many clients wait for whom no server is being checked, and since when the first of
    /// them, if that has changed.
    pub(crate) fn publish_waiting(&mut self) {
        let waiting = self.short_by();
        if waiting != self.published_waiting {
            self.published_waiting = waiting;
            self.share.set_waiting(self.worker, waiting);
        }
        let since = match self.waiters.get(self.checked_for_own() as usize) {
            Some(first) if self.is_short() => first.since,
            _ => Micros::NEVER,
        };
        if since != self.published_since {
            self.published_since = since;
            self.share.set_waiting_since(self.worker, since);
        }
    }
}
