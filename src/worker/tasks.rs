//! Tasks on a worker's loop: what is short and has one socket, such as a client's login, and ends
//! where its connection goes on.
//!
//! A task that has all it needs runs to its end as it begins, without a word to another thread. Bounded in
//! a round, by number and by time, so that queries wait for a few tasks at most, whatever those cost.
//! Never knows what a task does; a task must not block and must not panic (`tasks::guarded`), since here
//! it would end the process.

use super::mail::{Begin, Task};
use super::{Mail, WorkerHandle};
use crate::base::{Micros, limits};
use crate::io::Watch;
use rustix::fd::OwnedFd;
use slab::Slab;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

/// The tasks of one worker.
pub(super) struct Tasks {
    me: WorkerHandle,
    epoll: Arc<OwnedFd>,
    here: Slab<Task>,
    slots: Vec<Slot>,
    /// Each once.
    ready: VecDeque<u32>,
    /// When this round's time for tasks is over; `None`: none has gone on in it yet.
    over_at: Option<Micros>,
}

/// What tasks leave in their slot: one that comes where another was is woken by what was that one's,
/// too, which costs a look.
struct Slot {
    waker: Waker,
    is_ready: bool,
}

/// Wakes the task in one slot from wherever it is called.
struct TaskWaker {
    worker: WorkerHandle,
    task: u32,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.worker.send(Mail::Wake(self.task));
    }
}

impl Tasks {
    /// None yet; their sockets are watched by `epoll`, the instance that the worker waits at.
    pub(super) fn new(me: WorkerHandle, epoll: Arc<OwnedFd>) -> Self {
        Self { me, epoll, here: Slab::new(), slots: Vec::new(), ready: VecDeque::new(), over_at: None }
    }

    /// Begins a task: at once, where this round has time left for it, else in its turn.
    pub(super) fn begin(&mut self, begin: Begin, now: impl Fn() -> Micros) {
        let slot = self.here.vacant_entry();
        // INVARIANT: descriptors are numbered by 31 bits, and every task has one.
        let number = u32::try_from(slot.key() + 1).expect("fewer tasks than descriptors");
        slot.insert(begin(Watch::new(Arc::clone(&self.epoll), number)));
        if self.slots.len() < number as usize {
            let waker = TaskWaker { worker: self.me.clone(), task: number };
            self.slots.push(Slot { waker: Waker::from(Arc::new(waker)), is_ready: false });
        }
        if self.has_time(now) {
            self.poll(number);
        } else {
            self.wake(number);
        }
    }

    /// The task of that number may go on.
    pub(super) fn wake(&mut self, number: u32) {
        let slot = &mut self.slots[number as usize - 1];
        if !std::mem::replace(&mut slot.is_ready, true) {
            self.ready.push_back(number);
        }
    }

    /// Begins a round: lets those that are ready go on, up to a bound; whether there were any.
    pub(super) fn run(&mut self, now: impl Fn() -> Micros) -> bool {
        self.over_at = None;
        let is_any = self.is_busy();
        if is_any {
            self.me.mark_awake();
        }
        for _ in 0..limits::TASKS_PER_ROUND {
            if !self.is_busy() || !self.has_time(&now) {
                break;
            }
            if let Some(number) = self.ready.pop_front() {
                self.slots[number as usize - 1].is_ready = false;
                self.poll(number);
            }
        }
        is_any
    }

    /// Whether one more task may go on in this round: the first may in any case.
    fn has_time(&mut self, now: impl Fn() -> Micros) -> bool {
        let now = now();
        now < *self.over_at.get_or_insert(now + Micros(limits::TASKS_US_PER_ROUND))
    }

    /// Whether any is ready.
    pub(super) fn is_busy(&self) -> bool {
        !self.ready.is_empty()
    }

