//! Clients that have not proven who they are: how many there may be, who has to go when others
//! want in, what the log hears.
//!
//! They count against `max_login_conn` and a quarter of the open files, not against `max_client_conn`:
//! whoever can prove himself finds room. At the limit the next one is accepted when a login ends, or when one
//! that we have waited for longer than [`limits::LOGIN_GRACE_MS`] is cut off: of the network with the most of
//! them, the one that has been silent longest. Never cuts off a client that has just moved on, or one that we
//! make wait; in the queue for auth_query it is one of many who wait for each other, and may be.

mod table;

pub use table::{UnauthenticatedTable, Waited};

use crate::base::{Address, Micros, limits};
use crate::io::Clock;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How fast a client is: since when it has been waited for, by our clock.
#[derive(Clone, Debug)]
pub struct Pace {
    clock: Clock,
    waited: Arc<Waited>,
}

impl Pace {
    /// The client has done a step, a whole message: single bytes count for nothing.
    pub fn step(&self) {
        self.waited.step(self.clock.now());
    }

    /// It waits for us until the guard is dropped.
    pub fn waits_for_us(&self) -> WaitsForUs {
        self.waited.pause();
        WaitsForUs(self.clone())
    }

    /// Since when it has been waited for; `None`: it waits for us.
    #[cfg(test)]
    pub fn waited_since(&self) -> Option<Micros> {
        self.waited.waited_since()
    }
}

/// See [`Pace::waits_for_us`].
pub struct WaitsForUs(Pace);

impl Drop for WaitsForUs {
    fn drop(&mut self) {
        self.0.step();
    }
}

/// All clients that have not proven who they are, and the limit on them.
#[derive(Debug)]
pub struct UnauthenticatedClients {
    clock: Clock,
    table: Mutex<UnauthenticatedTable<Arc<Notify>>>,
    /// Somebody has left.
    left: Notify,
    lines: Mutex<Lines>,
    /// Held by the one that waits for its turn; the others wait for it.
    new_databases: tokio::sync::Mutex<Bucket>,
}

/// One place below that limit. Counts until [`LoginSlot::leave`], or until it is dropped.
#[derive(Debug)]
pub struct LoginSlot {
    unauthenticated: Arc<UnauthenticatedClients>,
    number: u64,
    pace: Pace,
    /// It has been told to go.
    word: Arc<Notify>,
}

impl UnauthenticatedClients {
    /// Nobody here yet.
    pub fn new(clock: Clock) -> Self {
        let bucket = |burst, per_second| Bucket { left: burst, at: clock.now(), burst, per_second };
        let lines = bucket(limits::LOG_UNAUTHENTICATED_BURST, limits::LOG_UNAUTHENTICATED_PER_SECOND);
        let new_databases = bucket(limits::NEW_DATABASES_BURST, limits::NEW_DATABASES_PER_SECOND);
        Self {
            clock,
            table: Mutex::new(UnauthenticatedTable::new(Micros::from_millis(limits::LOGIN_GRACE_MS))),
            left: Notify::new(),
            lines: Mutex::new(Lines { room: lines, left_out: LeftOut::default(), told_at: None }),
            new_databases: tokio::sync::Mutex::new(new_databases),
        }
    }

