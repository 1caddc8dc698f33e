//! The configuration: errors, of which any refuses the whole, and warnings. At a start, at a reload, by SET
//! and by `--check`.

use super::{Message, text};

/// Errors of the configuration.
pub(super) const CONFIG_ERRORS: &[Message] = &[
    text(
        "could not load file \"{file}\": {why}",
        "A configuration file cannot be read.",
        "Check the path, and the rights of the pooler's user.",
    ),
    text(
        "could not load file \"{file}\": {why}, included in configuration ({place})",
        "A file that `%include` names cannot be read.",
        "Correct the path at that line; check the rights of the pooler's user.",
    ),
    text(
        "syntax error in configuration ({place}): {why}",
        "The line is none of the forms there are: one of the next rows.",
        "Correct the line.",
    ),
    text(
        "expected key = value, [section], %include FILE or a comment",
        "What a syntax error says of a line that has none of these forms.",
        "Correct the line.",
    ),
    text("expected ] after a section's name", "What a syntax error says of the line.", "Correct the line."),
    text("expected a file name after %include", "What a syntax error says of the line.", "Correct the line."),
    text("text must be UTF-8", "What a syntax error says of the line.", "Save the file as UTF-8."),
    text(
        "text must be UTF-8, not UTF-16",
        "What a syntax error says of the file.",
        "Save the file as UTF-8.",
    ),
    text(
        "the file begins with a byte order mark, save it without one",
        "What a syntax error says of the file.",
        "Save the file as UTF-8 without a byte order mark, which no editor shows.",
    ),
    text("zero bytes are not allowed", "What a syntax error says of the line.", "Correct the file."),
    text(
        "quote is not closed",
        "What a syntax error says of the line, or of the connection string.",
        "Close the quote.",
    ),
    text(
        "include nesting level too deep ({place}): at most {levels} levels",
        "`%include` within includes, or in a circle.",
        "Correct the files.",
    ),
    text(
        "too many files included in configuration ({place}): at most {files}",
        "Too many `%include`.",
        "Use fewer files.",
    ),
    text(
        "main section missing from config file ({place}): [pgbouncer]",
        "There is no `[pgbouncer]`.",
        "Add it; it may be empty.",
    ),
    text(
        "invalid section \"{name}\" in configuration ({place}): accepted: pgbouncer, databases, users, \
         instances, peers, issuers",
        "A section of another name.",
        "Correct it.",
    ),
    text(
        "section [{name}] has no place in an overlay ({place}): accepted: pgbouncer, databases, \
         users, instances",
        "The file of `--overlay` has a section that it cannot add to.",
        "Correct it.",
    ),
    text(
        "value without section: {key} in configuration ({place})",
        "A key in front of the first section.",
        "Move it below `[pgbouncer]`.",
    ),
    text(
        "unknown parameter: pgbouncer/{name} in configuration ({place})",
        "No such setting; names are case-sensitive.",
        "Correct the name: [configs/README.md](../configs/README.md).",
    ),
    text(
        "unknown parameter: pgbouncer/{name}",
        "SET names no setting; names are case-sensitive.",
        "Correct the name: [configs/README.md](../configs/README.md).",
    ),
    text(
        "invalid value \"{value}\" for parameter {name} in configuration ({place}): {why}",
        "The setting does not take that value; `{why}` tells what it takes.",
        "Correct the value.",
    ),
    text(
        "invalid value \"{value}\" for parameter {name}: {why}",
        "SET: the setting does not take that value; `{why}` tells what it takes.",
        "Correct the value.",
    ),
    text("accepted: {values}", "Why a value is refused: what is accepted.", "Use one of these."),
    text(
        "setting {name} stands in section [{section}] of the configuration ({place}): it belongs to \
         [pgbouncer]",
        "A setting stands below `[databases]`, `[users]` or `[peers]`, where it is no entry.",
        "Move it below `[pgbouncer]`.",
    ),
    text(
        "{kind} name \"{name}\" is reserved in configuration ({place})",
        "`pgbouncer` is the console's; `all` and words of methods are everybody's and theirs in a denial.",
        "Rename the entry.",
    ),
    text(
        "{kind} name \"{name}\" is too long in configuration ({place}): at most {bytes} bytes",
        "No PostgreSQL has such a name.",
        "Shorten it.",
    ),
    text(
        "ids of peers must be a number larger than 0 and at most 65535: \"{name}\" in configuration \
         ({place})",
        "An entry of `[peers]`.",
        "Correct the number.",
    ),
    text(
        "host was not provided for {kind} {name} in configuration ({place})",
        "An entry of `[peers]` or `[instances]` without `host`.",
        "Add it.",
    ),
    text(
        "{kind} \"{name}\" of the overlay ({place}) is not in the configuration that it adds to",
        "`--overlay` adds keys to an entry that the main file does not have.",
        "Correct the name.",
    ),
    text(
        "syntax error in {what} of {kind} \"{name}\" in configuration ({place}): {why}",
        "The entry is no connection string: one of the next rows.",
        "Correct the entry.",
    ),
    text(
        "expected key=value pairs separated by spaces",
        "What a syntax error says of the line.",
        "Correct the entry.",
    ),
    text(
        "empty values are not allowed",
        "What a syntax error says of the line.",
        "Give a value, or leave the key out.",
    ),
    text(
        "unrecognized {what} parameter: {key} of {kind} \"{name}\" in configuration ({place}): accepted: \
         {keys}",
        "The entry has a key that there is not.",
        "Use one of those named.",
    ),
    text(
        "invalid value \"{value}\" for parameter {key} of {kind} \"{name}\" in configuration ({place}): \
         {why}",
        "The key does not take that value.",
        "Correct it as `{why}` says.",
    ),
    text(
        "invalid parameter {key} of {kind} \"{name}\" in configuration ({place}): {why}",
        "The key does not go with the others, most often with logins by IAM; `{why}` says what is wanted: \
         [keys of logins by IAM](#keys-of-logins-by-iam).",
        "Correct it as `{why}` says.",
    ),
    text(
        "more errors follow; these are the first ({place})",
        "There are more errors than are listed.",
        "Correct these first.",
    ),
    text(
        "TLS setup failed: {error}",
        "Settings and files make no TLS: one of the next rows.",
        "See `{error}`, one of the next rows.",
    ),
    text(
        "TLS setup failed: {error}; needed for database \"{name}\" ({place})",
        "Settings and files make no TLS for this entry, which alone needs it: one of the next rows.",
        "See `{error}`, one of the next rows.",
    ),
    text(
        "{setting}: {file}: {why}",
        "A file of certificates or keys, that of `AWS_CA_BUNDLE` among them, cannot be read, or holds none \
         (`no certificate found`), or none that may sign (`no usable certificate found: …`, with the reason \
         of the first one); or `ldap.conf` cannot be read.",
        "Correct the setting, the file or its rights.",
    ),
    text("{cert} and {key} must be set together", "One of the two is missing.", "Set both."),
    text(
        "to allow TLS connections from clients, client_tls_key_file and client_tls_cert_file must be set",
        "`client_tls_sslmode` asks for TLS.",
        "Set both.",
    ),
    text(
        "auth_type=cert requires client_tls_sslmode=verify-full",
        "Certificates that nobody verifies prove nothing.",
        "Set it, with the authorities in `client_tls_ca_file`.",
    ),
    text(
        "server_tls_negotiation=direct needs server_tls_sslmode=require, verify-ca or verify-full, not \
         {mode}",
        "TLS with the first byte leaves a server no way to do without, as with libpq's `sslnegotiation`.",
        "Raise `server_tls_sslmode`, or take `server_tls_negotiation=postgres`, in the settings or in the \
         entry.",
    ),
    text(
        "{mode}=verify-full needs {authorities}",
        "There is nothing to verify certificates against.",
        "Name the file of the authorities.",
    ),
    text(
        "failed to set the TLSv1.3 cipher suites: {setting}: {why}",
        "A suite that there is not.",
        "Use one of those named.",
    ),
    text(
        "{setting}: only TLS 1.2 and 1.3 are available in this version",
        "The setting leaves no version to speak.",
        "Add `tlsv1.2` or `tlsv1.3`.",
    ),
    text(
        "{side} TLS: {why}",
        "The TLS library refuses certificate or key: another certificate's key, most often.",
        "Check that both belong together.",
    ),
    text(
        "could not open auth_file {file}: {error}",
        "At the start a WARNING: there are no users yet. At a reload an error: users would be lost.",
        "Correct `auth_file` or its rights.",
    ),
    text(
        "{what} (line {line})",
        "`auth_file` has a broken line; users after it are not read. At the start a WARNING, at a reload an \
         error: one of the next rows.",
        "Correct the line.",
    ),
    text("broken auth file", "The line of `auth_file` is not `\"user\" \"secret\"`.", "Correct the line."),
    text(
        "username too long in auth file",
        "What is wrong with the line of `auth_file`.",
        "Correct the line.",
    ),
    text(
        "password too long in auth file",
        "What is wrong with the line of `auth_file`.",
        "Correct the line.",
    ),
    text("auth file is not valid UTF-8", "What is wrong with the line of `auth_file`.", "Correct the line."),
];

