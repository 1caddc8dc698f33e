//! Named statements of a client, under the names that servers know them by.
//!
//! A statement is prepared on whatever server the client is lent: a Parse of what the server already holds is
//! answered here, a Bind of what it does not hold is preceded by a Parse of ours. What is kept of a message
//! is bounded: names by `limits::STATEMENT_NAME_BYTES_MAX`, a Parse by `limits::STATEMENT_BYTES_MAX`.

use super::context::{Relay, Step};
use super::expect::{Expect, Forgetting};
use super::held_statements::ServerStatements;
use super::statements::{NAME_PREFIX, Statement, StatementId};
use crate::base::{ClientId, Peer, ServerId, limits, log_about};
use crate::config::SessionState;
use crate::core::conn::{ContextChange, Reason, Server};
use crate::core::net::Net;
use crate::core::worker_core::Core;
use crate::wire::tags::{client as tag, server as answer, target};
use crate::wire::{Fault, FrameHeader, HEADER_BYTES, encode, frontend};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

impl Core {
    /// Sends our Parse of a statement, behind Closes of those that have to go for it (a
    /// PgBouncer there answers a Close that it need not pass on at once, and before a Parse).
    /// Returns how many bytes that were.
    fn prepare(&mut self, id: ServerId, statement: &Statement, expect: Expect, net: &mut impl Net) -> usize {
        let server = &mut self.servers[id];
        let pool = &mut self.pools[server.pool];
        pool.counters.server_parse_count += 1;
        let mut frames = Vec::with_capacity(statement.rest.len() + 64);
        if server.statements.are_in_doubt() {
            // It may hold this one, and closing one that it does not hold does no harm.
            encode::describe_or_close(&mut frames, tag::CLOSE, target::STATEMENT, statement.name.as_bytes());
            server.expected.push(Expect::CloseOurs(statement.id));
        }
        let others_max = (pool.rules.max_prepared_statements as usize).saturating_sub(1);
        while let Some(old) = server.statements.evict(others_max) {
            encode::describe_or_close(&mut frames, tag::CLOSE, target::STATEMENT, old.to_string().as_bytes());
            server.expected.push(Expect::CloseOurs(old));
        }
        encode::parse(&mut frames, statement.name.as_bytes(), &statement.rest);
        server.expected.push(expect);
        server.statements.insert(statement.id);
        net.send(Peer::Server(id), &frames);
        frames.len()
    }

    /// Undoes on the server's side what an answer that will not come would have confirmed;
    /// whether there was anything.
    pub(in crate::core) fn undo(statements: &mut ServerStatements, expect: Expect) -> bool {
        match expect {
            Expect::Parse(Some(statement)) | Expect::ParseOurs(statement) => statements.remove(statement),
            Expect::CloseOurs(statement) => statements.insert(statement),
            _ => return false,
        }
        true
    }

    /// A server says that a command has made the session forget its statements. What was prepared or named
    /// behind it is not meant: it is taken from the answers that are still owed, where there are any.
    pub(in crate::core) fn forget_statements(&mut self, id: ServerId, client: ClientId) {
        if let Some(context) = &mut self.clients[client].context {
            context.forget_statements();
        }
        let server = &mut self.servers[id];
        match server.expected.forget() {
            Forgetting::Nothing => return,
            Forgetting::ButBehind => {}
            Forgetting::All => {
                server.statements.clear();
                self.clients[client].statements = None;
                return;
            }
            Forgetting::TooOften => {
                server.doubt_statements();
                return;
            }
        }
        // It was evicted before it was forgotten: should that be undone, nobody would know.
        if server.expected.behind().any(|expect| matches!(expect, Expect::CloseOurs(_))) {
            server.doubt_statements();
        }
        let Server { statements, expected, .. } = server;
        statements.clear();
        let mut named: HashSet<StatementId> = HashSet::new();
        for expect in expected.behind() {
            match expect {
                Expect::Parse(Some(statement)) => {
                    statements.insert(statement);
                    named.insert(statement);
                }
                Expect::ParseOurs(statement) => statements.insert(statement),
                Expect::ParseFake(statement) => drop(named.insert(statement)),
                _ => {}
            }
        }
        let client = &mut self.clients[client];
        match &mut client.statements {
            Some(statements) if !named.is_empty() => statements.retain(&named),
            _ => client.statements = None,
        }
    }
}