    fn poll(&mut self, number: u32) {
        let index = number as usize - 1;
        let Some(task) = self.here.get_mut(index) else { return };
        let mut context = Context::from_waker(&self.slots[index].waker);
        if task.as_mut().poll(&mut context).is_ready() {
            drop(self.here.remove(index));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::epoll;
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;

    fn tasks() -> (Tasks, WorkerHandle) {
        let me = WorkerHandle::new().expect("eventfd");
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
        (Tasks::new(me.clone(), Arc::new(epoll)), me)
    }

    #[test]
    fn a_round_lets_so_many_go_on_and_no_more() {
        let (mut tasks, me) = tasks();
        let polls = Arc::new(AtomicUsize::new(0));
        let count = limits::TASKS_PER_ROUND + 5;
        for _ in 0..count {
            let polls = Arc::clone(&polls);
            let task = poll_fn(move |context| {
                polls.fetch_add(1, Ordering::Relaxed);
                context.waker().wake_by_ref(); // it wants to go on at once
                Poll::Pending
            });
            tasks.begin(Box::new(|_| Box::pin(task)), || Micros(0));
        }
        let woken = |tasks: &mut Tasks| {
            for mail in me.take() {
                if let Mail::Wake(task) = mail {
                    tasks.wake(task);
                }
            }
        };
        assert!(!tasks.is_busy(), "who wakes it sends a letter");
        woken(&mut tasks);
        for total in [limits::TASKS_PER_ROUND, count] {
            assert!(tasks.run(|| Micros(0)));
            assert_eq!(polls.load(Ordering::Relaxed), count + total);
        }
        assert!(!tasks.is_busy() && !tasks.run(|| Micros(0)));
        woken(&mut tasks);
        assert!(tasks.is_busy(), "in their turn");
    }

    #[test]
    fn a_round_gives_tasks_so_much_time_and_no_more() {
        const COST: u64 = limits::TASKS_US_PER_ROUND / 2 + 1;
        let (mut tasks, _) = tasks();
        let clock = Arc::new(AtomicUsize::new(0));
        let now = || Micros(clock.load(Ordering::Relaxed) as u64);
        let spent = |before: Micros| now().since(before).0 / COST;
        let begin = |tasks: &mut Tasks| {
            let clock = Arc::clone(&clock);
            let task = poll_fn(move |_| {
                clock.fetch_add(COST as usize, Ordering::Relaxed);
                Poll::<()>::Pending
            });
            tasks.begin(Box::new(|_| Box::pin(task)), now);
        };
        (0..5).for_each(|_| begin(&mut tasks));
        assert_eq!(spent(Micros(0)), 2, "the others begin in their turn");
        for expected in [2, 1, 0] {
            let before = now();
            tasks.run(now);
            assert_eq!(spent(before), expected);
        }
        let before = now();
        (0..2).for_each(|_| begin(&mut tasks));
        tasks.wake(1);
        tasks.run(now);
        assert_eq!((spent(before), tasks.is_busy()), (3, false), "a new round has time again");
        (0..2).for_each(|_| begin(&mut tasks));
        assert_eq!((spent(before), tasks.is_busy()), (4, true), "of which what goes on takes its part");
    }

    #[test]
    fn a_task_that_ends_leaves_its_place_and_a_late_word_for_it_does_nothing() {
        let (mut tasks, _) = tasks();
        for _ in 0..3 {
            tasks.begin(Box::new(|_| Box::pin(std::future::ready(()))), || Micros(0));
        }
        assert!(tasks.here.is_empty() && tasks.slots.len() == 1);
        tasks.wake(1);
        assert!(tasks.run(|| Micros(0)) && tasks.here.is_empty());
    }

    #[test]
    fn a_task_that_is_woken_again_and_again_has_one_turn_in_a_round() {
        let (mut tasks, _) = tasks();
        let polls = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&polls);
        let task = poll_fn(move |_| {
            seen.fetch_add(1, Ordering::Relaxed);
            Poll::Pending
        });
        tasks.begin(Box::new(|_| Box::pin(task)), || Micros(0));
        for round in 1..=2 {
            (0..5).for_each(|_| tasks.wake(1));
            assert!(tasks.run(|| Micros(0)) && !tasks.is_busy());
            assert_eq!(polls.load(Ordering::Relaxed), 1 + round);
        }
    }
}
