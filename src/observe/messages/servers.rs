//! Servers: what the log tells of them, and why they are closed.

use super::{Message, NONE, debug, error, log, text, warning};

/// What the log tells of servers and pools.
pub(super) const SERVERS: &[Message] = &[
    log(
        "new connection to server (from {from})",
        "A connection to PostgreSQL is open, from this address of the pooler's; the login begins.",
        "None; `log_connections=0` leaves it out.",
    ),
    log(
        "new connection to server",
        "A connection to PostgreSQL is open, over a Unix socket; the login begins.",
        NONE,
    ),
    log("SSL established: {tls}", "The connection is under TLS; version, suite and the like.", NONE),
    warning(
        "{reason}: {detail}",
        "A server could not be connected to: [the reason](#why-logins-to-servers-fail), and what the \
         system or the TLS library says of it.",
        "See the reason.",
    ),
    warning(
        "server login failed: {severity} {text}",
        "PostgreSQL has refused the login, in its own words. Clients of a pool without servers are told \
         the same.",
        "Read its words; the database, role, password or `pg_hba.conf` of the server is the matter.",
    ),
    error(
        "{why}",
        "A login to a server has failed here, before or beside what PostgreSQL says: one of [why logins to \
         servers fail](#why-logins-to-servers-fail).",
        "See there.",
    ),
    warning(
        "error while executing connect_query: {error}",
        "`connect_query` of the entry has failed on a new server, which is used all the same.",
        "Correct `connect_query`.",
    ),
    warning(
        "taking connection from reserve_pool",
        "A client has waited for `reserve_pool_timeout`: the pool goes beyond `pool_size`.",
        "Where it is frequent raise `pool_size`, or look for long transactions (SHOW POOLS, `maxwait`).",
    ),
    warning(
        "servers of {db}/{user} may reach iam_max_age before they are replaced: {why}",
        "Logins are too slow or too few for the ages of this pool's servers; `{why}` names the bound and \
         the setting to raise.",
        "Do what the line says; see [How long a login counts](iam.md#how-long-a-login-counts).",
    ),
    log("servers of {db}/{user} are replaced in time again", "The warning above is over.", NONE),
    warning(
        "authorization expired; kept until the session ends",
        "In session pooling a server has outlived `iam_max_age`, since its client has not left. Told once \
         for each.",
        "Set `pool_mode=transaction`, or `client_idle_timeout`.",
    ),
    debug(
        "varcache_apply: {sql}",
        "Session parameters of a client are set on the server that it is lent.",
        NONE,
    ),
    log(
        "closing because: successfully sent cancel request (age={age}s)",
        "PostgreSQL, or the peer (`peer-N@`), has taken a cancel request, and the connection that carried \
         it is closed.",
        "None; `log_disconnections=0` leaves it out.",
    ),
    log(
        "cancel request given up: {why}",
        "A cancel request did not reach PostgreSQL, or a peer (`peer-N@`), for certain: \
         `cancel_wait_timeout`, `connect timeout`, a failed connect, or the database, or the entry of \
         `[peers]`, is gone; to a peer also where its sender had to make room at `max_login_conn`. The query \
         may run on.",
        "Where it is frequent look at the limits of servers, or at the peer's `pool_size`: cancel requests \
         need connections, too. A peer has to be where `[peers]` says.",
    ),
    log(
        "registered new auto-database: {name}",
        "A client has proven itself for a database that only `*` allows: it has pools of its own from now \
         on.",
        NONE,
    ),
    log("cleaning up idle pool: {name}/{user}", "Nobody has used the pool for `pool_idle_timeout`.", NONE),
    debug(
        "dropping auto-database: {name}",
        "Nobody has used a database made from `*` for `autodb_idle_timeout`.",
        NONE,
    ),
];

/// What keeps servers from being replaced in time.
pub(super) const SHORTFALLS: &[Message] = &[
    text(
        "logins take so long that {needed} servers must be replaced at a time, and {most} at most may be \
         missing: raise iam_max_age, or pool_size above what clients use",
        "Clients use nearly all of the pool, so few servers may be missing while others are logged in to.",
        "Raise one of the two settings.",
    ),
    text(
        "logins take so long that the pool needs {needed} at a time: raise iam_max_age, or \
         server_login_concurrency ({most})",
        "One pool may not log in to so many servers at a time.",
        "Raise one of the two settings.",
    ),
    text(
        "logins take so long that the endpoint's pools need {needed} at a time: raise iam_max_age, or \
         server_login_concurrency ({most})",
        "All pools of the endpoint together may not log in to so many servers at a time.",
        "Raise one of the two settings.",
    ),
    text(
        "the endpoint's pools need {needed} logins a second, and its pace has {most} for renewals: raise \
         iam_max_age, or iam_login_rate where login_rate of SHOW IAM has reached it",
        "The pace of logins at the endpoint is too low for so many servers.",
        "Raise `iam_max_age`; or `iam_login_rate`, where SHOW IAM shows a `login_rate` as high as it.",
    ),
];

