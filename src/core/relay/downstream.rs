//! From server to client: walks the frames that a server sent, forwards whole runs of them, finds the
//! boundary at which the link ends, and keeps for itself what answers the pooler's own messages.
//!
//! Opens ReadyForQuery, ParameterStatus and CommandComplete; of all else only the tag counts, so a row of any
//! size streams through. Source: PostgreSQL documentation, "Message Flow".

use super::pending_replies::Fate;
use super::statement_rewrite::send_empty;
use super::walk::Walk;
use crate::base::{ClientId, Peer, ServerId, limits, log_about};
use crate::config::PoolMode;
use crate::core::conn::{Canceled, CloseReason, IDLE, Partial, Phase, Reason, Stand, Task};
use crate::core::net::Net;
use crate::core::worker_core::{Core, Leave};
use crate::wire::tags::{server as tag, transaction};
use crate::wire::{Fault, FrameHeader, backend};

/// What to do after one frame of a server.
enum Onward {
    /// Look at the next one.
    Next,
    /// More bytes are needed.
    Later,
    /// The server is gone: closed, or moved to another worker.
    Gone,
}

impl Core {
    /// See [`Core::received`].
    pub(in crate::core) fn server_received(
        &mut self,
        id: ServerId,
        input: &[u8],
        net: &mut impl Net,
    ) -> usize {
        let consumed = self.walk_server(id, input, net);
        if let Some(server) = self.servers.find(id)
            && let Some(client) = server.link()
            && server.expected.len() <= self.bounds.expected_max / 2
            && !server.expected.is_forgetting()
        {
            self.clients[client].hold.lift(Reason::Owed, Peer::Client(client), net);
        }
        consumed
    }

    /// What a server has sent, frame by frame. Each costs no more than its bytes do: no budget is needed
    /// beside the input's own length.
    fn walk_server(&mut self, id: ServerId, input: &[u8], net: &mut impl Net) -> usize {
        let now = self.now;
        let mut walk = Walk::new(input, self.bounds);
        let server = &mut self.servers[id];
        server.heard_at = now;
        let (bytes, forward) = server.partial.take(input.len());
        if forward {
            walk.run.end = bytes;
            if let Some(client) = server.link() {
                self.send_fakes(id, client, &mut walk, net);
            }
        } else {
            walk.skip(bytes);
        }
        loop {
            let onward = match FrameHeader::read(walk.rest(), u32::MAX) {
                Ok(Some(header)) => self.server_frame(id, header, &mut walk, net),
                Ok(None) => match walk.rest().first() {
                    Some(tag) if self.servers[id].is_out_of_step(*tag) => {
                        self.lose_step(id, CloseReason::Unexpected, &mut walk, net)
                    }
                    _ => Onward::Later,
                },
                Err(_) => self.lose_step(id, CloseReason::BadHeader, &mut walk, net),
            };
            match onward {
                Onward::Next => {}
                Onward::Later => {
                    self.flush_downstream(id, &mut walk, net);
                    if forward {
                        self.message_over(id, net);
                    }
                    self.heard_out(id, net);
                    return walk.run.end;
                }
                // It is closed: what follows is nobody's.
                Onward::Gone => return walk.run.end,
            }
        }
    }

    /// All that has come of a server has been looked at: what had to wait for that is done.
    fn heard_out(&mut self, id: ServerId, net: &mut impl Net) {
        let Some(server) = self.servers.find_mut(id) else { return };
        if std::mem::take(&mut server.speaks_on) {
            match server.phase {
                Phase::Tested(_) => return self.task_done(id, net),
                Phase::Idle(_) => return self.settle_or_close(id, net),
                Phase::Linked(_) | Phase::Preparing(_) | Phase::BeingCanceled => {}
            }
        }
        self.look_for_rest(id, net);
    }

