//! One round of the loop: wait, events, letters, the janitor's pass; then what the core
//! wants from the world outside.
//!
//! Never decides about a client or a server: it only carries values between driver, core, mailbox and other
//! workers. Knows no thread, no clock and no socket of its own: a thread runs it (`run.rs`), and so does the
//! simulation (`tests/sim`).

use super::mail::Reply;
use super::worker_machine::{WorkerEvent, WorkerMachine};
use super::{Begin, Mail, ReplicationPair};
use crate::base::{Micros, Peer, WorkerId, limits};
use crate::core::{Answer, Command, Note};
use crate::io::{Epoll, Kernel};
use std::io;
use std::ops::ControlFlow;

/// Looks into the mailbox in one round: a client is accepted, logs in and joins within one, if it can.
const MAILS_PER_ROUND: usize = 4;

/// A worker's ways to the world outside.
pub trait Environment {
    /// What letters carry.
    type Socket;
    /// The time; never goes back.
    fn now(&self) -> Micros;
    /// Everything that waits in the worker's mailbox, in order. Once it was empty, what comes wakes the loop.
    fn take(&mut self) -> Vec<Mail<Self::Socket>>;
    /// Closes the mailbox for good.
    fn close(&mut self);
    /// Begins a task on this loop.
    fn begin(&mut self, task: Begin);
    /// The task of that number may go on.
    fn wake(&mut self, task: u32);
    /// Lets tasks that may go on do so; whether any had to.
    fn run_tasks(&mut self) -> bool;
    /// Whether any is left that may go on.
    fn has_tasks(&self) -> bool;
    /// Sends a letter to another worker, or to itself.
    fn send(&mut self, to: WorkerId, mail: Mail<Self::Socket>);
    /// Passes on what the world outside is to learn.
    fn note(&mut self, note: Note);
    /// So many clients more are gone.
    fn clients_gone(&mut self, count: u32);
    /// So many connections have ended because the driver was mistaken, in all.
    fn driver_faults(&mut self, count: u64);
}

/// What one loop holds.
pub struct Worker<M, K: Kernel, E> {
    id: WorkerId,
    machine: M,
    driver: Epoll<K>,
    environment: E,
    now: Micros,
    next_pass: Micros,
    /// Questions, and where their answers go, that wait until the sockets have been looked at: what has come
    /// before a question counts in its answer.
    asked: Vec<(Command, Reply)>,
    /// The mailbox was not empty when it was last looked into.
    has_mail: bool,
    /// Clients that have ever come; less those that are here now, they are gone.
    clients_come: u32,
    clients_gone: u32,
}

impl<M: WorkerMachine, K: Kernel, E: Environment<Socket = K::Socket>> Worker<M, K, E> {
    /// A worker without connections.
    pub fn new(id: WorkerId, machine: M, driver: Epoll<K>, environment: E) -> Self {
        let now = environment.now();
        let next_pass = now + Micros::from_millis(limits::JANITOR_PERIOD_MS);
        Self {
            id,
            machine,
            driver,
            environment,
            now,
            next_pass,
            asked: Vec::new(),
            has_mail: false,
            clients_come: 0,
            clients_gone: 0,
        }
    }

    /// Waits for events, the mailbox or the next pass, and does what there is to do.
    /// Breaks at [`Mail::Stop`].
    ///
    /// # Errors
    /// The system's, where it cannot wait: the loop cannot go on.
    pub fn round(&mut self) -> io::Result<ControlFlow<()>> {
        let Self { environment, .. } = self;
        let is_busy = self.has_mail || environment.has_tasks() || !self.asked.is_empty();
        let patience = if is_busy { Micros(0) } else { self.next_pass.since(self.now) };
        let turn = self.driver.turn(&mut self.machine, || environment.now(), patience)?;
        self.now = turn.now;
        if !self.asked.is_empty() {
            self.answer();
        }
        for task in self.driver.ready_tasks() {
            self.environment.wake(task);
        }
        if self.environment.run_tasks() || turn.woken || self.has_mail {
            self.has_mail = true;
            for _ in 0..MAILS_PER_ROUND {
                if self.take_mail().is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                if !self.has_mail {
                    break;
                }
            }
        }
        if self.now >= self.next_pass {
            self.handle(WorkerEvent::Pass);
            self.driver.expire(self.now);
            self.environment.driver_faults(self.driver.faults());
            self.next_pass = self.now + Micros::from_millis(limits::JANITOR_PERIOD_MS);
        }
        self.carry_out();
        Ok(ControlFlow::Continue(()))
    }

