//! The audit log: what is said when it cannot be written, and of settings that do not go together.

use super::{Message, NONE, error, log, text};

/// What the log and the start tell of the audit log.
pub(super) const AUDIT: &[Message] = &[
    text(
        "audit_log=file requires audit_file",
        "Nobody knows which file is meant. The start fails; a reload or SET changes nothing.",
        "Set `audit_file`.",
    ),
    error(
        "could not open the audit log {file}: {error}",
        "The start fails. Behind a reload or SET records go on to where they went before.",
        "Let the pooler's user write there, and reload.",
    ),
    error(
        "could not start the writer of the audit log: {error}",
        "The system gave no thread. The start fails; behind a reload all goes on as before.",
        "Raise the limit of processes (`TasksMax=`).",
    ),
    error(
        "could not write to the audit log: {error}; {consequence}",
        "The disk is full, or standard output is closed. Told once, until it is written again; \
         `pgweir_audit_records_dropped_total` counts on.",
        "Make room, or name another file and reload.",
    ),
    error(
        "the audit log takes no records: nobody reads it; {consequence}",
        "A pipe, a FIFO or syslog has had no room for two seconds. Told once, until it is written again.",
        "Look at who reads it; or name another output and reload.",
    ),
    error(
        "could not write metrics for CloudWatch: {error}",
        "Lines of `emf_interval` are missing. Told once, until one is written again.",
        "Look at `emf_file`, or at who reads standard output.",
    ),
    log("the audit log is written again", "What was said before is over.", NONE),
    text(
        "the writer of the audit log has panicked",
        "The process aborts: it was told to leave a trace, and would leave none.",
        "Report it as a bug.",
    ),
];
