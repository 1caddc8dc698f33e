//! Listening, clients' logins, and ends of clients that only the log hears of.

use super::{Message, NONE, debug, error, log, text, warning};

/// What the log tells of listening and of clients.
pub(super) const LISTENING: &[Message] = &[
    log("listening on {address}", "Clients can come in there, as soon as the start is complete.", NONE),
    log(
        "listening on unix:{path}",
        "Clients can come in by this Unix socket, as soon as the start is complete.",
        NONE,
    ),
    warning(
        "sockets come from the service manager, {setting} is ignored",
        "systemd has handed over sockets (socket activation), so `listen_addr` or `unix_socket_dir` says \
         nothing.",
        "Remove the setting, or the `.socket` unit.",
    ),
    warning(
        "cannot look up listen_addr \"{word}\": {error}",
        "A word of `listen_addr` is no address and no name that can be looked up. The others are tried.",
        "Correct `listen_addr`.",
    ),
    warning(
        "cannot listen on {address}: {error}",
        "An address is taken, or not this machine's. The others are tried.",
        "See what listens there (`ss -ltnp`), or correct `listen_addr`.",
    ),
    error(
        "accept() failed: {error}",
        "No client can be accepted, most often because no file can be opened. It goes on by itself as \
         connections end; the log hears of it once a minute.",
        "Raise the limit of open files (`LimitNOFILE=`); SHOW LISTS tells how many clients and servers \
         there are.",
    ),
    error(
        "clients are refused: the last open files are kept for servers, the console and the page of metrics",
        "Clients hold seven eighths of the files that the process may open. Those beyond are refused as at \
         `max_client_conn`; the log hears of it once a minute.",
        "Raise the limit of open files (`LimitNOFILE=`), or lower `max_client_conn`.",
    ),
    debug(
        "client gone while being accepted: {error}",
        "A client has left within moments: a health check, a port scanner, a proxy.",
        NONE,
    ),
    warning(
        "{count} connections were left out of the log before they had logged in; {refused} that were left \
         out have been refused",
        "What is told of connections before they have proven who they are has 50 lines a second (1,000 at \
         first); told once a second at the most. Where none is refused many log in at a time: an application \
         that starts, or one that has no pool of its own. Else it is a flood, or an application with a wrong \
         password. Who is refused just then may be told with the next such line.",
        "If they are refused, look at the lines before it for addresses; block them, or correct the \
         application.",
    ),
    log(
        "login attempt: db={db} user={user} tls={tls} replication={replication}",
        "A client has said whom it wants to be; what came of it follows only where it fails.",
        "None; `log_connections=0` leaves it out.",
    ),
    log(
        "login proven by {method}: {principal}",
        "A client has logged in whom a token or a certificate names: `principal=` is that name, `issuer=` \
         the entry of `[issuers]` that vouches for it.",
        "None; `log_connections=0` leaves it out.",
    ),
    log(
        "login failed: db={db} user={user}",
        "A client was refused because of who it is, or is not.",
        "See the line `closing because` before it.",
    ),
    log(
        "LDAP login failed: {why}",
        "A directory does not let the user in; why is one of [these](#why-a-directory-lets-nobody-in).",
        "See there.",
    ),
    warning(
        "LDAP is of no use: {why}",
        "The directory, or what is set of it, is the matter: nobody can log in by it. Why is one of \
         [these](#why-a-directory-lets-nobody-in), or the system's.",
        "See there.",
    ),
    log(
        "PAM login failed: {why}",
        "PAM does not let the user in; why is one of [these](#why-pam-lets-nobody-in).",
        "See there.",
    ),
    warning(
        "{what}: the queue is full, {count} logins wait for their turns",
        "LDAP, PAM or AWS STS is slower than clients come: more than 100 wait. 32 ask LDAP at a time, 16 PAM \
         and STS, 8 from one network. They go on waiting, up to `client_login_timeout`. Told at most every \
         10 s.",
        "Make it faster, or see why so many log in.",
    ),
    error(
        "auth_user of a database cannot be used with this auth_type",
        "The entry's `auth_user` would look for users who come from elsewhere.",
        "Remove it.",
    ),
    log(
        "no such user: {user}",
        "The user stands neither in `auth_file` nor has an `auth_query`. The client is told that its \
         password is wrong, so that nobody can look for names.",
        "Add the user, or look for who tries names.",
    ),
    warning(
        "secret of user {user} has {count} SCRAM iterations, max_scram_iterations is {most}",
        "The stored verifier would take too long to compute: the user cannot log in with `auth_type=plain`.",
        "Raise `max_scram_iterations`, or store a verifier with fewer iterations.",
    ),
    log(
        "closing because: {reason} (age={age}s)",
        "A client's (C-), a server's (S-) or a console's connection has ended. The reasons: [what clients \
         are told](#what-clients-are-told), [ends of clients without a \
         word](#ends-of-clients-without-a-word), [why servers are closed](#why-servers-are-closed), [why \
         logins to servers fail](#why-logins-to-servers-fail). Where an identity has ended (`session ended: \
         …`), its principal and issuer stand behind it.",
        "None; `log_disconnections=0` leaves it out.",
    ),
    warning(
        "pooler error: {reason}",
        "A client, or a console, was sent this error: [what clients are told](#what-clients-are-told), \
         [what the console answers](#what-the-console-answers).",
        "See there; `log_pooler_errors=0` leaves it out.",
    ),
    error(
        "prepared statement '{name}' was already prepared",
        "A client has given the name of a prepared statement twice, without closing it: it is ended.",
        "An error of the driver or application; see whether two parts of it share a connection.",
    ),
    debug(
        "varcache_set_canonical: setting {name} to its canonical version {mine} -> {theirs}",
        "PostgreSQL spells a session parameter of the client in another way than the client did; from now \
         on that spelling is used.",
        NONE,
    ),
    debug(
        "failed cancel request: unknown key",
        "A client asks to cancel a query with a key that nobody has: it came too late, or from a pooler \
         before this one.",
        NONE,
    ),
    error(
        "cannot use the reserved \"{console}\" database as an auth_dbname",
        "`auth_dbname` names the console, where no `auth_query` can run: such clients are refused.",
        "Name another database in `auth_dbname`.",
    ),
    error(
        "authentication database \"{database}\" is not configured.",
        "The database in which `auth_query` is to run has no entry: such clients are refused.",
        "Correct `auth_dbname`, or add the entry.",
    ),
    error(
        "auth_type=any requires forced user",
        "With `auth_type=any` clients are whoever the entry names, and this one has no `user`: they are \
         refused with `bouncer config error`.",
        "Add `user=` to the entry, or choose another `auth_type`.",
    ),
    error(
        "client used \"Query\" packet type",
        "A simple query with `disable_pqexec=1`: the client is ended.",
        "Use the extended protocol.",
    ),
    warning(
        "TLS handshake error: {error}",
        "No TLS with this client: it does not trust the certificate, shows none that is trusted, speaks no \
         version or suite in common, or has left. Told whatever `log_disconnections` says.",
        "Compare the client's `sslmode` and `sslrootcert` with `client_tls_*`.",
    ),
    error(
        "S: error in auth_query: {why}",
        "`auth_query` has given no answer that can be used: the client is refused with `bouncer config \
         error`. [Why auth_query fails](#why-auth_query-fails).",
        "See there.",
    ),
    debug(
        "hba line {place} is matched",
        "The rule of `auth_hba_file` that decides how the client has to prove who it is.",
        NONE,
    ),
    error(
        "ident map {map} cannot be matched",
        "`peer`: the map lets the account at the other end of the Unix socket not be that user.",
        "Add a line to `auth_ident_file`, where it should.",
    ),
    warning(
        "could not look up the account with the number {uid}: {error}",
        "The system could not tell whose process is at the other end of a Unix socket: the login fails.",
        "Look at the system's directory of accounts (nsswitch.conf).",
    ),
];

