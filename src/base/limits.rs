//! Every fixed bound of the program with its reason. Bounds that an operator may move are settings, not here.

mod audit;
mod files;
mod identity;
mod issuers;
mod naming;
mod secrets;

pub use audit::*;
pub use files::*;
pub use identity::*;
pub use issuers::*;
pub use naming::*;
pub use secrets::*;

/// Most bytes of one startup packet: PostgreSQL's own bound (MAX_STARTUP_PACKET_LENGTH). PgBouncer takes what
/// fits into pkt_buf, 4,096 bytes.
pub const STARTUP_BYTES_MAX: usize = 10_000;

/// Most bytes of one message before a client is authenticated (md5's and SASL's answers). An
/// unauthenticated client makes us hold one such message and its task, 14 kB together, and 23 kB over TLS.
pub const LOGIN_MESSAGE_BYTES_MAX: usize = 10_240;

/// Most bytes of a message with a password in clear text, its tag among them, as PostgreSQL takes it
/// (PG_MAX_AUTH_TOKEN_LENGTH). An unauthenticated client makes us hold three copies at the most, 200 kB.
pub const PASSWORD_MESSAGE_BYTES_MAX: usize = 65_536;

/// A key that seals TLS sessions of clients into tickets does so for an hour, and opens them for another: who
/// has got hold of one can read what was recorded of the sessions of TLS 1.2 in its tickets, so it must not
/// grow old; a client that comes again mostly does so within minutes.
pub const TLS_TICKET_KEY_S: u32 = 3_600;

/// How long a client that has not proven who it is may take for its next message while others wait for its
/// place: five round trips of a login over a bad line. Nobody waits: client_login_timeout.
pub const LOGIN_GRACE_MS: u64 = 1_000;

/// Between two looks whether a place for one more login has come free, where nobody says so.
pub const LOGIN_ROOM_POLL_MS: u64 = 50;

/// Clients that have not proven who they are have at most this part of the files that the process may open,
/// so that clients, servers and the log find theirs.
pub const LOGIN_FILES_PART: u64 = 4;

/// Connections of which nobody has proven himself that the log hears of in one go, and a second after that: a
/// flood must not fill the disk, nor push other lines out.
pub const LOG_UNAUTHENTICATED_BURST: u64 = 1_000;
/// See [`LOG_UNAUTHENTICATED_BURST`].
pub const LOG_UNAUTHENTICATED_PER_SECOND: u64 = 50;

/// Databases that are made for auth_query because anybody has named them: in one go, and a second after that.
pub const NEW_DATABASES_BURST: u64 = 500;
/// See [`NEW_DATABASES_BURST`].
pub const NEW_DATABASES_PER_SECOND: u64 = 100;

/// Cancel requests that are carried to one server at a time. What comes beyond goes as one more, when one of
/// those is over: a key may be used as often as its holder likes, and each request carried costs a connection
/// to PostgreSQL for up to `cancel_wait_timeout` and `server_connect_timeout`. (The requester's own
/// connection counts against `max_login_conn`.)
pub const CANCELS_PER_SERVER_MAX: usize = 4;

/// A server has this long to answer a cancel that `timeout_action = cancel` has sent it, where
/// `cancel_wait_timeout` is 0 and sets no end: then it is closed, with its client.
pub const CANCEL_ANSWER_MS: u64 = 10_000;

/// Bytes passed over of a client that has had our last words, so that closing does not take them back.
pub const FAREWELL_BYTES_MAX: usize = 65_536;

/// Most bytes that a client who waits for its pool's first server may send ahead: they are
/// held until a worker has it.
pub const SENT_AHEAD_BYTES_MAX: usize = 8_192;

/// Bytes of one worker's read buffer: the prototypes gained nothing from more, and lost 2.4x on
/// large results with 4 KiB.
pub const READ_BUFFER_BYTES: usize = 65_536;

/// Most workers: one bit each in a pool's mask of waiting workers.
pub const WORKERS_MAX: usize = 64;

/// Connections that a worker's tables have room for from the start. What is not used is never touched
/// and takes no memory; so large a table is mapped by itself, and grows without being copied and
/// without leaving a hole behind.
pub const CONNECTIONS_AT_START: usize = 2_048;

