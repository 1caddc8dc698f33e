//! Sessions that end because an identity ends: a token expires, a principal is denied or would not be let
//! in any more.
//!
//! Who is to end is found by the janitor's pass (a token's end) or by a [`Judge`], and is marked. A marked
//! session ends where it is in no transaction: at once, or at the boundary that comes next, and its server is
//! taken back as at any other. Until then its requests go on one by one, each when the one before is answered
//! (`relay/draining.rs`), so that none that is sent ahead begins another transaction; one that is open where
//! a message or batch ends in which the first was committed is cut. What a DO or CALL commits is told to
//! nobody. Nothing here is on the path of a session that is not marked but the look at its mark.
//!
//! Never cuts a transaction, but for `identity_on_denied=drop_now` or where one that is denied has lasted for
//! `identity_drain_timeout`, and for a replication client, whose stream has no boundary.

use super::admin::{Answer, Judge};
use super::conn::{Canceled, Client, EndCause, IDLE, Leave, Phase, Stand, Tenure};
use super::net::Net;
use super::pool::Part;
use super::slots::Slot;
use super::worker_core::Core;
use crate::base::{ClientId, DenyReason, Micros, Peer, ServerId, limits, log_about};
use crate::config::{OnDenied, OnExpired};
use crate::wire::{Fault, encode, sqlstate};

impl Core {
    /// Whether there is something to be done about a client's identity: its token has come to its end, or it
    /// was marked while it was busy and is not any more.
    #[inline]
    pub(in crate::core) fn is_tenure_over(&self, client: &Client, now: Micros) -> bool {
        match client.tenure {
            Tenure::Unlimited => false,
            Tenure::Ending { .. } => self.is_free_to_end(client) || self.must_end(client, now),
            Tenure::UntilExpiry | Tenure::Told => self.has_expired(client, now),
        }
    }

    fn has_expired(&self, client: &Client, now: Micros) -> bool {
        let rules = &self.pools[client.pool].rules;
        let is_heeded = match rules.on_expired {
            OnExpired::Drain => true,
            OnExpired::Notify => client.tenure == Tenure::UntilExpiry,
            OnExpired::Ignore => false,
        };
        let expiry = client.identity.proof.principal.as_ref().and_then(|principal| principal.expiry);
        is_heeded && expiry.is_some_and(|expiry| expiry.at + rules.expiry_grace <= now)
    }

    /// The janitor has found a client whose time is over.
    pub(in crate::core) fn tenure_over(&mut self, id: ClientId, net: &mut impl Net) {
        let client = &self.clients[id];
        match client.tenure {
            Tenure::Ending { cause, .. } => self.end_where_possible(id, cause, net),
            Tenure::Unlimited => {}
            Tenure::UntilExpiry | Tenure::Told => match self.pools[client.pool].rules.on_expired {
                OnExpired::Drain => self.end_soon(id, EndCause::Expired, net),
                OnExpired::Notify => self.tell_of_expiry(id, net),
                OnExpired::Ignore => {}
            },
        }
    }

    /// Tells a client, once, that its token has expired; at a later pass where half a message is on its way.
    fn tell_of_expiry(&mut self, id: ClientId, net: &mut impl Net) {
        let client = &mut self.clients[id];
        if client.link().is_some_and(|server| self.servers[server].is_midway()) {
            return;
        }
        client.tenure = Tenure::Told;
        log_about!(warn, client.identity.about(), "token has expired, the session goes on");
        let mut notice = Vec::new();
        let text = "the token of this session has expired";
        encode::notice(&mut notice, encode::Severity::Notice, sqlstate::SUCCESSFUL_COMPLETION, text, None);
        net.send(Peer::Client(id), &notice);
    }

    /// Marks a client; it ends as soon as it may.
    fn end_soon(&mut self, id: ClientId, cause: EndCause, net: &mut impl Net) {
        let now = self.now;
        self.clients[id].tenure.end_for(cause, now);
        self.end_where_possible(id, cause, net);
    }

    fn end_where_possible(&mut self, id: ClientId, cause: EndCause, net: &mut impl Net) {
        let client = &self.clients[id];
        if self.is_free_to_end(client) || self.must_end(client, self.now) {
            self.end_session(id, cause, net);
        }
    }

    /// Whether a marked client ends though it is in a transaction.
    fn must_end(&self, client: &Client, now: Micros) -> bool {
        // Where the server has more to tell of, the end comes with it.
        let has_told = |server| {
            let expected = &self.servers[server].expected;
            !expected.owes_ready() && !expected.owes_execute()
        };
        let has_begun_another = client.tenure.has_ended_amid() && client.link().is_some_and(has_told);
        has_begun_another || self.drops_now(client, now)
    }

