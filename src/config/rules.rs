//! What is in force for one pool or one client, after user overrides database overrides global.
//!
//! These are the values that the data plane reads; it never looks at the files' own structure. Whose entry of
//! `[users]` counts: the pool user's for what belongs to a pool, the login user's for what belongs to a
//! client. Source: PgBouncer, doc/config.md ("Section `[databases]`", "Section `[users]`").

use super::choices::{OnDenied, OnExpired, PoolMode, SessionState, TimeoutAction};
use super::database::{Database, UserEntry};
use super::iam::{AuthSecretPlace, IamIdentity, SecretPlace, ServerAuth};
use super::instance_caps::InstanceCap;
use super::instances::Endpoints;
use super::settings::Settings;
use super::snapshot::Snapshot;
use crate::base::{MappedTimeouts, Micros};
use crate::wire::request_context::ContextKeys;
use std::sync::Arc;

/// What is in force for one pool: (database entry, pool user). A time of zero means
/// "off" unless said otherwise.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "settings, not states")]
pub struct PoolRules {
    /// `pool_mode`.
    pub mode: PoolMode,
    /// `session_state`.
    pub session_state: SessionState,
    /// `pool_size` / `default_pool_size`; 0 = unlimited.
    pub pool_size: u32,
    /// `min_pool_size`.
    pub min_pool_size: u32,
    /// `reserve_pool_size`.
    pub reserve_pool_size: u32,
    /// `reserve_pool_timeout`.
    pub reserve_pool_timeout: Micros,
    /// `max_db_connections` of the database; 0 = unlimited.
    pub max_db_connections: u32,
    /// `max_user_connections` of the pool user; 0 = unlimited.
    pub max_user_connections: u32,
    /// `server_lifetime`; zero = used once.
    pub server_lifetime: Micros,
    /// `server_idle_timeout`.
    pub server_idle_timeout: Micros,
    /// `server_login_concurrency`.
    pub server_login_concurrency: u32,
    /// Where its servers are: the entry's hosts and port.
    pub endpoint: Arc<str>,
    /// The same, each of them by itself.
    pub endpoints: Endpoints,
    /// `max_server_connections` of the servers of PostgreSQL there; none: unlimited.
    pub instance_caps: Arc<[InstanceCap]>,
    /// `server_check_delay`; zero = check always.
    pub server_check_delay: Micros,
    /// `server_check_query`: `None` = no check, `Some("")` = an empty query (`<empty>`).
    pub server_check_query: Option<Arc<str>>,
    /// `server_reset_query`; empty = none.
    pub server_reset_query: Arc<str>,
    /// `server_reset_query_always`.
    pub reset_always: bool,
    /// `server_round_robin`: first in, first out among idle servers.
    pub round_robin: bool,
    /// `server_fast_close`.
    pub fast_close: bool,
    /// `query_timeout` of the pool user.
    pub query_timeout: Micros,
    /// `idle_transaction_timeout` of the pool user.
    pub idle_transaction_timeout: Micros,
    /// `transaction_timeout` of the pool user.
    pub transaction_timeout: Micros,
    /// `max_prepared_statements`; 0 = statements are not tracked.
    pub max_prepared_statements: u32,
    /// `max_packet_size`.
    pub max_packet_bytes: u32,
    /// `disable_pqexec`.
    pub disable_pqexec: bool,
    /// `query_wait_notify`, as a span.
    pub query_wait_notify: Micros,
    /// `cancel_wait_timeout`.
    pub cancel_wait_timeout: Micros,
    /// `suspend_timeout`.
    pub suspend_timeout: Micros,
    /// `log_disconnections`.
    pub log_disconnections: bool,
    /// `log_pooler_errors`.
    pub log_pooler_errors: bool,
    /// `log_connections`.
    pub log_connections: bool,
    /// `timeout_action` of the pool user.
    pub timeout_action: TimeoutAction,
    /// `identity_on_expired`.
    pub on_expired: OnExpired,
    /// `identity_expiry_grace`.
    pub expiry_grace: Micros,
    /// `identity_on_denied`.
    pub on_denied: OnDenied,
    /// `identity_drain_timeout`; 0: none.
    pub drain_timeout: Micros,
    /// `request_context_keys`; `None`: nobody looks for any.
    pub context_keys: Option<ContextKeys>,
}

impl PoolRules {
    /// The same for a replication client of the pool: it has its server to its end, whatever the mode, and
    /// that ends with a stream that takes too long.
    #[must_use]
    pub fn for_replication(&self) -> Self {
        Self { mode: PoolMode::Session, timeout_action: TimeoutAction::Close, ..self.clone() }
    }
}

