//! `application_name_template`: a server is told the name of the client that it is lent to, in the same
//! write as what that says first; its answer is nobody's (`Expect::Name`), and the client hears of its own
//! name only.
//!
//! Never waits for an answer, and never amid a transaction.

use super::expect::Expect;
use crate::base::{ClientId, Peer, ServerId, log_about};
use crate::core::conn::{IDLE, Sets};
use crate::core::net::Net;
use crate::core::worker_core::Core;
use crate::wire::encode;

impl Core {
    /// Tells a linked server the name of its client, where that is due: in front of what the client says
    /// next.
    #[inline]
    pub(in crate::core) fn tell_name(&mut self, client: ClientId, server: ServerId, net: &mut impl Net) {
        if self.clients[client].shown_name.as_ref().is_some_and(|name| name.is_due) {
            self.send_name(client, server, net);
        }
    }

    fn send_name(&mut self, client: ClientId, id: ServerId, net: &mut impl Net) {
        let Some(name) = &mut self.clients[client].shown_name else { return };
        let sets = Sets::of_name(name.shown());
        name.is_told();
        let server = &mut self.servers[id];
        log_about!(debug, server.identity.about(), "varcache_apply: {}", sets.sql());
        server.task_failed = false;
        server.expected.push(Expect::Name);
        net.send(Peer::Server(id), &sets.messages());
    }

    /// In session pooling a client that has given itself another name has its server told at the end of the
    /// transaction, since no link comes that would.
    pub(super) fn tell_name_again(&mut self, client: ClientId, id: ServerId, net: &mut impl Net) {
        let Some(name) = &self.clients[client].shown_name else { return };
        let server = &self.servers[id];
        let has = server.params.value(name.position());
        if server.status == IDLE && server.is_clean() && has.is_some_and(|has| has != name.shown()) {
            self.send_name(client, id, net);
        }
    }

    /// A server has answered to its client's name.
    pub(super) fn name_told(&mut self, id: ServerId) {
        let server = &self.servers[id];
        if !server.task_failed
            && let Some(client) = server.link()
        {
            server.adopt_params(&mut self.clients[client].params);
        }
    }

    /// A linked server reports another `application_name`; whether the client is one that is told of its own
    /// instead.
    pub(super) fn note_name(&mut self, client: ClientId, id: ServerId, position: usize) -> bool {
        let client = &mut self.clients[client];
        let Some(name) = client.shown_name.as_mut().filter(|name| name.position() == position) else {
            return false;
        };
        let server = &self.servers[id];
        if !server.expected.is_naming()
            && let Some(value) = server.params.value(position)
        {
            name.becomes(value);
            client.params.values = client.params.values.with(position, name.shown().clone());
        }
        true
    }

    /// Tells a client what it calls itself, in place of a report of its server's.
    pub(super) fn report_own_name(&self, client: ClientId, net: &mut impl Net) {
        if let Some(name) = &self.clients[client].shown_name {
            let mut status = Vec::new();
            encode::parameter_status(&mut status, "application_name", name.own());
            net.send(Peer::Client(client), &status);
        }
    }
}
