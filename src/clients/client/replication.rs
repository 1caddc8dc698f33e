//! The end of a replication client's login: the wait for a server of its own, and the hand-over with it.
//!
//! What such a client is welcomed with is what its own server has reported. Its login's time limit is over
//! by then: the wait is bounded as that for a query's server is. Source: PgBouncer, doc/usage.md (SHOW
//! CLIENTS), test/test_replication.py.

use super::hand_over::Allowed;
use super::{LoginAttempt, Stage};
use crate::clients::clients::Clients;
use crate::clients::greet::LoginEnd;
use crate::clients::login_reply::{WelcomeWords, replication_startup};
use crate::clients::stream::ClientStream;
use crate::config::{ClientRules, PeerId, PoolMode};
use crate::control::{Acceptance, Admission, PoolEntry, ReplicationOffer, ReplicationWish};
use crate::core::ClientLogin;
use crate::wire::{Fault, ParamMask};
use std::sync::Arc;
use tokio::sync::Notify;

/// A replication client that has proven who it is.
pub(super) struct Replica {
    entry: Arc<PoolEntry>,
    wish: ReplicationWish,
    rules: ClientRules,
    admission: Admission,
    /// `login_notify_message`.
    notice: Arc<str>,
    peer_id: PeerId,
    /// `max_prepared_statements`.
    statements_max: u32,
}

impl LoginAttempt {
    /// What is settled for a replication client that may come in.
    pub(super) fn as_replica(&self, clients: &Clients, allowed: Allowed<'_>) -> Result<Replica, LoginEnd> {
        let Allowed { settings, startup, rules, admission } = allowed;
        let add_host = settings.application_name_add_host.then_some(&self.remote);
        let wish = ReplicationWish {
            kind: startup.replication,
            startup: replication_startup(&clients.plane.names, startup, add_host),
        };
        let entry = self.pool_entry(clients)?;
        Ok(Replica {
            entry,
            wish,
            rules,
            admission,
            notice: settings.login_notify_message.clone(),
            peer_id: settings.peer_id,
            statements_max: settings.max_prepared_statements,
        })
    }

    /// Waits for the server that is opened for this client, and leaves with it.
    ///
    /// # Errors
    /// Why there is none; the client and its stream, who is to be told.
    ///
    /// # Cancel safety
    /// The client is cut off, and its server is ended.
    pub(super) async fn replicate(
        mut self,
        clients: &Clients,
        mut stream: ClientStream,
        replica: Replica,
    ) -> Result<(), (Self, ClientStream, LoginEnd)> {
        let Replica { entry, wish, rules, admission, notice, peer_id, statements_max } = replica;
        let counted = entry.count_client();
        self.stage = Stage::WaitingForServer(Arc::clone(&entry.share));
        let offer = match self.own_server(clients, &mut stream, &entry, wish, rules).await {
            Ok(offer) => offer,
            Err(end) => return Err((self, stream, end)),
        };
        let here = self.home.filter(|_| stream.is_on_loop());
        let plane = &clients.plane;
        let worker = here.map_or_else(|| plane.least_loaded_worker(), |here| plane.near_worker(here));
        let Some(key) = plane.cancel_keys.issue(worker, self.id, peer_id) else {
            return Err((self, stream, LoginEnd::Silent("no randomness from the system".to_owned())));
        };
        let words = WelcomeWords {
            names: &plane.names,
            welcome: &offer.welcome,
            params: &offer.welcome.params,
            mode: PoolMode::Session,
            statements_max,
            key: key.key(),
            notice: &notice,
        };
        let mut welcome = stream.take_held();
        welcome.append(&mut words.write());
        let login = ClientLogin {
            identity: self.identity(&stream),
            pool: Arc::clone(&entry.share),
            params: offer.welcome.params.clone(),
            asked: ParamMask::default(), // its server was opened with what it has asked for
            rules,
            shown_name: None,
            context: None,
            login_time: plane.now().since(self.arrived),
            welcome: welcome.into(),
        };
        // It goes to its worker by way of whoever has its server.
        let channel = match stream.leave_loop() {
            Ok(_) => stream.into_channel(self.guard((admission, key, counted))),
            Err(error) => return Err((self, stream, error.into())),
        };
        match channel {
            Ok(channel) => {
                self.record_login(clients, &login.identity);
                drop(self); // its row: whom the worker has welcomed is no more a login in progress
                offer.accept(Acceptance { worker, client: (channel, login) });
            }
            Err(error) => self.log_end(clients, &error.into()),
        }
        Ok(())
    }

    async fn own_server(
        &self,
        clients: &Clients,
        stream: &mut ClientStream,
        entry: &PoolEntry,
        wish: ReplicationWish,
        rules: ClientRules,
    ) -> Result<ReplicationOffer, LoginEnd> {
        let query_timeout = entry.share.rules().query_timeout.to_timeout();
        let kill = Arc::new(Notify::new());
        self.row.update(|row| {
            row.is_waiting = true;
            row.kill = Some(Arc::clone(&kill));
        });
        tokio::select! {
            biased;
            offer = clients.plane.replication_server(entry, wish) => Ok(offer?),
            end = super::gone(stream) => Err(end),
            () = kill.notified() => Err(Fault::AdminDisconnect.into()),
            () = tokio::time::sleep(rules.query_wait_timeout.to_timeout()) => {
                Err(entry.replica_wait_over("query_wait_timeout", Fault::QueryWaitTimeout).into())
            }
            () = tokio::time::sleep(query_timeout) => Err(Fault::QueryTimeoutWaiting.into()),
        }
    }
}
