//! Threads for tasks that are short, many and not urgent: each has a loop of its own, so that what begins on one stays there and
//! wakes no other, and all of them give way to the process's other threads.
//!
//! Never moves a task to another thread: who hands it over says where. A task must not panic (`tasks::guarded`).
//! Source: setpriority(2), NOTES (a nice value is a thread's).

use rustix::process::{getpriority_process, setpriority_process};
use std::io;
use std::pin::Pin;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The least urgent that a thread can be.
const NICE_MAX: i32 = 19;

/// The threads; their tasks end when this is dropped.
#[derive(Debug)]
pub struct Threads {
    handles: Box<[Handle]>,
    /// A thread ends with its one of these.
    _stops: Box<[oneshot::Sender<()>]>,
}

impl Threads {
    /// Starts `count` threads, named `name-0` and so on, each by `nice` less urgent than the one that calls.
    ///
    /// # Errors
    /// The system's, where it gives no thread or no epoll instance.
    pub fn start(name: &str, count: usize, nice: i32) -> io::Result<Self> {
        let (mut handles, mut stops) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (stop, stopped) = oneshot::channel::<()>();
            handles.push(runtime.handle().clone());
            stops.push(stop);
            std::thread::Builder::new().name(format!("{name}-{number}")).spawn(move || {
                give_way(nice);
                let _ = runtime.block_on(stopped); // an error: its owner is gone
                runtime.shutdown_background();
            })?;
        }
        Ok(Self { handles: handles.into(), _stops: stops.into() })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.handles.len()
    }

    /// The loop of the thread of that number.
    pub fn handle(&self, number: usize) -> &Handle {
        &self.handles[number]
    }

    /// Runs `task` on the thread of that number from now on.
    pub fn take_over(&self, number: usize, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        drop(self.handle(number).spawn(task));
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    fn name() -> Option<String> {
        thread::current().name().map(str::to_owned)
    }

    fn nice() -> i32 {
        getpriority_process(None).expect("a priority")
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
    fn tasks_end_with_their_threads() {
        struct Tell(mpsc::Sender<()>);
        impl Drop for Tell {
            fn drop(&mut self) {
                let _ = self.0.send(());
            }
        }
        let threads = Threads::start("test", 1, 0).expect("threads");
        let (tell, told) = mpsc::channel();
        let tell = Tell(tell);
        let task = async move {
            let _tell = tell;
            std::future::pending::<()>().await;
        };
        threads.take_over(0, Box::pin(task));
        drop(threads);
        told.recv().expect("the task was dropped");
    }
}
