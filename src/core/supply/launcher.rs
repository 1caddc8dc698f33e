//! The launcher: when a server is opened, and for whom; whose idle one is closed for
//! it; who is nudged instead.
//!
//! It decides beside the ledger and does nothing itself: events in, actions out. It never does I/O,
//! never reads a clock, never waits, so that the simulation runs it as it is; its owner
//! (`servers::launcher`) carries out. A lost event costs time only: [`Event::Pass`] finds whatever it
//! would have told. Sources: PgBouncer, src/janitor.c, launch_new_connection() of src/objects.c,
//! config.md ("Server connection pooling").

use super::ledger::{Ledger, Opening, Verdict, Want};
use crate::base::{Micros, PoolId, WorkerId, limits};
use crate::core::pool::PoolShare;
use crate::core::scope::Scope;
use std::sync::Arc;

/// What a server needs at the most to get from one worker to another, where neither is held up.
const LETTER_TIME: Micros = Micros::from_millis(1);

/// One pool as the launcher's owner sees it now.
#[derive(Clone, Debug)]
pub struct Demand {
    /// What the workers share of it.
    pub share: Arc<PoolShare>,
    /// Since when the longest waiting one waits of those who cannot be let in before
    /// the pool has had a server.
    pub welcome_since: Option<Micros>,
    /// Since when replication clients wait for whom no server is being opened, the next one first.
    pub replication: Vec<Micros>,
    /// Its clients, those that log in included.
    pub clients: u32,
    /// Its minimum of servers is kept even without a client.
    pub is_forced: bool,
}

/// What the launcher is told.
#[derive(Clone, Debug)]
pub enum Event {
    /// Somebody has asked for a server just now.
    Asked(Demand),
    /// A server was handed over, or a letter between workers has had its time: perhaps others still wait,
    /// perhaps it replaces an older one.
    Again(Demand),
    /// A server is past its soft age.
    PastSoftAge(Demand),
    /// [`Action::MakeSure`] has turned out well.
    SureOfLogin(Demand),
    /// A place is free again: the pools whose wants may be met by it ([`Ledger::revived_by`]).
    PlaceFree(Vec<Demand>),
    /// A worker has been asked for an idle server of `scope`.
    EvictionTried {
        /// Where room is made.
        scope: Scope,
        /// Who was asked.
        worker: WorkerId,
        /// One is being closed: its place comes back by itself.
        found: bool,
    },
    /// The periodic look at a pool.
    Pass(Demand),
}

/// What the launcher's owner is to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Open a server in the place that has been taken for it.
    Open {
        /// Of this pool.
        pool: Arc<PoolShare>,
        /// For this.
        want: Want,
        /// In this place.
        opening: Opening,
    },
    /// Tell a worker with idle servers that a client of another one waits.
    Nudge {
        /// For a server of this pool.
        pool: PoolId,
        /// Who has them.
        idle_at: WorkerId,
        /// Whose client waits.
        by: WorkerId,
    },
    /// Have a worker close an idle server; [`Event::EvictionTried`] is its answer.
    Evict {
        /// Of these pools.
        scope: Scope,
        /// Who is asked.
        worker: WorkerId,
    },
    /// Have every worker look for a free server past its soft age, which one of them closes.
    Retire(PoolId),
    /// Find out whether a login would succeed; [`Event::SureOfLogin`] if so.
    MakeSure(PoolId),
    /// [`Event::Again`] when this time is over.
    LookAgain(PoolId, Micros),
    /// No server can be opened: those who wait for a welcome may have one of an older generation.
    WelcomeAsBefore(PoolId),
}

/// Why a pool is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prompt {
    /// Somebody asked for a server just now.
    Asked,
    /// It is its turn.
    Routine,
}

/// The launcher: it keeps nothing from one event to the next but what the ledger keeps.
#[derive(Clone, Copy, Debug)]
pub struct Launcher {
    workers: u16,
}

/// One event being thought about.
struct Thought<'a> {
    workers: u16,
    ledger: &'a mut Ledger,
    now: Micros,
    actions: Vec<Action>,
}

impl Launcher {
    /// One for so many workers.
    pub fn new(workers: usize) -> Self {
        Self { workers: workers as u16 }
    }