    /// Waits until one more database may be made for auth_query. Each costs a login to a server,
    /// with its lines in the log.
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
        self.table().count()
    }

    /// How many have been cut off since the start.
    pub fn cut_off(&self) -> u64 {
        self.table().cut_off()
    }

    /// Waits until there are fewer than `limit`, and adds one.
    ///
    /// # Cancel safety
    /// Nobody is added.
    pub async fn admit(self: &Arc<Self>, remote: &Address, limit: impl Fn() -> usize) -> LoginSlot {
        let mut has_waited = true;
        loop {
            if let Some(login_slot) = self.enter_below(limit(), remote) {
                return login_slot;
            }
            if has_waited {
                self.make_room();
            }
            // Nobody may leave and nobody be late enough yet: then only time helps. Who leaves
            // wakes one of those who wait.
            let poll = Duration::from_millis(limits::LOGIN_ROOM_POLL_MS);
            has_waited = tokio::time::timeout(poll, self.left.notified()).await.is_err();
        }
    }

    /// Adds one, whatever the limit.
    pub fn enter(self: &Arc<Self>, remote: &Address) -> LoginSlot {
        let (waited, word) = self.newcomer();
        let number = self.table().enter(remote, &waited, Arc::clone(&word));
        self.hold(number, waited, word)
    }

    /// Adds one if there are fewer than `limit`.
    pub fn enter_below(self: &Arc<Self>, limit: usize, remote: &Address) -> Option<LoginSlot> {
        let (waited, word) = self.newcomer();
        let number = self.table().enter_below(limit.max(1), remote, &waited, Arc::clone(&word))?;
        Some(self.hold(number, waited, word))
    }

    fn newcomer(&self) -> (Arc<Waited>, Arc<Notify>) {
        (Waited::since(self.clock.now()), Arc::new(Notify::new()))
    }

    fn hold(self: &Arc<Self>, number: u64, waited: Arc<Waited>, word: Arc<Notify>) -> LoginSlot {
        let pace = Pace { clock: self.clock, waited };
        LoginSlot { unauthenticated: Arc::clone(self), number, pace, word }
    }

    /// Tells one that is late to go, if there is one.
    pub fn make_room(&self) {
        if let Some(word) = self.table().tell_one(self.clock.now()) {
            word.notify_one();
        }
    }

    /// Whether the log has room for another one of them; tells how many it had none for, when it has again,
    /// once a second at the most.
    pub fn may_log(&self) -> bool {
        let now = self.clock.now();
        let (is_there, left_out) = self.lines().take(now);
        if let Some(LeftOut { count, refused }) = left_out {
            tracing::warn!(
                "{count} connections were left out of the log before they had logged in; {refused} that were \
                 left out have been refused"
            );
        }
        is_there
    }

    /// One that the log had no room for was refused.
    pub fn unheard_is_refused(&self) {
        self.lines().left_out.refused += 1;
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self) -> MutexGuard<'_, UnauthenticatedTable<Arc<Notify>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LoginSlot {
    /// How fast it is.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// It has proven who it is, or is gone: it does not count any more.
    pub fn leave(&self) {
        if self.unauthenticated.table().leave(self.number) {
            self.unauthenticated.left.notify_one();
        }
    }

    /// Returns when it has to go; never, once it has left. Asked once for the whole of a login.
    ///
    /// # Cancel safety
    /// A word that has come already may be lost, and comes no more.
    pub async fn cut_off(&self) {
        loop {
            self.word.notified().await;
            // What the client has sent meanwhile is read first: the login is asked before this goes on.
            tokio::task::yield_now().await;
            if self.unauthenticated.table().has_to_go(self.number, self.unauthenticated.clock.now()) {
                return;
            }
        }
    }
}

impl Drop for LoginSlot {
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
        let each_us = 1_000_000 / self.per_second;
        let earned = now.since(self.at).0 / each_us;
        self.left = (self.left + earned).min(self.burst);
        // A part of the next one stays earned, but for a bucket that is full.
        self.at = if self.left == self.burst { now } else { self.at + Micros(earned * each_us) };
        let is_there = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_there
    }
}

/// How many of them the log still takes.
#[derive(Debug)]
struct Lines {
    room: Bucket,
    /// Since the log was told last.
    left_out: LeftOut,
    told_at: Option<Micros>,
}

/// Connections that the log had no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LeftOut {
    count: u64,
    /// Refusals of such connections: perhaps of some that were told of before.
    refused: u64,
}

