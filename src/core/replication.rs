//! Replication clients: each comes with a server of its own and keeps it to its end, whatever the pool's
//! mode.
//!
//! Neither waits in a queue here: the client has waited at its login (`control/replication.rs`). Both stand
//! in a part of their pool of their own ([`Part::Replication`]), whose rules are those of session pooling,
//! so that no query of another client is asked whether it is one of these. The server is never idle, never
//! lent on and never moved; it is closed with its client, and at once where it is outdated.

use super::conn::{CloseReason, Phase, Reason, Server, Stand};
use super::login_handoff::{ClientLogin, ServerLogin};
use super::net::Net;
use super::pool::{Part, PoolSlot};
use super::worker_core::Core;
use crate::base::{ClientId, Micros, Peer, ServerId};

impl Core {
    /// A replication client and its server have finished their logins: they are linked for good.
    pub fn replication_joined(
        &mut self,
        (client, login): (ClientId, ClientLogin),
        (server, server_login): (ServerId, ServerLogin),
        now: Micros,
        net: &mut impl Net,
    ) {
        self.it_is(now);
        let slot = self.pool_slot(&login.pool, Part::Replication);
        let mut row = Server::new(server_login, slot, now);
        self.end_if_left(&mut row);
        row.limit_age(&self.pools[slot]);
        row.enter(Phase::Linked(client));
        if self.suspended {
            row.hold.add(Reason::Suspended, Peer::Server(server), net);
        }
        let given = self.servers.insert(row);
        assert_eq!(given, server, "a server joins under the id reserved for it");
        self.pools[slot].servers += 1;
        self.let_in(client, login, slot, Stand::Linked(server), net);
        self.close_outdated_replication(slot, net);
    }

    /// Closes servers of replication clients, and these with them, that were opened by an older configuration
    /// or before RECONNECT, or whose host has moved: their clients would hold them for days.
    pub(in crate::core) fn close_outdated_replication(&mut self, slot: PoolSlot, net: &mut impl Net) {
        let pool = &self.pools[slot];
        if pool.part != Part::Replication || pool.servers == 0 {
            return;
        }
        let generation = pool.share.generation();
        let is_left = |server: &Server| server.close_reason == Some(CloseReason::HostMoved);
        let is_outdated = |server: &Server| is_left(server) || server.generation != generation;
        for id in self.servers.ids(|server| server.pool == slot && is_outdated(server)) {
            let is_left = is_left(&self.servers[id]);
            let reason = if is_left { CloseReason::HostMoved } else { CloseReason::Reconfigured };
            self.close_server(id, reason, net);
        }
    }

    /// Whether a server is a replication client's own.
    pub(in crate::core) fn is_replication(&self, server: &Server) -> bool {
        self.pools[server.pool].part == Part::Replication
    }
}