    /// One frame.
    fn server_frame(
        &mut self,
        id: ServerId,
        header: FrameHeader,
        walk: &mut Walk<'_>,
        net: &mut impl Net,
    ) -> Onward {
        if self.servers[id].is_out_of_step(header.tag) {
            return self.lose_step(id, CloseReason::Unexpected, walk, net);
        }
        let opened =
            matches!(header.tag, tag::READY_FOR_QUERY | tag::PARAMETER_STATUS | tag::COMMAND_COMPLETE);
        if opened && !walk.is_whole(header) && header.frame_bytes < limits::READ_BUFFER_BYTES {
            return Onward::Later;
        }
        if header.tag == tag::PARAMETER_STATUS
            && !(walk.is_whole(header) && self.note_parameter(id, walk.payload(header)))
        {
            return self.lose_step(id, CloseReason::ParamsTooLong, walk, net);
        }
        let server = &self.servers[id];
        match server.phase {
            Phase::Linked(client) => self.relayed_frame(id, client, header, walk, net),
            Phase::Preparing(_) => self.task_frame(id, header, walk, net),
            Phase::Tested(_) if !server.speaks_on => self.task_frame(id, header, walk, net),
            Phase::Tested(_) | Phase::Idle(_) | Phase::BeingCanceled => {
                self.unasked_frame(id, header, walk, net)
            }
        }
    }

    /// A frame of a linked server.
    fn relayed_frame(
        &mut self,
        id: ServerId,
        client: ClientId,
        header: FrameHeader,
        walk: &mut Walk<'_>,
        net: &mut impl Net,
    ) -> Onward {
        let server = &mut self.servers[id];
        let fate = match header.tag {
            tag::READY_FOR_QUERY => return self.ready_frame(id, header, walk, net),
            tag::DATA_ROW | tag::COPY_DATA => Fate::Forward,
            tag::ERROR_RESPONSE => {
                let statements = &mut server.statements;
                let mut undone = false;
                server.expected.failed(|expect| undone |= Self::undo(statements, expect));
                if undone && server.expected.changes_statements() {
                    // Batches sent ahead of this error took the undone for done: nobody
                    // knows what they will leave.
                    server.doubt_statements();
                }
                Fate::Forward
            }
            tag::COPY_IN_RESPONSE | tag::COPY_BOTH_RESPONSE => {
                server.expected.copy_began();
                Fate::Forward
            }
            tag::COMMAND_COMPLETE => {
                if has_forgotten_statements(walk.payload(header)) {
                    self.forget_statements(id, client);
                }
                self.servers[id].expected.answered(header.tag)
            }
            other => server.expected.answered(other),
        };
        let have = walk.rest().len().min(header.frame_bytes);
        let server = &mut self.servers[id];
        server.partial = Partial::of(fate == Fate::Forward, header.frame_bytes, have);
        if fate == Fate::Forward {
            walk.run.end += have;
        } else {
            self.flush_downstream(id, walk, net);
            walk.skip(have);
        }
        self.send_fakes(id, client, walk, net);
        Onward::Next
    }

    /// Answers of ours whose turn has come; never in the middle of a message of the server.
    fn send_fakes(&mut self, id: ServerId, client: ClientId, walk: &mut Walk<'_>, net: &mut impl Net) {
        if self.servers[id].is_midway() {
            return;
        }
        while let Some(tag) = self.servers[id].expected.take_fake() {
            self.flush_downstream(id, walk, net);
            send_empty(Peer::Client(client), tag, net);
        }
    }

    /// ReadyForQuery of a linked server: the boundary.
    fn ready_frame(
        &mut self,
        id: ServerId,
        header: FrameHeader,
        walk: &mut Walk<'_>,
        net: &mut impl Net,
    ) -> Onward {
        let Ok(status) = backend::ready_status(walk.payload(header)) else {
            return self.lose_step(id, CloseReason::BadPacket, walk, net);
        };
        let server = &mut self.servers[id];
        server.status = status;
        server.has_answered = true;
        server.speaks_on = walk.rest().len() > header.frame_bytes;
        let statements = &mut server.statements;
        server.expected.ready(|expect| {
            Self::undo(statements, expect);
        });
        if self.is_refused_block(id) {
            // The client must not take the block for begun: the refusal comes in this message's place.
            self.flush_downstream(id, walk, net);
            self.skip_server_frame(id, header, walk);
        } else {
            walk.run.end += header.frame_bytes;
            self.flush_downstream(id, walk, net);
        }
        if let Some(client) = self.servers[id].link() {
            self.send_fakes(id, client, walk, net);
        }
        if self.servers[id].expected.is_settled() {
            self.request_over(id, net);
        }
        if self.servers.contains(id) { Onward::Next } else { Onward::Gone }
    }

