//! From client to server: walks the frames that a client sent, links it at the first one that needs a server,
//! and forwards whole runs of frames from where they lie.
//!
//! Opens only what it must: named Parse, Bind, Describe and Close when statements are shared. Never keeps a
//! byte: what cannot be used yet is left to the driver. Source: PostgreSQL documentation, "Message Flow".

use super::pending_replies::Expect;
use super::statement_rewrite::send_empty;
use super::walk::{Step, Walk};
use crate::base::{ClientId, Micros, Peer, ServerId, limits};
use crate::config::PoolMode;
use crate::core::conn::{Canceled, Partial, Phase, Reason, Stand};
use crate::core::net::Net;
use crate::core::pool::Got;
use crate::core::worker_core::{Core, Leave};
use crate::wire::tags::client as tag;
use crate::wire::{Fault, FrameHeader, encode, frontend, sqlstate};

impl Core {
    /// See [`Core::received`].
    pub(in crate::core) fn client_received(
        &mut self,
        id: ClientId,
        input: &[u8],
        net: &mut impl Net,
    ) -> usize {
        let mut walk = Walk::new(input, self.bounds);
        if let Step::Gone = self.continue_client_frame(id, &mut walk, net) {
            return input.len();
        }
        let length_max = self.packet_bytes_max(id);
        if let Some(server) = self.clients[id].link()
            && self.servers[server].expected.len() >= self.bounds.expected_max
            && !walk.rest().is_empty()
        {
            self.wait_for_answers(id, server, &mut walk, net);
            return walk.run.end;
        }
        loop {
            let step = match FrameHeader::read(walk.rest(), length_max) {
                Ok(Some(header)) if !frontend::has_plausible_length(header) => {
                    self.bad_header(id, &walk, net)
                }
                Ok(Some(_)) if !walk.may_go_on() => self.yield_turn(id, net),
                Ok(Some(header)) => self.client_frame(id, header, &mut walk, net),
                Ok(None) => Step::Later,
                Err(_) => self.bad_header(id, &walk, net),
            };
            match step {
                Step::Next => {}
                Step::Later => {
                    self.flush_upstream(id, &mut walk, net);
                    return walk.run.end;
                }
                Step::Gone => return input.len(),
            }
        }
    }

    /// Leaves the rest of a client's input for its next turn.
    fn yield_turn(&mut self, id: ClientId, net: &mut impl Net) -> Step {
        if self.clients[id].hold.is_free() {
            net.again(Peer::Client(id));
        }
        Step::Later
    }

    /// Does not read a client until its server has answered. The server may hold answers back until it is
    /// asked for them, and who would ask is not read: so they are asked for here, which a session takes
    /// or ignores amid any batch.
    pub(in crate::core) fn wait_for_answers(
        &mut self,
        id: ClientId,
        server: ServerId,
        walk: &mut Walk<'_>,
        net: &mut impl Net,
    ) -> Step {
        self.flush_upstream(id, walk, net);
        if self.servers[server].expected.needs_flush() {
            send_empty(Peer::Server(server), tag::FLUSH, net);
        }
        self.clients[id].hold.add(Reason::Owed, Peer::Client(id), net);
        Step::Later
    }

    /// Bytes that belong to a frame of which the head was decided earlier.
    fn continue_client_frame(&mut self, id: ClientId, walk: &mut Walk<'_>, net: &mut impl Net) -> Step {
        let client = &mut self.clients[id];
        let (bytes, forward) = client.partial.take(walk.input.len());
        if !forward {
            walk.skip(bytes);
            return Step::Next;
        }
        walk.run.end = bytes;
        let is_over = client.partial == Partial::None;
        if let (true, Some(server_id)) = (is_over, client.link()) {
            let server = &mut self.servers[server_id];
            server.is_half_sent = false;
            let is_clean = server.is_clean();
            // The message is whole there, too, whatever becomes of what follows.
            self.flush_upstream(id, walk, net);
            if is_clean {
                // COPY data sent ahead of a COPY that was refused: their end is where the link may end.
                return self.link_over(id, server_id, net);
            }
        }
        Step::Next
    }

    /// What a client has sent was the end of its request. Its server may be closed then, and in session
    /// pooling the client goes with it.
    fn link_over(&mut self, id: ClientId, server: ServerId, net: &mut impl Net) -> Step {
        self.request_over(server, net);
        if self.clients.contains(id) { Step::Next } else { Step::Gone }
    }

    fn packet_bytes_max(&self, id: ClientId) -> u32 {
        let slot = self.clients[id].pool;
        self.pools[slot].rules.max_packet_bytes
    }

    fn bad_header(&mut self, id: ClientId, walk: &Walk<'_>, net: &mut impl Net) -> Step {
        let head = &walk.rest()[..walk.rest().len().min(8)];
        let hex = head.iter().map(|byte| format!("{byte:02x}")).collect();
        self.refuse(id, Fault::BadPacketHeader { hex }, net)
    }

