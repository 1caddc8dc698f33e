//! How fast the sources of one process ask STS for sessions, all together.
//!
//! A pooler for many tenants assumes a role for each, and would ask for all of them in its first second. So
//! each fetch that asks STS waits for its turn: those whose credentials a login waits for first, the others
//! one behind the other. When STS asks for fewer calls the pace is halved for all of them, and grows back
//! ([`super::budget`]). Holds nothing but a count; a wait that is dropped leaves nothing behind.

use super::budget::{Budget, Priority};
use crate::base::{Micros, limits};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The turns of one process.
pub(super) struct Pace {
    born: Instant,
    budget: Mutex<Budget>,
    /// Whoever is next holds this.
    front: tokio::sync::Mutex<()>,
    /// Whoever is in no hurry comes to the front through this, one by one.
    behind: tokio::sync::Mutex<()>,
}

impl Default for Pace {
    fn default() -> Self {
        let budget = Mutex::new(Budget::new(limits::STS_CALLS_PER_SECOND, Micros(0)));
        Self { born: Instant::now(), budget, front: Default::default(), behind: Default::default() }
    }
}

impl Pace {
    /// Waits for a turn; once `hurry` is over, before those that are in none.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn turn(&self, hurry: impl Future<Output = ()>) {
        let _behind_others = tokio::select! {
            biased;
            () = hurry => None,
            guard = self.behind.lock() => Some(guard),
        };
        let _first = self.front.lock().await;
        while let Some(wait) = self.wait() {
            tokio::time::sleep(wait).await;
        }
    }

    /// STS has asked for fewer calls.
    pub(super) fn throttled(&self) {
        let now = self.now();
        // Its calls are short: one of the pace of before is not told from one of now.
        self.budget().throttled(now, now);
    }

    /// Takes a turn; where there is none yet: how long until there may be one.
    fn wait(&self) -> Option<Duration> {
        let (mut budget, now) = (self.budget(), self.now());
        let ticket = budget.ask(Priority::Client, now);
        if budget.next(now).is_some() {
            return None;
        }
        let at = budget.next_at(now).unwrap_or(now);
        budget.forget(ticket);
        Some(Duration::from_micros(at.since(now).0.max(1)))
    }

    fn now(&self) -> Micros {
        Micros(u64::try_from(self.born.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks;
    use std::sync::Arc;

    /// How long `count` turns take that nobody hurries for.
    async fn turns(pace: &Arc<Pace>, count: u32) -> Duration {
        let begun = Instant::now();
        let turn = |number| {
            let pace = Arc::clone(pace);
            tasks::spawn("turn", number, async move { pace.turn(std::future::pending()).await })
        };
        let all: Vec<_> = (0..count).map(turn).collect();
        for one in all {
            one.await.unwrap();
        }
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn turns_come_at_the_pace_and_slower_when_sts_asks_for_it() {
        let pace = Arc::default();
        let per_second = limits::STS_CALLS_PER_SECOND;
        let (first, more) = (turns(&pace, per_second).await, turns(&pace, 10 * per_second).await);
        assert!(first < Duration::from_secs(1), "{first:?}: a few go at once");
        assert!((9.5..10.5).contains(&more.as_secs_f64()), "{more:?}");
        pace.throttled();
        let slower = turns(&pace, per_second).await;
        assert!((1.5..2.5).contains(&slower.as_secs_f64()), "{slower:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_waited_for_goes_first() {
        let pace: Arc<Pace> = Arc::default();
        let others = Arc::clone(&pace);
        let crowd = tasks::spawn("crowd", 0, async move { turns(&others, 500).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        pace.turn(std::future::ready(())).await;
        assert!(begun.elapsed() < Duration::from_millis(300), "{:?}", begun.elapsed());
        // One that waits already, and is hurried then.
        let (sender, mut receiver) = tokio::sync::watch::channel(false);
        let hurried = Arc::clone(&pace);
        let one = tasks::spawn("one", 1, async move {
            hurried.turn(async move { drop(receiver.wait_for(|hurry| *hurry).await) }).await;
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!one.is_finished());
        sender.send_replace(true);
        tokio::time::timeout(Duration::from_millis(300), one).await.expect("it goes first now").unwrap();
        crowd.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_dropped_holds_nobody_up() {
        let pace = Arc::default();
        turns(&pace, limits::STS_CALLS_PER_SECOND).await;
        for _ in 0..20 {
            let turn = pace.turn(std::future::pending());
            assert!(tokio::time::timeout(Duration::from_micros(1), turn).await.is_err());
        }
        assert!(turns(&pace, 1).await < Duration::from_millis(100));
    }
}
