//! Every fixed bound of the program with its reason. Bounds that an operator may move are settings, not here.

/// Most bytes of one startup packet: PostgreSQL's own bound is 10,000, PgBouncer's first two bytes must be zero.
pub const STARTUP_BYTES_MAX: usize = 65_535;

/// Most bytes of one message before a client is authenticated (password and SASL messages): a stranger may make us hold no
/// more than this. PgBouncer's stored secrets end at 65,530 bytes.
pub const LOGIN_MESSAGE_BYTES_MAX: usize = 65_536;

/// Bytes of one worker's read buffer: the prototypes gained nothing from more, and lost 2.4x on large results with 4 KiB.
pub const READ_BUFFER_BYTES: usize = 65_536;

/// Most workers: one bit each in a pool's mask of waiting workers.
pub const WORKERS_MAX: usize = 64;

/// Between two passes of the janitor: PgBouncer looks three times a second, and its timeouts are documented so.
pub const JANITOR_PERIOD_MS: u64 = 333;

/// A server's closing is waited for this long, so that its place is not given away while PostgreSQL still counts it.
pub const SERVER_LINGER_MS: u64 = 5_000;

/// Most bytes of one message of a server before it is logged in: its error texts may be longer than what clients send.
pub const SERVER_LOGIN_MESSAGE_BYTES_MAX: u32 = 1 << 20;

/// Most parameters that a server may report at its login; PostgreSQL reports about fifteen.
pub const SERVER_PARAMETERS_MAX: usize = 256;

/// Errors of one connect_query that are logged.
pub const CONNECT_QUERY_ERRORS_MAX: usize = 8;

/// Most bytes of a message that answers auth_query: a secret may be long, nothing else of it.
pub const AUTH_QUERY_MESSAGE_BYTES_MAX: u32 = 1 << 18;

/// Answers of auth_query that are kept: an entry `*` lets one user ask for any number of databases.
pub const FOUND_SECRETS_MAX: usize = 100_000;

/// Names of servers' hosts that are remembered; beyond it those that have expired are forgotten first.
pub const DNS_NAMES_MAX: usize = 10_000;

/// A client's last words (an error, a result) are flushed for at most this long after we decided to close.
pub const CLIENT_LINGER_MS: u64 = 5_000;

/// After that, a client's own end is waited for this long, reading and dropping what it still sends, so that a reset does not
/// destroy the last words on their way.
pub const CLIENT_DRAIN_MS: u64 = 1_000;

/// Bytes read ahead from a client that has hung up while it waits: enough for a Terminate and TLS's goodbye.
pub const LAST_WORDS_BYTES: usize = 4_096;

/// A waiter on another worker goes before a local one only if it has waited this much longer: moving a connection between
/// cores costs more than a small unfairness.
pub const REMOTE_WAITER_LEAD_US: u64 = 10_000;

/// Where a cap is shared, a client of another pool gets a server's place only if it has waited this much longer than the
/// longest waiting client of the server's own pool: the change costs a close and a login, some milliseconds at both ends.
pub const FAIR_LEAD_US: u64 = 50_000;

/// For so long a server's own refusal of a login is the answer to whoever comes, the first time; each further one counts for
/// twice as long, up to `server_login_retry`.
pub const REFUSAL_PAUSE_MS: u64 = 10;

/// Longest error text sent to a client, as PgBouncer cuts its own.
pub const ERROR_TEXT_BYTES_MAX: usize = 127;

/// Longest user or database name of a login, as PgBouncer has it.
pub const NAME_BYTES_MAX: usize = 127;

/// Most PBKDF2 iterations that a server's SCRAM challenge may ask of us: about 3 s of one core. PostgreSQL's default is 4,096.
pub const SCRAM_ITERATIONS_MAX: u32 = 10_000_000;

/// Longest secret of a line in auth_file, as PgBouncer has it.
pub const SECRET_BYTES_MAX: usize = 65_530;

/// Longest query that the console takes: its longest command is some 350 bytes. PgBouncer's own bound is what one read brings.
pub const CONSOLE_QUERY_BYTES_MAX: usize = 16_384;

/// Pools with metrics of their own; all others are summed. Some 100 lines a pool: the page stays within about 5 MB.
pub const METRICS_POOLS_MAX: usize = 500;

/// Sources of AWS credentials with metrics of their own; all others are summed. A dozen lines each.
pub const METRICS_SOURCES_MAX: usize = 100;

/// Most bytes of one request to the metrics page: Prometheus sends a few hundred.
pub const HTTP_REQUEST_BYTES_MAX: usize = 8_192;

/// Requests to the metrics page served at a time; a few scrapers are usual.
pub const HTTP_CONNECTIONS_MAX: usize = 16;

/// A request to the metrics page must be read and answered within this, or the connection is cut.
pub const HTTP_TIMEOUT_MS: u64 = 10_000;

/// Longest log line; what is beyond is cut. Errors of PostgreSQL and traced queries may be long, a line must not be.
pub const LOG_LINE_BYTES_MAX: usize = 8_192;

/// Log lines that wait to be written. What comes while so many wait is lost and counted: a stuck disk must not stop queries.
pub const LOG_LINES_WAITING_MAX: usize = 4_096;

/// `%include` inside includes: PgBouncer's own bound.
pub const CONFIG_INCLUDE_DEPTH_MAX: usize = 10;

/// Files read for one configuration: includes that fan out at each level would otherwise multiply without end.
pub const CONFIG_FILES_MAX: usize = 1_000;

/// Most bytes of one configuration file: room for hundreds of thousands of databases, none for `/dev/zero`.
pub const CONFIG_FILE_BYTES_MAX: u64 = 64 << 20;

/// Errors listed for one configuration; a file that is something else altogether has one on every line.
pub const CONFIG_ERRORS_MAX: usize = 100;

/// SCRAM verifiers derived from plain passwords that are remembered: deriving one costs a millisecond, keeping one 300 bytes.
pub const VERIFIERS_MAX: usize = 10_000;

/// Pause before accepting again when the system has no descriptor or memory for one more connection: some of those there are
/// will end meanwhile.
pub const ACCEPT_BACKOFF_MS: u64 = 100;

/// Between two looks whether what a command of the console waits for has come about (PAUSE, SUSPEND, WAIT_CLOSE).
pub const CONSOLE_POLL_MS: u64 = 20;
