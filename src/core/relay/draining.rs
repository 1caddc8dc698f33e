//! What a client may still send whose session is to end: the rest of its transaction, one request after the
//! other.
//!
//! A request that was sent behind the end of a transaction would begin another one, so none goes to the
//! server before the one ahead of it is answered, nor the rest of one that has come in part; within a batch
//! no message goes before the last Execute is answered, and none at all behind a commit, but for Sync and
//! Flush. Never waits for what the server waits for: data of a COPY pass, and what else is sent before their
//! end, which no client that keeps to the protocol does, ends the session. Source: PostgreSQL documentation,
//! "Message Flow": "Pipelining", "COPY Operations".

use super::context::{Relay, Step};
use super::pending_replies::Ahead;
use super::statement_rewrite::has_forgotten_statements;
use crate::base::{ClientId, Peer, ServerId};
use crate::core::conn::{EndCause, HalfSent, IDLE, Reason, Server};
use crate::core::net::Net;
use crate::core::worker_core::Core;
use crate::wire::FrameHeader;
use crate::wire::tags::client as tag;

impl<N: Net> Relay<'_, N, ClientId> {
    /// A client has sent something and is marked: ends it, makes it wait, or lets one frame go on.
    #[cold]
    pub(super) fn drain(&mut self) -> Step {
        let Some(cause) = self.core.clients[self.id].tenure.end() else { return Step::Next };
        if self.core.may_end(self.id) {
            return self.end_session(cause);
        }
        let is_held = match self.walk.rest().first() {
            None | Some(&(tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL | tag::TERMINATE)) => false,
            Some(&(tag::SYNC | tag::FLUSH)) => self.core.is_request_held(self.id),
            Some(_) if self.core.is_next_held(self.id) => true,
            Some(_) if self.core.may_be_another(self.id) => return self.end_session(cause),
            Some(_) => false,
        };
        if is_held {
            return self.wait_for_answers(Reason::Ending);
        }
        self.walk.go_on_by_one();
        Step::Next
    }

    /// A client has sent more of a message of which the server has a part, and is marked: ends it, makes it
    /// wait, or lets the rest go on.
    #[cold]
    pub(super) fn drain_rest(&mut self) -> Step {
        let client = &self.core.clients[self.id];
        let (Some(cause), Some(server)) = (client.tenure.end(), client.link()) else { return Step::Next };
        if self.core.servers[server].half_sent != HalfSent::Request {
            return Step::Next;
        }
        if self.core.may_end(self.id) {
            return self.end_session(cause);
        }
        match self.core.servers[server].expected.ahead_of_half() {
            Ahead::Nothing => Step::Next,
            Ahead::Answered => {
                self.core.clients[self.id].hold.add(Reason::Ending, Peer::Client(self.id), self.net);
                Step::Later
            }
            Ahead::Unasked => self.end_session(cause),
        }
    }

    fn end_session(&mut self, cause: EndCause) -> Step {
        self.flush();
        self.core.end_session(self.id, cause, self.net);
        Step::Gone
    }
}

impl<N: Net> Relay<'_, N, ServerId> {
    /// A command is complete. What a marked client's says of the end of its transaction counts where the
    /// server owes no more of what was sent: before, what follows may have been done already, and is told.
    #[inline]
    pub(super) fn completed(&mut self, client: ClientId, header: FrameHeader) {
        let payload = self.walk.payload(header);
        if has_forgotten_statements(payload) {
            self.core.forget_statements(self.id, client);
        }
        let server = &mut self.core.servers[self.id];
        server.has_begun_block |= matches!(payload, b"BEGIN\0" | b"START TRANSACTION\0");
        let is_in_block = server.status != IDLE || server.has_begun_block;
        let is_implicit = !is_in_block && server.expected.is_executing();
        self.core.clients[client].tenure.completed(payload, is_implicit);
    }
}

impl Core {
    /// Whether the next request of a marked client has to wait.
    fn is_request_held(&self, id: ClientId) -> bool {
        self.clients[id].link().is_some_and(|server| {
            let server = &self.servers[server];
            server.is_midway() && server.expected.is_settled()
                || match server.half_sent {
                    HalfSent::Request => server.expected.ahead_of_half() == Ahead::Answered,
                    HalfSent::Nothing | HalfSent::Other => server.expected.owes_ready(),
                }
        })
    }

    /// Whether the next message of a marked client has to wait, be it of the same batch.
    fn is_next_held(&self, id: ClientId) -> bool {
        let owes_execute =
            |server: &Server| server.half_sent != HalfSent::Request && server.expected.owes_execute();
        self.is_request_held(id)
            || self.clients[id].link().is_some_and(|server| owes_execute(&self.servers[server]))
    }

    /// Whether the next message of a marked client may be of another transaction, or of none: its own has
    /// ended amid a batch, or its server takes nothing now but data of a COPY.
    fn may_be_another(&self, id: ClientId) -> bool {
        let client = &self.clients[id];
        let takes_data = |server| self.servers[server].expected.takes_data();
        client.tenure.has_ended_amid() || client.link().is_some_and(takes_data)
    }

    /// A server has said something: its client may be let on.
    #[cold]
    pub(super) fn let_on(&mut self, id: ClientId, net: &mut impl Net) {
        if !self.is_next_held(id) {
            self.clients[id].hold.lift(Reason::Ending, Peer::Client(id), net);
        }
    }
}
