//! From server to client: walks the frames that a server sent, forwards whole runs of them, finds the
//! boundary at which the link ends, and keeps for itself what answers the pooler's own messages.
//!
//! Opens ReadyForQuery, ParameterStatus and CommandComplete; of all else only the tag counts, so a row of any
//! size streams through. Source: PostgreSQL documentation, "Message Flow".

use super::context::{Relay, Step};
use super::expect::{Due, Fate};
use super::statement_rewrite::{has_forgotten_statements, send_empty};
use crate::base::{ClientId, Peer, ServerId, limits, log_about};
use crate::core::conn::{Canceled, CloseReason, IDLE, Leave, Partial, Phase, Reason, Task};
use crate::core::net::Net;
use crate::core::worker_core::Core;
use crate::wire::tags::{server as tag, transaction};
use crate::wire::{Fault, FrameHeader, backend};

impl Core {
    /// See [`Core::received`].
    pub(in crate::core) fn server_received(
        &mut self,
        id: ServerId,
        input: &[u8],
        net: &mut impl Net,
    ) -> usize {
        let mut relay = Relay::new(self, id, input, net);
        relay.server_frames();
        let consumed = relay.walk.run.end;
        if let Some(client) = self.servers.find(id).and_then(|server| server.link())
            && self.clients[client].hold.has(Reason::Ending)
        {
            self.let_on(client, net);
        }
        if let Some(server) = self.servers.find(id)
            && let Some(client) = server.link()
            && server.expected.len() <= self.bounds.expected_max / 2
            && !server.expected.is_forgetting()
        {
            self.clients[client].hold.lift(Reason::Owed, Peer::Client(client), net);
        }
        consumed
    }

    /// All that has come of a server has been looked at: what had to wait for that is done.
    fn heard_out(&mut self, id: ServerId, net: &mut impl Net) {
        let Some(server) = self.servers.find_mut(id) else { return };
        if std::mem::take(&mut server.has_unread) {
            match server.phase {
                Phase::Tested(_) => return self.task_done(id, net),
                Phase::Idle(_) => return self.settle_or_close(id, net),
                Phase::Linked(_) | Phase::Preparing(_) | Phase::BeingCanceled => {}
            }
        }
        self.look_for_rest(id, net);
    }

    /// The pooler's own query is answered.
    fn task_done(&mut self, id: ServerId, net: &mut impl Net) {
        let server = &mut self.servers[id];
        let failed = server.task_failed || server.status != IDLE;
        let slot = server.pool;
        match server.phase {
            Phase::Preparing(client) if failed => {
                self.disconnect(client, &Leave::Fault(Fault::InvalidServerParameter), net);
            }
            Phase::Preparing(client_id) => {
                server.enter(Phase::Linked(client_id));
                let client = &mut self.clients[client_id];
                let about = client.identity.about();
                for (name, mine, theirs) in server.canonicalised(&client.params, &self.names) {
                    log_about!(
                        debug,
                        about,
                        "varcache_set_canonical: setting {name} to its canonical version {mine} -> {theirs}"
                    );
                }
                server.adopt_params(&mut client.params);
                let is_canceled = client.canceled != Canceled::No;
                client.hold.lift(Reason::Waiting, Peer::Client(client_id), net);
                if is_canceled {
                    self.part_canceled(client_id, id, net);
                }
            }
            Phase::Tested(task) if failed => {
                let reason =
                    if task == Task::Check { CloseReason::CheckFailed } else { CloseReason::ResetFailed };
                self.close_server(id, reason, net);
                self.serve(slot, net);
            }
            Phase::Tested(_) => self.settle_or_close(id, net),
            Phase::Idle(_) | Phase::Linked(_) | Phase::BeingCanceled => {}
        }
    }

    /// ParameterStatus: the server's row, and that of the client for whom it happened. False where the values
    /// are more than is kept: the session has them, and nobody could ever set them back.
    fn note_parameter(&mut self, id: ServerId, payload: &[u8]) -> bool {
        let Ok((name, value)) = backend::parameter_status(payload) else {
            if backend::parameter_name(payload).is_some_and(|name| self.names.position(name).is_some()) {
                // Bytes of another encoding: nobody could compare them, or set them back for the next client.
                self.servers[id].close_reason.get_or_insert(CloseReason::ParamsInDoubt);
            }
            return true;
        };
        let Some(position) = self.names.position(name) else { return true };
        let server = &mut self.servers[id];
        let before = server.params.clone();
        let after = before.with(position, value);
        if after.bytes() > self.bounds.parameter_bytes {
            return false;
        }
        server.params = after;
        if let Phase::Linked(client) = server.phase
            && !self.note_name(client, id, position)
        {
            let server = &self.servers[id];
            let params = &mut self.clients[client].params;
            params.changed(position, &before, &server.params, &server.params_at_login);
        }
        true
    }
}

