//! What is in force for one pool or one client, after user overrides database overrides global.
//!
//! These are the values that the data plane reads; it never looks at the files' own structure.

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
