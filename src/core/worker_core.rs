//! One worker's heart: clients, servers and pools of this worker, driven by events.
//!
//! This file holds the value and its joins and departures; check-out and check-in are in `pool/checkout.rs`,
//! the relay in `relay/upstream.rs` and `relay/downstream.rs`, timeouts in `janitor.rs`, operators' commands
//! in `admin/carry_out.rs`.

use super::admin::Judge;
use super::bounds::Bounds;
use super::conn::{Client, CloseReason, Hold, Leave, Phase, Reason, Server, Stand};
use super::login_handoff::{ClientLogin, ServerLogin};
use super::moved_server::MovedServer;
use super::net::Net;
use super::note::Note;
use super::pool::{MovedHost, Part, Pool, PoolShare, PoolSlot};
use super::relay::ServerStatements;
use super::relay::StatementRegistry;
use super::slots::Slots;
use super::socket_index::SocketIndex;
use crate::audit::Tap;
use crate::base::{ClientId, Micros, Peer, PoolId, ServerId, WorkerId, limits};
use crate::wire::{Fault, TrackedNames};
use std::collections::HashMap;
use std::sync::Arc;

/// One worker's data plane without I/O.
#[derive(Debug)]
pub struct Core {
    pub(in crate::core) worker: WorkerId,
    pub(in crate::core) names: TrackedNames,
    pub(in crate::core) registry: Arc<StatementRegistry>,
    pub(in crate::core) clients: Slots<ClientId, Client>,
    pub(in crate::core) servers: Slots<ServerId, Server>,
    /// All clients but the pooler's own, which have no socket id.
    pub(in crate::core) by_socket: SocketIndex,
    pub(in crate::core) pools: Slots<PoolSlot, Pool>,
    pub(in crate::core) pool_slots: HashMap<(PoolId, Part), PoolSlot>,
    pub(in crate::core) next_ticket: u64,
    /// Hosts that have moved a short while ago.
    pub(in crate::core) moved_hosts: Vec<MovedHost>,
    pub(in crate::core) refusing: bool,
    /// Who may stay, where anybody has said so.
    pub(in crate::core) judge: Option<Judge>,
    pub(in crate::core) suspended: bool,
    pub(in crate::core) bounds: Bounds,
    /// Where a renamed frame's front is put together; kept for its memory.
    pub(in crate::core) scratch: Vec<u8>,
    /// The time of the event at hand.
    pub(in crate::core) now: Micros,
    /// The time of the janitor's last pass.
    pub(in crate::core) last_pass: Micros,
    /// The server that the call at hand has forwarded to. Whether it took all is known when the call is over:
    /// not before then can it leave for another worker.
    pub(in crate::core) just_sent_to: Option<ServerId>,
    /// The audit log, while it is on.
    pub(in crate::core) audit: Option<Box<Tap>>,
    /// Clients that wait for it to have room.
    pub(in crate::core) held_for_audit: Vec<ClientId>,
}

/// That a server is at rest: whole messages in both directions, nothing owed, nothing said beyond that, no
/// transaction, no cancel under way. Only [`Core::try_rest`] makes one, and no server becomes idle, is given
/// back or leaves for another worker without.
#[derive(Debug)]
pub(in crate::core) struct Resting(ServerId);

impl Resting {
    /// The server that rests.
    pub(super) fn id(&self) -> ServerId {
        self.0
    }
}

impl Core {
    /// Bytes that a worker keeps for one client, without what they point to.
    pub const CLIENT_BYTES: usize = size_of::<Client>();
    /// Bytes that a worker keeps for one server, without what they point to.
    pub const SERVER_BYTES: usize = size_of::<Server>();
    /// Bytes that a server's list of prepared statements keeps for one of them, without what they point to.
    pub const STATEMENT_BYTES: usize = ServerStatements::ENTRY_BYTES;

    /// A core with no connection. `registry` is shared by all workers.
    pub fn new(worker: WorkerId, names: TrackedNames, registry: Arc<StatementRegistry>) -> Self {
        Self {
            worker,
            names,
            registry,
            clients: Slots::with_capacity(limits::CONNECTIONS_AT_START),
            servers: Slots::default(),
            by_socket: SocketIndex::default(),
            pools: Slots::default(),
            pool_slots: HashMap::new(),
            next_ticket: 0,
            moved_hosts: Vec::new(),
            refusing: false,
            judge: None,
            suspended: false,
            bounds: Bounds::default(),
            scratch: Vec::new(),
            now: Micros(0),
            last_pass: Micros(0),
            just_sent_to: None,
            audit: None,
            held_for_audit: Vec::new(),
        }
    }

    /// Replaces the bounds on one call's work and on answers owed.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// The slot that the next [`Core::client_joined`] will use, so that the driver can adopt the
    /// socket under its id first.
    pub fn reserve_client(&mut self) -> ClientId {
        self.clients.next_id()
    }

    /// The slot that the next server will use; see [`Core::reserve_client`].
    pub fn reserve_server(&mut self) -> ServerId {
        self.servers.next_id()
    }

