//! Recycling: what the age of a server's authorization means for it.
//!
//! Young, a server serves; past its soft age it has a replacement asked for, and is retired when that has
//! come; past its hard age no transaction begins on it, unless the pool's [`Stance`] is to keep on.
//! Everything here is about a server between transactions: none is ever cut for its age, and a client's
//! session (session pooling) lives on, told of once in the log. Whether a replacement can be had is not
//! decided here but by the ledger. Never on the path of a young server: whoever calls has compared the time
//! with [`Authorization::soft_at`] or [`Authorization::hard_at`] first.

use super::pool::{Part, Pool, PoolSlot};
use super::pool_share::PoolShare;
use super::stance::Stance;
use crate::base::{ClientId, Micros, Peer, ServerId, limits, log_about};
use crate::config::PoolMode;
use crate::core::admin::PoolRow;
use crate::core::conn::{CloseReason, Phase, Reason, Server, Stand, Task};
use crate::core::login_handoff::Authorization;
use crate::core::net::Net;
use crate::core::note::Note;
use crate::core::slots::Slot;
use crate::core::worker_core::Core;

/// Between two renewals of a pool that catches up: the pace is the login budget's.
const CATCH_UP_GAP: Micros = Micros::from_millis(20);

impl Authorization {
    /// Of a server that was not logged in to by IAM: good for as long as its connection.
    pub(in crate::core) const ENDLESS: Self = Self { soft_at: Micros::NEVER, hard_at: Micros::NEVER };

    /// The least time between two renewals in a pool of `servers` of which this is one that asks: all those
    /// that are as old are replaced one after the other within half of the time that is left.
    pub fn renewal_gap(self, now: Micros, servers: u32) -> Micros {
        Micros(self.hard_at.since(now).0 / 2 / u64::from(servers.max(1)))
    }
}

impl Server {
    /// Adds its authorization's age, where it has one, to its pool's row; a login to that
    /// pool takes `login_span`.
    pub(in crate::core) fn tell_age(&self, now: Micros, login_span: Micros, row: &mut PoolRow) {
        let Authorization { soft_at, hard_at } = self.authorization;
        if self.authorization != Authorization::ENDLESS {
            row.sv_past_soft_age += u32::from(now >= soft_at);
            row.sv_past_hard_age += u32::from(now >= hard_at);
            row.sv_due += u32::from(now < hard_at && now + login_span >= hard_at);
            row.auth_age = row.auth_age.max(now.since(self.connected_at));
        }
    }

    /// Brings its authorization's ages forward where its pool allows less than its login did:
    /// `iam_max_age` the hard one, and the soft one with it, so that there is time for a renewal;
    /// `server_lifetime` the soft one.
    pub(in crate::core) fn limit_age(&mut self, pool: &Pool) {
        if self.authorization == Authorization::ENDLESS {
            return;
        }
        let Authorization { soft_at, hard_at } = &mut self.authorization;
        let (max_age, lifetime) = (pool.share.max_age(), pool.rules.server_lifetime);
        if self.connected_at + max_age < *hard_at {
            *hard_at = self.connected_at + max_age;
            *soft_at = (*soft_at).min(self.connected_at + Micros(max_age.0 / 5 * 4));
        }
        if lifetime != Micros(0) {
            *soft_at = (*soft_at).min(self.connected_at + lifetime);
        }
    }

    /// Under [`Stance::CloseNow`] its time is over: it is closed when it is free.
    pub(in crate::core) fn end_if_denied(&mut self, share: &PoolShare, now: Micros) {
        if self.authorization != Authorization::ENDLESS && share.stance() == Stance::CloseNow {
            self.close_reason.get_or_insert(CloseReason::Denied);
            let Authorization { soft_at, hard_at } = self.authorization;
            self.authorization = Authorization { soft_at: soft_at.min(now), hard_at: hard_at.min(now) };
        }
    }

    /// Whether it may be closed although it would serve on: one that was logged in to by IAM only
    /// while another can be had.
    pub(in crate::core) fn is_expendable(&self, share: &PoolShare) -> bool {
        self.authorization == Authorization::ENDLESS || share.stance().renews()
    }
}

impl Core {
    /// A transaction begins on a server: counts how old its authorization is, where it has one.
    #[inline]
    pub(in crate::core) fn count_age(&mut self, id: ServerId) {
        let server = &self.servers[id];
        if server.authorization != Authorization::ENDLESS {
            let age = self.now.since(server.connected_at);
            self.pools[server.pool].counters.auth_age.record(age.0);
        }
    }

