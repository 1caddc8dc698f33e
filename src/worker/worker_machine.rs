//! What a worker runs: the worker's view of it, beside the driver's ([`Machine`]).
//!
//! [`Core`] is that of the program; the simulation puts one in its place that listens to a `Core`.

use crate::base::{ClientId, Micros, PoolId, ServerId, WorkerId};
use crate::core::{Answer, CancelFate, ClientLogin, Command, Core, MovedServer, Net, ServerLogin};
use crate::io::Machine;

/// An event that is not a connection's.
#[derive(Debug)]
pub enum WorkerEvent {
    /// A client has come and stands in the driver under this id.
    Client(ClientId, ClientLogin),
    /// A server has.
    Server(ServerId, ServerLogin),
    /// A replication client has come, and its own server with it.
    Replication((ClientId, ClientLogin), (ServerId, ServerLogin)),
    /// A server of another worker has.
    Moved(ServerId, MovedServer),
    /// Another worker's clients wait for a server of this pool.
    Nudge(PoolId, WorkerId),
    /// What became of a cancel request for the server with this socket id is known.
    CancelOver(u64, CancelFate),
    /// It is time to look at everything.
    Pass,
}

/// A [`Core`], or something around one.
pub trait WorkerMachine: Machine {
    /// The core, for its ids and counts.
    fn core(&mut self) -> &mut Core;
    /// Does what follows; see the methods of [`Core`].
    fn handle(&mut self, event: WorkerEvent, now: Micros, net: &mut impl Net);
    /// An operator's question or order.
    fn command(&mut self, command: Command, now: Micros, net: &mut impl Net) -> Answer;
}

impl WorkerMachine for Core {
    fn core(&mut self) -> &mut Core {
        self
    }

    fn handle(&mut self, event: WorkerEvent, now: Micros, net: &mut impl Net) {
        match event {
            WorkerEvent::Client(id, login) => self.client_joined(id, login, now, net),
            WorkerEvent::Server(id, login) => self.server_joined(id, login, now, net),
            WorkerEvent::Replication(client, server) => self.replication_joined(client, server, now, net),
            WorkerEvent::Moved(id, state) => self.server_moved_in(id, state, now, net),
            WorkerEvent::Nudge(pool, by) => self.nudged(pool, by, now, net),
            WorkerEvent::CancelOver(server, fate) => self.cancel_over(server, fate, now, net),
            WorkerEvent::Pass => self.janitor(now, net),
        }
    }

    fn command(&mut self, command: Command, now: Micros, net: &mut impl Net) -> Answer {
        Self::command(self, command, now, net)
    }
}
