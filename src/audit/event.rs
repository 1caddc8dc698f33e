//! What the login plane says to the audit log: things that happen once for each connection or less often.
//!
//! Values only; the writer makes lines of them. Never holds a secret: whoever makes one leaves it out.

use super::digest::TextDigest;
use super::record::{LoginCredential, Logout, ServerFacts, Who};
use crate::base::{Address, Micros};
use std::sync::Arc;

/// One thing that has happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client has logged in.
    Login(Box<Login>),
    /// A client that no worker had has left.
    Logout(Box<Logout>),
    /// A client's login was refused.
    Refused(Box<RefusedLogin>),
    /// A login to a server has succeeded, now or before the audit log was turned on.
    ServerLogin {
        /// Which.
        server: Box<ServerFacts>,
        /// The authorization that it holds by IAM ends then.
        authorized_until: Option<Micros>,
        /// Which RECONNECT or reload it was opened behind.
        generation: u32,
        /// How long it has taken; `None`: the server was there before the audit log was turned on.
        took: Option<Micros>,
        /// What it was proven by, where that is told of.
        credential: Option<Box<LoginCredential>>,
    },
    /// A login to a server has failed.
    ServerRefused {
        /// The pool's database entry.
        database: Arc<str>,
        /// The pool's user.
        user: Arc<str>,
        /// Why, as the log says it.
        reason: Box<str>,
    },
    /// AWS credentials were fetched, or were not.
    Credentials(Box<Credentials>),
    /// A secret that others keep has another version, could not be fetched, or can be again.
    Secret(Box<Secret>),
    /// Who is denied by `deny_principals` is another list.
    DenyList {
        /// Lines that say so now.
        lines: usize,
        /// Names and patterns that were not there before.
        added: usize,
        /// Those that are there no more.
        removed: usize,
        /// What stands in the file that says so now; `None`: none is named.
        digest: Option<TextDigest>,
    },
    /// Somebody has told the console something.
    Console {
        /// Who.
        who: Box<Who>,
        /// What, without values that may be secret.
        command: Box<str>,
        /// The error that it was answered with.
        error: Option<Box<str>>,
        /// Of KILL_PRINCIPAL: how many sessions it has ended.
        sessions_ended: Option<u64>,
    },
    /// The configuration in force is another.
    Config(Box<[Change]>),
    /// A cancel request.
    Cancel {
        /// Where it came from.
        address: Address,
        /// Whose query it is to cancel; `None` where nobody has that key.
        session: Option<u64>,
        /// What became of it.
        outcome: &'static str,
    },
    /// The pooler ends.
    Stop,
}

/// A client that has logged in.
#[derive(Clone, Debug)]
pub struct Login {
    /// Who.
    pub who: Who,
    /// The user of its pool, as whom servers are logged in to; `None` on the console.
    pub pool_user: Option<Arc<str>>,
    /// What it calls itself.
    pub application_name: Arc<str>,
    /// How long its login has taken.
    pub took: Micros,
    /// Which kind of replication it has asked for, by the word of SHOW.
    pub replication: &'static str,
    /// It had logged in before the audit log was turned on.
    pub is_earlier: bool,
}

/// A client whose login was refused.
#[derive(Clone, Debug)]
pub struct RefusedLogin {
    /// Who, as far as it has said. Of the proof the method is the one that was tried; the principal is one
    /// that the method has verified, whatever came after that.
    pub who: Who,
    /// It has proven who it is, and was refused for something else.
    pub is_proven: bool,
    /// The entry of `[issuers]` whose token it has shown, where nothing of the token could be verified.
    pub claimed_issuer: Option<Arc<str>>,
    /// Why, as the client is told it.
    pub reason: Box<str>,
    /// What the log alone says of it, on one line; nothing of a secret.
    pub detail: Option<Box<str>>,
}

impl RefusedLogin {
    /// Bytes that it owns, about.
    fn bytes(&self) -> usize {
        let detail = self.detail.as_ref().map_or(0, |detail| detail.len());
        size_of::<Self>() + self.who.heap_bytes() + self.reason.len() + detail
    }
}

/// AWS credentials as they may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Where they come from, as SHOW IAM calls it.
    pub source: Box<str>,
    /// Whom they stand for.
    pub principal: Box<str>,
    /// The end of the access key's id; empty where there is none.
    pub key: Box<str>,
    /// How many different ones have come from there; `None`: none has.
    pub generation: Option<u64>,
    /// Seconds since the epoch.
    pub expires_at_epoch_s: Option<u64>,
    /// Why there are none.
    pub error: Option<Box<str>>,
}

/// A secret as it may be shown: never what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Which, as SHOW SECRETS calls it.
    pub name: Box<str>,
    /// What it is for: `servers` or `clients`.
    pub purpose: &'static str,
    /// The version that is in use; `None`: none is known.
    pub version: Option<Arc<str>>,
    /// As whom it logs in to servers, where it says so.
    pub user: Option<Arc<str>>,
    /// Why it could not be fetched.
    pub error: Option<Box<str>>,
}

/// One name of the configuration that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `pool_mode`, `databases.app`.
    pub name: Box<str>,
    /// What it was; `None` where it was not there, `(hidden)` where it may be secret.
    pub before: Option<Box<str>>,
    /// What it is now.
    pub after: Option<Box<str>>,
}

impl Event {
    /// Bytes that are kept for it until it is a line, about.
    pub(super) fn bytes(&self) -> usize {
        let owned = match self {
            Self::Login(login) => size_of::<Login>() + login.who.heap_bytes() + login.application_name.len(),
            Self::Logout(left) => left.bytes(),
            Self::Refused(refused) => refused.bytes(),
            Self::ServerLogin { server, credential, .. } => {
                let of_credential = credential.as_ref().map_or(0, |credential| credential.bytes());
                size_of::<ServerFacts>() + server.tls.len() + of_credential
            }
            Self::ServerRefused { reason, .. } => reason.len(),
            Self::Credentials(told) => {
                let error = told.error.as_ref().map_or(0, |error| error.len());
                size_of::<Credentials>() + told.source.len() + told.principal.len() + error
            }
            Self::Secret(told) => {
                let error = told.error.as_ref().map_or(0, |error| error.len());
                size_of::<Secret>() + told.name.len() + error
            }
            Self::Console { who, command, error, .. } => {
                let error = error.as_ref().map_or(0, |error| error.len());
                size_of::<Who>() + who.heap_bytes() + command.len() + error
            }
            Self::Config(changes) => changes.iter().map(Change::bytes).sum(),
            Self::DenyList { .. } | Self::Cancel { .. } | Self::Stop => 0,
        };
        size_of::<(Micros, Self)>() + owned
    }
}

impl Change {
    fn bytes(&self) -> usize {
        let value = |value: &Option<Box<str>>| value.as_ref().map_or(0, |value| value.len());
        64 + self.name.len() + value(&self.before) + value(&self.after)
    }
}
