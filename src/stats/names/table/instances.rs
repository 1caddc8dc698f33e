//! What is told of servers of PostgreSQL.

use super::{Metric, Source, Unit};

/// Metrics of servers of PostgreSQL.
pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "pgweir_instance_server_connections",
        unit: Unit::Count,
        source: Source::Instance(|instance| instance.servers),
        show: "INSTANCES.current_connections",
        help: "Connections to the server of PostgreSQL over all pools, those that log in included.",
    },
    Metric {
        name: "pgweir_instance_max_server_connections",
        unit: Unit::Count,
        source: Source::Instance(|instance| instance.servers_max),
        show: "INSTANCES.max_server_connections",
        help: "`max_server_connections` of the server of PostgreSQL; 0: unlimited.",
    },
];
