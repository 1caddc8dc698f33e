//! Where every task of the login plane begins: what it is, for whom, and what its panic costs.
//!
//! [`spawn`]: the task alone. [`keep`]: begun again after a pause. [`vital`]: the process. A panic is logged
//! and counted by the hook of `observe::log`, which knows the place: once, with whom it has ended.
//! Places, permits and sockets that the task held are given back as it is dropped. A lock that was held is
//! used on (`PoisonError::into_inner`): what locks guard here is tables and counts, changed by calls that
//! leave them whole; the ledger alone, whose counts are the caps, ends the process. Never shows a panic's
//! text. `tests/house.rs` forbids tokio's own ways to begin a task outside of this room, but in a set of
//! tasks that are kept ([`keep`]).

mod panics;
mod threads;

pub(crate) use panics::leave_to_catcher;
pub(crate) use threads::Threads;

use panics::{Panic, caught};
use std::fmt::Display;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Between the panic of a task that is kept and its next beginning: one that panics at once must not spin.
const PAUSE: Duration = Duration::from_millis(100);

/// Begins a task whose panic ends it alone. Its handle gives `None` then.
pub(crate) fn spawn<F>(
    what: &'static str,
    peer: impl Display + Send + 'static,
    task: F,
) -> JoinHandle<Option<F::Output>>
where
    F: Future<Output: Send> + Send + 'static,
{
    // Boxed first: each function that it passes through would keep room for the whole of it,
    // for as long as it lives.
    tokio::spawn(guarded(what, peer, Box::pin(task)))
}

/// Runs `task` up to its end or its panic: `None`.
///
/// # Cancel safety
/// That of `task`.
pub(crate) async fn guarded<F: Future>(what: &'static str, peer: impl Display, task: F) -> Option<F::Output> {
    let result = catch(task).await;
    result.map_err(|panic| tell_end(what, &peer, &panic)).ok()
}

fn tell_end(what: &str, peer: &impl Display, panic: &Panic) {
    tracing::error!("{what} ({peer}) has panicked and was ended, all else goes on{panic}");
}

/// Runs what may block, or computes for long, off the runtime's threads; `None` where it panicked.
///
/// # Cancel safety
/// The work goes on, its result is lost.
pub(crate) async fn blocking<T: Send + 'static>(
    what: &'static str,
    peer: impl Display,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let result = tokio::task::spawn_blocking(move || caught(work)).await.ok()?;
    result.map_err(|panic| tell_end(what, &peer, &panic)).ok()
}

/// As [`blocking`], for what computes: on a thread that is by `nice` less urgent than the process, so that it
/// takes no core that a worker wants.
///
/// # Cancel safety
/// The work goes on, its result is lost.
pub(crate) async fn computing<T: Send + 'static>(
    what: &'static str,
    peer: impl Display,
    nice: i32,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    blocking(what, peer, move || {
        threads::give_way_to_process(nice);
        work()
    })
    .await
}

/// Runs what may block without end on a thread of its own, named `name`; `None` where it panicked, or the
/// system gives no thread.
///
/// # Cancel safety
/// The work goes on, its result is lost.
pub(crate) async fn on_own_thread<T: Send + 'static>(
    name: &'static str,
    peer: impl Display,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (tell, told) = oneshot::channel();
    let begun = std::thread::Builder::new().name(name.into()).spawn(move || drop(tell.send(caught(work))));
    if let Err(error) = begun {
        tracing::error!("cannot start a thread ({name}, {peer}): {error}");
        return None;
    }
    told.await.ok()?.map_err(|panic| tell_end(name, &peer, &panic)).ok()
}

/// Runs what `begin` begins, and begins it again whenever it panics: for loops that
/// keep no state of their own.
///
/// # Cancel safety
/// That of the task.
pub(crate) async fn keep<F: Future>(what: &'static str, mut begin: impl FnMut() -> F) -> F::Output {
    loop {
        match catch(begin()).await {
            Ok(end) => return end,
            Err(panic) => tracing::error!("{what} has panicked and was restarted{panic}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Runs what the pooler cannot do without and cannot begin again: its panic ends the process.
///
/// # Cancel safety
/// That of `task`.
pub(crate) async fn vital<F: Future>(what: &'static str, task: F) -> F::Output {
    match catch(task).await {
        Ok(end) => end,
        Err(panic) => abort(&format!("{what} has panicked{panic}")),
    }
}

/// The process cannot go on.
pub(crate) fn abort(why: &str) -> ! {
    tracing::error!(fatal = true, "{why}, aborting");
    std::process::abort()
}

/// The result, or the panic. A future that has panicked is not asked again.
async fn catch<F: Future>(task: F) -> Result<F::Output, Panic> {
    let mut task = pin!(task);
    std::future::poll_fn(move |context| match caught(|| task.as_mut().poll(context)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn a_panic_ends_its_task_alone_and_gives_back_what_it_held() {
        let permits = Arc::new(Semaphore::new(1));
        for round in 0..3 {
            let permit = permits.clone().try_acquire_owned().expect("the last round's is back");
            let hurt = spawn("a task", round, async move {
                let _held = permit;
                tokio::task::yield_now().await;
                panic!("of this task");
            });
            let well = spawn("another", round, async move { round });
            assert_eq!(hurt.await.unwrap(), None::<()>);
            assert_eq!(well.await.unwrap(), Some(round));
        }
        assert_eq!(permits.available_permits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_begins_again() {
        let begun = AtomicU32::new(0);
        let end = keep("a loop", || async {
            let round = begun.fetch_add(1, Ordering::Relaxed);
            assert!(round == 3, "not yet");
            round
        });
        assert_eq!(end.await, 3);
    }

    #[tokio::test]
    async fn work_on_its_own_thread_that_panics_is_none() {
        let name = || std::thread::current().name().map(str::to_owned);
        assert_eq!(on_own_thread("its own", "x", name).await, Some(Some("its own".to_owned())));
        assert_eq!(on_own_thread("its own", "x", || -> u32 { panic!("of this work") }).await, None);
    }

    #[tokio::test]
    async fn blocking_work_that_panics_is_none() {
        assert_eq!(blocking("work", "x", || 7).await, Some(7));
        assert_eq!(blocking("work", "x", || -> u32 { panic!("of this work") }).await, None);
    }
}