/// What is in force for one client: (login user, database). A time of zero means "off".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientRules {
    /// `query_wait_timeout`: user over database over global.
    pub query_wait_timeout: Micros,
    /// `client_idle_timeout`.
    pub client_idle_timeout: Micros,
    /// How long a query of it may take, beside [`PoolRules::query_timeout`]: `client_query_timeout`, or what
    /// its mapping says.
    pub query_timeout: Micros,
    /// How long a transaction of it may take, beside [`PoolRules::transaction_timeout`].
    pub transaction_timeout: Micros,
    /// `timeout_action` of the login user; `None`: that of the pool.
    pub timeout_action: Option<TimeoutAction>,
}

impl ClientRules {
    /// The same for a client whose principal was mapped to its role by a rule with timeouts of its own.
    #[must_use]
    pub fn mapped(self, timeouts: MappedTimeouts) -> Self {
        Self {
            query_timeout: timeouts.query.unwrap_or(self.query_timeout),
            transaction_timeout: timeouts.transaction.unwrap_or(self.transaction_timeout),
            ..self
        }
    }
}

/// How many clients there may be, as one client at its login meets it; 0 = unlimited,
/// but for `max_client_conn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// `max_client_conn`: clients in all.
    pub max_client_conn: u32,
    /// `max_db_client_connections` of the database.
    pub max_db_client_connections: u32,
    /// `max_user_client_connections` of the login user.
    pub max_user_client_connections: u32,
}

/// `server_check_query` of this text sends an empty query.
const EMPTY_QUERY: &str = "<empty>";

impl Snapshot {
    /// When servers of the pool of `database` and `pool_user` go back to it.
    pub fn pool_mode(&self, database: &Database, pool_user: &str) -> PoolMode {
        let own = self.users.get(pool_user).and_then(|user| user.pool_mode);
        own.or(database.pool_mode).unwrap_or(self.settings.pool_mode)
    }

    /// What is in force for the pool of `database` and `pool_user`, the user that its servers log in as.
    pub fn pool_rules(&self, database: &Database, pool_user: &str) -> PoolRules {
        let (global, unset) = (&self.settings, UserEntry::default());
        let user = self.users.get(pool_user).unwrap_or(&unset);
        let endpoints = self.endpoints(database);
        PoolRules {
            mode: self.pool_mode(database, pool_user),
            session_state: user.session_state.or(database.session_state).unwrap_or(global.session_state),
            pool_size: user.pool_size.or(database.pool_size).unwrap_or(global.default_pool_size),
            min_pool_size: database.min_pool_size.unwrap_or(global.min_pool_size),
            reserve_pool_size: user
                .reserve_pool_size
                .or(database.reserve_pool_size)
                .unwrap_or(global.reserve_pool_size),
            reserve_pool_timeout: global.reserve_pool_timeout,
            max_db_connections: database.max_db_connections.unwrap_or(global.max_db_connections),
            max_user_connections: user.max_user_connections.unwrap_or(global.max_user_connections),
            server_lifetime: database.server_lifetime.unwrap_or(global.server_lifetime),
            server_idle_timeout: global.server_idle_timeout,
            server_login_concurrency: global.server_login_concurrency.get(),
            endpoint: database.endpoint(),
            instance_caps: self.instance_caps(&endpoints),
            endpoints,
            server_check_delay: global.server_check_delay,
            server_check_query: match &*global.server_check_query {
                "" => None,
                EMPTY_QUERY => Some("".into()),
                _ => Some(global.server_check_query.clone()),
            },
            server_reset_query: global.server_reset_query.clone(),
            reset_always: global.server_reset_query_always,
            round_robin: global.server_round_robin,
            fast_close: global.server_fast_close,
            query_timeout: user.query_timeout.unwrap_or(global.query_timeout),
            idle_transaction_timeout: user
                .idle_transaction_timeout
                .unwrap_or(global.idle_transaction_timeout),
            transaction_timeout: user.transaction_timeout.unwrap_or(global.transaction_timeout),
            max_prepared_statements: global.max_prepared_statements,
            max_packet_bytes: global.max_packet_size,
            disable_pqexec: global.disable_pqexec,
            query_wait_notify: Micros::from_secs(global.query_wait_notify.into()),
            cancel_wait_timeout: global.cancel_wait_timeout,
            suspend_timeout: global.suspend_timeout,
            log_disconnections: global.log_disconnections,
            log_pooler_errors: global.log_pooler_errors,
            log_connections: global.log_connections,
            timeout_action: user.timeout_action.or(database.timeout_action).unwrap_or(global.timeout_action),
            on_expired: global.identity_on_expired,
            expiry_grace: global.identity_expiry_grace,
            on_denied: global.identity_on_denied,
            drain_timeout: global.identity_drain_timeout,
            context_keys: global.request_context_keys.0.clone(),
        }
    }

