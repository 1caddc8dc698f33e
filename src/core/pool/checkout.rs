//! Check-out and check-in: who gets which server, who waits, and when a connection goes to another worker.
//!
//! First come, first served on a worker; over workers a client elsewhere goes first only when it has waited
//! longer by `limits::REMOTE_WAITER_LEAD_US`, or when nobody waits here.

use super::fitness::Fitness;
use super::pool::{Part, PoolSlot, Waiter};
use super::pool_share::ServerUnderWay;
use crate::base::{ClientId, Micros, Peer, PoolId, ServerId, WorkerId, limits, log_about};
use crate::core::conn::{Debt, Phase, Reason, Stand, Task};
use crate::core::net::Net;
use crate::core::note::Note;
use crate::core::worker_core::{Core, Resting};
use crate::wire::encode;
use std::sync::Arc;

/// What became of a client that wants a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Got {
    /// It is linked, and the server is ready for its bytes.
    Linked(ServerId),
    /// It waits, in the queue or for its server to be set up; it is paused.
    Waits,
    /// It was refused and is gone.
    Gone,
}

impl Core {
    /// Gets a server for a client that has something to say: a free one of this worker,
    /// or a place in the queue.
    pub(in crate::core) fn acquire(&mut self, id: ClientId, net: &mut impl Net) -> Got {
        let now = self.now;
        let slot = self.clients[id].pool;
        if !self.pools[slot].share.database.is_paused() && !self.audit_is_full() {
            while let Some(server) = self.pools[slot].take_idle() {
                match self.fitness(server, now) {
                    Fitness::Fit => {
                        self.pools[slot].counters.wait_time.record(0);
                        return self.link(id, server, net);
                    }
                    Fitness::Close(reason) => self.close_server(server, reason, net),
                    Fitness::Check => {
                        self.check(server, None, net);
                        break;
                    }
                }
            }
        }
        self.enqueue(id, net)
    }

    /// Ties a free server (already off the idle list) to a client.
    fn link(&mut self, id: ClientId, server_id: ServerId, net: &mut impl Net) -> Got {
        let now = self.now;
        let client = &mut self.clients[id];
        let server = &mut self.servers[server_id];
        assert!(server.pool == client.pool, "a server is lent within its pool only");
        client.stand = Stand::Assigned(server_id);
        server.request_at = now;
        server.linked_at = now;
        if client.blocked {
            server.hold.add(Reason::LinkBlocked, Peer::Server(server_id), net);
        }
        if server.blocked {
            client.hold.add(Reason::LinkBlocked, Peer::Client(id), net);
        }
        self.pools[client.pool].counters.server_assignment_count += 1;
        let tell = |name: &str, value: &str| tell_parameter(id, name, value, net);
        let mut sets = server.differences(&mut client.params, &self.names, tell);
        if let Some(name) = &mut client.shown_name {
            // A name alone needs no answer before what the client says.
            name.is_due = sets.take_if(|sets| sets.are_of_name()).is_some();
            if !name.is_due {
                name.is_told();
            }
        }
        let Some(sets) = sets else {
            server.enter(Phase::Linked(id));
            if !client.hold.is_free() {
                return Got::Waits;
            }
            client.stand = Stand::Linked(server_id);
            self.tell_name(id, server_id, net);
            return Got::Linked(server_id);
        };
        let about = server.identity.about();
        log_about!(debug, about, "varcache_apply: {}", sets.sql());
        server.enter(Phase::Preparing(id));
        server.task_failed = false;
        client.hold.add(Reason::Waiting, Peer::Client(id), net);
        net.send(Peer::Server(server_id), &sets.messages());
        Got::Waits
    }

    /// Tells the world that clients wait here: a worker with idle servers if there is one, else the ledger.
    pub(in crate::core) fn ask_for_server(&mut self, slot: PoolSlot, net: &mut impl Net) {
        let worker = self.worker;
        if self.audit_is_full() {
            return; // another server would not be lent either
        }
        let pool = &mut self.pools[slot];
        if !pool.is_short() || pool.share.database.is_paused() {
            return;
        }
        if let Some(idle_at) = pool.share.idle_elsewhere(worker) {
            net.notify(Note::Nudge { pool: pool.share.id, idle_at });
        } else if pool.asks() {
            net.notify(Note::NeedServer(pool.share.id));
        }
    }

    /// Another worker's clients wait for a server of `pool`: gives one that is idle here
    /// and that nobody here wants.
    pub fn nudged(&mut self, pool: PoolId, by: WorkerId, now: Micros, net: &mut impl Net) {
        self.it_is(now);
        let Some(slot) = self.pool_slots.get(&(pool, Part::Pooled)).copied() else { return };
        if self.pools[slot].share.database.is_paused() {
            return;
        }
        // Counted as moving before it ceases to count as idle: see `PoolShare::outlook`.
        let leaving = self.share(slot).server_under_way();
        while let Some(server) = self.pools[slot].take_idle() {
            match self.fitness(server, now) {
                Fitness::Close(reason) => self.close_server(server, reason, net),
                Fitness::Check => return self.check(server, Some(leaving), net),
                Fitness::Fit => match self.try_move(server) {
                    Some(resting) => return self.move_server(resting, by, net),
                    None => return self.pools[slot].put_idle(server),
                },
            }
        }
        if !self.pools[slot].share.is_full() {
            net.notify(Note::NeedServer(pool));
        }
    }

    /// A server at rest that can go to another worker now.
    fn try_move(&self, id: ServerId) -> Option<Resting> {
        let is_movable = self.just_sent_to != Some(id) && self.servers[id].is_movable();
        is_movable.then(|| self.try_rest(id)).flatten()
    }

