//! What the workers share of one pool: a few atomics that are written when something unusual happens (a queue becomes
//! non-empty, a connection opens), never per transaction by another core.

use super::claim::{Claim, goes_before};
use super::turn::Turn;
use crate::base::sync::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
use crate::base::{Micros, PoolId, WorkerId};
use crate::config::PoolRules;
use crate::core::relay::Meter;
use crate::wire::{Fault, sqlstate};
use arc_swap::{ArcSwap, ArcSwapOption};
use std::sync::Arc;

/// What becomes of a pool's servers as their authorizations grow old. The login plane knows whether a new login would succeed
/// and sets it; the core obeys, always between transactions. Servers without an [`crate::core::login_handoff::Authorization`] are never touched.
/// Except under [`Stance::Renew`] and [`Stance::CatchUp`] no server is asked for on account of age, and none given up for `server_lifetime` or
/// `server_idle_timeout`: that logins work again is for the login plane to find out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Stance {
    /// Logins work: at its soft age a server is replaced, at its hard age it is not lent any more.
    #[default]
    Renew,
    /// Logins are denied, or may be: nothing that works is given up before its hard age, then it is not lent any more.
    KeepToHardAge,
    /// Logins fail through no fault of the user: what works is not given up, lent on beyond its hard age, and counted.
    KeepOn,
    /// Logins work again: servers that were kept beyond their hard age are replaced one soon after the other, and lent on until
    /// their turn comes. The login plane ends it.
    CatchUp,
    /// Every server is closed as soon as it is between transactions. Workers see it at their next pass, or when told by
    /// [`crate::core::admin::Command::Sweep`].
    CloseNow,
}

impl Stance {
    const ALL: [Self; 5] = [Self::Renew, Self::KeepToHardAge, Self::KeepOn, Self::CatchUp, Self::CloseNow];

    /// Whether logins work, so that servers may be replaced.
    pub fn renews(self) -> bool {
        matches!(self, Self::Renew | Self::CatchUp)
    }

    /// Whether servers are lent beyond their hard age.
    pub fn extends(self) -> bool {
        matches!(self, Self::KeepOn | Self::CatchUp)
    }

    /// The word of SHOW IAM.
    pub fn name(self) -> &'static str {
        match self {
            Self::Renew => "renew",
            Self::KeepToHardAge => "keep_to_hard_age",
            Self::KeepOn => "keep_on",
            Self::CatchUp => "catch_up",
            Self::CloseNow => "close_now",
        }
    }
}

/// Switches of the whole process that every worker looks at when a client wants a server.
#[derive(Debug, Default)]
pub struct Gate {
    paused: AtomicBool,
}

impl Gate {
    /// Closes or opens the gate for all databases (PAUSE, RESUME without a name).
    pub fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }

    /// Whether all databases are paused.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }
}

/// One database entry's switches, shared by all its pools.
#[derive(Debug)]
pub struct DatabaseShare {
    /// Name of the entry, as clients ask for it.
    pub name: Arc<str>,
    gate: Arc<Gate>,
    paused: AtomicBool,
    disabled: AtomicBool,
    statements: Meter,
}

impl DatabaseShare {
    /// A database under the process's gate.
    pub fn new(name: Arc<str>, gate: Arc<Gate>) -> Self {
        let (paused, disabled) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { name, gate, paused, disabled, statements: Meter::default() }
    }

    /// What the prepared statements of its clients take, and may take.
    pub fn statements(&self) -> &Meter {
        &self.statements
    }

    /// PAUSE db, RESUME db.
    pub fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }

    /// PAUSE of this database alone.
    pub fn is_paused_itself(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// Whether no server may be lent: this database or the whole process is paused.
    pub fn is_paused(&self) -> bool {
        self.is_paused_itself() || self.gate.is_paused()
    }

    /// DISABLE db, ENABLE db.
    pub fn set_disabled(&self, disabled: bool) {
        self.disabled.store(disabled, Ordering::Release);
    }

    /// Whether new logins are refused.
    pub fn is_disabled(&self) -> bool {
        self.disabled.load(Ordering::Acquire)
    }
}

