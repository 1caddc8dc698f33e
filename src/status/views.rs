//! What SHOW says of each thing: a value for each row of SHOW, made from what workers and logins keep.
//!
//! Values only: how they are printed is the console's.

use crate::base::{Address, Micros, PoolId};
use crate::config::{CONSOLE_DATABASE, Database, PoolMode, Settings, Snapshot, Value as _};
use crate::control::LoginRow;
use crate::core::{ClientIdentity, ClientRow, ClientState, ServerRow, ServerState};
use crate::servers::iam::IamRow;
use crate::stats::{DatabaseLevels, PoolCounters, PoolLevels, Totals};
use crate::wire::startup::Replication;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

/// Which side a socket is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// An application.
    Client,
    /// PostgreSQL.
    Server,
}

/// One connection, whoever keeps it.
#[derive(Clone, Debug)]
pub struct SocketView {
    /// Which side it is on.
    pub side: Side,
    /// Its database; `None` = not known yet.
    pub database: Option<String>,
    /// Its user; `None` = not known yet.
    pub user: Option<String>,
    /// Which kind of replication it is for.
    pub replication: Replication,
    /// Its state in CLIENTS or SERVERS.
    pub state: &'static str,
    /// Its state in SOCKETS, behind `cl_` or `sv_`.
    pub list: &'static str,
    /// Whether ACTIVE_SOCKETS has it.
    pub is_active: bool,
    /// Its own end.
    pub remote: Address,
    /// Our end.
    pub local: Address,
    /// Since when it is there, in seconds since the epoch.
    pub connected_at_epoch_s: u64,
    /// When its last query began; `None` = it has asked nothing yet.
    pub request_at: Option<Micros>,
    /// For how long it has waited; zero unless it waits.
    pub wait: Micros,
    /// To be closed when it comes free.
    pub close_needed: bool,
    /// Its number.
    pub id: u64,
    /// The number of the connection it is linked to.
    pub link: Option<u64>,
    /// Process id of the peer, 0 where unknown.
    pub remote_pid: u32,
    /// TLS version and cipher, empty without.
    pub tls: String,
    /// Its `application_name`.
    pub application_name: String,
    /// Prepared statements it has.
    pub prepared_statements: usize,
}

impl SocketView {
    /// A connection that logs in.
    pub(super) fn of_login(side: Side, row: LoginRow) -> Self {
        let (database, user) = row
            .names
            .map_or((None, None), |(database, user)| (Some(database.to_string()), Some(user.to_string())));
        let (state, list) = match side {
            Side::Client if row.is_waiting => ("waiting", "waiting"),
            Side::Client => ("login", "login"),
            Side::Server => ("new", "login"),
        };
        Self {
            side,
            database,
            user,
            replication: row.replication,
            state,
            list,
            is_active: true,
            remote_pid: row.remote.pid(),
            remote: row.remote,
            local: row.local,
            connected_at_epoch_s: row.connected_at_epoch_s,
            request_at: None,
            wait: Micros(0),
            close_needed: false,
            id: row.socket_id,
            link: None,
            tls: row.tls,
            application_name: String::new(),
            prepared_statements: 0,
        }
    }

    /// A client that is not linked to a server and has asked nothing yet.
    pub(super) fn of_client(identity: &ClientIdentity) -> Self {
        Self {
            side: Side::Client,
            database: Some(identity.database.to_string()),
            user: Some(identity.user.to_string()),
            replication: identity.replication,
            state: "idle",
            list: "active",
            is_active: true,
            remote: identity.remote.clone(),
            local: identity.local.clone(),
            connected_at_epoch_s: identity.connected_at_epoch_s,
            request_at: None,
            wait: Micros(0),
            close_needed: false,
            id: identity.socket_id,
            link: None,
            remote_pid: identity.remote.pid(),
            tls: identity.tls.clone(),
            application_name: String::new(),
            prepared_statements: 0,
        }
    }
}

