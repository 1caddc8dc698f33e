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
    warning(
        "deny_principals: {whose} is no issuer and no method, its lines concern nobody",
        "The first word of a line with two is neither a name of `[issuers]` nor the word of a method.",
        "Correct the word; `all`, or none, is everybody's.",
    ),
    log(
        "deny_principals has changed: {lines} lines, {ended} sessions end",
        "The file was read anew, and is in force on all workers. The sessions have ended, or end behind \
         their transactions.",
        NONE,
    ),
    log(
        "the configuration has changed: {lapsed} sessions by tokens end",
        "A reload, or a SET, has narrowed what these sessions were let in by. They have ended, or end behind \
         their transactions; a line for each, in front of this one, says why.",
        NONE,
    ),
    log(
        "session is to end: {lapse}",
        "A reload, or a SET, has found that this session, which came by a token, would not be let in any \
         more: for one of the reasons below, or of those for which a token lets nobody in.",
        "None, if that is meant; else correct the files and reload.",
    ),
    error(
        "deny_principals could not be read, who was denied stays so",
        "The file has become unreadable or malformed since it was read: the ERROR lines before say how. Told \
         once for each change.",
        "Correct the file; it is read again within a second.",
    ),
];

/// Why the session of a token does not go on.
pub(super) const LAPSES: &[Message] = &[
    text("no rule lets it in any more", "No rule of the hba file fits, or one rejects the client.", NONE),
    text(
        "it would have to log in by {method} now",
        "`auth_type`, or the rule that fits, asks for something else than a token.",
        NONE,
    ),
    text(
        "issuer {issuer} is gone, or its tokens do not count there any more",
        "`[issuers]` has no such entry, or the rule that fits names another one.",
        NONE,
    ),
    text("issuer {issuer}: {why}", "The entry's rules refuse a claim, or the algorithm.", NONE),
    text(
        "issuer {issuer}: claims of {principal} are in no line of map {map} for this role any more",
        "The claims map was narrowed, or the entry or the rule names another map.",
        NONE,
    ),
    text(
        "map {map} does not let {principal} be this role any more",
        "The map of callers was narrowed, or the rule names another one.",
        NONE,
    ),
    text(
        "issuer {issuer}: the token is for the role {principal} now",
        "There is no map now, and the principal is not the role.",
        NONE,
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
        "the file begins with a byte order mark: save it as UTF-8 without one",
        "An editor has put three bytes before the first line.",
        "Save it without them.",
    ),
    text(
        "a carriage return stands within the line: lines end with LF, or CR LF",
        "The file has the ends of lines of another system, and would be one line.",
        "Save it with LF.",
    ),
    text(
        "files are not included: a name that begins with @ has to be quoted",
        "Hba files include others by `@`, this one does not.",
        "Put the names here, or quotes around that one.",
    ),
    text(
        "a character that cannot be seen: {shown}",
        "A name has a blank that is none of ASCII's, or a character of no width: it would be nobody's.",
        "Take it out, or put quotes around the name if it is meant.",
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