    /// Ends the client with an error.
    pub(in crate::core) fn refuse(&mut self, id: ClientId, fault: Fault, net: &mut impl Net) -> Step {
        self.disconnect(id, &Leave::Fault(fault), net);
        Step::Gone
    }

    /// One frame: decides what it needs, has it sent, dropped or rewritten.
    fn client_frame(
        &mut self,
        id: ClientId,
        header: FrameHeader,
        walk: &mut Walk<'_>,
        net: &mut impl Net,
    ) -> Step {
        let now = self.now;
        let client = &mut self.clients[id];
        if client.canceled == Canceled::Next && header.tag == tag::FLUSH {
            client.canceled = Canceled::No; // it asks for nothing, so there is nothing to cancel
        }
        if client.canceled != Canceled::No {
            return self.answer_canceled(id, header, walk, net);
        }
        let client = &self.clients[id];
        match header.tag {
            tag::TERMINATE => {
                self.flush_upstream(id, walk, net);
                self.disconnect(id, &Leave::Goodbye, net);
                return Step::Gone;
            }
            tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL => {
                return self.copy_frame(id, header, walk, net);
            }
            tag::QUERY if self.pools[client.pool].rules.disable_pqexec => {
                return self.refuse(id, Fault::PqexecDisallowed, net);
            }
            tag::PARSE | tag::BIND | tag::DESCRIBE | tag::CLOSE if self.shares_statements(id) => {
                return self.statement_frame(id, header, walk, net);
            }
            tag::QUERY if self.shares_statements(id) => {
                return self.query_frame(id, header, walk, net);
            }
            tag::QUERY
            | tag::FUNCTION_CALL
            | tag::PARSE
            | tag::BIND
            | tag::DESCRIBE
            | tag::CLOSE
            | tag::EXECUTE
            | tag::SYNC
            | tag::FLUSH => {}
            _ => return self.refuse(id, Fault::UnknownPacket, net),
        }
        match self.need_server(id, header, walk, net) {
            Ok(server) => self.pass_frame(id, server, header, walk, now),
            Err(step) => step,
        }
    }

    /// A simple query where statements are shared: it may make its session forget them.
    fn query_frame(
        &mut self,
        id: ClientId,
        header: FrameHeader,
        walk: &mut Walk<'_>,
        net: &mut impl Net,
    ) -> Step {
        let server = match self.need_server(id, header, walk, net) {
            Ok(server) => server,
            Err(step) => return step,
        };
        if !walk.is_whole(header) && header.frame_bytes < frontend::FORGETTING_BYTES_MAX {
            return Step::Later;
        }
        let forgets = frontend::forgets_statements(walk.payload(header));
        let step = self.pass_frame(id, server, header, walk, self.now);
        if forgets {
            self.servers[server].expected.note_forgetting();
        }
        step
    }

    /// Whether named statements of this client are shared over servers.
    fn shares_statements(&self, id: ClientId) -> bool {
        let rules = &self.pools[self.clients[id].pool].rules;
        rules.mode != PoolMode::Session && rules.max_prepared_statements > 0
    }

    /// The server that the frame at hand goes to; gets one where the client has none.
    pub(in crate::core) fn need_server(
        &mut self,
        id: ClientId,
        header: FrameHeader,
        walk: &Walk<'_>,
        net: &mut impl Net,
    ) -> Result<ServerId, Step> {
        let now = self.now;
        match self.clients[id].stand {
            Stand::Linked(server) if now < self.servers[server].authorization.hard_at => {
                return Ok(server);
            }
            Stand::Linked(server) => {
                if self.keeps_old(id, server, walk, net) {
                    return Ok(server);
                }
            }
            Stand::Lent(server) => {
                if self.take_up(id, server, net) {
                    self.count_age(server);
                    return Ok(server);
                }
            }
            Stand::Waiting { .. } | Stand::Idle => {}
        }
        // A client that sends slowly does not hold a server while it does: a frame that fits our
        // buffer comes whole first.
        if !walk.is_whole(header) && header.frame_bytes < limits::READ_BUFFER_BYTES / 2 {
            return Err(Step::Later);
        }
        self.begin_request(id, now);
        match self.acquire(id, net) {
            Got::Linked(server) => {
                self.count_age(server);
                Ok(server)
            }
            Got::Waits => Err(Step::Later),
            Got::Gone => Err(Step::Gone),
        }
    }

    /// Counts the begin of a request group and of a transaction. Where the client has no server yet, the
    /// server's age is counted when it has one: a transaction that waits has not begun there.
    pub(in crate::core) fn begin_request(&mut self, id: ClientId, now: Micros) {
        let client = &mut self.clients[id];
        if client.request.running {
            return;
        }
        client.request.running = true;
        client.request.began_at = now;
        let counters = &mut self.pools[client.pool].counters;
        counters.query_count += 1;
        if !client.request.in_xact {
            client.request.in_xact = true;
            client.request.xact_began_at = now;
            counters.xact_count += 1;
            if let Stand::Linked(server) = client.stand {
                self.count_age(server);
            }
        }
    }

