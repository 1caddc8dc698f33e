//! What is in force for one pool or one client, after user overrides database overrides global.
//!
//! These are the values that the data plane reads; it never looks at the files' own structure. Whose entry of `[users]`
//! counts: the pool user's for what belongs to a pool, the login user's for what belongs to a client.
//! Source: PgBouncer behaviour, surface §4.

use super::database::{Database, UserEntry};
use super::snapshot::Snapshot;
use crate::base::Micros;
use std::sync::Arc;

/// When a server goes back to its pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PoolMode {
    /// When the client disconnects.
    #[default]
    Session,
    /// When the transaction ends.
    Transaction,
    /// After each statement; transaction blocks are refused.
    Statement,
}

/// What is in force for one pool: (database entry, pool user). A time of zero means "off" unless said otherwise.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "settings, not states")]
pub struct PoolRules {
    /// `pool_mode`.
    pub mode: PoolMode,
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
}

/// What is in force for one client: (login user, database). A time of zero means "off".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientRules {
    /// `query_wait_timeout`: user over database over global.
    pub query_wait_timeout: Micros,
    /// `client_idle_timeout`.
    pub client_idle_timeout: Micros,
}

/// How many clients there may be, as one client at its login meets it; 0 = unlimited, but for `max_client_conn`.
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
    /// What is in force for the pool of `database` and `pool_user`, the user that its servers log in as.
    pub fn pool_rules(&self, database: &Database, pool_user: &str) -> PoolRules {
        let (global, unset) = (&self.settings, UserEntry::default());
        let user = self.users.get(pool_user).unwrap_or(&unset);
        PoolRules {
            mode: user.pool_mode.or(database.pool_mode).unwrap_or(global.pool_mode),
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