    /// Whether a server that owes nothing is in a transaction block where there may be none.
    fn is_refused_block(&self, id: ServerId) -> bool {
        let server = &self.servers[id];
        server.status != IDLE
            && server.expected.is_settled()
            && self.pools[server.pool].rules.mode == PoolMode::Statement
    }

    /// A linked server owes nothing any more: counts the request, and ends the link
    /// where the pool mode says so.
    pub(in crate::core) fn request_over(&mut self, id: ServerId, net: &mut impl Net) {
        let now = self.now;
        let server = &self.servers[id];
        let Phase::Linked(client_id) = server.phase else { return };
        let idle = server.status == IDLE;
        let client = &mut self.clients[client_id];
        let pool = &mut self.pools[client.pool];
        let request = &mut client.request;
        if request.running {
            request.running = false;
            let us = now.since(request.began_at).0;
            pool.counters.query_time_us += us;
            pool.counters.query_time.record(us);
        }
        request.ended_at = now;
        if idle && request.in_xact {
            request.in_xact = false;
            let us = now.since(request.xact_began_at).0;
            pool.counters.xact_time_us += us;
            pool.counters.xact_time.record(us);
        }
        match pool.rules.mode {
            PoolMode::Statement if !idle => {
                let fault = Fault::StatementModeTransaction;
                self.disconnect(client_id, &Leave::Fault(fault), net);
            }
            PoolMode::Session => self.close_session_if_due(id, idle, net),
            PoolMode::Transaction | PoolMode::Statement if self.servers[id].is_clean() => {
                self.unlink(id, client_id, net);
            }
            PoolMode::Transaction | PoolMode::Statement => {}
        }
    }

    /// `server_fast_close`: in session pooling a server that is to be closed does not wait
    /// for its client to leave.
    fn close_session_if_due(&mut self, id: ServerId, idle: bool, net: &mut impl Net) {
        let server = &self.servers[id];
        let rules = &self.pools[server.pool].rules;
        if idle && rules.fast_close && self.is_obsolete(server) {
            self.close_server(id, CloseReason::Reconfigured, net);
        }
    }

    /// The query for which a client has just got its server was cancelled before it was sent: it is answered
    /// here, so the server is free, but for a session's.
    pub(in crate::core) fn part_canceled(&mut self, client: ClientId, id: ServerId, net: &mut impl Net) {
        let server = &self.servers[id];
        if self.pools[server.pool].rules.mode != PoolMode::Session {
            self.unlink(id, client, net);
        }
    }

    /// A message that came in parts may be whole now: a client whose query was cancelled in the
    /// middle of it is answered.
    fn message_over(&mut self, id: ServerId, net: &mut impl Net) {
        let Some(server) = self.servers.find(id).filter(|server| !server.is_midway()) else {
            return;
        };
        let Phase::Linked(client_id) = server.phase else { return };
        let client = &mut self.clients[client_id];
        if client.canceled != Canceled::No {
            client.hold.lift(Reason::Waiting, Peer::Client(client_id), net);
            if matches!(client.stand, Stand::Lent(_)) {
                self.part_canceled(client_id, id, net);
            }
        }
    }

    /// Ends a link at a boundary.
    fn unlink(&mut self, id: ServerId, client: ClientId, net: &mut impl Net) {
        let server = &mut self.servers[id];
        server.hold.lift(Reason::LinkBlocked, Peer::Server(id), net);
        let client_row = &mut self.clients[client];
        client_row.stand = Stand::Idle;
        client_row.hold.lift(Reason::LinkBlocked, Peer::Client(client), net);
        client_row.hold.lift(Reason::Owed, Peer::Client(client), net);
        self.give_back(id, net);
    }

