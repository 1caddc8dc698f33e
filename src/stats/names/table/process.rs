//! What is told of the process as a whole, and what the system says of it.
//!
//! Names of the system's figures: Prometheus documentation, "Writing client libraries" (Process metrics).

use super::{Metric, Source, Unit};
use crate::base::PGBOUNCER_VERSION;
use crate::stats::{CLIENT_LIMITS, HANDSHAKE_KINDS, TOKEN_OUTCOMES};

/// Metrics of the process.
pub(super) const METRICS: &[Metric] = &[
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
        name: "pgweir_iam_caller_logins_total",
        unit: Unit::Count,
        source: Source::ProcessCounters(["outcome"], &TOKEN_OUTCOMES, |p| &p.caller_logins),
        show: "",
        help: "Logins of clients by iam_caller, by what came of the token: unfit: no request of a \
            caller for this pooler; cached: known already; accepted, refused: by AWS STS; unavailable: that \
            did not tell.",
    },
    Metric {
        name: "pgweir_rds_token_logins_total",
        unit: Unit::Count,
        source: Source::ProcessCounters(["outcome"], &TOKEN_OUTCOMES, |p| &p.rds_token_logins),
        show: "",
        help: "Logins of clients by rds_iam, by what came of the token: unfit: none for the endpoint \
            and the role; cached: known already; accepted, refused: by the endpoint; unavailable: that did \
            not tell.",
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
        help: "Log lines that are missing: they came too fast, or a destination took none.",
    },
    Metric {
        name: "pgweir_audit_records_total",
        unit: Unit::Count,
        source: Source::ProcessCounter(|p| p.audit_records),
        show: "",
        help: "Lines of the audit log that were written.",
    },
    Metric {
        name: "pgweir_audit_records_dropped_total",
        unit: Unit::Count,
        source: Source::ProcessCounter(|p| p.audit_records_dropped),
        show: "",
        help: "Records of the audit log that are missing: there was no room for them, or the output took \
            none.",
    },
    Metric {
        name: "pgweir_audit_waiting_bytes",
        unit: Unit::Bytes,
        source: Source::Process(|p| p.audit_waiting_bytes),
        show: "",
        help: "What waits to be written to the audit log, of workers (transactions, statements), logins and \
            commands: about so many bytes.",
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
    Metric {
        name: "pgweir_build_info",
        unit: Unit::Count,
        source: Source::Info(&[
            ("version", env!("CARGO_PKG_VERSION")),
            ("pgbouncer_version", PGBOUNCER_VERSION),
        ]),
        show: "",
        help: "The version of pgweir, and that of the PgBouncer it is compatible with, in labels; always 1.",
    },
    Metric {
        name: "process_start_time_seconds",
        unit: Unit::Seconds,
        source: Source::System(|s| s.started_at_epoch_us),
        show: "",
        help: "When the process was started, in seconds since the epoch.",
    },
    Metric {
        name: "process_cpu_seconds_total",
        unit: Unit::Seconds,
        source: Source::SystemCounter(|s| s.cpu_us),
        show: "",
        help: "CPU time of the process, in user and system mode.",
    },
    Metric {
        name: "process_resident_memory_bytes",
        unit: Unit::Bytes,
        source: Source::System(|s| s.resident_bytes),
        show: "",
        help: "Memory of the process that is resident.",
    },
    Metric {
        name: "process_virtual_memory_bytes",
        unit: Unit::Bytes,
        source: Source::System(|s| s.virtual_bytes),
        show: "",
        help: "Address space of the process.",
    },
    Metric {
        name: "process_open_fds",
        unit: Unit::Count,
        source: Source::System(|s| s.open_files),
        show: "",
        help: "Files, sockets among them, that the process has open.",
    },
    Metric {
        name: "process_max_fds",
        unit: Unit::Count,
        source: Source::System(|s| s.open_files_max),
        show: "",
        help: "Files that the process may have open; absent without a limit.",
    },
    Metric {
        name: "process_threads",
        unit: Unit::Count,
        source: Source::System(|s| s.threads),
        show: "",
        help: "Threads of the process.",
    },
];