/// Ends of clients without a word: the log has them behind `closing because`, nobody is told.
/// Why a certificate does not prove who a client is.
pub(super) const CERTIFICATES: &[Message] = &[
    error(
        "TLS connection required",
        "The client has come without TLS.",
        "Set `sslmode=require` or more in the client.",
    ),
    error(
        "TLS client certificate required",
        "The client has shown no certificate, or was asked for none since there is no `client_tls_ca_file`.",
        "Give it one (`sslcert`, `sslkey`), and the pooler the authority.",
    ),
    error(
        "TLS client certificate refused: {why}",
        "Its names cannot be read, or one of them is a trap: none of them counts.",
        "Look at the certificate, and at who has signed it.",
    ),
    error(
        "TLS certificate name mismatch",
        "Neither the common name nor an alternative name is the user's. Below an authority with name \
         constraints a common name is nobody's.",
        "Use the user's certificate, or a map (`map=`).",
    ),
    error(
        "ident map: {map} does not have a match",
        "The map lets none of the certificate's names be that user.",
        "Add a line to `auth_ident_file`, where it should.",
    ),
    text(
        "names of the certificate cannot be read",
        "Why a certificate is refused.",
        "Look at the certificate.",
    ),
    text(
        "zero byte in a name of the certificate",
        "Why a certificate is refused: who reads such a name up to that byte takes it for another's.",
        "Look at who has signed it.",
    ),
    text(
        "blank as a DNS name of the certificate",
        "Why a certificate is refused: RFC 5280 forbids it.",
        "Look at the certificate.",
    ),
];

