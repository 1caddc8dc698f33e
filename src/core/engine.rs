//! One worker's heart: clients, servers and pools of this worker, driven by events.

use super::{Answer, ClientLogin, Command, Net, ServerLogin};
use crate::base::{ClientId, Micros, Peer, PoolId, ServerId, WorkerId};
use crate::wire::TrackedNames;

/// A server on its way from one worker to another: everything but the socket.
#[derive(Debug)]
pub struct MovedServer(Box<()>);

/// One worker's data plane without I/O.
#[derive(Debug)]
pub struct Core {
    worker: WorkerId,
    names: TrackedNames,
}

impl Core {
    /// A core with no connection.
    pub fn new(worker: WorkerId, names: TrackedNames) -> Self {
        Self { worker, names }
    }

    /// Reserves a slot, so that the driver can adopt the socket under its id before [`Core::client_joined`].
    pub fn reserve_client(&mut self) -> ClientId {
        todo!()
    }

    /// Reserves a slot for a server; see [`Core::reserve_client`].
    pub fn reserve_server(&mut self) -> ServerId {
        todo!()
    }

    /// A client has finished its login; it is idle.
    pub fn client_joined(&mut self, id: ClientId, login: ClientLogin, now: Micros, net: &mut impl Net) {
        let _ = (id, login, now, net);
        todo!()
    }

    /// A server has finished its login; it serves the longest waiting client or becomes idle.
    pub fn server_joined(&mut self, id: ServerId, login: ServerLogin, now: Micros, net: &mut impl Net) {
        let _ = (id, login, now, net);
        todo!()
    }

    /// A server has come from another worker.
    pub fn server_moved_in(&mut self, id: ServerId, moved: MovedServer, now: Micros, net: &mut impl Net) {
        let _ = (id, moved, now, net);
        todo!()
    }

    /// Bytes of `peer`: those kept from before, then what came. Returns how many were consumed; the driver keeps the rest
    /// and calls again with them in front when more has come (or after [`Net::resume`]). While `peer` is paused this is not
    /// called. May be called with bytes of one frame cut anywhere.
    pub fn received(&mut self, peer: Peer, input: &[u8], now: Micros, net: &mut impl Net) -> usize {
        let _ = (peer, input, now, net);
        todo!()
    }

    /// `peer` is gone: end of stream, reset, or a TLS failure. The driver has already let go of the id's socket.
    pub fn closed(&mut self, peer: Peer, now: Micros, net: &mut impl Net) {
        let _ = (peer, now, net);
        todo!()
    }

    /// What was sent to `peer` could not be written at once and is now in the driver's hands.
    pub fn blocked(&mut self, peer: Peer, net: &mut impl Net) {
        let _ = (peer, net);
        todo!()
    }

    /// Everything sent to `peer` has been written.
    pub fn drained(&mut self, peer: Peer, net: &mut impl Net) {
        let _ = (peer, net);
        todo!()
    }

    /// Another worker's clients wait for a server of `pool`.
    pub fn nudged(&mut self, pool: PoolId, by: WorkerId, now: Micros, net: &mut impl Net) {
        let _ = (pool, by, now, net);
        todo!()
    }

    /// The cancel request for the server with this socket id has been sent and taken in, or given up.
    pub fn cancel_sent(&mut self, server: u64, now: Micros, net: &mut impl Net) {
        let _ = (server, now, net);
        todo!()
    }

    /// An operator's question or order.
    pub fn command(&mut self, command: Command, now: Micros, net: &mut impl Net) -> Answer {
        let _ = (command, now, net);
        todo!()
    }

    /// The periodic pass, every `limits::JANITOR_PERIOD_MS`: timeouts, lifetimes, idle servers.
    pub fn janitor(&mut self, now: Micros, net: &mut impl Net) {
        let _ = (now, net);
        todo!()
    }

    /// Clients and servers of this worker, for shutdown and for tests.
    pub fn counts(&self) -> (usize, usize) {
        todo!()
    }
}
