//! Why logins to servers fail.

use super::{Message, text};

/// Why logins to servers fail: behind `closing because` of lines with `S-`, in ERROR lines, and as the cached
/// error that clients are told. PostgreSQL's own words stand there, too.
pub(super) const LOGINS: &[Message] = &[
    text(
        "connect failed",
        "No connection: the server is down, the port is closed, or a firewall is in between. The WARNING \
         line has the system's reason.",
        "Check host, port and network (`pg_isready -h HOST -p PORT`).",
    ),
    text(
        "cannot connect",
        "The entry has no host, and there is no Unix socket directory (`unix socket dir not configured`).",
        "Set `host`, or `unix_socket_dir`.",
    ),
    text(
        "server DNS lookup failed",
        "The host's name has no address; the WARNING line before it tells why.",
        "Check the name and the resolver (`getent hosts NAME`).",
    ),
    text(
        "connect timeout",
        "Connecting and logging in has taken longer than `server_connect_timeout` (by IAM: \
         `iam_login_timeout`).",
        "See why the server or the network is slow; a firewall that drops packets looks so, too.",
    ),
    text(
        "server refused SSL",
        "`server_tls_sslmode` demands TLS, and the server has none.",
        "Switch TLS on there, or lower `server_tls_sslmode`.",
    ),
    text("bad sslreq answer", "What answers there is no PostgreSQL.", "Check host and port."),
    text(
        "TLS handshake failed",
        "No TLS with the server; the WARNING line has the reason, `certificate verify failed: …` where its \
         certificate is refused.",
        "Check `server_tls_ca_file`, `tls_server_name` and the certificate (`openssl s_client -starttls \
         postgres`).",
    ),
    text(
        "certificate verify failed: {why}",
        "Behind `TLS handshake failed`: the server's certificate is refused, with the reason.",
        "Check `server_tls_ca_file` and `tls_server_name`; the certificate must be for the host and not \
         have expired.",
    ),
    text(
        "no TLS for this entry",
        "TLS for this entry was not set up; a reload was under way.",
        "Reload; report it if it stays so.",
    ),
    text(
        "no randomness from the system",
        "The kernel has given no random bytes.",
        "See whether `getrandom` is forbidden by a seccomp filter.",
    ),
    text(
        "failed to answer authreq",
        "The server asks for a proof that cannot be given; the ERROR line before it tells which.",
        "See that line.",
    ),
    text(
        "bad pkt header",
        "The server has sent bytes that are no message.",
        "Check that it is a PostgreSQL.",
    ),
    text("bad packet", "The server has sent bytes that are no message.", "Check that it is a PostgreSQL."),
    text(
        "broken ParameterStatus packet",
        "The server has sent bytes that are no message.",
        "Check that it is a PostgreSQL.",
    ),
    text(
        "bad cancel key",
        "The server has sent bytes that are no message.",
        "Check that it is a PostgreSQL.",
    ),
    text(
        "unknown pkt from server",
        "The server has sent what has no place in a login.",
        "Check that it is a PostgreSQL.",
    ),
    text(
        "failed to store ParameterStatus",
        "The server reports more parameters than any PostgreSQL, or more than 64 KB of them.",
        "Look for parameters that are so long (ALTER ROLE … SET).",
    ),
    text(
        "the pooler's login has panicked",
        "A fault of the program; the next login comes after `server_login_retry`.",
        "Report it, with the ERROR lines before it.",
    ),
    text(
        "cannot answer the server: no password is known",
        "The server wants a password, and neither the entry nor `auth_file` nor the client has given one.",
        "Add `password` to the entry, or the user to `auth_file`.",
    ),
    text(
        "cannot do MD5 authentication: wrong password type",
        "The server wants MD5, and what is stored is a SCRAM secret.",
        "Store the password or its MD5, or have the server use SCRAM.",
    ),
    text(
        "cannot do SCRAM authentication: wrong password type",
        "The server wants SCRAM, and what is stored is an MD5 hash.",
        "Store the password or its SCRAM secret.",
    ),
    text(
        "cannot do SCRAM authentication: password is SCRAM secret but client authentication did not \
         provide SCRAM keys",
        "A SCRAM secret proves nothing by itself: a client must have logged in by SCRAM with the very same \
         secret first.",
        "Use the same secret there and here with `auth_type=scram-sha-256`, or store the password.",
    ),
    text(
        "invalid server signature",
        "The server does not know the password itself: it may not be the one that it says it is.",
        "Check host and port, and use TLS with `verify-full`.",
    ),
    text(
        "none of the server's SASL authentication mechanisms are supported",
        "The server offers no SCRAM-SHA-256.",
        "Set `password_encryption=scram-sha-256` there.",
    ),
    text(
        "unknown/unsupported auth method: {code}",
        "The server wants GSSAPI, SSPI, Kerberos or another method.",
        "Change `pg_hba.conf` there to scram-sha-256 for the pooler.",
    ),
    text(
        "SCRAM exchange failed: {error}",
        "SCRAM has gone wrong: one of the next rows.",
        "See `{error}`, one of the next rows.",
    ),
    text(
        "malformed SCRAM message",
        "The server has sent what is no SCRAM, or has accepted before it has proven itself.",
        "Check that it is a PostgreSQL.",
    ),
    text(
        "SCRAM nonce or channel binding mismatch",
        "The answers of the server do not belong to this login.",
        "Check that it is a PostgreSQL.",
    ),
    text("server refused the SCRAM proof", "The password is wrong.", "Correct the stored secret."),
    text(
        "the server asks for {asked} iterations, max_scram_iterations is {allowed}",
        "The server asks for more computing than is allowed.",
        "Raise `max_scram_iterations` if it is your server.",
    ),
    text(
        "SCRAM channel binding is not supported",
        "Of clients: they ask for channel binding, and are refused with `SASL authentication failed`.",
        "Set `channel_binding=prefer` in the client.",
    ),
    text(
        "unsupported SCRAM extension",
        "Of clients: they demand an extension of SCRAM that there is not, and are refused with `SASL \
         authentication failed`.",
        "Change the client.",
    ),
    text(
        "wrong SCRAM proof",
        "Of clients: the password is wrong (`SASL authentication failed`).",
        "Correct the password.",
    ),
    text(
        "bad length {length} of message {tag}",
        "The server has sent a message whose length cannot be.",
        "Check that it is a PostgreSQL.",
    ),
    text(
        "broken message {tag}",
        "The server has sent a message that does not have its form.",
        "Check that it is a PostgreSQL.",
    ),
    text(
        "unknown pkt from server: '{tag}'",
        "The server has sent what has no place in a login.",
        "Check that it is a PostgreSQL.",
    ),
    text(
        "the server asked for something other than a token",
        "By IAM: the server asks for SCRAM or MD5, so the role is not in `rds_iam`; no token was sent.",
        "GRANT rds_iam TO the role.",
    ),
    text(
        "no verified TLS with the server: the token was not sent",
        "By IAM: a token goes over verified TLS only.",
        "Set `server_tls_ca_file`; check the certificate.",
    ),
    text(
        "the token was too old when the server asked for it: it was not sent",
        "By IAM: the server took more than a minute to ask. The next login makes a new one.",
        "See why the server is slow.",
    ),
    text(
        "connect_query left a transaction open, rolled back",
        "Behind `error while executing connect_query`.",
        "End it with COMMIT.",
    ),
];