/// A client that has proven itself, and is no login in progress but for the server that it waits for.
pub(super) fn is_waiting_replica(row: &LoginRow) -> bool {
    row.is_waiting && row.replication != Replication::No
}

/// The word of SHOW CLIENTS for it.
pub(super) fn state_word(state: ClientState) -> &'static str {
    match state {
        ClientState::Active => "active",
        ClientState::Idle => "idle",
        ClientState::Waiting => "waiting",
    }
}

impl From<&ClientRow> for SocketView {
    fn from(row: &ClientRow) -> Self {
        let list = match row.state {
            ClientState::Active | ClientState::Idle => "active",
            ClientState::Waiting => "waiting",
        };
        Self {
            state: state_word(row.state),
            list,
            is_active: row.state != ClientState::Idle,
            request_at: (row.request_at > Micros(0)).then_some(row.request_at),
            wait: row.wait,
            link: row.link,
            application_name: row.application_name.to_string(),
            prepared_statements: row.prepared_statements,
            ..Self::of_client(&row.identity)
        }
    }
}

impl From<&ServerRow> for SocketView {
    fn from(row: &ServerRow) -> Self {
        let identity = &row.identity;
        let (state, list) = match row.state {
            ServerState::Active => ("active", "active"),
            ServerState::Idle => ("idle", "idle"),
            ServerState::Used => ("used", "used"),
            ServerState::Tested => ("tested", "tested"),
            ServerState::BeingCanceled => ("being_canceled", "being_canceled"),
        };
        Self {
            side: Side::Server,
            database: Some(identity.database.to_string()),
            user: Some(identity.user.to_string()),
            replication: identity.replication,
            state,
            list,
            is_active: !matches!(row.state, ServerState::Idle | ServerState::Used),
            remote: identity.remote.clone(),
            local: identity.local.clone(),
            connected_at_epoch_s: identity.connected_at_epoch_s,
            request_at: (row.request_at > Micros(0)).then_some(row.request_at),
            wait: Micros(0),
            close_needed: row.close_needed,
            id: identity.socket_id,
            link: row.link,
            remote_pid: identity.cancel_key.pid,
            tls: identity.tls.clone(),
            application_name: row.application_name.to_string(),
            prepared_statements: row.prepared_statements,
        }
    }
}

/// One pool.
#[derive(Clone, Debug)]
pub struct PoolView {
    /// Its database entry.
    pub database: String,
    /// Its user.
    pub user: String,
    /// How it stands.
    pub levels: PoolLevels,
    /// The mode in force.
    pub mode: PoolMode,
    /// `load_balance_hosts`, where its entry lists several hosts.
    pub load_balance_hosts: Option<String>,
}

/// One database.
#[derive(Clone, Debug)]
pub struct DatabaseView {
    /// Its entry.
    pub entry: Arc<Database>,
    /// PAUSE or KILL of it alone.
    pub paused: bool,
    /// DISABLE.
    pub disabled: bool,
    /// Servers, those that log in included.
    pub servers: u32,
    /// Clients.
    pub clients: u32,
}

impl DatabaseView {
    /// What the page of metrics tells of it.
    pub fn sample(&self, global: &Settings) -> EntrySample {
        let entry = &*self.entry;
        let pool_mode = entry.pool_mode.and_then(|mode| mode.show()).unwrap_or_default();
        EntrySample {
            labels: [
                entry.name.to_string(),
                entry.host_text().unwrap_or_default(),
                entry.port.to_string(),
                entry.dbname.to_string(),
                entry.user.as_deref().unwrap_or_default().to_owned(),
                pool_mode,
            ],
            levels: DatabaseLevels {
                pool_size: entry.pool_size.unwrap_or(global.default_pool_size).into(),
                reserve_pool: entry.reserve_pool_size.unwrap_or(global.reserve_pool_size).into(),
                max_connections: entry.max_db_connections.unwrap_or(global.max_db_connections).into(),
                current_connections: self.servers.into(),
                paused: self.paused.into(),
                disabled: self.disabled.into(),
            },
        }
    }
}

