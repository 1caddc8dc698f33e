//! Asks the workers and the login plane, and merges what they answer: what SHOW and the
//! metrics page are made from.
//!
//! The only file above the logins that knows where a figure is kept. Never waits for anything
//! but the workers' answers.

use super::status::Status;
use super::views::{
    ClientsAlike, DatabaseView, DnsView, EntrySample, IamView, Lists, MemRow, Now, PoolFigures, PoolView,
    Side, SocketView, UserCounts, is_waiting_replica, known_users, load_balance_text, state_word,
};
use crate::base::{Micros, PoolId, limits};
use crate::config::{CONSOLE_DATABASE, Database, PeerEntry, PoolMode, UserEntry};
use crate::control::{CONSOLE_POOL, Phase, PoolEntry};
use crate::core::{Answer, ClientIdentity, ClientState, Command, Core, Scope};
use crate::iam::Source;
use crate::servers::Peers;
use crate::servers::iam::IamRow;
use crate::stats::{CredentialLevels, PeerLevels, PoolCounters, PoolLevels, Totals};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

impl Status {
    fn console_rows(&self) -> Vec<SocketView> {
        let row = |identity: &ClientIdentity, request_at| SocketView {
            request_at,
            ..SocketView::of_client(identity)
        };
        self.plane.console_clients.rows(row)
    }

    /// Clients that have logged in, those of the console among them, and replication clients that wait for
    /// their servers.
    pub async fn clients(&self) -> Vec<SocketView> {
        let mut views = self.console_rows();
        let replicas = self.clients.logins.rows().into_iter().filter(is_waiting_replica);
        views.extend(replicas.map(|row| SocketView::of_login(Side::Client, row)));
        for answer in self.plane.ask_all(|| Command::Clients).await {
            if let Answer::Clients(rows) = answer {
                views.extend(rows.iter().map(SocketView::from));
            }
        }
        views
    }

    /// The same as numbers of those that are alike, for the page of metrics.
    pub async fn clients_alike(&self) -> BTreeMap<ClientsAlike, u64> {
        let mut alike: BTreeMap<ClientsAlike, u64> = BTreeMap::new();
        for row in self.console_rows() {
            let name = |name: Option<String>| name.unwrap_or_default().into();
            let key = [name(row.database), name(row.user), row.application_name.into(), row.state.into()];
            *alike.entry(key).or_default() += 1;
        }
        let words = [ClientState::Active, ClientState::Idle, ClientState::Waiting];
        let words = words.map(|state| (state, Arc::<str>::from(state_word(state))));
        let mut from = Some(0);
        while let Some(place) = from.take() {
            for answer in self.plane.ask_all(|| Command::ClientKinds(place)).await {
                let Answer::ClientKinds(kinds, next) = answer else { continue };
                from = from.or(next);
                for kind in kinds {
                    let word = words.iter().find(|(state, _)| *state == kind.state);
                    let Some((_, state)) = word else { continue };
                    let ClientIdentity { database, user, .. } = &*kind.identity;
                    let key = [database.clone(), user.clone(), kind.application_name, state.clone()];
                    *alike.entry(key).or_default() += 1;
                }
            }
        }
        alike
    }

    /// Servers, those that are being logged in to among them.
    pub async fn servers(&self) -> Vec<SocketView> {
        let logging_in = self.servers.logins.rows().into_iter();
        let mut views: Vec<_> = logging_in.map(|row| SocketView::of_login(Side::Server, row)).collect();
        for answer in self.plane.ask_all(|| Command::Servers).await {
            if let Answer::Servers(rows) = answer {
                views.extend(rows.iter().map(SocketView::from));
            }
        }
        views
    }

    /// Every connection, clients that log in among them.
    pub async fn sockets(&self) -> Vec<SocketView> {
        let mut views = self.clients().await;
        views.extend(self.servers().await);
        let others = self.clients.logins.rows().into_iter().filter(|row| !is_waiting_replica(row));
        views.extend(others.map(|row| SocketView::of_login(Side::Client, row)));
        views
    }