    /// Whether a server past its soft age has had its time.
    #[cold]
    pub(in crate::core) fn too_old(&self, server: &Server) -> Option<CloseReason> {
        if self.now < server.authorization.hard_at {
            return None;
        }
        let share = self.share(server.pool);
        let is_kept = share.stance().extends();
        if is_kept {
            share.note_overstay();
        }
        (!is_kept).then_some(CloseReason::TooOld)
    }

    /// Whether a free server past its soft age is the one that makes room for a younger one. One that has
    /// only just come is that younger one, even where its login has taken longer than `server_lifetime`:
    /// whoever waits gets it first.
    #[cold]
    pub(in crate::core) fn retires(&self, server: &Server) -> Option<CloseReason> {
        let share = self.share(server.pool);
        let is_next = !self.has_just_come(server) && !self.yields_to_older(server, share);
        (share.stance().renews() && is_next && share.take_retirement()).then_some(CloseReason::Renewed)
    }

    /// Whether an older one is to go first, wherever that is: as long as half of the time is
    /// left in which this one may.
    fn yields_to_older(&self, server: &Server, share: &PoolShare) -> bool {
        let Authorization { soft_at, hard_at } = server.authorization;
        let yields_until = soft_at + Micros(hard_at.since(soft_at).0 / 2);
        self.now < yields_until && share.oldest_ends_at() < hard_at
    }

    /// Whether a free server has only just come from its login: whoever waits gets it first,
    /// however long that has taken.
    pub(in crate::core) fn has_just_come(&self, server: &Server) -> bool {
        !server.is_used() && server.phase == Phase::Idle(self.now)
    }

    /// A free server past its soft age stays for now: asks for another in its place, if it is
    /// the pool's time for that.
    #[cold]
    pub(in crate::core) fn ask_for_renewal(&mut self, id: ServerId, net: &mut impl Net) {
        let server = &self.servers[id];
        let share = self.share(server.pool);
        let gap = match share.stance() {
            Stance::CatchUp => CATCH_UP_GAP,
            _ => server.authorization.renewal_gap(self.now, share.live_count()),
        };
        if share.stance().renews() && share.may_ask_for_renewal(self.now, gap) {
            net.notify(Note::NeedRenewal(share.id));
        }
    }

    /// A server past its soft age is checked in and was in `phase` before: counts what it has
    /// served beyond the hard one.
    #[cold]
    pub(in crate::core) fn count_old_link(&mut self, id: ServerId, phase: Phase) {
        let server = &self.servers[id];
        let served = !matches!(phase, Phase::Idle(_) | Phase::Tested(Task::Check));
        if !served || self.now < server.authorization.hard_at {
            return;
        }
        let pool = &mut self.pools[server.pool];
        match pool.share.stance().extends() {
            true => pool.counters.extended += 1,
            false => pool.counters.over_age_transactions += 1,
        }
    }

    /// A client begins to speak to a server that it was lent a while ago (it waited, or was not read
    /// from since). Returns whether it may: a server that has grown too old meanwhile is closed, and
    /// the client is without one.
    pub(in crate::core) fn begin_on_assigned(
        &mut self,
        id: ClientId,
        server_id: ServerId,
        net: &mut impl Net,
    ) -> bool {
        let server = &self.servers[server_id];
        let client = &mut self.clients[id];
        client.stand = Stand::Linked(server_id);
        if self.now < server.authorization.hard_at {
            self.tell_name(id, server_id, net);
            return true;
        }
        // One that is in the middle of a message to this client (a notice, say) cannot be parted from it.
        let Some(reason) = server.close_reason.or_else(|| self.too_old(server)).filter(|_| server.is_clean())
        else {
            self.tell_name(id, server_id, net);
            return true;
        };
        self.take_back(id, server_id, reason, net);
        false
    }

    /// A client speaks to its server that has passed its hard age, and nothing of what it says has reached
    /// the server yet: such a link (all was answered here) is parted as one that was not taken up. Returns
    /// whether it goes on with it.
    #[cold]
    pub(in crate::core) fn may_continue_expired(
        &mut self,
        id: ClientId,
        server: ServerId,
        net: &mut impl Net,
    ) -> bool {
        let slot = self.servers[server].pool;
        let is_session = self.pools[slot].rules.mode == PoolMode::Session;
        is_session || self.begin_on_assigned(id, server, net)
    }