    /// The time, as whoever calls knows it. It never goes back: it may have been looked at since.
    pub(in crate::core) fn it_is(&mut self, now: Micros) {
        self.now = self.now.max(now);
    }

    /// A client has finished its login: it is sent its welcome, and is idle.
    pub fn client_joined(&mut self, id: ClientId, login: ClientLogin, now: Micros, net: &mut impl Net) {
        self.it_is(now);
        let slot = self.pool_slot(&login.pool, Part::Pooled);
        self.let_in(id, login, slot, Stand::Idle, net);
    }

    /// A client of a part of a pool is sent its welcome; where it stands from then on.
    pub(in crate::core) fn let_in(
        &mut self,
        id: ClientId,
        mut login: ClientLogin,
        slot: PoolSlot,
        stand: Stand,
        net: &mut impl Net,
    ) {
        let welcome = std::mem::take(&mut login.welcome);
        let pool = &mut self.pools[slot];
        pool.clients += 1;
        if !login.identity.internal {
            pool.counters.client_login_count += 1;
            pool.counters.login_time_us += login.login_time.0;
            pool.counters.login_time.record(login.login_time.0);
        }
        let given = self.clients.insert(Client { stand, ..Client::new(login, slot, self.now) });
        assert_eq!(given, id, "a client joins under the id reserved for it");
        let Self { by_socket, clients, .. } = self;
        let identity = &clients[id].identity;
        if !identity.internal {
            by_socket.insert(identity.socket_id, id, |id| clients[id].identity.socket_id);
        }
        net.send(Peer::Client(id), &welcome);
        if self.suspended {
            self.clients[id].hold.add(Reason::Suspended, Peer::Client(id), net);
        }
        if self.share(slot).is_removed() {
            self.disconnect(id, &Leave::Fault(Fault::DatabaseRemoved), net);
        } else {
            self.judge_newcomer(id, net);
        }
    }

    /// A server has finished its login; it serves the longest waiting client or becomes idle.
    pub fn server_joined(&mut self, id: ServerId, login: ServerLogin, now: Micros, net: &mut impl Net) {
        self.it_is(now);
        let slot = self.pool_slot(&login.pool, Part::Pooled);
        self.adopt(id, Server::new(login, slot, now), net);
    }

    /// A server has come from another worker, idle.
    pub fn server_moved_in(&mut self, id: ServerId, moved: MovedServer, now: Micros, net: &mut impl Net) {
        self.it_is(now);
        let MovedServer(mut server, share) = moved;
        server.pool = self.pool_slot(&share, Part::Pooled);
        server.end_if_denied(&share, now);
        self.adopt(id, *server, net);
        share.server_arrives();
    }

    fn adopt(&mut self, id: ServerId, mut server: Server, net: &mut impl Net) {
        self.end_if_left(&mut server);
        let pool = &mut self.pools[server.pool];
        server.limit_age(pool);
        pool.servers += 1;
        pool.asked = 0;
        // What came with it may be an answer that nobody has asked for: it is looked at
        // first (`Core::heard_out`).
        server.has_unread = net.has_unread(Peer::Server(id));
        let is_heard = !server.has_unread;
        let given = self.servers.insert(server);
        assert_eq!(given, id, "a server joins under the id reserved for it");
        if self.suspended {
            self.servers[id].hold.add(Reason::Suspended, Peer::Server(id), net);
        }
        if is_heard {
            self.settle_or_close(id, net);
        }
    }

    /// A server that nobody is linked to has done what it had to do.
    pub(in crate::core) fn settle_or_close(&mut self, id: ServerId, net: &mut impl Net) {
        match self.try_rest(id) {
            Some(resting) => self.settle(resting, net),
            None => {
                let slot = self.servers[id].pool;
                self.close_server(id, CloseReason::NotReady, net);
                self.serve(slot, net);
            }
        }
    }

    /// Whether a server is at rest now.
    pub(in crate::core) fn try_rest(&self, id: ServerId) -> Option<Resting> {
        let server = self.servers.find(id)?;
        (server.is_clean() && server.cancels == 0 && !server.has_unread).then_some(Resting(id))
    }

    /// The end of everything that a server without a client, or a cancel aimed at it, can cause: one that was
    /// kept apart is checked in as soon as it is at rest, and closed where that would come too late.
    pub(in crate::core) fn look_for_rest(&mut self, id: ServerId, net: &mut impl Net) {
        let Some(server) = self.servers.find(id) else { return };
        if server.phase != Phase::BeingCanceled || server.cancels > 0 {
            return;
        }
        let (slot, close_reason) = (server.pool, server.close_reason);
        match (self.try_rest(id), close_reason) {
            (_, Some(reason)) => {
                self.close_server(id, reason, net);
                self.serve(slot, net);
            }
            (Some(resting), None) => self.check_in(resting, net),
            (None, None) => {}
        }
    }

