//! One client of this worker: where it stands, since when, and what it has named. A few
//! hundred bytes while idle.

use super::client_context::ClientContext;
use super::client_params::ClientParams;
use super::flow_control::{Hold, Partial};
use super::session_sql::ENCODING;
use super::shown_name::ShownName;
use super::tally::Tally;
use super::tenure::Tenure;
use crate::base::{Micros, ServerId};
use crate::config::ClientRules;
use crate::core::admin::ClientState;
use crate::core::login_handoff::{ClientIdentity, ClientLogin};
use crate::core::pool::PoolSlot;
use crate::core::relay::ClientStatements;
use crate::wire::TrackedNames;
use std::sync::Arc;

/// Where a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Stand {
    /// Not linked, nothing wanted.
    Idle,
    /// Wants a server. `ticket` tells this waiting from an earlier one of the same slot.
    Waiting {
        /// When it began to wait.
        since: Micros,
        /// Its number in the queue.
        ticket: u64,
        /// It has been told that it is queued (`query_wait_notify`).
        notified: bool,
    },
    /// Tied to a server to which it has not said anything yet: it waited for it, and what it wants to say
    /// comes next. The server may still be taken away.
    Assigned(ServerId),
    /// Tied to a server.
    Linked(ServerId),
}

/// What a client whose waiting query was cancelled still has to be read past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::core) enum Canceled {
    /// Nothing.
    #[default]
    No,
    /// Its next request is answered with "canceling statement due to user request".
    Next,
    /// Its next request is answered with "canceling statement due to query_timeout".
    NextForTimeout,
    /// That answer was given inside an extended batch: all up to its Sync is dropped.
    ToSync,
}

impl Canceled {
    /// Whether the next request is to be answered so.
    pub(crate) fn is_next(self) -> bool {
        matches!(self, Self::Next | Self::NextForTimeout)
    }

    /// What that answer says.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::NextForTimeout => "canceling statement due to query_timeout",
            Self::No | Self::Next | Self::ToSync => "canceling statement due to user request",
        }
    }
}

/// When the client's present or last request and transaction began.
#[derive(Clone, Copy, Debug)]
pub(in crate::core) struct Request {
    /// Begin of the present request group, or of the last one.
    pub began_at: Micros,
    /// Begin of the present transaction, or of the last one.
    pub xact_began_at: Micros,
    /// End of the last request group (or the login): idle since.
    pub ended_at: Micros,
    /// Where several were sent ahead: when the server was last done with one of them.
    pub answered_at: Micros,
    /// When a timeout last had the present statement cancelled; see `query_limits`.
    pub canceled_at: Micros,
    /// When `transaction_timeout` last had a statement cancelled.
    pub xact_canceled_at: Micros,
    /// A request group is not fully answered yet.
    pub running: bool,
    /// A transaction is open (counted as SHOW STATS counts them).
    pub in_xact: bool,
}

impl Request {
    /// When the server began with what it is at: later than the request, where that was sent ahead with
    /// others.
    pub(crate) fn statement_began_at(&self) -> Micros {
        self.began_at.max(self.answered_at)
    }
}

/// One client.
#[derive(Debug)]
pub(in crate::core) struct Client {
    pub identity: Arc<ClientIdentity>,
    pub pool: PoolSlot,
    pub rules: ClientRules,
    pub params: ClientParams,
    pub stand: Stand,
    pub hold: Hold,
    pub partial: Partial,
    pub canceled: Canceled,
    /// The driver holds bytes that it does not take.
    pub blocked: bool,
    /// Whether the session ends by itself.
    pub tenure: Tenure,
    pub request: Request,
    pub joined_at: Micros,
    pub statements: Option<Box<ClientStatements>>,
    /// While the audit log is on.
    pub tally: Option<Box<Tally>>,
    /// Where servers know it by another name than it does.
    pub shown_name: Option<Box<ShownName>>,
    /// What the requests are that it works for, where anybody asks.
    pub context: Option<Box<ClientContext>>,
}

impl Client {
    /// The encoding of its texts, as its last server has reported it; nothing where none has.
    pub(in crate::core) fn encoding(&self, names: &TrackedNames) -> &str {
        let position = names.position(ENCODING);
        position.and_then(|position| self.params.values.value(position)).map_or("", |value| value)
    }

    /// A client that is idle since `now`.
    pub(crate) fn new(login: ClientLogin, pool: PoolSlot, now: Micros) -> Self {
        Self {
            tenure: Tenure::of(&login.identity.proof),
            identity: login.identity,
            pool,
            rules: login.rules,
            params: ClientParams::new(login.params, login.asked),
            stand: Stand::Idle,
            hold: Hold::default(),
            partial: Partial::None,
            canceled: Canceled::No,
            blocked: false,
            request: Request {
                began_at: now,
                xact_began_at: now,
                ended_at: now,
                answered_at: Micros(0),
                canceled_at: Micros(0),
                xact_canceled_at: Micros(0),
                running: false,
                in_xact: false,
            },
            joined_at: now,
            statements: None,
            tally: None,
            shown_name: login.shown_name,
            context: login.context.map(|context| Box::new(ClientContext::new(*context))),
        }
    }

    /// What is known of the request that it works for: keys of `request_context_keys` with their values, as
    /// they are at the end of a transaction those of that transaction. Each is printable, and bounded by
    /// `limits::CONTEXT_VALUE_BYTES_MAX`.
    pub(crate) fn context(&self) -> impl Iterator<Item = (&str, &str)> {
        self.context.iter().flat_map(|context| context.iter())
    }

    /// Its state as SHOW names it.
    pub(crate) fn state(&self) -> ClientState {
        match self.stand {
            Stand::Idle => ClientState::Idle,
            Stand::Waiting { .. } => ClientState::Waiting,
            Stand::Assigned(_) | Stand::Linked(_) => ClientState::Active,
        }
    }

    /// The linked server.
    #[inline]
    pub(crate) fn link(&self) -> Option<ServerId> {
        match self.stand {
            Stand::Assigned(server) | Stand::Linked(server) => Some(server),
            Stand::Idle | Stand::Waiting { .. } => None,
        }
    }
}