    #[cold]
    fn take_back(&mut self, id: ClientId, server_id: ServerId, reason: CloseReason, net: &mut impl Net) {
        let client = &mut self.clients[id];
        client.stand = Stand::Idle;
        client.hold.lift(Reason::LinkBlocked, Peer::Client(id), net);
        self.end_server(server_id, reason, net);
    }

    /// Brings the ages of servers to what their pools say now, and ends the time of
    /// those whose user is denied.
    pub(in crate::core) fn limit_ages(&mut self, only: Option<PoolSlot>) {
        let now = self.now;
        for server in self.servers.values_mut() {
            if only.is_none_or(|slot| slot == server.pool) {
                let pool = &self.pools[server.pool];
                server.limit_age(pool);
                server.end_if_denied(&pool.share, now);
            }
        }
    }

    /// Tells the ledger how many servers of each pool are past their soft age, and the other workers how old
    /// the oldest is that can be retired soon.
    pub(in crate::core) fn publish_aged(&self) {
        let mut aged = vec![(0, Micros::NEVER); self.pools.capacity()];
        // That of a replication client is never replaced.
        let is_aged =
            |server: &&Server| self.now >= server.authorization.soft_at && !self.is_replication(server);
        for server in self.servers.values().filter(is_aged) {
            let (count, oldest) = &mut aged[server.pool.number()];
            *count += 1;
            if self.is_soon_free(server) {
                *oldest = server.authorization.hard_at.min(*oldest);
            }
        }
        for (slot, pool) in self.pools.iter().filter(|(_, pool)| pool.part == Part::Pooled) {
            let (count, oldest) = aged[slot.number()];
            pool.share.set_aged(self.worker, count);
            pool.share.set_oldest(self.worker, oldest);
        }
    }

    /// Whether a server is free, or is with a client whose transaction began within a pass.
    fn is_soon_free(&self, server: &Server) -> bool {
        let (Phase::Linked(id) | Phase::Preparing(id)) = server.phase else { return true };
        let request = &self.clients[id].request;
        self.now.since(request.xact_began_at) < Micros::from_millis(limits::JANITOR_PERIOD_MS)
    }

    /// In session pooling a server belongs to its client for as long as that stays: it is only told of, at
    /// the first pass behind its hard age.
    pub(in crate::core) fn tell_of_old_sessions(&self, last_pass: Micros) {
        for server in self.servers.values() {
            let hard_at = server.authorization.hard_at;
            let is_session = self.pools[server.pool].rules.mode == PoolMode::Session;
            if hard_at > last_pass
                && hard_at <= self.now
                && is_session
                && matches!(server.phase, Phase::Linked(_))
            {
                let about = server.identity.about();
                log_about!(warn, about, "authorization expired; kept until the session ends");
            }
        }
    }

    /// Free servers, the longest authorized first.
    pub(in crate::core) fn free_servers(&self, only: Option<PoolSlot>) -> Vec<ServerId> {
        let is_free = |server: &Server| matches!(server.phase, Phase::Idle(_));
        let is_ours = |server: &Server| only.is_none_or(|slot| slot == server.pool);
        let free = self.servers.iter().filter(|(_, server)| is_free(server) && is_ours(server));
        let mut free: Vec<_> = free.map(|(id, server)| (server.authorization.hard_at, id)).collect();
        free.sort_by_key(|(hard_at, _)| *hard_at);
        free.into_iter().map(|(_, id)| id).collect()
    }

    /// A server has gone. One past its soft age was the retirement that the pool may still
    /// wait for, whatever ended it.
    pub(in crate::core) fn note_retirement(&mut self, server: &Server, reason: CloseReason) {
        if self.is_replication(server) {
            return;
        }
        let is_old = self.now >= server.authorization.soft_at;
        let pool = &mut self.pools[server.pool];
        if is_old && reason.is_renewal() {
            pool.counters.renewed += 1;
        } else if !(is_old && pool.share.take_retirement()) {
            pool.share.note_departure();
        }
        // Who is next is looked for at once; where many end together for another reason the next
        // pass does it, once for all.
        if is_old && reason.is_renewal() {
            self.publish_aged();
        }
    }
}
