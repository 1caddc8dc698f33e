//! The SQLSTATEs that the pooler itself sends or tells apart. Source: PostgreSQL
//! documentation, appendix "Error Codes".

/// Five bytes of a SQLSTATE.
pub type SqlState = &'static str;

/// How many bytes each has: a server's code of another length is none.
pub const BYTES: usize = 5;

/// protocol_violation: what PgBouncer puts on nearly every error of its own.
pub const PROTOCOL_VIOLATION: SqlState = "08P01";
/// connection_failure.
pub const CONNECTION_FAILURE: SqlState = "08006";
/// config_file_error: RELOAD that failed.
pub const CONFIG_FILE_ERROR: SqlState = "F0000";
/// query_canceled.
pub const QUERY_CANCELED: SqlState = "57014";
/// cannot_connect_now: a server that starts up or shuts down.
pub const CANNOT_CONNECT_NOW: SqlState = "57P03";
/// too_many_connections: a server that takes no more.
pub const TOO_MANY_CONNECTIONS: SqlState = "53300";
/// out_of_memory: a bound of ours is reached.
pub const OUT_OF_MEMORY: SqlState = "53200";
/// invalid_password.
pub const INVALID_PASSWORD: SqlState = "28P01";
/// invalid_authorization_specification.
pub const INVALID_AUTHORIZATION: SqlState = "28000";
/// feature_not_supported.
pub const FEATURE_NOT_SUPPORTED: SqlState = "0A000";
/// invalid_catalog_name: no such database.
pub const INVALID_CATALOG_NAME: SqlState = "3D000";
/// successful_completion, on notices.
pub const SUCCESSFUL_COMPLETION: SqlState = "00000";
