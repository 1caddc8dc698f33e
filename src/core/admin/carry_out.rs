//! Operators' questions and orders to one worker. Each acts at once on what is here; the
//! console merges the answers.

use super::command::{
    Answer, CancelFate, ClientKind, ClientRow, ClientState, Command, PoolRow, ServerRow, ServerState,
};
use crate::base::{ClientId, Micros, Peer, PoolId, ServerId, limits};
use crate::config::{PoolMode, PoolRules};
use crate::core::conn::{Canceled, Client, CloseReason, Debt, EndCause, Leave, Phase, Reason, Server, Stand};
use crate::core::net::Net;
use crate::core::pool::{Part, Pool, PoolSlot};
use crate::core::scope::Scope;
use crate::core::slots::Slot;
use crate::core::worker_core::Core;
use crate::wire::{Fault, ParamSet};
use std::sync::Arc;

impl Core {
    /// An operator's question or order.
    pub fn command(&mut self, command: Command, now: Micros, net: &mut impl Net) -> Answer {
        self.it_is(now);
        match command {
            Command::Sweep(scope) => self.sweep(&scope, net),
            Command::Kill(scope) => self.kill(&scope, net),
            Command::KillClient(socket_id) => return self.kill_client(socket_id, net),
            Command::RefuseWaiting => {
                self.refusing = true;
                self.end_waiting(&Scope::All, &Fault::ServerShuttingDown, net);
            }
            Command::FailWaiting(pool, fault) => {
                self.end_waiting(&Scope::Pool(pool), &fault, net);
            }
            Command::HostMoved(host, addresses) => self.leave_addresses(host, addresses, net),
            Command::EvictIdle(scope) => return Answer::Found(self.evict_idle(&scope, net)),
            Command::Suspend => self.suspend(net),
            Command::IsAllSent => return Answer::Found(self.is_all_sent()),
            Command::DropUnsent if self.suspended => self.drop_unsent(net),
            Command::DropUnsent => {}
            Command::Unsuspend => self.unsuspend(net),
            Command::Rules(pool, rules) => self.set_rules(pool, &rules),
            Command::ClientRules(rules_of) => {
                for client in self.clients.values_mut() {
                    let rules = rules_of.0(&client.identity.user, &client.identity.database);
                    client.rules = rules.mapped(client.identity.proof.timeouts());
                }
            }
            Command::Cancel(client, request) => return Answer::Found(self.cancel(client, request, net)),
            Command::Audit(tap) => self.set_audit(tap, net),
            Command::AuditRoom => {
                self.audit_room(net);
                self.sweep(&Scope::All, net);
            }
            Command::Barrier => {}
            Command::Clients => return Answer::Clients(self.client_rows(now)),
            Command::ClientKinds(from) => return self.client_kinds_from(from),
            Command::Servers => return Answer::Servers(self.server_rows(now)),
            Command::Pools => return Answer::Pools(self.pool_rows(now)),
            Command::Stats(from) => return self.stats_from(from),
            Command::Forget(pool) => self.forget(pool),
            Command::Judge(judge, from) => return self.judge(judge, from, net),
            Command::KillMeant(is_meant, from) => return self.kill_meant(&is_meant, from, net),
        }
        Answer::Done
    }

    fn stats_from(&self, from: usize) -> Answer {
        let next = from.saturating_add(limits::STATS_POOLS_MAX);
        let pools =
            (from..next.min(self.pools.capacity())).filter_map(|slot| self.pools.find(PoolSlot::of(slot)));
        let counters = pools.map(|pool| (pool.share.id, pool.counters.clone())).collect();
        Answer::Stats(counters, (next < self.pools.capacity()).then_some(next))
    }

    fn client_kinds_from(&self, from: usize) -> Answer {
        let next = from.saturating_add(limits::SCRAPED_CLIENTS_MAX);
        let all = self.clients.capacity();
        let clients = (from..next.min(all)).filter_map(|slot| self.clients.find(ClientId::of(slot)));
        let kind = |client: &Client| ClientKind {
            identity: Arc::clone(&client.identity),
            state: client.state(),
            application_name: self.clients_own_name(client),
        };
        let kinds = clients.filter(|client| !client.identity.internal).map(kind).collect();
        Answer::ClientKinds(kinds, (next < all).then_some(next))
    }

    /// Pools of this worker that a command is for.
    fn slots_in(&self, scope: &Scope) -> Vec<PoolSlot> {
        self.pools.ids(|pool| pool.share.is_in(scope))
    }

    fn servers_of(&self, slot: PoolSlot) -> Vec<ServerId> {
        self.servers.ids(|s| s.pool == slot)
    }

