//! Limits on queries and transactions, and settings that have no effect beside others: what the log tells of
//! them.

use super::{Message, NONE, text, warning};

/// What the log tells where a limit has cancelled a query.
pub(super) const QUERY_LIMITS: &[Message] = &[warning(
    "query is canceled: {limit and context}",
    "A client's query, or its wait for a server, has taken longer than `query_timeout` or \
     `transaction_timeout` (or the `client_…` of these, or what its mapping says) \
     allows, and `timeout_action=cancel` is in force: PostgreSQL is told to cancel it, the client gets \
     57014, and its session goes on.",
    NONE,
)];

/// What is said of settings that have no effect beside others.
pub(super) const IDLE_SETTINGS: &[Message] = &[
    text(
        "application_name_add_host has no effect with application_name_template",
        "Both say what clients are called at the server; the template does.",
        "Put `%r` into the template, and unset `application_name_add_host`.",
    ),
    text(
        "setting {name} has no effect without {what}",
        "What the setting is about is turned off: the audit log, figures for CloudWatch, a method of logging \
         in.",
        "Turn that on, or remove the setting.",
    ),
    text(
        "database \"{name}\": clients by {method} all work as user={user}, whatever role map {map} gives \
         them",
        "The map `{map}` of `auth_claims_file` lets clients in as other roles, too, and the entry's `user` \
         is whom all its servers are logged in to as: its rights are everybody's.",
        "Leave `user` out of the entry, so that each role has servers of its own. If one user for all is \
         meant, have the map give that role alone.",
    ),
];
