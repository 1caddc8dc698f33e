//! Limits on what clients are called at servers, and on the contexts of their requests.

/// Keys of a request's context (`request_context_keys`): more would be more than a record of it is for.
pub const CONTEXT_KEYS_MAX: usize = 8;

/// Bytes of the name of one.
pub const CONTEXT_KEY_BYTES_MAX: usize = 64;

/// Bytes of its value: a traceparent has 55, an X-Amzn-Trace-Id some 110.
pub const CONTEXT_VALUE_BYTES_MAX: usize = 256;

/// Pairs of a comment, or of a context, that are looked at, listed or not.
pub const CONTEXT_PAIRS_MAX: usize = 64;

/// Bytes of a comment at either end of a statement, or of a `SET` of a context, in which one is looked for:
/// each key with a value in which every byte is encoded, and as much again.
pub const CONTEXT_COMMENT_BYTES_MAX: usize = 8_192;

/// Messages of a client that have to do with its context and are not answered yet; more wait until some are.
/// Names of statements and portals are looked for among them.
pub const CONTEXT_NOTES_MAX: usize = 64;

/// PostgreSQL keeps so many bytes of `application_name` (NAMEDATALEN - 1).
pub const SHOWN_NAME_BYTES_MAX: usize = 63;

/// Of a principal's name so much stands for it in `application_name`: more would leave no room for the rest.
pub const SHOWN_PRINCIPAL_BYTES_MAX: usize = 24;

/// Bytes of `application_name_template`: several times what comes of it.
pub const NAME_TEMPLATE_BYTES_MAX: usize = 255;