    /// How every pool of servers stands.
    pub async fn levels(&self) -> Vec<(Arc<PoolEntry>, PoolLevels)> {
        let mut levels: HashMap<PoolId, PoolLevels> = HashMap::new();
        for answer in self.plane.ask_all(|| Command::Pools).await {
            let Answer::Pools(rows) = answer else { continue };
            for (pool, row) in rows {
                levels.entry(pool).or_default().merge(&PoolLevels {
                    cl_linked: row.cl_active.into(),
                    cl_idle: row.cl_idle.into(),
                    cl_waiting: row.cl_waiting.into(),
                    sv_active: row.sv_active.into(),
                    sv_being_canceled: row.sv_being_canceled.into(),
                    sv_idle: row.sv_idle.into(),
                    sv_used: row.sv_used.into(),
                    sv_tested: row.sv_tested.into(),
                    maxwait_us: row.maxwait.0,
                    sv_past_soft_age: row.sv_past_soft_age.into(),
                    sv_past_hard_age: row.sv_past_hard_age.into(),
                    sv_due: row.sv_due.into(),
                    auth_age_us: row.auth_age.0,
                    ..PoolLevels::default()
                });
            }
        }
        let entries = self.plane.registry.entries().into_iter();
        entries.map(|entry| self.with_logins(&mut levels, entry)).collect()
    }

    /// Adds what the login plane knows of a pool: servers that log in, replication clients that wait for
    /// theirs, cancel requests under way.
    fn with_logins(
        &self,
        levels: &mut HashMap<PoolId, PoolLevels>,
        entry: Arc<PoolEntry>,
    ) -> (Arc<PoolEntry>, PoolLevels) {
        let id = entry.share.id;
        let mut levels = levels.remove(&id).unwrap_or_default();
        let (logging_in, _) = self.plane.places.pool_servers(id);
        let cancels = self.plane.places.pool_cancels(id).into();
        levels.sv_login = logging_in.into();
        let replicas = entry.replication.since();
        levels.cl_waiting += replicas.len() as u64;
        let longest = replicas.iter().min().map_or(Micros(0), |since| self.plane.now().since(*since));
        levels.maxwait_us = levels.maxwait_us.max(longest.0);
        levels.sv_active_cancel = cancels;
        levels.cl_active_cancel_req = cancels;
        levels.cl_waiting_cancel_req = entry.waiting_cancels().into();
        (entry, levels)
    }

    /// How the admin pool stands; `None` until somebody has come.
    pub fn console_levels(&self) -> Option<PoolLevels> {
        let cl_linked = self.plane.console_clients.count() as u64;
        self.plane.console_clients.any_ever().then(|| PoolLevels { cl_linked, ..PoolLevels::default() })
    }

    /// Every pool, that of the console among them.
    pub async fn pools(&self) -> Vec<PoolView> {
        let view = |(entry, levels): (Arc<PoolEntry>, PoolLevels)| PoolView {
            database: entry.share.database.name.to_string(),
            user: entry.share.user.to_string(),
            levels,
            mode: entry.share.rules().mode,
            load_balance_hosts: load_balance_text(&entry.config.load()),
        };
        let mut views: Vec<_> = self.levels().await.into_iter().map(view).collect();
        views.extend(self.console_levels().map(|levels| PoolView {
            database: CONSOLE_DATABASE.to_owned(),
            user: CONSOLE_DATABASE.to_owned(),
            levels,
            mode: PoolMode::Statement,
            load_balance_hosts: None,
        }));
        views
    }

    /// How logins by IAM stand.
    pub async fn iam(&self) -> (Vec<IamView>, Now) {
        let (levels, counters) = (self.levels().await, self.counters().await);
        let levels: HashMap<_, _> =
            levels.into_iter().map(|(entry, levels)| (entry.share.id, levels)).collect();
        let view = |row: IamRow| {
            let pool = row.pool.as_ref().map(|pool| pool.share.id);
            let levels = pool.and_then(|id| levels.get(&id)).cloned().unwrap_or_default();
            let counters = pool.and_then(|id| counters.get(&id)).cloned().unwrap_or_default();
            IamView { row, levels, counters }
        };
        let views: Vec<_> = self.servers.iam_rows().into_iter().map(view).collect();
        (views, Now { process: self.plane.now(), wall: self.servers.iam.wall_now() })
    }

