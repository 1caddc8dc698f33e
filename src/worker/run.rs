//! A worker's thread: round after round until it is told to stop (`worker.rs` says what a round does).
//!
//! Gives the worker its core, its driver over the kernel, and its ways out: mailbox, other
//! workers, notes, the clock.

use super::tasks::Tasks;
use super::{Begin, Environment, Mail, Worker, WorkerHandle};
use crate::base::{Micros, WorkerId};
use crate::config::IoBackend;
use crate::core::{Core, Note, StatementRegistry};
use crate::io::{Burst, Clock, Epoll, Linux};
use crate::tasks;
use crate::wire::TrackedNames;
use rustix::fd::OwnedFd;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Takes what a worker wants from the world outside; called on the worker's thread, so it only passes it on.
pub type Notes = Arc<dyn Fn(WorkerId, Note) + Send + Sync>;

/// What a worker is started with.
pub struct WorkerConfig {
    /// Its number: the index of its own handle in `workers`.
    pub id: WorkerId,
    /// Tracked parameter names.
    pub names: TrackedNames,
    /// The process's prepared statements.
    pub statements: Arc<StatementRegistry>,
    /// The process's clock.
    pub clock: Clock,
    /// Who takes its notes. [`Note::Nudge`] is not among them: workers tell each other.
    pub notes: Notes,
    /// All workers.
    pub workers: Box<[WorkerHandle]>,
    /// How it talks to the kernel.
    pub io_backend: IoBackend,
}

/// Starts a worker's thread, named `worker-<number>`. It ends at [`Mail::Stop`].
///
/// # Errors
/// The system's, where it gives no epoll instance or no thread.
///
/// # Panics
/// Not from a panic of the worker: that aborts the process, since a pooler that limps on could hand one
/// tenant's rows to another.
pub fn spawn(config: WorkerConfig) -> io::Result<JoinHandle<()>> {
    let driver = Epoll::new(config.workers[usize::from(config.id.0)].wake_fd()?, burst(&config))?;
    let epoll = driver.instance();
    // Of the tasks: whoever starts no runtime begins none.
    let timers = tokio::runtime::Handle::try_current().ok();
    let name = format!("worker-{}", config.id.0);
    std::thread::Builder::new().name(name).spawn(move || {
        let _timers = timers.as_ref().map(tokio::runtime::Handle::enter);
        let id = config.id;
        let core = Core::new(id, config.names.clone(), Arc::clone(&config.statements));
        let me = config.workers[usize::from(id.0)].clone();
        let tasks = Tasks::new(me.clone(), epoll);
        let mut worker = Worker::new(id, core, driver, ThreadEnvironment { config, me, tasks });
        let run = || {
            while worker.round()?.is_continue() {}
            Ok::<_, io::Error>(())
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tasks::abort(&format!("worker {} cannot wait for events: {error}", id.0)),
            Err(_) => tasks::abort(&format!(
                "worker {} has panicked, which may have mixed rows; it held {}",
                id.0,
                state(&mut worker)
            )),
        }
    })
}

/// The ring of writes, where it is wanted and the kernel gives one.
fn burst(config: &WorkerConfig) -> Option<Burst> {
    if config.io_backend == IoBackend::Epoll {
        return None;
    }
    let burst = Burst::new();
    if let Err(error) = &burst
        && config.id == WorkerId(0)
    {
        tracing::info!("io_uring is not available ({error}): each write is a system call");
    }
    burst.ok()
}

/// What a worker that has panicked held, as far as it can still tell.
fn state(worker: &mut Worker<Core, Linux, ThreadEnvironment>) -> String {
    let counts = || {
        let (clients, servers) = worker.machine().counts();
        format!("{} connections, {clients} clients and {servers} servers", worker.driver().connections())
    };
    catch_unwind(AssertUnwindSafe(counts)).unwrap_or_else(|_| "a state that cannot be told".to_owned())
}

/// A worker's ways out on its thread, and its tasks.
struct ThreadEnvironment {
    config: WorkerConfig,
    me: WorkerHandle,
    tasks: Tasks,
}

impl Environment for ThreadEnvironment {
    type Socket = OwnedFd;

    fn now(&self) -> Micros {
        self.config.clock.now()
    }

    fn take(&mut self) -> Vec<Mail> {
        self.me.take()
    }

    fn close(&mut self) {
        drop(self.me.close());
    }

    fn begin(&mut self, task: Begin) {
        self.tasks.begin(task, || self.config.clock.now());
    }

    fn wake(&mut self, task: u32) {
        self.tasks.wake(task);
    }

    fn run_tasks(&mut self) -> bool {
        self.tasks.run(|| self.config.clock.now())
    }

    fn has_tasks(&self) -> bool {
        self.tasks.is_busy()
    }

    fn send(&mut self, to: WorkerId, mail: Mail) {
        self.config.workers[usize::from(to.0)].send(mail);
    }

    fn note(&mut self, note: Note) {
        (self.config.notes)(self.config.id, note);
    }

    fn clients_gone(&mut self, count: u32) {
        self.me.clients_gone(count);
    }

    fn driver_faults(&mut self, count: u64) {
        self.me.set_driver_faults(count);
    }
}