impl<N: Net> Relay<'_, N, ServerId> {
    /// Frame by frame, to the end of the input. Each costs no more than its bytes do: no budget is needed
    /// beside the input's own length. Where the server is closed what follows is nobody's.
    fn server_frames(&mut self) {
        let server = &mut self.core.servers[self.id];
        server.heard_at = self.core.now;
        let length_max = self.core.pools[server.pool].rules.max_packet_bytes;
        let (bytes, forward) = server.partial.take(self.walk.input.len());
        if forward {
            self.walk.run.end = bytes;
            if let Some(client) = server.link() {
                self.send_fakes(client);
            }
        } else {
            self.walk.skip(bytes);
        }
        let mut step = Step::Next;
        while step == Step::Next {
            step = match FrameHeader::read(self.walk.rest(), length_max) {
                Ok(Some(header)) => self.frame(header),
                Ok(None) if self.begins_out_of_step() => self.lose_step(CloseReason::Unexpected),
                Ok(None) => Step::Later,
                Err(_) => self.lose_step(CloseReason::BadHeader),
            };
        }
        if step == Step::Later {
            self.flush();
            if forward {
                self.core.message_over(self.id, self.net);
            }
            self.core.heard_out(self.id, self.net);
        }
    }

    /// Whether what has come of the next frame says already that nobody has asked for it.
    fn begins_out_of_step(&self) -> bool {
        self.walk.rest().first().is_some_and(|tag| self.core.servers[self.id].is_out_of_step(*tag))
    }

    /// One frame.
    fn frame(&mut self, header: FrameHeader) -> Step {
        if self.core.servers[self.id].is_out_of_step(header.tag) {
            return self.lose_step(CloseReason::Unexpected);
        }
        let opened =
            matches!(header.tag, tag::READY_FOR_QUERY | tag::PARAMETER_STATUS | tag::COMMAND_COMPLETE);
        if opened && !self.walk.is_whole(header) && header.frame_bytes < limits::READ_BUFFER_BYTES {
            return Step::Later;
        }
        if header.tag == tag::PARAMETER_STATUS
            && !(self.walk.is_whole(header) && self.core.note_parameter(self.id, self.walk.payload(header)))
        {
            return self.lose_step(CloseReason::ParamsTooLong);
        }
        let server = &self.core.servers[self.id];
        match server.phase {
            Phase::Linked(client) => self.relayed_frame(client, header),
            Phase::Preparing(_) => self.task_frame(header),
            Phase::Tested(_) if !server.has_unread => self.task_frame(header),
            Phase::Tested(_) | Phase::Idle(_) | Phase::BeingCanceled => self.unasked_frame(header),
        }
    }

    /// A frame of a linked server.
    fn relayed_frame(&mut self, client: ClientId, header: FrameHeader) -> Step {
        let server = &mut self.core.servers[self.id];
        let fate = match header.tag {
            tag::READY_FOR_QUERY => return self.ready_frame(header),
            tag::DATA_ROW | tag::COPY_DATA => Fate::Forward,
            tag::ERROR_RESPONSE if server.expected.is_naming() => {
                server.task_failed = true;
                Fate::Swallow
            }
            tag::PARAMETER_STATUS if self.is_of_shown_name(client, header) => {
                return self.name_frame(client, header);
            }
            tag::ERROR_RESPONSE => {
                let server = &mut self.core.servers[self.id];
                server.has_answered = true;
                let statements = &mut server.statements;
                let (mut undone, mut noted) = (false, 0);
                server.expected.failed(|expect| {
                    undone |= Core::undo(statements, expect);
                    noted += usize::from(expect.is_noted());
                });
                if undone && server.expected.changes_statements() {
                    // Batches sent ahead of this error took the undone for done: nobody
                    // knows what they will leave.
                    server.doubt_statements();
                }
                if noted > 0 {
                    self.core.context_told(self.id, noted, false);
                }
                Fate::Forward
            }
            tag::COPY_IN_RESPONSE | tag::COPY_BOTH_RESPONSE => {
                self.core.servers[self.id].expected.copy_began();
                Fate::Forward
            }
            tag::COMMAND_COMPLETE => {
                self.completed(client, header);
                self.core.servers[self.id].expected.answered(header.tag)
            }
            other => self.core.servers[self.id].expected.answered(other),
        };
        let have = self.walk.rest().len().min(header.frame_bytes);
        let server = &mut self.core.servers[self.id];
        match fate {
            Fate::Forward => {
                server.partial = Partial::forward(header.frame_bytes, have);
                self.walk.run.end += have;
            }
            Fate::Swallow => {
                server.partial = Partial::drop(header.frame_bytes, have);
                self.flush();
                self.walk.skip(have);
            }
        }
        self.send_fakes(client);
        Step::Next
    }

    /// Whether a report is of a name that the client did not give itself.
    fn is_of_shown_name(&self, client: ClientId, header: FrameHeader) -> bool {
        let Some(name) = &self.core.clients[client].shown_name else { return false };
        let reported = backend::parameter_name(self.walk.payload(header));
        reported.and_then(|reported| self.core.names.position(reported)) == Some(name.position())
    }

    /// In place of such a report the client hears of its own name, unless it is we who have set it.
    fn name_frame(&mut self, client: ClientId, header: FrameHeader) -> Step {
        self.flush();
        if !self.core.servers[self.id].expected.is_naming() {
            self.core.report_own_name(client, self.net);
        }
        self.skip_frame(header);
        Step::Next
    }

    /// Answers of ours whose turn has come; never in the middle of a message of the server.
    fn send_fakes(&mut self, client: ClientId) {
        if self.core.servers[self.id].is_midway() {
            return;
        }
        while let Some(due) = self.core.servers[self.id].expected.take_due() {
            match due {
                Due::Answer(tag) => {
                    self.flush();
                    send_empty(Peer::Client(client), tag, self.net);
                }
                Due::Noted => self.core.context_told(self.id, 0, true),
            }
        }
    }

    /// ReadyForQuery of a linked server: the boundary.
    fn ready_frame(&mut self, header: FrameHeader) -> Step {
        let Ok(status) = backend::ready_status(self.walk.payload(header)) else {
            return self.lose_step(CloseReason::BadPacket);
        };
        let server = &mut self.core.servers[self.id];
        server.status = status;
        server.has_begun_block = false;
        server.has_answered = true;
        server.has_unread = self.walk.rest().len() > header.frame_bytes;
        let is_naming = server.expected.is_naming();
        let statements = &mut server.statements;
        let mut noted = 0;
        let sets_context = server.expected.ready(|expect| {
            Core::undo(statements, expect);
            noted += usize::from(expect.is_noted());
        });
        if noted > 0 || sets_context {
            self.core.context_told(self.id, noted, sets_context);
        }
        if is_naming {
            self.flush();
            self.skip_frame(header);
            self.core.name_told(self.id);
            if let Some(client) = self.core.servers[self.id].link() {
                self.send_fakes(client);
            }
            return Step::Next;
        }
        if self.core.is_refused_block(self.id) {
            // The client must not take the block for begun: the refusal comes in this message's place.
            self.flush();
            self.skip_frame(header);
            self.core.request_over(self.id, self.net);
        } else {
            self.walk.run.end += header.frame_bytes;
            self.flush();
            if let Some(client) = self.core.servers[self.id].link() {
                self.send_fakes(client);
            }
            if self.core.servers[self.id].expected.is_settled() {
                self.core.request_over(self.id, self.net);
            } else if let Some(client) = self.core.servers[self.id].link() {
                self.core.answered_ahead(client);
            }
        }
        if self.core.servers.contains(self.id) { Step::Next } else { Step::Gone }
    }

    /// Sends the run to the linked client.
    pub(super) fn flush(&mut self) {
        if self.walk.run.is_empty() {
            return;
        }
        let server = &self.core.servers[self.id];
        let Some(client) = server.link() else {
            unreachable!("a run exists only while the server is linked")
        };
        self.core.pools[server.pool].counters.server_bytes += self.walk.run.len() as u64;
        if let Some(tally) = &mut self.core.clients[client].tally {
            tally.totals.bytes_out += self.walk.run.len() as u64;
        }
        self.net.forward(Peer::Client(client), self.walk.run.clone());
        self.walk.run.start = self.walk.run.end;
    }

    /// A frame that answers the pooler's own query; nobody sees it.
    fn task_frame(&mut self, header: FrameHeader) -> Step {
        let server = &mut self.core.servers[self.id];
        let mut done = None;
        match header.tag {
            tag::ERROR_RESPONSE => server.task_failed = true,
            tag::COMMAND_COMPLETE if has_forgotten_statements(self.walk.payload(header)) => {
                server.statements.clear()
            }
            tag::READY_FOR_QUERY => {
                done = backend::ready_status(self.walk.payload(header)).ok().or(Some(transaction::FAILED))
            }
            _ => {}
        }
        self.skip_frame(header);
        let Some(status) = done else { return Step::Next };
        let server = &mut self.core.servers[self.id];
        server.status = status;
        server.has_answered = true;
        server.has_unread = !self.walk.rest().is_empty();
        if server.has_unread && matches!(server.phase, Phase::Tested(_)) {
            return Step::Next; // `Core::heard_out` goes on
        }
        self.core.task_done(self.id, self.net);
        if self.core.servers.contains(self.id) { Step::Next } else { Step::Gone }
    }

    fn skip_frame(&mut self, header: FrameHeader) {
        let have = self.walk.rest().len().min(header.frame_bytes);
        let server = &mut self.core.servers[self.id];
        server.partial = Partial::drop(header.frame_bytes, have);
        self.core.pools[server.pool].counters.server_bytes += have as u64;
        self.walk.skip(have);
    }

    /// A server that nobody is linked to speaks of itself: that is fine, unless it is its end.
    fn unasked_frame(&mut self, header: FrameHeader) -> Step {
        if header.tag == tag::ERROR_RESPONSE {
            return self.lose_step(CloseReason::Crashed);
        }
        self.skip_frame(header);
        Step::Next
    }

    /// What a server says is nobody's answer: what comes behind it would be one too late, so it is closed.
    #[cold]
    fn lose_step(&mut self, reason: CloseReason) -> Step {
        self.flush();
        let slot = self.core.servers[self.id].pool;
        self.core.close_server(self.id, reason, self.net);
        self.core.serve(slot, self.net);
        Step::Gone
    }
}