    /// Gives a server at rest away to another worker.
    pub(in crate::core) fn move_server(&mut self, resting: Resting, to: WorkerId, net: &mut impl Net) {
        let (id, now) = (resting.id(), self.now);
        let mut server = self.servers.remove(id);
        server.enter(Phase::Idle(now));
        server.hold = Hold::default();
        let pool = &mut self.pools[server.pool];
        pool.servers -= 1;
        let share = Arc::clone(&pool.share);
        share.server_leaves();
        net.move_server(Peer::Server(id), to, MovedServer(Box::new(server), share));
    }

    /// A part of a pool on this worker, made at the first sight of it.
    pub(in crate::core) fn pool_slot(&mut self, share: &Arc<PoolShare>, part: Part) -> PoolSlot {
        if let Some(slot) = self.pool_slots.get(&(share.id, part)) {
            return *slot;
        }
        let slot = self.pools.insert(Pool::new(Arc::clone(share), part, self.worker));
        self.pool_slots.insert((share.id, part), slot);
        slot
    }

    /// `peer` is gone: end of stream, reset, or a TLS failure. The driver has already
    /// let go of the id's socket.
    pub fn closed(&mut self, peer: Peer, now: Micros, net: &mut impl Net) {
        self.it_is(now);
        match peer {
            Peer::Client(id) if self.clients.contains(id) => {
                self.remove_client(id, &Leave::Eof, net);
            }
            Peer::Server(id) if self.servers.contains(id) => {
                let (slot, began_at) = (self.servers[id].pool, self.servers[id].connected_at);
                if !self.servers[id].has_answered {
                    // before its place is back, so that whoever opens the next one knows
                    net.notify(Note::EndedUnanswered { pool: self.share(slot).id, began_at });
                }
                self.remove_server(id, CloseReason::Crashed, net);
                self.serve(slot, net);
            }
            Peer::Client(_) | Peer::Server(_) => {}
        }
    }

    /// What was sent to `peer` could not be written at once and is in the driver's hands: its link is not
    /// read meanwhile, so that a slow reader costs one buffer, whatever the result's size. Nor is a client
    /// itself that does not read, but for a replication client: it is its server alone that answers, and
    /// this ends the stream (`wal_sender_timeout`) where it does not hear how far its client has come.
    pub fn blocked(&mut self, peer: Peer, net: &mut impl Net) {
        self.set_blocked(peer, true);
        if let Peer::Client(id) = peer
            && let Some(client) = self.clients.find_mut(id)
            && self.pools[client.pool].part != Part::Replication
        {
            // What it asks for next would be answered into the same full socket, perhaps by ourselves.
            client.hold.add(Reason::Unread, peer, net);
        }
        match self.link_of(peer) {
            Some(Peer::Client(id)) => {
                self.clients[id].hold.add(Reason::LinkBlocked, Peer::Client(id), net);
            }
            Some(Peer::Server(id)) => {
                self.servers[id].hold.add(Reason::LinkBlocked, Peer::Server(id), net);
            }
            None => {}
        }
    }

    /// Everything sent to `peer` has been written.
    pub fn drained(&mut self, peer: Peer, net: &mut impl Net) {
        self.set_blocked(peer, false);
        if let Peer::Client(id) = peer
            && let Some(client) = self.clients.find_mut(id)
        {
            client.hold.lift(Reason::Unread, peer, net);
        }
        match self.link_of(peer) {
            Some(Peer::Client(id)) => {
                self.clients[id].hold.lift(Reason::LinkBlocked, Peer::Client(id), net);
            }
            Some(Peer::Server(id)) => {
                self.servers[id].hold.lift(Reason::LinkBlocked, Peer::Server(id), net);
            }
            None => {}
        }
    }

    fn set_blocked(&mut self, peer: Peer, blocked: bool) {
        match peer {
            Peer::Client(id) => {
                if let Some(client) = self.clients.find_mut(id) {
                    client.blocked = blocked;
                }
            }
            Peer::Server(id) => {
                if let Some(server) = self.servers.find_mut(id) {
                    server.blocked = blocked;
                }
            }
        }
    }

    fn link_of(&self, peer: Peer) -> Option<Peer> {
        match peer {
            Peer::Client(id) => self.clients.find(id)?.link().map(Peer::Server),
            Peer::Server(id) => self.servers.find(id)?.link().map(Peer::Client),
        }
    }

    /// Bytes of `peer`: those kept from before, then what came. Returns how many were consumed; the driver
    /// keeps the rest and calls again with them in front when more has come (or after [`Net::resume`]). Not
    /// called while `peer` is paused.
    pub fn received(&mut self, peer: Peer, input: &[u8], now: Micros, net: &mut impl Net) -> usize {
        self.it_is(now);
        let consumed = match peer {
            Peer::Client(id) if self.clients.contains(id) => self.client_received(id, input, net),
            Peer::Server(id) if self.servers.contains(id) => self.server_received(id, input, net),
            Peer::Client(_) | Peer::Server(_) => input.len(),
        };
        self.just_sent_to = None;
        consumed
    }

    /// Clients and servers of this worker, for shutdown and for tests.
    pub fn counts(&self) -> (usize, usize) {
        (self.clients.len(), self.servers.len())
    }
}
