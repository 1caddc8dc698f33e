//! What clients are told: a row for each [`Fault`], and the few other words of ours.

use super::{Message, NONE, Row, text};
use crate::wire::Fault;

const APPLICATION: &str = "Correct the application or its driver.";
const BROKEN: &str = "The client is broken, or is none: look at its address.";

fn row(fault: &Fault, meaning: &str, action: &str) -> Row {
    Row::new(fault.sqlstate(), &fault.text(), meaning, action)
}

each_variant! { Fault, row;
    SslRequired:
        "The client has come without TLS where `client_tls_sslmode` or `client_tls_required` demands it.",
        "Set `sslmode=require` or more in the client.";
    OldProtocol: "The client speaks the protocol of before 2003.", "Use a newer driver.";
    BadPacketHeader { hex: "{hex}".into() }:
        "The client has sent bytes that are no message, or one longer than `max_packet_size`: another \
         protocol, a port scanner, or a driver that is out of step.",
        BROKEN;
    NoUser: "The client has named no user.", APPLICATION;
    UnsupportedParameter { name: "{name}".into() }:
        "The client sets a parameter at its start that is not tracked (drivers of Java set \
         `extra_float_digits`).",
        "Add it to `ignore_startup_parameters`, or to `track_extra_parameters`.";
    UnsupportedParameterInOptions { name: "{name}".into() }:
        "The client sets a parameter within `options` that is not tracked.",
        "Add it to `ignore_startup_parameters`, or to `track_extra_parameters`.";
    UnsupportedOptions:
        "`options` of the client holds something else than settings.",
        "Remove it, or add `options` to `ignore_startup_parameters`.";
    StartupUnterminated: "The client's first packet has no end.", BROKEN;
    StartupRepeated: "The client has begun anew in the middle of its login.", BROKEN;
    PasswordBeforeStartup: "The client has sent a password before it has said who it is.", BROKEN;
    NameTooLong: "The user's name is longer than any can be.", APPLICATION;
    NotUtf8: "The name of user or database is not UTF-8.", APPLICATION;
    UnencryptedAfterSsl:
        "Bytes in clear follow the request for TLS: somebody in between may have put them there \
         (CVE-2021-23214).",
        "See what is between client and pooler.";
    UnencryptedAfterGss:
        "Bytes in clear follow the request for GSSAPI encryption: somebody in between may have put them \
         there.",
        "See what is between client and pooler.";
    TooManyClients:
        "`max_client_conn` clients are connected.",
        "Raise `max_client_conn` (and the limit of open files), or find who opens so many: SHOW CLIENTS.";
    TooManyDatabaseClients:
        "The database has `max_db_client_connections` clients.",
        "Raise it, or find who opens so many: SHOW CLIENTS.";
    TooManyUserClients:
        "The user has `max_user_client_connections` clients.",
        "Raise it, or find who opens so many: SHOW CLIENTS.";
    PasswordWrong:
        "The password is wrong, or there is no such user (the log tells which: `no such user`).",
        "Correct the client's password, `auth_file` or what `auth_query` gives.";
    EmptyPassword: "The client has sent an empty password.", "Give the client its password.";
    SaslFailed:
        "SCRAM: the password is wrong, there is no such user, or what is stored cannot be used for SCRAM.",
        "Correct the client's password, `auth_file` or what `auth_query` gives.";
    SaslMechanism: "The client has chosen a mechanism that was not offered.", APPLICATION;
    SecretsUnknown:
        "What the client has proven is wrong by what is known, but a secret of `auth_secret_file` or \
         `auth_secret_arn` was never read, and it may be right by that. So is told whoever is refused \
         meanwhile.",
        "See the ERROR line of the secret, and SHOW SECRETS.";
    TrustFailed: "`auth_type=trust`, and there is no such user.", "Add the user to `auth_file`.";
    CertificateFailed:
        "`cert`, and the client has come without TLS, has shown no certificate, or none for that user; a \
         line of the log before it tells which.",
        "See that line.";
    PeerRejected:
        "`peer`, and the client has not come by a Unix socket, or its process runs as another account.",
        "Connect as that account, or name it in a map (`map=`).";
    LdapFailed:
        "The directory does not let the user in, or could not be asked; a line of the log before it tells \
         which.",
        "See that line.";
    PamFailed:
        "PAM does not let the user in; a line of the log before it tells why.",
        "See that line.";
    JwtFailed:
        "The client's token is not taken; a line of the log before it tells why.",
        "See that line.";
    AuthorizationIdentity:
        "OAUTHBEARER: the client wants to act for somebody else, by its message's `a=`.",
        APPLICATION;
    CallerFailed:
        "`iam_caller`: what the client has sent as its password is no presigned request of AWS for this \
         pooler, AWS STS does not take it or could not be asked, or no line of the map lets who has signed \
         it be that role; a line of the log before it tells which.",
        "See that line.";
    RdsTokenFailed:
        "`rds_iam`: what the client has sent as its password is no token of RDS for this endpoint and role, \
         or the endpoint does not take it; a line of the log before it tells which.",
        "See that line.";
    LoginRejected:
        "A rule of the hba file rejects the client.",
        "Change `auth_hba_file`, where the client is to be let in.";
    NoMethod:
        "No rule of the hba file is for such a client.",
        "Add one to `auth_hba_file`, where the client is to be let in.";
    LoginDenied:
        "`deny_principals` names who wants to log in.",
        "None, if that is meant; else take the line out of the file.";
    NoSuchUser:
        "`auth_query` knows no such user.",
        "Create the role in PostgreSQL, or correct `auth_query`.";
    NoSuchDatabase { name: "{name}".into() }:
        "No entry of `[databases]` has that name, and there is no `*`.",
        "Add the entry, or correct the client.";
    DatabaseDisabled { name: "{name}".into() }: "DISABLE.", "ENABLE ends it.";
    Config:
        "`auth_query` could not be run or has answered what it should not, or `auth_type=any` and the \
         entry forces no user, or `auth_type=ldap` or `pam` and the entry has an `auth_user`; a line of the \
         log before it tells more.",
        "See that line.";
    NotAllowed: "The user may log in, but not to the console.", "Add it to `admin_users` or `stats_users`.";
    ShuttingDown: "The process ends: nobody is let in any more.", NONE;
    QueryWaitTimeout:
        "The client has waited for a server for `query_wait_timeout`.",
        "Raise `pool_size`, or look for long transactions: SHOW POOLS (`maxwait`), SHOW SERVERS.";
    NoServer { limit: "{limit}", why: "{why}".into() }:
        "No server could be had until this limit of time, and it is known why: most often that logins fail \
         for a reason that may pass.",
        "See `{why}`, and the rows of it on this page.";
    QueryTimeoutWaiting:
        "The client has waited for a server for `query_timeout`.",
        "Raise `pool_size` or `query_timeout`, or look for long transactions.";
    LoginTimeout:
        "The client has not finished its login within `client_login_timeout`.",
        "Look at the client and the network; health checks that only connect are seen so, too.";
    LoginTimeoutServerDown:
        "No server could be opened within `client_login_timeout` to welcome the client with.",
        "Look at the lines of that pool: why servers cannot be opened.";
    ServerShuttingDown:
        "The process ends with SIGINT or SHUTDOWN WAIT_FOR_SERVERS: no query begins any more.",
        NONE;
    LoginFailing { cached: "{error}".into() }:
        "The last login to a server has failed, and none is open; the next one comes after \
         `server_login_retry`.",
        "See `{error}`: PostgreSQL's own words, or a row of this page.";
    WrongPasswordType:
        "The server asks for a proof that what is stored cannot give; the log has an ERROR line.",
        "See that line.";
    LoginFailed:
        "PostgreSQL has refused the server that was to be opened for a replication client; a WARNING line \
         has its words.",
        "See that line: the role needs REPLICATION, and `pg_hba.conf` a line for it.";
    Relayed { sqlstate: "{sqlstate}".into(), text: "{text}".into() }:
        "PostgreSQL's own refusal of the login to a server, with its SQLSTATE; by IAM (28000) what the \
         pooler makes of the refusal: see [why logins by IAM fail](#why-logins-by-iam-fail).",
        "Read its words.";
    ClientIdleTimeout:
        "The client has done nothing for `client_idle_timeout`.",
        "Raise it, or have the application keep fewer connections.";
    ServerCrashed:
        "The connection to PostgreSQL has ended in the middle of the client's work.",
        "Look into PostgreSQL's log for that moment; the client must connect again.";
    DatabaseRemoved: "KILL, or a reload that takes the entry away.", NONE;
    AdminDisconnect: "KILL_CLIENT or KILL_PRINCIPAL.", NONE;
    SuspendTimeout: "SUSPEND: the client has not taken what was sent to it within `suspend_timeout`.", NONE;
    InvalidServerParameter:
        "A session parameter of the client was refused by the server that it was lent.",
        "Look at the client's parameters; DEBUG lines `varcache_apply` show them (`verbose=1`).";
    StatementModeTransaction: "A transaction in `pool_mode=statement`.", "Use `pool_mode=transaction`.";
    PqexecDisallowed: "A simple query with `disable_pqexec=1`.", "Use the extended protocol.";
    UnknownPacket: "The client has sent a message of a kind that there is not.", BROKEN;
    StatementExists: "The client has given the name of a prepared statement twice.", APPLICATION;
    StatementMissing:
        "The client uses a prepared statement that it has not prepared, or that `DEALLOCATE ALL` or \
         `DISCARD ALL` has ended.",
        "Correct the application, or set `session_state=follow`.";
    StatementTooLong: "A prepared statement of more than 16 MB.", APPLICATION;
    StatementsFull:
        "The prepared statements of the database, or of all, take as much memory as they may.",
        "Raise `prepared_statements_memory`, or find who prepares without end: SHOW MEM.";
    ClientStatementsFull:
        "The prepared statements of this client take more than 64 MB.",
        "Have the application close statements, or prepare fewer.";
    ContextTooLong:
        "`SET pgweir.context` stands in front of a text of more than 32 KB, and no server may see it.",
        "Send it as a statement of its own; values of more than 256 bytes do not count.";
    TokenExpired:
        "The client's token has expired, and with `identity_on_expired=drain` its session has ended behind \
         its transaction.",
        "None, where the client connects again with a newer token; else have it fetch one in time, or set \
         `identity_expiry_grace`.";
    PrincipalDenied:
        "`deny_principals` names the client's principal.",
        "None, if that is meant; else take its line out of the file.";
    RoleNotGiven:
        "The mapping does not give the principal the role any more that it worked as: a reload has narrowed \
         the claims map, or (`identity_recheck=all`) the ident map of `cert` and `peer`.",
        "None, if that is meant; else correct the mapping and reload.";
    NoRuleAnyMore:
        "A reload has changed the hba file so that no rule lets the client in, or one rejects it; it came by \
         a token, or `identity_recheck=all`.",
        "None, if that is meant; else correct the file and reload.";
    OtherMethod:
        "A reload has changed `auth_type` or the hba file so that the client would have to prove who it is \
         in another way; it came by a token, or `identity_recheck=all`.",
        "None, if that is meant; else correct the file and reload.";
    IssuerGone:
        "A reload has taken the issuer of the client's token out of `[issuers]`, has given its entry another \
         `issuer`, or has the rule name another entry.",
        "None, if that is meant; else correct the files and reload.";
    TokenNotAccepted:
        "A reload has narrowed the issuer's entry (`audience`, `algorithms`, `required_claims`, \
         `max_token_age`) so that the client's token would be refused. The log says which claim it is.",
        "None, if that is meant; else correct the entry and reload, or have the client fetch another token.";
    UserGone:
        "A reload has found the client's user gone from `auth_file`, or what others keep names it no more \
         (`auth_secret_file`, `auth_secret_arn`), with `identity_recheck=all`.",
        "None, if that is meant; else put it back and reload.";
    MalformedPacket { name: "{name}" }: "The client has sent a message that does not have its form.", BROKEN;
    ServerClosed { reason: "{reason}" }:
        "The server of the client was closed: [why servers are closed](#why-servers-are-closed).",
        "See there.";
}

