//! The metrics themselves, in the order of the page.

use super::{Metric, Source, Unit};
use crate::stats::{CLIENT_LIMITS, HANDSHAKE_KINDS, Histogram, PoolCounters, PoolLevels, ProcessLevels};

const fn level(
    name: &'static str,
    source: fn(&PoolLevels) -> u64,
    show: &'static str,
    help: &'static str,
) -> Metric {
    Metric { name, unit: Unit::Count, source: Source::Level(source), show, help }
}

const fn counter(
    name: &'static str,
    unit: Unit,
    source: fn(&PoolCounters) -> u64,
    show: &'static str,
    help: &'static str,
) -> Metric {
    Metric { name, unit, source: Source::Counter(source), show, help }
}

const fn times(
    name: &'static str,
    source: fn(&PoolCounters) -> (&Histogram, u64),
    help: &'static str,
) -> Metric {
    Metric { name, unit: Unit::Seconds, source: Source::Times(source), show: "", help }
}

const fn process(
    name: &'static str,
    source: fn(&ProcessLevels) -> u64,
    show: &'static str,
    help: &'static str,
) -> Metric {
    Metric { name, unit: Unit::Count, source: Source::Process(source), show, help }
}

/// Every metric.
pub const METRICS: &[Metric] = &[
    level(
        "pgbouncer_pools_client_active_connections",
        PoolLevels::cl_active,
        "POOLS.cl_active",
        "Clients linked to a server, or idle.",
    ),
    level("pgweir_client_linked_connections", |l| l.cl_linked, "", "Clients linked to a server."),
    level(
        "pgweir_client_idle_connections",
        |l| l.cl_idle,
        "",
        "Clients logged in that want nothing at present.",
    ),
    level(
        "pgbouncer_pools_client_waiting_connections",
        |l| l.cl_waiting,
        "POOLS.cl_waiting",
        "Clients with a query that wait for a server.",
    ),
    level(
        "pgbouncer_pools_client_active_cancel_connections",
        |l| l.cl_active_cancel_req,
        "POOLS.cl_active_cancel_req",
        "Cancel requests passed on to a server and not answered yet.",
    ),
    level(
        "pgbouncer_pools_client_waiting_cancel_connections",
        |l| l.cl_waiting_cancel_req,
        "POOLS.cl_waiting_cancel_req",
        "Cancel requests not passed on to a server yet.",
    ),
    level(
        "pgbouncer_pools_server_active_connections",
        |l| l.sv_active,
        "POOLS.sv_active",
        "Servers linked to a client.",
    ),
    level(
        "pgbouncer_pools_server_active_cancel_connections",
        |l| l.sv_active_cancel,
        "POOLS.sv_active_cancel",
        "Connections to servers that carry a cancel request.",
    ),
    level(
        "pgbouncer_pools_server_being_canceled_connections",
        |l| l.sv_being_canceled,
        "POOLS.sv_being_canceled",
        "Servers that could be idle but wait until all cancel requests aimed at them are done.",
    ),
    level(
        "pgbouncer_pools_server_idle_connections",
        |l| l.sv_idle,
        "POOLS.sv_idle",
        "Servers free to be lent at once.",
    ),
    level(
        "pgbouncer_pools_server_used_connections",
        |l| l.sv_used,
        "POOLS.sv_used",
        "Servers idle longer than server_check_delay, to be checked before they are lent.",
    ),
    level(
        "pgbouncer_pools_server_testing_connections",
        |l| l.sv_tested,
        "POOLS.sv_tested",
        "Servers that run server_reset_query or server_check_query.",
    ),
    level(
        "pgbouncer_pools_server_login_connections",
        |l| l.sv_login,
        "POOLS.sv_login",
        "Servers that are being connected or logged in to.",
    ),
    Metric {
        name: "pgbouncer_pools_client_maxwait_seconds",
        unit: Unit::Seconds,
        source: Source::Level(|l| l.maxwait_us),
        show: "POOLS.maxwait",
        help: "For how long the first client in the queue has waited.",
    },
    counter(
        "pgbouncer_stats_totals_sql_transactions_pooled_total",
        Unit::Count,
        |c| c.xact_count,
        "STATS_TOTALS.xact_count",
        "Transactions.",
    ),
    counter(
        "pgbouncer_stats_totals_queries_pooled_total",
        Unit::Count,
        |c| c.query_count,
        "STATS_TOTALS.query_count",
        "Queries: one for each simple query, one for each extended batch up to its end.",
    ),
    counter(
        "pgbouncer_stats_totals_received_bytes_total",
        Unit::Bytes,
        |c| c.client_bytes,
        "STATS_TOTALS.bytes_received",
        "Bytes of clients' messages.",
    ),
    counter(
        "pgbouncer_stats_totals_sent_bytes_total",
        Unit::Bytes,
        |c| c.server_bytes,
        "STATS_TOTALS.bytes_sent",
        "Bytes of servers' messages.",
    ),
    counter(
        "pgbouncer_stats_totals_server_in_transaction_seconds_total",
        Unit::Seconds,
        |c| c.xact_time_us,
        "STATS_TOTALS.xact_time",
        "Time in transactions, waiting for a server included.",
    ),
    counter(
        "pgbouncer_stats_totals_queries_duration_seconds_total",
        Unit::Seconds,
        |c| c.query_time_us,
        "STATS_TOTALS.query_time",
        "Time in queries, waiting for a server included.",
    ),
    counter(
        "pgbouncer_stats_totals_client_wait_seconds_total",
        Unit::Seconds,
        |c| c.wait_time_us,
        "STATS_TOTALS.wait_time",
        "Time that clients have waited for a server.",
    ),
    counter(
        "pgbouncer_stats_totals_client_parses_total",
        Unit::Count,
        |c| c.client_parse_count,
        "STATS_TOTALS.client_parse_count",
        "Named statements that clients have parsed.",
    ),
    counter(
        "pgbouncer_stats_totals_server_parses_total",
        Unit::Count,
        |c| c.server_parse_count,
        "STATS_TOTALS.server_parse_count",
        "Named statements that were parsed on servers.",
    ),
    counter(
        "pgbouncer_stats_totals_binds_total",
        Unit::Count,
        |c| c.bind_count,
        "STATS_TOTALS.bind_count",
        "Named statements that were bound.",
    ),
    counter(
        "pgweir_server_assignments_total",
        Unit::Count,
        |c| c.server_assignment_count,
        "STATS_TOTALS.server_assignment_count",
        "Servers lent to clients.",
    ),
    counter(
        "pgweir_client_logins_total",
        Unit::Count,
        |c| c.client_login_count,
        "STATS_TOTALS.client_login_count",
        "Clients that have proven who they are.",
    ),
    times(
        "pgweir_client_wait_seconds",
        |c| (&c.wait_time, c.wait_time_us),
        "How long clients waited for a server each time they were lent one; 0 where one was free.",
    ),
    times(
        "pgweir_query_seconds",
        |c| (&c.query_time, c.query_time_us),
        "How long queries took, waiting for a server included.",
    ),
    times(
        "pgweir_transaction_seconds",
        |c| (&c.xact_time, c.xact_time_us),
        "How long transactions took, waiting for a server included.",
    ),
    times(
        "pgweir_client_login_seconds",
        |c| (&c.login_time, c.login_time_us),
        "How long clients' logins took, from accept to the welcome, waiting for a pool's first server \
         included.",
    ),
    Metric {
        name: "pgweir_backend_logins_total",
        unit: Unit::Count,
        source: Source::Logins(|c| &c.server_logins),
        show: "",
        help: "Tries to log in to servers, by result (ok, failed) and reason.",
    },
    Metric {
        name: "pgweir_backend_auth_age_seconds",
        unit: Unit::Seconds,
        source: Source::Ages(|c| &c.auth_age),
        show: "",
        help: "Age of a server's authorization by IAM at the moment when a transaction began on it; absent \
            before the first.",
    },
    Metric {
        name: "pgweir_backend_auth_oldest_seconds",
        unit: Unit::Seconds,
        source: Source::Level(|l| l.auth_age_us),
        show: "IAM.auth_age",
        help: "Age of the oldest authorization by IAM among the servers; 0 where none has one.",
    },
    level(
        "pgweir_backend_auth_past_soft_age_connections",
        |l| l.sv_past_soft_age,
        "IAM.sv_past_soft_age",
        "Servers past the soft age of their authorization by IAM, to be replaced.",
    ),
    level(
        "pgweir_backend_auth_past_hard_age_connections",
        |l| l.sv_past_hard_age,
        "IAM.sv_past_hard_age",
        "Servers past the hard age of their authorization by IAM: in a transaction or session, or kept while \
         logins fail.",
    ),
    level(
        "pgweir_backend_auth_due_connections",
        |l| l.sv_due,
        "IAM.sv_due",
        "Servers whose authorization by IAM reaches iam_max_age before a login that begins now would be \
         over.",
    ),
    counter(
        "pgweir_backend_auth_renewed_total",
        Unit::Count,
        |c| c.renewed,
        "IAM.renewed",
        "Servers closed because of the age of their authorization by IAM: with a younger one in their place, \
         but in pools that nobody uses.",
    ),
    counter(
        "pgweir_backend_auth_extended_total",
        Unit::Count,
        |c| c.extended,
        "IAM.extended",
        "Transactions that ended beyond the hard age of their server's authorization while no other could be \
         had.",
    ),
    counter(
        "pgweir_backend_auth_over_age_transactions_total",
        Unit::Count,
        |c| c.over_age_transactions,
        "IAM.over_age",
        "Transactions that were not over yet as the hard age of their server's authorization came.",
    ),
    Metric {
        name: "pgweir_iam_token_age_seconds",
        unit: Unit::Seconds,
        source: Source::CredentialAges(|c| &c.token_age),
        show: "",
        help: "Age of a token at the moment when it was sent, of all that the source has signed: one is made \
            for each login; absent before the first.",
    },
    Metric {
        name: "pgweir_iam_credentials_expire_seconds",
        unit: Unit::Seconds,
        source: Source::Credentials(|c| c.expires_in_s),
        show: "IAM.cred_expires_in",
        help: "Seconds until the AWS credentials of a source expire, negative once they have; absent where \
            they do not, or where there are none.",
    },
    Metric {
        name: "pgweir_iam_credentials_usable",
        unit: Unit::Count,
        source: Source::Credentials(|c| Some(c.usable.into())),
        show: "IAM.cred_state",
        help: "1 where a source of AWS credentials has some that may sign, else 0.",
    },
    Metric {
        name: "pgweir_iam_refresh_total",
        unit: Unit::Count,
        source: Source::Refreshes,
        show: "",
        help: "Fetches of AWS credentials, by result (ok, failed) and reason.",
    },
    process(
        "pgweir_renewals_late",
        |p| p.renewals_late,
        "IAM.renewals",
        "Pools whose servers may reach iam_max_age before they are replaced: SHOW IAM says `late`, the log \
         what is in the way.",
    ),
    process(
        "pgweir_iam_logins_waiting",
        |p| p.iam_logins_waiting,
        "IAM.login_waiting",
        "Logins by IAM that wait for their turn (iam_login_rate).",
    ),
    Metric {
        name: "pgweir_iam_login_throttle_wait_seconds",
        unit: Unit::Seconds,
        source: Source::ProcessTimes(|p| (&p.iam_login_wait, p.iam_login_wait_us)),
        show: "",
        help: "How long logins by IAM waited for their turn (iam_login_rate).",
    },
    Metric {
        name: "pgweir_clock_skew_seconds",
        unit: Unit::Seconds,
        source: Source::ProcessIfKnown(|p| p.clock_skew_s),
        show: "",
        help: "Seconds that AWS's clock is ahead of this machine's, by the date of its last answer; absent \
            before the first.",
    },
    Metric {
        name: "pgweir_database_served",
        unit: Unit::Count,
        source: Source::Served,
        show: "",
        help: "1 where the clients of a database can be served as far as is known, as /ready?database=NAME \
            tells it, else 0.",
    },
    process("pgbouncer_databases", |p| p.databases, "LISTS.databases", "Databases known."),
    process("pgbouncer_users", |p| p.users, "LISTS.users", "Users known."),
    process("pgbouncer_pools", |p| p.pools, "LISTS.pools", "Pools that exist."),
    process("pgbouncer_used_clients", |p| p.used_clients, "LISTS.used_clients", "Clients."),
    process(
        "pgbouncer_login_clients",
        |p| p.login_clients,
        "LISTS.login_clients",
        "Clients that are logging in.",
    ),
    process("pgbouncer_used_servers", |p| p.used_servers, "LISTS.used_servers", "Servers."),
    process(
        "pgbouncer_cached_dns_names",
        |p| p.dns_names,
        "LISTS.dns_names",
        "Host names whose addresses are kept.",
    ),
    process(
        "pgbouncer_in_flight_dns_queries",
        |p| p.dns_queries,
        "LISTS.dns_queries",
        "Host names that are being looked up.",
    ),
    process(
        "pgbouncer_config_max_client_connections",
        |p| p.max_client_conn,
        "CONFIG.max_client_conn",
        "Most clients allowed at a time.",
    ),
    process(
        "pgbouncer_config_max_user_connections",
        |p| p.max_user_connections,
        "CONFIG.max_user_connections",
        "Most servers allowed for a user, unless set otherwise for it; 0 is no bound.",
    ),
    Metric {
        name: "pgweir_prepared_statements_bytes",
        unit: Unit::Bytes,
        source: Source::Process(|p| p.statement_bytes),
        show: "MEM.prepared_statements",
        help: "Memory of all prepared statements and of clients' names for them.",
    },
    Metric {
        name: "pgweir_prepared_statements_forgotten_total",
        unit: Unit::Count,
        source: Source::ProcessCounter(|p| p.statements_forgotten),
        show: "",
        help: "Prepared statements that no client had a name for and that were forgotten to make room.",
    },
    Metric {
        name: "pgweir_clients_refused_total",
        unit: Unit::Count,
        source: Source::ProcessCounters(["limit"], &CLIENT_LIMITS, |p| &p.clients_refused),
        show: "",
        help: "Clients that had proven who they are and were refused, by the limit that was reached.",
    },
    Metric {
        name: "pgweir_client_tls_handshakes_total",
        unit: Unit::Count,
        source: Source::ProcessCounters(["kind"], &HANDSHAKE_KINDS, |p| &p.tls_handshakes),
        show: "",
        help: "TLS handshakes with clients: full ones, and those that took up a session again by a ticket, \
            which cost half.",
    },
    Metric {
        name: "pgweir_login_clients_cut_off_total",
        unit: Unit::Count,
        source: Source::ProcessCounter(|p| p.login_clients_cut_off),
        show: "",
        help: "Clients that had not proven who they are and made room for others (max_login_conn).",
    },
    Metric {
        name: "pgweir_log_lines_lost_total",
        unit: Unit::Count,
        source: Source::ProcessCounter(|p| p.log_lines_lost),
        show: "",
        help: "Log lines dropped because they could not be written fast enough.",
    },
    Metric {
        name: "pgweir_driver_faults_total",
        unit: Unit::Count,
        source: Source::ProcessCounter(|p| p.driver_faults),
        show: "",
        help: "Connections ended because a worker was mistaken about their bytes; anything but 0 is a bug to \
            report.",
    },
    Metric {
        name: "pgweir_panics_total",
        unit: Unit::Count,
        source: Source::ProcessCounter(|p| p.panics),
        show: "",
        help: "Panics, a fault of the pooler's each: it has ended one login, cancel request, scrape, console \
            client or fetch of credentials, or had a loop begin again; the log says which.",
    },
];