impl<N: Net> Relay<'_, N, ClientId> {
    /// Parse, Bind, Describe or Close where statements are shared.
    pub(in crate::core) fn statement_frame(&mut self, header: FrameHeader) -> Step {
        let now = self.core.now;
        if header.tag == tag::PARSE && header.frame_bytes > limits::STATEMENT_BYTES_MAX {
            return self.refuse(Fault::StatementTooLong);
        }
        if header.tag != tag::BIND && !self.walk.is_whole(header) {
            return Step::Later;
        }
        let name = match name_of(header.tag, self.walk.payload(header)) {
            Ok(Some(name)) => name,
            Ok(None) if self.walk.is_whole(header) || self.walk.payload(header).len() >= NAMES_BYTES_MAX => {
                return self.refuse(malformed(header.tag));
            }
            Ok(None) => return Step::Later,
            Err(fault) => return self.refuse(fault),
        };
        let Some(name) = name else { return self.unnamed_frame(header) };
        if header.tag == tag::CLOSE {
            self.close_statement(name, header);
            return Step::Next;
        }
        let server = match self.need_server(header) {
            Ok(server) => server,
            Err(step) => return step,
        };
        if self.core.servers[server].expected.is_forgetting() {
            // Whether the server still holds what it is about to be asked for is known when it has answered.
            return self.wait_for_answers(Reason::Owed);
        }
        self.core.begin_request(self.id, now);
        self.flush();
        match header.tag {
            tag::PARSE => self.parse_statement(server, name, header),
            _ => self.use_statement(server, name, header),
        }
    }

    /// A frame of the unnamed statement or of a portal: goes on as it is.
    fn unnamed_frame(&mut self, header: FrameHeader) -> Step {
        let server = match self.need_server(header) {
            Ok(server) => server,
            Err(step) => return step,
        };
        let forgets = header.tag == tag::PARSE && {
            let unnamed = self.walk.payload(header).get(1..).unwrap_or_default();
            frontend::forgets_statements(unnamed)
        };
        let step = self.pass_frame(server, header, self.core.now);
        if forgets {
            self.core.servers[server].expected.note_forgetting();
        }
        step
    }

    /// Parse: names the statement for the client, and prepares it on the server unless that has it.
    fn parse_statement(&mut self, server_id: ServerId, name: &[u8], header: FrameHeader) -> Step {
        if self.core.servers[server_id].expected.is_skipping() {
            // The server would pass over it, too: the name stays free.
            self.drop_frame(header.frame_bytes);
            return Step::Next;
        }
        self.audit_frame(header);
        let instead = self.instead.take();
        let (rest, change) = instead.map_or((None, None), |instead| (instead.rest, Some(instead.change)));
        let rest = rest.as_deref().unwrap_or(&self.walk.payload(header)[name.len() + 1..]);
        let statement = match self.name_statement(name, rest, change) {
            Ok(statement) => statement,
            Err(fault) => return self.refuse(fault),
        };
        let client = &self.core.clients[self.id];
        let counters = &mut self.core.pools[client.pool].counters;
        counters.client_parse_count += 1;
        counters.client_bytes += header.frame_bytes as u64;
        self.core.tally_bytes_in(self.id, header.frame_bytes);
        let server = &mut self.core.servers[server_id];
        if server.statements.touch(statement.id) {
            let fake = Expect::ParseFake(statement.id);
            self.answer_ourselves(server_id, fake, answer::PARSE_COMPLETE);
        } else {
            let made = self.core.prepare(server_id, &statement, Expect::Parse(Some(statement.id)), self.net);
            self.walk.count_made(made);
        }
        self.drop_frame(header.frame_bytes);
        Step::Next
    }

    /// Gives a client's statement its name; `change` is what executing it does to the client's context, and
    /// counts as a part of the name.
    fn name_statement(
        &mut self,
        name: &[u8],
        rest: &[u8],
        change: Option<Arc<ContextChange>>,
    ) -> Result<Arc<Statement>, Fault> {
        let bytes_max = self.core.bounds.client_statement_bytes;
        let client = &mut self.core.clients[self.id];
        let statements = client.statements.get_or_insert_default();
        if statements.find(name).is_some() {
            let about = client.identity.about();
            log_about!(
                error,
                about,
                "prepared statement '{}' was already prepared",
                String::from_utf8_lossy(name)
            );
            return Err(Fault::StatementExists);
        }
        let database = &self.core.pools[client.pool].share.database;
        let name_bytes = name.len() + change.as_ref().map_or(0, |change| change.bytes());
        let mut named =
            self.core.registry.name(name_bytes, rest, database).map_err(|_| Fault::StatementsFull)?;
        named.change = change;
        let statement = Arc::clone(&named.statement);
        statements.insert(name, named, bytes_max).map_err(|_| Fault::ClientStatementsFull)?;
        Ok(statement)
    }

    /// Bind or Describe of a named statement: under the server's name for it.
    fn use_statement(&mut self, server_id: ServerId, name: &[u8], header: FrameHeader) -> Step {
        self.audit_frame(header);
        let client = &self.core.clients[self.id];
        let counters = &mut self.core.pools[client.pool].counters;
        counters.bind_count += u64::from(header.tag == tag::BIND);
        let server = &mut self.core.servers[server_id];
        if server.expected.is_skipping() {
            self.drop_frame(header.frame_bytes);
            return Step::Next;
        }
        let expect = if header.tag == tag::BIND { Expect::Bind } else { Expect::Describe };
        let Some(statement) = client.statements.as_ref().and_then(|all| all.find(name)).map(Arc::clone)
        else {
            return self.use_missing(server_id, expect, name, header);
        };
        if !server.statements.touch(statement.id) {
            self.walk.count_made(self.core.prepare(
                server_id,
                &statement,
                Expect::ParseOurs(statement.id),
                self.net,
            ));
        }
        let server = &mut self.core.servers[server_id];
        server.expected.push(expect);
        if statement.forgets {
            server.expected.note_forgetting();
        }
        self.send_renamed(server_id, statement.name.as_bytes(), name, header);
        Step::Next
    }

    /// Bind or Describe of a name that the client has not given: ends it, or is for the server to refuse.
    fn use_missing(&mut self, server: ServerId, expect: Expect, name: &[u8], header: FrameHeader) -> Step {
        let pool = self.core.clients[self.id].pool;
        let state = self.core.pools[pool].rules.session_state;
        if state == SessionState::Pgbouncer || name.len() > MISSING_NAME_BYTES_MAX {
            return self.refuse(Fault::StatementMissing);
        }
        self.core.servers[server].expected.push(expect);
        self.send_renamed(server, &nobodys(name), name, header);
        Step::Next
    }

    /// The frame at hand with the statement's name exchanged; what lies behind the name is forwarded as it
    /// is, however long it is and however much of it has come.
    fn send_renamed(&mut self, server: ServerId, known_as: &[u8], name: &[u8], header: FrameHeader) {
        let payload = self.walk.payload(header);
        // In front of the name: Bind has the portal's name and its zero, Describe the kind byte.
        let lead = match header.tag {
            tag::BIND => payload.iter().position(|byte| *byte == 0).map_or(0, |end| end + 1),
            _ => 1,
        };
        let behind = HEADER_BYTES + lead + name.len() + 1;
        let length = header.frame_bytes - 1 - name.len() + known_as.len();
        let mut front = std::mem::take(&mut self.core.scratch);
        front.clear();
        front.push(header.tag);
        front.extend_from_slice(&(length as u32).to_be_bytes());
        front.extend_from_slice(&payload[..lead]);
        encode::cstr(&mut front, known_as);
        self.net.send(Peer::Server(server), &front);
        self.core.scratch = front;
        let pool = self.core.clients[self.id].pool;
        self.core.pools[pool].counters.client_bytes += behind as u64;
        self.core.tally_bytes_in(self.id, behind);
        self.core.servers[server].request_at = self.core.clients[self.id].request.began_at;
        self.walk.skip(behind);
        self.extend_run(header.tag, header.frame_bytes - behind);
    }

    /// Close of a named statement never reaches a server: the client forgets the name, and
    /// is answered in its turn.
    fn close_statement(&mut self, name: &[u8], header: FrameHeader) {
        self.flush();
        let client = &mut self.core.clients[self.id];
        let skips = client.link().is_some_and(|server| self.core.servers[server].expected.is_skipping());
        if let Some(statements) = client.statements.as_mut().filter(|_| !skips) {
            statements.remove(name);
        }
        self.core.pools[client.pool].counters.client_bytes += header.frame_bytes as u64;
        let link = client.link();
        self.core.tally_bytes_in(self.id, header.frame_bytes);
        match link {
            Some(server) if !skips => {
                self.answer_ourselves(server, Expect::CloseFake, answer::CLOSE_COMPLETE);
            }
            Some(_) => {}
            None => send_empty(Peer::Client(self.id), answer::CLOSE_COMPLETE, self.net),
        }
        self.drop_frame(header.frame_bytes);
    }

    /// An answer in the server's place: at once where nothing else is owed, in its turn otherwise.
    fn answer_ourselves(&mut self, server: ServerId, expect: Expect, tag: u8) {
        let server = &mut self.core.servers[server];
        if server.expected.is_empty() && !server.is_midway() {
            send_empty(Peer::Client(self.id), tag, self.net);
        } else {
            server.expected.push(expect);
        }
    }
}

