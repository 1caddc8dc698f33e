//! What a client may still send whose session is to end: the rest of its transaction, one request after the
//! other.
//!
//! A request that was sent behind the end of a transaction would begin another one, so none goes to the
//! server before the one ahead of it is answered; within a batch no message goes before the last Execute is
//! answered, and none at all behind a commit, but for Sync and Flush. Never waits for what the server waits
//! for: data of a COPY pass. Source: PostgreSQL documentation, "Message Flow": "Pipelining", "COPY
//! Operations".

use super::context::{Relay, Step};
use super::statement_rewrite::has_forgotten_statements;
use crate::base::{ClientId, Peer, ServerId};
use crate::core::conn::Reason;
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
            self.flush();
            self.core.end_session(self.id, cause, self.net);
            return Step::Gone;
        }
        let is_held = match self.walk.rest().first() {
            None | Some(&(tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL | tag::TERMINATE)) => false,
            Some(&(tag::SYNC | tag::FLUSH)) => self.core.is_request_held(self.id),
            Some(_) if self.core.is_next_held(self.id) => true,
            Some(_) if self.core.clients[self.id].tenure.has_ended_amid() => {
                self.flush();
                self.core.end_session(self.id, cause, self.net);
                return Step::Gone;
            }
            Some(_) => false,
        };
        if is_held {
            return self.wait_for_answers(Reason::Ending);
        }
        self.walk.go_on_by_one();
        Step::Next
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
        self.core.clients[client].tenure.completed(payload);
    }
}

impl Core {
    /// Whether the next request of a marked client has to wait.
    fn is_request_held(&self, id: ClientId) -> bool {
        self.clients[id].link().is_some_and(|server| {
            let server = &self.servers[server];
            server.is_midway() && server.expected.is_settled() || server.expected.owes_ready()
        })
    }

    /// Whether the next message of a marked client has to wait, be it of the same batch.
    fn is_next_held(&self, id: ClientId) -> bool {
        let owes_execute = |server| self.servers[server].expected.owes_execute();
        self.is_request_held(id) || self.clients[id].link().is_some_and(owes_execute)
    }

    /// A server has said something: its client may be let on.
    #[cold]
    pub(super) fn let_on(&mut self, id: ClientId, net: &mut impl Net) {
        if !self.is_next_held(id) {
            self.clients[id].hold.lift(Reason::Ending, Peer::Client(id), net);
        }
    }
}
