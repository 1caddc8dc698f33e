//! A worker's thread: round after round until it is told to stop (`worker.rs` says what a round does).
//!
//! Gives the worker its core, its driver over the kernel, and its ways out: mailbox, other workers, notes, the clock.

use super::{Mail, Post, Worker, WorkerHandle};
use crate::base::{Micros, WorkerId};
use crate::config::IoBackend;
use crate::core::{Core, Note, StatementRegistry};
use crate::io::{Burst, Clock, Epoll};
use crate::wire::TrackedNames;
use rustix::fd::OwnedFd;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Takes what a worker wants from the world outside; called on the worker's thread, so it only passes it on.
pub type Notes = Arc<dyn Fn(WorkerId, Note) + Send + Sync>;

/// What a worker is started with.
pub struct Seat {
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
/// Never returns from a panic of the worker: the process is aborted, since a pooler that limps on could hand one tenant's
/// rows to another.
pub fn spawn(seat: Seat) -> io::Result<JoinHandle<()>> {
    let driver = Epoll::new(seat.workers[usize::from(seat.id.0)].wake_fd()?, burst(&seat))?;
    let name = format!("worker-{}", seat.id.0);
    std::thread::Builder::new().name(name).spawn(move || {
        let id = seat.id;
        let core = Core::new(id, seat.names.clone(), Arc::clone(&seat.statements));
        let me = seat.workers[usize::from(id.0)].clone();
        let mut worker = Worker::new(id, core, driver, Place { seat, me });
        let run = || {
            while worker.round()?.is_continue() {}
            Ok::<_, io::Error>(())
        };
        // With `panic = "abort"` the panic hook has the last word instead.
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => fatal(&format!("worker {} cannot wait for events: {error}", id.0)),
            Err(_) => {
                let connections = worker.driver().connections();
                fatal(&format!("worker {} panicked with {connections} connections", id.0));
            }
        }
    })
}

/// The ring of writes, where it is wanted and the kernel gives one.
fn burst(seat: &Seat) -> Option<Burst> {
    if seat.io_backend == IoBackend::Epoll {
        return None;
    }
    let burst = Burst::new();
    if let Err(error) = &burst
        && seat.id == WorkerId(0)
    {
        tracing::info!("no io_uring here ({error}): every write is a system call of its own");
    }
    burst.ok()
}

fn fatal(text: &str) -> ! {
    tracing::error!("{text}, aborting");
    std::process::abort()
}

/// What a worker's thread stands on.
struct Place {
    seat: Seat,
    me: WorkerHandle,
}

impl Post for Place {
    type Socket = OwnedFd;

    fn now(&self) -> Micros {
        self.seat.clock.now()
    }

    fn take(&mut self) -> Vec<Mail> {
        self.me.take()
    }

    fn close(&mut self) {
        drop(self.me.close());
    }

    fn send(&mut self, to: WorkerId, mail: Mail) {
        self.seat.workers[usize::from(to.0)].send(mail);
    }

    fn note(&mut self, note: Note) {
        (self.seat.notes)(self.seat.id, note);
    }

    fn clients_gone(&mut self, count: u32) {
        self.me.clients_gone(count);
    }

    fn driver_faults(&mut self, count: u64) {
        self.me.set_driver_faults(count);
    }
}
