//! Logins by IAM in the configuration: doubtful endpoints, and keys that are refused.

use super::{Message, text};

/// Behind `database "{name}": {host}:`
pub(super) const ENDPOINT_DOUBTS: &[Message] = &[
    text(
        "not the name of an RDS endpoint: RDS accepts tokens made for its own names only (iam_host)",
        "The host is an alias, most often.",
        "Set `iam_host` to RDS's own name.",
    ),
    text(
        "not the name of a cluster of Aurora DSQL, ID.dsql.REGION.on.aws: it accepts tokens made for that \
         only (iam_host)",
        "The host is an alias, most often.",
        "Set `iam_host` to the cluster's own name.",
    ),
    text(
        "an Aurora custom endpoint: it takes no tokens; use the cluster's or an instance's endpoint",
        "AWS documents that custom endpoints take no tokens.",
        "Use another endpoint.",
    ),
    text(
        "the writer of an Aurora global database: set iam_host to the endpoint of the cluster that writes \
         now, in iam_region",
        "The name moves between regions; a token is for one.",
        "Do what the line says.",
    ),
    text(
        "ports 80 and 443 are left out of what is signed by some signers and not by others",
        "RDS may refuse every token.",
        "Use another port.",
    ),
    text(
        "iam_region differs from the region in the host name",
        "RDS will most likely refuse every token.",
        "Correct `iam_region`, or remove it.",
    ),
];

/// What is wrong with a key: behind `invalid parameter {key} …` and `server_auth=… is not possible here`.
pub(super) const IAM_KEYS: &[Message] = &[
    text(
        "{server_auth} needs a TCP host: there is no TLS over Unix sockets",
        "`host`",
        "Give the endpoint's name.",
    ),
    text("a database with IAM logins needs a host", "`host`", "Give the endpoint's name."),
    text(
        "\"{host}\" is not a host name: a token is made for the DNS name of an RDS endpoint (iam_host)",
        "`host` is an address, or no name.",
        "Set `iam_host`.",
    ),
    text(
        "no region in host name \"{host}\": set iam_region, and iam_host if this name is an alias of AWS's \
         own",
        "`host`",
        "Do what the line says.",
    ),
    text("port 0 is not valid (iam_port)", "`port`", "Correct it."),
    text("it has no effect with server_auth=dsql_iam: no port is signed", "`iam_port`", "Remove it."),
    text(
        "Aurora DSQL listens on {port}; another port goes with iam_host",
        "`port`",
        "Correct it, or set `iam_host`.",
    ),
    text(
        "the one database of Aurora DSQL is {name}: set dbname={name}",
        "`dbname`",
        "Do what the line says.",
    ),
    text("it cannot be combined with {server_auth}", "`password`", "Remove it."),
    text(
        "{mode} is too weak: a token is sent over verify-full only",
        "`server_tls_sslmode` of the entry.",
        "Remove it, or set verify-full.",
    ),
    text(
        "server_tls_sslmode={why}; set verify-full there ({place}), or here for this entry alone",
        "The setting, which was written explicitly, is weaker.",
        "Do what the line says.",
    ),
    text(
        "{server_auth} needs the certificates of its servers' authorities: {fetch} and name the file",
        "`server_tls_ca_file`",
        "Do what the line says.",
    ),
    text(
        "a region is named by lower-case letters, digits and hyphens, as in eu-west-1",
        "`iam_region`, `iam_sts_region`",
        "Correct it.",
    ),
    text(
        "accepted: a whole number from {least} to {most}",
        "`iam_max_age`, `iam_login_rate`, `iam_port`",
        "Correct it.",
    ),
    text(
        "iam_credential_source={kind} reads no profile",
        "`iam_profile`",
        "Remove it, or change the source.",
    ),
    text("it belongs to a role: set iam_role_arn", "`iam_external_id`", "Do what the line says."),
    text("a brace is not closed", "`iam_role_arn` is a template.", "Correct it."),
    text("accepted in braces: database, user", "`iam_role_arn` is a template.", "Correct it."),
    text(
        "{database} would come from the client here: name the database",
        "`iam_role_arn` is a template, and a client would choose the role.",
        "Give the database an entry of its own.",
    ),
    text(
        "{user} would come from the client here: give the entry a user",
        "`iam_role_arn` is a template, and a client would choose the role.",
        "Set `user` in the entry.",
    ),
    text(
        "\"{name}\" cannot stand in the name of a role",
        "`iam_role_arn` is a template, and IAM takes no such characters in names of roles.",
        "Write the role out.",
    ),
];
