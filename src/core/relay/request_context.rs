//! A client's frames where `request_context_keys` lists keys: what they say of the request that the client
//! works for is noted with its transaction.
//!
//! `SET pgweir.context` is never a server's to know: a session of several clients would tell one of them the
//! other's. It is answered here where that is in turn, else the server is told a `SET` to nothing in its
//! place, so that its answer comes in turn, and the context counts when that has come. Before one is sent,
//! the transactions ahead of it are over: their records do not have it.

use super::context::{Instead, Relay, Step};
use super::expect::Expect;
use crate::base::{ClientId, Peer, limits};
use crate::core::conn::{ContextChange, ContextNote, IDLE, Reason, Stand};
use crate::core::net::Net;
use crate::wire::request_context::{ContextKeys, SaidBySql, SetContext, deallocated};
use crate::wire::tags::{client as tag, target, transaction};
use crate::wire::{Fault, FrameHeader, HEADER_BYTES, encode, frontend, masked};
use std::sync::Arc;

/// A text up to this length is looked at when it has come whole, of a longer one only its front.
const WHOLE_BYTES_MAX: usize = limits::READ_BUFFER_BYTES / 2;

/// So much of a longer one is looked at.
const FRONT_BYTES: usize = 2 * limits::CONTEXT_COMMENT_BYTES_MAX;

