//! How things stand in one pool, and in the process, at a moment: the gauges of SHOW and of the metrics page.

use super::Histogram;
use super::merge::merge_fields;

/// The limits at which clients are refused that have proven who they are, as settings name them.
pub(crate) const CLIENT_LIMITS: [&str; 3] =
    ["max_client_conn", "max_db_client_connections", "max_user_client_connections"];

/// The kinds of clients' TLS handshakes.
pub(crate) const HANDSHAKE_KINDS: [&str; 2] = ["full", "resumed"];

/// What fetches of secrets come to.
pub(crate) const FETCH_RESULTS: [&str; 2] = ["ok", "failed"];

/// What comes of tokens that only AWS can verify: what is none for us; what is known already; AWS's verdict,
/// or none.
pub(crate) const TOKEN_OUTCOMES: [&str; 5] = ["unfit", "cached", "accepted", "refused", "unavailable"];

/// Connections of one pool by state, summed over the workers and the login plane. Names
/// are PgBouncer's columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolLevels {
    /// Clients linked to a server. SHOW POOLS prints the idle ones with them.
    pub cl_linked: u64,
    /// Clients logged in that want nothing at present.
    pub cl_idle: u64,
    pub cl_waiting: u64,
    pub cl_active_cancel_req: u64,
    pub cl_waiting_cancel_req: u64,
    pub sv_active: u64,
    pub sv_active_cancel: u64,
    pub sv_being_canceled: u64,
    pub sv_idle: u64,
    pub sv_used: u64,
    pub sv_tested: u64,
    pub sv_login: u64,
    /// For how long the first client in the queue has waited, in microseconds.
    pub maxwait_us: u64,
    /// Servers past the soft age of their authorization, those past the hard one among them.
    pub sv_past_soft_age: u64,
    /// Servers past the hard age of their authorization.
    pub sv_past_hard_age: u64,
    /// Servers that reach the hard age before a login that begins now would be over.
    pub sv_due: u64,
    /// The age of the oldest server's authorization, in microseconds; 0 where none has one.
    pub auth_age_us: u64,
}

impl PoolLevels {
    /// SHOW POOLS' `cl_active`: clients that are linked or idle.
    pub fn cl_active(&self) -> u64 {
        self.cl_linked + self.cl_idle
    }

    /// Adds `other` to this; the longer wait and the greater age count.
    pub fn merge(&mut self, other: &Self) {
        merge_fields! { self, other;
            add:
                cl_linked, cl_idle, cl_waiting, cl_active_cancel_req, cl_waiting_cancel_req,
                sv_active, sv_active_cancel, sv_being_canceled, sv_idle, sv_used, sv_tested,
                sv_login, sv_past_soft_age, sv_past_hard_age, sv_due;
            greatest: maxwait_us, auth_age_us;
            merge:
        }
    }
}