/// Longest name that a server is asked to refuse: it would end itself over a longer message.
const MISSING_NAME_BYTES_MAX: usize = limits::SMALL_MESSAGE_BYTES_MAX as usize - 16;

/// Most bytes in which the names of a Bind must end.
const NAMES_BYTES_MAX: usize = limits::STATEMENT_NAME_BYTES_MAX as usize;

/// Sends a frame that has no payload.
pub(in crate::core) fn send_empty(to: Peer, tag: u8, net: &mut impl Net) {
    net.send(to, &[tag, 0, 0, 0, 4]);
}

/// What a server is told instead of a name that its client has not given: it says that there is no such
/// statement, as it would to a client of its own, and the session goes on behind the next Sync. What looks
/// like a name of ours is none.
fn nobodys(name: &[u8]) -> Cow<'_, [u8]> {
    if name.starts_with(NAME_PREFIX.as_bytes()) { [name, b" "].concat().into() } else { name.into() }
}

fn malformed(frame_tag: u8) -> Fault {
    Fault::MalformedPacket {
        name: match frame_tag {
            tag::PARSE => "Parse",
            tag::BIND => "Bind",
            tag::DESCRIBE => "Describe",
            _ => "Close",
        },
    }
}

/// The statement's name in a frame, `None` inside where it is the unnamed statement or a portal; `None`
/// outside where more bytes are needed to tell.
fn name_of(frame_tag: u8, payload: &[u8]) -> Result<Option<Option<&[u8]>>, Fault> {
    let fault = |_| malformed(frame_tag);
    let name = match frame_tag {
        tag::PARSE => frontend::parse_view(payload).map_err(fault)?.name,
        tag::BIND => match frontend::bind_view(payload).map_err(fault)? {
            Some(view) if view.rest_at > NAMES_BYTES_MAX => return Err(malformed(frame_tag)),
            Some(view) => view.statement,
            None => return Ok(None),
        },
        _ => {
            let view = frontend::target_view(payload).map_err(fault)?;
            if view.kind != target::STATEMENT {
                return Ok(Some(None));
            }
            view.name
        }
    };
    Ok(Some(if name.is_empty() { None } else { Some(name) }))
}

/// Whether a command has made the session forget every prepared statement.
pub(super) fn has_forgotten_statements(payload: &[u8]) -> bool {
    matches!(payload, b"DEALLOCATE ALL\0" | b"DISCARD ALL\0")
}
