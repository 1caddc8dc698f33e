//! Limits on queries and transactions: what the log tells of those that are over.

use super::{Message, NONE, warning};

/// What the log tells where a limit has cancelled a query.
pub(super) const QUERY_LIMITS: &[Message] = &[warning(
    "query is canceled: {limit}",
    "A client's query, or its wait for a server, has taken longer than `query_timeout` or \
     `transaction_timeout` (or the `client_…` of these, or what its mapping says) \
     allows, and `timeout_action=cancel` is in force: PostgreSQL is told to cancel it, the client gets \
     57014, and its session goes on.",
    NONE,
)];
