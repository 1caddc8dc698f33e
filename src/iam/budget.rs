//! How many logins a second one endpoint is asked to take, and who goes first.
//!
//! RDS throttles IAM logins (some 200 a second and instance, for all who log in there), and a throttled login
//! looks like a refused one; so the pooler keeps well below by itself. A token bucket gives the pace; the
//! order is by priority, then by arrival. Where RDS lets fewer through than we try, because of others or of
//! what it is, the pace settles there: refusals that look like throttling halve it, it grows each 10 s, by
//! little first and then by 1/s, and refusals behind such a step take that back and a little more. Turns come
//! evenly then, since nobody knows how short a burst is throttled. Pure: monotonic time comes in as argument.
//! Memory: one entry for each login that waits, which the pools' own limits bound.

use crate::base::Micros;
use std::collections::VecDeque;

/// `iam_login_rate`'s default, in logins a second: far below the 200 of RDS, since others share them.
pub const LOGIN_RATE: u32 = 20;

/// The pace grows this often: by an eighth first, then by twice as much as before, by one a second at most.
const GROWTH_PERIOD: Micros = Micros::from_secs(10);

const FIRST_STEP: u64 = 8;

/// The slowest pace, in thousandths of a login a second.
const RATE_MIN: u64 = PER_SECOND / 2;

/// Two cuts of the pace are this far apart at the least: one burst of refusals is one sign of throttling.
const CUT_GAP: Micros = Micros::from_secs(2);

/// Logins begun so soon after a cut still meet what those of before have used up.
const SETTLE_SPAN: Micros = Micros::from_secs(1);

/// A pace that was taken until it grew is cut by this part of what it was then.
const SMALL_CUT: u64 = 16;

/// For so long after a cut refusals of whoever is new may well be more of the same.
const THROTTLED_SPAN: Micros = Micros::from_secs(15);

/// For so long after the last sign of throttling turns come evenly, and no second's worth at once.
const EVEN_SPAN: Micros = Micros::from_secs(600);

/// One login a second; paces are counted in thousandths of it.
const PER_SECOND: u64 = 1_000;

/// One login in the bucket, which so many microseconds of the pace fill.
const LOGIN: u64 = 1_000_000 * PER_SECOND;

/// Whom a login is for. The first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// Clients wait for a server.
    Client = 0,
    /// A pool is below `min_pool_size`.
    MinPool = 1,
    /// A server's authorization grows old and it is to be replaced.
    Recycling = 2,
}

impl Priority {
    /// All, the first first.
    pub const ALL: [Self; 3] = [Self::Client, Self::MinPool, Self::Recycling];

    /// The label of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::MinPool => "min_pool",
            Self::Recycling => "recycling",
        }
    }
}

/// One login that waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    number: u64,
    priority: Priority,
}

/// A turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Whose.
    pub ticket: Ticket,
    /// How long it was waited for.
    pub waited: Micros,
}

/// The budget of one endpoint.
#[derive(Clone, Debug)]
pub struct Budget {
    /// `iam_login_rate`.
    rate_max: u64,
    /// The pace now.
    rate: u64,
    /// Before it grew last.
    rate_before: u64,
    /// By how much it grows next.
    step: u64,
    /// What the bucket holds.
    level: u64,
    filled_at: Micros,
    grown_at: Micros,
    /// When the pace was cut last.
    cut_at: Option<Micros>,
    /// When the last turn was given out.
    turned_at: Option<Micros>,
    /// When a turn was given out last that was one of too many.
    strained_at: Option<Micros>,
    waiting: [VecDeque<(u64, Micros)>; Priority::ALL.len()],
    tickets: u64,
}

impl Budget {
    /// A full bucket that lets `rate_max` logins a second pass; 0 counts as 1.
    pub fn new(rate_max: u32, now: Micros) -> Self {
        let rate = u64::from(rate_max.max(1)) * PER_SECOND;
        Self {
            rate_max: rate,
            rate,
            rate_before: rate,
            step: PER_SECOND,
            level: level_max(rate),
            filled_at: now,
            grown_at: now,
            cut_at: None,
            turned_at: None,
            strained_at: None,
            waiting: Default::default(),
            tickets: 0,
        }
    }

    /// Another `iam_login_rate`, as a reload brings it.
    pub fn set_rate_max(&mut self, rate_max: u32, now: Micros) {
        self.fill(now);
        let was_full_pace = self.rate == self.rate_max;
        self.rate_max = u64::from(rate_max.max(1)) * PER_SECOND;
        self.rate = if was_full_pace { self.rate_max } else { self.rate.min(self.rate_max) };
        self.level = self.level.min(level_max(self.rate));
    }

    /// Queues a login. It is up when [`Budget::next`] says its ticket.
    pub fn ask(&mut self, priority: Priority, now: Micros) -> Ticket {
        self.tickets += 1;
        self.waiting[priority as usize].push_back((self.tickets, now));
        Ticket { number: self.tickets, priority }
    }

    /// Takes a login back that is not wanted any more. One that has had its turn is not
    /// there; that is no error.
    pub fn forget(&mut self, ticket: Ticket) {
        let queue = &mut self.waiting[ticket.priority as usize];
        if let Ok(index) = queue.binary_search_by_key(&ticket.number, |(number, _)| *number) {
            queue.remove(index);
        }
    }