/// Between two passes of the janitor: PgBouncer looks three times a second, and its
/// timeouts are documented so.
pub const JANITOR_PERIOD_MS: u64 = 333;

/// A server's closing is waited for this long, so that its place is not given away while
/// PostgreSQL still counts it.
pub const SERVER_LINGER_MS: u64 = 5_000;

/// Most bytes of one message of a server before it is logged in: its error texts may be
/// longer than what clients send.
pub const SERVER_LOGIN_MESSAGE_BYTES_MAX: u32 = 1 << 20;

/// Most parameters that a server may report at its login; PostgreSQL reports about fifteen.
pub const SERVER_PARAMETERS_MAX: usize = 256;

/// Errors of one connect_query that are logged.
pub const CONNECT_QUERY_ERRORS_MAX: usize = 8;

/// Most bytes of a message that answers auth_query: a secret may be long, nothing else of it.
pub const AUTH_QUERY_MESSAGE_BYTES_MAX: u32 = 1 << 18;

/// Answers of auth_query that are kept: an entry `*` lets one user ask for any number of databases.
pub const FOUND_SECRETS_MAX: usize = 100_000;
/// Bytes of them, and as many again of the verifiers that clients have proven keys for, and of what
/// is derived from passwords.
pub const FOUND_SECRETS_BYTES_MAX: usize = 64 << 20;

/// Lookups of auth_query at a time, in all and in one database; others wait for their turns.
/// Whoever asks may be anybody.
pub const LOOKUPS_MAX: usize = 64;
/// See [`LOOKUPS_MAX`].
pub const LOOKUPS_PER_DATABASE_MAX: usize = 16;

/// Looks for the name of an account at a time, in all and for one account: each has a thread, and the system
/// may ask a directory that does not answer.
pub const ACCOUNT_LOOKUPS_MAX: usize = 16;
/// See [`ACCOUNT_LOOKUPS_MAX`].
pub const ACCOUNT_LOOKUPS_EACH_MAX: usize = 4;

/// Longest filter of a search in a directory, and how deep parentheses may stand in it, or elements in what a
/// directory answers: both are read by calls within calls.
pub const LDAP_FILTER_BYTES_MAX: usize = 4_096;
/// See [`LDAP_FILTER_BYTES_MAX`].
pub const LDAP_DEPTH_MAX: usize = 16;

/// Longest message of a directory, and most bytes of all that it answers to one login: no attributes are
/// asked for, so that an answer is a name and a few words.
pub const LDAP_MESSAGE_BYTES_MAX: usize = 65_536;
/// See [`LDAP_MESSAGE_BYTES_MAX`].
pub const LDAP_ANSWERS_BYTES_MAX: usize = 262_144;

/// Logins that ask a directory at a time, in all and from one network: each has a connection of its own.
pub const LDAP_LOGINS_MAX: usize = 32;
/// See [`LDAP_LOGINS_MAX`].
pub const LDAP_LOGINS_EACH_MAX: usize = 8;

/// A connection to one server of a directory must be there, TLS included, within this; then the next is
/// tried.
pub const LDAP_CONNECT_MS: u64 = 5_000;

/// A directory must have answered everything about one login within this.
pub const LDAP_ANSWER_MS: u64 = 10_000;

/// Logins that ask PAM at a time, in all and from one network: each has a thread for as long as a module
/// takes, and the usual one takes two seconds for a wrong password.
pub const PAM_LOGINS_MAX: usize = 16;
/// See [`PAM_LOGINS_MAX`].
pub const PAM_LOGINS_EACH_MAX: usize = 8;

/// So many logins wait for PAM, or for a directory, before the log says that it is slower than they come …
pub const LOGIN_QUEUE_FULL: usize = 100;

/// … and that it is so again, after so long.
pub const LOGIN_QUEUE_TOLD_AGAIN_MS: u64 = 10_000;

/// Databases that `*` made for auth_query and in which nobody has proven himself yet: beyond it the one
/// looked into first is forgotten, its servers closed. Those that are being looked into are [`LOOKUPS_MAX`]
/// at most, and come on top.
pub const UNPROVEN_DATABASES_MAX: usize = 32;

/// Names of servers' hosts that are remembered; beyond it those that have expired are forgotten first.
pub const DNS_NAMES_MAX: usize = 10_000;