    fn clients_of(&self, slot: PoolSlot) -> Vec<ClientId> {
        self.clients.ids(|c| c.pool == slot)
    }

    /// Looks at gates and generations: closes free servers that may not be lent,
    /// serves clients that may go on.
    fn sweep(&mut self, scope: &Scope, net: &mut impl Net) {
        let now = self.now;
        for slot in self.slots_in(scope) {
            self.limit_ages(Some(slot));
            for id in self.free_servers(Some(slot)) {
                match self.reason_to_close(id, now) {
                    Some(reason) => self.close_server(id, reason, net),
                    None if now >= self.servers[id].authorization.soft_at => {
                        self.ask_for_renewal(id, net);
                    }
                    None => {}
                }
            }
            self.serve(slot, net);
            self.close_outdated_replication(slot, net);
        }
    }

    /// Drops all clients and servers.
    fn kill(&mut self, scope: &Scope, net: &mut impl Net) {
        for slot in self.slots_in(scope) {
            for id in self.clients_of(slot) {
                self.disconnect(id, &Leave::Fault(Fault::DatabaseRemoved), net);
            }
            for id in self.servers_of(slot) {
                self.close_server(id, CloseReason::DatabaseRemoved, net);
            }
        }
    }

    fn find_client(&self, socket_id: u64) -> Option<ClientId> {
        self.by_socket.find(socket_id, |id| self.clients[id].identity.socket_id)
    }

    fn find_server(&self, socket_id: u64) -> Option<ServerId> {
        let found = self.servers.iter().find(|(_, server)| server.identity.socket_id == socket_id);
        found.map(|(id, _)| id)
    }

    fn kill_client(&mut self, socket_id: u64, net: &mut impl Net) -> Answer {
        let Some(id) = self.find_client(socket_id) else { return Answer::Found(false) };
        self.disconnect(id, &Leave::Fault(Fault::AdminDisconnect), net);
        Answer::Found(true)
    }

    fn end_waiting(&mut self, scope: &Scope, fault: &Fault, net: &mut impl Net) {
        for slot in self.slots_in(scope) {
            for id in self.clients_of(slot) {
                if self.clients[id].state() == ClientState::Waiting {
                    self.disconnect(id, &Leave::Fault(fault.clone()), net);
                }
            }
        }
    }

    /// Closes the free server that has been idle longest.
    fn evict_idle(&mut self, scope: &Scope, net: &mut impl Net) -> bool {
        let is_in = |server: &Server| self.share(server.pool).has_in(scope, &server.identity.endpoint);
        let idle_since = |(id, server): (ServerId, &Server)| {
            if let Phase::Idle(since) = server.phase { is_in(server).then_some((since, id)) } else { None }
        };
        let Some((_, id)) = self.servers.iter().filter_map(idle_since).min() else { return false };
        self.close_server(id, scope.eviction(), net);
        true
    }

    /// Reads from nobody.
    fn suspend(&mut self, net: &mut impl Net) {
        self.suspended = true;
        for (id, client) in self.clients.iter_mut() {
            client.hold.add(Reason::Suspended, Peer::Client(id), net);
        }
        for (id, server) in self.servers.iter_mut() {
            server.hold.add(Reason::Suspended, Peer::Server(id), net);
        }
    }

    /// Whether nothing is unsent.
    fn is_all_sent(&self) -> bool {
        !self.clients.values().any(|c| c.blocked) && !self.servers.values().any(|s| s.blocked)
    }

    /// Drops whoever has not taken all that was sent to it ("suspend_timeout").
    fn drop_unsent(&mut self, net: &mut impl Net) {
        let clients = self.clients.ids(|c| c.blocked);
        for id in clients {
            // A client may have gone with the one before it.
            if self.clients.contains(id) {
                self.disconnect(id, &Leave::Fault(Fault::SuspendTimeout), net);
            }
        }
        let servers = self.servers.ids(|s| s.blocked);
        for id in servers {
            if self.servers.contains(id) {
                self.close_server(id, CloseReason::SuspendTimeout, net);
            }
        }
    }

    fn unsuspend(&mut self, net: &mut impl Net) {
        self.suspended = false;
        for (id, client) in self.clients.iter_mut() {
            client.hold.lift(Reason::Suspended, Peer::Client(id), net);
        }
        for (id, server) in self.servers.iter_mut() {
            server.hold.lift(Reason::Suspended, Peer::Server(id), net);
        }
    }