impl<N: Net> Relay<'_, N, ClientId> {
    /// Whether a frame has to be looked at for the context.
    #[inline]
    pub(super) fn concerns_context(&self, frame_tag: u8) -> bool {
        let client = &self.core.clients[self.id];
        let prepares = || client.context.as_ref().is_some_and(|context| context.prepares());
        match frame_tag {
            tag::QUERY | tag::PARSE => {
                self.core.pools[client.pool].rules.context_keys.is_some() || prepares()
            }
            tag::BIND | tag::EXECUTE | tag::CLOSE => prepares(),
            _ => false,
        }
    }

    /// Such a frame.
    #[cold]
    pub(super) fn frame_in_context(&mut self, header: FrameHeader) -> Step {
        match header.tag {
            tag::QUERY | tag::PARSE => self.text_in_context(header),
            tag::BIND => self.bind_in_context(header),
            tag::EXECUTE => self.execute_in_context(header),
            _ => self.close_in_context(header),
        }
    }

    fn text_in_context(&mut self, header: FrameHeader) -> Step {
        let is_whole = self.walk.is_whole(header);
        let payload = self.walk.payload(header);
        if !is_whole && (header.frame_bytes < WHOLE_BYTES_MAX || payload.len() < FRONT_BYTES) {
            return Step::Later;
        }
        let sql = sql_of(header.tag, payload);
        if self.keys().is_none() {
            return self.other_text(header, sql, sql, is_whole);
        }
        let read = masked(sql, self.core.clients[self.id].encoding(&self.core.names));
        if sql.len() > WHOLE_BYTES_MAX || !is_whole {
            if SaidBySql::is_begun_by(&read[..sql.len().min(FRONT_BYTES)]) {
                return self.refuse(Fault::ContextTooLong);
            }
            return self.other_text(header, sql, &read, is_whole);
        }
        match SaidBySql::read(&read) {
            Some(said) if header.tag == tag::QUERY => self.query_in_context(header, sql, &said),
            // PostgreSQL refuses a Parse of several statements.
            Some(said) if said.is_alone() => self.parse_in_context(header, sql, &said),
            _ => self.other_text(header, sql, &read, is_whole),
        }
    }

    /// A text that does not set the context: its comments may name one, for the transaction; and its name
    /// may have stood for one that did. `read` is the same with every byte of ASCII a letter.
    fn other_text(&mut self, header: FrameHeader, sql: &[u8], read: &[u8], is_whole: bool) -> Step {
        let frees = self.frees_statement(header, sql);
        let step = self.routed_frame(header);
        if step != Step::Next {
            return step;
        }
        let client = &mut self.core.clients[self.id];
        if let Some(keys) = &self.core.pools[client.pool].rules.context_keys {
            client.context.get_or_insert_default().take_comments(keys, read, is_whole);
        }
        match frees {
            Some(name) => self.note(header, ContextNote::Statement(name, None)),
            None => Step::Next,
        }
    }

    /// The name of a statement that sets the context, which is another's after this Parse or `DEALLOCATE`.
    fn frees_statement(&self, header: FrameHeader, sql: &[u8]) -> Option<Box<[u8]>> {
        let context = self.core.clients[self.id].context.as_ref().filter(|context| context.prepares())?;
        let name = match header.tag {
            tag::PARSE => first_string(self.walk.payload(header))?.into(),
            _ => deallocated(sql)?,
        };
        context.statement(&name).is_some().then_some(name)
    }

    fn keys(&self) -> Option<&ContextKeys> {
        let client = &self.core.clients[self.id];
        self.core.pools[client.pool].rules.context_keys.as_ref()
    }

    fn change_of(&self, said: &SaidBySql) -> Arc<ContextChange> {
        Arc::new(self.keys().map_or_else(ContextChange::default, |keys| ContextChange::of(keys, said.sets())))
    }

    fn query_in_context(&mut self, header: FrameHeader, sql: &[u8], said: &SaidBySql) -> Step {
        let client = &self.core.clients[self.id];
        if self.core.pools[client.pool].rules.disable_pqexec {
            return self.routed_frame(header);
        }
        let change = self.change_of(said);
        if let Some(set) = said.alone()
            && let Some(status) = self.status_where_all_is_answered()
        {
            return self.answer_set(header, set, &change, status);
        }
        if let Some(step) = self.wait_for_earlier() {
            return step;
        }
        let step = match said.for_server(sql) {
            Some(text) => self.query_instead(header, &text),
            None => self.routed_frame(header),
        };
        if step == Step::Next { self.note(header, ContextNote::Run(change)) } else { step }
    }

    fn parse_in_context(&mut self, header: FrameHeader, sql: &[u8], said: &SaidBySql) -> Step {
        let Some(name) = first_string(self.walk.payload(header)) else { return self.routed_frame(header) };
        if let Some(step) = self.wait_for_earlier() {
            return step;
        }
        let change = self.change_of(said);
        let rest = said.for_server(sql).map(|text| [&*text, &[0, 0, 0]].concat());
        if !name.is_empty() && self.core.shares_statements(self.id) {
            // By a name, and so perhaps on other servers, too.
            self.core.clients[self.id].context.get_or_insert_default().prepares_some();
            self.instead = Some(Instead { rest, change });
            let step = self.routed_frame(header);
            self.instead = None;
            return step;
        }
        let step = match rest {
            Some(rest) => self.parse_instead(header, name, &rest),
            None => self.routed_frame(header),
        };
        if step != Step::Next {
            return step;
        }
        self.note(header, ContextNote::Statement(name.into(), Some(change)))
    }

    fn bind_in_context(&mut self, header: FrameHeader) -> Step {
        let view = match frontend::bind_view(self.walk.payload(header)) {
            Ok(Some(view)) => view,
            _ => return self.routed_frame(header),
        };
        let change = self.change_by(view.statement);
        let before = self.core.clients[self.id].context.as_ref().and_then(|all| all.portal(view.portal));
        if change.is_none() && before.is_none() {
            return self.routed_frame(header);
        }
        if change.is_some()
            && let Some(step) = self.wait_for_earlier()
        {
            return step;
        }
        let step = self.routed_frame(header);
        if step != Step::Next {
            return step;
        }
        self.note(header, ContextNote::Portal(view.portal.into(), change))
    }

    fn execute_in_context(&mut self, header: FrameHeader) -> Step {
        let portal = first_string(self.walk.payload(header));
        let context = self.core.clients[self.id].context.as_ref();
        let change = portal.and_then(|name| context?.portal(name));
        let Some(change) = change else { return self.routed_frame(header) };
        if let Some(step) = self.wait_for_earlier() {
            return step;
        }
        let step = self.routed_frame(header);
        if step == Step::Next { self.note(header, ContextNote::Run(change)) } else { step }
    }

    fn close_in_context(&mut self, header: FrameHeader) -> Step {
        let Ok(view) = frontend::target_view(self.walk.payload(header)) else {
            return self.routed_frame(header);
        };
        let context = self.core.clients[self.id].context.as_ref();
        let is_portal = view.kind == target::PORTAL;
        let change =
            context.and_then(|all| if is_portal { all.portal(view.name) } else { all.statement(view.name) });
        let step = self.routed_frame(header);
        if step != Step::Next || change.is_none() {
            return step;
        }
        let name = view.name.into();
        let note =
            if is_portal { ContextNote::Portal(name, None) } else { ContextNote::Statement(name, None) };
        self.note(header, note)
    }

    /// What executing a statement of that name does.
    fn change_by(&self, name: &[u8]) -> Option<Arc<ContextChange>> {
        let client = &self.core.clients[self.id];
        if !name.is_empty() && self.core.shares_statements(self.id) {
            return client.statements.as_ref()?.change_by(name);
        }
        client.context.as_ref()?.statement(name)
    }

    /// Has a frame wait that is about to set a context, while transactions ahead of it are not over, or more
    /// is noted than is looked through.
    fn wait_for_earlier(&mut self) -> Option<Step> {
        let client = &self.core.clients[self.id];
        let server = client.link()?;
        let is_full = client.context.as_ref().is_some_and(|context| context.is_full());
        let waits = is_full || self.core.servers[server].expected.owes_ready();
        waits.then(|| self.wait_for_answers(Reason::Owed))
    }

    /// The frame at hand has gone to the server, or has been dropped because that passes over it.
    fn note(&mut self, header: FrameHeader, note: ContextNote) -> Step {
        let client = &mut self.core.clients[self.id];
        let Some(server) = client.link() else { return Step::Next };
        let expected = &mut self.core.servers[server].expected;
        if expected.is_skipping() {
            return Step::Next;
        }
        let context = client.context.get_or_insert_default();
        context.note(note);
        if header.tag == tag::QUERY {
            expected.note_simple()
        } else {
            expected.note_last()
        }
        if context.bytes() > self.core.bounds.client_statement_bytes {
            return self.refuse(Fault::ClientStatementsFull);
        }
        Step::Next
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

    fn answer_set(
        &mut self,
        header: FrameHeader,
        set: &SetContext,
        change: &ContextChange,
        status: u8,
    ) -> Step {
        self.flush();
        let mut answer = Vec::new();
        encode::command_complete(&mut answer, set.command());
        encode::ready_for_query(&mut answer, status);
        self.net.send(Peer::Client(self.id), &answer);
        let now = self.core.now;
        let client = &mut self.core.clients[self.id];
        client.context.get_or_insert_default().change(change);
        client.request.ended_at = now;
        self.core.pools[client.pool].counters.client_bytes += header.frame_bytes as u64;
        self.drop_frame(header.frame_bytes);
        Step::Next
    }

    /// Has the server answer to this text in place of the Query at hand.
    fn query_instead(&mut self, header: FrameHeader, text: &[u8]) -> Step {
        let mut message = Vec::with_capacity(HEADER_BYTES + text.len() + 1);
        encode::frame(&mut message, tag::QUERY, |out| encode::cstr(out, text));
        let step = self.send_instead(header, &message, Expect::Simple);
        if step == Step::Next
            && self.core.shares_statements(self.id)
            && frontend::forgets_statements(text)
            && let Some(server) = self.core.clients[self.id].link()
        {
            self.core.servers[server].expected.note_forgetting();
        }
        step
    }

    /// Has the server prepare this in place of what the Parse at hand says.
    fn parse_instead(&mut self, header: FrameHeader, name: &[u8], rest: &[u8]) -> Step {
        let mut message = Vec::new();
        encode::parse(&mut message, name, rest);
        self.send_instead(header, &message, Expect::Parse(None))
    }

    fn send_instead(&mut self, header: FrameHeader, message: &[u8], expect: Expect) -> Step {
        let id = match self.need_server(header) {
            Ok(id) => id,
            Err(step) => return step,
        };
        self.core.begin_request(self.id, self.core.now);
        self.audit_frame(header);
        self.flush();
        let server = &mut self.core.servers[id];
        server.request_at = self.core.now;
        if !server.expected.is_skipping() {
            server.expected.push(expect);
            self.net.send(Peer::Server(id), message);
            self.walk.count_made(message.len());
        }
        let client = &self.core.clients[self.id];
        self.core.pools[client.pool].counters.client_bytes += header.frame_bytes as u64;
        self.core.tally_bytes_in(self.id, header.frame_bytes);
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

/// The string that a payload begins with.
fn first_string(payload: &[u8]) -> Option<&[u8]> {
    payload.iter().position(|byte| *byte == 0).map(|end| &payload[..end])
}

const _: () = assert!(limits::CONTEXT_COMMENT_BYTES_MAX + HEADER_BYTES < FRONT_BYTES);
const _: () = assert!(FRONT_BYTES < WHOLE_BYTES_MAX);
