//! What is told of pools, databases and peers under names of ours.

use super::{Metric, Source, Unit, counter, level, times};

/// Metrics of pools, databases and peers.
pub(super) const METRICS: &[Metric] = &[
    level("pgweir_client_linked_connections", |l| l.cl_linked, "", "Clients linked to a server."),
    level(
        "pgweir_client_idle_connections",
        |l| l.cl_idle,
        "",
        "Clients logged in that want nothing at present.",
    ),
    counter("pgweir_pool_transactions_total", Unit::Count, |c| c.xact_count, "", "Transactions."),
    counter(
        "pgweir_pool_queries_total",
        Unit::Count,
        |c| c.query_count,
        "",
        "Queries: one for each simple query, one for each extended batch up to its end.",
    ),
    counter(
        "pgweir_pool_received_bytes_total",
        Unit::Bytes,
        |c| c.client_bytes,
        "",
        "Bytes of clients' messages.",
    ),
    counter(
        "pgweir_pool_sent_bytes_total",
        Unit::Bytes,
        |c| c.server_bytes,
        "",
        "Bytes of servers' messages.",
    ),
    counter(
        "pgweir_pool_transaction_seconds_total",
        Unit::Seconds,
        |c| c.xact_time_us,
        "",
        "Time in transactions, waiting for a server included.",
    ),
    counter(
        "pgweir_pool_query_seconds_total",
        Unit::Seconds,
        |c| c.query_time_us,
        "",
        "Time in queries, waiting for a server included.",
    ),
    counter(
        "pgweir_pool_client_wait_seconds_total",
        Unit::Seconds,
        |c| c.wait_time_us,
        "",
        "Time that clients have waited for a server.",
    ),
    counter(
        "pgweir_pool_client_parses_total",
        Unit::Count,
        |c| c.client_parse_count,
        "",
        "Named statements that clients have parsed.",
    ),
    counter(
        "pgweir_pool_server_parses_total",
        Unit::Count,
        |c| c.server_parse_count,
        "",
        "Named statements that were parsed on servers.",
    ),
    counter(
        "pgweir_pool_binds_total",
        Unit::Count,
        |c| c.bind_count,
        "",
        "Named statements that were bound.",
    ),
    counter(
        "pgweir_pool_server_assignments_total",
        Unit::Count,
        |c| c.server_assignment_count,
        "",
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
        name: "pgweir_database_served",
        unit: Unit::Count,
        source: Source::Served,
        show: "",
        help: "1 where the clients of a database can be served as far as is known, as /ready?database=NAME \
            tells it, else 0.",
    },
    Metric {
        name: "pgweir_peer_active_cancel_requests",
        unit: Unit::Count,
        source: Source::Peer(|peer| peer.active),
        show: "PEER_POOLS.cl_active_cancel_req",
        help: "Cancel requests on their way to a peer, of each that one was forwarded to.",
    },
    Metric {
        name: "pgweir_peer_waiting_cancel_requests",
        unit: Unit::Count,
        source: Source::Peer(|peer| peer.waiting),
        show: "PEER_POOLS.cl_waiting_cancel_req",
        help: "Cancel requests that wait until fewer are on their way to the peer (its pool_size).",
    },
];
