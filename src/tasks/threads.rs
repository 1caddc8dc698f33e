//! Threads for tasks that are short, many and not urgent: each has a loop of its own, so that what begins on
//! one stays there and wakes no other, and all of them give way to the process's other threads.
//!
//! Never moves a task to another thread: who hands it over says where. A task must not panic
//! (`tasks::guarded`). Source: setpriority(2), NOTES (a nice value is a thread's).

use rustix::process::{getpriority_process, setpriority_process};
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The least urgent that a thread can be.
const NICE_MAX: i32 = 19;

/// The threads; they are stopped when this is dropped.
#[derive(Debug)]
pub(crate) struct Threads {
    handles: Box<[Handle]>,
    running: Mutex<Vec<Running>>,
}

/// A thread; it ends with its sender.
type Running = (oneshot::Sender<()>, JoinHandle<()>);

impl Threads {
    /// Starts `count` threads, named `name-0` and so on, each by `nice` less urgent than the one that calls.
    /// When it returns they are.
    ///
    /// # Errors
    /// The system's, where it gives no thread or no epoll instance.
    pub(crate) fn start(name: &str, count: usize, nice: i32) -> io::Result<Self> {
        let (mut handles, mut running) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (stop, stopped) = oneshot::channel::<()>();
            let (starts, has_started) = mpsc::channel::<()>();
            handles.push(runtime.handle().clone());
            let thread = thread::Builder::new().name(format!("{name}-{number}")).spawn(move || {
                give_way(nice);
                drop(starts);
                let _ = runtime.block_on(stopped); // an error: its owner is gone
                runtime.shutdown_background();
            })?;
            let _ = has_started.recv(); // nothing comes: it is over when the thread drops its end
            running.push((stop, thread));
        }
        Ok(Self { handles: handles.into(), running: Mutex::new(running) })
    }

    /// Ends the threads; when it returns their tasks have been dropped, so that what
    /// those lean on may end, too.
    ///
    /// Blocks for as long as a task's turn takes. A task that calls it ends with its thread, later.
    pub(crate) fn stop(&self) {
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        let (stops, threads): (Vec<_>, Vec<_>) = running.into_iter().unzip();
        drop(stops);
        let others = threads.into_iter().filter(|other| other.thread().id() != thread::current().id());
        others.for_each(|other| drop(other.join())); // a panic there has been told
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.handles.len()
    }

    /// The loop of the thread of that number.
    pub(crate) fn handle(&self, number: usize) -> &Handle {
        &self.handles[number]
    }

    /// Runs `task` on the thread of that number from now on.
    pub(crate) fn take_over(&self, number: usize, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        drop(self.handle(number).spawn(task));
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Makes the calling thread less urgent, and those that it starts.
fn give_way(nice: i32) {
    let lowered =
        getpriority_process(None).and_then(|own| setpriority_process(None, (own + nice).min(NICE_MAX)));
    if let Err(error) = lowered {
        tracing::warn!("cannot lower the priority of a thread: {error}");
    }
}

/// Makes the calling thread by `nice` less urgent than the process's first one, if it is not yet. Nothing is
/// told where that fails: it is asked for again and again.
pub(super) fn give_way_to_process(nice: i32) {
    let first = getpriority_process(Some(rustix::process::getpid())).unwrap_or_default();
    let wanted = (first + nice).min(NICE_MAX);
    if getpriority_process(None).is_ok_and(|own| own < wanted) {
        let _ = setpriority_process(None, wanted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    fn name() -> Option<String> {
        thread::current().name().map(str::to_owned)
    }

    fn nice() -> i32 {
        getpriority_process(None).expect("a priority")
    }

    #[test]
    fn a_thread_gives_way_once_however_often_it_is_asked() {
        let first = getpriority_process(Some(rustix::process::getpid())).expect("a priority");
        let asked = thread::spawn(|| {
            give_way_to_process(3);
            give_way_to_process(3);
            nice()
        });
        assert_eq!(asked.join().expect("no panic"), (first + 3).min(NICE_MAX));
    }

    #[test]
    fn what_begins_on_a_thread_stays_there_and_gives_way() {
        let threads = Threads::start("test", 2, 7).expect("threads");
        let (told, tell) = (mpsc::channel(), nice());
        for number in 0..threads.count() {
            let told = told.0.clone();
            let task = async move {
                let before = name();
                tokio::task::yield_now().await;
                let _ = told.send((before, name(), nice()));
            };
            threads.take_over(number, Box::pin(task));
        }
        let mut said: Vec<_> = (0..2).map(|_| told.1.recv().expect("it runs")).collect();
        said.sort();
        let nice = (tell + 7).min(NICE_MAX);
        let on = |name: &str| (Some(name.to_owned()), Some(name.to_owned()), nice);
        assert_eq!(said, [on("test-0"), on("test-1")]);
        assert_eq!(self::nice(), tell, "who starts them keeps its own");
    }

    #[test]
    fn no_task_outlives_the_stop_and_one_that_stops_its_own_thread_waits_for_nobody() {
        struct Tell(mpsc::Sender<()>);
        impl Drop for Tell {
            fn drop(&mut self) {
                thread::sleep(Duration::from_millis(20)); // its end is not that of a moment
                let _ = self.0.send(());
            }
        }
        let threads = Arc::new(Threads::start("test", 2, 0).expect("threads"));
        let (tell, told) = mpsc::channel();
        for number in 0..threads.count() {
            let (tell, started) = (Tell(tell.clone()), mpsc::channel());
            let task = async move {
                let _tell = tell;
                let _ = started.0.send(());
                std::future::pending::<()>().await;
            };
            threads.take_over(number, Box::pin(task));
            started.1.recv().expect("it runs");
        }
        threads.stop();
        assert_eq!(told.try_iter().count(), threads.count(), "they were dropped before it returned");

        let (own, over) = (Arc::new(Threads::start("test", 1, 0).expect("a thread")), mpsc::channel());
        let task = {
            let own = Arc::clone(&own);
            async move {
                own.stop();
                let _ = over.0.send(());
            }
        };
        own.take_over(0, Box::pin(task));
        over.1.recv().expect("it did not wait for itself");
    }
}