/// Other words that clients may read.
pub(super) const OTHERS: &[Message] = &[
    text(
        "canceling statement due to user request",
        "ERROR 57014: the client has cancelled its query before it had a server.",
        NONE,
    ),
    text(
        "canceling statement due to query_timeout",
        "ERROR 57014: the client has waited for a server for longer than its query may take, and \
         `timeout_action=cancel` is in force.",
        "Where it is frequent raise `pool_size`, or look for long transactions (SHOW POOLS, `maxwait`).",
    ),
    text(
        "No server connection available in postgres backend, client being queued",
        "NOTICE: the client has waited for a server for `query_wait_notify`.",
        "Where it is frequent raise `pool_size`, or look for long transactions.",
    ),
    text(
        "No room in the audit log (audit_overflow=block), client being queued",
        "NOTICE: the client has waited for `query_wait_notify`, and with `audit_overflow=block` nobody is \
         lent a server before the audit log takes records again.",
        "See to what the audit log is written to; `SET audit_overflow = 'drop'` lets clients go on.",
    ),
    text(
        "authentication database \"{name}\" is disabled",
        "FATAL 08P01: the database in which `auth_query` runs is disabled.",
        "ENABLE ends it.",
    ),
    text(
        "server login failed: invalid server signature",
        "FATAL 08P01: the server does not know the password itself. See `invalid server signature`.",
        "Check host and port, and use TLS with `verify-full`.",
    ),
    text(
        "server login failed: none of the server's SASL authentication mechanisms are supported",
        "FATAL 08P01: the server offers no SCRAM-SHA-256.",
        "Set `password_encryption=scram-sha-256` there.",
    ),
    text(
        "the token of this session has expired",
        "NOTICE: `identity_on_expired=notify`; the session goes on.",
        NONE,
    ),
];
