//! What operators ask of a worker, and what it answers; the console merges the answers of all workers.

use crate::audit::Tap;
use crate::base::{DenyReason, Micros, PoolId};
use crate::config::PoolRules;
use crate::core::login_handoff::{ClientIdentity, ServerIdentity};
use crate::core::scope::Scope;
use crate::stats::PoolCounters;
use crate::wire::Fault;
use std::net::IpAddr;
use std::sync::Arc;

/// A question or an order to one worker.
#[derive(Debug)]
pub enum Command {
    /// Look at the gates and generations again: PAUSE closes idle servers, RESUME serves waiting clients,
    /// RECONNECT closes idle servers of an older generation.
    Sweep(Scope),
    /// Drop all clients and servers ("database removed").
    Kill(Scope),
    /// Disconnect the client with this socket id ("admin forced disconnect"). Answer: `Found`.
    KillClient(u64),
    /// Disconnect clients that wait or begin to wait for a server, from now on ("server shutting down").
    RefuseWaiting,
    /// The server refused a login to this pool and none is live: disconnect the clients that
    /// wait, with what it said.
    FailWaiting(PoolId, Fault),
    /// This host has these addresses now: close servers of it that have another, idle ones at once,
    /// others when they are released.
    HostMoved(Arc<str>, Arc<[IpAddr]>),
    /// Close the server that has been idle longest. Answer: `Found`.
    EvictIdle(Scope),
    /// SUSPEND: flush everything, read nothing.
    Suspend,
    /// Whether nothing is unsent. Answer: `Found`.
    IsAllSent,
    /// SUSPEND has waited for `suspend_timeout`: drop the connections that have not taken what was sent to
    /// them. Does nothing where SUSPEND has ended meanwhile.
    DropUnsent,
    /// End of SUSPEND.
    Unsuspend,
    /// New rules for one pool after a reload or SET.
    Rules(PoolId, Arc<PoolRules>),
    /// New rules for clients: recompute each client's own from the snapshot's function.
    ClientRules(ClientRulesOf),
    /// Cancel what the client with this socket id runs or waits for. Answer: `Found`. The second number is
    /// the request's: it comes back with the [`crate::core::note::Note::SendCancel`] that is its due.
    Cancel(u64, u64),
    /// Turns the audit log on, for this end of a ring, or off.
    Audit(Option<Box<Tap>>),
    /// The audit log may have room again.
    AuditRoom,
    /// Nothing: that it is answered says that what came before it has had its effect, letters and bytes of
    /// peers alike, and that every note of it has been sent out.
    Barrier,
    /// SHOW CLIENTS, SHOW SOCKETS.
    Clients,
    /// The metrics page's clients: those from this slot on, so many that no query waits for it.
    ClientKinds(usize),
    /// SHOW SERVERS, SHOW SOCKETS.
    Servers,
    /// SHOW POOLS and the metrics page's gauges.
    Pools,
    /// SHOW STATS and the metrics page's counters: of the pools from this slot on, so many
    /// that no query waits for it.
    Stats(usize),
    /// End the sessions that the judge gives a reason for, as `identity_on_denied` says: of the clients from
    /// this slot on, so many that no query waits for it; and of those that come from now on. Answer:
    /// `Judged`.
    Judge(Judge, usize),
    /// Disconnect the clients that are meant, whatever the reason, from this slot on ("admin forced
    /// disconnect"). Answer: `Judged`.
    KillMeant(Judge, usize),
    /// Drop what is known of a pool that has no client and no server, its counters too.
    Forget(PoolId),
}

impl Command {
    /// Whether it changes nothing, and is answered when what has come to the sockets before it is heard.
    pub fn waits_for_sockets(&self) -> bool {
        matches!(self, Self::Barrier | Self::Clients | Self::ClientKinds(_) | Self::Servers | Self::Pools)
    }
}

/// (login user, database) -> the rules in force.
type RulesFn = dyn Fn(&str, &str) -> crate::config::ClientRules + Send + Sync;

/// Why a client may not stay, if it may not.
type JudgeFn = dyn Fn(&ClientIdentity) -> Option<DenyReason> + Send + Sync;

/// Who may stay. Asked on the worker, so it neither waits nor takes a lock that others hold for long.
#[derive(Clone)]
pub struct Judge(pub Arc<JudgeFn>);

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Judge")
    }
}

