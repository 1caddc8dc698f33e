//! `query_timeout` and `transaction_timeout`: whether one is over, and what is done then.
//!
//! Of the pool's limit and the client's own the shorter counts. By `timeout_action = close` the server is
//! closed, and its client with it, as PgBouncer does. By `cancel` the query is cancelled at its server, and
//! the session goes on; a server that does not answer that within `cancel_wait_timeout` is closed after all,
//! so nobody waits for ever. While such a cancel is under way its client is not read (`Reason::Canceling`):
//! what it says next is not what the cancel ends. The janitor asks and carries out what closes.

use super::conn::{Canceled, Client, Phase, Reason, Request, Stand};
use super::net::Net;
use super::pool::Part;
use super::worker_core::Core;
use crate::base::{ClientId, Micros, Peer, ServerId, limits, log_about};
use crate::config::TimeoutAction;

/// Which limit is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Query,
    Transaction,
}

/// What follows where a limit is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The server is closed, and its client with it.
    Close,
    /// The query is cancelled.
    Cancel,
    /// Nothing more: that was done, and has some time yet.
    Wait,
}

impl Core {
    /// Whether a limit that is over cancels the client's query, and does not close its server. A replication
    /// client's stream is no query.
    pub(super) fn cancels(&self, client: &Client) -> bool {
        let pool = &self.pools[client.pool];
        let action = client.rules.timeout_action.unwrap_or(pool.rules.timeout_action);
        pool.part == Part::Pooled && action == TimeoutAction::Cancel
    }

    /// Whether a query that runs, or waits for a server, since then is over its limit.
    pub(super) fn is_query_over(&self, client: &Client, since: Micros) -> bool {
        let of_pool = self.pools[client.pool].rules.query_timeout;
        is_over(shorter(of_pool, client.rules.query_timeout), since, self.now)
    }

    /// What follows if the query of a client with this server is over its limit.
    pub(super) fn query_over(&self, client: &Client, server: ServerId) -> Option<Over> {
        let request = &client.request;
        if !request.running || !self.is_query_over(client, request.began_at) {
            return None;
        }
        if !self.cancels(client) {
            return Some(Over::Close);
        }
        let since = request.statement_began_at();
        if !self.is_query_over(client, since) {
            return None; // one that was sent ahead, and has begun since
        }
        Some(match request.canceled_at > since {
            true => self.close_or_wait(client, request.canceled_at),
            false if self.has_something_to_cancel(client, server) => Over::Cancel,
            false => Over::Close,
        })
    }

    /// What follows if the transaction of a client with this server is over its limit. One whose statement
    /// was cancelled for it has a moment to be rolled back; one that is over between two statements has none,
    /// since nobody would hear of it before the next.
    pub(super) fn transaction_over(&self, client: &Client, server: ServerId) -> Option<Over> {
        let request = &client.request;
        let of_pool = self.pools[client.pool].rules.transaction_timeout;
        let limit = shorter(of_pool, client.rules.transaction_timeout);
        if !request.in_xact || !is_over(limit, request.xact_began_at, self.now) {
            return None;
        }
        Some(if !self.cancels(client) {
            Over::Close
        } else if request.xact_canceled_at > request.xact_began_at {
            self.close_or_wait(client, request.xact_canceled_at)
        } else if request.running && self.has_something_to_cancel(client, server) {
            Over::Cancel
        } else {
            Over::Close
        })
    }

    /// What is done about a client whose query was cancelled then.
    fn close_or_wait(&self, client: &Client, canceled_at: Micros) -> Over {
        let patience = match self.pools[client.pool].rules.cancel_wait_timeout {
            Micros(0) => Micros::from_millis(limits::CANCEL_ANSWER_MS),
            patience => patience,
        };
        if is_over(patience, canceled_at, self.now) { Over::Close } else { Over::Wait }
    }

    /// Whether a cancel can end what a client's server is at. A server that has answered all, but a batch's
    /// end is still to come from its client, would not even hear of it.
    fn has_something_to_cancel(&self, client: &Client, server: ServerId) -> bool {
        let server = &self.servers[server];
        let is_working = matches!(server.phase, Phase::Linked(_)) && !server.expected.is_settled();
        is_working || matches!(client.stand, Stand::Assigned(_))
    }

    /// Has a client's query cancelled, because a limit is over.
    pub(super) fn cancel_over_limit(&mut self, id: ClientId, limit: Limit, net: &mut impl Net) {
        let now = self.now;
        let client = &mut self.clients[id];
        let is_canceled = client.request.canceled_at > client.request.statement_began_at();
        if limit == Limit::Transaction {
            client.request.xact_canceled_at = now;
        }
        if is_canceled {
            return;
        }
        client.request.canceled_at = now;
        let counters = &mut self.pools[client.pool].counters;
        match limit {
            Limit::Query => counters.canceled_by_query_timeout += 1,
            Limit::Transaction => counters.canceled_by_transaction_timeout += 1,
        }
        let client = &self.clients[id];
        if self.pools[client.pool].rules.log_pooler_errors && !client.identity.internal {
            let mut name = limit.name().to_owned();
            client.context().for_each(|(key, value)| name += &format!(", {key}={value}"));
            log_about!(warn, client.identity.about(), "query is canceled: {name}");
        }
        let (stand, socket_id) = (client.stand, client.identity.socket_id);
        match stand {
            Stand::Idle => {}
            Stand::Waiting { .. } => self.cancel_waiting(id, Canceled::NextForTimeout, net),
            Stand::Assigned(server) => {
                self.cancel_lent(id, server, Canceled::NextForTimeout, net);
            }
            Stand::Linked(server) => {
                if self.cancel_running(socket_id, 0, server, net) {
                    self.clients[id].hold.add(Reason::Canceling, Peer::Client(id), net);
                }
            }
        }
    }
}

impl Request {
    /// The limit for which a query of the present transaction was cancelled.
    pub(super) fn canceled_by(&self) -> Option<Limit> {
        let began = self.xact_began_at;
        match (self.xact_canceled_at > began, self.canceled_at > began) {
            (true, _) => Some(Limit::Transaction),
            (false, true) => Some(Limit::Query),
            (false, false) => None,
        }
    }
}

impl Limit {
    /// Of the setting.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Query => "query_timeout",
            Self::Transaction => "transaction_timeout",
        }
    }
}

/// The shorter of two limits; zero is none.
fn shorter(one: Micros, other: Micros) -> Micros {
    match (one, other) {
        (Micros(0), limit) | (limit, Micros(0)) => limit,
        (one, other) => one.min(other),
    }
}

/// Whether more than `limit` has passed since then; 0 = no limit.
pub(super) fn is_over(limit: Micros, since: Micros, now: Micros) -> bool {
    limit != Micros(0) && now.since(since) > limit
}