/// What is true of the process as a whole: SHOW LISTS and a little more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessLevels {
    pub databases: u64,
    pub users: u64,
    pub pools: u64,
    pub used_clients: u64,
    pub login_clients: u64,
    pub used_servers: u64,
    pub dns_names: u64,
    pub dns_queries: u64,
    pub max_client_conn: u64,
    pub max_user_connections: u64,
    /// Clients that were refused at a limit, in the order of [`CLIENT_LIMITS`].
    pub clients_refused: [u64; CLIENT_LIMITS.len()],
    /// Clients' TLS handshakes, in the order of [`HANDSHAKE_KINDS`].
    pub tls_handshakes: [u64; HANDSHAKE_KINDS.len()],
    /// Logins of callers of AWS, in the order of [`TOKEN_OUTCOMES`].
    pub caller_logins: [u64; TOKEN_OUTCOMES.len()],
    /// Logins of clients by tokens of RDS, in that order.
    pub rds_token_logins: [u64; TOKEN_OUTCOMES.len()],
    /// Clients that had not proven who they are and made room for others.
    pub login_clients_cut_off: u64,
    /// Panics that have ended one task each.
    pub panics: u64,
    /// Log lines that are missing.
    pub log_lines_lost: u64,
    pub audit_records: u64,
    pub audit_records_dropped: u64,
    pub audit_waiting_bytes: u64,
    /// Connections that a worker's driver has ended because it was mistaken about them.
    pub driver_faults: u64,
    /// Bytes of prepared statements and of clients' names for them, and how many statements
    /// were forgotten to make room.
    pub statement_bytes: u64,
    pub statements_forgotten: u64,
    /// Pools whose servers are not replaced as fast as their authorizations by IAM age.
    pub renewals_late: u64,
    /// Secrets that others keep, and how many of them could not be fetched last.
    pub secrets: u64,
    pub secrets_failing: u64,
    /// The age of the one that was fetched longest ago, in microseconds.
    pub secrets_age_us: u64,
    /// Fetches of secrets, in the order of [`FETCH_RESULTS`].
    pub secret_fetches: [u64; FETCH_RESULTS.len()],
    /// Logins by IAM that wait for their turn.
    pub iam_logins_waiting: u64,
    /// How long logins by IAM waited for their turns.
    pub iam_login_wait: Histogram,
    /// The sum of that, in microseconds.
    pub iam_login_wait_us: u64,
    /// Seconds that AWS's clock is ahead of ours; `None` = no answer of AWS has told.
    pub clock_skew_s: Option<i64>,
}

/// What SHOW DATABASES tells of a database in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseLevels {
    pub pool_size: u64,
    pub reserve_pool: u64,
    /// 0 = no bound.
    pub max_connections: u64,
    pub current_connections: u64,
    pub paused: u64,
    pub disabled: u64,
}

impl DatabaseLevels {
    /// Adds `other` to this: what one may not bound the sum may not; of what is 1 or 0 the greater counts.
    pub fn merge(&mut self, other: &Self) {
        let is_bounded = self.max_connections > 0 && other.max_connections > 0;
        merge_fields! { self, other;
            add: pool_size, reserve_pool, max_connections, current_connections;
            greatest: paused, disabled;
            merge:
        }
        if !is_bounded {
            self.max_connections = 0;
        }
    }
}

/// Cancel requests for clients of one peer: SHOW PEER_POOLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerLevels {
    pub peer_id: u16,
    /// On their way.
    pub active: u64,
    pub waiting: u64,
}

/// One issuer of tokens: SHOW ISSUERS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssuerLevels {
    /// The name of its entry.
    pub issuer: String,
    pub keys: u64,
    /// Seconds since its keys were fetched; `None` = never.
    pub keys_age_s: Option<i64>,
    /// Accepted and refused.
    pub logins: [u64; 2],
    /// That brought keys, and that did not.
    pub fetches: [u64; 2],
}

/// One server of PostgreSQL: SHOW INSTANCES.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceLevels {
    /// The name of its entry; without one, its endpoint.
    pub instance: String,
    /// Its hosts with their port.
    pub endpoints: Vec<String>,
    /// Connections to it, those that log in included.
    pub servers: u64,
    /// `max_server_connections`; 0 = unlimited.
    pub servers_max: u64,
}

/// What the system says of the process; `None` = it does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemLevels {
    pub started_at_epoch_us: Option<u64>,
    /// In user and system mode.
    pub cpu_us: Option<u64>,
    pub resident_bytes: Option<u64>,
    pub virtual_bytes: Option<u64>,
    pub open_files: Option<u64>,
    /// `None` also without a limit.
    pub open_files_max: Option<u64>,
    pub threads: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_database_without_a_bound_leaves_all_without_one() {
        let one = |max_connections, paused| DatabaseLevels {
            pool_size: 20,
            max_connections,
            paused,
            ..DatabaseLevels::default()
        };
        let sum = |all: &[DatabaseLevels]| {
            let mut sum = all[0].clone();
            all[1..].iter().for_each(|one| sum.merge(one));
            (sum.pool_size, sum.max_connections, sum.paused)
        };
        assert_eq!(sum(&[one(5, 0), one(7, 1)]), (40, 12, 1));
        assert_eq!(sum(&[one(5, 1), one(0, 1), one(7, 0)]), (60, 0, 1));
    }
}