pub(super) const SILENT: &[Message] = &[
    text("client close request", "The client has said goodbye (Terminate).", NONE),
    text(
        "client unexpected eof",
        "The client's connection has ended without a goodbye: its process has ended, a firewall or load \
         balancer has cut it, or it was a health check.",
        "Only where it is frequent: look at the client and at what is between.",
    ),
    text("client connection failed", "A console's connection has failed.", NONE),
    text(
        "client connection failed: {error}",
        "The client's connection has failed, with the system's reason.",
        "Only where it is frequent: look at the network.",
    ),
    text(
        "TLS handshake error: {error}",
        "No TLS with this client: it does not trust the certificate, shows none that is trusted, or speaks \
         no version or suite in common.",
        "Compare the client's `sslmode` and `sslrootcert` with `client_tls_*`.",
    ),
    text(
        "too many logins at a time (max_login_conn)",
        "`max_login_conn` connections were logging in: the one that had been silent longest was closed so \
         that others can come in.",
        "None in a flood; else raise `max_login_conn`, or see why clients open connections and do not log \
         in.",
    ),
    text(
        "encryption requested twice",
        "The client has asked twice for SSL or for GSSAPI encryption.",
        "The client is broken, or an attacker.",
    ),
    text(
        "SSL req inside SSL",
        "The client has asked for SSL within SSL.",
        "The client is broken, or an attacker.",
    ),
    text(
        "bad packet",
        "The client has sent a message of a session before it has logged in (a goodbye among them), or a \
         console one that it does not take.",
        "Only where it is frequent: the client is broken or out of step.",
    ),
    text("failed cancel request", "A cancel request with a key that nobody has: it came too late.", NONE),
    text("cancel request for console client", "It was for a client of the console.", NONE),
    text("cancel request for idle client", "Nothing ran any more that could be cancelled.", NONE),
    text(
        "cancel request for waiting client",
        "The client that it was for waited for a server: its query was answered as cancelled.",
        NONE,
    ),
    text(
        "could not find peer to forward request to",
        "A cancel request whose key another process has issued, and `[peers]` has none of that number.",
        "Give every process of the group all of them in `[peers]`, or none a `peer_id`.",
    ),
    text(
        "failed to forward cancel request because its TTL was exhausted",
        "A cancel request that has been forwarded three times.",
        "In `[peers]` each number must lead to the one process that has it as its `peer_id`, and not to an \
         address that several share.",
    ),
    text(
        "successfully sent cancel request",
        "PostgreSQL, or the peer that has issued the key, has taken it.",
        NONE,
    ),
    text(
        "cancel_wait_timeout",
        "A cancel request was not on its way to PostgreSQL or to a peer within `cancel_wait_timeout`.",
        "As at `cancel request given up`.",
    ),
    text(
        "failed to send cancel request",
        "It was given up on its way to PostgreSQL or to a peer; `cancel request given up` says why.",
        "See there.",
    ),
    text(
        "no randomness from the system",
        "The kernel has given no random bytes.",
        "See whether `getrandom` is forbidden by a seccomp filter.",
    ),
    text("console is closed", "The process ends.", NONE),
    text("shutdown", "A console has given SHUTDOWN.", NONE),
    text(
        "incomplete pkt",
        "A console has been sent a message that cannot be: too long, or cut.",
        "The client is broken.",
    ),
    text("incomplete query", "A console has been sent a query without its end.", "The client is broken."),
];

/// Why auth_query fails: the log has it behind `S: error in auth_query`.
pub(super) const AUTH_QUERY: &[Message] = &[
    text(
        "server connection closed",
        "The connection on which it ran has ended: its server, or its pool, has failed. The lines of that \
         pool tell why.",
        "Look at the lines of the database in which it runs.",
    ),
    text(
        "{severity}: {text}",
        "PostgreSQL's own error about the query.",
        "Run the query as `auth_user` in that database; it needs the right to do so.",
    ),
    text(
        "expected 2 columns from auth_query, not {count}",
        "The query must give a name and a secret.",
        "Correct `auth_query`.",
    ),
    text("secret is not valid UTF-8", "The second column holds no text.", "Correct what is stored."),
    text(
        "unexpected response from auth_query",
        "The server has answered with something else than rows, such as COPY.",
        "Correct `auth_query`: it must be one SELECT.",
    ),
];