    /// A frame that goes on as it is.
    pub(in crate::core) fn pass_frame(
        &mut self,
        id: ClientId,
        server: ServerId,
        header: FrameHeader,
        walk: &mut Walk<'_>,
        now: Micros,
    ) -> Step {
        self.begin_request(id, now);
        let server = &mut self.servers[server];
        server.request_at = now;
        let expect = match header.tag {
            tag::QUERY => Some(Expect::Simple),
            tag::FUNCTION_CALL => Some(Expect::Function),
            tag::PARSE => Some(Expect::Parse(None)),
            tag::BIND => Some(Expect::Bind),
            tag::DESCRIBE => Some(Expect::Describe),
            tag::EXECUTE => Some(Expect::Execute),
            tag::CLOSE => Some(Expect::Close),
            tag::SYNC => Some(Expect::Sync),
            _ => None,
        };
        if let Some(expect) = expect
            && (!server.expected.is_skipping() || matches!(expect, Expect::Sync))
        {
            server.expected.push(expect);
        }
        self.extend_run(id, header.frame_bytes, walk);
        Step::Next
    }

    /// Puts a frame (of which all or only the front has come) at the end of the run.
    pub(in crate::core) fn extend_run(&mut self, id: ClientId, frame_bytes: usize, walk: &mut Walk<'_>) {
        let have = walk.rest().len().min(frame_bytes);
        let client = &mut self.clients[id];
        client.partial = Partial::of(true, frame_bytes, have);
        if let (true, Some(server)) = (have < frame_bytes, client.link()) {
            self.servers[server].is_half_sent = true;
        }
        walk.run.end += have;
    }

    /// Drops a frame (of which all or only the front has come).
    pub(in crate::core) fn drop_frame(&mut self, id: ClientId, frame_bytes: usize, walk: &mut Walk<'_>) {
        let have = walk.rest().len().min(frame_bytes);
        self.clients[id].partial = Partial::of(false, frame_bytes, have);
        walk.skip(have);
    }

    /// COPY data and their end. Those that come when nobody takes them any more are dropped silently.
    fn copy_frame(
        &mut self,
        id: ClientId,
        header: FrameHeader,
        walk: &mut Walk<'_>,
        net: &mut impl Net,
    ) -> Step {
        let Some(server_id) = self.clients[id].link() else {
            self.drop_frame(id, header.frame_bytes, walk);
            return Step::Next;
        };
        let server = &mut self.servers[server_id];
        let takes = server.expected.takes_copy_data();
        let ended = header.tag != tag::COPY_DATA && server.expected.copy_ended();
        if takes {
            if header.tag == tag::COPY_DATA {
                server.expected.copy_data_sent();
            }
            self.extend_run(id, header.frame_bytes, walk);
            return Step::Next;
        }
        self.flush_upstream(id, walk, net);
        self.drop_frame(id, header.frame_bytes, walk);
        if ended && self.servers[server_id].is_clean() {
            // The late end of a COPY that the server had failed: no answer comes, so this
            // is where the link may end.
            return self.link_over(id, server_id, net);
        }
        Step::Next
    }

    /// Sends the run to the linked server.
    pub(in crate::core) fn flush_upstream(&mut self, id: ClientId, walk: &mut Walk<'_>, net: &mut impl Net) {
        if walk.run.is_empty() {
            return;
        }
        let client = &self.clients[id];
        let Some(server) = client.link() else {
            unreachable!("a run exists only while the client is linked")
        };
        debug_assert!(matches!(self.servers[server].phase, Phase::Linked(linked) if linked == id));
        self.pools[client.pool].counters.client_bytes += walk.run.len() as u64;
        self.just_sent_to = Some(server);
        net.forward(Peer::Server(server), walk.run.clone());
        walk.run.start = walk.run.end;
    }

    /// The request of a client whose waiting was cancelled: answered as PostgreSQL answers a cancelled query,
    /// without ever having reached a server.
    fn answer_canceled(
        &mut self,
        id: ClientId,
        header: FrameHeader,
        walk: &mut Walk<'_>,
        net: &mut impl Net,
    ) -> Step {
        let client = &mut self.clients[id];
        if client.link().is_some_and(|server| self.servers[server].is_midway()) {
            // The answer would become a part of the message that the client has half of:
            // see `Core::message_over`.
            client.hold.add(Reason::Waiting, Peer::Client(id), net);
            return Step::Later;
        }
        let mut answer = Vec::new();
        if client.canceled == Canceled::Next {
            let text = "canceling statement due to user request";
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
            net.send(Peer::Client(id), &answer);
        }
        self.drop_frame(id, header.frame_bytes, walk);
        Step::Next
    }
}