    /// How the sources of AWS credentials stand.
    pub fn credentials(&self) -> Vec<CredentialLevels> {
        let now = self.servers.iam.wall_now();
        let levels = |source: Arc<Source>| {
            let report = source.report();
            let left = report.expires_at.map(|at| match at.duration_since(now) {
                Ok(left) => i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                Err(past) => i64::try_from(past.duration().as_secs()).map_or(i64::MIN, |past| -past),
            });
            CredentialLevels {
                source: source.key().to_string(),
                expires_in_s: left,
                usable: source.current().is_ok(),
                refreshes: report.refreshes().collect(),
                token_age: report.token_age,
            }
        };
        self.servers.iam.all_sources().into_iter().map(levels).collect()
    }

    /// Why clients cannot be served at present, as far as it concerns the whole process or logins
    /// by IAM; empty = they can.
    pub fn obstacles(&self) -> Vec<String> {
        self.obstacle_of_process().into_iter().chain(self.servers.iam_obstacles()).collect()
    }

    /// Why clients of one database cannot be served at present; empty = they can, `None`:
    /// there is no such database.
    pub fn database_obstacles(&self, name: &str) -> Option<Vec<String>> {
        let of_database = self.servers.database_obstacles(name)?;
        Some(self.obstacle_of_process().into_iter().chain(of_database).collect())
    }

    /// Every database there is, and whether it can be served at present.
    pub fn databases_served(&self) -> Vec<(String, bool)> {
        let all_are = self.obstacle_of_process().is_none();
        let databases = self.servers.databases_served().into_iter();
        databases.map(|(name, is_served)| (name.to_string(), all_are && is_served)).collect()
    }

    fn obstacle_of_process(&self) -> Option<String> {
        let of_process = match self.plane.phase() {
            Phase::Running if !self.clients.accepting.has_begun() => Some("the listeners are not open yet"),
            Phase::Running if self.clients.accepting.is_suspended() => Some("suspended"),
            Phase::Running => None,
            Phase::WaitForClients | Phase::WaitForServers => Some("shutting down"),
        };
        of_process.map(str::to_owned)
    }

    /// What every pool of servers has counted since it was made, logins to them included.
    pub async fn counters(&self) -> HashMap<PoolId, PoolCounters> {
        let mut merged: HashMap<PoolId, PoolCounters> = HashMap::new();
        let mut from = Some(0);
        while let Some(place) = from.take() {
            for answer in self.plane.ask_all(|| Command::Stats(place)).await {
                let Answer::Stats(pools, next) = answer else { continue };
                from = from.or(next);
                for (pool, counters) in pools {
                    merged.entry(pool).or_default().merge(&counters);
                }
            }
        }
        for entry in self.plane.registry.entries() {
            merged.entry(entry.share.id).or_default().server_logins = entry.logins.read();
        }
        merged
    }

    /// The figures of every pool, the admin pool's among them.
    pub async fn figures(&self) -> Vec<PoolFigures> {
        let counters = self.counters().await;
        let figures = |entry: Arc<PoolEntry>| PoolFigures {
            id: entry.share.id,
            database: entry.share.database.name.to_string(),
            totals: counters.get(&entry.share.id).map(Totals::from).unwrap_or_default(),
        };
        let mut all: Vec<_> = self.plane.registry.entries().into_iter().map(figures).collect();
        if self.plane.console_clients.any_ever() {
            let database = CONSOLE_DATABASE.to_owned();
            all.push(PoolFigures { id: CONSOLE_POOL, database, totals: self.plane.console_clients.totals() });
        }
        all
    }

    /// Every database but the console's.
    pub fn databases(&self) -> Vec<DatabaseView> {
        let view = |database: crate::control::DatabaseView| {
            let name = &database.config.name;
            DatabaseView {
                paused: database.share.is_paused_itself(),
                disabled: database.share.is_disabled(),
                servers: self.plane.places.servers_in(&Scope::Database(Arc::clone(name))),
                clients: self.plane.admissions.of_database(name),
                entry: database.config,
            }
        };
        self.plane.registry.databases().into_iter().map(view).collect()
    }

    /// The same for the page of metrics, the console's own among them.
    pub fn entries(&self) -> Vec<EntrySample> {
        let policy = self.plane.policy.load();
        let settings = &policy.snapshot.settings;
        let databases = self.databases().into_iter().map(|view| view.sample(settings));
        databases.chain([EntrySample::of_console(settings)]).collect()
    }

