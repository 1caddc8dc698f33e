//! How clients and servers end: what they are told, what the log says, and what becomes of the other end.
//!
//! A server whose client has left is lent on only at rest; else it is closed, and its query cancelled.
//! Nothing is said to a client in the middle of a message of its server.

use super::Core;
use super::conn::{Client, CloseReason, Debt, Leave, Phase, Reason, Server, Stand, Task};
use super::net::Net;
use super::note::Farewell;
use super::pool::Part;
use super::worker_core::Resting;
use crate::base::{ClientId, Micros, Peer, ServerId, log_about};
use crate::config::PoolMode;
use std::sync::Arc;

impl Core {
    /// Ends a client: tells it why where there is something to tell, and closes its connection.
    pub(in crate::core) fn disconnect(&mut self, id: ClientId, leave: &Leave, net: &mut impl Net) {
        let link = self.clients[id].link();
        let is_midway = link.is_some_and(|server| self.servers[server].is_midway());
        if let Leave::Fault(fault) = leave
            && !is_midway
        {
            net.send(Peer::Client(id), &fault.message());
        }
        net.close(Peer::Client(id), Farewell::Close);
        self.remove_client(id, leave, net);
    }

    /// Forgets a client whose connection has ended or is being ended, and decides what becomes of its server.
    pub(super) fn remove_client(&mut self, id: ClientId, leave: &Leave, net: &mut impl Net) {
        let now = self.now;
        let Self { by_socket, clients, .. } = self;
        by_socket.remove(clients[id].identity.socket_id, |id| clients[id].identity.socket_id);
        let client = clients.remove(id);
        self.log_client(&client, leave, now);
        self.audit_logout(&client, leave);
        let pool = &mut self.pools[client.pool];
        pool.clients -= 1;
        match client.stand {
            Stand::Idle => {}
            Stand::Waiting { .. } => {
                pool.waiting -= 1;
                self.trim_queue(client.pool);
            }
            Stand::Assigned(server) | Stand::Linked(server) => self.abandon(server, net),
        }
    }

    /// A server whose client has left: reset and lent on where it is at rest (session pooling), closed where
    /// it is not, or was that client's own.
    pub(super) fn abandon(&mut self, id: ServerId, net: &mut impl Net) {
        let server = &mut self.servers[id];
        server.hold.lift(Reason::LinkBlocked, Peer::Server(id), net);
        if self.pools[server.pool].part == Part::Replication {
            return self.end_server(id, CloseReason::ReplicationOver, net);
        }
        let relaying = matches!(server.phase, Phase::Linked(_));
        if !relaying || !server.is_clean() || server.blocked {
            self.end_server(id, CloseReason::ClientLeft, net);
            return;
        }
        self.give_back(id, net);
    }

    /// A clean server that has just lost its client: checked in, or kept apart while a cancel is aimed at it.
    pub(in crate::core) fn give_back(&mut self, id: ServerId, net: &mut impl Net) {
        match self.try_rest(id) {
            Some(resting) => self.check_in(resting, net),
            None => self.servers[id].enter(Phase::BeingCanceled),
        }
    }

    /// A server at rest, after a client: through the reset query where it needs one, then lent on.
    pub(super) fn check_in(&mut self, resting: Resting, net: &mut impl Net) {
        let server = &self.servers[resting.id()];
        let rules = &self.pools[server.pool].rules;
        let session = rules.mode == PoolMode::Session || server.debt == Debt::Reset;
        if (session || rules.reset_always)
            && !rules.server_reset_query.is_empty()
            && server.close_reason.is_none()
        {
            let sql = Arc::clone(&rules.server_reset_query);
            self.start_task(resting.id(), Task::Reset, &sql, net);
        } else {
            self.settle(resting, net);
        }
    }

    /// Closes a server, and a linked client with an error.
    pub(in crate::core) fn close_server(&mut self, id: ServerId, reason: CloseReason, net: &mut impl Net) {
        self.hang_up(id, net);
        self.remove_server(id, reason, net);
    }

    /// Closes a server whose client has just left, or was parted from it.
    pub(in crate::core) fn end_server(&mut self, id: ServerId, reason: CloseReason, net: &mut impl Net) {
        self.hang_up(id, net);
        self.forget_server(id, reason);
    }

    /// Ends a server's connection. PostgreSQL notices that only when it next reads or writes, and until then
    /// a long query runs on and its backend counts against the caps: so a running query is cancelled too.
    fn hang_up(&self, id: ServerId, net: &mut impl Net) {
        let server = &self.servers[id];
        if !server.expected.is_settled() {
            net.notify(server.cancel_note(0, 0));
        }
        net.close(Peer::Server(id), server.farewell());
    }

    /// Takes a server out, and says so in the log and the counts.
    fn forget_server(&mut self, id: ServerId, reason: CloseReason) -> Server {
        let server = self.servers.remove(id);
        self.log_server(&server, reason, self.now);
        self.audit_server_end(&server, reason);
        self.note_retirement(&server, reason);
        self.pools[server.pool].servers -= 1;
        server
    }

    /// Forgets a server whose connection has ended or is being ended; only its own client learns of it.
    pub(super) fn remove_server(&mut self, id: ServerId, reason: CloseReason, net: &mut impl Net) {
        let server = self.forget_server(id, reason);
        if let Some(client) = server.link().filter(|_| self.audit.is_some()) {
            self.audit_lost_server(client, &server);
        }
        let pool = &mut self.pools[server.pool];
        match server.phase {
            Phase::Idle(_) => pool.remove_idle(id),
            Phase::Linked(client) | Phase::Preparing(client) => {
                self.clients[client].stand = Stand::Idle;
                let fault = reason.fault();
                let leave = if server.is_midway() { Leave::Mute(fault) } else { Leave::Fault(fault) };
                self.disconnect(client, &leave, net);
            }
            Phase::Tested(Task::Check) => drop(pool.check_ends()),
            Phase::Tested(Task::Reset) | Phase::BeingCanceled => {}
        }
    }

    pub(super) fn log_client(&self, client: &Client, leave: &Leave, now: Micros) {
        let about = client.identity.about();
        if client.identity.internal {
            return;
        }
        let rules = &self.pools[client.pool].rules;
        let age = now.since(client.joined_at).as_secs();
        let reason = leave.text();
        if rules.log_disconnections {
            let whose = client.identity.proof.principal.as_ref().filter(|_| leave.is_of_identity());
            let reason = whose.map_or_else(|| reason.clone(), |whose| format!("{reason}, {whose}").into());
            log_about!(info, about, "closing because: {reason} (age={age}s)");
        }
        if rules.log_pooler_errors && !matches!(leave, Leave::Eof | Leave::Goodbye) {
            log_about!(warn, about, "pooler error: {reason}");
        }
    }

    pub(super) fn log_server(&self, server: &Server, reason: CloseReason, now: Micros) {
        let about = server.identity.about();
        if self.pools[server.pool].rules.log_disconnections {
            let age = now.since(server.connected_at).as_secs();
            log_about!(info, about, "closing because: {} (age={age}s)", reason.text());
        }
    }
}
