//! Every setting of `[pgbouncer]`: one row each, in the order of SHOW CONFIG,
//! PgBouncer's first and then our own.
//!
//! From the table come the typed [`Settings`], the ini reader's names, SHOW CONFIG, SET, the rules of reload,
//! the warnings about what takes no effect and `configs/reference.ini`. Never reads a file. Source:
//! PgBouncer, doc/config.md.

use super::choices::{AuditLog, AuditOverflow, AuditStatements};
use super::choices::{
    AuthDbname, AuthType, ClientIamMode, IoBackend, LogFormat, OnDenied, OnExpired, PoolMode, Recheck,
    SessionState, SslMode, SyslogFacility, TimeoutAction, Tls13Suites, TlsNegotiation, TlsProtocols, Workers,
};
use super::ciphers::{CipherList, Curves};
use super::context_keys::ContextKeyList;
use super::iam::AllDenied;
use super::ldap_text::LdapText;
use super::name_template::NameTemplate;
use super::peers::PeerId;
use super::setting::Effect::{Active, NoEffect};
use super::setting::{Change, Row, default_of, settings};
use super::value::{Bytes, FileMode, List, ListenOn, Value};
use crate::base::Micros;
use std::num::NonZeroU32;
use std::sync::Arc;

/// One row of the table.
pub type Setting = Row<Settings>;

impl Setting {
    /// The row of the setting called `name`; names are case-sensitive.
    pub fn named(name: &str) -> Option<&'static Self> {
        TABLE.iter().find(|row| row.name == name)
    }

    /// Whether its value is not for others to see: it may hold a password, or say where there are some.
    pub fn may_hold_secret(&self) -> bool {
        matches!(self.name, "auth_ldap_options" | "auth_query")
    }

    /// Whether its value is SQL, whose literals may be secrets.
    pub fn is_sql(&self) -> bool {
        matches!(self.name, "server_check_query" | "server_reset_query")
    }
}

/// A text of a setting.
type Text = Arc<str>;
/// A count, a size in bytes, or a number of seconds or milliseconds, as its row says.
type Count = u32;
/// A span of time, written in seconds.
type Seconds = Micros;

