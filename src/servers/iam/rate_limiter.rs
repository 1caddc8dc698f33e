//! The login budget of one endpoint as a queue that logins wait in.
//!
//! The rules are [`crate::iam::budget`]'s; here they meet the clock. Turns are given out by whoever asks
//! for one, and by one task while some have to wait for theirs; it ends with the queue. The lock is held
//! for a few additions, never across an await. Invariant: a login that is not waited for any more takes
//! no turn away from others.

use crate::base::Micros;
use crate::iam::budget::{Budget, Priority, Ticket};
use crate::io::Clock;
use crate::stats::Histogram;
use crate::tasks;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// How long logins have waited for their turns, at all endpoints together.
#[derive(Default)]
pub struct Waits(Mutex<(Histogram, u64)>);

impl Waits {
    fn record(&self, waited: Micros) {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.0.record(waited.0);
        times.1 = times.1.saturating_add(waited.0);
    }

    /// The times, and their sum in microseconds.
    pub fn read(&self) -> (Histogram, u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The queue of one endpoint.
pub struct RateLimiter {
    clock: Clock,
    waits: Arc<Waits>,
    queue: Mutex<Queue>,
}

/// How a queue stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateState {
    /// Logins that wait.
    pub waiting: usize,
    /// The pace, in logins a second.
    pub rate: u32,
}

struct Queue {
    budget: Budget,
    waiting: HashMap<Ticket, oneshot::Sender<()>>,
    /// Whether a task gives out turns as time goes by.
    is_served: bool,
}

impl Queue {
    /// Gives out every turn that is due; says when the next one is.
    fn serve(&mut self, now: Micros) -> Option<Micros> {
        while let Some(turn) = self.budget.next(now) {
            if let Some(waiting) = self.waiting.remove(&turn.ticket) {
                let _ = waiting.send(()); // whoever it was may be gone just now
            }
        }
        self.budget.next_at(now)
    }
}

impl RateLimiter {
    /// Lets `rate_max` logins a second pass; `waits` learns how long each has waited.
    pub fn new(rate_max: u32, clock: Clock, waits: Arc<Waits>) -> Arc<Self> {
        let budget = Budget::new(rate_max, clock.now());
        let queue = Mutex::new(Queue { budget, waiting: HashMap::new(), is_served: false });
        Arc::new(Self { clock, waits, queue })
    }

    /// Waits for a turn.
    ///
    /// # Cancel safety
    /// Dropping it leaves the queue.
    pub async fn turn(self: &Arc<Self>, priority: Priority) {
        let (turn, mine) = oneshot::channel();
        let asked_at = self.clock.now();
        let place = {
            let mut queue = self.queue();
            let now = self.clock.now();
            let ticket = queue.budget.ask(priority, now);
            queue.waiting.insert(ticket, turn);
            if queue.serve(now).is_some() && !queue.is_served {
                queue.is_served = true;
                let turns = Arc::clone(self);
                let give_out = tasks::keep("the queue of turns", move || Arc::clone(&turns).give_out());
                tasks::spawn("turns", "logins by IAM", give_out);
            }
            Waiting { turns: self, ticket }
        };
        let _ = mine.await; // the sender is dropped with its turn only
        drop(place);
        self.waits.record(self.clock.now().since(asked_at));
    }

    /// Gives out turns until nobody waits.
    async fn give_out(self: Arc<Self>) {
        loop {
            let now = self.clock.now();
            let next_at = {
                let mut queue = self.queue();
                let next_at = queue.serve(now);
                queue.is_served = next_at.is_some();
                next_at
            };
            let Some(next_at) = next_at else { return };
            tokio::time::sleep(next_at.since(now).to_duration()).await;
        }
    }

    /// Another `iam_login_rate`.
    pub fn set_rate_max(&self, rate_max: u32) {
        self.queue().budget.set_rate_max(rate_max, self.clock.now());
    }

    /// A login that was begun at `begun_at` looked throttled.
    pub fn throttled(&self, begun_at: Micros) {
        self.queue().budget.throttled(begun_at, self.clock.now());
    }

    /// Whether the refusal of a login that was begun at `begun_at` may be our own doing.
    pub fn is_strained(&self, begun_at: Micros) -> bool {
        self.queue().budget.is_strained(begun_at, self.clock.now())
    }

    /// Whether logins were throttled within the last seconds.
    pub fn is_throttled(&self) -> bool {
        self.queue().budget.is_throttled(self.clock.now())
    }

    /// The pace, in logins in a thousand seconds.
    pub fn per_kilosecond(&self) -> u32 {
        self.queue().budget.per_kilosecond()
    }

    /// How the queue stands.
    pub fn state(&self) -> RateState {
        let budget = &self.queue().budget;
        RateState { waiting: budget.waiting(), rate: budget.rate() }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits; leaves the queue by being dropped.
struct Waiting<'a> {
    turns: &'a RateLimiter,
    ticket: Ticket,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut queue = self.turns.queue();
        queue.waiting.remove(&self.ticket);
        queue.budget.forget(self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use std::time::Instant;

    #[tokio::test]
    async fn the_first_come_at_once_and_the_others_at_the_pace() {
        let waits = Arc::new(Waits::default());
        let turns = RateLimiter::new(40, Clock::new(), Arc::clone(&waits));
        let began = Instant::now();
        for _ in 0..40 {
            turns.turn(Priority::Client).await;
        }
        let burst = began.elapsed();
        let others: Vec<_> = (0..20)
            .map(|_| {
                let turns = Arc::clone(&turns);
                tokio::spawn(async move { turns.turn(Priority::Client).await })
            })
            .collect();
        for other in others {
            other.await.unwrap();
        }
        // 20 more at 40/s, less what has come in since the beginning
        assert!(began.elapsed() >= Duration::from_millis(450), "{burst:?} {:?}", began.elapsed());
        assert_eq!(turns.state(), RateState { waiting: 0, rate: 40 });
        let (times, sum_us) = waits.read();
        assert_eq!(times.count(), 60);
        assert!(times.count_below(1 << 16) >= 40 && sum_us > 1_000_000, "{sum_us}");
        assert!(!turns.queue().is_served || turns.queue().waiting.is_empty());
    }

    #[tokio::test]
    async fn clients_go_first_and_who_leaves_costs_nobody_a_turn() {
        let turns = RateLimiter::new(5, Clock::new(), Arc::default());
        for _ in 0..5 {
            turns.turn(Priority::Recycling).await;
        }
        let order = Arc::new(Mutex::new(Vec::new()));
        let wait = |priority: Priority| {
            let (turns, order) = (Arc::clone(&turns), Arc::clone(&order));
            tokio::spawn(async move {
                turns.turn(priority).await;
                order.lock().unwrap().push(priority);
            })
        };
        let recycling = wait(Priority::Recycling);
        let leaver = wait(Priority::Client);
        while turns.state().waiting < 2 {
            tokio::task::yield_now().await;
        }
        leaver.abort();
        let client = wait(Priority::Client);
        while turns.state().waiting < 2 {
            tokio::task::yield_now().await;
        }
        client.await.unwrap();
        recycling.await.unwrap();
        assert_eq!(*order.lock().unwrap(), [Priority::Client, Priority::Recycling]);
        assert!(leaver.await.is_err());
    }
}
