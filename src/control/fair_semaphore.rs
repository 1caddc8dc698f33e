//! Permits for something scarce (a core to compute on, lookups of auth_query), shared out fairly among those
//! who ask: a semaphore with a queue for each key.
//!
//! Each asks under a key: that of a server, of the network that a client comes from, of a database. There is
//! a limit of permits in all and one for each key; keys that wait get theirs one after the other, however
//! long the others' queues. Never waits for who holds a permit, never bounds who waits: these are logins,
//! which have limits of their own.

use crate::base::{Address, limits};
use crate::tasks;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The permits for one scarce thing.
#[derive(Clone, Debug)]
pub struct FairSemaphore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    in_each: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    in_all: usize,
    taken: usize,
    queues: HashMap<Arc<str>, Queue>,
    /// Keys that wait and may have another permit, the next one first; each is in here once.
    round: VecDeque<Arc<str>>,
}

#[derive(Debug, Default)]
struct Queue {
    taken: usize,
    waiting: VecDeque<oneshot::Sender<Permit>>,
    is_in_round: bool,
}

/// One permit, which is given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    semaphore: FairSemaphore,
    key: Arc<str>,
}

impl FairSemaphore {
    /// At most `in_all` permits at a time, and `in_each` for one key.
    pub fn new(in_all: usize, in_each: usize) -> Self {
        let state = State { in_all, ..State::default() };
        Self(Arc::new(Shared { in_each, state: Mutex::new(state) }))
    }

    /// From now on at most `in_all` permits at a time; those that are out beyond that are waited for.
    pub fn resize(&self, in_all: usize) {
        let granted = {
            let mut state = self.state();
            state.in_all = in_all;
            self.grant(&mut state)
        };
        deliver(granted);
    }