settings! {
//  name: type = default, change, effect, what it means (unit first)
    admin_users: List = "", Reload, Active, "Console users with all rights, separated by commas.";
    application_name_add_host: bool = "0", Reload, Active,
        "1: clients' application_name becomes `NAME - ADDR:PORT` at login.";
    auth_dbname: Option<AuthDbname> = NULL, Reload, Active,
        "The entry of `[databases]` in which auth_query runs; default: the database that the client asked \
         for.";
    auth_file: Option<Text> = NULL, Reload, Active,
        "File of users and secrets, lines of `\"user\" \"secret\"`.";
    auth_hba_file: Text = "", Reload, Active,
        "File of rules for auth_type=hba: which clients have to prove who they are in which way.";
    auth_ident_file: Option<Text> = NULL, Reload, Active,
        "File of user name maps for rules of auth_hba_file with map=.";
    auth_ldap_options: Option<LdapText> = NULL, Reload, Active,
        "Options of LDAP for auth_type=ldap, as pg_hba.conf writes them: which server, and how a user is \
         found there.";
    auth_query: Text =
        "SELECT rolname, CASE WHEN rolvaliduntil OPERATOR(pg_catalog.<) pg_catalog.now() THEN NULL ELSE \
         rolpassword END FROM pg_catalog.pg_authid WHERE rolname OPERATOR(pg_catalog.=) $1 AND rolcanlogin",
        Reload, Active, "Query that finds a user's name and secret; $1 is the user's name. Runs as \
            auth_user.";
    auth_type: AuthType = "md5", Reload, Active, "How clients prove who they are.";
    auth_user: Option<Text> = NULL, Reload, Active,
        "User that runs auth_query for users that auth_file does not have.";
    autodb_idle_timeout: Seconds = "3600", Reload, Active,
        "Seconds after which an unused database that `*` made is forgotten with its statistics; 0 never.";
    cancel_wait_timeout: Seconds = "10", Reload, Active,
        "Seconds that a cancel request may wait for its connection; 0 for ever.";
    client_idle_timeout: Seconds = "0", Reload, Active,
        "Seconds that a client without a server may stay silent; 0 for ever.";
    client_login_timeout: Seconds = "60", Reload, Active,
        "Seconds that a login may take, waiting for the pool's first server included; 0 for ever.";
    client_tls13_ciphers: Option<Tls13Suites> = NULL, Reload, Active,
        "TLS 1.3 suites for clients, separated by colons.";
    client_tls_ca_file: Text = "", Reload, Active,
        "Certificates of the authorities that sign clients' certificates (PEM).";
    client_tls_cert_file: Text = "", Reload, Active, "Our certificate for clients (PEM).";
    client_tls_ciphers: CipherList = "default", Reload, Active, "TLS 1.2 suites for clients.";
    client_tls_dheparams: Text = "auto", Reload, NoEffect("finite-field DHE is never used, only elliptic \
        curves"),
        "Parameters of DHE key exchange.";
    client_tls_ecdhcurve: Curves = "auto", Reload, Active, "Curves of ECDHE key exchange with clients.";
    client_tls_key_file: Text = "", Reload, Active, "Our private key for clients (PEM).";
    client_tls_protocols: TlsProtocols = "secure", Reload, Active, "TLS versions for clients.";
    client_tls_sslmode: SslMode = "disable", Reload, Active,
        "Whether clients may or must use TLS, and whether their certificates are verified.";
    conffile: Option<Text> = NULL, Reload, Active,
        "File that the next reload reads; the command line's at start.";
    default_pool_size: Count = "20", Reload, Active, "Servers per pool (database, user); 0 unlimited.";
    disable_pqexec: bool = "0", Restart, Active, "1: the simple query protocol is refused.";
    dns_max_ttl: Seconds = "15", Reload, Active, "Seconds for which a host's addresses are remembered.";
    dns_nxdomain_ttl: Seconds = "15", Reload, Active, "Seconds for which a failed look-up is remembered.";
    dns_zone_check_period: Seconds = "0", Reload, NoEffect("the system's resolver is asked, which knows no \
        zones: dns_max_ttl and dns_close_moved find hosts that move"),
        "Seconds between looks at the serial of a DNS zone; 0 never.";
    idle_transaction_timeout: Seconds = "0", Reload, Active,
        "Seconds that a client may stay silent in a transaction; 0 for ever.";
    ignore_startup_parameters: List = "", Reload, Active,
        "Startup parameters that are accepted and dropped, separated by commas.";
    job_name: Text = "pgbouncer", Restart, NoEffect("it names a service of Windows"),
        "Name of the Windows service.";
    listen_addr: List = "", Restart, Active,
        "Addresses to listen on, separated by commas; `*` all, nothing: no TCP.";
    listen_backlog: Count = "128", Restart, Active,
        "Connections that the kernel queues before they are accepted.";
    listen_port: u16 = "6432", Restart, Active,
        "Port for TCP, and the number in the Unix socket's file name.";
    log_connections: bool = "1", Reload, Active, "1: logins are logged.";
    log_disconnections: bool = "1", Reload, Active, "1: disconnects are logged with their reason.";
    log_pooler_errors: bool = "1", Reload, Active, "1: errors sent to clients are logged.";
    log_stats: bool = "1", Reload, Active, "1: a line of statistics is logged every stats_period.";
    logfile: Text = "", Reload, Active, "File to log to, opened anew by a reload.";
    login_notify_message: Text = "", Reload, Active,
        "Text of a NOTICE that clients get at login; nothing: none.";
    max_client_conn: Count = "100", Reload, Active,
        "Client connections in all; the console's are not counted.";
    max_db_client_connections: Count = "0", Reload, Active, "Client connections per database; 0 unlimited.";
    max_db_connections: Count = "0", Reload, Active, "Servers per database over all its pools; 0 unlimited.";
    max_packet_size: Count = "2147483647", Reload, Active,
        "Bytes of the largest message that is let through: a query or a row.";
    max_prepared_statements: Count = "200", Reload, Active,
        "Prepared statements kept per server in transaction and statement pooling; 0: not tracked.";
    max_user_client_connections: Count = "0", Reload, Active,
        "Client connections per login user; 0 unlimited.";
    max_user_connections: Count = "0", Reload, Active,
        "Servers per pool user over all databases; 0 unlimited.";
    min_pool_size: Count = "0", Reload, Active, "Servers that a pool is kept filled with.";
    peer_id: PeerId = "0", Reload, Active,
        "This process's number among its peers, to which it forwards cancel requests; 0 no peering.";
    pidfile: Text = "", Restart, Active, "File that holds the process id.";
    pkt_buf: Count = "4096", Restart, NoEffect("a worker's connections share its buffers, which have a size \
        of their own"),
        "Bytes of a connection's buffer.";
    pool_mode: PoolMode = "session", Reload, Active, "When a server goes back to its pool.";
    pool_idle_timeout: Seconds = "0", Reload, Active,
        "Seconds after which a pool without clients and servers is forgotten; 0 never.";
    query_timeout: Seconds = "0", Reload, Active, "Seconds that a query may take; 0 for ever.";
    query_wait_notify: Count = "5", Reload, Active,
        "Seconds of waiting after which a client is told by a NOTICE; 0 never.";
    query_wait_timeout: Seconds = "120", Reload, Active,
        "Seconds that a client may wait for a server; 0 for ever.";
    reserve_pool_size: Count = "0", Reload, Active,
        "Servers per pool beyond its size, once a client has waited for reserve_pool_timeout.";
    reserve_pool_timeout: Seconds = "5", Reload, Active,
        "Seconds of waiting that open the reserve; 0: no reserve.";
    resolv_conf: Text = "", Restart, NoEffect("names are looked up by the system's resolver, which has files \
        of its own"),
        "File that configures the resolver.";
    sbuf_loopcnt: Count = "5", Reload, NoEffect("a worker gives each connection turns of a fixed size"),
        "Buffers of one connection that are handled in a row; 0 unlimited.";
    scram_iterations: NonZeroU32 = "4096", Reload, Active,
        "Iterations of SCRAM secrets that are made from plain passwords.";
    server_check_delay: Seconds = "30", Reload, Active,
        "Seconds of idleness after which a server must answer server_check_query before it is lent; 0 \
         always.";
    server_check_query: Text = "<empty>", Reload, Active,
        "Query that shows that an idle server lives; `<empty>` an empty query, nothing: no check.";
    server_connect_timeout: Seconds = "15", Reload, Active,
        "Seconds that connecting and logging in to a server may take; 0 for ever.";
    server_fast_close: bool = "0", Reload, Active,
        "1: session pooling closes servers that are to be closed as soon as they are idle, with their \
         clients.";
    server_idle_timeout: Seconds = "600", Reload, Active,
        "Seconds after which an idle server is closed; 0 never.";
    server_lifetime: Seconds = "3600", Reload, Active,
        "Seconds after which an unlinked server is closed; 0: each server is used once.";
    server_login_retry: Seconds = "15", Reload, Active,
        "Seconds between a failed login to a server and the next try.";
    server_reset_query: Text = "DISCARD ALL", Reload, Active,
        "Query that cleans a server after a client of a session pool; nothing: none.";
    server_reset_query_always: bool = "0", Reload, Active, "1: server_reset_query runs in every pool mode.";
    server_round_robin: bool = "0", Reload, Active,
        "1: of the idle servers the one that has been idle longest is lent, else the one used last.";
    server_tls13_ciphers: Option<Tls13Suites> = NULL, Reload, Active,
        "TLS 1.3 suites towards servers, separated by colons.";
    server_tls_ca_file: Text = "", Reload, Active,
        "Certificates of the authorities that sign servers' certificates (PEM).";
    server_tls_cert_file: Text = "", Reload, Active, "Our certificate towards servers (PEM).";
    server_tls_ciphers: CipherList = "default", Reload, Active, "TLS 1.2 suites towards servers.";
    server_tls_key_file: Text = "", Reload, Active, "Our private key towards servers (PEM).";
    server_tls_protocols: TlsProtocols = "secure", Reload, Active, "TLS versions towards servers.";
    server_tls_sslmode: SslMode = "prefer", Reload, Active,
        "Whether TLS is used towards servers, and what of their certificates is verified.";
    so_reuseport: bool = "0", Restart, Active, "1: several processes may listen on the same TCP port.";
    stats_period: Count = "60", Reload, Active,
        "Seconds over which averages are taken and after which log_stats logs; the period at start stays.";
    stats_users: List = "", Reload, Active, "Console users with SHOW only, separated by commas.";
    suspend_timeout: Seconds = "10", Reload, Active,
        "Seconds that SUSPEND waits for data on its way; connections not flushed by then are dropped.";
    syslog: bool = "0", Reload, Active, "1: log lines go to syslog too.";
    syslog_facility: SyslogFacility = "daemon", Reload, Active, "Facility that syslog files our lines under.";
    syslog_ident: Text = "pgbouncer", Reload, Active, "Name that syslog shows for us.";
    tcp_defer_accept: Count = "1", Reload, Active,
        "1: the kernel holds a new connection back until its first bytes come, for at most 45 seconds; 0 \
         off.";
    tcp_keepalive: bool = "1", Reload, Active, "1: TCP connections are probed when silent.";
    tcp_keepcnt: Count = "0", Reload, Active,
        "Probes without an answer that end a connection; 0 the system's default.";
    tcp_keepidle: Count = "0", Reload, Active,
        "Seconds of silence before the first probe; 0 the system's default.";
    tcp_keepintvl: Count = "0", Reload, Active, "Seconds between probes; 0 the system's default.";
    tcp_socket_buffer: Count = "0", Reload, Active,
        "Bytes of the kernel's send and receive buffer of a connection; 0 the system's default.";
    tcp_user_timeout: Count = "0", Reload, Active,
        "Milliseconds that sent data may stay unacknowledged; 0 the system's default.";
    track_extra_parameters: List = "IntervalStyle", Restart, Active,
        "Session parameters kept in step between clients and servers, beyond those that PostgreSQL reports \
         by itself, which always are; only what the server reports can be.";
    transaction_timeout: Seconds = "0", Reload, Active, "Seconds that a transaction may take; 0 for ever.";
    unix_socket_dir: Text = "/tmp", Restart, Active,
        "Directory of our Unix socket, and of servers' where no host is given; `@` first: abstract, nothing: \
         none.";
    unix_socket_group: Text = "", Restart, Active, "Group of the Unix socket's file.";
    unix_socket_mode: FileMode = "0777", Restart, Active,
        "Permission bits of the Unix socket's file, in octal.";
    user: Option<Text> = NULL, Restart, Active, "User that the process becomes after it has started as root.";
    verbose: Count = NULL, Reload, Active, "Level of detail in the log: 1 adds DEBUG lines, 2 adds NOISE.";
    workers: Workers = "auto", Restart, Active, "Data workers; auto: one per core.";
    prepared_statements_memory: Bytes = "256 MB", Reload, Active,
        "Bytes that all prepared statements and clients' names for them may take; the least recently named \
         that no client has any more are forgotten first, then the client that asks for one more is ended \
         (53200); one database alone gets three quarters. A quarter is kept for databases that hold less \
         than an equal share of it.";
    io_backend: IoBackend = "auto", Restart, Active,
        "How data workers talk to the kernel: auto gathers small writes in an io_uring where there is one; \
         epoll never does.";
    dns_close_moved: bool = "1", Reload, Active,
        "1: when a host is looked up anew, which only the opening of a server causes, its servers at other \
         addresses are closed, idle ones at once; 0: they stay.";
    allow_core_dump: bool = "0", Restart, Active,
        "1: a crash may leave a core, and programs of the same user may look into the memory, where \
         passwords and keys are.";
    metrics_listen: ListenOn = "", Restart, Active, "Address and port of the Prometheus page; nothing: none.";
    metrics_pool_histograms: bool = "1", Reload, Active,
        "1: the Prometheus page has each histogram of each pool, some 8 KB a pool; 0: of all pools together.";
    log_format: LogFormat = "text", Reload, Active, "Form of log lines: PgBouncer's, or a JSON object each.";
    max_login_conn: Count = "500", Reload, Active,
        "Client connections that have not proven who they are, beside max_client_conn; 0: a quarter of the \
         open files, which is the most in any case.";
    server_login_concurrency: NonZeroU32 = "20", Reload, Active,
        "Logins to servers that a pool has in progress at the same time, as many as clients wait, once one \
         has succeeded; beyond the first one of each pool, all pools of one host and port together. Renewals \
         of servers that grow old count by themselves. 20: a pool of the default size is full after two \
         logins' time. 1: one after the other, as PgBouncer does, renewals beside them.";
    max_scram_iterations: NonZeroU32 = "1000000", Reload, Active,
        "Iterations of SCRAM that a server or a stored secret may ask for.";
    iam_credential_source: Text = "default", Reload, Active,
        "Where AWS credentials come from: default (the first of the following that is there), env, profile, \
         web_identity, container, imds; or process.";
    iam_sts_region: Text = "", Reload, Active,
        "Region whose STS is called; default: what AWS_REGION, AWS_DEFAULT_REGION or the profile names, else \
         that of the database.";
    iam_login_timeout: Seconds = "15", Reload, Active,
        "Seconds that connecting and logging in to a server by IAM may take, waiting for iam_login_rate not \
         included; 0 for ever.";
    iam_all_denied: AllDenied = "iam_max_age", Reload, Active,
        "What it means where RDS refuses every role of an endpoint: iam_max_age: perhaps a fault of its own, \
         but no server serves beyond iam_max_age for it; deny_after SECONDS: a fault for so long, then a \
         denial; service: a fault, however long.";
    iam_static_stability: bool = "1", Restart, Active,
        "1: expired credentials of imds and container go on signing while AWS gives no newer ones.";
    iam_strict_lifetime: bool = "0", Reload, Active,
        "1: iam_max_age holds even when AWS is down and no server can be replaced.";
    session_state: SessionState = "pgbouncer", Reload, Active,
        "Whose rules hold for prepared statements over servers: pgbouncer: who names one that it has not \
         prepared is ended; follow: PostgreSQL's, that is an error (26000), and the session goes on.";
    server_tls_negotiation: TlsNegotiation = "postgres", Reload, Active,
        "How TLS with servers begins: postgres: they are asked for it first; direct: with the first byte, \
         which saves a round trip, needs PostgreSQL 17 and server_tls_sslmode=require, verify-ca or \
         verify-full.";
    timeout_action: TimeoutAction = "close", Reload, Active,
        "What query_timeout and transaction_timeout do: close: the server and its client are closed, as by \
         PgBouncer; cancel: the query is cancelled at the server, the client gets 57014, and its session \
         goes on.";
    audit_log: AuditLog = "off", Reload, Active,
        "Where records of who did what go, as JSON lines: off, file (audit_file), syslog, stdout.";
    audit_file: Text = "", Reload, Active,
        "File of audit_log=file, made with mode 0640, opened anew by a reload.";
    audit_overflow: AuditOverflow = "drop", Reload, Active,
        "What becomes of records that find no room: drop: they are counted, and a record tells how many; \
         block: clients get no server, send nothing that is recorded, and none logs in, until there is room.";
    audit_queue: Bytes = "4 MB", Reload, Active,
        "Bytes of records that may wait to be written, with all that they hold: those of the workers \
         together, and as many again of logins and commands.";
    audit_statements: AuditStatements = "none", Reload, Active,
        "What records tell of statements: none: there are none of them; fingerprint: what is the same \
         whatever the literals; text: the text, too.";
    audit_redact: bool = "1", Reload, Active,
        "1: literals in texts of audit_statements become `?`; 0: only where the text has a word like \
         PASSWORD.";
    emf_interval: Seconds = "0", Reload, Active,
        "Seconds between lines of figures for CloudWatch, in its embedded metric format; 0: there are none.";
    emf_file: Text = "", Reload, Active,
        "File that these lines are appended to; nothing: standard output.";
    emf_pooler: Text = "", Reload, Active,
        "What these lines call this pooler (dimension Pooler); nothing: the host's name.";
    identity_on_expired: OnExpired = "drain", Reload, Active,
        "What comes of a session whose client's token has expired: drain: it ends when it is in no \
         transaction; notify: the client gets a notice, once, and the log a line; ignore: nothing.";
    identity_expiry_grace: Seconds = "0", Reload, Active,
        "Seconds that a session may go on behind the end of its client's token before identity_on_expired \
         holds.";
    identity_on_denied: OnDenied = "drain", Reload, Active,
        "How a session ends whose principal is denied, or would not be let in any more: drain: when it is in \
         no transaction; drop_now: at once, its query cancelled.";
    identity_drain_timeout: Seconds = "300", Reload, Active,
        "Seconds that such a session may go on with its transaction before it ends as with drop_now; 0: as \
         long as that lasts.";
    deny_principals: Text = "", Reload, Active,
        "File of principals that are denied, whatever else lets them in: they cannot log in, and their \
         sessions end. It is read anew within a second when it has changed.";
    identity_recheck: Recheck = "off", Reload, Active,
        "all: a reload ends the sessions that the hba file would not let in any more as they have come, or \
         whose users are gone from auth_file, as identity_on_denied says; off: they stay. Sessions by tokens \
         are judged in any case.";
    auth_jwt_options: Text = "", Reload, Active,
        "Options for auth_type=jwt, as a rule of auth_hba_file has them behind jwt: issuer=NAME, map=NAME, \
         transport=password or transport=oauthbearer.";
    auth_claims_file: Text = "", Reload, Active,
        "File of maps from the claims of tokens to roles, for map= of issuers and of rules with jwt or \
         iam_caller, and for iam_caller_map.";
    application_name_template: NameTemplate = "", Reload, Active,
        "What servers are told as clients' application_name, 63 bytes at the most: %a the client's own, %p \
         its principal (shortened) or user, %s its session, %u its user, %d its database, %r its address, \
         %% a percent sign; nothing: its own. Counts from the next login on.";
    request_context_keys: ContextKeyList = "", Reload, Active,
        "Keys of the context of clients' requests (traceparent, x-amzn-trace-id) that are taken from startup \
         parameters, from comments of SQLCommenter and from SET pgweir.context; nothing: none is looked for.";
    iam_caller_endpoint: Text = "", Reload, Active,
        "URL of the AWS STS that clients sign for and that answers who they are (auth_type=iam_caller), such \
         as `https://sts.eu-west-1.amazonaws.com`; nothing: that method is refused at load.";
    iam_caller_server_id: Text = "", Reload, Active,
        "Value of the header x-pgweir-server-id that such clients sign, so that what they have signed for \
         somebody else is of no use here: a name of this pooler's own.";
    iam_caller_map: Text = "", Reload, Active,
        "Map of auth_claims_file that tells which roles such clients may be; map= of an hba rule goes first.";
    iam_caller_rate: NonZeroU32 = "10", Reload, Active,
        "Questions a second to that AWS STS; more logins than that with new tokens wait for their turns.";
    client_iam_mode: ClientIamMode = "off", Reload, Active,
        "What becomes of tokens of RDS that clients send (auth_type=rds_iam): pass_through: each is shown to \
         the endpoint that it is for, whose verdict counts; off: that method is refused at load.";
    iam_client_cache_ttl: Seconds = "300", Reload, Active,
        "Seconds for which a token of RDS that was accepted is accepted again without a login; it never is \
         within 30 seconds of its end.";
    iam_client_max_age: Seconds = "900", Reload, Active,
        "Seconds for which a login by rds_iam or iam_caller holds; then identity_on_expired says what \
         becomes of its session; 0: without end.";
    iam_client_login_rate: NonZeroU32 = "5", Reload, Active,
        "Logins a second at each endpoint that show clients' tokens of RDS, beside iam_login_rate.";
    iam_client_source_rate: NonZeroU32 = "1", Reload, Active,
        "Logins a second that show clients' tokens of RDS, for each address that clients come from.";
    auth_secret_file: Text = "", Reload, Active,
        "File that clients prove themselves by whose users auth_file does not have: lines as auth_file has \
         them, JSON with an object users of names and secrets, or JSON with username and password. It is \
         watched.";
    auth_secret_arn: Text = "", Reload, Active,
        "The same as a secret of AWS Secrets Manager: its ARN. It is called in the ARN's region by the \
         credentials of iam_credential_source.";
    max_server_connections: Count = "0", Reload, Active,
        "Connections to each server of PostgreSQL, over all databases, users and replication clients: to \
         each host and port, or to all names of one server that `[instances]` says are one; 0 unlimited.";
}
