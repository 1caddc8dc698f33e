//! One server of this worker: its phase, what it owes, what it holds.
//!
//! Invariant: a server in phase `Idle` is in the middle of no message of anybody's, owes nothing, is outside
//! a transaction and has no unfinished cancel aimed at it; [`Server::enter`] asserts it, since lending any
//! other would show one tenant's rows to another.

use super::client_params::ClientParams;
use super::close_reason::CloseReason;
use super::flow_control::{Hold, Partial};
use super::session_sql::{self, Sets};
use crate::base::{ClientId, Micros};
use crate::core::admin::ServerState;
use crate::core::login_handoff::{Authorization, ServerIdentity, ServerLogin};
use crate::core::note::{Farewell, Note};
use crate::core::pool::PoolSlot;
use crate::core::relay::{Expected, ServerStatements};
use crate::wire::tags::{server, transaction};
use crate::wire::{ParamSet, TrackedNames};
use std::sync::Arc;

/// Work that the pooler itself gives a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Task {
    /// `server_reset_query`.
    Reset,
    /// `server_check_query`.
    Check,
}

/// Of which message the front has been sent to a server, while the rest is still with its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum HalfSent {
    /// Of none.
    Nothing,
    /// Of one that asks for something: [`Server::expected`] counts it, unless the server skips it.
    Request,
    /// Of another: data of a COPY, a Flush.
    Other,
}

/// Where a server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Phase {
    /// Free since then.
    Idle(Micros),
    /// Linked, relaying.
    Linked(ClientId),
    /// Linked; its parameters are being set for the client, which waits.
    Preparing(ClientId),
    /// Unlinked; reset or check query running.
    Tested(Task),
    /// Unlinked and clean, but a cancel aimed at it is under way.
    BeingCanceled,
}

/// One server.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, in any combination")]
#[derive(Debug)]
pub(in crate::core) struct Server {
    pub identity: Arc<ServerIdentity>,
    pub pool: PoolSlot,
    pub params: ParamSet,
    /// Parameters as its login left them.
    pub params_at_login: ParamSet,
    pub phase: Phase,
    pub expected: Expected,
    /// Transaction status of the last ReadyForQuery: `I`, `T`, `E`.
    pub status: u8,
    /// A BEGIN has been told since.
    pub has_begun_block: bool,
    pub hold: Hold,
    pub partial: Partial,
    /// The driver holds bytes that it does not take.
    pub blocked: bool,
    pub half_sent: HalfSent,
    /// It has said more behind the end of its work, or of its login, than has been looked at:
    /// until then it is not at rest.
    pub has_unread: bool,
    /// It has answered something behind its login, if only by the error with which it ends.
    pub has_answered: bool,
    /// Close it when it is unlinked, for this reason.
    pub close_reason: Option<CloseReason>,
    /// The pooler's own query was answered by an error.
    pub task_failed: bool,
    pub debt: Debt,
    /// Cancel requests sent for it and not yet known to be over.
    pub cancels: u32,
    pub generation: u32,
    /// [`Authorization::ENDLESS`] where the login had none.
    pub authorization: Authorization,
    pub connected_at: Micros,
    pub request_at: Micros,
    /// When it was last lent.
    pub linked_at: Micros,
    /// When its last message came.
    pub heard_at: Micros,
    pub statements: ServerStatements,
}

/// What a server owes when it is given back, whatever its pool's mode says by then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::core) enum Debt {
    #[default]
    None,
    /// The reset query: it was lent for a session, in a pool that lends for transactions meanwhile.
    Reset,
}

/// Transaction status of ReadyForQuery: outside a transaction.
pub(in crate::core) const IDLE: u8 = transaction::IDLE;

impl Server {
    /// Nobody knows any more which prepared statements it holds: it is closed when it is free, and until then
    /// its client is served as if each might be there and none were.
    pub(crate) fn doubt_statements(&mut self) {
        self.statements.doubt();
        self.close_reason.get_or_insert(CloseReason::StatementsInDoubt);
    }

    /// When the authorization ends that it holds by IAM.
    pub(crate) fn authorized_until(&self) -> Option<Micros> {
        (self.authorization != Authorization::ENDLESS).then_some(self.authorization.hard_at)
    }

