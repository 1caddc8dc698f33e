//! What is told of queries that a limit has stopped.

use super::{Metric, Unit, counter};

/// Metrics of limits on queries.
pub(super) const METRICS: &[Metric] = &[
    counter(
        "pgweir_queries_canceled_query_timeout_total",
        Unit::Count,
        |c| c.canceled_by_query_timeout,
        "",
        "Queries that were cancelled because they ran, or waited for a server, for longer than query_timeout \
         or client_query_timeout (timeout_action=cancel).",
    ),
    counter(
        "pgweir_queries_canceled_transaction_timeout_total",
        Unit::Count,
        |c| c.canceled_by_transaction_timeout,
        "",
        "Queries that were cancelled because their transaction took longer than transaction_timeout or \
         client_transaction_timeout (timeout_action=cancel).",
    ),
];
