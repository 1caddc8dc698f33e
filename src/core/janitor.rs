//! The periodic pass over one worker: timeouts of clients, ages of servers, the notice to those who queue.
//!
//! Rules as PgBouncer documents them (doc/config.md, Connection sanity checks, timeouts, and Dangerous
//! timeouts): checked `limits::JANITOR_PERIOD_MS` apart, so a timeout is late by at most that.

use super::Net;
use super::admin::ServerState;
use super::conn::{Client, CloseReason, IDLE, Leave, Phase, Stand, Task};
use super::pool::PoolSlot;
use super::query_limits::{Limit, Over, is_over};
use super::slots::Slot;
use super::worker_core::Core;
use crate::base::{ClientId, Micros, Peer, ServerId, limits};
use crate::config::{PoolMode, PoolRules};
use crate::wire::{Fault, encode, sqlstate};

/// What the pass decides about one client.
enum Due {
    /// It is ended.
    End(Fault),
    /// Its server is ended, and it with it.
    EndServer(ServerId, CloseReason),
    /// Its query is cancelled.
    Cancel(Limit),
    /// It is told that it queues.
    Notify,
    /// Its identity has ended.
    TenureOver,
}

impl Core {
    /// The periodic pass.
    pub fn janitor(&mut self, now: Micros, net: &mut impl Net) {
        self.it_is(now);
        let now = self.now;
        let due: Vec<_> = self
            .clients
            .iter()
            .filter_map(|(id, client)| Some((id, self.client_due(client, now)?)))
            .collect();
        for (id, due) in due {
            if !self.clients.contains(id) {
                continue;
            }
            match due {
                Due::End(fault) => self.disconnect(id, &Leave::Fault(fault), net),
                Due::EndServer(server, reason) => {
                    if self.servers.contains(server) {
                        self.close_server(server, reason, net);
                    }
                }
                Due::Cancel(limit) => self.cancel_over_limit(id, limit, net),
                Due::Notify => self.notify_waiting(id, net),
                Due::TenureOver => self.tenure_over(id, net),
            }
        }
        self.audit_links();
        self.audit_room(net);
        self.limit_ages(None);
        self.publish_aged();
        let last_pass = std::mem::replace(&mut self.last_pass, now);
        self.tell_of_old_sessions(last_pass);
        self.age_idle_servers(net);
        self.give_up_slow_checks();
        let slots: Vec<_> = self.pools.iter().map(|(id, _)| id).collect();
        for slot in slots {
            // A note that went astray must not leave a client waiting: asked anew at each pass.
            self.pools[slot].asked = 0;
            self.trim_queue(slot);
            self.serve(slot, net);
            self.close_outdated_replication(slot, net);
        }
        self.forget_removed();
        self.forget_moved_hosts();
    }

    /// Counts anew which servers are being checked for a client that waits: one that has not answered for a
    /// whole pass may never do so, and another one is opened meanwhile.
    fn give_up_slow_checks(&mut self) {
        let now = self.now;
        self.pools.values_mut().for_each(|pool| pool.checking = 0);
        for server in self.servers.values() {
            let is_quick = now.since(server.request_at) < Micros::from_millis(limits::JANITOR_PERIOD_MS);
            if is_quick && server.phase == Phase::Tested(Task::Check) {
                self.pools[server.pool].checking += 1;
            }
        }
        self.pools.values_mut().for_each(|pool| pool.checks_counted());
    }

    /// What is due for one client, if anything.
    fn client_due(&self, client: &Client, now: Micros) -> Option<Due> {
        let rules = &self.pools[client.pool].rules;
        let over = |limit, since| is_over(limit, since, now);
        if self.is_tenure_over(client, now) {
            return Some(Due::TenureOver);
        }
        match client.stand {
            Stand::Idle => {
                let idle = !client.request.running && !client.identity.internal;
                (idle && over(client.rules.client_idle_timeout, client.request.ended_at))
                    .then_some(Due::End(Fault::ClientIdleTimeout))
            }
            Stand::Waiting { since, notified, .. } => {
                if over(client.rules.query_wait_timeout, since) {
                    Some(Due::End(
                        self.share(client.pool).wait_over("query_wait_timeout", Fault::QueryWaitTimeout),
                    ))
                } else if self.is_query_over(client, since) {
                    Some(if self.cancels(client) {
                        Due::Cancel(Limit::Query)
                    } else {
                        Due::End(Fault::QueryTimeoutWaiting)
                    })
                } else if !notified && over(rules.query_wait_notify, since) && !client.identity.internal {
                    Some(Due::Notify)
                } else {
                    None
                }
            }
            Stand::Assigned(server) | Stand::Linked(server) => self.linked_due(client, server, rules, now),
        }
    }