    /// Answers what was asked before the sockets were looked at, when the notes of what has come by them are
    /// out.
    fn answer(&mut self) {
        self.carry_out();
        for (question, reply) in std::mem::take(&mut self.asked) {
            reply(self.command(question));
        }
    }

    /// Delivers what is in the mailbox.
    fn take_mail(&mut self) -> ControlFlow<()> {
        let letters = self.environment.take();
        self.has_mail = !letters.is_empty();
        for mail in letters {
            if let Mail::Stop = mail {
                self.environment.close();
                return ControlFlow::Break(());
            }
            self.deliver(mail);
        }
        ControlFlow::Continue(())
    }

    fn deliver(&mut self, mail: Mail<K::Socket>) {
        match mail {
            Mail::Client(parts) => {
                let (channel, login) = *parts;
                self.clients_come = self.clients_come.wrapping_add(1);
                let id = self.machine.core().reserve_client();
                self.driver.adopt(Peer::Client(id), channel);
                self.handle(WorkerEvent::Client(id, login));
            }
            Mail::Server(parts) => {
                let (channel, login) = *parts;
                let id = self.machine.core().reserve_server();
                self.driver.adopt(Peer::Server(id), channel);
                self.handle(WorkerEvent::Server(id, login));
            }
            Mail::Replication(pair) => {
                let ReplicationPair { client: (channel, login), server: (server_channel, server_login) } =
                    *pair;
                self.clients_come = self.clients_come.wrapping_add(1);
                let core = self.machine.core();
                let (client, server) = (core.reserve_client(), core.reserve_server());
                self.driver.adopt(Peer::Client(client), channel);
                self.driver.adopt(Peer::Server(server), server_channel);
                self.handle(WorkerEvent::Replication((client, login), (server, server_login)));
            }
            Mail::Moved(parts) => {
                let (channel, state) = *parts;
                let id = self.machine.core().reserve_server();
                self.driver.adopt(Peer::Server(id), channel);
                self.handle(WorkerEvent::Moved(id, state));
            }
            Mail::Nudge { pool, by } => self.handle(WorkerEvent::Nudge(pool, by)),
            Mail::CancelOver(server, fate) => self.handle(WorkerEvent::CancelOver(server, fate)),
            Mail::Command(question, reply) if question.waits_for_sockets() => {
                self.asked.push((question, reply));
            }
            Mail::Command(command, reply) => reply(self.command(command)),
            Mail::Task(task) => self.environment.begin(task),
            Mail::Wake(task) => self.environment.wake(task),
            Mail::Stop => {}
        }
    }

    fn handle(&mut self, event: WorkerEvent) {
        let now = self.now;
        self.driver.act(&mut self.machine, now, |machine, net| machine.handle(event, now, net));
    }

    /// Asks or orders something, between two rounds.
    pub fn command(&mut self, command: Command) -> Answer {
        let now = self.now;
        self.driver.act(&mut self.machine, now, |machine, net| machine.command(command, now, net))
    }

    /// Sends out what the round has left for others.
    fn carry_out(&mut self) {
        for departure in self.driver.take_departures() {
            let mail = Mail::Moved(Box::new((departure.channel, departure.state)));
            self.environment.send(departure.to, mail);
        }
        for note in self.driver.take_notes() {
            match note {
                Note::Nudge { pool, idle_at } => {
                    self.environment.send(idle_at, Mail::Nudge { pool, by: self.id });
                }
                note => self.environment.note(note),
            }
        }
        let here = u32::try_from(self.machine.core().counts().0).unwrap_or(u32::MAX);
        let gone = self.clients_come.wrapping_sub(here);
        if gone != self.clients_gone {
            self.environment.clients_gone(gone.wrapping_sub(self.clients_gone));
            self.clients_gone = gone;
        }
    }

    /// When the janitor's next pass is due.
    pub fn next_pass(&self) -> Micros {
        self.next_pass
    }

    /// The machine, to look at.
    pub fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    /// The driver, to look at.
    pub fn driver(&self) -> &Epoll<K> {
        &self.driver
    }
}
