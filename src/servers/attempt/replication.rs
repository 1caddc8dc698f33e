//! Opening a server for one replication client: what it is asked for, and what becomes of it.
//!
//! Its login says nothing of those that serve the pool's other clients, nor of another replication client's:
//! who is refused is told so alone. What may pass (no connection, no credentials, a pause, an order that came
//! meanwhile) puts the client back into its queue, behind the others where its login has failed: these are
//! tried before there is a pause. Why there is one they are told when their time is over. Source: PgBouncer,
//! test/test_replication.py.

use super::Attempt;
use super::hand_over::FinishedLogin;
use crate::control::{Acceptance, Place, ReplicationRequest};
use crate::servers::outcome::{Failure, LoginConnection, RetryDecision};
use crate::wire::Fault;
use crate::wire::startup::Replication;
use crate::worker::{Mail, ReplicationPair};
use std::sync::Arc;

/// As PgBouncer words it: the log, before it, has what the server has said.
const REFUSED: &str = "login failed";

const CLIENT_LEFT: &str = "replication client was closed";

impl Attempt {
    pub(super) fn replication_kind(&self) -> Replication {
        self.replication.as_ref().map_or(Replication::No, |request| request.wish.kind)
    }

    /// Parameters of the StartupMessage: the entry's, and in their place what a replication client has asked
    /// for.
    pub(super) fn startup(&self) -> Vec<(Arc<str>, Arc<str>)> {
        let entry = self.config.startup.iter().map(|(name, value)| (Arc::from(*name), Arc::clone(value)));
        let Some(request) = &self.replication else { return entry.collect() };
        let own = &request.wish.startup;
        let is_asked = |name: &str| own.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        let mut all: Vec<_> = entry.filter(|(name, _)| !is_asked(name)).collect();
        all.extend(own.iter().cloned());
        all.extend(request.wish.kind.parameter().map(|value| ("replication".into(), value.into())));
        all
    }

    /// Whether the session takes queries, `connect_query` for one.
    pub(super) fn may_query(&self) -> bool {
        !self.is_probe && self.replication_kind() != Replication::Physical
    }

    /// Offers the server to its client, and sends both to the client's worker. The place is the server's
    /// until then: where the client has left, the server is ended in order.
    pub(super) async fn hand_to_replica(
        &self,
        connection: LoginConnection,
        unread: Vec<u8>,
        place: Place,
        request: ReplicationRequest,
    ) {
        if let Some(reason) = self.obsolete() {
            let failure = Failure { sequel: RetryDecision::Nothing, ..Failure::new(reason) };
            return self.fail_replica(connection, failure, place, request).await;
        }
        let FinishedLogin { opened, login, welcome, peer, row } = self.finish(connection, request.wish.kind);
        let place = place.into_live(&login.identity.endpoint);
        let Some(Acceptance { worker, client }) = request.offer(welcome).await else {
            self.log_close(&peer, CLIENT_LEFT);
            opened.terminate().await;
            return drop(place);
        };
        let channel = match opened.into_channel(unread, Box::new(place)) {
            Ok(channel) => channel,
            // The socket is gone, and its place and its client with it.
            Err(error) => return self.log_close(&peer, &error.to_string()),
        };
        self.entry.replication.forget_failure();
        let identity = Arc::clone(&login.identity);
        self.record_login(&login);
        drop(row);
        let plane = &self.servers.plane;
        let pair = ReplicationPair { client, server: (channel, login) };
        plane.worker(worker).send(Mail::Replication(Box::new(pair)));
        if let Some(order) = self.left_behind(&identity) {
            plane.worker(worker).send(Mail::Command(order, Box::new(drop)));
        }
        plane.launcher.look_again(self.entry.share.id);
    }

    /// What follows for the client whose server could not be opened.
    pub(super) async fn fail_replica(
        &self,
        mut connection: LoginConnection,
        mut failure: Failure,
        place: Place,
        request: ReplicationRequest,
    ) {
        if self.is_of_yesterday() {
            failure = Failure { sequel: RetryDecision::Nothing, fault: None, ..failure };
        }
        let is_refused = matches!(failure.sequel, RetryDecision::Retry | RetryDecision::Refused)
            && failure.fault.is_some();
        self.log_close(&connection.peer, if is_refused { REFUSED } else { &failure.reason });
        self.record_refusal(failure.why.as_deref().unwrap_or(&failure.reason));
        self.keep_reason(&failure);
        let sequel = failure.sequel;
        match failure.fault {
            _ if self.entry.is_removed() => request.refuse(Fault::DatabaseRemoved),
            Some(_) if is_refused => request.refuse(Fault::LoginFailed),
            Some(fault) => request.refuse(fault),
            None if sequel == RetryDecision::Nothing => self.entry.replication.put_back(request),
            None => {
                let are_all_tried = self.entry.replication.put_behind(request);
                // what another one asks for may do better
                if are_all_tried || sequel != RetryDecision::Retry {
                    self.postpone_replication(sequel, &place);
                }
            }
        }
        self.look_for_change(sequel);
        connection.end().await;
        drop(place); // and with that the launcher looks at those who wait
    }

    /// Keeps for replication clients why logins for them are put off.
    fn keep_reason(&self, failure: &Failure) {
        let text = || failure.why.as_deref().unwrap_or(&failure.reason).to_owned();
        let obstacle = match failure.sequel {
            RetryDecision::Nothing => return,
            RetryDecision::Retry | RetryDecision::Refused => None,
            RetryDecision::RefuseUntil(_) | RetryDecision::WaitUntil(_) => Some(text()),
        };
        self.entry.replication.failed(self.sent.clone(), obstacle);
    }

    fn postpone_replication(&self, sequel: RetryDecision, place: &Place) {
        match sequel {
            RetryDecision::Nothing => {}
            RetryDecision::Retry | RetryDecision::Refused => {
                place.replication_postponed(self.policy.snapshot.settings.server_login_retry);
            }
            RetryDecision::RefuseUntil(until) | RetryDecision::WaitUntil(until) => {
                place.replication_postponed(until.since(self.started));
            }
        }
    }
}
