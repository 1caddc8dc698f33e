//! Limits of the audit log.

/// Bytes of one text in a record: a name, a reason, a claim. Names of PostgreSQL have 63; a claim may be a
/// list of groups.
pub const AUDIT_TEXT_BYTES_MAX: usize = 8 * 1024;

/// Bytes of a statement's text that a worker copies for the audit log. More is said to be cut: a query of
/// megabytes must not fill the queue alone.
pub const AUDIT_STATEMENT_BYTES_MAX: usize = 4 * 1024;

/// Records that a worker's ring holds at least, however small `audit_queue` is: one turn's worth.
pub const AUDIT_RING_RECORDS_MIN: usize = 64;

/// Bytes of records that a worker keeps beyond its ring with `audit_overflow = block`: ends of what was under
/// way when the output got stuck, a few hundred bytes for each of its clients and servers. Beyond that they
/// are counted as dropped: connections that come and go for as long as an output is stuck have no other end.
pub const AUDIT_UNDER_WAY_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Bytes that a login or a cancel request has set aside with `audit_overflow = block`: about what an event of
/// a client without claims takes.
pub const AUDIT_ROOM_BYTES: usize = 1024;

/// Bytes of lines that the writer makes before it writes them: one system call for a burst.
pub const AUDIT_BATCH_BYTES: usize = 64 * 1024;

/// Milliseconds that the writer sleeps where nothing wakes it. A worker wakes it only when a quarter of its
/// ring has been filled, so that a record costs no system call: this is how late a record of a quiet worker
/// comes.
pub const AUDIT_POLL_MS: u64 = 50;

/// Milliseconds after which a transaction that is still open is told of by a `link` record.
pub const AUDIT_LINK_MS: u64 = 1_000;

/// Databases that have lines of their own for CloudWatch: each is up to twelve metrics that are paid for.
pub const EMF_DATABASES_MAX: usize = 100;

/// Seconds that the end of the process waits for records to be written: a disk that is stuck must not keep
/// it.
pub const AUDIT_FLUSH_SECONDS: u64 = 3;

/// Characters of what a refusal's record says beyond what the client is told: the longest that is ours, with
/// a principal and a claim in it.
pub const AUDIT_DETAIL_CHARS_MAX: usize = 1_024;
