//! Where a login runs: it begins on a worker's loop, and leaves that for a thread of its own
//! as soon as it wants TLS.
//!
//! The login says so itself ([`Exit::take`]), when none of its sockets is watched by the worker any
//! more; it goes on behind that line on the other thread. Never moves a login back: from there it goes
//! to its worker as a value.

use super::wake_batch::WakeBatch;
use crate::control::Plane;
use crate::io::Watch;
use crate::tasks::{self, Threads};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use tokio::task::JoinSet;

/// The threads for handshakes, each with its batch of wakeups. Those who come to them take turns; who
/// needs none takes no turn.
#[derive(Debug)]
pub(super) struct Handshakes {
    threads: Threads,
    wake_batches: Box<[Arc<WakeBatch>]>,
    next: AtomicUsize,
}

impl Handshakes {
    /// Starts `count` threads, each by `nice` less urgent than the one that calls.
    ///
    /// # Errors
    /// The system's, where a thread cannot be started.
    pub(super) fn start(name: &str, count: usize, nice: i32) -> io::Result<Self> {
        Ok(Self {
            threads: Threads::start(name, count, nice)?,
            wake_batches: (0..count).map(|_| Arc::default()).collect(),
            next: AtomicUsize::new(0),
        })
    }

    /// Ends the threads, and whoever is still logging in on one of them ([`Threads::stop`]).
    pub(super) fn stop(&self) {
        self.threads.stop();
    }

    /// Has each thread wake the workers that it has sent clients to.
    pub(super) fn flushers(&self, plane: &Arc<Plane>) -> JoinSet<()> {
        let mut flushers = JoinSet::new();
        for (number, wake_batch) in self.wake_batches.iter().enumerate() {
            let (wake_batch, plane) = (Arc::clone(wake_batch), Arc::clone(plane));
            let flush = move || Arc::clone(&wake_batch).keep_flushing(Arc::clone(&plane));
            flushers.spawn_on(tasks::keep("a batch of wakeups", flush), self.threads.handle(number));
        }
        flushers
    }

    fn choose(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.threads.count()
    }
}

/// A login's place on a worker's loop.
#[derive(Debug)]
pub struct LoopPlace {
    /// What its socket is watched by.
    pub watch: Watch,
    /// The way to another thread.
    pub exit: Exit,
}

/// The number of the thread that a login leaves for, once it does.
type Chosen = Arc<OnceLock<usize>>;

/// The login's end of the way to another thread.
#[derive(Debug)]
pub struct Exit(Chosen, Arc<Handshakes>);

/// The worker's end of it.
#[derive(Debug)]
pub(super) struct Leaving(Chosen, Arc<Handshakes>);

/// A way to one of the threads.
pub(super) fn exit(to: &Arc<Handshakes>) -> (Exit, Leaving) {
    let chosen = Chosen::default();
    (Exit(Arc::clone(&chosen), Arc::clone(to)), Leaving(chosen, Arc::clone(to)))
}

impl Exit {
    /// Returns on the other thread, with its batch of wakeups.
    ///
    /// # Cancel safety
    /// Where it runs is not known behind it: it may have left.
    pub async fn take(self) -> Arc<WakeBatch> {
        let mut has_left = false;
        poll_fn(|_| {
            let number = *self.0.get_or_init(|| self.1.choose());
            match std::mem::replace(&mut has_left, true) {
                true => Poll::Ready(Arc::clone(&self.1.wake_batches[number])),
                false => Poll::Pending, // nothing wakes it: whoever takes it over asks at once
            }
        })
        .await
    }
}

impl Leaving {
    /// Runs `login` here until it wants to leave, then on the thread that it has chosen.
    ///
    /// # Cancel safety
    /// As long as it is here, the login is dropped with it.
    pub(super) async fn guest(self, login: Pin<Box<impl Future<Output = ()> + Send + 'static>>) {
        let mut here = Some(login);
        poll_fn(|context| {
            let Some(login) = &mut here else { return Poll::Ready(()) };
            if login.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            let Some(number) = self.0.get() else { return Poll::Pending };
            if let Some(login) = here.take() {
                self.1.threads.take_over(*number, login);
            }
            Poll::Ready(())
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::task::{Context, Waker};
    use std::thread;

    fn poll(task: Pin<&mut impl Future<Output = ()>>) -> bool {
        task.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn handshakes(count: usize) -> Arc<Handshakes> {
        Arc::new(Handshakes::start("loop_place", count, 0).expect("threads"))
    }

    fn name() -> Option<String> {
        thread::current().name().map(str::to_owned)
    }

    #[test]
    fn a_login_stays_until_it_takes_the_exit_and_goes_on_behind_it_on_the_thread() {
        let handshakes = handshakes(1);
        let (exit, leaving) = exit(&handshakes);
        let (tell, told) = mpsc::channel();
        let (go, mut gone) = tokio::sync::mpsc::channel::<()>(1);
        let login = async move {
            gone.recv().await;
            tell.send(name()).unwrap();
            exit.take().await;
            tell.send(name()).unwrap();
            gone.recv().await;
            tell.send(name()).unwrap();
        };
        let mut guest = Box::pin(leaving.guest(Box::pin(login)));
        assert!(!poll(guest.as_mut()) && told.try_recv().is_err());
        go.try_send(()).unwrap();
        assert!(poll(guest.as_mut()), "it is not here any more");
        assert_eq!(told.recv().unwrap(), name());
        assert_eq!(told.recv().unwrap().as_deref(), Some("loop_place-0"));
        go.try_send(()).unwrap();
        assert_eq!(told.recv().unwrap().as_deref(), Some("loop_place-0"), "its waits are that thread's");
    }

    #[test]
    fn a_login_that_never_leaves_ends_where_it_began() {
        let (_exit, leaving) = exit(&handshakes(1));
        assert!(poll(Box::pin(leaving.guest(Box::pin(async {}))).as_mut()));
    }

    #[test]
    fn the_threads_take_turns_and_who_stays_takes_none() {
        let (handshakes, (tell, told)) = (handshakes(2), mpsc::channel());
        for _ in 0..4 {
            let (_exit, stays) = exit(&handshakes);
            assert!(poll(Box::pin(stays.guest(Box::pin(async {}))).as_mut()));
            let ((exit, leaving), tell) = (exit(&handshakes), tell.clone());
            let login = async move {
                exit.take().await;
                tell.send(name()).unwrap();
            };
            assert!(poll(Box::pin(leaving.guest(Box::pin(login))).as_mut()));
        }
        let mut on: Vec<_> = (0..4).map(|_| told.recv().unwrap().unwrap()).collect();
        on.sort();
        assert_eq!(on, ["loop_place-0", "loop_place-0", "loop_place-1", "loop_place-1"]);
    }
}
