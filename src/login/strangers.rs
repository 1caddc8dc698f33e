//! Clients that have not proven who they are: how many there may be, who has to go when others want in, what the log hears.
//!
//! They count against `max_login_conn` and a quarter of the open files, not against `max_client_conn`: whoever
//! can prove himself finds room. At the limit the next one is accepted when a login ends, or when one that we
//! have waited for longer than [`limits::LOGIN_GRACE_MS`] is cut off: of the network with the most of them, the
//! one that has been silent longest. Never cuts off a client that has just moved on, or one that we make wait;
//! in the queue for auth_query it is one of many who wait for each other, and may be.

use crate::base::{Address, Micros, limits};
use crate::io::Clock;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Where a client comes from, as far as one can be told from many: an address, an IPv6 network of 64 bits, or (`None`) this
/// machine's Unix sockets.
type Origin = Option<IpAddr>;

fn origin(remote: &Address) -> Origin {
    match remote {
        Address::Tcp(address) => Some(match address.ip() {
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
            ip => ip,
        }),
        Address::Unix { .. } => None,
    }
}

/// Since when a client has been waited for.
#[derive(Debug)]
pub struct Pace {
    clock: Clock,
    since: AtomicU64,
}

impl Pace {
    fn new(clock: Clock) -> Self {
        Self { clock, since: AtomicU64::new(clock.now().0) }
    }

    /// The client has done a step, a whole message: single bytes count for nothing.
    pub fn step(&self) {
        self.since.store(self.clock.now().0, Ordering::Relaxed);
    }

    /// It waits for us until the guard is dropped.
    pub fn ours(self: &Arc<Self>) -> Ours {
        self.since.store(Micros::NEVER.0, Ordering::Relaxed);
        Ours(Arc::clone(self))
    }

    /// Since when, if that is longer than it should be.
    fn stalled_since(&self) -> Option<Micros> {
        let since = Micros(self.since.load(Ordering::Relaxed));
        let is_stalled = since != Micros::NEVER
            && self.clock.now().since(since) >= Micros::from_millis(limits::LOGIN_GRACE_MS);
        is_stalled.then_some(since)
    }
}

/// See [`Pace::ours`].
pub struct Ours(Arc<Pace>);

impl Drop for Ours {
    fn drop(&mut self) {
        self.0.step();
    }
}

/// All of them.
#[derive(Debug)]
pub struct Strangers {
    clock: Clock,
    table: Mutex<Table>,
    /// Somebody has left.
    left: Notify,
    cut_off: AtomicU64,
    lines: Mutex<Lines>,
    /// Held by the one that waits for its turn; the others wait for it.
    new_databases: tokio::sync::Mutex<Bucket>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    slots: BTreeMap<u64, Arc<Slot>>,
    origins: HashMap<Origin, usize>,
}

/// One of them. Counts until [`Stranger::leave`], or until the last reference of its [`Stranger`] is gone.
#[derive(Debug)]
pub struct Slot {
    number: u64,
    origin: Origin,
    pace: Arc<Pace>,
    /// It has been told to go.
    is_told: AtomicBool,
    word: Notify,
}

/// A client's hold on its slot.
#[derive(Debug)]
pub struct Stranger {
    strangers: Arc<Strangers>,
    slot: Arc<Slot>,
}

impl Strangers {
    /// Nobody here yet.
    pub fn new(clock: Clock) -> Self {
        let bucket = |burst, per_second| Bucket { left: burst, at: clock.now(), burst, per_second };
        let lines = bucket(limits::LOG_STRANGERS_BURST, limits::LOG_STRANGERS_PER_SECOND);
        let new_databases = bucket(limits::NEW_DATABASES_BURST, limits::NEW_DATABASES_PER_SECOND);
        Self {
            clock,
            table: Mutex::default(),
            left: Notify::new(),
            cut_off: AtomicU64::new(0),
            lines: Mutex::new(Lines { room: lines, left_out: 0 }),
            new_databases: tokio::sync::Mutex::new(new_databases),
        }
    }

