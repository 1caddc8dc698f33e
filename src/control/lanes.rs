//! Turns at something scarce (a core to compute on, lookups of auth_query), shared out
//! fairly among those who ask.
//!
//! Each asks in a lane: that of a server, of an address, of a database. So many turns are taken at a
//! time in all and in each lane; the lanes that wait get theirs one after the other, however long the
//! others' queues. Never waits for who holds a turn, never counts who waits: these are logins, which
//! have limits of their own.

use crate::tasks;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The lanes of one scarce thing.
#[derive(Clone, Debug)]
pub struct Lanes(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    in_all: usize,
    in_each: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    lanes: HashMap<Arc<str>, Lane>,
    /// Lanes that wait and may have another turn, the next one first; each is in here once.
    round: VecDeque<Arc<str>>,
}

#[derive(Debug, Default)]
struct Lane {
    taken: usize,
    waiting: VecDeque<oneshot::Sender<Turn>>,
    is_in_round: bool,
}

/// One turn; given back when it is dropped.
#[derive(Debug)]
pub struct Turn {
    lanes: Lanes,
    lane: Arc<str>,
}

impl Lanes {
    /// At most `in_all` turns at a time, and `in_each` in one lane.
    pub fn new(in_all: usize, in_each: usize) -> Self {
        Self(Arc::new(Shared { in_all, in_each, state: Mutex::default() }))
    }

    /// Waits for a turn in `lane`.
    ///
    /// # Cancel safety
    /// Dropping it leaves the queue; a turn that is on its way is given back.
    pub async fn turn(&self, lane: &str) -> Turn {
        loop {
            let (give, mine) = oneshot::channel();
            let granted = {
                let mut state = self.state();
                state.ask(lane, give, self.0.in_each);
                self.grant(&mut state)
            };
            deliver(granted);
            // The sender is dropped without a turn by nobody; asking again is right all the same.
            if let Ok(turn) = mine.await {
                return turn;
            }
        }
    }

