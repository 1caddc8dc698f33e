//! A client's Query or Parse where `request_context_keys` lists keys: what it says of the request that the
//! client works for is noted with its transaction.
//!
//! `SET pgweir.context` is never a server's to know: a session of several clients would tell one of them the
//! other's. It is answered here where that is in turn, else (amid a batch, or sent ahead) the server is told
//! a `SET` to nothing in its place, so that its answer comes in turn.

use super::context::{Relay, Step};
use super::expect::Expect;
use crate::base::{ClientId, Peer, limits};
use crate::core::conn::{IDLE, Stand};
use crate::core::net::Net;
use crate::wire::request_context::SetContext;
use crate::wire::tags::{client as tag, transaction};
use crate::wire::{FrameHeader, HEADER_BYTES, encode};

/// What a server is told in place of a context.
const NOTHING_SET: &str = "SET pgweir.context TO ''";
const NOTHING_RESET: &str = "RESET pgweir.context";

/// A frame up to this length is looked at when it has come whole.
const WHOLE_BYTES_MAX: usize = limits::READ_BUFFER_BYTES / 2;

impl<N: Net> Relay<'_, N, ClientId> {
    /// Query or Parse.
    #[cold]
    pub(super) fn frame_in_context(&mut self, header: FrameHeader) -> Step {
        let is_whole = self.walk.is_whole(header);
        if !is_whole && header.frame_bytes < WHOLE_BYTES_MAX {
            return Step::Later;
        }
        let sql = sql_of(header.tag, self.walk.payload(header));
        if is_whole && let Some(set) = SetContext::read(sql) {
            return self.set_context(header, &set);
        }
        let step = self.routed_frame(header);
        if step == Step::Next {
            let client = &mut self.core.clients[self.id];
            if let Some(keys) = &self.core.pools[client.pool].rules.context_keys {
                client.context.get_or_insert_default().take_comments(keys, sql, is_whole);
            }
        }
        step
    }

    fn set_context(&mut self, header: FrameHeader, set: &SetContext) -> Step {
        let step = match self.status_where_all_is_answered() {
            Some(status) if header.tag == tag::QUERY => self.answer_set(header, set, status),
            _ => self.set_nothing(header, set),
        };
        // What fails with its transaction sets nothing.
        if step == Step::Next && !self.is_in_failed_transaction() {
            let client = &mut self.core.clients[self.id];
            if let Some(keys) = &self.core.pools[client.pool].rules.context_keys {
                client.context.get_or_insert_default().set(keys, set);
            }
        }
        step
    }

    /// The status of the client's session, where an answer made here would come in its turn.
    fn status_where_all_is_answered(&self) -> Option<u8> {
        let server = match self.core.clients[self.id].stand {
            Stand::Idle => return Some(IDLE),
            Stand::Linked(server) => &self.core.servers[server],
            Stand::Waiting { .. } | Stand::Assigned(_) => return None,
        };
        let may_answer = server.expected.is_settled()
            && !server.expected.is_unready()
            && !server.is_midway()
            && server.status != transaction::FAILED;
        may_answer.then_some(server.status)
    }

    fn is_in_failed_transaction(&self) -> bool {
        let server = self.core.clients[self.id].link();
        server.is_some_and(|server| self.core.servers[server].status == transaction::FAILED)
    }

    fn answer_set(&mut self, header: FrameHeader, set: &SetContext, status: u8) -> Step {
        self.flush();
        let mut answer = Vec::new();
        encode::command_complete(&mut answer, if *set == SetContext::Reset { "RESET" } else { "SET" });
        encode::ready_for_query(&mut answer, status);
        self.net.send(Peer::Client(self.id), &answer);
        let now = self.core.now;
        let client = &mut self.core.clients[self.id];
        client.request.ended_at = now;
        self.core.pools[client.pool].counters.client_bytes += header.frame_bytes as u64;
        self.drop_frame(header.frame_bytes);
        Step::Next
    }

    /// Has the server answer, and tells it nothing.
    fn set_nothing(&mut self, header: FrameHeader, set: &SetContext) -> Step {
        let sql = if *set == SetContext::Reset { NOTHING_RESET } else { NOTHING_SET };
        let payload = self.walk.payload(header);
        if header.tag == tag::PARSE && payload.first() != Some(&0) && self.core.shares_statements(self.id) {
            // By a name, and so perhaps on other servers, too.
            self.instead = Some([sql.as_bytes(), &[0, 0, 0]].concat());
            let step = self.routed_frame(header);
            self.instead = None;
            return step;
        }
        let id = match self.need_server(header) {
            Ok(id) => id,
            Err(step) => return step,
        };
        self.core.begin_request(self.id, self.core.now);
        self.flush();
        let mut message = Vec::new();
        let expect = if header.tag == tag::PARSE {
            let name = payload.split(|byte| *byte == 0).next().unwrap_or_default();
            encode::parse(&mut message, name, &[sql.as_bytes(), &[0, 0, 0]].concat());
            Expect::Parse(None)
        } else {
            encode::query(&mut message, sql);
            Expect::Simple
        };
        let server = &mut self.core.servers[id];
        server.request_at = self.core.now;
        if !server.expected.is_skipping() {
            server.expected.push(expect);
            self.net.send(Peer::Server(id), &message);
            self.walk.count_made(message.len());
        }
        self.drop_frame(header.frame_bytes);
        Step::Next
    }
}

/// The statement's text in a Query or Parse, as far as it has come, its zero and what follows left out.
fn sql_of(frame_tag: u8, payload: &[u8]) -> &[u8] {
    let from = match frame_tag {
        tag::PARSE => payload.iter().position(|byte| *byte == 0).map_or(payload.len(), |end| end + 1),
        _ => 0,
    };
    let rest = &payload[from..];
    &rest[..rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len())]
}

const _: () = assert!(limits::CONTEXT_COMMENT_BYTES_MAX + HEADER_BYTES < WHOLE_BYTES_MAX);