    /// Waits until one more database may be made for auth_query. Each costs a login to a server, with its lines in the log.
    ///
    /// # Cancel safety
    /// Dropping it leaves the queue.
    pub async fn new_database(&self) {
        let mut room = self.new_databases.lock().await;
        while !room.take(self.clock.now()) {
            tokio::time::sleep(Duration::from_micros(1_000_000 / room.per_second)).await;
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.table().slots.len()
    }

    /// How many have been cut off since the start.
    pub fn cut_off(&self) -> u64 {
        self.cut_off.load(Ordering::Relaxed)
    }

    /// Waits until there are fewer than `limit`, and adds one.
    ///
    /// # Cancel safety
    /// Nobody is added.
    pub async fn admit(self: &Arc<Self>, remote: &Address, limit: impl Fn() -> usize) -> Stranger {
        loop {
            let left = self.left.notified();
            if let Some(stranger) = self.enter_below(limit().max(1), remote) {
                return stranger;
            }
            self.make_room();
            // Nobody may leave and nobody be late enough yet: then only time helps.
            let _ = tokio::time::timeout(Duration::from_millis(limits::LOGIN_ROOM_POLL_MS), left).await;
        }
    }

    /// Adds one, whatever the limit.
    pub fn enter(self: &Arc<Self>, remote: &Address) -> Stranger {
        self.enter_into(&mut self.table(), remote)
    }

    fn enter_below(self: &Arc<Self>, limit: usize, remote: &Address) -> Option<Stranger> {
        let mut table = self.table();
        (table.slots.len() < limit).then(|| self.enter_into(&mut table, remote))
    }

    fn enter_into(self: &Arc<Self>, table: &mut Table, remote: &Address) -> Stranger {
        let number = table.next;
        table.next += 1;
        let slot = Arc::new(Slot {
            number,
            origin: origin(remote),
            pace: Arc::new(Pace::new(self.clock)),
            is_told: AtomicBool::new(false),
            word: Notify::new(),
        });
        *table.origins.entry(slot.origin).or_default() += 1;
        table.slots.insert(number, Arc::clone(&slot));
        Stranger { strangers: Arc::clone(self), slot }
    }

    /// Tells one that is late to go, if there is one.
    pub fn make_room(&self) {
        let table = self.table();
        let late = table.slots.values().filter(|slot| !slot.is_told.load(Ordering::Relaxed));
        let late = late.filter_map(|slot| slot.pace.stalled_since().map(|since| (since, slot)));
        let of_origin = |slot: &Slot| table.origins.get(&slot.origin).copied().unwrap_or_default();
        if let Some((_, slot)) = late.max_by_key(|(since, slot)| (of_origin(slot), std::cmp::Reverse(*since)))
        {
            slot.is_told.store(true, Ordering::Relaxed);
            slot.word.notify_one();
        }
    }

    /// Whether the log has room for another one of them; tells how many it had none for, when it has again.
    pub fn may_log(&self) -> bool {
        let now = self.clock.now();
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = lines.take(now);
        drop(lines);
        if let Some(count @ 1..) = left_out {
            tracing::warn!("{count} connections that did not prove who they are were left out of the log");
        }
        left_out.is_some()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stranger {
    /// How fast it is.
    pub fn pace(&self) -> &Arc<Pace> {
        &self.slot.pace
    }

    /// It has proven who it is, or is gone: it does not count any more.
    pub fn leave(&self) {
        let mut table = self.strangers.table();
        if table.slots.remove(&self.slot.number).is_none() {
            return;
        }
        if let Some(count) = table.origins.get_mut(&self.slot.origin) {
            *count -= 1;
            if *count == 0 {
                table.origins.remove(&self.slot.origin);
            }
        }
        drop(table);
        self.strangers.left.notify_waiters();
    }

    /// Returns when it has to go; never, once it has left. Asked once for the whole of a login.
    ///
    /// # Cancel safety
    /// A word that has come already may be lost, and comes no more.
    pub async fn cut_off(&self) {
        loop {
            self.slot.word.notified().await;
            let is_here = self.strangers.table().slots.contains_key(&self.slot.number);
            // what it has sent meanwhile was read first
            if is_here && self.slot.pace.stalled_since().is_some() {
                self.strangers.cut_off.fetch_add(1, Ordering::Relaxed);
                return;
            }
            self.slot.is_told.store(false, Ordering::Relaxed);
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.leave();
    }
}

/// So many in one go, and so many a second after that.
#[derive(Debug)]
struct Bucket {
    left: u64,
    at: Micros,
    burst: u64,
    per_second: u64,
}

impl Bucket {
    fn take(&mut self, now: Micros) -> bool {
        let earned = now.since(self.at).0 / (1_000_000 / self.per_second);
        if earned > 0 {
            self.left = (self.left + earned).min(self.burst);
            self.at = now;
        }
        let is_there = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_there
    }
}

/// How many of them the log still takes.
#[derive(Debug)]
struct Lines {
    room: Bucket,
    left_out: u64,
}

impl Lines {
    /// `None`: there is no room. `Some`: there is, and so many were left out since the last.
    fn take(&mut self, now: Micros) -> Option<u64> {
        if self.room.take(now) {
            Some(std::mem::take(&mut self.left_out))
        } else {
            self.left_out += 1;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> Address {
        Address::Tcp(format!("{address}:1").parse().unwrap())
    }

    fn late(stranger: &Stranger, ms: u64) {
        let then = stranger.slot.pace.clock.now().0.saturating_sub(ms * 1_000);
        stranger.slot.pace.since.store(then, Ordering::Relaxed);
    }

    fn strangers() -> Arc<Strangers> {
        // a clock that begins far enough from zero for everybody to be late
        Arc::new(Strangers::new(Clock::new()))
    }

    fn told(stranger: &Stranger) -> bool {
        stranger.slot.is_told.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn the_next_one_waits_for_one_to_leave() {
        let strangers = strangers();
        let first = strangers.admit(&from("10.0.0.1"), || 1).await;
        let next = tokio::spawn({
            let strangers = Arc::clone(&strangers);
            async move { strangers.admit(&from("10.0.0.2"), || 1).await }
        });
        tokio::task::yield_now().await;
        assert!(!next.is_finished() && !told(&first), "it has its time");
        first.leave();
        let _next = next.await.unwrap();
        drop(first);
        assert_eq!((strangers.count(), strangers.cut_off()), (1, 0));
    }

    #[tokio::test]
    async fn who_comes_in_by_another_listener_meanwhile_is_counted() {
        let strangers = strangers();
        let others = Mutex::new(Vec::new());
        let limit = || {
            others.lock().unwrap().push(strangers.enter(&from("10.0.0.2")));
            3
        };
        let _first = strangers.admit(&from("10.0.0.1"), limit).await;
        let address = from("10.0.0.1");
        let full = strangers.admit(&address, limit);
        assert!(tokio::time::timeout(Duration::from_millis(1), full).await.is_err());
        assert_eq!(strangers.count(), 3, "never more than the limit");
    }

    #[tokio::test]
    async fn of_the_busiest_network_the_one_that_is_silent_longest_has_to_go() {
        let strangers = strangers();
        let enter = |address| strangers.enter(&from(address));
        let (alone, one, other) = (enter("10.0.0.1"), enter("[2001:db8::1]"), enter("[2001:db8::2:1]"));
        tokio::time::sleep(Duration::from_millis(2)).await;
        strangers.make_room();
        assert!(![&alone, &one, &other].into_iter().any(told), "nobody is late");
        let grace = limits::LOGIN_GRACE_MS;
        while alone.slot.pace.clock.now() < Micros::from_millis(grace + 900) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        late(&alone, grace + 800);
        late(&one, grace + 500);
        late(&other, grace + 600);
        strangers.make_room();
        assert!(told(&other) && !told(&one) && !told(&alone));
        other.cut_off().await;
        drop(other);
        strangers.make_room();
        assert!(told(&alone) && !told(&one), "each network has one left");
        assert_eq!(strangers.cut_off(), 1);
    }

    #[tokio::test]
    async fn who_moves_on_or_waits_for_us_stays() {
        let strangers = strangers();
        let stranger = strangers.enter(&from("10.0.0.1"));
        let pace = Arc::clone(stranger.pace());
        while pace.stalled_since().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let ours = pace.ours();
        strangers.make_room();
        assert!(!told(&stranger), "it waits for us");
        drop(ours);
        while pace.stalled_since().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        strangers.make_room();
        assert!(told(&stranger));
        pace.step();
        let went = tokio::time::timeout(Duration::from_millis(1), stranger.cut_off()).await;
        assert!(went.is_err() && !told(&stranger), "it has moved on");
    }

    #[test]
    fn the_log_takes_a_burst_and_then_so_many_a_second() {
        let room = Bucket { left: 2, at: Micros(0), burst: 7, per_second: 5 };
        let mut lines = Lines { room, left_out: 0 };
        let took: Vec<_> = (0..4).map(|_| lines.take(Micros(1))).collect();
        assert_eq!(took, [Some(0), Some(0), None, None]);
        assert_eq!(lines.take(Micros::from_secs(1)), Some(2), "it says how many were left out");
        assert_eq!(lines.room.left, 4);
        lines.take(Micros::from_secs(1_000_000));
        assert_eq!(lines.room.left, 6, "never more than a burst");
    }

    #[tokio::test]
    async fn new_databases_come_in_a_burst_and_then_one_after_the_other() {
        let strangers = strangers();
        for _ in 0..limits::NEW_DATABASES_BURST {
            strangers.new_database().await;
        }
        let begun_at = strangers.clock.now();
        for _ in 0..10 {
            strangers.new_database().await;
        }
        let took = strangers.clock.now().since(begun_at);
        assert!(took >= Micros::from_millis(10 * 1_000 / limits::NEW_DATABASES_PER_SECOND / 2), "{took:?}");
    }
}