impl Lines {
    /// Whether there is room, and what the log is to be told first.
    fn take(&mut self, now: Micros) -> (bool, Option<LeftOut>) {
        if !self.room.take(now) {
            self.left_out.count += 1;
            return (false, None);
        }
        let is_due = self.told_at.is_none_or(|at| now.since(at) >= Micros::from_secs(1));
        let is_told = is_due && self.left_out != LeftOut::default();
        if is_told {
            self.told_at = Some(now);
        }
        (true, is_told.then(|| std::mem::take(&mut self.left_out)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> Address {
        Address::Tcp(format!("{address}:1").parse().unwrap())
    }

    fn unauthenticated() -> Arc<UnauthenticatedClients> {
        Arc::new(UnauthenticatedClients::new(Clock::new()))
    }

    #[tokio::test]
    async fn the_next_one_waits_for_one_to_leave() {
        let unauthenticated = unauthenticated();
        let first = unauthenticated.admit(&from("10.0.0.1"), || 1).await;
        let next = tokio::spawn({
            let unauthenticated = Arc::clone(&unauthenticated);
            async move { unauthenticated.admit(&from("10.0.0.2"), || 1).await }
        });
        tokio::task::yield_now().await;
        assert!(!next.is_finished(), "it has its time");
        first.leave();
        let _next = next.await.unwrap();
        drop(first);
        assert_eq!((unauthenticated.count(), unauthenticated.cut_off()), (1, 0));
    }

    #[tokio::test]
    async fn who_comes_in_by_another_listener_meanwhile_is_counted() {
        let unauthenticated = unauthenticated();
        let others = Mutex::new(Vec::new());
        let limit = || {
            others.lock().unwrap().push(unauthenticated.enter(&from("10.0.0.2")));
            3
        };
        let _first = unauthenticated.admit(&from("10.0.0.1"), limit).await;
        let address = from("10.0.0.1");
        let full = unauthenticated.admit(&address, limit);
        assert!(tokio::time::timeout(Duration::from_millis(1), full).await.is_err());
        assert_eq!(unauthenticated.count(), 3, "never more than the limit");
    }

    #[tokio::test]
    async fn who_is_late_is_told_and_goes_unless_it_has_moved_on() {
        let unauthenticated = unauthenticated();
        let (slow, quick) =
            (unauthenticated.enter(&from("10.0.0.1")), unauthenticated.enter(&from("10.0.0.2")));
        let waits_for_us = quick.pace().waits_for_us();
        tokio::time::sleep(Duration::from_millis(limits::LOGIN_GRACE_MS)).await;
        let stays = async |login_slot: &LoginSlot| {
            tokio::time::timeout(Duration::from_millis(1), login_slot.cut_off()).await.is_err()
        };
        unauthenticated.make_room();
        slow.pace().step();
        assert!(stays(&slow).await && stays(&quick).await, "one has moved on, one waits for us");
        tokio::time::sleep(Duration::from_millis(limits::LOGIN_GRACE_MS)).await;
        unauthenticated.make_room();
        slow.cut_off().await;
        drop((waits_for_us, slow));
        unauthenticated.make_room();
        assert!(stays(&quick).await, "it has its time");
        assert_eq!((unauthenticated.count(), unauthenticated.cut_off()), (1, 1));
    }

    #[tokio::test]
    async fn what_has_come_counts_also_where_only_the_loop_knows_of_it() {
        let unauthenticated = unauthenticated();
        let login_slot = unauthenticated.enter(&from("10.0.0.1"));
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let near = tokio::net::UnixStream::from_std(near).unwrap();
        let login = tokio::spawn(async move {
            let log_in = async {
                near.readable().await.unwrap();
                login_slot.pace().step();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                () = log_in => {}
                () = login_slot.cut_off() => {}
            }
        });
        tokio::time::sleep(Duration::from_millis(limits::LOGIN_GRACE_MS)).await;
        std::io::Write::write_all(&mut &far, b"x").unwrap();
        unauthenticated.make_room(); // before the loop has looked at its sockets
        assert!(tokio::time::timeout(Duration::from_millis(50), login).await.is_err(), "it stays");
        assert_eq!(unauthenticated.cut_off(), 0);
    }

    #[test]
    fn the_log_takes_a_burst_and_then_so_many_a_second() {
        let room = Bucket { left: 2, at: Micros(0), burst: 7, per_second: 5 };
        let mut lines = Lines { room, left_out: LeftOut::default(), told_at: None };
        let took: Vec<_> = (0..4).map(|_| lines.take(Micros(1))).collect();
        assert_eq!(took, [(true, None), (true, None), (false, None), (false, None)]);
        lines.left_out.refused += 1;
        let left_out = LeftOut { count: 2, refused: 1 };
        assert_eq!(
            lines.take(Micros::from_secs(1)),
            (true, Some(left_out)),
            "it says how many were left out"
        );
        assert_eq!(lines.room.left, 4);
        lines.take(Micros::from_secs(1_000_000));
        assert_eq!(lines.room.left, 6, "never more than a burst");
    }

    /// Ten times as many as there is room for, for five seconds, none of which is refused.
    #[test]
    fn how_many_were_left_out_is_told_once_a_second_whoever_comes() {
        let room = Bucket { left: 0, at: Micros(0), burst: 1_000, per_second: 50 };
        let mut lines = Lines { room, left_out: LeftOut::default(), told_at: None };
        let took: Vec<_> = (1..=2_500).map(|come| lines.take(Micros::from_millis(2 * come))).collect();
        let heard = took.iter().filter(|(is_there, _)| *is_there).count();
        let told: Vec<_> = took.iter().filter_map(|(_, left_out)| *left_out).collect();
        assert_eq!((heard, told.len()), (250, 5));
        let counted: u64 = told.iter().map(|left_out| left_out.count).sum();
        assert_eq!(counted + lines.left_out.count, 2_250, "each is counted once");
        assert!(told.iter().all(|left_out| left_out.refused == 0));
    }

    #[test]
    fn what_is_earned_between_two_looks_is_not_lost() {
        let mut bucket = Bucket { left: 0, at: Micros(0), burst: 100, per_second: 100 };
        assert!((1..=100).all(|look| bucket.take(Micros::from_millis(15 * look))));
        assert_eq!(bucket.left, 50, "150 are earned in a second and a half");
    }

    #[tokio::test]
    async fn new_databases_come_in_a_burst_and_then_one_after_the_other() {
        let unauthenticated = unauthenticated();
        for _ in 0..limits::NEW_DATABASES_BURST {
            unauthenticated.new_database().await;
        }
        let begun_at = unauthenticated.clock.now();
        for _ in 0..10 {
            unauthenticated.new_database().await;
        }
        let took = unauthenticated.clock.now().since(begun_at);
        assert!(took >= Micros::from_millis(10 * 1_000 / limits::NEW_DATABASES_PER_SECOND / 2), "{took:?}");
    }
}