    /// How many permits are out, and how many are waited for.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state();
        let waiting = state.queues.values().flat_map(|queue| &queue.waiting);
        (state.taken, waiting.filter(|asked| !asked.is_closed()).count())
    }

    /// Waits for a permit under `key`.
    ///
    /// # Cancel safety
    /// Dropping it leaves the queue; a permit that is on its way is given back.
    pub async fn acquire(&self, key: &str) -> Permit {
        loop {
            let (give, mine) = oneshot::channel();
            let granted = {
                let mut state = self.state();
                state.ask(key, give, self.0.in_each);
                self.grant(&mut state)
            };
            deliver(granted);
            // Nobody drops the sender without a permit; asking again would be right all the same.
            if let Ok(permit) = mine.await {
                return permit;
            }
        }
    }

    /// Waits for a permit for a client there: those of one network are as one.
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_for_client(&self, client: &Address) -> Permit {
        self.acquire(&format!("client {}", client.network())).await
    }

    /// Takes every permit there is room for, for those who wait.
    fn grant(&self, state: &mut State) -> Vec<(oneshot::Sender<Permit>, Permit)> {
        let mut granted = Vec::new();
        while state.taken < state.in_all
            && let Some((name, asked)) = state.next(self.0.in_each)
        {
            granted.push((asked, Permit { semaphore: self.clone(), key: name }));
        }
        granted
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Outside of the lock: whoever is gone gives the permit back at once.
fn deliver(granted: Vec<(oneshot::Sender<Permit>, Permit)>) {
    for (asked, permit) in granted {
        drop(asked.send(permit));
    }
}

impl State {
    fn ask(&mut self, name: &str, asked: oneshot::Sender<Permit>, in_each: usize) {
        let name: Arc<str> = match self.queues.get_key_value(name) {
            Some((name, _)) => Arc::clone(name),
            None => name.into(),
        };
        self.queues.entry(Arc::clone(&name)).or_default().waiting.push_back(asked);
        self.line_up(&name, in_each);
    }

    /// Puts a key into the round, if it waits for a permit that it may have; forgets one that has no use.
    fn line_up(&mut self, name: &Arc<str>, in_each: usize) {
        let Some(queue) = self.queues.get_mut(name) else { return };
        queue.waiting.retain(|asked| !asked.is_closed());
        if queue.waiting.is_empty() {
            if queue.taken == 0 && !queue.is_in_round {
                self.queues.remove(name);
            }
        } else if queue.taken < in_each && !queue.is_in_round {
            queue.is_in_round = true;
            self.round.push_back(Arc::clone(name));
        }
    }

    /// Takes the permit that is next in the round.
    fn next(&mut self, in_each: usize) -> Option<(Arc<str>, oneshot::Sender<Permit>)> {
        loop {
            let name = self.round.pop_front()?;
            let Some(queue) = self.queues.get_mut(&name) else { continue };
            queue.is_in_round = false;
            let asked = queue.waiting.pop_front();
            if asked.is_some() {
                queue.taken += 1;
                self.taken += 1;
            }
            self.line_up(&name, in_each);
            if let Some(asked) = asked {
                return Some((name, asked));
            }
        }
    }
}

impl Permit {
    /// Computes something that takes its time, on a thread where nobody waits behind it.
    /// `None` where it panicked.
    ///
    /// # Cancel safety
    /// It is computed to its end all the same, and so long the permit is taken.
    pub async fn compute<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        self.compute_and_hold(work).await.map(|(result, _)| result)
    }

    /// As [`Permit::compute`]; the permit is not given back before the result has been put
    /// where the next one looks.
    pub async fn compute_and_hold<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<(T, Self)> {
        tasks::computing("proof", "a login", limits::LOGIN_NICE, move || (work(), self)).await
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let granted = {
            let mut state = self.semaphore.state();
            state.taken -= 1;
            if let Some(queue) = state.queues.get_mut(&self.key) {
                queue.taken -= 1;
            }
            state.line_up(&self.key, self.semaphore.0.in_each);
            self.semaphore.grant(&mut state)
        };
        deliver(granted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::JoinHandle;

    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    /// Asks `count` times under `key`; who gets a permit says so and holds it until the end of the test.
    async fn ask(
        semaphore: &FairSemaphore,
        key: &'static str,
        count: usize,
        told: &Told,
    ) -> Vec<JoinHandle<()>> {
        let mut asked = Vec::new();
        for _ in 0..count {
            let (semaphore, told) = (semaphore.clone(), Arc::clone(told));
            asked.push(tokio::spawn(async move {
                let permit = semaphore.acquire(key).await;
                told.lock().unwrap().push((key, Some(permit)));
            }));
            settle().await;
        }
        asked
    }

    type Told = Arc<Mutex<Vec<(&'static str, Option<Permit>)>>>;

    fn order(told: &Told) -> String {
        told.lock().unwrap().iter().map(|(key, _)| *key).collect()
    }

    /// The holder of the permit that was given out as number `at` gives it back.
    async fn give_back(told: &Told, at: usize) {
        let permit = told.lock().unwrap()[at].1.take();
        drop(permit);
        settle().await;
    }

    #[tokio::test]
    async fn a_long_queue_keeps_no_permit_from_others() {
        let (semaphore, told) = (FairSemaphore::new(1, 1), Told::default());
        ask(&semaphore, "a", 4, &told).await;
        ask(&semaphore, "b", 2, &told).await;
        ask(&semaphore, "c", 1, &told).await;
        for at in 0..7 {
            give_back(&told, at).await;
        }
        assert_eq!(order(&told), "abcabaa", "one after the other");
        assert!(semaphore.state().queues.is_empty(), "a key is forgotten with its last permit");
    }

    #[tokio::test]
    async fn a_key_has_its_share_and_the_whole_its_limit() {
        let (semaphore, told) = (FairSemaphore::new(3, 2), Told::default());
        ask(&semaphore, "a", 3, &told).await;
        assert_eq!(order(&told), "aa");
        ask(&semaphore, "b", 2, &told).await;
        assert_eq!(order(&told), "aab");
        give_back(&told, 2).await;
        assert_eq!(order(&told), "aabb", "a has its two");
        give_back(&told, 0).await;
        assert_eq!(order(&told), "aabba");
    }

    #[tokio::test]
    async fn clients_of_one_network_are_as_one() {
        let (semaphore, told) = (FairSemaphore::new(9, 1), Told::default());
        let clients =
            ["[2001:db8::1]:1", "[2001:db8::2:1]:1", "[2001:db8:0:1::1]:1", "10.0.0.1:1", "10.0.0.2:1"];
        for client in clients {
            let (semaphore, told) = (semaphore.clone(), Arc::clone(&told));
            tokio::spawn(async move {
                let permit = semaphore.acquire_for_client(&Address::Tcp(client.parse().unwrap())).await;
                told.lock().unwrap().push((client, Some(permit)));
            });
            settle().await;
        }
        let has = |client| told.lock().unwrap().iter().any(|(other, _)| *other == client);
        assert_eq!(clients.map(has), [true, false, true, true, true]);
        give_back(&told, 0).await;
        assert!(has(clients[1]), "its turn comes");
    }

    #[tokio::test]
    async fn a_limit_that_changes_holds_from_then_on() {
        let (semaphore, told) = (FairSemaphore::new(1, 9), Told::default());
        ask(&semaphore, "a", 6, &told).await;
        semaphore.resize(3);
        settle().await;
        assert_eq!((order(&told).as_str(), semaphore.counts()), ("aaa", (3, 3)), "at once where it is more");
        semaphore.resize(1);
        give_back(&told, 0).await;
        give_back(&told, 1).await;
        assert_eq!(semaphore.counts(), (1, 3), "two had to come back");
        give_back(&told, 2).await;
        assert_eq!((order(&told).as_str(), semaphore.counts()), ("aaaa", (1, 2)));
    }

    #[tokio::test]
    async fn who_is_gone_takes_no_permit() {
        let (semaphore, told) = (FairSemaphore::new(1, 1), Told::default());
        ask(&semaphore, "a", 1, &told).await;
        let gone = ask(&semaphore, "a", 2, &told).await;
        ask(&semaphore, "a", 1, &told).await;
        gone.iter().for_each(JoinHandle::abort);
        settle().await;
        give_back(&told, 0).await;
        assert_eq!(order(&told), "aa");
        give_back(&told, 1).await;
        let state = semaphore.state();
        assert!(state.taken == 0 && state.queues.is_empty());
    }

    #[tokio::test]
    async fn a_permit_lasts_as_long_as_what_is_computed() {
        let semaphore = FairSemaphore::new(1, 1);
        assert_eq!(semaphore.acquire("a").await.compute(|| 6 * 7).await, Some(42));
        assert_eq!(semaphore.state().taken, 0);
    }
}
