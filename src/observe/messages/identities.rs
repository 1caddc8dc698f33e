//! Identities that end: what the log tells of them, and what is wrong with the file of those denied.

use super::{Message, NONE, error, log, text, warning};

/// What the log tells.
pub(super) const ENDS: &[Message] = &[
    warning(
        "principal {name} is denied (deny_principals)",
        "Somebody whom the file names wants to log in, and has proven who that is.",
        "See that he was told; who tries again and again may not know.",
    ),
    warning(
        "token has expired, the session goes on",
        "`identity_on_expired=notify`: told once for each session.",
        "Have the client fetch a newer token and connect again.",
    ),
    log(
        "deny_principals has changed: {lines} lines, {ended} sessions end",
        "The file was read anew, and is in force on all workers. The sessions have ended, or end behind \
         their transactions.",
        NONE,
    ),
    error(
        "deny_principals could not be read, who was denied stays so",
        "The file has become unreadable or malformed since it was read: the ERROR lines before say how. Told \
         once for each change.",
        "Correct the file; it is read again within a second.",
    ),
];

/// What refuses `deny_principals`.
pub(super) const DENY_ERRORS: &[Message] = &[
    text(
        "could not open deny_principals file {name}: {error}",
        "The file cannot be read.",
        "Check the path, and the rights of the pooler's user.",
    ),
    text(
        "could not parse deny_principals line ({place}): {wrong}",
        "The line is wrong: one of the next rows, or of those of hba files.",
        "Correct the line.",
    ),
    text(
        "a principal is wanted, or whose and a principal",
        "The line has another form.",
        "Write `PRINCIPAL`, `all PRINCIPAL`, `ISSUER PRINCIPAL` or `METHOD PRINCIPAL`, with quotes around \
         what has blanks.",
    ),
    text("the pattern is empty", "A `/` stands alone.", "Write a regular expression behind it."),
    text(
        "the pattern is not a regular expression, or too large a one: {why}",
        "What stands behind `/` cannot be compiled.",
        "Correct the pattern.",
    ),
    text("too many lines: at most {most}", "The file has more than is kept.", "Write patterns."),
    text("too many patterns: at most {most}", "The file has more than is kept.", "Join some by `|`."),
    text(
        "the patterns take too much memory together",
        "All patterns of one issuer or method are compiled together, to 16 MB at the most.",
        "Write fewer or simpler ones.",
    ),
    text("more errors follow, these are the first", "Not all are listed.", "Correct those that are."),
];