/// A database as the page of metrics tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntrySample {
    /// Values of the labels, in the order of [`crate::stats::names::ENTRY_LABELS`].
    pub labels: [String; 6],
    /// How it stands.
    pub levels: DatabaseLevels,
}

impl EntrySample {
    /// The console's own, as SHOW DATABASES has it.
    pub fn of_console(global: &Settings) -> Self {
        let (name, port) = (CONSOLE_DATABASE.to_owned(), global.listen_port.to_string());
        let pool_mode = PoolMode::Statement.show().unwrap_or_default();
        Self {
            labels: [name.clone(), String::new(), port, name.clone(), name, pool_mode],
            levels: DatabaseLevels { pool_size: CONSOLE_POOL_SIZE.into(), ..DatabaseLevels::default() },
        }
    }
}

/// Servers that the console's pool could have: PgBouncer prints this number, and tools compare.
pub(crate) const CONSOLE_POOL_SIZE: u32 = 2;

/// Clients that are alike: `database`, `user`, `application_name`, `state`.
pub(crate) type ClientsAlike = [Arc<str>; 4];

/// Clients and servers of one user at the moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct UserCounts {
    /// Servers that log in as this user.
    pub servers: u32,
    /// Clients that have logged in as this user.
    pub clients: u32,
}

/// How many there are of everything; see `lists`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    pub databases: u64,
    pub users: u64,
    pub peers: u64,
    pub pools: u64,
    pub peer_pools: u64,
    pub used_clients: u64,
    pub login_clients: u64,
    pub used_servers: u64,
    pub dns_names: u64,
    pub dns_queries: u64,
}

/// One row of SHOW MEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemRow {
    /// PgBouncer's name of the cache.
    pub name: Cow<'static, str>,
    /// Bytes of one, without what it points to.
    pub bytes: usize,
    /// How many there are.
    pub used: u64,
}

/// One row of SHOW DNS_HOSTS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsView {
    /// The name.
    pub hostname: String,
    /// For how many seconds more its addresses are kept.
    pub ttl_s: u64,
    /// Its addresses; none where it could not be found.
    pub addresses: Vec<std::net::IpAddr>,
}

/// What one pool has counted.
#[derive(Clone, Debug)]
pub struct PoolFigures {
    /// Which pool.
    pub id: PoolId,
    /// Its database.
    pub database: String,
    /// Its figures since it was made.
    pub totals: Totals,
}

/// One row of SHOW IAM, with what workers know of its pool.
pub struct IamView {
    /// What the login plane knows.
    pub row: IamRow,
    /// How its pool stands, where there is one.
    pub levels: PoolLevels,
    /// What its pool has counted.
    pub counters: PoolCounters,
}

/// The two clocks at one moment.
#[derive(Clone, Copy)]
pub struct Now {
    /// The process's monotonic clock.
    pub process: Micros,
    /// The clock that credentials expire by.
    pub wall: SystemTime,
}

/// All users there are, in byte order: `names` (of `auth_file`, and those that `auth_query` found), and what
/// the configuration names.
pub(crate) fn known_users(snapshot: &Snapshot, names: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = names.into_iter().collect();
    all.insert(CONSOLE_DATABASE.to_owned());
    all.extend(snapshot.users.keys().map(ToString::to_string));
    let databases = snapshot.databases.values().chain(&snapshot.fallback);
    all.extend(databases.filter_map(|database| database.user.as_deref().map(str::to_owned)));
    all
}

/// `load_balance_hosts` of an entry, where there are several hosts.
pub(crate) fn load_balance_text(database: &Database) -> Option<String> {
    if database.hosts.len() > 1 { database.load_balance_hosts.show() } else { None }
}