/// For so long a worker remembers that a host has moved: a server that was on its way to it meanwhile, from
/// its login or from another worker, may be one that stayed at the old address.
pub const HOST_MOVED_MS: u64 = 60_000;

/// A client's last words (an error, a result) are flushed for at most this long after we decided to close.
pub const CLIENT_LINGER_MS: u64 = 5_000;

/// After that, a client's own end is waited for this long, reading and dropping what it still sends, so that
/// a reset does not destroy the last words on their way.
pub const CLIENT_DRAIN_MS: u64 = 1_000;

/// Bytes read ahead from a client that has hung up while it waits: enough for a Terminate and TLS's goodbye.
pub const LAST_WORDS_BYTES: usize = 4_096;

/// A waiter on another worker goes before a local one only if it has waited this much longer: moving a
/// connection between cores costs more than a small unfairness. It is what the tail of 128 clients on two
/// workers is made of: their p99 is 4.1 ms with 2 ms, 9.3 ms with 10, for 1 % more CPU time.
pub const REMOTE_WAITER_LEAD_US: u64 = 2_000;

/// Where a cap is shared, a client of another pool gets a server's place only if it has waited this much
/// longer than the longest waiting client of the server's own pool: the change costs a close and a login,
/// some milliseconds at both ends.
pub const FAIR_LEAD_US: u64 = 50_000;

/// For so long a server's own refusal of a login is the answer to whoever comes, the first time; each further
/// one counts for twice as long, up to `server_login_retry`.
pub const REFUSAL_PAUSE_MS: u64 = 10;

/// What is kept of each text of a server's error, for whoever is told of it. PgBouncer cuts at 127 bytes
/// (disconnect_client() in src/objects.c), inside of what tells a refused host, user and database.
pub const ERROR_TEXT_BYTES_MAX: usize = 1_000;

/// Longest user name of a login: PgBouncer's MAX_USERNAME (include/bouncer.h) without the zero byte.
pub const NAME_BYTES_MAX: usize = 127;

/// Longest database name of a login: PgBouncer's MAX_DBNAME (include/bouncer.h) without the zero
/// byte, and PostgreSQL's own.
pub const DATABASE_NAME_BYTES_MAX: usize = 63;

/// Longest secret of a line in auth_file, as PgBouncer has it.
pub const SECRET_BYTES_MAX: usize = 65_530;

/// Longest token of AWS IAM: what a server reads as a password. PostgreSQL 14 and later take a message of
/// 65,535 bytes (PG_MAX_AUTH_TOKEN_LENGTH), of which its length takes four and the zero behind it one.
pub const TOKEN_BYTES_MAX: usize = 65_530;

/// Longest session token of AWS credentials, as it is encoded in a token: all else there takes less than
/// 1,530 bytes. AWS's own have some thousand, and it names no bound.
pub const SESSION_TOKEN_BYTES_MAX: usize = 64_000;

/// Longest web identity that is read from its file: STS takes 20,000 characters.
pub const WEB_IDENTITY_BYTES_MAX: usize = 20_000;

/// A `credential_process` is ended after this time: it may ask a service that is slow,
/// but nobody who has to type.
pub const CREDENTIAL_PROCESS_MS: u64 = 60_000;

/// Most bytes that a `credential_process` may print: credentials with the longest session
/// token that can sign, twice.
pub const CREDENTIAL_PROCESS_BYTES_MAX: usize = 131_072;

/// Of those who log in by IAM to one endpoint so many are counted and remembered, some 2 kB each: an RDS
/// instance takes no more connections by default (`max_connections`, 5,000 at the most), so whoever has a
/// server there is among them.
pub const IAM_LOGINS_PER_ENDPOINT_MAX: usize = 5_000;

/// Sessions of STS that one process asks for in a second, after a burst of as many: AWS lets some hundred
/// through for a whole account and region, which others share.
pub const STS_CALLS_PER_SECOND: u32 = 20;

/// Longest query that the console takes: its longest command is some 350 bytes. PgBouncer's own bound
/// is what one read brings.
pub const CONSOLE_QUERY_BYTES_MAX: usize = 16_384;

/// Pools with metrics of their own; all others are summed. Some 175 lines a pool, 15 KB: the
/// page stays within 8 MB.
pub const METRICS_POOLS_MAX: usize = 500;

