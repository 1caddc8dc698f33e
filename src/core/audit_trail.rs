//! What a worker leaves for the audit log: when, and about whom.
//!
//! A transaction leaves one record, at its end; one that lasts leaves a `link` meanwhile. Never formats and
//! never waits: [`Tap`] takes values. While the log is off each place costs one comparison. With
//! `audit_overflow = block` and no room, nobody is lent a server, no transaction begins, and where statements
//! are recorded none is sent within one ([`Core::audit_is_full`]); all else that is under way ends as it
//! would. A transaction that was open when the log was turned on counts from its next request.

use super::conn::{Client, CloseReason, Leave, Reason, Server, Tally};
use super::login_handoff::{ClientIdentity, ServerIdentity};
use super::net::Net;
use super::query_limits::Limit;
use super::worker_core::Core;
use crate::audit::{
    Logout, Outcome, Record, ServerClosed, ServerFacts, Statement, StatementKind, Tap, Totals, Transaction,
    Who,
};
use crate::base::{ClientId, Micros, Peer, ServerId, limits};
use crate::core::login_handoff::Authorization;
use crate::wire::masked;
use crate::wire::tags::client as tag;

impl Core {
    /// Turns the audit log on, for this end of a ring, or off.
    pub fn set_audit(&mut self, tap: Option<Box<Tap>>, net: &mut impl Net) {
        let before = std::mem::replace(&mut self.audit, tap);
        if let (Some(tap), Some(before)) = (&mut self.audit, before) {
            tap.take_over(*before);
        }
        if self.audit.is_none() {
            self.clients.values_mut().for_each(|client| client.tally = None);
        }
        self.audit_room(net);
    }

    /// Whether nothing new may begin: records wait for room, and none may be lost.
    #[inline]
    pub(in crate::core) fn audit_is_full(&mut self) -> bool {
        self.audit.as_mut().is_some_and(|tap| tap.is_full())
    }

    /// There may be room again: those who were held for it go on.
    pub(in crate::core) fn audit_room(&mut self, net: &mut impl Net) {
        if self.audit_is_full() {
            return;
        }
        for id in std::mem::take(&mut self.held_for_audit) {
            if let Some(client) = self.clients.find_mut(id) {
                client.hold.lift(Reason::Unrecorded, Peer::Client(id), net);
            }
        }
    }

    /// Holds a client that has a server, where what it is about to send could not be recorded: the begin of a
    /// transaction, or within one a statement. Whether it is held. A Sync goes on, whatever stands before it.
    pub(in crate::core) fn hold_for_audit(
        &mut self,
        id: ClientId,
        frame_tag: u8,
        net: &mut impl Net,
    ) -> bool {
        let Some(tap) = &mut self.audit else { return false };
        let client = &mut self.clients[id];
        let leaves_record = !client.request.in_xact || (tap.takes_statements() && is_statement(frame_tag));
        if !leaves_record || client.link().is_none() || !tap.is_full() {
            return false;
        }
        if !client.hold.has(Reason::Unrecorded) {
            client.hold.add(Reason::Unrecorded, Peer::Client(id), net);
            self.held_for_audit.push(id);
        }
        true
    }

    /// A client's request begins, and with `is_first` its transaction.
    pub(in crate::core) fn tally_request(&mut self, id: ClientId, is_first: bool) {
        let client = &mut self.clients[id];
        let is_first = is_first || client.tally.is_none();
        client.tally.get_or_insert_default().request(is_first);
    }

    /// Bytes of a client that were taken otherwise than by being forwarded as they are.
    pub(in crate::core) fn tally_bytes_in(&mut self, id: ClientId, bytes: usize) {
        if let Some(tally) = &mut self.clients[id].tally {
            tally.totals.bytes_in += bytes as u64;
        }
    }

    /// A transaction on a linked server is over.
    pub(in crate::core) fn audit_transaction(&mut self, id: ServerId, client: ClientId, outcome: Outcome) {
        self.look_at_clock();
        let record = transaction(&self.clients[client], &self.servers[id], self.now, outcome);
        if let (Some(tap), Some(record)) = (&mut self.audit, record) {
            tap.put(Record::Transaction(record));
        }
    }

    /// What ends is told of with the time at which it is found to be over, behind PostgreSQL's last line of
    /// it: a worker looks at its clock once a round, and may lose its core behind that. What begins later
    /// does so later by the same clock, on the same worker.
    fn look_at_clock(&mut self) {
        if let Some(tap) = &self.audit {
            let now = tap.now();
            self.it_is(now);
        }
    }

    /// A server has ended; the client that was linked to it is about to.
    pub(in crate::core) fn audit_lost_server(&mut self, client: ClientId, server: &Server) {
        self.look_at_clock();
        let client = &mut self.clients[client];
        let is_amid = std::mem::take(&mut client.request.in_xact);
        if let Some(tap) = self.audit.as_mut().filter(|_| is_amid)
            && let Some(record) = transaction(client, server, self.now, Outcome::ServerClosed)
        {
            tap.put(Record::Transaction(record));
        }
    }

    /// A client has left.
    pub(in crate::core) fn audit_logout(&mut self, client: &Client, leave: &Leave) {
        self.look_at_clock();
        let (now, Self { audit, servers, .. }) = (self.now, self);
        let Some(tap) = audit else { return };
        if client.request.in_xact
            && let Some(server) = client.link().and_then(|server| servers.find(server))
            && let Some(record) = transaction(client, server, now, Outcome::ClientLeft)
        {
            tap.put(Record::Transaction(record));
        }
        if client.identity.internal {
            return;
        }
        tap.put(Record::Logout(Box::new(Logout {
            who: client.identity.who(),
            reason: leave.text().into(),
            at: now,
            duration: now.since(client.joined_at),
            totals: client.tally.as_ref().map_or_else(Totals::default, |tally| tally.totals),
        })));
    }

