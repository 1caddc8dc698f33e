//! What one worker counts for one pool. Units: bytes, microseconds. Semantics: PgBouncer's
//! doc/usage.md (SHOW STATS).

use super::merge::merge_fields;
use super::{Ages, Histogram, LoginCounters};

/// One pool's counters on one worker; summed over workers and pools when someone looks.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the names are PgBouncer's columns")]
pub struct PoolCounters {
    pub server_assignment_count: u64,
    pub xact_count: u64,
    pub query_count: u64,
    pub client_bytes: u64,
    pub server_bytes: u64,
    pub xact_time_us: u64,
    pub query_time_us: u64,
    pub wait_time_us: u64,
    pub client_parse_count: u64,
    pub server_parse_count: u64,
    pub bind_count: u64,
    pub client_login_count: u64,
    pub login_time_us: u64,
    /// Ours: servers that were closed because a younger one has come in their place, or will.
    pub renewed: u64,
    /// Ours: transactions that ended beyond the hard age of their server's authorization, while
    /// none other could be had.
    pub extended: u64,
    /// Ours: transactions (sessions, in session pooling) that were not over yet as
    /// their server's hard age came.
    pub over_age_transactions: u64,
    /// Ours: sessions that ended because their clients' tokens had expired.
    pub sessions_expired: u64,
    /// Ours: sessions that ended because their principals were denied.
    pub sessions_denied: u64,
    /// Ours: sessions that ended because what had let them in does not any more.
    pub sessions_rule_changed: u64,
    /// Ours: sessions that KILL_PRINCIPAL ended.
    pub sessions_killed: u64,
    /// Ours: queries that were cancelled because of `query_timeout`.
    pub canceled_by_query_timeout: u64,
    /// Ours: queries that were cancelled because of `transaction_timeout`.
    pub canceled_by_transaction_timeout: u64,
    /// Ours: how old the authorizations of servers were as transactions began on them.
    pub auth_age: Ages,
    /// Ours: logins to servers. Not counted by a worker but by the login plane.
    pub server_logins: LoginCounters,
    pub xact_time: Histogram,
    pub query_time: Histogram,
    pub wait_time: Histogram,
    pub login_time: Histogram,
}

impl PoolCounters {
    /// Adds `other` to this.
    pub fn merge(&mut self, other: &Self) {
        merge_fields! { self, other;
            add:
                server_assignment_count, xact_count, query_count, client_bytes, server_bytes,
                xact_time_us, query_time_us, wait_time_us, client_parse_count, server_parse_count,
                bind_count, client_login_count, login_time_us, renewed, extended,
                over_age_transactions, sessions_expired, sessions_denied, sessions_rule_changed,
                sessions_killed, canceled_by_query_timeout, canceled_by_transaction_timeout;
            greatest: ;
            merge: auth_age, server_logins, xact_time, query_time, wait_time, login_time
        }
    }
}
