//! The end of a login that has succeeded: what it leaves, and how the server goes to the worker where it is
//! wanted most. One for a replication client goes on in `replication.rs`.

use super::{Attempt, epoch_s};
use crate::audit::LoginCredential;
use crate::base::{Address, WorkerId};
use crate::control::{LoginEntry, Place, Welcome};
use crate::core::{CancelKey, Command, Scope, ServerIdentity, ServerLogin};
use crate::servers::connect::Opened;
use crate::servers::handshake::LoggedIn;
use crate::servers::outcome::{Failure, LoginConnection, RetryDecision};
use crate::wire::ParamSet;
use crate::wire::startup::Replication;
use crate::worker::Mail;
use std::sync::Arc;

/// What a login that has succeeded leaves.
pub(super) struct FinishedLogin {
    pub opened: Opened,
    /// What the server's worker is handed beside the connection.
    pub login: ServerLogin,
    /// What clients are welcomed with.
    pub welcome: Welcome,
    /// What the connection is called in the log.
    pub peer: String,
    /// Its row of SHOW SERVERS until a worker has it.
    pub row: Option<LoginEntry>,
}

impl Attempt {
    /// Takes apart a connection whose login has succeeded; `replication` says what it was opened for.
    pub(super) fn finish(&self, connection: LoginConnection, replication: Replication) -> FinishedLogin {
        let LoginConnection {
            opened: Some(opened),
            handshake: Some(handshake),
            peer,
            row,
            begun_at,
            authorization,
            user,
            credential,
            endpoint: Some(endpoint),
            ..
        } = connection
        else {
            unreachable!("a login that succeeded has a connection");
        };
        let logged_in = handshake.finish();
        let params = self.tracked(&logged_in);
        let login = ServerLogin {
            identity: self.identity(&opened, endpoint, logged_in.key, replication, (user, credential)),
            pool: Arc::clone(&self.entry.share),
            params: params.clone(),
            generation: self.generation,
            connected_at: begun_at.unwrap_or(self.started),
            authorization,
        };
        let welcome = Welcome { reported: logged_in.reported, params };
        FinishedLogin { opened, login, welcome, peer, row }
    }

    fn identity(
        &self,
        opened: &Opened,
        endpoint: Arc<str>,
        cancel_key: CancelKey,
        replication: Replication,
        (login_user, credential): (Option<Arc<str>>, Option<LoginCredential>),
    ) -> Arc<ServerIdentity> {
        let share = &self.entry.share;
        Arc::new(ServerIdentity {
            socket_id: self.socket_id,
            database: Arc::clone(&share.database.name),
            user: Arc::clone(&share.user),
            login_user: login_user.unwrap_or_else(|| Arc::clone(&share.user)),
            remote: opened.remote.clone(),
            local: opened.local.clone(),
            host: Arc::clone(&opened.host),
            endpoint,
            tls: opened.tls.clone(),
            connected_at_epoch_s: epoch_s(),
            replication,
            cancel_key,
            credential: credential.map(Box::new),
        })
    }

    /// Gives the server to the worker where it is wanted most, and lets those in who wait for it.
    pub(in crate::servers) async fn hand_over(
        &self,
        connection: LoginConnection,
        unread: Vec<u8>,
        place: Place,
    ) {
        let share = &self.entry.share;
        if let Some(reason) = self.obsolete() {
            return self
                .fail(connection, Failure { sequel: RetryDecision::Nothing, ..Failure::new(reason) }, place)
                .await;
        }
        let FinishedLogin { opened, login, welcome, peer, row } = self.finish(connection, Replication::No);
        // On its way from before its login is over: see `PoolShare::outlook`.
        let under_way = share.server_under_way();
        let place = place.into_live(&login.identity.endpoint);
        let channel = match opened.into_channel(unread, Box::new(place)) {
            Ok(channel) => channel,
            // The socket is gone, and its place with it.
            Err(error) => return self.log_close(&peer, &error.to_string()),
        };
        self.entry.forget_failures();
        let worker = self.worker();
        drop(row);
        let identity = Arc::clone(&login.identity);
        self.record_login(&login);
        self.servers.plane.worker(worker).send(Mail::Server(Box::new((channel, login))));
        if let Some(order) = self.left_behind(&identity) {
            self.servers.plane.worker(worker).send(Mail::Command(order, Box::new(drop)));
        }
        // Not before: a client that was let in first would find no server and have another one opened.
        self.entry.welcome.learn(self.generation, || welcome);
        // When the worker has read that message and this one, it has served whom it could: look
        // whether others still wait.
        self.servers.plane.ask(worker, Command::Sweep(Scope::Pool(share.id))).await;
        drop(under_way);
        self.servers.plane.launcher.look_again(share.id);
    }

    /// What is to be said of a new server whose host has moved while it was logged in to.
    pub(in crate::servers) fn left_behind(&self, server: &ServerIdentity) -> Option<Command> {
        let Address::Tcp(at) = &server.remote else { return None };
        let addresses = self.servers.dns.left_behind(&server.host, at.ip())?;
        let closes = self.policy.snapshot.settings.dns_close_moved;
        closes.then(|| Command::HostMoved(Arc::clone(&server.host), addresses))
    }

    fn tracked(&self, logged_in: &LoggedIn) -> ParamSet {
        let names = &self.servers.plane.names;
        logged_in.reported.iter().fold(names.empty_set(), |set, (name, value)| match names.position(name) {
            Some(position) => set.with(position, value.as_str()),
            None => set,
        })
    }

    /// The worker whose client waits longest; where nobody waits, one after the other.
    pub(in crate::servers) fn worker(&self) -> WorkerId {
        let waiting = self.entry.share.oldest_waiter().map(|(worker, _)| worker);
        waiting.unwrap_or_else(|| WorkerId((self.socket_id % self.servers.plane.workers.len() as u64) as u16))
    }

    /// Whether the next login sends something else: by a reload, or since a client has
    /// brought what this one lacked.
    pub(in crate::servers) fn is_of_yesterday(&self) -> bool {
        self.entry.share.generation() != self.generation
            || self.servers.plane.would_send(&self.servers.plane.policy.load(), &self.entry) != self.sent
    }
}