/// Kinds of clients (database, user, application name, state) with a metric of their own; all others are
/// summed by state. Application names are what clients say: some put an address or a process id there.
pub const METRICS_CLIENT_KINDS_MAX: usize = 500;

/// Clients that a worker looks at in one turn of a scrape: queries wait less than a millisecond for it.
pub const SCRAPED_CLIENTS_MAX: usize = 4_096;

/// Longest file of a cached token of IAM Identity Center: it holds one token and what renews it, some 5 KB.
pub const SSO_CACHE_BYTES_MAX: usize = 65_536;

/// Databases with a metric of their own; of all others the worst counts. One line each.
pub const METRICS_DATABASES_MAX: usize = 500;

/// Peers with metrics of their own; all others are summed. Two lines each.
pub const METRICS_PEERS_MAX: usize = 100;

/// Servers of PostgreSQL with metrics of their own; all others are summed. Two lines each.
pub const METRICS_INSTANCES_MAX: usize = 200;

/// Pools whose counters a worker copies in one turn, some 6 KB each: queries wait less than a millisecond.
pub const STATS_POOLS_MAX: usize = 64;

/// Sources of AWS credentials with metrics of their own; all others are summed. A dozen lines each.
pub const METRICS_SOURCES_MAX: usize = 100;

/// Most bytes of one request to the metrics page: Prometheus sends a few hundred.
pub const HTTP_REQUEST_BYTES_MAX: usize = 8_192;

/// Connections to the metrics page at a time; a few scrapers are usual. Beyond it the slowest makes room.
pub const HTTP_CONNECTIONS_MAX: usize = 16;

/// A request to the metrics page must have come within this.
pub const HTTP_ASK_MS: u64 = 3_000;

/// A request to the metrics page must be read and answered within this, or the connection is cut.
pub const HTTP_TIMEOUT_MS: u64 = 10_000;

/// Longest log line; what is beyond is cut. Errors of PostgreSQL and traced queries may be
/// long, a line must not be.
pub const LOG_LINE_BYTES_MAX: usize = 8_192;

/// Log lines that wait to be written. What comes while so many wait is lost and counted: a stuck
/// disk must not stop queries.
pub const LOG_LINES_WAITING_MAX: usize = 4_096;

/// SCRAM verifiers derived from plain passwords that are remembered: deriving one costs a
/// millisecond, keeping one 300 bytes.
pub const VERIFIERS_MAX: usize = 10_000;

/// Users of auth_file with plain passwords whose verifiers are derived before they come: two minutes of a
/// core for so many, and 20 MB. With more each login derives its own, as with PgBouncer.
pub const PREPARED_VERIFIERS_MAX: usize = 100_000;

/// Threads that clients who want TLS log in on, at most one for each core. A TLS handshake takes a few
/// hundred microseconds: eight threads do tens of thousands of logins a second.
pub const LOGIN_THREADS_MAX: usize = 8;

/// By how much the threads that clients who want TLS log in on are less urgent than those of the workers:
/// nice(2) 5 leaves them a quarter of a core that a worker wants, too, and all that is left over. Other
/// programs on the machine are as urgent as the workers: beside two for each core that want all of it, such a
/// thread has a core again within some 4 ms (99 of 100 times within 7), with 10 it was 18 ms (66); TLS logins
/// took 13 ms there instead of 32 (90 of 100). Queries gain little by more: a worker that is not busy has a
/// core within a millisecond either way.
pub const LOGIN_NICE: i32 = 5;

/// Tasks of logins that a worker lets go on in a round, each some microseconds, before it
/// looks after queries again.
pub const TASKS_PER_ROUND: usize = 16;
/// The time for them, whatever they cost: room for some ten logins, and less than a query takes from end to
/// end. One that has begun is not interrupted.
pub const TASKS_US_PER_ROUND: u64 = 200;

/// Clients that a worker accepts in a round, some ten microseconds each, before it looks after queries again.
pub const ACCEPTS_PER_ROUND: usize = 8;

/// A login by IAM that has had no answer for so long, and for twice as long as they take lately, is one that
/// hangs: servers that work serve on meanwhile.
pub const IAM_LOGIN_SLOW_MS: u64 = 2_000;

