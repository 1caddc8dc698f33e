//! The console: what the log tells of it, and what it answers.

use super::{Message, NONE, log, text};

/// What the log tells of the console.
pub(super) const CONSOLE: &[Message] = &[
    log(
        "{command} '{name}' command issued",
        "An administrator has given PAUSE, RESUME, KILL, RECONNECT or IAM REFRESH for one database.",
        NONE,
    ),
    log(
        "KILL_PRINCIPAL '{name}' of {whose} command issued: {ended} sessions ended",
        "An administrator has dropped a principal, of an issuer or a method where one was named.",
        NONE,
    ),
    log(
        "{command} command issued",
        "An administrator has given PAUSE, RESUME, KILL, RECONNECT or IAM REFRESH for all databases, or \
         SUSPEND.",
        NONE,
    ),
    log("SHUTDOWN command issued", "The process ends at once.", NONE),
    log("SHUTDOWN WAIT_FOR_SERVERS command issued", "The process ends when the last server is closed.", NONE),
    log("SHUTDOWN WAIT_FOR_CLIENTS command issued", "The process ends when the last client has left.", NONE),
    log(
        "last admin connection has gone while suspended, resuming",
        "SUSPEND has ended by itself, since nobody was left to end it.",
        NONE,
    ),
];

/// What the console answers, as errors (08P01) unless the row says otherwise.
pub(super) const CONSOLE_ANSWERS: &[Message] = &[
    text(
        "admin access needed",
        "The command, or the table, is for `admin_users` only.",
        "Log in as one of `admin_users`.",
    ),
    text("invalid command '{command}', use SHOW HELP;", "No such command.", "SHOW HELP lists them."),
    text("bad arguments", "The command does not take these arguments.", "SHOW HELP has its form."),
    text("a database is required", "DISABLE and ENABLE want the name of a database.", "Name it."),
    text(
        "invalid client pointer supplied",
        "KILL_CLIENT wants the `id` of SHOW CLIENTS.",
        "Give the number.",
    ),
    text(
        "a principal is required",
        "KILL_PRINCIPAL wants `principal` of SHOW SESSIONS.",
        "Name it, in quotes where it is more than letters, digits and `_`.",
    ),
    text("client not found", "KILL_CLIENT: no client has that `id` any more.", NONE),
    text(
        "already suspended/paused",
        "PAUSE, SUSPEND or KILL while everything is paused or suspended.",
        "RESUME first.",
    ),
    text("pooler is not paused/suspended", "RESUME of what runs.", NONE),
    text(
        "pooler is shutting down",
        "RESUME while the process ends; also what clients are told that come then.",
        NONE,
    ),
    text(
        "cannot suspend with paused databases",
        "SUSPEND while a database is paused.",
        "RESUME that database first.",
    ),
    text(
        "no such database: {name}",
        "No entry of `[databases]` has that name, and there is no `*`; also what clients are told.",
        "Check the name; SHOW DATABASES lists them.",
    ),
    text(
        "database {name} is not paused",
        "RESUME of a database that runs, or is paused with all others.",
        "RESUME without a name ends a PAUSE of all.",
    ),
    text(
        "cannot {verb} admin db: {name}",
        "The console has no servers: the command says nothing there.",
        NONE,
    ),
    text(
        "database {name} does not log in by IAM",
        "IAM REFRESH of a database without `server_auth=rds_iam` or `dsql_iam`.",
        NONE,
    ),
    text(
        "SET failed",
        "The setting is unknown or its value is refused; the ERROR line of the log has the reason.",
        "Look into the log.",
    ),
    text(
        "RELOAD failed, see logs for additional details",
        "The files have errors; nothing has changed.",
        "Look into the log, or run `--check FILE`.",
    ),
    text(
        "resumed before it was done",
        "PAUSE, SUSPEND or WAIT_CLOSE has ended before its goal: somebody has given RESUME, or has \
         cancelled it.",
        NONE,
    ),
    text(
        "SHOW FDS is not available: PgBouncer 1.26 has removed it with online restarts; a restart without a \
         gap goes by so_reuseport",
        "SHOW FDS was how a new process got the sockets of an old one (`-R`).",
        "Start the new process beside the old one, see [coming-from-pgbouncer.md](coming-from-pgbouncer.md).",
    ),
    text(
        "extended query protocol not supported by admin console",
        "The driver has sent Parse, Bind or the like; an ERROR line, and the console's connection ends.",
        "Use the simple query protocol (psql does).",
    ),
    text(
        "unsupported packet type for admin console: {number}",
        "The driver has sent what a console does not take; an ERROR line, and the connection ends.",
        "Use the simple query protocol (psql does).",
    ),
    text(
        "TLS settings could not be applied, still using old configuration",
        "NOTICE of SET: a TLS setting was taken, but together with the others it makes no TLS yet; the \
         ERROR line of the log has the reason.",
        "SET the settings that belong to it, too.",
    ),
    text("SET ignored", "NOTICE: drivers set such names by themselves; nothing was changed.", NONE),
];