/// Why servers are closed: behind `closing because` of lines with `S-`. A client that is linked to the server
/// at that time is sent the same text as FATAL 08P01.
pub(super) const CLOSED: &[Message] = &[
    text(
        "server conn crashed?",
        "The connection to PostgreSQL has ended by itself: a restart, a crash, `pg_terminate_backend`, a \
         failover, or something in between that cuts connections. Its client is ended, too.",
        "Look into PostgreSQL's log for that moment.",
    ),
    text("server lifetime over", "The server has served for `server_lifetime`.", NONE),
    text("server idle timeout", "Nobody has used it for `server_idle_timeout`.", NONE),
    text(
        "server was not ready",
        "It has come from its login, or from a reset, in a state that cannot be lent.",
        "Where it is frequent look at `connect_query` and `server_reset_query`.",
    ),
    text(
        "client disconnect while server was not ready",
        "Its client has gone amid a transaction or a query, which is cancelled. The transaction is rolled \
         back.",
        "Where it is frequent look at timeouts of the application.",
    ),
    text(
        "database configuration changed",
        "RECONNECT, or a reload that changes how it is connected to; others are opened as they are needed.",
        NONE,
    ),
    text("close_needed", "The same, noticed as its client gave it back, or as it came from its login.", NONE),
    text("obsolete connection", "The same, noticed as it was to be lent.", NONE),
    text(
        "database removed",
        "KILL, or a reload that takes its entry away; its clients are told the same.",
        NONE,
    ),
    text(
        "connect string changed",
        "RECONNECT, or a reload that changes how it is connected to, while its login was under way.",
        NONE,
    ),
    text(
        "pause mode",
        "PAUSE, KILL of all, or SHUTDOWN WAIT_FOR_SERVERS: servers are closed as they come free.",
        NONE,
    ),
    text(
        "evicted for max_db_connections",
        "Another pool of the database needed its place more.",
        "Where it is frequent raise `max_db_connections`: each change costs a login.",
    ),
    text(
        "evicted for max_user_connections",
        "A pool of the same user in another database needed its place more.",
        "Where it is frequent raise `max_user_connections`: each change costs a login.",
    ),
    text(
        "instance \"{name}\": no database has its host and port",
        "An entry of `[instances]` bounds no connection.",
        "Correct its `host` or `port`, or remove it.",
    ),
    text(
        "evicted for max_server_connections",
        "Another pool with servers at the same PostgreSQL needed its place more.",
        "Where it is frequent raise `max_server_connections`, if the server takes more: each change costs a \
         login.",
    ),
    text(
        "evicted for pool_size",
        "A replication client of its own pool, which was full, needed its place.",
        "Where it is frequent raise `pool_size`: each change costs a login.",
    ),
    text(
        "replication client was closed",
        "The replication client whose own server it was has left, or left before it had it.",
        NONE,
    ),
    text("too many servers in the pool", "`pool_size` was lowered.", NONE),
    text(
        "query timeout",
        "A query has taken longer than `query_timeout`; its client is ended, too, and the query is \
         cancelled.",
        "Look at the query, or raise `query_timeout`.",
    ),
    text(
        "idle transaction timeout",
        "A client has done nothing within a transaction for `idle_transaction_timeout`; it is ended, too.",
        "Look at the application: it holds locks meanwhile.",
    ),
    text(
        "transaction timeout",
        "A transaction has taken longer than `transaction_timeout`; its client is ended, too.",
        "Look at the transaction, or raise `transaction_timeout`.",
    ),
    text("suspend_timeout", "SUSPEND: it has not taken what was sent to it within `suspend_timeout`.", NONE),
    text(
        "authorization renewed",
        "It was logged in to by IAM a while ago; a younger one is in its place.",
        NONE,
    ),
    text(
        "authorization too old",
        "It has reached `iam_max_age` and was free: it serves no new transaction.",
        "Where it is frequent (and not `renewed`) see the WARNING lines about IAM: replacements come too \
         late.",
    ),
    text(
        "authorization denied",
        "RDS or AWS denies the role for certain, and `iam_on_denied=drop_now` closes its servers at once.",
        "Give the role its rights back; see SHOW IAM.",
    ),
    text(
        "host has moved",
        "The host's name leads to another address (a failover): servers at the old one are closed as they \
         come free.",
        NONE,
    ),
    text(
        "session parameters in doubt",
        "A client has set a tracked parameter (a role, `search_path`) to a name that its encoding does not \
         show as UTF-8: it could not be set back for the next client. Another one is opened.",
        NONE,
    ),
    text(
        "prepared statements in doubt",
        "An error has met statements that were sent ahead: nobody knows which of them the server has. \
         Another one is opened.",
        NONE,
    ),
    text(
        "cancel request in doubt",
        "A cancel request for an earlier query may still arrive there, and would end another client's.",
        NONE,
    ),
    text(
        "test query failed",
        "`server_check_query` has failed on it.",
        "Where it is frequent run that query by hand.",
    ),
    text(
        "reset query failed",
        "`server_reset_query` has failed on it.",
        "Run that query by hand; it must be allowed outside a transaction.",
    ),
    text(
        "unexpected message",
        "It has sent an answer that nobody has asked for: server and pooler are out of step. No client is \
         sent it.",
        "Report it, unless something between rewrites the protocol.",
    ),
    text(
        "bad pkt header",
        "It has sent a message, a row for one, longer than `max_packet_size`, or bytes that are none.",
        "Ask for smaller rows, or raise `max_packet_size`; else report it, unless something between rewrites \
         the protocol.",
    ),
    text(
        "bad packet from server",
        "It has sent bytes that are no message.",
        "Report it, unless something between rewrites the protocol.",
    ),
    text(
        "parameters too long",
        "It reports session parameters of more than 64 KB.",
        "Look for who sets a parameter so long.",
    ),
];
