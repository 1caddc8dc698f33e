//! What clients of a pool are welcomed with, and the queue of those who wait for it.
//!
//! Until a pool's first server has logged in, nobody knows what to tell its clients, so they wait here; a
//! server's refusal is passed on to all of them. Never knows a socket. Source: PgBouncer, src/client.c.

use crate::base::Micros;
use crate::wire::{Fault, ParamSet};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// What a pool's first successful server login taught: what its clients are welcomed with.
#[derive(Debug)]
pub struct Welcome {
    /// Every ParameterStatus as the server reported it, in its order.
    pub reported: Vec<(String, String)>,
    /// The tracked ones.
    pub params: ParamSet,
}

/// One pool's welcome and those who wait for it.
pub struct ServerParamsCache {
    board: watch::Sender<Board>,
    /// Since when each of those who wait does, by ticket.
    waiting: Mutex<BTreeMap<u64, Micros>>,
    tickets: AtomicU64,
}

/// What those who wait look at.
#[derive(Default)]
struct Board {
    known: Option<Known>,
    /// The last refusal and how many there were: whoever waits hears of those that come after it began to.
    refusal: Option<Fault>,
    refusals: u64,
}

/// A welcome and the pool's generations that it is good for.
struct Known {
    welcome: Arc<Welcome>,
    /// The generation whose server taught it.
    of: u32,
    /// A later one, of which no server can be opened for the time being.
    stands_in_for: Option<u32>,
}

impl Board {
    fn known(&self, generation: u32) -> Option<&Arc<Welcome>> {
        let known = self.known.as_ref()?;
        (known.of == generation || known.stands_in_for == Some(generation)).then_some(&known.welcome)
    }
}

impl Default for ServerParamsCache {
    fn default() -> Self {
        Self {
            board: watch::Sender::new(Board::default()),
            waiting: Mutex::default(),
            tickets: AtomicU64::new(0),
        }
    }
}

impl ServerParamsCache {
    /// The welcome of `generation`, if it is known.
    pub fn known(&self, generation: u32) -> Option<Arc<Welcome>> {
        self.board.borrow().known(generation).cloned()
    }

    /// A server of `generation` has logged in: its welcome counts unless one of this generation is known
    /// already. Everybody who waits goes on.
    pub fn learn(&self, generation: u32, welcome: impl FnOnce() -> Welcome) {
        let is_news = self.board.send_if_modified(|board| {
            let is_news = board.known.as_ref().is_none_or(|known| known.of != generation);
            if is_news {
                board.known =
                    Some(Known { welcome: Arc::new(welcome()), of: generation, stands_in_for: None });
            }
            is_news
        });
        if is_news {
            // They go on as soon as their tasks run; until then the launcher must not take
            // them for somebody in want.
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// No server can be opened for the time being: the welcome of an older generation, if there is one, is
    /// good enough until the next login.
    pub fn settle_for_older(&self, generation: u32) {
        self.board.send_if_modified(|board| {
            let older = board.known.as_mut().filter(|known| known.of != generation);
            older.map(|known| known.stands_in_for = Some(generation)).is_some()
        });
    }

    /// Ends the wait of everybody who waits now.
    pub fn refuse(&self, fault: Fault) {
        self.board.send_modify(|board| {
            board.refusal = Some(fault);
            board.refusals += 1;
        });
    }

    /// Since when the longest waiting one waits.
    pub fn oldest_waiter(&self) -> Option<Micros> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).values().min().copied()
    }

    fn join(&self, now: Micros) -> Ticket<'_> {
        let number = self.tickets.fetch_add(1, Ordering::Relaxed);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(number, now);
        Ticket { cache: self, number }
    }

    /// Waits for the welcome of the generation that `current` names.
    ///
    /// # Errors
    /// A refusal that comes while it waits.
    /// # Cancel safety
    /// Dropping it leaves the queue.
    pub(super) async fn wait(&self, now: Micros, current: impl Fn() -> u32) -> Result<Arc<Welcome>, Fault> {
        let mut board = self.board.subscribe();
        let before = board.borrow_and_update().refusals;
        let _ticket = self.join(now);
        loop {
            {
                let seen = board.borrow_and_update();
                if let Some(welcome) = seen.known(current()) {
                    return Ok(Arc::clone(welcome));
                }
                if let Some(fault) = seen.refusal.as_ref().filter(|_| seen.refusals > before) {
                    return Err(fault.clone());
                }
            }
            if board.changed().await.is_err() {
                return Err(Fault::ServerShuttingDown);
            }
        }
    }
}

/// One who waits; leaves the queue by being dropped.
struct Ticket<'a> {
    cache: &'a ServerParamsCache,
    number: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.cache.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::TrackedNames;

    fn welcome() -> Welcome {
        Welcome { reported: Vec::new(), params: TrackedNames::new([]).empty_set() }
    }

    fn refusal(text: &str) -> Fault {
        Fault::Relayed { sqlstate: "3D000".into(), text: text.into() }
    }

    async fn until(condition: impl Fn() -> bool) {
        while !condition() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_waits_goes_on_when_a_server_has_logged_in() {
        let cache = Arc::new(ServerParamsCache::default());
        let waiter = {
            let cache = Arc::clone(&cache);
            tokio::spawn(async move { cache.wait(Micros(7), || 0).await.is_ok() })
        };
        until(|| cache.oldest_waiter() == Some(Micros(7))).await;
        cache.learn(0, welcome);
        assert!(waiter.await.unwrap());
        assert_eq!(cache.oldest_waiter(), None);
    }

    #[tokio::test]
    async fn a_refusal_ends_the_waits_of_its_time_only() {
        let cache = Arc::new(ServerParamsCache::default());
        cache.refuse(refusal("old"));
        let waiter = {
            let cache = Arc::clone(&cache);
            tokio::spawn(async move { cache.wait(Micros(1), || 0).await.unwrap_err() })
        };
        until(|| cache.oldest_waiter().is_some()).await;
        cache.refuse(refusal("new"));
        assert_eq!(waiter.await.unwrap(), refusal("new"));
    }

    #[test]
    fn a_welcome_is_of_one_generation() {
        let cache = ServerParamsCache::default();
        cache.learn(0, welcome);
        let first = cache.known(0).unwrap();
        cache.learn(0, welcome);
        assert!(Arc::ptr_eq(&first, &cache.known(0).unwrap()), "the first one counts");
        assert!(cache.known(1).is_none());
        cache.settle_for_older(1);
        assert!(Arc::ptr_eq(&first, &cache.known(1).unwrap()));
        cache.learn(1, welcome);
        assert!(
            !Arc::ptr_eq(&first, &cache.known(1).unwrap()),
            "a stand-in goes when the next login has taught more"
        );
        assert!(cache.known(0).is_none());
    }
}