    /// A server fresh from its login.
    pub(crate) fn new(login: ServerLogin, pool: PoolSlot, now: Micros) -> Self {
        Self {
            identity: login.identity,
            pool,
            params: login.params.clone(),
            params_at_login: login.params,
            phase: Phase::Idle(now),
            expected: Expected::default(),
            status: IDLE,
            has_begun_block: false,
            hold: Hold::default(),
            partial: Partial::None,
            blocked: false,
            half_sent: HalfSent::Nothing,
            has_unread: false,
            has_answered: false,
            close_reason: None,
            task_failed: false,
            debt: Debt::None,
            cancels: 0,
            generation: login.generation,
            authorization: login.authorization.unwrap_or(Authorization::ENDLESS),
            connected_at: login.connected_at,
            request_at: login.connected_at,
            linked_at: login.connected_at,
            heard_at: now,
            statements: ServerStatements::default(),
        }
    }

    /// The only door between phases. A move that is not listed is a bug of ours, and the
    /// process must not go on with it.
    pub(crate) fn enter(&mut self, phase: Phase) {
        use Phase::{BeingCanceled, Idle, Linked, Preparing, Tested};
        let legal = match (self.phase, phase) {
            (Idle(_), Linked(_) | Preparing(_) | Tested(_) | Idle(_))
            | (Linked(_), Idle(_) | Tested(Task::Reset) | BeingCanceled)
            | (Tested(_), Idle(_))
            | (BeingCanceled, Idle(_) | Tested(Task::Reset)) => true,
            (Preparing(a), Linked(b)) => a == b,
            _ => false,
        };
        assert!(legal, "server {}: {:?} -> {phase:?}", self.identity.socket_id, self.phase);
        if matches!(phase, Idle(_)) {
            assert!(
                self.is_clean() && self.cancels == 0 && !self.has_unread,
                "server {} is lent unclean",
                self.identity.socket_id
            );
        }
        self.phase = phase;
    }

    /// Owes nothing, in no transaction (not even an implicit one), no client has half a message of it, nor
    /// it half of a client's: may be taken back. It may still be in the middle of a message that nobody
    /// gets, a notification for one.
    #[inline]
    pub(crate) fn is_clean(&self) -> bool {
        self.status == IDLE
            && self.expected.is_settled()
            && !self.expected.is_unready()
            && !self.is_midway()
            && self.half_sent == HalfSent::Nothing
    }

    /// As [`Server::is_clean`] where answers are not counted any more: nothing was sent behind a
    /// ReadyForQuery that was in no transaction. Further ones may come.
    pub(crate) fn is_clean_as_far_as_known(&self) -> bool {
        self.status == IDLE
            && self.expected.is_lost()
            && !self.expected.is_unready()
            && !self.is_midway()
            && self.half_sent == HalfSent::Nothing
    }

    /// Whether nothing that its client has asked for since it was in no transaction has begun one: half a
    /// message, or a Close.
    pub(crate) fn has_begun_nothing(&self) -> bool {
        let is_half =
            self.half_sent == HalfSent::Request && self.expected.is_of_one() && !self.expected.is_skipping();
        self.status == IDLE && (is_half || self.expected.begins_nothing()) && !self.is_midway()
    }

    /// Whether a message with this tag makes no sense now: it has been asked nothing, and is to speak of
    /// nothing but parameters, notices, notifications, and of its end.
    #[inline]
    pub(crate) fn is_out_of_step(&self, tag: u8) -> bool {
        let is_asked = match self.phase {
            Phase::Linked(_) => !self.expected.is_settled() || self.expected.is_unready(),
            Phase::Preparing(_) => true,
            Phase::Tested(_) => !self.has_unread,
            Phase::Idle(_) | Phase::BeingCanceled => false,
        };
        !is_asked
            && !matches!(
                tag,
                server::PARAMETER_STATUS
                    | server::NOTICE_RESPONSE
                    | server::NOTIFICATION_RESPONSE
                    | server::ERROR_RESPONSE
            )
    }

    /// Whether it was ever lent.
    pub(crate) fn is_used(&self) -> bool {
        self.request_at > self.connected_at
    }

    /// How its connection ends. Terminate behind half a message would become a part of it: a broken stream
    /// ends the session just as well, and without running what nobody has said.
    pub(crate) fn farewell(&self) -> Farewell {
        match self.half_sent {
            HalfSent::Nothing => Farewell::Terminate,
            HalfSent::Request | HalfSent::Other => Farewell::Close,
        }
    }

    /// The errand that cancels what it runs, for the client with this socket id.
    pub(crate) fn cancel_note(&self, client: u64, request: u64) -> Note {
        Note::SendCancel {
            client,
            request,
            server: self.identity.socket_id,
            identity: Arc::clone(&self.identity),
            key: self.identity.cancel_key.clone(),
        }
    }

