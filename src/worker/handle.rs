//! The outside of a worker: its mailbox, how many clients it has, and how often its driver was mistaken.

use super::Mail;
use crate::base::sync::{AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;
use std::io;
use std::sync::{Arc, PoisonError};

/// Sends letters to one worker; cheap to clone, never blocks for long.
#[derive(Clone)]
pub struct WorkerHandle(Arc<Mailbox>);

/// Letters wait in a plain vector under a lock that is held for a push or a swap: what comes here happens
/// once per connection or less often.
struct Mailbox {
    letters: Mutex<Letters>,
    wake: OwnedFd,
    clients: AtomicU32,
    driver_faults: AtomicU64,
    /// A model has no loop that the eventfd could wake: it counts.
    #[cfg(feature = "model")]
    wakes: AtomicU64,
}

#[derive(Default)]
struct Letters {
    waiting: Vec<Mail>,
    /// The loop has been woken for those that wait, or is awake: it looks before it sleeps.
    is_woken: bool,
    is_closed: bool,
}

impl WorkerHandle {
    /// The handle of a worker that is not yet running; letters wait for it.
    ///
    /// # Errors
    /// The system's, where it gives no eventfd.
    pub fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self(Arc::new(Mailbox {
            letters: Mutex::default(),
            wake,
            clients: AtomicU32::new(0),
            driver_faults: AtomicU64::new(0),
            #[cfg(feature = "model")]
            wakes: AtomicU64::new(0),
        })))
    }

    /// Puts a letter into the mailbox and wakes the loop. Letters to a worker that has ended are dropped.
    pub fn send(&self, mail: Mail) {
        if self.post(mail) {
            self.wake();
        }
    }

    /// Puts a letter into the mailbox; whether the loop is still to be woken for it ([`WorkerHandle::wake`]),
    /// which whoever has more to send does once for all of them.
    #[must_use]
    pub fn post(&self, mail: Mail) -> bool {
        let is_client = matches!(mail, Mail::Client(_) | Mail::Replication(_));
        let mut letters = self.letters();
        if letters.is_closed {
            drop(letters); // the letter's guards may send letters themselves
            drop(mail);
            return false;
        }
        if is_client {
            // Before anybody can read of it, and count it off again.
            self.0.clients.fetch_add(1, Ordering::Relaxed);
        }
        letters.waiting.push(mail);
        let is_woken = letters.is_woken;
        drop(letters);
        !is_woken
    }

    /// Wakes the loop, unless it has been for all that waits.
    pub fn wake(&self) {
        let mut letters = self.letters();
        let is_due = !letters.is_woken && !letters.waiting.is_empty();
        letters.is_woken |= is_due;
        drop(letters);
        if is_due {
            self.write_eventfd();
        }
    }

    /// The loop is awake, and will look into the mailbox before it sleeps: nobody needs to wake it.
    pub(super) fn mark_awake(&self) {
        self.letters().is_woken = true;
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.0.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Clients of this worker, those on their way to it included: new ones go to the worker with the fewest.
    pub fn client_count(&self) -> u32 {
        self.0.clients.load(Ordering::Relaxed)
    }

    /// Takes `count` clients off the number, because they are gone.
    pub(super) fn clients_gone(&self, count: u32) {
        self.0.clients.fetch_sub(count, Ordering::Relaxed);
    }

    /// Connections that its driver has ended because it was mistaken about them.
    pub fn driver_faults(&self) -> u64 {
        self.0.driver_faults.load(Ordering::Relaxed)
    }

    pub(super) fn set_driver_faults(&self, faults: u64) {
        self.0.driver_faults.store(faults, Ordering::Relaxed);
    }

    /// Everything that waits, in order. The loop looks again until there is nothing:
    /// what comes then wakes it.
    pub(crate) fn take(&self) -> Vec<Mail> {
        let mut letters = self.letters();
        letters.is_woken = !letters.waiting.is_empty();
        std::mem::take(&mut letters.waiting)
    }

    /// Closes the mailbox for good; returns what was in it.
    pub(super) fn close(&self) -> Vec<Mail> {
        let mut letters = self.letters();
        letters.is_closed = true;
        std::mem::take(&mut letters.waiting)
    }

    /// Another descriptor of the eventfd, for the driver to watch.
    pub(super) fn wake_fd(&self) -> io::Result<OwnedFd> {
        self.0.wake.try_clone()
    }

    fn write_eventfd(&self) {
        #[cfg(feature = "model")]
        self.0.wakes.fetch_add(1, Ordering::AcqRel);
        // It fails only when the counter is full, and then the loop has been woken often enough.
        let _ = rustix::io::write(&self.0.wake, &1u64.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{PoolId, WorkerId};

    fn nudge(pool: u64) -> Mail {
        Mail::Nudge { pool: PoolId(pool), by: WorkerId(0) }
    }

    #[test]
    fn letters_come_in_order_and_wake_once_until_taken() {
        let handle = WorkerHandle::new().expect("eventfd");
        (0..3).for_each(|pool| handle.send(nudge(pool)));
        let mut count = [0; 8];
        rustix::io::read(&handle.0.wake, &mut count).expect("woken");
        assert_eq!(u64::from_ne_bytes(count), 1);
        let pools: Vec<_> = handle
            .take()
            .into_iter()
            .map(|mail| if let Mail::Nudge { pool, .. } = mail { pool.0 } else { u64::MAX })
            .collect();
        assert_eq!(pools, [0, 1, 2]);
        handle.send(nudge(8));
        rustix::io::read(&handle.0.wake, &mut count).expect_err("it is awake, and looks again");
        assert_eq!((handle.take().len(), handle.take().len()), (1, 0));
        handle.send(nudge(9));
        rustix::io::read(&handle.0.wake, &mut count).expect("woken again");
    }

    #[test]
    fn letters_that_are_posted_wake_when_the_bell_is_rung_or_another_is_sent() {
        let handle = WorkerHandle::new().expect("eventfd");
        let mut count = [0; 8];
        let mut is_woken = || rustix::io::read(&handle.0.wake, &mut count).is_ok();
        handle.wake();
        assert!(!is_woken(), "for nothing");
        assert!(handle.post(nudge(0)) && handle.post(nudge(1)) && !is_woken());
        handle.wake();
        handle.wake();
        assert!(is_woken() && !is_woken(), "once");
        assert!(!handle.post(nudge(2)), "it has been woken for this one, too");
        assert_eq!((handle.take().len(), handle.take().len()), (3, 0));
        assert!(handle.post(nudge(3)));
        handle.send(nudge(4));
        assert!(is_woken(), "what is sent waits for no other wakeup");
        assert_eq!(handle.take().len(), 2);
    }

    #[test]
    fn a_closed_mailbox_drops_what_comes() {
        let handle = WorkerHandle::new().expect("eventfd");
        handle.send(nudge(1));
        assert_eq!(handle.close().len(), 1);
        handle.send(nudge(2));
        assert!(handle.take().is_empty());
    }
}

/// Every order of the senders and the loop (`make model`).
#[cfg(all(test, feature = "model"))]
mod models {
    use super::*;
    use crate::base::{PoolId, WorkerId};
    use loom::thread;

    fn nudge() -> Mail {
        Mail::Nudge { pool: PoolId(0), by: WorkerId(0) }
    }

    #[test]
    fn no_letter_waits_without_a_ring_to_come() {
        let mut bounded = loom::model::Builder::new();
        bounded.preemption_bound = Some(3);
        bounded.check(|| {
            let handle = WorkerHandle::new().expect("eventfd");
            let senders: Vec<_> = (0..2)
                .map(|_| {
                    let handle = handle.clone();
                    thread::spawn(move || {
                        if handle.post(nudge()) {
                            handle.wake();
                        }
                    })
                })
                .collect();
            handle.mark_awake(); // as a loop does whose tasks go on
            let seen = handle.0.wakes.load(Ordering::Acquire);
            let take_all = || {
                std::iter::repeat_with(|| handle.take().len()).take_while(|count| *count > 0).sum::<usize>()
            };
            let taken = take_all();
            senders.into_iter().for_each(|sender| sender.join().expect("no panic"));
            let left = take_all();
            assert_eq!(taken + left, 2);
            assert!(left == 0 || handle.0.wakes.load(Ordering::Acquire) > seen, "the loop sleeps on {left}");
        });
    }

    #[test]
    fn a_letter_to_a_closing_mailbox_is_returned_or_dropped() {
        loom::model(|| {
            let handle = WorkerHandle::new().expect("eventfd");
            let sender = handle.clone();
            let there = thread::spawn(move || sender.send(nudge()));
            let found = handle.close().len();
            there.join().expect("no panic");
            assert!(found <= 1 && handle.take().is_empty(), "nothing lies in a closed mailbox");
        });
    }
}