    /// Names of users that the configuration does not tell: those of `auth_file`, and
    /// those that pools are for.
    pub fn user_names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.plane.policy.load().users.users().map(ToString::to_string).collect();
        names.extend(self.plane.registry.entries().iter().map(|entry| entry.share.user.to_string()));
        names
    }

    /// Clients and servers of one user.
    pub fn user_counts(&self, name: &str) -> UserCounts {
        UserCounts {
            servers: self.plane.places.servers_in(&Scope::User(name.into())),
            clients: self.plane.admissions.of_user(name),
        }
    }

    /// SHOW LISTS, without asking the workers.
    pub fn lists(&self) -> Lists {
        let snapshot = Arc::clone(&self.plane.policy.load().snapshot);
        let login_clients = self.clients.logins.count() as u64;
        let pools = self.plane.registry.entries();
        Lists {
            databases: self.plane.registry.databases().len() as u64 + 1,
            users: known_users(&snapshot, self.user_names()).len() as u64,
            peers: snapshot.peers.len() as u64,
            pools: (pools.len() + usize::from(self.plane.console_clients.any_ever())) as u64,
            peer_pools: self.peer_pools().len() as u64,
            used_clients: u64::from(self.plane.admissions.all()) + self.plane.console_clients.count() as u64,
            login_clients,
            used_servers: self.plane.places.all_servers().into(),
            dns_names: self.servers.dns.rows(self.plane.now()).len() as u64,
            dns_queries: self.servers.dns.in_flight() as u64,
        }
    }

    /// The pools of peers that something was forwarded to.
    pub fn peer_pools(&self) -> Vec<PeerLevels> {
        self.servers.peers.pools()
    }

    /// Names that have been looked up.
    pub fn dns_hosts(&self) -> Vec<DnsView> {
        let rows = self.servers.dns.rows(self.plane.now()).into_iter();
        rows.map(|row| DnsView { hostname: row.hostname, ttl_s: row.ttl_s, addresses: row.addresses })
            .collect()
    }

    /// SHOW MEM: what is kept by the name of PgBouncer's cache that comes nearest. Bytes of one are of the
    /// value itself, not of what it points to; what lies inside other values, or is shared, is not counted;
    /// but texts and names of prepared statements are, by the byte.
    pub async fn mem(&self) -> Vec<MemRow> {
        let policy = self.plane.policy.load_full();
        let snapshot = &policy.snapshot;
        let lists = self.lists();
        let connections = lists.used_servers + lists.used_clients;
        let statements: u64 =
            self.servers().await.iter().map(|server| server.prepared_statements as u64).sum();
        let row = |name: &'static str, bytes, used| MemRow { name: name.into(), bytes, used };
        let mut rows = vec![
            row("user_cache", size_of::<UserEntry>(), snapshot.users.len() as u64),
            row("credentials_cache", size_of::<crate::auth::Secret>(), policy.users.count() as u64),
            row("db_cache", size_of::<Database>(), self.plane.registry.databases().len() as u64),
            row("peer_cache", size_of::<PeerEntry>(), snapshot.peers.len() as u64),
            row("peer_pool_cache", Peers::POOL_BYTES, lists.peer_pools),
            row("pool_cache", size_of::<PoolEntry>(), self.plane.registry.entries().len() as u64),
            row("outstanding_request_cache", 0, 0),
            row("server_cache", Core::SERVER_BYTES, lists.used_servers),
            row("client_cache", Core::CLIENT_BYTES, lists.used_clients),
            row("iobuf_cache", limits::READ_BUFFER_BYTES, self.plane.workers.len() as u64),
            row("var_list_cache", size_of::<Option<Arc<str>>>() * self.plane.names.count(), connections),
            row("server_prepared_statement_cache", Core::STATEMENT_BYTES, statements),
            row("prepared_statements", 1, self.plane.statements.bytes() as u64),
        ];
        let of_databases = self.plane.registry.databases().into_iter().filter_map(|view| {
            let name = format!("prepared_statements of {}", view.share.name).into();
            Some(view.share.statements().bytes() as u64).filter(|bytes| *bytes > 0).map(|bytes| MemRow {
                name,
                bytes: 1,
                used: bytes,
            })
        });
        rows.extend(of_databases);
        rows
    }

    /// Closes a period of statistics: its averages over everything.
    pub async fn tick(&self) -> Totals {
        let figures = self.figures().await;
        let totals = figures.iter().map(|pool| (pool.id, pool.totals));
        self.window().tick(totals, self.plane.now())
    }
}
