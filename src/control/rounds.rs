//! Something that takes a while and serves many: it is done once for all who have asked by when it begins.
//!
//! Invariant: of all who ask while a round is under way one begins the next, however many they are.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;

/// Rounds of one kind, one after the other.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// How many have begun.
    begun: AtomicU64,
    /// The number of the last one that came to its end.
    done: AtomicU64,
    turn: Mutex<()>,
}

impl Rounds {
    /// Returns when a round is over that began after this was called: another's, or `round`.
    ///
    /// # Cancel safety
    /// A round that is dropped serves nobody; the next who waits begins another.
    pub(super) async fn join(&self, round: impl Future<Output = ()>) {
        let before = self.begun.load(Ordering::Acquire);
        let _turn = self.turn.lock().await;
        if self.done.load(Ordering::Acquire) > before {
            return;
        }
        let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        round.await;
        self.done.store(number, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    /// Rounds that end as the test lets them, and how many have begun.
    struct Bench {
        rounds: Rounds,
        begun: AtomicU64,
        ends: Semaphore,
    }

    impl Bench {
        fn new() -> Arc<Self> {
            let (rounds, begun) = (Rounds::default(), AtomicU64::new(0));
            Arc::new(Self { rounds, begun, ends: Semaphore::new(0) })
        }

        fn ask(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
            let bench = Arc::clone(self);
            tokio::spawn(async move {
                let round = async {
                    bench.begun.fetch_add(1, Ordering::AcqRel);
                    bench.ends.acquire().await.unwrap().forget();
                };
                bench.rounds.join(round).await;
            })
        }

        async fn settle(&self) -> u64 {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            self.begun.load(Ordering::Acquire)
        }
    }

    #[tokio::test]
    async fn all_who_ask_during_a_round_share_the_next() {
        let bench = Bench::new();
        let first = bench.ask();
        assert_eq!(bench.settle().await, 1);
        let others: Vec<_> = (0..50).map(|_| bench.ask()).collect();
        assert_eq!(bench.settle().await, 1, "one at a time");
        bench.ends.add_permits(1);
        first.await.unwrap();
        assert_eq!(bench.settle().await, 2);
        assert!(others.iter().all(|other| !other.is_finished()), "the first began before they asked");
        bench.ends.add_permits(1);
        for other in others {
            other.await.unwrap();
        }
        assert_eq!(bench.settle().await, 2, "one round has served them all");
    }

    #[tokio::test]
    async fn a_round_that_is_dropped_serves_nobody() {
        let bench = Bench::new();
        let first = bench.ask();
        bench.settle().await;
        let (second, third) = (bench.ask(), bench.ask());
        bench.settle().await;
        first.abort();
        assert_eq!(bench.settle().await, 2);
        second.abort();
        assert_eq!(bench.settle().await, 3);
        assert!(!third.is_finished());
        bench.ends.add_permits(1);
        third.await.unwrap();
    }
}