    fn linked_due(&self, client: &Client, id: ServerId, rules: &PoolRules, now: Micros) -> Option<Due> {
        let over = |limit, since| is_over(limit, since, now);
        let server = &self.servers[id];
        let at_rest = matches!(server.phase, Phase::Linked(_)) && server.is_clean();
        if rules.mode == PoolMode::Session && rules.fast_close && at_rest && self.is_obsolete(server) {
            // The client may say nothing for long; one that does is met by `close_session_if_due`.
            return Some(Due::EndServer(id, CloseReason::Reconfigured));
        }
        if let Some(over) = self.query_over(client, id) {
            return over.due(id, CloseReason::QueryTimeout, Limit::Query);
        }
        let in_block = server.status != IDLE && server.expected.is_settled();
        if in_block && over(rules.idle_transaction_timeout, server.heard_at) {
            return Some(Due::EndServer(id, CloseReason::IdleTransactionTimeout));
        }
        self.transaction_over(client, id)?.due(id, CloseReason::TransactionTimeout, Limit::Transaction)
    }

    /// Tells a client, once per wait, that it queues.
    fn notify_waiting(&mut self, id: ClientId, net: &mut impl Net) {
        let is_unrecorded = self.audit_is_full();
        if let Stand::Waiting { notified, .. } = &mut self.clients[id].stand {
            *notified = true;
            let mut notice = Vec::new();
            let text = match is_unrecorded {
                true => "No room in the audit log (audit_overflow=block), client being queued",
                false => "No server connection available in postgres backend, client being queued",
            };
            encode::notice(
                &mut notice,
                encode::Severity::Notice,
                sqlstate::SUCCESSFUL_COMPLETION,
                text,
                None,
            );
            net.send(Peer::Client(id), &notice);
        }
    }

    /// Closes free servers that are obsolete, too old, or idle too long.
    fn age_idle_servers(&mut self, net: &mut impl Net) {
        let now = self.now;
        let free = self.free_servers(None);
        // The ledger learns of a close when the socket has ended: what this pass closes is counted here.
        let mut closed = vec![0; self.pools.capacity()];
        for id in free {
            let slot = self.servers[id].pool;
            let closed = &mut closed[slot.number()];
            let live = self.share(slot).live_count().saturating_sub(*closed);
            let reason = self
                .reason_to_close(id, now)
                .or_else(|| self.one_too_many(slot, live))
                .or_else(|| self.idle_too_long(id, live));
            match reason {
                Some(reason) => {
                    *closed += 1;
                    self.close_server(id, reason, net);
                }
                None if now >= self.servers[id].authorization.soft_at => {
                    self.ask_for_renewal(id, net);
                }
                None => {}
            }
        }
    }

    /// A pool whose size was lowered gets rid of its free servers above it.
    fn one_too_many(&self, slot: PoolSlot, live: u32) -> Option<CloseReason> {
        let rules = &self.pools[slot].rules;
        let most = rules.pool_size.saturating_add(rules.reserve_pool_size);
        let all = live.saturating_add(self.share(slot).replication_count());
        (rules.pool_size > 0 && all > most).then_some(CloseReason::OneTooMany)
    }

    /// `server_idle_timeout`, which never takes a pool below `min_pool_size`, and nothing that
    /// no login would bring back.
    fn idle_too_long(&self, id: ServerId, live: u32) -> Option<CloseReason> {
        let server = &self.servers[id];
        let Phase::Idle(since) = server.phase else { return None };
        let pool = &self.pools[server.pool];
        let limit = pool.rules.server_idle_timeout;
        let spare = live > pool.rules.min_pool_size && server.is_expendable(&pool.share);
        (is_over(limit, since, self.now) && spare).then_some(CloseReason::IdleTooLong)
    }

    /// The check delay in force for SHOW's state `used`; `None` where servers are not checked.
    pub(in crate::core) fn check_delay(&self, slot: PoolSlot) -> Option<Micros> {
        let rules = &self.pools[slot].rules;
        rules.server_check_query.as_ref().map(|_| rules.server_check_delay)
    }

    /// A server's state as SHOW names it.
    pub(in crate::core) fn server_state(&self, id: ServerId, now: Micros) -> ServerState {
        let server = &self.servers[id];
        server.state(now, self.check_delay(server.pool))
    }
}

impl Over {
    /// What becomes of a client whose limit is over, and of its server.
    fn due(self, server: ServerId, reason: CloseReason, limit: Limit) -> Option<Due> {
        match self {
            Self::Close => Some(Due::EndServer(server, reason)),
            Self::Cancel => Some(Due::Cancel(limit)),
            Self::Wait => None,
        }
    }
}
