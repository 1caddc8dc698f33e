//! What the login plane hands to a worker, once per connection. The socket, its TLS session and its guard
//! travel beside these values, in `io::Channel`: the core never sees them.

use super::conn::ShownName;
use super::pool::PoolShare;
use crate::audit::LoginCredential;
use crate::base::{About, Address, Micros, Proof};
use crate::config::ClientRules;
use crate::wire::request_context::RequestContext;
use crate::wire::startup::Replication;
use crate::wire::{ParamMask, ParamSet};
use std::sync::Arc;

/// Who a client is: fixed at login, shared with whoever shows or logs it.
#[derive(Debug)]
pub struct ClientIdentity {
    /// The socket's number of SHOW (`id`), counted over all sockets ever made.
    pub socket_id: u64,
    /// Database entry that it asked for.
    pub database: Arc<str>,
    /// User that it logged in as.
    pub user: Arc<str>,
    /// How it has proven who it is.
    pub proof: Proof,
    /// Its own end.
    pub remote: Address,
    /// Our end.
    pub local: Address,
    /// `TLSv1.3/TLS_AES_256_GCM_SHA384/…`, empty without TLS.
    pub tls: String,
    /// Seconds since the epoch at accept.
    pub connected_at_epoch_s: u64,
    /// Which kind of replication it has asked for.
    pub replication: Replication,
    /// A client that the pooler itself plays (auth_query): not shown in SHOW CLIENTS,
    /// not counted as a client.
    pub internal: bool,
}

impl ClientIdentity {
    /// Who it is: whom its proof names, or its user.
    pub fn principal(&self) -> &str {
        self.proof.principal.as_ref().map_or(&self.user, |principal| &principal.name)
    }

    /// As the log names it.
    pub(crate) fn about(&self) -> About<'_> {
        About {
            side: "C",
            id: self.socket_id,
            database: &self.database,
            user: &self.user,
            peer: &self.remote,
        }
    }
}

#[cfg(test)]
impl ClientIdentity {
    /// A client at no address.
    pub(crate) fn for_tests(socket_id: u64) -> Self {
        let nowhere = Address::Unix { port: 0, pid: 0, uid: 0 };
        Self {
            socket_id,
            database: "db".into(),
            user: "app".into(),
            proof: Proof::by("trust"),
            remote: nowhere.clone(),
            local: nowhere,
            tls: String::new(),
            connected_at_epoch_s: 0,
            replication: Replication::No,
            internal: false,
        }
    }

    /// The same of the console.
    pub(crate) fn of_console_for_tests(socket_id: u64) -> Self {
        Self { database: crate::config::CONSOLE_DATABASE.into(), ..Self::for_tests(socket_id) }
    }
}

/// A client that has finished its login but for its last messages ([`ClientLogin::welcome`]).
#[derive(Debug)]
pub struct ClientLogin {
    /// Who it is.
    pub identity: Arc<ClientIdentity>,
    /// The pool that serves it.
    pub pool: Arc<PoolShare>,
    /// Its tracked parameters, as the welcome told it.
    pub params: ParamSet,
    /// Those that it has asked for; the others follow the servers that it is lent.
    pub asked: ParamMask,
    /// Its names, where servers know it by another one than it does: `params` has that, the welcome its own.
    pub shown_name: Option<Box<ShownName>>,
    /// What its StartupMessage says of the request that it works for.
    pub context: Option<Box<RequestContext>>,
    /// The rules in force for it.
    pub rules: ClientRules,
    /// How long its login has taken, from accept to the welcome.
    pub login_time: Micros,
    /// The last messages of its login, ReadyForQuery at the end. The worker sends them when the client has
    /// joined, so a client that reads them is known to its worker.
    pub welcome: Box<[u8]>,
}

/// What PostgreSQL gave for cancelling one server's queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelKey {
    /// Process id of the backend.
    pub pid: u32,
    /// Secret key: 4 bytes in protocol 3.0, up to 256 in 3.2.
    pub secret: Box<[u8]>,
}

/// Who a server is: fixed at login.
#[derive(Debug)]
pub struct ServerIdentity {
    /// The socket's number of SHOW (`id`).
    pub socket_id: u64,
    /// Database entry of its pool.
    pub database: Arc<str>,
    /// User of its pool.
    pub user: Arc<str>,
    /// User that it is logged in as: the pool's, unless a secret names another.
    pub login_user: Arc<str>,
    /// PostgreSQL's end.
    pub remote: Address,
    /// Our end.
    pub local: Address,
    /// The host of the database entry that it was opened to (host lists have several), a
    /// name or path as configured.
    pub host: Arc<str>,
    /// That host with its port, as caps count them ([`crate::config::PoolRules::endpoints`]).
    pub endpoint: Arc<str>,
    /// As SHOW prints it, empty without TLS.
    pub tls: String,
    /// Seconds since the epoch at connect.
    pub connected_at_epoch_s: u64,
    /// Which kind of replication it was opened for.
    pub replication: Replication,
    /// Its cancel key.
    pub cancel_key: CancelKey,
    /// What its login was proven by, for the audit log.
    pub credential: Option<Box<LoginCredential>>,
}

impl ServerIdentity {
    /// As the log names it.
    pub(crate) fn about(&self) -> About<'_> {
        About {
            side: "S",
            id: self.socket_id,
            database: &self.database,
            user: &self.user,
            peer: &self.remote,
        }
    }
}

#[cfg(test)]
impl ServerIdentity {
    /// A server of nobody's, at no address.
    pub(crate) fn for_tests(socket_id: u64) -> Self {
        let nowhere = Address::Unix { port: 0, pid: 0, uid: 0 };
        Self {
            socket_id,
            database: "db".into(),
            user: "app".into(),
            login_user: "app".into(),
            remote: nowhere.clone(),
            local: nowhere,
            host: "".into(),
            endpoint: "host:5432".into(),
            tls: String::new(),
            connected_at_epoch_s: 0,
            replication: Replication::No,
            cancel_key: CancelKey { pid: 1, secret: Box::new([0; 4]) },
            credential: None,
        }
    }
}

/// How long a server may serve on the authorization that it was logged in with. Both times lie on the
/// process's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// From when on a replacement is wanted.
    pub soft_at: Micros,
    /// From when on no transaction begins on it, but under a stance that extends it
    /// ([`super::pool::Stance`]). Not before `soft_at`.
    pub hard_at: Micros,
}

/// A server that has finished its login and sent ReadyForQuery 'I'.
#[derive(Debug)]
pub struct ServerLogin {
    /// Who it is.
    pub identity: Arc<ServerIdentity>,
    /// The pool that it belongs to.
    pub pool: Arc<PoolShare>,
    /// Its tracked parameters, as it reported them.
    pub params: ParamSet,
    /// [`PoolShare::generation`] when its login began.
    pub generation: u32,
    /// When its connect began: age and lifetime count from here.
    pub connected_at: Micros,
    /// How long its login is good for; `None` = as long as the connection (not by IAM).
    pub authorization: Option<Authorization>,
}
