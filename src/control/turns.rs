//! Turns at something slow that tells who a client is: a directory, PAM, AWS.
//!
//! So many have theirs at a time, in all and from one network; the others wait, network by network. Who waits
//! is a client that has not proven who it is: `max_login_conn` bounds how many there are, and
//! `client_login_timeout` for how long. Where many wait the log says so.

use super::fair_semaphore::{FairSemaphore, Permit};
use crate::base::{Address, Micros, limits};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The turns at one such thing.
#[derive(Debug)]
pub struct Turns {
    what: &'static str,
    permits: FairSemaphore,
    waiting: AtomicUsize,
    /// When the log heard last that many wait, in microseconds; 0: never.
    told_us: AtomicU64,
}

/// Counts one that waits for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Turns {
    /// At most `in_all` at a time, and `in_each` from one network.
    pub fn new(what: &'static str, in_all: usize, in_each: usize) -> Self {
        let permits = FairSemaphore::new(in_all, in_each);
        Self { what, permits, waiting: AtomicUsize::new(0), told_us: AtomicU64::new(0) }
    }

    /// Waits for a turn for `client`; it is `now`.
    ///
    /// # Cancel safety
    /// Dropping it leaves the queue.
    pub async fn take(&self, client: &Address, now: Micros) -> Permit {
        let count = self.waiting.fetch_add(1, Ordering::Relaxed) + 1;
        let _waiting = Waiting(&self.waiting);
        if count > limits::LOGIN_QUEUE_FULL && self.is_news(now) {
            let what = self.what;
            tracing::warn!("{what}: the queue is full, {count} logins wait for their turns");
        }
        self.permits.acquire_for_client(client).await
    }

    /// How many have their turns, and how many wait for theirs.
    pub fn counts(&self) -> (usize, usize) {
        self.permits.counts()
    }

    fn is_news(&self, now: Micros) -> bool {
        let told_us = self.told_us.load(Ordering::Relaxed);
        let is_news = told_us == 0 || now.0 >= told_us + limits::LOGIN_QUEUE_TOLD_AGAIN_MS * 1_000;
        is_news
            && self
                .told_us
                .compare_exchange(told_us, now.0.max(1), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    /// The client of that number: each comes from a network of its own.
    fn client(number: u32) -> Address {
        Address::Tcp((Ipv4Addr::from_bits(number), 1).into())
    }

    #[tokio::test]
    async fn a_client_that_leaves_while_it_waits_gives_up_its_place() {
        let turns = Arc::new(Turns::new("x", 1, 1));
        let held = turns.take(&client(1), Micros(1)).await;
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let turns = Arc::clone(&turns);
                tokio::spawn(async move { turns.take(&client(2), Micros(1)).await })
            })
            .collect();
        while turns.waiting.load(Ordering::Relaxed) < 3 {
            tokio::task::yield_now().await;
        }
        for task in waiting {
            task.abort();
            assert!(task.await.is_err());
        }
        assert_eq!(turns.waiting.load(Ordering::Relaxed), 0);
        drop(held);
        drop(turns.take(&client(3), Micros(1)).await);
    }

    #[test]
    fn a_full_queue_is_news_once_in_a_while() {
        let turns = Turns::new("x", 1, 1);
        let again = limits::LOGIN_QUEUE_TOLD_AGAIN_MS * 1_000;
        let news: Vec<_> = [5, 6, 4 + again, 5 + again, 6 + again].map(|us| turns.is_news(Micros(us))).into();
        assert_eq!(news, [true, false, false, true, false]);
    }
}
