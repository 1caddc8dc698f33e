//! Logins by IAM: what the log tells of them, why they fail, what `--check FILE --iam` prints.

use super::{Message, NONE, debug, error, log, text, warning};

/// What the log tells of logins by IAM.
pub(super) const IAM_LOGINS: &[Message] = &[
    log(
        "login by IAM was refused: {next}",
        "A token was refused; a fresh one, then one of fresh credentials, is tried at once.",
        "None, unless the next row follows.",
    ),
    warning(
        "login by IAM failed ({class}): {text}",
        "Logins of a role fail. `{text}` tells what, where and what to do: [why logins by IAM \
         fail](#why-logins-by-iam-fail). Told once, and then each 10 minutes while it lasts.",
        "Do what the line says; `class` is that of [When a login is \
         refused](iam.md#when-a-login-is-refused).",
    ),
    debug(
        "login by IAM failed again ({class}): {text}",
        "Each further failure between two lines of the row above.",
        NONE,
    ),
    log(
        "logins by IAM as role {user} succeed again (endpoint {endpoint})",
        "The trouble told before is over.",
        NONE,
    ),
    error(
        "server_auth={auth} is not possible here: {why}",
        "The entry and the user together cannot log in by IAM: `{why}` names the keys. Clients of the pool \
         are told the same.",
        "Correct the keys; `--check FILE` tells the same.",
    ),
];

/// Why no token is made: behind `closing because`, and what clients are told when their time is over.
pub(super) const NO_TOKEN: &[Message] = &[
    text(
        "no AWS credentials: {why}, source {kind}",
        "There are none to sign with, or they are being fetched.",
        "See the lines `iam source …` and SHOW IAM.",
    ),
    text(
        "the credentials have expired",
        "They ran out, and no newer ones came.",
        "See the lines `iam source …` and SHOW IAM.",
    ),
    text(
        "no token can be made for this user name",
        "The user name is empty, longer than PostgreSQL has, or holds a zero byte.",
        "Correct the name.",
    ),
    text(
        "the session token of the credentials makes the token too long",
        "PostgreSQL reads no password so long.",
        "Use a role with fewer session tags or a shorter session policy.",
    ),
    text(
        "this machine's clock is out of range",
        "The clock stands before 1970 or far beyond.",
        "Set the clock.",
    ),
    text(
        "logins by IAM fail at present",
        "Another login of the same role has just failed: this one was not tried. The reason stands in the \
         line `login by IAM failed` before it.",
        "See that line.",
    ),
    text(
        "logins by IAM fail",
        "Another login of the same role has failed a while ago; the reason is not known any more.",
        "See SHOW IAM.",
    ),
    text(
        "probe finished",
        "Not a failure: a probe, which asks for a database that there is not (`pgweir_login_probe`), has \
         shown that the role can log in.",
        NONE,
    ),
];

/// What `--check FILE`, and `--iam` with it, print beside the errors of the configuration.
pub(super) const DRY_RUN: &[Message] = &[
    text("{file}: ok", "The configuration has no errors.", NONE),
    text(
        "warning: {warning}",
        "One of the [warnings of the configuration](#warnings-of-the-configuration).",
        "See there.",
    ),
    text(
        "could not look at logins by IAM: {error}",
        "Threads or descriptors are missing.",
        "Raise the limits of tasks and of open files.",
    ),
    text(
        "server_auth is neither rds_iam nor dsql_iam",
        "Behind FAILED: the entry does not log in by IAM as this user.",
        "Set `server_auth`.",
    ),
    text(
        "no entry logs in by IAM, or by a secret that others keep",
        "The file has no `server_auth` of these kinds.",
        NONE,
    ),
    text("source {name}: credentials{via}, key ****{tail}, {life}", "A source has given credentials.", NONE),
    text("source {name}: principal {arn}", "Whose they are.", NONE),
    text(
        "source {name}: principal not known: STS GetCallerIdentity: {error}",
        "Whose they are is not known; logins do not need it.",
        NONE,
    ),
    text(
        "source {name}: principal not known: STS GetCallerIdentity has not answered",
        "Whose they are is not known; logins do not need it.",
        NONE,
    ),
    text(
        "source {name}: warning: the last fetch failed: {why}",
        "There are credentials, but newer ones could not be had.",
        "See [why credentials cannot be fetched](#why-credentials-cannot-be-fetched).",
    ),
    text(
        "source {name}: FAILED: no credentials{via}: {why}; {hint}",
        "No login of this source can work.",
        "See [why credentials cannot be fetched](#why-credentials-cannot-be-fetched).",
    ),
    text(
        "AWS's clock is {skew_s}s ahead of this machine's",
        "Told where it is not 0; negative: behind.",
        "Synchronise the clock beyond 30 s.",
    ),
    text("{who}: logged in ({peer})", "The login works.", NONE),
    text(
        "{who}: FAILED: no token could be made: {why}",
        "[Why no token is made](#why-no-token-is-made).",
        "See there.",
    ),
    text(
        "{who}: FAILED: {why}",
        "[Why logins by IAM fail](#why-logins-by-iam-fail), or [why logins to servers \
         fail](#why-logins-to-servers-fail).",
        "See there.",
    ),
    text("{who}: in detail: {detail}", "What the system or the server said of it.", NONE),
    text(
        "timed out after {seconds}s",
        "Behind FAILED: the login was neither accepted nor refused in time.",
        "See why the server is slow, or what drops packets.",
    ),
    text(
        "database \"{name}\": not tried, since the entry names no user; name one: --iam=USER",
        "The entry logs in as whoever comes.",
        "Give `--iam=USER`.",
    ),
    text("database \"*\": not tried, since its name comes from clients", "`*` has no name to try.", NONE),
    text(
        "a start from here would be refused: {why}",
        "A warning: whoever runs the check could not start the service so (root, an unknown `user`, a \
         directory for the socket or for `audit_file` that is not there).",
        "None, if another user starts it.",
    ),
];