    /// A server has ended.
    pub(in crate::core) fn audit_server_end(&mut self, server: &Server, reason: CloseReason) {
        let now = self.now;
        if let Some(tap) = &mut self.audit {
            tap.put(Record::ServerClosed(Box::new(ServerClosed {
                server: server.identity.facts(),
                reason: reason.text().into(),
                at: now,
                age: now.since(server.connected_at),
            })));
        }
    }

    /// What a client has sent to be run: the frame with this tag, of whose payload this much has come.
    pub(in crate::core) fn audit_statement(&mut self, id: ClientId, frame_tag: u8, payload: &[u8]) {
        let now = self.now;
        let Some(tap) = self.audit.as_mut().filter(|tap| tap.takes_statements()) else { return };
        let mut parts = payload.split(|byte| *byte == 0);
        let mut part = || parts.next().unwrap_or_default();
        let (kind, name, text) = match frame_tag {
            tag::QUERY => (StatementKind::Query, &[][..], part()),
            tag::PARSE => (StatementKind::Parse, part(), part()),
            tag::BIND => (StatementKind::Bind, parts.nth(1).unwrap_or_default(), &[][..]),
            tag::FUNCTION_CALL => (StatementKind::Function, &[][..], &[][..]),
            _ => return,
        };
        let client = &self.clients[id];
        let kept = &text[..text.len().min(limits::AUDIT_STATEMENT_BYTES_MAX)];
        // Without the zero behind it, more of the text is to come.
        let is_whole = kept.len() == text.len() && name.len() + text.len() < payload.len();
        tap.put(Record::Statement(Box::new(Statement {
            session: client.identity.socket_id,
            transaction: client.tally.as_ref().map_or(0, |tally| tally.totals.transactions),
            kind,
            name: name[..name.len().min(limits::AUDIT_STATEMENT_BYTES_MAX)].into(),
            is_cut: !text.is_empty() && !is_whole,
            text: masked(kept, client.encoding(&self.names)).into(),
            at: now,
        })));
    }

    /// Leaves a `link` for each transaction that lasts.
    pub(in crate::core) fn audit_links(&mut self) {
        let (now, Self { audit, clients, servers, .. }) = (self.now, self);
        let Some(tap) = audit else { return };
        for client in clients.values_mut().filter(|client| client.request.in_xact) {
            let Some(server) = client.link().and_then(|server| servers.find(server)) else { continue };
            let lasts = now.since(began_at(client, server)) >= Micros::from_millis(limits::AUDIT_LINK_MS);
            let is_due = |tally: &mut Box<Tally>| lasts && !std::mem::replace(&mut tally.has_link, true);
            if client.tally.as_mut().is_some_and(is_due)
                && let Some(record) = transaction(client, server, now, Outcome::Open)
            {
                tap.put(Record::Transaction(record));
            }
        }
    }
}

/// When a client's present transaction began on this server.
fn began_at(client: &Client, server: &Server) -> Micros {
    client.request.xact_began_at.max(server.linked_at)
}

/// Whether a frame with this tag leaves a record where statements are recorded.
fn is_statement(frame_tag: u8) -> bool {
    matches!(frame_tag, tag::QUERY | tag::PARSE | tag::BIND | tag::FUNCTION_CALL)
}

/// The record of a client's present transaction on this server; `None` where it began before the log was on.
fn transaction(client: &Client, server: &Server, now: Micros, outcome: Outcome) -> Option<Transaction> {
    let tally = client.tally.as_ref()?;
    let (totals, before) = (&tally.totals, &tally.before);
    let asked_at = client.request.xact_began_at;
    Some(Transaction {
        session: client.identity.socket_id,
        number: totals.transactions,
        server: server.identity.socket_id,
        pid: server.identity.cancel_key.pid,
        address: server.identity.remote.clone(),
        is_authorized_by_iam: server.authorization != Authorization::ENDLESS,
        generation: server.generation,
        authorized_at: server.connected_at,
        begin: began_at(client, server),
        end: now,
        wait: server.linked_at.since(asked_at),
        queries: totals.queries - before.queries,
        bytes_in: totals.bytes_in - before.bytes_in,
        bytes_out: totals.bytes_out - before.bytes_out,
        outcome,
        canceled_by: client.request.canceled_by().map(Limit::name),
        context: client.context.as_ref().and_then(|context| context.pairs()),
    })
}

impl ClientIdentity {
    /// As records of the audit log name it.
    pub fn who(&self) -> Who {
        Who {
            session: self.socket_id,
            database: self.database.clone(),
            user: self.user.clone(),
            proof: self.proof.clone(),
            address: self.remote.clone(),
            tls: self.tls.as_str().into(),
        }
    }
}

impl ServerIdentity {
    /// As records of the audit log name it.
    pub fn facts(&self) -> ServerFacts {
        ServerFacts {
            server: self.socket_id,
            pid: self.cancel_key.pid,
            database: self.database.clone(),
            user: self.login_user.clone(),
            host: self.host.clone(),
            address: self.remote.clone(),
            tls: self.tls.as_str().into(),
        }
    }
}