    /// Sends the run to the linked client.
    fn flush_downstream(&mut self, id: ServerId, walk: &mut Walk<'_>, net: &mut impl Net) {
        if walk.run.is_empty() {
            return;
        }
        let server = &self.servers[id];
        let Some(client) = server.link() else {
            unreachable!("a run exists only while the server is linked")
        };
        self.pools[server.pool].counters.server_bytes += walk.run.len() as u64;
        net.forward(Peer::Client(client), walk.run.clone());
        walk.run.start = walk.run.end;
    }

    /// A frame that answers the pooler's own query; nobody sees it.
    fn task_frame(
        &mut self,
        id: ServerId,
        header: FrameHeader,
        walk: &mut Walk<'_>,
        net: &mut impl Net,
    ) -> Onward {
        let server = &mut self.servers[id];
        let mut done = None;
        match header.tag {
            tag::ERROR_RESPONSE => server.task_failed = true,
            tag::COMMAND_COMPLETE if has_forgotten_statements(walk.payload(header)) => {
                server.statements.clear()
            }
            tag::READY_FOR_QUERY => {
                done = backend::ready_status(walk.payload(header)).ok().or(Some(transaction::FAILED))
            }
            _ => {}
        }
        self.skip_server_frame(id, header, walk);
        let Some(status) = done else { return Onward::Next };
        let server = &mut self.servers[id];
        server.status = status;
        server.has_answered = true;
        server.speaks_on = !walk.rest().is_empty();
        if server.speaks_on && matches!(server.phase, Phase::Tested(_)) {
            return Onward::Next; // `Core::heard_out` goes on
        }
        self.task_done(id, net);
        if self.servers.contains(id) { Onward::Next } else { Onward::Gone }
    }

    fn skip_server_frame(&mut self, id: ServerId, header: FrameHeader, walk: &mut Walk<'_>) {
        let have = walk.rest().len().min(header.frame_bytes);
        let server = &mut self.servers[id];
        server.partial = Partial::of(false, header.frame_bytes, have);
        self.pools[server.pool].counters.server_bytes += have as u64;
        walk.skip(have);
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
                for (name, mine, theirs) in server.respelt(client, &self.names) {
                    log_about!(
                        debug,
                        about,
                        "varcache_set_canonical: setting {name} to its canonical version {mine} -> {theirs}"
                    );
                }
                server.teach(client);
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

    /// A server that nobody is linked to speaks of itself: that is fine, unless it is its end.
    fn unasked_frame(
        &mut self,
        id: ServerId,
        header: FrameHeader,
        walk: &mut Walk<'_>,
        net: &mut impl Net,
    ) -> Onward {
        if header.tag == tag::ERROR_RESPONSE {
            return self.lose_step(id, CloseReason::Crashed, walk, net);
        }
        self.skip_server_frame(id, header, walk);
        Onward::Next
    }

    /// What a server says is nobody's answer: what comes behind it would be one too late, so it is closed.
    #[cold]
    fn lose_step(
        &mut self,
        id: ServerId,
        reason: CloseReason,
        walk: &mut Walk<'_>,
        net: &mut impl Net,
    ) -> Onward {
        self.flush_downstream(id, walk, net);
        let slot = self.servers[id].pool;
        self.close_server(id, reason, net);
        self.serve(slot, net);
        Onward::Gone
    }

    /// ParameterStatus: the server's row, and that of the client for whom it happened. False where the values
    /// are more than is kept: the session has them, and nobody could ever set them back.
    fn note_parameter(&mut self, id: ServerId, payload: &[u8]) -> bool {
        let Ok((name, value)) = backend::parameter_status(payload) else { return true };
        let Some(position) = self.names.position(name) else { return true };
        let server = &mut self.servers[id];
        let before = server.params.clone();
        let after = before.with(position, value);
        if after.bytes() > self.bounds.parameter_bytes {
            return false;
        }
        server.params = after;
        if let Phase::Linked(client) = server.phase {
            let client = &mut self.clients[client];
            client.params = if client.params.same(&before) {
                server.params.clone()
            } else {
                client.params.with(position, value)
            };
        }
        true
    }
}

/// Whether a command has made the session forget every prepared statement.
fn has_forgotten_statements(payload: &[u8]) -> bool {
    matches!(payload, b"DEALLOCATE ALL\0" | b"DISCARD ALL\0")
}
