//! Where a login runs: it begins on a worker's loop, and leaves that for a thread of its own as soon as it wants TLS.
//!
//! The login says so itself ([`Exit::take`]), when none of its sockets is watched by the worker any more; it goes on behind that
//! line on the other thread. Never moves a login back: from there it goes to its worker as a value.

use crate::io::Watch;
use crate::tasks::Threads;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

/// A login's place on a worker's loop.
#[derive(Debug)]
pub struct Berth {
    /// What its socket is watched by.
    pub watch: Watch,
    /// The way to another thread.
    pub exit: Exit,
}

/// The login's end of the way to another thread.
#[derive(Debug)]
pub struct Exit(Arc<AtomicBool>);

/// The worker's end of it.
#[derive(Debug)]
pub struct Leaving(Arc<AtomicBool>);

/// A way to another thread.
pub fn exit() -> (Exit, Leaving) {
    let wants = Arc::new(AtomicBool::new(false));
    (Exit(Arc::clone(&wants)), Leaving(wants))
}

impl Exit {
    /// Returns on the other thread.
    ///
    /// # Cancel safety
    /// Where it runs is not known behind it: it may have left.
    pub async fn take(self) {
        let mut has_left = false;
        poll_fn(|_| {
            if std::mem::replace(&mut has_left, true) {
                return Poll::Ready(());
            }
            self.0.store(true, Ordering::Release);
            Poll::Pending // nothing wakes it: whoever takes it over asks at once
        })
        .await;
    }
}

impl Leaving {
    /// Runs `login` here until it wants to leave, then on the thread of that number.
    ///
    /// # Cancel safety
    /// As long as it is here, the login is dropped with it.
    pub async fn guest(
        self,
        login: Pin<Box<impl Future<Output = ()> + Send + 'static>>,
        threads: Arc<Threads>,
        number: usize,
    ) {
        let mut here = Some(login);
        poll_fn(|context| {
            let Some(login) = &mut here else { return Poll::Ready(()) };
            if login.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            if !self.0.load(Ordering::Acquire) {
                return Poll::Pending;
            }
            if let Some(login) = here.take() {
                threads.take_over(number, login);
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

    #[test]
    fn a_login_stays_until_it_takes_the_exit_and_goes_on_behind_it_on_the_thread() {
        let threads = Arc::new(Threads::start("berth", 1, 0).expect("a thread"));
        let (exit, leaving) = exit();
        let (tell, told) = mpsc::channel();
        let (go, mut gone) = tokio::sync::mpsc::channel::<()>(1);
        let name = || thread::current().name().map(str::to_owned);
        let login = async move {
            gone.recv().await;
            tell.send(name()).unwrap();
            exit.take().await;
            tell.send(name()).unwrap();
            gone.recv().await;
            tell.send(name()).unwrap();
        };
        let mut guest = Box::pin(leaving.guest(Box::pin(login), Arc::clone(&threads), 0));
        assert!(!poll(guest.as_mut()) && told.try_recv().is_err());
        go.try_send(()).unwrap();
        assert!(poll(guest.as_mut()), "it is not here any more");
        assert_eq!(told.recv().unwrap(), name());
        assert_eq!(told.recv().unwrap().as_deref(), Some("berth-0"));
        go.try_send(()).unwrap();
        assert_eq!(told.recv().unwrap().as_deref(), Some("berth-0"), "its waits are that thread's");
    }

    #[test]
    fn a_login_that_never_leaves_ends_where_it_began() {
        let threads = Arc::new(Threads::start("berth", 1, 0).expect("a thread"));
        let (_exit, leaving) = exit();
        assert!(poll(Box::pin(leaving.guest(Box::pin(async {}), threads, 0)).as_mut()));
    }
}