/// Warnings of the configuration.
pub(super) const CONFIG_WARNINGS: &[Message] = &[
    text(
        "entry \"{name}\" of [{section}] has the name of a setting ({place}): settings stand below \
         [pgbouncer]",
        "It is taken as a database, user or peer of that name.",
        "Move the line below `[pgbouncer]`, unless it is meant so.",
    ),
    text(
        "value of {name} has \"{mark}\" in it ({place}): a comment stands on a line of its own",
        "`;` and `#` begin a comment only at the beginning of a line: all that follows is part of the value.",
        "Move the comment to a line of its own, unless it is meant so.",
    ),
    text(
        "setting {name} has no effect: {why}",
        "The setting is PgBouncer's, and says nothing here; `{why}` tells why. \
         [configs/README.md](../configs/README.md) marks them.",
        "Remove it, if you like.",
    ),
    text(
        "setting {name} has a part of its effect: {why}",
        "What there is of its value is used; `{why}` tells what of it there is not (old versions of TLS, \
         suites, curves).",
        "See whether what is left will do; take the rest out.",
    ),
    text(
        "setting {name} keeps its value \"{kept}\" until a restart",
        "A reload cannot change it.",
        "Restart, when it suits.",
    ),
    text(
        "section [peers] has no effect without peer_id",
        "This process's keys do not say whose they are, and it forwards no cancel requests.",
        "Set `peer_id` to a number of its own, or remove the section.",
    ),
    text(
        "database \"{name}\": losing forced user not supported, keeping old setting",
        "A reload takes `user` away from an entry: it stays until a restart.",
        "Restart, when it suits.",
    ),
    text(
        "database \"{name}\": {doubt}",
        "Something of an entry cannot take effect as it stands: one of the next rows.",
        "See `{doubt}`, one of the next rows.",
    ),
    text(
        "database \"{name}\": {host}: {doubt}",
        "Tokens for this host may be refused: one of [endpoints that tokens may not be \
         for](#endpoints-that-tokens-may-not-be-for).",
        "See there.",
    ),
    text(
        "{setting}: {file}: the {place} certificate ({subject}) is no authority: {why}",
        "A certificate in a file of authorities may not sign others: whoever it has signed is refused. \
         `{why}` is one of the next rows.",
        "Remove it from the file, or put its issuer in its place.",
    ),
    text(
        "it cannot be read",
        "Why a certificate is no authority.",
        "Look at it (`openssl x509 -text`), or remove it.",
    ),
    text(
        "its basicConstraints do not say CA:TRUE",
        "Why a certificate is no authority: it is a user's or a server's. A self-signed one counts where it \
         is shown itself, and is not told about.",
        "Put its issuer in its place.",
    ),
    text(
        "it is of version 1 and not self-signed",
        "Why a certificate is no authority: nothing in it says that it may sign.",
        "Put its issuer in its place.",
    ),
    text(
        "its keyUsage has no keyCertSign",
        "Why a certificate is no authority.",
        "Put its issuer in its place, or make a new authority.",
    ),
    text(
        "its extendedKeyUsage is another one",
        "Why a certificate is no authority: it has an extendedKeyUsage without clientAuth \
         (`client_tls_ca_file`) or serverAuth (`server_tls_ca_file`, `TLS_CACERT`).",
        "Name the authority that is for these certificates.",
    ),
    text(
        "its critical extension {extension} is not known",
        "Why a certificate is no authority: who does not know a critical extension must not use it (RFC 5280 \
         §4.2).",
        "Make an authority without it.",
    ),
    text(
        "auth_dbname is the console, where no auth_query runs",
        "Clients whose user is not in `auth_file` will be refused.",
        "Name another database.",
    ),
    text(
        "client_tls_required with client_tls_sslmode=disable refuses all TCP clients",
        "TLS is demanded and not offered.",
        "Set `client_tls_sslmode`.",
    ),
    text(
        "server_tls_ca_file is not read with server_tls_sslmode={mode}: set that to verify-ca or verify-full",
        "The certificate is not verified.",
        "Do what the line says.",
    ),
    text(
        "tls_server_name is not verified with server_tls_sslmode={mode}: set that to verify-full",
        "The name is not verified.",
        "Do what the line says.",
    ),
    text(
        "database \"{name}\": iam_* keys have no effect without server_auth=rds_iam",
        "The entry does not log in by IAM, nor does a user.",
        "Set `server_auth`, or remove the keys.",
    ),
    text(
        "user \"{name}\": iam_* keys have no effect without server_auth=rds_iam",
        "Neither the user nor a database logs in by IAM.",
        "Set `server_auth`, or remove the keys.",
    ),
    text(
        "{user}:{does} cannot log in by IAM to database",
        "A user (or `auth_user`) cannot log in by IAM to these databases, and why; no error, since nobody \
         need go there.",
        "Correct the keys named, if somebody should.",
    ),
    text(
        "{who}: iam_session_name has no effect with iam_credential_source={kind} and no role: set \
         iam_role_arn, or leave it out",
        "No session of STS is opened that could have a name.",
        "Do what the line says.",
    ),
    text(
        "entries differ in iam_login_rate for {endpoint}: the least, {least}, counts",
        "One endpoint has one pace.",
        "Give them the same rate.",
    ),
    text(
        "database {names}: in session pooling a server that was logged in to by IAM serves beyond \
         iam_max_age until its client leaves; set pool_mode=transaction, or client_idle_timeout",
        "What the line says.",
        "Do what it says, if that matters to you.",
    ),
    text(
        "endpoint {endpoint}: full pools want {rate} logins a second so that each server is replaced before \
         it is older than iam_max_age, and iam_login_rate={pace} has {for renewals} for renewals: raise one \
         of them, or lower pool_size",
        "If all pools were full, servers would reach `iam_max_age` before others could be opened.",
        "Do what the line says.",
    ),
];