    /// New rules. What has been a session's is not lent on without a reset when sessions are
    /// pooled otherwise from now on.
    fn set_rules(&mut self, pool: PoolId, rules: &Arc<PoolRules>) {
        for part in Part::ALL {
            if let Some(slot) = self.pool_slots.get(&(pool, part)).copied() {
                self.set_rules_of(slot, part.rules(rules));
            }
        }
    }

    fn set_rules_of(&mut self, slot: PoolSlot, rules: Arc<PoolRules>) {
        let was_session = self.pools[slot].rules.mode == PoolMode::Session;
        if was_session && rules.mode != PoolMode::Session {
            for server in self.servers.values_mut().filter(|server| server.pool == slot) {
                if !matches!(server.phase, Phase::Idle(_)) {
                    server.debt = Debt::Reset;
                }
            }
        }
        self.pools[slot].rules = rules;
    }

    /// Drops a pool that has no client and no server here, with its counters.
    fn forget(&mut self, pool: PoolId) {
        for part in Part::ALL {
            let Some(slot) = self.pool_slots.get(&(pool, part)).copied() else { continue };
            let row = &self.pools[slot];
            if row.clients == 0 && row.servers == 0 {
                self.pools.remove(slot);
                self.pool_slots.remove(&(pool, part));
            }
        }
    }

    /// Drops what is known of pools that are gone, when the last that was on its way
    /// to them has come and gone.
    pub(in crate::core) fn forget_removed(&mut self) {
        let removed = self.pools.values().filter(|pool| pool.share.is_removed());
        let removed: Vec<_> = removed.map(|pool| pool.share.id).collect();
        removed.into_iter().for_each(|id| self.forget(id));
    }

    /// Cancels what a client runs or waits for. Nothing is sent out for a client that is idle, nor for one
    /// whose query has not reached a server: that one never starts.
    fn cancel(&mut self, socket_id: u64, request: u64, net: &mut impl Net) -> bool {
        let Some(id) = self.find_client(socket_id) else { return false };
        match self.clients[id].stand {
            Stand::Idle => false,
            Stand::Waiting { .. } => {
                self.cancel_waiting(id, Canceled::Next, net);
                true
            }
            Stand::Assigned(server) => self.cancel_lent(id, server, Canceled::Next, net),
            Stand::Linked(server) => self.cancel_running(socket_id, request, server, net),
        }
    }

    /// The client has got a server, to which its query has not been sent yet. While parameters are being set
    /// for it the server stays its own (`Core::task_done`), and so it does to the end of a message that the
    /// client has half of (`Core::message_over`).
    pub(in crate::core) fn cancel_lent(
        &mut self,
        id: ClientId,
        server_id: ServerId,
        canceled: Canceled,
        net: &mut impl Net,
    ) -> bool {
        let client = &mut self.clients[id];
        if !client.request.running {
            return false; // another cancel has been answered
        }
        client.canceled = canceled;
        let server = &self.servers[server_id];
        if matches!(server.phase, Phase::Linked(_)) && !server.is_midway() {
            self.part_canceled(id, server_id, net);
        }
        true
    }

    /// Has what a server runs for this client cancelled, if it runs anything.
    pub(in crate::core) fn cancel_running(
        &mut self,
        client: u64,
        request: u64,
        id: ServerId,
        net: &mut impl Net,
    ) -> bool {
        let server = &mut self.servers[id];
        if !matches!(server.phase, Phase::Linked(_)) || server.expected.is_settled() {
            return false;
        }
        server.cancels += 1;
        net.notify(server.cancel_note(client, request));
        true
    }

    /// What became of a cancel request for the server with this socket id is known,
    /// or known to be unknowable.
    pub fn cancel_over(&mut self, server: u64, fate: CancelFate, now: Micros, net: &mut impl Net) {
        self.it_is(now);
        let Some(id) = self.find_server(server) else { return };
        let server = &mut self.servers[id];
        server.cancels = server.cancels.saturating_sub(1);
        if fate == CancelFate::Unknown {
            // It may still arrive, and would end a query of whoever has the server then.
            server.close_reason.get_or_insert(CloseReason::CancelInDoubt);
        }
        if server.cancels == 0
            && let Some(client) = server.link()
        {
            self.clients[client].hold.lift(Reason::Canceling, Peer::Client(client), net);
        }
        self.look_for_rest(id, net);
    }

    /// What a client calls itself, whatever its servers call it.
    fn clients_own_name(&self, client: &Client) -> Arc<str> {
        let by_itself = client.shown_name.as_ref().map(|name| Arc::clone(name.own()));
        by_itself.unwrap_or_else(|| self.application_name(&client.params.values))
    }