/// Servers that are not replaced in time for so long are news for the log …
pub const LATE_TOLD_AFTER_MS: u64 = 10_000;

/// … and that they are again, after so long.
pub const LATE_OVER_AFTER_MS: u64 = 60_000;

/// A login of a pool that fails while others succeed puts the next one off for so long at most:
/// `server_login_retry` is for servers that take none.
pub const LOGIN_RETRY_MS: u64 = 1_000;

/// Pause before accepting again when the system has no descriptor or memory for one more connection: some of
/// those there are will end meanwhile.
pub const ACCEPT_BACKOFF_MS: u64 = 100;

/// Between two log lines that say so.
pub const ACCEPT_COMPLAINT_MS: u64 = 60_000;

/// Between two looks whether what a command of the console waits for (PAUSE, SUSPEND) has come about.
pub const CONSOLE_POLL_MS: u64 = 20;

// What one client can make a worker hold: a read buffer, or one Parse under way (STATEMENT_BYTES_MAX); what
// it does not take of one call's output (a read buffer, MADE_BYTES_PER_CALL and one statement); the names it
// has given and their texts (CLIENT_STATEMENT_BYTES_MAX, within `prepared_statements_memory` for all clients
// together); its parameters (PARAMETERS_BYTES_MAX). What one server can: a read buffer; what it does not take
// of one call's output, as above; its parameters; `max_prepared_statements` numbers of 72 bytes; EXPECTED_MAX
// answers owed, and what one call adds to them (three for each of FRAMES_PER_CALL, and a Close for each
// statement beyond a lowered `max_prepared_statements`), of 16 bytes.

/// Frames of a client in one call of the core; the rest is looked at when others have had their turn. A read
/// buffer of usual frames has fewer.
pub const FRAMES_PER_CALL: u32 = 1_024;

/// Bytes made for a server in one call of the core (Parse messages of ours) after which the rest waits until
/// the driver has seen whether the server takes them. One more statement may come on top.
pub const MADE_BYTES_PER_CALL: usize = 256 * 1024;

/// Answers owed by one server beyond which its client is not read. PostgreSQL holds back 8,192 bytes of
/// answers of 5 bytes or more until it is asked to flush, so that more than twice as many are never owed to
/// a client that only waits.
pub const EXPECTED_MAX: usize = 4_096;

/// Most bytes of a message that has no long part: PostgreSQL's own bound (`PQ_SMALL_MESSAGE_LIMIT`).
pub const SMALL_MESSAGE_BYTES_MAX: u32 = 10_000;

/// Most bytes of a Describe or Close, and of the names in a Bind: clients name statements as they like, and
/// servers know shared ones by short names of ours. PgBouncer has no bound but `max_packet_size`.
pub const STATEMENT_NAME_BYTES_MAX: u32 = 65_535;

/// Most bytes of a Parse that prepares a shared statement: it is kept, and comes whole before it is read.
pub const STATEMENT_BYTES_MAX: usize = 16 << 20;

/// Most bytes of the names that one client has given to statements, and of their texts.
pub const CLIENT_STATEMENT_BYTES_MAX: usize = 64 << 20;

/// Statements that no client names at present are kept in this part of
/// `prepared_statements_memory`: a quarter.
pub const UNNAMED_STATEMENTS_PART: usize = 4;

/// This part of `prepared_statements_memory`, a quarter, is kept for databases that hold less than their
/// share of it: an equal one for each that is configured or holds statements (the greater of the two numbers
/// counts, so those that `*` makes lower everybody's), and one for the next.
pub const STATEMENT_SHARES_PART: usize = 4;

/// Most bytes of a server's tracked parameters, with their names: a startup packet has no more.
pub const PARAMETERS_BYTES_MAX: usize = 65_536;

/// Places in a pool's queue whose clients wait no more (a cancel, a disconnect), beyond as many as
/// there are waiting clients.
pub const STALE_WAITERS_MAX: usize = 64;

/// `iam_max_age`'s default, in seconds: how long a change of permissions takes to bite at the most, and a
/// fifth of the hour for which credentials are good at the least.
pub const IAM_MAX_AGE_S: u64 = 900;

/// The largest `iam_max_age`, in seconds: a day, as RDS itself never asks again.
pub const IAM_MAX_AGE_S_MOST: u64 = 86_400;
