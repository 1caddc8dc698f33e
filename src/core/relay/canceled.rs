//! What a client is told whose query was cancelled before it had reached a server.
//!
//! Never amid a message of its server: then it waits for that one's end.

use super::context::{Relay, Step};
use crate::base::{ClientId, Peer};
use crate::core::conn::{Canceled, Reason};
use crate::core::net::Net;
use crate::wire::tags::client as tag;
use crate::wire::{FrameHeader, encode, sqlstate};

impl<N: Net> Relay<'_, N, ClientId> {
    /// The request of a client whose waiting was cancelled: answered as PostgreSQL answers a cancelled query,
    /// without ever having reached a server.
    pub(super) fn answer_canceled(&mut self, header: FrameHeader) -> Step {
        let client = &mut self.core.clients[self.id];
        if client.link().is_some_and(|server| self.core.servers[server].is_midway()) {
            // The answer would become a part of the message that the client has half of:
            // see `Core::message_over`.
            client.hold.add(Reason::Waiting, Peer::Client(self.id), self.net);
            return Step::Later;
        }
        let mut answer = Vec::new();
        if client.canceled.is_next() {
            let text = client.canceled.text();
            encode::error(&mut answer, encode::Severity::Error, sqlstate::QUERY_CANCELED, text);
            client.canceled = Canceled::ToSync;
        }
        if matches!(header.tag, tag::QUERY | tag::FUNCTION_CALL | tag::SYNC) {
            encode::ready_for_query(&mut answer, crate::core::conn::IDLE);
            client.canceled = Canceled::No;
            client.request.running = false;
            client.request.in_xact = false;
        }
        if !answer.is_empty() {
            self.net.send(Peer::Client(self.id), &answer);
        }
        self.drop_frame(header.frame_bytes);
        Step::Next
    }
}
