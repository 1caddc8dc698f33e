//! What clients' logins share among themselves.
//!
//! One value, made by `boot`. Knows nothing of servers: both meet in the [`Plane`].

use super::accepting::Accepting;
use super::callers::Callers;
use super::issuers::Issuers;
use super::shortage::Shortage;
use super::turns::DirectoryTurns;
use super::unauthenticated::UnauthenticatedClients;
use super::verifiers::Verifiers;
use crate::base::{Micros, limits};
use crate::config::{AuthType, Settings};
use crate::control::{FairSemaphore, Logins, Plane, Randomness, Stream, Turns};
use crate::core::ClientIdentity;
use crate::io::Guard;
use crate::tls::Handshakes;
use std::sync::Arc;
use tokio::sync::mpsc;

/// What a client of the console may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// `admin_users`, or the process's own uid on a Unix socket.
    Admin,
    /// `stats_users`: SHOW only.
    Show,
}

impl Rights {
    /// Those of a user who has proven who that is; `None`: the console is not for him.
    pub fn of(settings: &Settings, user: &str) -> Option<Self> {
        let may_look = settings.auth_type == AuthType::Any || settings.stats_users.has(user);
        match (settings.admin_users.has(user), may_look) {
            (true, _) => Some(Self::Admin),
            (false, true) => Some(Self::Show),
            (false, false) => None,
        }
    }
}

/// What carries a client of the console.
pub trait ConsoleStream: Stream {
    /// Whether the client has closed it, or its half of it.
    fn has_hung_up(&self) -> bool;
}

/// A client of the database `pgbouncer` that has proved who it is; nothing after
/// AuthenticationOk has been sent yet.
pub struct ConsoleLogin {
    /// Its stream, with nothing unread but what the stream itself still holds.
    pub stream: Box<dyn ConsoleStream>,
    /// Who it is.
    pub identity: Arc<ClientIdentity>,
    /// What it may do.
    pub rights: Rights,
    /// Held until its session ends (counts of clients).
    pub guard: Guard,
}

/// What clients' logins share.
pub struct Clients {
    /// What they share with logins to servers.
    pub plane: Arc<Plane>,
    /// Clients that have not proven who they are.
    pub unauthenticated: Arc<UnauthenticatedClients>,
    /// Permits for lookups by auth_query.
    pub lookups: FairSemaphore,
    /// Permits for names of accounts.
    pub accounts: FairSemaphore,
    /// Turns at directories.
    pub ldap_turns: DirectoryTurns,
    /// Turns at PAM.
    pub pam_turns: Turns,
    /// Issuers of tokens, with their keys.
    pub(crate) issuers: Issuers,
    /// Callers of AWS, as STS has named them.
    pub callers: Arc<Callers>,
    /// The clients that are logging in.
    pub logins: Logins,
    /// What SCRAM clients are checked against.
    pub verifiers: Arc<Verifiers>,
    /// Salts and nonces.
    pub random: Randomness,
    /// Their TLS handshakes.
    pub handshakes: Handshakes,
    /// Whether clients are accepted at present.
    pub accepting: Accepting,
    /// What the log hears where no client can be taken.
    pub(super) shortage: Shortage,
    /// Takes clients of the database `pgbouncer`.
    pub console: mpsc::UnboundedSender<ConsoleLogin>,
}

impl Clients {
    /// Nobody yet, and what the console is to take.
    pub fn new(plane: Arc<Plane>) -> (Arc<Self>, mpsc::UnboundedReceiver<ConsoleLogin>) {
        let (console, logins) = mpsc::unbounded_channel();
        let clients = Self {
            unauthenticated: Arc::new(UnauthenticatedClients::new(plane.clock())),
            lookups: FairSemaphore::new(limits::LOOKUPS_MAX, limits::LOOKUPS_PER_DATABASE_MAX),
            accounts: FairSemaphore::new(limits::ACCOUNT_LOOKUPS_MAX, limits::ACCOUNT_LOOKUPS_EACH_MAX),
            ldap_turns: DirectoryTurns::default(),
            pam_turns: Turns::new("PAM", limits::PAM_LOGINS_MAX, limits::PAM_LOGINS_EACH_MAX),
            issuers: Issuers::new(plane.clock()),
            callers: Arc::default(),
            logins: Logins::default(),
            verifiers: Arc::default(),
            random: Randomness::default(),
            handshakes: Handshakes::default(),
            shortage: Shortage::default(),
            accepting: Accepting::default(),
            console,
            plane,
        };
        (Arc::new(clients), logins)
    }

    /// Whether a soft shutdown waits for somebody who has come before it and is no client yet: for
    /// [`limits::LOGIN_GRACE_MS`] in all, since nothing tells who logs in from who says nothing.
    pub fn are_on_their_way(&self) -> bool {
        let is_anybody =
            self.accepting.is_open_to_tcp() || self.unauthenticated.count() > 0 || self.logins.count() > 0;
        is_anybody && self.plane.is_shutdown_young(Micros::from_millis(limits::LOGIN_GRACE_MS))
    }
}
