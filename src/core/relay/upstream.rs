//! From client to server: walks the frames that a client sent, links it at the first one that needs a server,
//! and forwards whole runs of frames from where they lie.
//!
//! Opens only what it must: named Parse, Bind, Describe and Close when statements are shared. Never keeps a
//! byte: what cannot be used yet is left to the driver. Source: PostgreSQL documentation, "Message Flow".

use super::context::{Relay, Step};
use super::expect::Expect;
use super::statement_rewrite::send_empty;
use crate::base::{ClientId, Micros, Peer, ServerId, limits, log_about};
use crate::config::PoolMode;
use crate::core::conn::{Canceled, HalfSent, Leave, Partial, Phase, Reason, Stand};
use crate::core::net::Net;
use crate::core::pool::Got;
use crate::core::worker_core::Core;
use crate::wire::tags::client as tag;
use crate::wire::{Fault, FrameHeader, frontend};

impl Core {
    /// See [`Core::received`].
    pub(in crate::core) fn client_received(
        &mut self,
        id: ClientId,
        input: &[u8],
        net: &mut impl Net,
    ) -> usize {
        let mut relay = Relay::new(self, id, input, net);
        match relay.client_frames() {
            Step::Next | Step::Later => relay.walk.run.end,
            Step::Gone => input.len(),
        }
    }

    fn packet_bytes_max(&self, id: ClientId) -> u32 {
        let slot = self.clients[id].pool;
        self.pools[slot].rules.max_packet_bytes
    }

    /// Whether named statements of this client are shared over servers.
    pub(super) fn shares_statements(&self, id: ClientId) -> bool {
        let rules = &self.pools[self.clients[id].pool].rules;
        rules.mode != PoolMode::Session && rules.max_prepared_statements > 0
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
        let is_first = !client.request.in_xact;
        let counters = &mut self.pools[client.pool].counters;
        counters.query_count += 1;
        if is_first {
            client.request.in_xact = true;
            client.request.xact_began_at = now;
            if let Some(context) = &mut client.context {
                context.begin();
            }
            counters.xact_count += 1;
            if let Stand::Linked(server) = client.stand {
                self.count_age(server);
            }
        }
        if self.audit.is_some() {
            self.tally_request(id, is_first);
        }
    }
}