    /// Whether a marked client ends wherever it is: never because its token has expired, which may come
    /// amid honest work.
    fn drops_now(&self, client: &Client, now: Micros) -> bool {
        let Some(waited) = client.tenure.denied_for(now) else { return false };
        let rules = &self.pools[client.pool].rules;
        let is_over =
            rules.drain_timeout != Micros(0) && waited >= rules.drain_timeout.min(Tenure::DENIED_MAX);
        is_over || rules.on_denied == OnDenied::DropNow
    }

    /// Ends a client's session for who it is.
    pub(in crate::core) fn end_session(&mut self, id: ClientId, cause: EndCause, net: &mut impl Net) {
        let counters = &mut self.pools[self.clients[id].pool].counters;
        match cause {
            EndCause::Expired => counters.sessions_expired += 1,
            EndCause::Denied(DenyReason::Denied) => counters.sessions_denied += 1,
            EndCause::Denied(_) => counters.sessions_rule_changed += 1,
        }
        self.disconnect(id, &Leave::Fault(cause.fault()), net);
    }

    /// Whether a client is in no transaction, and in the middle of nothing that it is being told.
    pub(in crate::core) fn may_end(&self, id: ClientId) -> bool {
        self.is_free_to_end(&self.clients[id])
    }

    fn is_free_to_end(&self, client: &Client) -> bool {
        if client.canceled == Canceled::ToSync {
            return false; // It has been told why its batch has failed; ReadyForQuery comes first.
        }
        match client.stand {
            Stand::Idle | Stand::Waiting { .. } => true,
            // Nothing of what it wants has reached the server.
            Stand::Assigned(server) => {
                let server = &self.servers[server];
                matches!(server.phase, Phase::Linked(_)) && !server.is_midway()
            }
            Stand::Linked(server) => {
                let is_replication = self.pools[client.pool].part == Part::Replication;
                let server = &self.servers[server];
                is_replication
                    || server.is_clean()
                    || server.is_clean_as_far_as_known()
                    || server.has_begun_nothing()
            }
        }
    }

    /// A linked server owes nothing any more, and its client is marked: ends it if that was the end of its
    /// transaction. Returns whether it did.
    #[cold]
    pub(in crate::core) fn end_at_boundary(
        &mut self,
        id: ClientId,
        cause: EndCause,
        server: ServerId,
        net: &mut impl Net,
    ) -> bool {
        let (server, tenure) = (&self.servers[server], &mut self.clients[id].tenure);
        let ends = server.is_clean() || server.status != IDLE && tenure.has_ended_amid();
        tenure.told_whole();
        if ends {
            self.end_session(id, cause, net);
        }
        ends
    }

    /// From now on `judge` says of each client whether it may stay: of those in these slots at once, of
    /// others when they come.
    pub(in crate::core) fn judge(&mut self, judge: Judge, from: usize, net: &mut impl Net) -> Answer {
        let (mut ended, next) = (0, self.slice_from(from));
        for id in self.slice(from) {
            let client = &self.clients[id];
            if client.identity.internal {
                continue;
            }
            if let Some(reason) = (judge.0)(&client.identity) {
                ended += usize::from(client.tenure.end().is_none());
                self.end_soon(id, EndCause::Denied(reason), net);
            }
        }
        self.judge = Some(judge);
        Answer::Judged { ended, next }
    }

    /// A client has just come: it may have been let in by what held when it began to log in.
    pub(in crate::core) fn judge_newcomer(&mut self, id: ClientId, net: &mut impl Net) {
        let client = &self.clients[id];
        if client.identity.internal {
            return;
        }
        let reason = self.judge.as_ref().and_then(|judge| (judge.0)(&client.identity));
        if let Some(reason) = reason {
            self.end_soon(id, EndCause::Denied(reason), net);
        }
    }

    /// Disconnects the clients in these slots that `is_meant` gives any reason for.
    pub(in crate::core) fn kill_meant(
        &mut self,
        is_meant: &Judge,
        from: usize,
        net: &mut impl Net,
    ) -> Answer {
        let (mut ended, next) = (0, self.slice_from(from));
        for id in self.slice(from) {
            let identity = &self.clients[id].identity;
            if !identity.internal && (is_meant.0)(identity).is_some() {
                ended += 1;
                self.pools[self.clients[id].pool].counters.sessions_killed += 1;
                self.disconnect(id, &Leave::Fault(Fault::AdminDisconnect), net);
            }
        }
        Answer::Judged { ended, next }
    }

    /// The clients of one slice of slots.
    fn slice(&self, from: usize) -> Vec<ClientId> {
        let end = from.saturating_add(limits::JUDGED_CLIENTS_MAX).min(self.clients.capacity());
        (from..end).map(ClientId::of).filter(|id| self.clients.contains(*id)).collect()
    }

    /// Where the next slice begins.
    fn slice_from(&self, from: usize) -> Option<usize> {
        let next = from.saturating_add(limits::JUDGED_CLIENTS_MAX);
        (next < self.clients.capacity()).then_some(next)
    }
}
