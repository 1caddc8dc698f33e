//! Whatever decides in a worker: the worker's view of it, beside the driver's ([`Machine`]).
//!
//! [`Core`] is the mind of the program; the simulation puts one in its place that listens to a `Core`.

use crate::base::{ClientId, Micros, PoolId, ServerId, WorkerId};
use crate::core::{Answer, CancelFate, ClientLogin, Command, Core, MovedServer, Net, ServerLogin};
use crate::io::Machine;

/// What a mind is told that no connection has said.
#[derive(Debug)]
pub enum Tiding {
    /// A client has come and stands in the driver under this id.
    Client(ClientId, ClientLogin),
    /// A server has.
    Server(ServerId, ServerLogin),
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
pub trait Mind: Machine {
    /// The core, for its ids and counts.
    fn core(&mut self) -> &mut Core;
    /// See the methods of [`Core`] for what each of the tidings does.
    fn told(&mut self, tiding: Tiding, now: Micros, net: &mut impl Net);
    /// An operator's question or order.
    fn command(&mut self, command: Command, now: Micros, net: &mut impl Net) -> Answer;
}

impl Mind for Core {
    fn core(&mut self) -> &mut Core {
        self
    }

    fn told(&mut self, tiding: Tiding, now: Micros, net: &mut impl Net) {
        match tiding {
            Tiding::Client(id, login) => self.client_joined(id, login, now, net),
            Tiding::Server(id, login) => self.server_joined(id, login, now, net),
            Tiding::Moved(id, state) => self.server_moved_in(id, state, now, net),
            Tiding::Nudge(pool, by) => self.nudged(pool, by, now, net),
            Tiding::CancelOver(server, fate) => self.cancel_over(server, fate, now, net),
            Tiding::Pass => self.janitor(now, net),
        }
    }

    fn command(&mut self, command: Command, now: Micros, net: &mut impl Net) -> Answer {
        Self::command(self, command, now, net)
    }
}