    /// Decides; what is to be done, in this order.
    pub fn handle(&self, event: Event, ledger: &mut Ledger, now: Micros) -> Vec<Action> {
        let mut thought = Thought { workers: self.workers, ledger, now, actions: Vec::new() };
        match event {
            Event::Asked(pool) => thought.look_at(&pool, Prompt::Asked),
            Event::Again(pool) => {
                thought.look_at(&pool, Prompt::Routine);
                thought.retire(&pool.share);
                thought.look_at_held(&pool.share);
            }
            Event::PastSoftAge(pool) => thought.renew(&pool),
            Event::SureOfLogin(pool) => _ = thought.consider(&pool.share, Want::Renewal),
            Event::PlaceFree(pools) => thought.place_free(pools),
            Event::EvictionTried { scope, worker, found } => thought.eviction_tried(scope, worker, found),
            Event::Pass(pool) => thought.pass(&pool),
        }
        thought.actions
    }
}

impl Thought<'_> {
    /// Whoever has waited longest in the rooms where the place was is looked at first.
    fn place_free(&mut self, mut pools: Vec<Demand>) {
        pools.sort_by_cached_key(|pool| pool.oldest_waiter().unwrap_or(Micros::NEVER));
        for pool in &pools {
            self.look_at(pool, Prompt::Routine);
        }
        for pool in &pools {
            self.replace_retired(pool);
        }
        if let Some(pool) = pools.first() {
            self.look_at_held(&pool.share);
        }
    }

    /// A login at the pool's endpoint may have ended: a pool that had no place there is looked at.
    /// It looks at the next one.
    fn look_at_held(&mut self, share: &PoolShare) {
        if let Some(pool) = self.ledger.next_held(&share.rules().endpoint) {
            self.actions.push(Action::LookAgain(pool, Micros(0)));
        }
    }

    fn pass(&mut self, pool: &Demand) {
        self.renudge_stuck(&pool.share);
        self.look_at(pool, Prompt::Routine);
        self.replace_retired(pool);
        let is_short = pool.share.live_count() < pool.share.rules().min_pool_size;
        if is_short && (pool.is_forced || pool.clients > 0) {
            while self.consider(&pool.share, Want::Minimum) {}
        }
    }

    /// A server of the pool is past its soft age. One that nobody would miss is not replaced.
    fn renew(&mut self, pool: &Demand) {
        if pool.clients == 0 {
            if !pool.share.is_retirement_wanted() {
                pool.share.want_retirement();
            }
            self.retire(&pool.share);
        } else if self.ledger.has_room(&pool.share) {
            self.consider(&pool.share, Want::Renewal);
        } else {
            self.actions.push(Action::MakeSure(pool.share.id));
        }
    }

    /// Has a server past its soft age closed wherever there is a free one, if that is wanted.
    fn retire(&mut self, share: &PoolShare) {
        if share.is_retirement_wanted() {
            self.actions.push(Action::Retire(share.id));
        }
    }

    /// Opens the replacement of a server that was retired at a cap. Those who wait
    /// have been looked at before.
    fn replace_retired(&mut self, pool: &Demand) {
        while pool.clients > 0
            && self.ledger.owes_replacement(&pool.share)
            && self.consider(&pool.share, Want::Renewal)
        {}
    }

    /// A client waits on one worker while another has idle servers, and has for a whole
    /// pass: the nudge was lost.
    fn renudge_stuck(&mut self, share: &PoolShare) {
        let Some((_, since)) = share.oldest_waiter() else { return };
        if self.now.since(since) >= Micros::from_millis(limits::JANITOR_PERIOD_MS) {
            self.nudge(share);
        }
    }

    /// Has a server that is idle on one worker given to the client that waits longest, on another. Returns
    /// whether there is one; if it is gone by then, its worker asks for a server.
    fn nudge(&mut self, share: &PoolShare) -> bool {
        let Some((by, _)) = share.oldest_waiter().filter(|_| !share.database.is_paused()) else {
            return false;
        };
        let Some(idle_at) = share.idle_elsewhere(by) else { return false };
        self.actions.push(Action::Nudge { pool: share.id, idle_at, by });
        true
    }

    /// Opens servers for whoever waits: first for the kind of clients of which one has waited longest.
    fn look_at(&mut self, pool: &Demand, prompt: Prompt) {
        let is_first = |since: &Micros| pool.oldest_pooled().is_none_or(|other| *since <= other);
        if pool.replication.first().is_some_and(is_first) {
            self.look_at_replication(pool);
            self.look_at_waiting(pool, prompt);
        } else {
            self.look_at_waiting(pool, prompt);
            self.look_at_replication(pool);
        }
    }

    /// Opens a server for each replication client that waits.
    fn look_at_replication(&mut self, pool: &Demand) {
        let waiting = pool.replication.iter();
        let denied =
            waiting.copied().find(|since| !self.consider(&pool.share, Want::Replication { since: *since }));
        if denied.is_none() {
            self.ledger.wants_no_replication(&pool.share);
        }
    }

    /// Opens servers for the clients that wait to be lent one, if there are any: one for each, those
    /// counted that are on their way.
    fn look_at_waiting(&mut self, pool: &Demand, prompt: Prompt) {
        let share = &pool.share;
        let fails = share.failing().is_some() && share.live_count() == 0;
        let is_welcomed = pool.welcome_since.is_none();
        let outlook = share.outlook();
        let since = match outlook.waiting_since.into_iter().chain(pool.welcome_since).min() {
            // Idle servers are for those who wait; one more is opened only if that does not help.
            Some(_) if prompt == Prompt::Routine && outlook.idle > 0 && is_welcomed => return,
            // As many are on their way already: whether more are wanted shows when they have arrived.
            Some(_) if outlook.moving >= outlook.waiting.max(1) && is_welcomed => {
                return self.actions.push(Action::LookAgain(share.id, LETTER_TIME));
            }
            // Whoever asked may not have seen yet what another worker has.
            Some(_) if prompt == Prompt::Asked && is_welcomed && self.nudge(share) => return,
            // One was idle a moment ago: it is the waiting client's own worker's, or has left for it.
            Some(_) if outlook.idle > 0 && is_welcomed => {
                return self.actions.push(Action::LookAgain(share.id, LETTER_TIME));
            }
            Some(since) => since,
            // Clients of a pool whose logins fail are turned away instead of waiting, and ask all the same.
            None if prompt == Prompt::Asked && fails => self.now,
            None => return self.ledger.wants_nothing(share),
        };
        let wanted = outlook.waiting.saturating_sub(outlook.moving).max(1);
        let mut coming = self.ledger.coming(share.id);
        if coming >= wanted {
            return self.ledger.wants_nothing(share);
        }
        while coming < wanted && self.consider(share, Want::Waiter { since }) {
            coming += 1;
        }
    }

    /// Returns whether a server is opened.
    fn consider(&mut self, pool: &Arc<PoolShare>, want: Want) -> bool {
        match self.ledger.consider(pool, want, self.now) {
            Verdict::Launch(opening) => {
                self.actions.push(Action::Open { pool: Arc::clone(pool), want, opening });
                return true;
            }
            Verdict::EvictFirst(scope) => self.actions.push(Action::Evict { scope, worker: WorkerId(0) }),
            Verdict::RetireFirst => self.retire(pool),
            Verdict::Full => self.actions.push(Action::WelcomeAsBefore(pool.id)),
            Verdict::Later(_) | Verdict::Nothing => {}
        }
        false
    }

    /// Workers are asked one after the other until one has an idle server to close.
    fn eviction_tried(&mut self, scope: Scope, worker: WorkerId, found: bool) {
        let next = worker.0 + 1;
        match found {
            true => {}
            false if next < self.workers => {
                self.actions.push(Action::Evict { scope, worker: WorkerId(next) });
            }
            false => self.ledger.nothing_to_evict(&scope),
        }
    }
}

impl Demand {
    /// Since when the longest waiting client waits of those that any server of the pool serves: for one, or
    /// for its welcome.
    fn oldest_pooled(&self) -> Option<Micros> {
        let for_server = self.share.oldest_waiter().map(|(_, since)| since);
        for_server.into_iter().chain(self.welcome_since).min()
    }

    /// Since when the longest waiting client does, the next replication client among them.
    fn oldest_waiter(&self) -> Option<Micros> {
        self.oldest_pooled().into_iter().chain(self.replication.first().copied()).min()
    }
}

#[cfg(test)]
mod tests;
