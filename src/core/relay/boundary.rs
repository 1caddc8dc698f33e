//! The end of a request: what is counted, and whether the link between client and server ends here.
//!
//! A link ends only where the server owes nothing and no message is half sent, either way.

use crate::audit::Outcome;
use crate::base::{ClientId, Peer, ServerId};
use crate::config::PoolMode;
use crate::core::conn::{Canceled, CloseReason, IDLE, Leave, Phase, Reason, Stand};
use crate::core::net::Net;
use crate::core::worker_core::Core;
use crate::wire::Fault;

impl Core {
    /// Whether a server is in a transaction block where there may be none. What is still asked of it does not
    /// matter: a client that always has the next batch on its way would keep its block for ever.
    #[inline]
    pub(super) fn is_refused_block(&self, id: ServerId) -> bool {
        let server = &self.servers[id];
        server.status != IDLE && self.pools[server.pool].rules.mode == PoolMode::Statement
    }

    /// A linked server owes nothing any more: counts the request, and ends the link
    /// where the pool mode says so.
    pub(in crate::core) fn request_over(&mut self, id: ServerId, net: &mut impl Net) {
        let now = self.now;
        let server = &self.servers[id];
        let Phase::Linked(client_id) = server.phase else { return };
        let idle = server.status == IDLE;
        let client = &mut self.clients[client_id];
        let pool = &mut self.pools[client.pool];
        let request = &mut client.request;
        if request.running {
            request.running = false;
            let us = now.since(request.began_at).0;
            pool.counters.query_time_us += us;
            pool.counters.query_time.record(us);
        }
        request.ended_at = now;
        let (mode, ending) = (pool.rules.mode, client.tenure.end());
        if idle && request.in_xact {
            request.in_xact = false;
            let us = now.since(request.xact_began_at).0;
            pool.counters.xact_time_us += us;
            pool.counters.xact_time.record(us);
            if self.audit.is_some() {
                self.audit_transaction(id, client_id, Outcome::Complete);
            }
        }
        if let Some(cause) = ending
            && self.end_at_boundary(client_id, cause, id, net)
        {
            return;
        }
        match mode {
            PoolMode::Statement if !idle => {
                let fault = Fault::StatementModeTransaction;
                self.disconnect(client_id, &Leave::Fault(fault), net);
            }
            PoolMode::Session => {
                self.tell_name_again(client_id, id, net);
                self.close_session_if_due(id, idle, net);
            }
            PoolMode::Transaction | PoolMode::Statement if self.servers[id].is_clean() => {
                self.unlink(id, client_id, net);
            }
            PoolMode::Transaction | PoolMode::Statement => {}
        }
    }

    /// One of several requests that a client has sent ahead is answered.
    pub(super) fn answered_ahead(&mut self, client: ClientId) {
        let client = &mut self.clients[client];
        client.request.answered_at = self.now;
        client.tenure.told_whole(); // what follows was asked for before the end was known
    }

    /// `server_fast_close`: in session pooling a server that is to be closed does not wait
    /// for its client to leave.
    pub(super) fn close_session_if_due(&mut self, id: ServerId, idle: bool, net: &mut impl Net) {
        let server = &self.servers[id];
        let rules = &self.pools[server.pool].rules;
        if idle && rules.fast_close && self.is_obsolete(server) {
            self.close_server(id, CloseReason::Reconfigured, net);
        }
    }

    /// The query for which a client has just got its server was cancelled before it was sent: it is answered
    /// here, so the server is free, but for a session's.
    pub(in crate::core) fn part_canceled(&mut self, client: ClientId, id: ServerId, net: &mut impl Net) {
        let server = &self.servers[id];
        if self.pools[server.pool].rules.mode != PoolMode::Session {
            self.unlink(id, client, net);
        }
    }

    /// A message that came in parts may be whole now: a client whose query was cancelled in the
    /// middle of it is answered.
    pub(super) fn message_over(&mut self, id: ServerId, net: &mut impl Net) {
        let Some(server) = self.servers.find(id).filter(|server| !server.is_midway()) else {
            return;
        };
        let Phase::Linked(client_id) = server.phase else { return };
        let client = &mut self.clients[client_id];
        if client.canceled != Canceled::No {
            client.hold.lift(Reason::Waiting, Peer::Client(client_id), net);
            if matches!(client.stand, Stand::Assigned(_)) {
                self.part_canceled(client_id, id, net);
            }
        }
    }

    /// So much that was noted first about the context of a server's client has failed, or was passed over;
    /// and whether what was noted next is answered.
    #[cold]
    pub(super) fn context_told(&mut self, id: ServerId, failed: usize, is_answered: bool) {
        let Some(client) = self.servers[id].link() else { return };
        let Some(context) = &mut self.clients[client].context else { return };
        context.failed(failed);
        if is_answered {
            context.answered();
        }
    }

    /// Ends a link at a boundary.
    pub(super) fn unlink(&mut self, id: ServerId, client: ClientId, net: &mut impl Net) {
        let server = &mut self.servers[id];
        server.hold.lift(Reason::LinkBlocked, Peer::Server(id), net);
        let client_row = &mut self.clients[client];
        client_row.stand = Stand::Idle;
        client_row.hold.lift(Reason::LinkBlocked, Peer::Client(client), net);
        client_row.hold.lift(Reason::Owed, Peer::Client(client), net);
        client_row.hold.lift(Reason::Canceling, Peer::Client(client), net);
        client_row.hold.lift(Reason::Ending, Peer::Client(client), net);
        self.give_back(id, net);
    }
}