    /// What is in force for a client that logged in to `database` as `login_user`.
    pub fn client_rules(&self, login_user: &str, database: &Database) -> ClientRules {
        let user = self.users.get(login_user);
        let own_wait = user.and_then(|user| user.query_wait_timeout);
        let own_idle = user.and_then(|user| user.client_idle_timeout);
        ClientRules {
            query_wait_timeout: own_wait
                .or(database.query_wait_timeout)
                .unwrap_or(self.settings.query_wait_timeout),
            client_idle_timeout: own_idle.unwrap_or(self.settings.client_idle_timeout),
            query_timeout: user.and_then(|user| user.client_query_timeout).unwrap_or_default(),
            transaction_timeout: user.and_then(|user| user.client_transaction_timeout).unwrap_or_default(),
            timeout_action: user.and_then(|user| user.timeout_action),
        }
    }

    /// How many clients there may be when `login_user` logs in to `database`; `None` for the console's.
    pub fn client_limits(&self, login_user: &str, database: Option<&Database>) -> ClientLimits {
        let own_db = database.and_then(|database| database.max_db_client_connections);
        let own_user = self.users.get(login_user).and_then(|user| user.max_user_client_connections);
        ClientLimits {
            max_client_conn: self.settings.max_client_conn,
            max_db_client_connections: own_db.unwrap_or(self.settings.max_db_client_connections),
            max_user_client_connections: own_user.unwrap_or(self.settings.max_user_client_connections),
        }
    }
}

impl Snapshot {
    /// What proves `user` to the servers of `database`: the user's own word goes before the database's.
    pub fn server_auth(&self, database: &Database, user: &str) -> ServerAuth {
        let own = self.users.get(user).and_then(|user| user.server_auth);
        own.or(database.server_auth).unwrap_or_default()
    }

    /// Whether `user` proves the same to the servers of the database called `name` as it did under `before`:
    /// to have a password, what the same secret says, or to be the same principal of AWS. Servers that were
    /// logged in to by another proof are to be replaced.
    pub fn proves_as_before(&self, before: &Self, name: &str, user: &str) -> bool {
        let principal = |snapshot: &Self| {
            let database = snapshot.database(name)?;
            let auth = snapshot.server_auth(&database, user);
            let secret = auth.is_by_secret().then(|| {
                let signs = auth.takes_credentials();
                let by = signs.then(|| snapshot.iam_identity(&database, user).principal());
                (auth, snapshot.secret_place(&database, user), by)
            });
            let by_iam = auth.is_by_iam().then(|| (auth, snapshot.iam_identity(&database, user).principal()));
            Some((secret, by_iam))
        };
        principal(self) == principal(before)
    }

    /// Where that is kept which proves clients whom neither their user's entry nor their database's names.
    pub fn auth_secret_place(&self) -> AuthSecretPlace {
        let Settings { auth_secret_file: file, auth_secret_arn: arn, .. } = &self.settings;
        AuthSecretPlace { file: Some(Arc::clone(file)), arn: Some(Arc::clone(arn)) }
    }

    /// Whether a database may say that there is a user whom nothing else names.
    pub fn asks_databases_for_users(&self) -> bool {
        let asks = |database: &Arc<Database>| database.auth_query_user(&self.settings).is_some();
        self.settings.auth_user.is_some() || self.databases.values().chain(&self.fallback).any(asks)
    }

    /// Where the secret is kept that proves `user` to the servers of `database`.
    pub fn secret_place(&self, database: &Database, user: &str) -> SecretPlace {
        let own = self.users.get(user).map(|user| user.secret.over(&database.secret));
        own.unwrap_or_else(|| database.secret.clone())
    }

    /// Who signs the tokens of `user` in `database`: the user's keys over the database's over the settings.
    pub fn iam_identity(&self, database: &Database, user: &str) -> IamIdentity {
        let settings = IamIdentity {
            credential_source: Some(Arc::clone(&self.settings.iam_credential_source)),
            sts_region: Some(Arc::clone(&self.settings.iam_sts_region)),
            strict_lifetime: Some(self.settings.iam_strict_lifetime),
            ..IamIdentity::default()
        };
        let of_database = database.iam.over(&settings);
        self.users.get(user).map_or_else(|| of_database.clone(), |user| user.iam.over(&of_database))
    }
}

impl Database {
    /// The user that runs auth_query for clients of this entry; `None` = there is no auth_query.
    pub fn auth_query_user(&self, settings: &Settings) -> Option<Arc<str>> {
        self.auth_user.clone().or_else(|| settings.auth_user.clone()).filter(|user| !user.is_empty())
    }

