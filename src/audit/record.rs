//! What a worker says to the audit log: plain values, made on the path of a query.
//!
//! What comes with each transaction is of a fixed size and points to nothing; only what comes once for each
//! connection, and statements and contexts of requests where a setting asks for them, owns memory. Never
//! formats anything: the writer does.

use crate::base::{Address, Micros, Proof};
use std::sync::Arc;

/// One record of a worker.
#[derive(Debug)]
pub enum Record {
    /// A transaction that is over, or has been open for `limits::AUDIT_LINK_MS`.
    Transaction(Transaction),
    /// What a client has sent to be run.
    Statement(Box<Statement>),
    /// A client has left.
    Logout(Box<Logout>),
    /// A server has ended.
    ServerClosed(Box<ServerClosed>),
}

impl Record {
    /// Bytes that it owns on the heap, about: what it shares with others counts as if it were its own, since
    /// it may be the last to hold it.
    #[inline]
    pub(super) fn heap_bytes(&self) -> u64 {
        let bytes = match self {
            Self::Transaction(Transaction { context: None, .. }) => 0,
            Self::Transaction(Transaction { context: Some(pairs), .. }) => pairs_bytes(pairs),
            Self::Statement(sent) => size_of::<Statement>() + sent.name.len() + sent.text.len(),
            Self::Logout(left) => left.bytes(),
            Self::ServerClosed(ended) => {
                size_of::<ServerClosed>() + ended.reason.len() + ended.server.tls.len()
            }
        };
        bytes as u64
    }

    /// The same with its slot.
    pub(super) fn bytes(&self) -> u64 {
        size_of::<Self>() as u64 + self.heap_bytes()
    }
}

impl LoginCredential {
    /// Bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let (Self::Aws { source: name, .. } | Self::Secret { name, .. }) = self;
        size_of::<Self>() + name.len()
    }
}

impl Logout {
    /// Bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.who.heap_bytes() + self.reason.len()
    }
}

impl Who {
    /// Bytes that it owns on the heap, about.
    pub(super) fn heap_bytes(&self) -> usize {
        let of_principal = self.proof.principal.as_ref().map_or(0, |principal| {
            principal.name.len() + principal.issuer.len() + pairs_bytes(&principal.claims)
        });
        self.database.len() + self.user.len() + self.tls.len() + of_principal
    }
}

fn pairs_bytes(pairs: &[(Box<str>, Box<str>)]) -> usize {
    size_of_val(pairs) + pairs.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>()
}

/// How a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is not over: the link is told of meanwhile.
    Open,
    /// The server has said that it is over: committed or rolled back.
    Complete,
    /// Its client has left, or was ended, in the middle of it.
    ClientLeft,
    /// Its server has ended in the middle of it.
    ServerClosed,
}

impl Outcome {
    /// The word of the schema.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Complete => "complete",
            Self::ClientLeft => "client_left",
            Self::ServerClosed => "server_closed",
        }
    }
}

/// Keys with their values, shared by the records of a client between two changes.
pub type Pairs = Arc<[(Box<str>, Box<str>)]>;

/// A client's transaction on a server. All times are on the process's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Socket id of the client; 0 is the pooler itself (auth_query).
    pub session: u64,
    /// Counted for the client, from 1.
    pub number: u64,
    /// Socket id of the server.
    pub server: u64,
    /// Process id of the backend.
    pub pid: u32,
    /// PostgreSQL's end.
    pub address: Address,
    /// [`Transaction::authorized_at`] is when the server's login by IAM began.
    pub is_authorized_by_iam: bool,
    /// Which RECONNECT or reload the server was opened behind.
    pub generation: u32,
    /// When the server's connect began.
    pub authorized_at: Micros,
    /// When the client had the server for it: not before the link, nor before its first message.
    pub begin: Micros,
    /// When it was over, or is told of.
    pub end: Micros,
    /// For how long the client had waited for the server.
    pub wait: Micros,
    /// Request groups: simple queries and batches up to Sync.
    pub queries: u64,
    /// Bytes forwarded to the server.
    pub bytes_in: u64,
    /// Bytes forwarded to the client.
    pub bytes_out: u64,
    /// How it stands.
    pub outcome: Outcome,
    /// The setting whose limit was over, for which a query of it was cancelled.
    pub canceled_by: Option<&'static str>,
    /// What its client has said of the request that it works for, as (key, value) of
    /// `request_context_keys`; `None`: nothing. Bounded as `Client::context` is.
    pub context: Option<Pairs>,
}

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// A simple query.
    Query,
    /// Parse: a statement is prepared.
    Parse,
    /// Bind: one that was prepared is to be run.
    Bind,
    /// FunctionCall.
    Function,
}

impl StatementKind {
    /// The word of the schema.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Parse => "parse",
            Self::Bind => "bind",
            Self::Function => "function",
        }
    }
}

/// A statement of a client's, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Socket id of the client.
    pub session: u64,
    /// The transaction that it belongs to.
    pub transaction: u64,
    /// What is asked for.
    pub kind: StatementKind,
    /// The prepared statement's name; empty for the unnamed one, and where there is none.
    pub name: Box<[u8]>,
    /// The text, or as much as `limits::AUDIT_STATEMENT_BYTES_MAX` lets through; nothing with Bind.
    pub text: Box<[u8]>,
    /// More of it has come, or is to come, than is here.
    pub is_cut: bool,
    /// When it came.
    pub at: Micros,
}

/// Who a client is, as records name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Socket id.
    pub session: u64,
    /// Database entry that it asked for.
    pub database: Arc<str>,
    /// User that it is.
    pub user: Arc<str>,
    /// How it has proven that, as far as it has.
    pub proof: Proof,
    /// Its own end.
    pub address: Address,
    /// `TLSv1.3/…`; empty without TLS.
    pub tls: Box<str>,
}

/// A client has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logout {
    /// Who.
    pub who: Who,
    /// Why, as the log says it.
    pub reason: Box<str>,
    /// When.
    pub at: Micros,
    /// For how long it was logged in.
    pub duration: Micros,
    /// What it has done since the audit log has been on.
    pub totals: Totals,
}

/// What a client has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Transactions begun.
    pub transactions: u64,
    /// Request groups.
    pub queries: u64,
    /// Bytes forwarded to servers.
    pub bytes_in: u64,
    /// Bytes forwarded to it.
    pub bytes_out: u64,
}

/// A server has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerClosed {
    /// Which.
    pub server: ServerFacts,
    /// Why, as the log says it.
    pub reason: Box<str>,
    /// When.
    pub at: Micros,
    /// How old it was.
    pub age: Micros,
}

/// What a login to a server was proven by, where lines of its own tell of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginCredential {
    /// AWS credentials: a `credentials` line has the same source and generation.
    Aws {
        /// Where they come from, as SHOW IAM calls it.
        source: Box<str>,
        /// How many different ones have come from there in this process.
        generation: u64,
    },
    /// A version of a secret: a `secret` line has the same names.
    Secret {
        /// Which, as SHOW SECRETS calls it.
        name: Box<str>,
        /// Its version.
        version: Arc<str>,
    },
}

/// Which server, as records name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    /// Socket id.
    pub server: u64,
    /// Process id of the backend.
    pub pid: u32,
    /// Database entry of its pool.
    pub database: Arc<str>,
    /// User that it is logged in as.
    pub user: Arc<str>,
    /// The host as the entry names it.
    pub host: Arc<str>,
    /// PostgreSQL's end.
    pub address: Address,
    /// As for clients.
    pub tls: Box<str>,
}