    /// Takes every turn there is room for, for those who wait.
    fn grant(&self, state: &mut State) -> Vec<(oneshot::Sender<Turn>, Turn)> {
        let mut granted = Vec::new();
        while state.taken < self.0.in_all
            && let Some((name, asked)) = state.next(self.0.in_each)
        {
            granted.push((asked, Turn { lanes: self.clone(), lane: name }));
        }
        granted
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Outside of the lock: whoever is gone gives the turn back at once.
fn deliver(granted: Vec<(oneshot::Sender<Turn>, Turn)>) {
    for (asked, turn) in granted {
        drop(asked.send(turn));
    }
}

impl State {
    fn ask(&mut self, name: &str, asked: oneshot::Sender<Turn>, in_each: usize) {
        let name: Arc<str> = match self.lanes.get_key_value(name) {
            Some((name, _)) => Arc::clone(name),
            None => name.into(),
        };
        self.lanes.entry(Arc::clone(&name)).or_default().waiting.push_back(asked);
        self.line_up(&name, in_each);
    }

    /// Puts a lane into the round, if it waits for a turn that it may have; forgets one that has no use.
    fn line_up(&mut self, name: &Arc<str>, in_each: usize) {
        let Some(lane) = self.lanes.get_mut(name) else { return };
        lane.waiting.retain(|asked| !asked.is_closed());
        if lane.waiting.is_empty() {
            if lane.taken == 0 && !lane.is_in_round {
                self.lanes.remove(name);
            }
        } else if lane.taken < in_each && !lane.is_in_round {
            lane.is_in_round = true;
            self.round.push_back(Arc::clone(name));
        }
    }

    /// Takes the next turn of the round.
    fn next(&mut self, in_each: usize) -> Option<(Arc<str>, oneshot::Sender<Turn>)> {
        loop {
            let name = self.round.pop_front()?;
            let Some(lane) = self.lanes.get_mut(&name) else { continue };
            lane.is_in_round = false;
            let asked = lane.waiting.pop_front();
            if asked.is_some() {
                lane.taken += 1;
                self.taken += 1;
            }
            self.line_up(&name, in_each);
            if let Some(asked) = asked {
                return Some((name, asked));
            }
        }
    }
}

impl Turn {
    /// Computes something that takes its time, on a thread where nobody waits behind it.
    /// `None` where it panicked.
    ///
    /// # Cancel safety
    /// It is computed to its end all the same, and so long the turn is taken.
    pub async fn compute<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        self.compute_and_hold(work).await.map(|(result, _)| result)
    }

    /// As [`Turn::compute`]; the turn is not given back before the result has been put
    /// where the next one looks.
    pub async fn compute_and_hold<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<(T, Self)> {
        tasks::blocking("PBKDF2", "a login", move || (work(), self)).await
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let granted = {
            let mut state = self.lanes.state();
            state.taken -= 1;
            if let Some(lane) = state.lanes.get_mut(&self.lane) {
                lane.taken -= 1;
            }
            state.line_up(&self.lane, self.lanes.0.in_each);
            self.lanes.grant(&mut state)
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

    /// Asks `count` times in `lane`; who gets a turn says so and holds it until the end of the test.
    async fn ask(lanes: &Lanes, lane: &'static str, count: usize, told: &Told) -> Vec<JoinHandle<()>> {
        let mut asked = Vec::new();
        for _ in 0..count {
            let (lanes, told) = (lanes.clone(), Arc::clone(told));
            asked.push(tokio::spawn(async move {
                let turn = lanes.turn(lane).await;
                told.lock().unwrap().push((lane, Some(turn)));
            }));
            settle().await;
        }
        asked
    }

    type Told = Arc<Mutex<Vec<(&'static str, Option<Turn>)>>>;

    fn order(told: &Told) -> String {
        told.lock().unwrap().iter().map(|(lane, _)| *lane).collect()
    }

    /// The holder of the turn that was given out as number `at` gives it back.
    async fn give_back(told: &Told, at: usize) {
        let turn = told.lock().unwrap()[at].1.take();
        drop(turn);
        settle().await;
    }

    #[tokio::test]
    async fn a_long_queue_keeps_nobody_elses_turn_away() {
        let (lanes, told) = (Lanes::new(1, 1), Told::default());
        ask(&lanes, "a", 4, &told).await;
        ask(&lanes, "b", 2, &told).await;
        ask(&lanes, "c", 1, &told).await;
        for at in 0..7 {
            give_back(&told, at).await;
        }
        assert_eq!(order(&told), "abcabaa", "one after the other");
        assert!(lanes.state().lanes.is_empty(), "a lane is forgotten with its last turn");
    }

    #[tokio::test]
    async fn a_lane_has_its_share_and_the_whole_its_limit() {
        let (lanes, told) = (Lanes::new(3, 2), Told::default());
        ask(&lanes, "a", 3, &told).await;
        assert_eq!(order(&told), "aa");
        ask(&lanes, "b", 2, &told).await;
        assert_eq!(order(&told), "aab");
        give_back(&told, 2).await;
        assert_eq!(order(&told), "aabb", "a has its two");
        give_back(&told, 0).await;
        assert_eq!(order(&told), "aabba");
    }

    #[tokio::test]
    async fn who_is_gone_takes_no_turn() {
        let (lanes, told) = (Lanes::new(1, 1), Told::default());
        ask(&lanes, "a", 1, &told).await;
        let gone = ask(&lanes, "a", 2, &told).await;
        ask(&lanes, "a", 1, &told).await;
        gone.iter().for_each(JoinHandle::abort);
        settle().await;
        give_back(&told, 0).await;
        assert_eq!(order(&told), "aa");
        give_back(&told, 1).await;
        let state = lanes.state();
        assert!(state.taken == 0 && state.lanes.is_empty());
    }

    #[tokio::test]
    async fn a_turn_lasts_as_long_as_what_is_computed() {
        let lanes = Lanes::new(1, 1);
        assert_eq!(lanes.turn("a").await.compute(|| 6 * 7).await, Some(42));
        assert_eq!(lanes.state().taken, 0);
    }
}