    fn application_name(&self, params: &ParamSet) -> Arc<str> {
        let position = self.names.position("application_name");
        position.and_then(|at| params.value(at)).cloned().unwrap_or_else(|| "".into())
    }

    fn client_rows(&self, now: Micros) -> Vec<ClientRow> {
        let row = |client: &Client| ClientRow {
            identity: Arc::clone(&client.identity),
            state: client.state(),
            request_at: client.request.began_at,
            wait: match client.stand {
                Stand::Waiting { since, .. } => now.since(since),
                _ => Micros(0),
            },
            link: client.link().map(|server| self.servers[server].identity.socket_id),
            application_name: self.clients_own_name(client),
            prepared_statements: client.statements.as_ref().map_or(0, |all| all.count()),
            transaction_at: client.request.in_xact.then_some(client.request.xact_began_at),
            ending: client.tenure.end().map(EndCause::word),
        };
        self.clients.values().filter(|client| !client.identity.internal).map(row).collect()
    }

    fn server_rows(&self, now: Micros) -> Vec<ServerRow> {
        let row = |(id, server): (ServerId, &Server)| ServerRow {
            identity: Arc::clone(&server.identity),
            state: self.server_state(id, now),
            request_at: server.request_at,
            close_needed: self.is_obsolete(server),
            link: server.link().map(|client| self.clients[client].identity.socket_id),
            application_name: self.application_name(&server.params),
            prepared_statements: server.statements.count(),
            generation: server.generation,
            authorized_until: server.authorized_until(),
        };
        self.servers.iter().map(row).collect()
    }

    fn pool_rows(&self, now: Micros) -> Vec<(PoolId, PoolRow)> {
        let mut rows: Vec<_> = (0..self.pools.capacity()).map(|_| PoolRow::default()).collect();
        for client in self.clients.values().filter(|client| !client.identity.internal) {
            let row = &mut rows[client.pool.number()];
            match client.state() {
                ClientState::Active => row.cl_active += 1,
                ClientState::Idle => row.cl_idle += 1,
                ClientState::Waiting => row.cl_waiting += 1,
            }
        }
        for (id, server) in self.servers.iter() {
            let row = &mut rows[server.pool.number()];
            match self.server_state(id, now) {
                ServerState::Active => row.sv_active += 1,
                ServerState::Idle => row.sv_idle += 1,
                ServerState::Used => row.sv_used += 1,
                ServerState::Tested => row.sv_tested += 1,
                ServerState::BeingCanceled => row.sv_being_canceled += 1,
            }
            server.tell_age(now, self.share(server.pool).login_span(), row);
        }
        let finished = |(slot, pool): (PoolSlot, &Pool)| {
            let mut row = std::mem::take(&mut rows[slot.number()]);
            let waiting = pool.waiters.iter().find(|waiter| self.is_waiting(waiter));
            row.maxwait = waiting.map_or(Micros(0), |waiter| now.since(waiter.since));
            (pool.share.id, row)
        };
        self.pools.iter().map(finished).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::WorkerId;
    use crate::config::Snapshot;
    use crate::core::pool::{DatabaseShare, Gate, PoolShare};
    use crate::core::relay::StatementRegistry;
    use crate::wire::TrackedNames;

    #[test]
    fn counters_of_many_pools_are_copied_in_slices_and_each_once() {
        let mut core = Core::new(WorkerId(0), TrackedNames::new([]), Arc::new(StatementRegistry::default()));
        let database = Arc::new(DatabaseShare::new("db".into(), Arc::new(Gate::default())));
        let snapshot =
            Snapshot::load_with("test.ini", None, &|_| Ok(b"[databases]\ndb =\n[pgbouncer]\n".to_vec()));
        let snapshot = snapshot.unwrap_or_else(|_| panic!("a valid configuration"));
        let rules = Arc::new(snapshot.pool_rules(&snapshot.database("db").expect("the entry"), "u"));
        let count = 2 * limits::STATS_POOLS_MAX as u64 + 7;
        for id in 0..count {
            let share = PoolShare::new(PoolId(id), Arc::clone(&database), "u".into(), Arc::clone(&rules), 1);
            core.pool_slot(&Arc::new(share), Part::Pooled);
        }
        core.forget(PoolId(3));
        let (mut seen, mut from) = (Vec::new(), Some(0));
        while let Some(place) = from {
            let Answer::Stats(pools, next) = core.stats_from(place) else { panic!("no counters") };
            assert!(pools.len() <= limits::STATS_POOLS_MAX);
            seen.extend(pools.into_iter().map(|(id, _)| id.0));
            from = next;
        }
        assert_eq!(seen, (0..count).filter(|id| *id != 3).collect::<Vec<_>>());
    }
}