    /// Whether a free server can go to another worker now: nothing of it is half sent or half received.
    pub(crate) fn is_movable(&self) -> bool {
        !self.blocked && self.is_clean()
    }

    /// The linked client has got a part of a message: nothing else can be sent to it before the rest.
    #[inline]
    pub(crate) fn is_midway(&self) -> bool {
        matches!(self.partial, Partial::Forward(_))
    }

    /// The linked client.
    #[inline]
    pub(crate) fn link(&self) -> Option<ClientId> {
        match self.phase {
            Phase::Linked(client) | Phase::Preparing(client) => Some(client),
            Phase::Idle(_) | Phase::Tested(_) | Phase::BeingCanceled => None,
        }
    }

    /// Its state as SHOW names it; idle longer than `check_delay` is `used`.
    pub(crate) fn state(&self, now: Micros, check_delay: Option<Micros>) -> ServerState {
        match self.phase {
            Phase::Idle(since) if check_delay.is_some_and(|delay| now.since(since) > delay) => {
                ServerState::Used
            }
            Phase::Idle(_) => ServerState::Idle,
            Phase::Linked(_) | Phase::Preparing(_) => ServerState::Active,
            Phase::Tested(_) => ServerState::Tested,
            Phase::BeingCanceled => ServerState::BeingCanceled,
        }
    }

    /// The SETs that make the session fit `client`, or `None` where it fits already. Only what the server
    /// has reported can be compared, and only what differs is set (PgBouncer, src/varcache.c, apply_var()).
    /// What the client is to hear of, since this server has other values of its own than the last one, goes
    /// to `tell`.
    pub(crate) fn differences(
        &self,
        client: &mut ClientParams,
        names: &TrackedNames,
        mut tell: impl FnMut(&str, &str),
    ) -> Option<Sets> {
        if self.params.same(&client.values) {
            return None;
        }
        let mut sets = Sets::default();
        let mut same_values = true;
        let same_encoding = self.has_encoding_of(client, names);
        for (position, name) in names.iter().enumerate() {
            if let Some(news) = client.take_news(position, &self.params_at_login) {
                tell(name, &news);
            }
            match (client.wanted(position, &self.params_at_login), self.params.value(position)) {
                (None, None) => {}
                (Some(want), Some(have))
                    if session_sql::is_same(name, want, have) && (same_encoding || want.is_ascii()) => {}
                (Some(want), Some(_)) => sets.push(name, want),
                _ => same_values = false,
            }
        }
        if !sets.is_empty() {
            return Some(sets);
        }
        if same_values {
            // From now on the comparison is one of pointers, as long as neither changes anything.
            client.values = self.params.clone();
        }
        None
    }

    /// Whether bytes beyond ASCII mean the same to the session as to `client`.
    fn has_encoding_of(&self, client: &ClientParams, names: &TrackedNames) -> bool {
        names.position(session_sql::ENCODING).is_none_or(|position| {
            let want = client.wanted(position, &self.params_at_login);
            want.zip(self.params.value(position)).is_none_or(|(want, have)| want.eq_ignore_ascii_case(have))
        })
    }

    /// Parameters of `client` that the server spells in another way: name, the
    /// client's spelling, the server's.
    pub(crate) fn canonicalised<'a>(
        &'a self,
        client: &'a ClientParams,
        names: &'a TrackedNames,
    ) -> impl Iterator<Item = (&'a str, &'a str, &'a str)> {
        let spellings = names.iter().zip(client.values.iter().zip(self.params.iter()));
        spellings.filter_map(|(name, pair)| match pair {
            (Some(mine), Some(theirs)) if mine != theirs => Some((name, &**mine, &**theirs)),
            _ => None,
        })
    }

    /// The server's spelling of a parameter that `client` set becomes the client's own; what the
    /// client never had stays so.
    pub(crate) fn adopt_params(&self, client: &mut ClientParams) {
        let known =
            |(mine, theirs): (Option<&Arc<str>>, Option<&Arc<str>>)| mine.is_some() == theirs.is_some();
        if client.values.iter().zip(self.params.iter()).all(known) {
            client.values = self.params.clone();
            return;
        }
        let count = client.values.iter().len();
        for position in 0..count {
            if let (Some(mine), Some(theirs)) = (client.values.value(position), self.params.value(position))
                && mine != theirs
            {
                client.values = client.values.with(position, Arc::clone(theirs));
            }
        }
    }
}