/// What became of a cancel request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelFate {
    /// PostgreSQL has closed the connection that it came on: the signal has been sent.
    Taken,
    /// It was given up before a byte of it was sent.
    NeverSent,
    /// It was sent, and PostgreSQL has not said that it was taken: it may take effect at any time.
    Unknown,
}

/// How a client's rules follow from its (login user, database).
#[derive(Clone)]
pub struct ClientRulesOf(pub Arc<RulesFn>);

impl std::fmt::Debug for ClientRulesOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientRulesOf")
    }
}

/// One worker's answer.
#[derive(Debug)]
pub enum Answer {
    /// It is done.
    Done,
    /// Whether there was such a thing here.
    Found(bool),
    /// How many clients are to end, and the slot that comes next.
    Judged {
        /// So many of this slice.
        ended: usize,
        /// `None`: all have been looked at.
        next: Option<usize>,
    },
    /// Rows of clients.
    Clients(Vec<ClientRow>),
    /// What kind of client each is, and the slot that comes next.
    ClientKinds(Vec<ClientKind>, Option<usize>),
    /// Rows of servers.
    Servers(Vec<ServerRow>),
    /// Rows of pools.
    Pools(Vec<(PoolId, PoolRow)>),
    /// Counters of pools, and the slot that comes next.
    Stats(Vec<(PoolId, PoolCounters)>, Option<usize>),
}

/// Where a client stands, as SHOW names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// Linked to a server.
    Active,
    /// Not linked, nothing to do.
    Idle,
    /// Wants a server.
    Waiting,
}

/// Where a server stands. One state = one list of its pool = one `sv_*` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// Linked to a client.
    Active,
    /// Free, to be lent at once.
    Idle,
    /// Free, but idle so long that it must answer the check query first.
    Used,
    /// Runs the reset or the check query.
    Tested,
    /// Was active when a cancel for it was sent out; lent again only when that is done.
    BeingCanceled,
}

/// One row of SHOW CLIENTS.
#[derive(Clone, Debug)]
pub struct ClientRow {
    /// Who it is.
    pub identity: Arc<ClientIdentity>,
    /// Where it stands.
    pub state: ClientState,
    /// When its current or last query began, seconds since process start in microseconds.
    pub request_at: Micros,
    /// For how long it has waited; zero unless waiting.
    pub wait: Micros,
    /// The linked server's socket id.
    pub link: Option<u64>,
    /// Its present `application_name`.
    pub application_name: Arc<str>,
    /// Named statements that it has prepared.
    pub prepared_statements: usize,
    /// When its present transaction has begun, as SHOW STATS counts them.
    pub transaction_at: Option<Micros>,
    /// Why its session is to end, in a word.
    pub ending: Option<&'static str>,
}

/// What the metrics page tells clients apart by.
#[derive(Clone, Debug)]
pub struct ClientKind {
    /// Who it is.
    pub identity: Arc<ClientIdentity>,
    /// Where it stands.
    pub state: ClientState,
    /// Its present `application_name`.
    pub application_name: Arc<str>,
}

/// One row of SHOW SERVERS.
#[derive(Clone, Debug)]
pub struct ServerRow {
    /// Who it is.
    pub identity: Arc<ServerIdentity>,
    /// Where it stands.
    pub state: ServerState,
    /// When its last query began.
    pub request_at: Micros,
    /// To be closed at unlink.
    pub close_needed: bool,
    /// The linked client's socket id.
    pub link: Option<u64>,
    /// Its present `application_name`.
    pub application_name: Arc<str>,
    /// Statements that it holds.
    pub prepared_statements: usize,
    /// Which RECONNECT or reload it was opened behind.
    pub generation: u32,
    /// The authorization that it holds by IAM ends then.
    pub authorized_until: Option<Micros>,
}

/// One worker's part of a row of SHOW POOLS.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the names are PgBouncer's columns")]
pub struct PoolRow {
    pub cl_active: u32,
    pub cl_idle: u32,
    pub cl_waiting: u32,
    pub sv_active: u32,
    pub sv_being_canceled: u32,
    pub sv_idle: u32,
    pub sv_used: u32,
    pub sv_tested: u32,
    pub maxwait: Micros,
    /// Ours: servers past the soft age of their authorization, those past the hard one among them.
    pub sv_past_soft_age: u32,
    /// Ours: servers past the hard age of their authorization.
    pub sv_past_hard_age: u32,
    /// Ours: servers that reach the hard age before a login that begins now would be over.
    pub sv_due: u32,
    /// Ours: the age of the oldest authorization; zero where no server has one.
    pub auth_age: Micros,
}