/// One worker's own line in a pool: written by that worker only, read by others when clients wait.
#[derive(Debug)]
#[repr(align(128))]
struct Slot {
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
    generation: AtomicU32,
    /// Servers on their way to a worker, from another one or from their login.
    moving: AtomicU32,
    removed: AtomicBool,
    lifetime_close: Turn,
    renewal: Turn,
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
    failing: ArcSwapOption<String>,
    obstacle: ArcSwapOption<String>,
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
            generation: AtomicU32::new(0),
            moving: AtomicU32::new(0),
            removed: AtomicBool::new(false),
            lifetime_close: Turn::default(),
            renewal: Turn::default(),
            renewal_not_before: AtomicU64::new(0),
            retirements: AtomicU32::new(0),
            departed: AtomicU32::new(0),
            stance: AtomicU8::new(Stance::default() as u8),
            overstay: AtomicBool::new(false),
            max_age: AtomicU64::new(Micros::NEVER.0),
            login_span: AtomicU64::new(0),
            is_claimed: AtomicBool::new(false),
            claim: ArcSwapOption::empty(),
            failing: ArcSwapOption::empty(),
            obstacle: ArcSwapOption::empty(),
        }
    }

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

    /// Publishes when the hard age of the oldest of them is; [`Micros::NEVER`] = none is free, nor soon will be.
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

    /// Whether a client of another worker waits, now that `here` has published an idle server. One of two who cross each other,
    /// that client with its look at what is idle ([`PoolShare::idle_elsewhere`]) or this, sees the other.
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

    /// What helps those who wait, and since when the first of them does. A server that goes from one worker's idle ones to a
    /// client of another is seen in one of the three: as idle, as moving, or by that its client waits no more. So they are
    /// read in that order, and written so by whoever moves it.
    pub fn outlook(&self) -> Outlook {
        let idle = self.idle_total();
        let moving = self.moving.load(Ordering::Acquire);
        let waiting_since = self.oldest_waiter().map(|(_, since)| since);
        Outlook { idle, moving, waiting_since, waiting: self.waiting_total() }
    }

    /// The rules in force. Workers keep their own copy (`Command::Rules` replaces it): this is for the login plane.
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

    /// Servers logged in and not yet closed, over all workers; written by the ledger.
    pub fn live_count(&self) -> u32 {
        self.live.load(Ordering::Acquire)
    }

    /// Written by the ledger at each login and close.
    pub fn set_live_count(&self, count: u32) {
        self.live.store(count, Ordering::Release);
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
        self.failing.load_full()
    }

    /// Set by the ledger after each login to a server, and by the login plane where that says nothing any more.
    pub fn set_failing(&self, text: Option<String>) {
        self.failing.store(text.map(Arc::new));
    }

    /// Why servers cannot be had at present although clients may wait for one: what they are told when their time is over.
    pub fn obstacle(&self) -> Option<Arc<String>> {
        self.obstacle.load_full()
    }

    /// Set by the login plane after each login to a server.
    pub fn set_obstacle(&self, text: Option<String>) {
        self.obstacle.store(text.map(Arc::new));
    }

    /// What a client is told whose wait for a server has ended by `limit`: the reason where one is known, else `usual`.
    pub fn wait_over(&self, limit: &'static str, usual: Fault) -> Fault {
        self.obstacle().map_or(usual, |why| Fault::NoServer { limit, why: why.to_string() })
    }

    /// What a client is told at once that needs a server while there is none and logins fail; `None` = it may wait. Where the
    /// login plane has named an obstacle the role is denied, and the client learns that as those did who waited for the verdict.
    pub fn refusal(&self) -> Option<Fault> {
        let cached = self.failing()?.to_string();
        Some(match self.obstacle() {
            Some(why) => {
                Fault::Relayed { sqlstate: sqlstate::INVALID_AUTHORIZATION.into(), text: why.to_string() }
            }
            None => Fault::LoginFailing { cached },
        })
    }

    /// Whether a client of another pool claims a server of this one: looked at whenever one is free.
    #[inline]
    pub fn is_claimed(&self) -> bool {
        self.is_claimed.load(Ordering::Relaxed)
    }

    /// That claim.
    pub(in crate::core) fn claim(&self) -> Option<Arc<Claim>> {
        self.claim.load_full()
    }

    /// Whether the free server at hand is to be closed for another pool's client. Says so once for each claim.
    #[cold]
    pub(in crate::core) fn yields_server(&self, now: Micros) -> bool {
        let Some(claim) = self.claim() else { return false };
        let first_here = self.oldest_waiter().map_or(now, |(_, since)| since);
        goes_before(claim.since(), first_here) && claim.take()
    }

    /// Set by the ledger.
    pub(in crate::core) fn set_claim(&self, claim: Option<Arc<Claim>>) {
        self.is_claimed.store(claim.is_some(), Ordering::Relaxed);
        self.claim.store(claim);
    }

    /// A server is kept beyond its hard age.
    pub(in crate::core) fn note_overstay(&self) {
        self.overstay.store(true, Ordering::Release);
    }

    /// Whether a server was seen to be kept beyond its hard age since [`PoolShare::take_overstay`]; workers look at those that
    /// are free at each pass.
    pub fn has_overstay(&self) -> bool {
        self.overstay.load(Ordering::Acquire)
    }

    /// The same, and forgets it.
    pub fn take_overstay(&self) -> bool {
        self.overstay.swap(false, Ordering::AcqRel)
    }

    /// What becomes of servers as their authorizations grow old.
    pub fn stance(&self) -> Stance {
        Stance::ALL[usize::from(self.stance.load(Ordering::Acquire))]
    }

    /// Set by the login plane whenever what it knows of the pool user's logins has changed.
    pub fn set_stance(&self, stance: Stance) {
        self.stance.store(stance as u8, Ordering::Release);
    }

    /// How old an authorization of the pool's servers may grow, whatever it was when they were logged in to.
    pub fn max_age(&self) -> Micros {
        Micros(self.max_age.load(Ordering::Acquire))
    }

    /// Set by the login plane after a reload or SET; workers see it at their next pass.
    pub fn set_max_age(&self, age: Micros) {
        self.max_age.store(age.0, Ordering::Release);
    }

    /// Takes the turn to close one server for its age: at most one per `spacing` over all workers
    /// (PgBouncer spreads lifetime closes `server_lifetime / pool_size` apart).
    pub fn may_close_for_age(&self, now: Micros, spacing: Micros) -> bool {
        self.lifetime_close.take(now, spacing)
    }

    /// Takes the turn to ask for a replacement of a server past its soft age: over all workers not within `gap` of the last one,
    /// however wide the gap was that the server of that one had time for.
    pub fn may_ask_for_renewal(&self, now: Micros, gap: Micros) -> bool {
        now.0 >= self.renewal_not_before.load(Ordering::Acquire) && self.renewal.take(now, gap)
    }

    /// Set by the ledger where nothing can be replaced now: asking is in vain until then, and then the next one may ask.
    pub fn postpone_renewal(&self, until: Micros) {
        self.renewal_not_before.store(until.0, Ordering::Release);
        self.renewal.forget();
    }

    /// One more server past its soft age is to be closed: its replacement has come, or can only come after.
    pub fn want_retirement(&self) {
        self.retirements.fetch_add(1, Ordering::AcqRel);
    }

    /// Servers past their soft age that are still to be closed.
    pub fn wanted_retirements(&self) -> u32 {
        self.retirements.load(Ordering::Acquire)
    }

    /// Whether a server past its soft age is still to be closed.
    pub fn is_retirement_wanted(&self) -> bool {
        self.wanted_retirements() > 0
    }

    /// Whether the caller is the one to close a server past its soft age.
    pub fn take_retirement(&self) -> bool {
        self.is_retirement_wanted() && take_one(&self.retirements)
    }

    /// A server has ended that was not retired: a renewal that is under way need not retire another one when it has come.
    pub fn note_departure(&self) {
        self.departed.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether one has ended by itself since the first of the renewals that are under way began; each counts once.
    pub(in crate::core) fn take_departed(&self) -> bool {
        take_one(&self.departed)
    }

    /// The first of the renewals that will be under way begins.
    pub(in crate::core) fn forget_departed(&self) {
        self.departed.store(0, Ordering::Release);
    }
}

/// Takes one off, if there is one.
fn take_one(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| count.checked_sub(1)).is_ok()
}