    /// Whose turn it is, if it is anybody's. Call it until it says nobody's, then
    /// again at [`Budget::next_at`].
    pub fn next(&mut self, now: Micros) -> Option<Turn> {
        self.fill(now);
        if self.due_at(now) > now {
            return None;
        }
        let mut queues = Priority::ALL.into_iter().zip(&mut self.waiting);
        let (priority, (number, since)) =
            queues.find_map(|(priority, queue)| Some((priority, queue.pop_front()?)))?;
        self.level = self.level.saturating_sub(LOGIN);
        self.turned_at = Some(now);
        let waited = now.since(since);
        if self.is_low() || (self.is_even(now) && waited > Micros(0)) {
            self.strained_at = Some(now);
        }
        Some(Turn { ticket: Ticket { number, priority }, waited })
    }

    /// When the next turn is, if anybody waits; never before `now`.
    pub fn next_at(&self, now: Micros) -> Option<Micros> {
        if self.waiting() == 0 {
            return None;
        }
        Some(self.due_at(now).max(now))
    }

    /// Logins that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.iter().map(VecDeque::len).sum()
    }

    /// The pace now, in whole logins a second; at least 1.
    pub fn rate(&self) -> u32 {
        u32::try_from(self.rate / PER_SECOND).unwrap_or(u32::MAX).max(1)
    }

    /// The pace now, in logins in a thousand seconds.
    pub fn per_kilosecond(&self) -> u32 {
        u32::try_from(self.rate).unwrap_or(u32::MAX)
    }

    /// Whether at some time since `since`, when a login was begun, the bucket was so far used up, or turns
    /// that come evenly had to be waited for, that its refusal may be our own doing. Its own turn does not
    /// count while they come at once.
    pub fn is_strained(&mut self, since: Micros, now: Micros) -> bool {
        self.fill(now);
        self.is_low() || self.strained_at.is_some_and(|at| at >= since)
    }

    /// Whether logins were throttled within the last seconds.
    pub fn is_throttled(&self, now: Micros) -> bool {
        self.cut_at.is_some_and(|cut_at| now.since(cut_at) < THROTTLED_SPAN)
    }

    /// Whether more than half is used up; or some wait, however slow the pace is.
    fn is_low(&self) -> bool {
        self.level + LOGIN < level_max(self.rate) / 2 || self.waiting() > 0
    }

    /// A login that was begun at `begun_at` looked throttled. The pace is halved, or, where the last thing it
    /// did was to grow, cut a little below what was taken before; at most once each 2 s, and not for a login
    /// of the pace of before, however long it took.
    pub fn throttled(&mut self, begun_at: Micros, now: Micros) {
        let is_of_before = |cut_at: Micros| now.since(cut_at) < CUT_GAP || begun_at < cut_at + SETTLE_SPAN;
        if self.cut_at.is_some_and(is_of_before) {
            return;
        }
        self.fill(now);
        let has_grown = self.cut_at.is_some_and(|cut_at| self.grown_at > cut_at);
        let rate = if has_grown { self.rate_before - self.rate_before / SMALL_CUT } else { self.rate / 2 };
        self.rate = rate.max(RATE_MIN);
        self.step = (self.rate / FIRST_STEP).min(PER_SECOND);
        self.level = self.level.min(level_max(self.rate));
        (self.cut_at, self.grown_at) = (Some(now), now);
    }

    /// When the next turn may be given out.
    fn due_at(&self, now: Micros) -> Micros {
        let time_for = |level: u64| Micros(level.div_ceil(self.rate));
        let filled_at = self.filled_at + time_for(LOGIN.saturating_sub(self.level));
        let last = self.turned_at.filter(|_| self.is_even(now));
        last.map_or(filled_at, |turned_at| filled_at.max(turned_at + time_for(LOGIN)))
    }

    /// Whether turns come evenly: logins were throttled lately.
    fn is_even(&self, now: Micros) -> bool {
        let is_so = |cut_at: Micros| self.rate < self.rate_max || now.since(cut_at) < EVEN_SPAN;
        self.cut_at.is_some_and(is_so)
    }

    fn fill(&mut self, now: Micros) {
        let span = now.since(self.filled_at).0;
        self.level = span.saturating_mul(self.rate).saturating_add(self.level).min(level_max(self.rate));
        self.filled_at = self.filled_at.max(now);
        let steps = now.since(self.grown_at).0 / GROWTH_PERIOD.0;
        self.grown_at = self.grown_at + Micros(steps.saturating_mul(GROWTH_PERIOD.0));
        for _ in 0..steps {
            if self.rate >= self.rate_max {
                break;
            }
            self.rate_before = self.rate;
            self.rate = (self.rate + self.step).min(self.rate_max);
            self.step = (2 * self.step).min(PER_SECOND);
        }
    }
}

/// A second's worth; one login at the least.
fn level_max(rate: u64) -> u64 {
    (rate * (LOGIN / PER_SECOND)).max(LOGIN)
}

#[cfg(test)]
mod tests;
