//! The loop: wait, events, letters, the janitor's pass; then what the core wants from the world outside.
//!
//! Never decides about a client or a server: it only carries values between driver, core, mailbox and other workers.

use super::{Mail, WorkerHandle};
use crate::base::{ClientId, Micros, Peer, ServerId, WorkerId, limits};
use crate::config::IoBackend;
use crate::core::{Core, Note, StatementRegistry};
use crate::io::{Burst, Channel, Clock, Epoll};
use crate::tasks;
use crate::wire::TrackedNames;
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
/// Not from a panic of the worker: that aborts the process, since a pooler that limps on could hand one tenant's rows to
/// another.
pub fn spawn(seat: Seat) -> io::Result<JoinHandle<()>> {
    let driver = Epoll::new(seat.workers[usize::from(seat.id.0)].wake_fd()?, burst(&seat))?;
    let name = format!("worker-{}", seat.id.0);
    std::thread::Builder::new().name(name).spawn(move || {
        let id = seat.id;
        let mut worker = Worker::new(seat, driver);
        match catch_unwind(AssertUnwindSafe(|| worker.run())) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tasks::abort(&format!("worker {} cannot wait for events: {error}", id.0)),
            Err(_) => tasks::abort(&format!("worker {} has panicked with {}", id.0, state(&worker))),
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

/// What a worker that has panicked held, as far as it can still tell.
fn state(worker: &Worker) -> String {
    let counts = || {
        let (clients, servers) = worker.core.counts();
        format!("{} connections, {clients} clients and {servers} servers", worker.driver.connections())
    };
    catch_unwind(AssertUnwindSafe(counts)).unwrap_or_else(|_| "a state that cannot be told".to_owned())
}

struct Worker {
    seat: Seat,
    me: WorkerHandle,
    core: Core,
    driver: Epoll,
    /// Clients that have ever come; less those that are here now, they are gone.
    clients_come: u32,
    clients_gone: u32,
}

impl Worker {
    fn new(seat: Seat, driver: Epoll) -> Self {
        let me = seat.workers[usize::from(seat.id.0)].clone();
        let core = Core::new(seat.id, seat.names.clone(), Arc::clone(&seat.statements));
        Self { seat, me, core, driver, clients_come: 0, clients_gone: 0 }
    }

    fn run(&mut self) -> io::Result<()> {
        let period = Micros::from_millis(limits::JANITOR_PERIOD_MS);
        let mut next_pass = self.seat.clock.now() + period;
        let mut now = self.seat.clock.now();
        loop {
            let turn = self.driver.turn(&mut self.core, &self.seat.clock, next_pass.since(now))?;
            now = turn.now;
            if turn.woken {
                for mail in self.me.take() {
                    if let Mail::Stop = mail {
                        drop(self.me.close());
                        return Ok(());
                    }
                    self.deliver(mail, now);
                }
            }
            if now >= next_pass {
                self.driver.act(&mut self.core, now, |core, net| core.janitor(now, net));
                self.driver.expire(now);
                next_pass = now + period;
            }
            self.carry_out();
        }
    }

    fn deliver(&mut self, mail: Mail, now: Micros) {
        let Self { core, driver, .. } = self;
        match mail {
            Mail::Client(parts) => {
                let (channel, login) = *parts;
                self.clients_come = self.clients_come.wrapping_add(1);
                let id = self.adopt_client(channel);
                self.driver.act(&mut self.core, now, |core, net| core.client_joined(id, login, now, net));
            }
            Mail::Server(parts) => {
                let (channel, login) = *parts;
                let id = self.adopt_server(channel);
                self.driver.act(&mut self.core, now, |core, net| core.server_joined(id, login, now, net));
            }
            Mail::Moved(parts) => {
                let (channel, state) = *parts;
                let id = self.adopt_server(channel);
                self.driver.act(&mut self.core, now, |core, net| core.server_moved_in(id, state, now, net));
            }
            Mail::Nudge { pool, by } => driver.act(core, now, |core, net| core.nudged(pool, by, now, net)),
            Mail::CancelSent(server) => driver.act(core, now, |core, net| core.cancel_sent(server, now, net)),
            Mail::Command(command, reply) => {
                reply(driver.act(core, now, |core, net| core.command(command, now, net)));
            }
            Mail::Stop => {}
        }
    }

    fn adopt_client(&mut self, channel: Channel) -> ClientId {
        let id = self.core.reserve_client();
        self.driver.adopt(Peer::Client(id), channel);
        id
    }

    fn adopt_server(&mut self, channel: Channel) -> ServerId {
        let id = self.core.reserve_server();
        self.driver.adopt(Peer::Server(id), channel);
        id
    }

    /// Sends out what the turn has left for others.
    fn carry_out(&mut self) {
        for departure in self.driver.take_departures() {
            let mail = Mail::Moved(Box::new((departure.channel, departure.state)));
            self.seat.workers[usize::from(departure.to.0)].send(mail);
        }
        for note in self.driver.take_notes() {
            match note {
                Note::Nudge { pool, idle_at } => {
                    self.seat.workers[usize::from(idle_at.0)].send(Mail::Nudge { pool, by: self.seat.id });
                }
                note => (self.seat.notes)(self.seat.id, note),
            }
        }
        let here = u32::try_from(self.core.counts().0).unwrap_or(u32::MAX);
        let gone = self.clients_come.wrapping_sub(here);
        if gone != self.clients_gone {
            self.me.clients_gone(gone.wrapping_sub(self.clients_gone));
            self.clients_gone = gone;
        }
    }
}