impl<N: Net> Relay<'_, N, ClientId> {
    /// Frame by frame, to the end of the input or of what may be decided now.
    fn client_frames(&mut self) -> Step {
        if self.core.clients[self.id].partial != Partial::None {
            match self.rest_of_frame() {
                Step::Next => {}
                step => return step,
            }
        }
        if self.core.clients[self.id].tenure.end().is_some() {
            match self.drain() {
                Step::Next => {}
                step => return step,
            }
        }
        let length_max = self.core.packet_bytes_max(self.id);
        if let Some(server) = self.core.clients[self.id].link()
            && self.core.servers[server].expected.len() >= self.core.bounds.expected_max
            && !self.walk.rest().is_empty()
        {
            return self.wait_for_answers(Reason::Owed);
        }
        loop {
            let step = match FrameHeader::read(self.walk.rest(), length_max) {
                Ok(Some(header)) if !frontend::has_plausible_length(header) => self.bad_header(),
                Ok(Some(_)) if !self.walk.may_go_on() => self.yield_turn(),
                Ok(Some(header)) => self.frame(header),
                Ok(None) => Step::Later,
                Err(_) => self.bad_header(),
            };
            match step {
                Step::Next => {}
                Step::Later => {
                    self.flush();
                    return Step::Later;
                }
                Step::Gone => return Step::Gone,
            }
        }
    }

    /// Leaves the rest of a client's input for its next turn.
    fn yield_turn(&mut self) -> Step {
        if self.core.clients[self.id].hold.is_free() {
            self.net.again(Peer::Client(self.id));
        }
        Step::Later
    }

    /// Does not read a client until its server has answered. The server may hold answers back until it is
    /// asked for them, and who would ask is not read: so they are asked for here, which a session takes
    /// or ignores amid any batch.
    pub(in crate::core) fn wait_for_answers(&mut self, reason: Reason) -> Step {
        self.flush();
        if let Some(server) = self.core.clients[self.id].link()
            && self.core.servers[server].expected.needs_flush()
        {
            send_empty(Peer::Server(server), tag::FLUSH, self.net);
        }
        self.core.clients[self.id].hold.add(reason, Peer::Client(self.id), self.net);
        Step::Later
    }

    /// What belongs to a frame of which the head was decided earlier.
    fn rest_of_frame(&mut self) -> Step {
        if self.core.clients[self.id].tenure.end().is_some() {
            match self.drain_rest() {
                Step::Next => {}
                step => return step,
            }
        }
        self.continue_frame()
    }

    /// Bytes that belong to it.
    fn continue_frame(&mut self) -> Step {
        let client = &mut self.core.clients[self.id];
        let (bytes, forward) = client.partial.take(self.walk.input.len());
        if !forward {
            self.walk.skip(bytes);
            return Step::Next;
        }
        self.walk.run.end = bytes;
        let is_over = client.partial == Partial::None;
        if let (true, Some(server_id)) = (is_over, client.link()) {
            let server = &mut self.core.servers[server_id];
            server.half_sent = HalfSent::Nothing;
            let is_clean = server.is_clean();
            // The message is whole there, too, whatever becomes of what follows.
            self.flush();
            if is_clean {
                // COPY data sent ahead of a COPY that was refused: their end is where the link may end.
                return self.link_over(server_id);
            }
        }
        Step::Next
    }

    /// What a client has sent was the end of its request. Its server may be closed then, and in session
    /// pooling the client goes with it.
    pub(super) fn link_over(&mut self, server: ServerId) -> Step {
        self.core.request_over(server, self.net);
        if self.core.clients.contains(self.id) { Step::Next } else { Step::Gone }
    }

    fn bad_header(&mut self) -> Step {
        let head = &self.walk.rest()[..self.walk.rest().len().min(8)];
        let hex = head.iter().map(|byte| format!("{byte:02x}")).collect();
        self.refuse(Fault::BadPacketHeader { hex })
    }

    /// Ends the client with an error.
    pub(in crate::core) fn refuse(&mut self, fault: Fault) -> Step {
        self.core.disconnect(self.id, &Leave::Fault(fault), self.net);
        Step::Gone
    }

    /// One frame: decides what it needs, has it sent, dropped or rewritten.
    fn frame(&mut self, header: FrameHeader) -> Step {
        let client = &mut self.core.clients[self.id];
        if client.canceled.is_next() && header.tag == tag::FLUSH {
            client.canceled = Canceled::No; // it asks for nothing, so there is nothing to cancel
        }
        if client.canceled != Canceled::No {
            return self.answer_canceled(header);
        }
        if self.concerns_context(header.tag) {
            return self.frame_in_context(header);
        }
        self.routed_frame(header)
    }

    /// One frame of a client that waits for no answer of ours.
    #[inline]
    pub(super) fn routed_frame(&mut self, header: FrameHeader) -> Step {
        let now = self.core.now;
        let client = &self.core.clients[self.id];
        match header.tag {
            tag::TERMINATE => {
                self.flush();
                self.core.disconnect(self.id, &Leave::Goodbye, self.net);
                return Step::Gone;
            }
            tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL => {
                return self.copy_frame(header);
            }
            tag::QUERY if self.core.pools[client.pool].rules.disable_pqexec => {
                log_about!(error, client.identity.about(), "client used \"Query\" packet type");
                return self.refuse(Fault::PqexecDisallowed);
            }
            tag::PARSE | tag::BIND | tag::DESCRIBE | tag::CLOSE if self.core.shares_statements(self.id) => {
                return self.statement_frame(header);
            }
            tag::QUERY if self.core.shares_statements(self.id) => {
                return self.query_frame(header);
            }
            // A short one, of which the server is to have all or nothing: half of it would run nothing, and
            // keep what is behind it from being asked for.
            tag::EXECUTE
                if !self.walk.is_whole(header) && header.frame_bytes < limits::READ_BUFFER_BYTES / 2 =>
            {
                return Step::Later;
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
            _ => return self.refuse(Fault::UnknownPacket),
        }
        match self.need_server(header) {
            Ok(server) => self.pass_frame(server, header, now),
            Err(step) => step,
        }
    }

    /// A simple query where statements are shared: it may make its session forget them.
    fn query_frame(&mut self, header: FrameHeader) -> Step {
        let server = match self.need_server(header) {
            Ok(server) => server,
            Err(step) => return step,
        };
        if !self.walk.is_whole(header) && header.frame_bytes < frontend::FORGETTING_BYTES_MAX {
            return Step::Later;
        }
        let forgets = frontend::forgets_statements(self.walk.payload(header));
        let step = self.pass_frame(server, header, self.core.now);
        if forgets {
            self.core.servers[server].expected.note_forgetting();
        }
        step
    }

    /// The server that the frame at hand goes to; gets one where the client has none.
    pub(in crate::core) fn need_server(&mut self, header: FrameHeader) -> Result<ServerId, Step> {
        let now = self.core.now;
        if self.core.audit.is_some() && self.core.hold_for_audit(self.id, header.tag, self.net) {
            self.flush();
            return Err(Step::Later);
        }
        match self.core.clients[self.id].stand {
            Stand::Linked(server) if now < self.core.servers[server].authorization.hard_at => {
                return Ok(server);
            }
            Stand::Linked(server) => {
                if !self.walk.run.is_empty() || self.core.may_continue_expired(self.id, server, self.net) {
                    return Ok(server);
                }
            }
            Stand::Assigned(server) => {
                if self.core.begin_on_assigned(self.id, server, self.net) {
                    self.core.count_age(server);
                    return Ok(server);
                }
            }
            Stand::Waiting { .. } | Stand::Idle => {}
        }
        // A client that sends slowly does not hold a server while it does: a frame that fits our
        // buffer comes whole first.
        if !self.walk.is_whole(header) && header.frame_bytes < limits::READ_BUFFER_BYTES / 2 {
            return Err(Step::Later);
        }
        self.core.begin_request(self.id, now);
        match self.core.acquire(self.id, self.net) {
            Got::Linked(server) => {
                self.core.count_age(server);
                Ok(server)
            }
            Got::Waits => Err(Step::Later),
            Got::Gone => Err(Step::Gone),
        }
    }

    /// A frame that goes on as it is.
    pub(in crate::core) fn pass_frame(&mut self, server: ServerId, header: FrameHeader, now: Micros) -> Step {
        self.core.begin_request(self.id, now);
        self.audit_frame(header);
        let server = &mut self.core.servers[server];
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
        self.extend_run(header.tag, header.frame_bytes);
        Step::Next
    }

    /// Leaves what the frame at hand asks for to the audit log, where that wants it.
    #[inline]
    pub(in crate::core) fn audit_frame(&mut self, header: FrameHeader) {
        if self.core.audit.is_some() {
            self.core.audit_statement(self.id, header.tag, self.walk.payload(header));
        }
    }

    /// Puts a frame (of which all or only the front has come) at the end of the run.
    pub(in crate::core) fn extend_run(&mut self, frame_tag: u8, frame_bytes: usize) {
        let have = self.walk.rest().len().min(frame_bytes);
        let client = &mut self.core.clients[self.id];
        client.partial = Partial::forward(frame_bytes, have);
        if let (true, Some(server)) = (have < frame_bytes, client.link()) {
            self.core.servers[server].half_sent = match frame_tag {
                tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL | tag::FLUSH => HalfSent::Other,
                _ => HalfSent::Request,
            };
        }
        self.walk.run.end += have;
    }

    /// Drops a frame (of which all or only the front has come).
    pub(in crate::core) fn drop_frame(&mut self, frame_bytes: usize) {
        let have = self.walk.rest().len().min(frame_bytes);
        self.core.clients[self.id].partial = Partial::drop(frame_bytes, have);
        self.walk.skip(have);
    }

    /// Sends the run to the linked server.
    pub(in crate::core) fn flush(&mut self) {
        if self.walk.run.is_empty() {
            return;
        }
        let client = &mut self.core.clients[self.id];
        let Some(server) = client.link() else {
            unreachable!("a run exists only while the client is linked")
        };
        if let Some(tally) = &mut client.tally {
            tally.totals.bytes_in += self.walk.run.len() as u64;
        }
        debug_assert!(matches!(self.core.servers[server].phase, Phase::Linked(linked) if linked == self.id));
        self.core.pools[client.pool].counters.client_bytes += self.walk.run.len() as u64;
        self.core.just_sent_to = Some(server);
        self.net.forward(Peer::Server(server), self.walk.run.clone());
        self.walk.run.start = self.walk.run.end;
    }
}