    /// The name of the database in which auth_query runs for clients of this entry.
    pub fn auth_query_database(&self, settings: &Settings) -> Arc<str> {
        let by_setting = || settings.auth_dbname.as_ref().map(|name| Arc::clone(&name.0));
        self.auth_dbname.clone().or_else(by_setting).unwrap_or_else(|| Arc::clone(&self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Snapshot {
        Snapshot::load_with("p.ini", None, &|_| Ok(text.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn user_overrides_database_overrides_global() {
        let snapshot = load(
            "[pgbouncer]\n\
             pool_mode = transaction\n\
             default_pool_size = 7\n\
             reserve_pool_size = 1\n\
             query_wait_timeout = 9\n\
             client_idle_timeout = 4\n\
             max_db_connections = 50\n\
             server_lifetime = 100\n\
             [databases]\n\
             plain =\n\
             own = pool_mode=statement pool_size=3 reserve_pool=2 query_wait_timeout=8 max_db_connections=0 \
             max_db_client_connections=6 server_lifetime=0\n\
             [users]\n\
             u = pool_mode=session pool_size=0 query_wait_timeout=0 client_idle_timeout=0 query_timeout=2.5 \
             max_user_connections=4 max_user_client_connections=5\n\
             negative = pool_size=-1 query_timeout=-1\n",
        );
        let [plain, own] = ["plain", "own"].map(|name| snapshot.database(name).unwrap());
        let pool = |database, user| {
            let rules = snapshot.pool_rules(database, user);
            (rules.mode, rules.pool_size, rules.reserve_pool_size)
        };
        assert_eq!(pool(&plain, "x"), (PoolMode::Transaction, 7, 1));
        assert_eq!(pool(&own, "x"), (PoolMode::Statement, 3, 2));
        assert_eq!(pool(&own, "u"), (PoolMode::Session, 0, 2));
        assert_eq!(pool(&own, "negative"), (PoolMode::Statement, 3, 2));
        let rules = snapshot.pool_rules(&own, "u");
        assert_eq!((rules.query_timeout, rules.max_user_connections), (Micros(2_500_000), 4));
        assert_eq!((rules.max_db_connections, rules.server_lifetime), (50, Micros::from_secs(100)));
        let client = |user, database| {
            let rules = snapshot.client_rules(user, database);
            (rules.query_wait_timeout.as_secs(), rules.client_idle_timeout.as_secs())
        };
        assert_eq!(client("x", &plain), (9, 4));
        assert_eq!(client("x", &own), (8, 4));
        assert_eq!(client("u", &own), (0, 4));
        let limits = snapshot.client_limits("u", Some(&own));
        assert_eq!(limits.max_client_conn, 100);
        assert_eq!((limits.max_db_client_connections, limits.max_user_client_connections), (6, 5));
        assert_eq!(snapshot.client_limits("x", None).max_db_client_connections, 0);
    }

    #[test]
    fn limits_of_a_login_user_stand_beside_those_of_its_pool() {
        let snapshot = load(
            "[pgbouncer]\n\
             query_timeout = 20\n\
             [databases]\n\
             plain =\n\
             gateway = user=svc timeout_action=cancel\n\
             [users]\n\
             svc = query_timeout=30\n\
             ada = query_timeout=1 client_query_timeout=9 client_transaction_timeout=12.5\n\
             bob = timeout_action=close\n",
        );
        let [plain, gateway] = ["plain", "gateway"].map(|name| snapshot.database(name).unwrap());
        let pool = snapshot.pool_rules(&gateway, "svc");
        assert_eq!((pool.query_timeout, pool.timeout_action), (Micros::from_secs(30), TimeoutAction::Cancel));
        assert_eq!(pool.for_replication().timeout_action, TimeoutAction::Close);
        assert_eq!(snapshot.pool_rules(&plain, "svc").timeout_action, TimeoutAction::Close);
        let ada = snapshot.client_rules("ada", &gateway);
        assert_eq!(
            (ada.query_timeout, ada.transaction_timeout, ada.timeout_action),
            (Micros::from_secs(9), Micros(12_500_000), None)
        );
        assert_eq!(snapshot.client_rules("bob", &gateway).timeout_action, Some(TimeoutAction::Close));
        assert_eq!(snapshot.client_rules("bob", &gateway).query_timeout, Micros(0));
        let mapped = MappedTimeouts { query: Some(Micros::from_secs(28)), transaction: None };
        let ada = ada.mapped(mapped);
        assert_eq!((ada.query_timeout, ada.transaction_timeout), (Micros::from_secs(28), Micros(12_500_000)));
    }

    #[test]
    fn the_check_query_has_three_forms() {
        let query = |text: &str| {
            let snapshot = load(&format!("[pgbouncer]\n{text}\n[databases]\na =\n"));
            snapshot.pool_rules(&snapshot.databases["a"], "u").server_check_query
        };
        assert_eq!(query("").as_deref(), Some(""));
        assert_eq!(query("server_check_query ="), None);
        assert_eq!(query("server_check_query = select 1").as_deref(), Some("select 1"));
    }
}
