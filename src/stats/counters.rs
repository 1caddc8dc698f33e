//! What one worker counts for one pool. Units: bytes, microseconds. Semantics: PgBouncer's doc/usage.md (SHOW STATS).

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
    /// Ours: transactions that ended beyond the hard age of their server's authorization, while none other could be had.
    pub extended: u64,
    /// Ours: transactions (sessions, in session pooling) that were not over yet as their server's hard age came.
    pub over_age_transactions: u64,
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
        self.server_assignment_count += other.server_assignment_count;
        self.xact_count += other.xact_count;
        self.query_count += other.query_count;
        self.client_bytes += other.client_bytes;
        self.server_bytes += other.server_bytes;
        self.xact_time_us += other.xact_time_us;
        self.query_time_us += other.query_time_us;
        self.wait_time_us += other.wait_time_us;
        self.client_parse_count += other.client_parse_count;
        self.server_parse_count += other.server_parse_count;
        self.bind_count += other.bind_count;
        self.client_login_count += other.client_login_count;
        self.login_time_us += other.login_time_us;
        self.renewed += other.renewed;
        self.extended += other.extended;
        self.over_age_transactions += other.over_age_transactions;
        self.auth_age.merge(&other.auth_age);
        self.server_logins.merge(&other.server_logins);
        self.xact_time.merge(&other.xact_time);
        self.query_time.merge(&other.query_time);
        self.wait_time.merge(&other.wait_time);
        self.login_time.merge(&other.login_time);
    }
}