    /// Runs the check query on a server that is off the idle list; whoever waits longest gets it when it
    /// answers. With `leaving` it is a client of another worker that wants it.
    fn check(&mut self, id: ServerId, leaving: Option<ServerUnderWay>, net: &mut impl Net) {
        let slot = self.servers[id].pool;
        let sql = self.pools[slot].rules.server_check_query.clone().unwrap_or_else(|| "".into());
        self.pools[slot].check_begins(leaving);
        self.start_task(id, Task::Check, &sql, net);
    }

    /// Gives an unlinked server a query of the pooler's own.
    pub(in crate::core) fn start_task(&mut self, id: ServerId, task: Task, sql: &str, net: &mut impl Net) {
        let now = self.now;
        let server = &mut self.servers[id];
        server.enter(Phase::Tested(task));
        server.task_failed = false;
        if task == Task::Reset {
            server.debt = Debt::None;
        }
        server.request_at = now;
        send_query(id, sql, net);
    }

    /// The end of a check-in: closed if its time is over, else lent on, moved, or kept idle.
    pub(in crate::core) fn settle(&mut self, resting: Resting, net: &mut impl Net) {
        let (id, now) = (resting.id(), self.now);
        let server = &mut self.servers[id];
        let slot = server.pool;
        let is_checked = server.phase == Phase::Tested(Task::Check);
        let _leaving = is_checked.then(|| self.pools[slot].check_ends());
        let server = &mut self.servers[id];
        let is_old = now >= server.authorization.soft_at;
        let before = server.phase;
        server.enter(Phase::Idle(now));
        if is_old {
            self.count_old_link(id, before);
        }
        if let Some(reason) = self.reason_to_close(id, now) {
            self.close_server(id, reason.at_release(), net);
            return self.serve(slot, net);
        }
        if is_old {
            self.ask_for_renewal(id, net);
        }
        let here = self.next_waiter(slot).map(|waiter| waiter.since);
        let there = self.pools[slot].share.oldest_waiter_elsewhere(self.worker);
        if let Some((worker, since)) = there
            && here.is_none_or(|here| since + Micros(limits::REMOTE_WAITER_LEAD_US) < here)
            && let Some(resting) = self.try_move(id)
        {
            return self.move_server(resting, worker, net);
        }
        let may_lend = !self.audit_is_full();
        match may_lend.then(|| self.take_waiter(slot)).flatten() {
            Some(waiter) => self.lend(waiter, id, net),
            None => {
                self.pools[slot].put_idle(id);
                self.look_for_late_waiter(id, slot, net);
            }
        }
    }

    /// A client of another worker may have begun to wait after it was looked for above and before
    /// this server was seen to be idle: then it has found none, nobody has looked since, and it
    /// would wait for the janitor.
    fn look_for_late_waiter(&mut self, id: ServerId, slot: PoolSlot, net: &mut impl Net) {
        let pool = &self.pools[slot];
        if pool.share.has_waiter_after_all(self.worker)
            && let Some((worker, _)) = pool.share.oldest_waiter_elsewhere(self.worker)
            && let Some(resting) = self.try_move(id)
        {
            let _leaving = self.share(slot).server_under_way();
            self.pools[slot].remove_idle(id);
            self.move_server(resting, worker, net);
        }
    }

    /// Links the client at the front of the queue and lets it speak.
    fn lend(&mut self, waiter: Waiter, id: ServerId, net: &mut impl Net) {
        let now = self.now;
        let client = &mut self.clients[waiter.client];
        let waited_us = now.since(waiter.since).0;
        let counters = &mut self.pools[client.pool].counters;
        counters.wait_time_us += waited_us;
        counters.wait_time.record(waited_us);
        self.link(waiter.client, id, net);
        if matches!(self.servers[id].phase, Phase::Linked(_)) {
            self.clients[waiter.client].hold.lift(Reason::Waiting, Peer::Client(waiter.client), net);
        }
    }

    /// Serves waiting clients from idle servers as far as they go, and asks for more where they do not.
    pub(in crate::core) fn serve(&mut self, slot: PoolSlot, net: &mut impl Net) {
        let now = self.now;
        if self.pools[slot].share.database.is_paused() || self.audit_is_full() {
            return;
        }
        while self.next_waiter(slot).is_some() && self.pools[slot].is_short() {
            let Some(server) = self.pools[slot].take_idle() else {
                return self.ask_for_server(slot, net);
            };
            match self.fitness(server, now) {
                Fitness::Close(reason) => self.close_server(server, reason, net),
                Fitness::Check => self.check(server, None, net),
                Fitness::Fit => {
                    if let Some(waiter) = self.take_waiter(slot) {
                        self.lend(waiter, server, net);
                    }
                }
            }
        }
    }

    /// The pool-wide share of a pool on this worker.
    pub(in crate::core) fn share(&self, slot: PoolSlot) -> &Arc<crate::core::pool::pool_share::PoolShare> {
        &self.pools[slot].share
    }
}

/// Tells a client of a parameter that it has not set and that is another on its new server.
#[cold]
fn tell_parameter(to: ClientId, name: &str, value: &str, net: &mut impl Net) {
    let mut status = Vec::new();
    encode::parameter_status(&mut status, name, value);
    net.send(Peer::Client(to), &status);
}

/// Sends a query of the pooler's own.
fn send_query(to: ServerId, sql: &str, net: &mut impl Net) {
    let mut query = Vec::with_capacity(sql.len() + 8);
    encode::query(&mut query, sql);
    net.send(Peer::Server(to), &query);
}
