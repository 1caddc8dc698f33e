//! Secrets that others keep: what the log tells of them, and of logins by them.

use super::{Message, NONE, debug, error, log, text, warning};

/// What the log tells of secrets.
pub(super) const SECRETS: &[Message] = &[
    log("secret {name}: version {id} is in use", "The secret was read for the first time.", NONE),
    log(
        "secret {name}: version {new} takes the place of {old}",
        "The secret has changed. Servers that are there stay; new ones are logged in to with the new \
         version. Clients are proven by the new version, and for 15 minutes by the one before.",
        NONE,
    ),
    log(
        "secret {name}: new servers are logged in to as {user}",
        "The new version names another user (a rotation of alternating users). Servers of the user before \
         stay until they reach `server_lifetime`.",
        "`RECONNECT` replaces them sooner.",
    ),
    log("secret {name}: fetching it succeeds again", "A failure that was told before is over.", NONE),
    warning(
        "secret {name}: everybody on this machine may read it ({mode}): take that right away",
        "The file of the password has the right of reading for others.",
        "`chmod o-r`; Kubernetes: `defaultMode: 0440` and `fsGroup`.",
    ),
    warning(
        "secret {name}: fetching it failed: {error}; the last version is used; {advice}",
        "The secret cannot be had, or says nothing that can be used, a file that is half written, for one. \
         Told once, and again each 10 minutes while it lasts.",
        "Do what the line says; see [why a secret cannot be had](#why-a-secret-cannot-be-had).",
    ),
    error(
        "secret {name}: not known: {error}; {advice}",
        "The same, and no version was ever read: no server can be logged in to with it, no client proven by \
         it. Clients wait.",
        "Do what the line says; see [why a secret cannot be had](#why-a-secret-cannot-be-had).",
    ),
    debug(
        "secret {name}: fetching it failed again: {error}",
        "Each further failure between two lines at the levels above.",
        NONE,
    ),
    debug(
        "secret {name}: {stage} is not known: {error}",
        "A server has refused the current version, and this other one cannot be asked for.",
        NONE,
    ),
    warning(
        "secret {name}: version {id} was refused",
        "A server does not take this version. The secret is fetched anew, and what else there is is tried: \
         during a rotation that is usual.",
        "If it goes on: is the secret of this server and user? `SHOW SECRETS` tells the versions.",
    ),
    log("secret {name}: servers take it again", "A refusal of all versions is over.", NONE),
    warning(
        "database {db}, user {user}: {why}",
        "What follows: no version of the pool's secret is taken.",
        "See the next line of this page.",
    ),
    text(
        "no version of secret {name} is taken by the server: {why}",
        "Each version that is known was refused. Clients of a pool that was let in before wait for a minute, \
         then they are told; the next login comes after a pause that grows to a minute, or when the secret \
         changes.",
        "Give the role the secret's password (`ALTER ROLE`), or the secret the role's.",
    ),
    text(
        "secret_file has no effect without server_auth=secret_file",
        "Behind the name of a database or user: it does not log in by a secret.",
        "Set `server_auth`, or remove the key.",
    ),
    text(
        "secret_arn has no effect without server_auth=secretsmanager",
        "Behind the name of a database or user: it does not log in by a secret.",
        "Set `server_auth`, or remove the key.",
    ),
    text(
        "database \"{name}\": each user of its clients has a pool of its own, and the servers of all are \
         logged in to as the secret's user: set user, if one pool is meant",
        "The entry has no `user`, so that each user of clients has `pool_size` servers, all of one role.",
        "Set `user` in the entry.",
    ),
    text(
        "user \"{name}\": its secret is used by no database: each has user= of another",
        "An entry of `[users]` says by which secret servers are logged in to as that user, and no pool is \
         that user's.",
        "Give a database `user={name}`, or one without `user`; or remove the keys.",
    ),
    text(
        "user \"{name}\": cannot log in by a secret to database \"{database}\": secret_file or secret_arn is \
         missing or wrong, or password is set there",
        "No error, since the user need not go there.",
        "Correct the keys, if the user should.",
    ),
    text(
        "secret {name}: version {id}{user}{users}",
        "By `--check FILE --iam`: the secret can be had, and whom it names, or how many users of clients.",
        NONE,
    ),
    text(
        "with auth_type={word} auth_secret_file and auth_secret_arn log in to servers, and prove no client",
        "By `any`, `ldap`, `pam`, `jwt`, `iam_caller` and `rds_iam` nobody asks what a user is proven by. \
         Servers of a pool whose database has no `password` are logged in to with it all the same.",
        "None where it is there for servers; else choose another `auth_type`, or remove the keys.",
    ),
    text(
        "it cannot be combined with auth_secret_file",
        "A user, a database or the settings have both keys.",
        "Leave one out.",
    ),
    text(
        "there are more than {most} of them: keep many users in one, as a list",
        "Each secret is fetched by itself.",
        "Write a list of users.",
    ),
    text(
        "secret {name}: FAILED: {why}; {advice}",
        "By `--check FILE --iam`: the secret cannot be had.",
        "Do what the line says; see [why a secret cannot be had](#why-a-secret-cannot-be-had).",
    ),
    text(
        "secret {name} is not known: {why}",
        "There is nothing to log in with. Clients wait.",
        "See the ERROR line of the secret.",
    ),
];

/// Why a secret cannot be had.
pub(super) const REASONS: &[Message] = &[
    text(
        "there is no such secret",
        "`missing`: no such file; AWS: ResourceNotFound.",
        "Create it, or correct `secret_file` or `secret_arn`, of clients `auth_secret_file` or \
         `auth_secret_arn` (an ARN names the region, too).",
    ),
    text(
        "AWS denies reading it",
        "`denied`: AccessDenied.",
        "Allow the principal `secretsmanager:GetSecretValue` on the ARN, in its policy and in that of the \
         secret; where a key of KMS of your own encrypts it, `kms:Decrypt` on that key, too.",
    ),
    text(
        "AWS cannot decrypt it",
        "`decryption`: DecryptionFailure.",
        "Allow the principal `kms:Decrypt` on the secret's key, and see that the key is enabled.",
    ),
    text(
        "it is to be deleted, or cannot be read at present",
        "`deleted`: InvalidRequest.",
        "Restore it (`aws secretsmanager restore-secret`), or name another one.",
    ),
    text(
        "AWS asks for fewer calls",
        "`throttled`: it is asked again with pauses that are four times as long.",
        "See who else asks: AWS takes thousands of calls a second.",
    ),
    text(
        "there are no credentials that AWS takes",
        "`credentials`: those of the entry's `iam_credential_source` are missing, expired or refused.",
        "See [AWS credentials](#aws-credentials); SHOW IAM has the source.",
    ),
    text("the service failed", "`service`: AWS failed, or its answer could not be read.", NONE),
    text(
        "no connection",
        "`unreachable`: no way to AWS.",
        "Let the pooler reach `secretsmanager.REGION.amazonaws.com`, or a VPC endpoint for it.",
    ),
    text(
        "it says nothing that can be used",
        "`unreadable`: what stands in brackets says why.",
        "Write JSON with `username` and `password`, a password of one line, or for clients a list of users.",
    ),
    text(
        "it cannot be read",
        "`inaccessible`: the system refuses it, or it is no regular file.",
        "Let the user that the pooler runs as read it.",
    ),
    text("no answer in time", "`timeout`: the fetch has taken more than 10 s.", "Look at what holds it up."),
    text("it is empty", "There is nothing in it.", "Write the secret."),
    text(
        "it has more bytes than a secret may have",
        "More than 65,536; a file with users of clients, 1,048,576.",
        "Shorten it.",
    ),
    text("it is not valid UTF-8", "Its bytes are no text.", "Write it as UTF-8."),
    text(
        "it is not one whole JSON object",
        "It begins with `{` and is no JSON, or half of one.",
        "Write it into another file and rename that. A password that begins with `{` must stand in JSON.",
    ),
    text("its JSON is nested too deep", "More than 8 objects within one another.", "Write it flat."),
    text("its JSON has one name twice", "Which one counts is not known.", "Leave one out."),
    text("its JSON has no password", "`password` is missing, empty or no text.", "Add it."),
    text("its username is no name of a role", "It is empty, too long, or holds control characters.", NONE),
    text(
        "a password in it is too long, or has a zero byte",
        "A password has 4,096 bytes at the most.",
        "Choose another one.",
    ),
    text(
        "it is neither JSON nor a password of one line",
        "It has several lines.",
        "Write one line, or JSON.",
    ),
    text(
        "it does not say whose it is",
        "Clients are to be proven by it, and it names no user.",
        "Write JSON with `username` and `password`, or name it in the entry of its user in `[users]`.",
    ),
    text(
        "its JSON has users that are not names and secrets",
        "`users` is an object of names and texts: `{\"users\": {\"app\": \"secret\"}}`.",
        "Write it so.",
    ),
    text(
        "line {line} of its list of users is broken",
        "A list of users has the form of `auth_file`; a broken one is not used at all.",
        "Correct the line. A password that begins with a quote or a semicolon must stand in JSON.",
    ),
    text(
        "the directory has no file password",
        "A directory of a secret has the file `password`, and perhaps `username`.",
        "Mount the parts under these names.",
    ),
    text(
        "it changes while it is read",
        "Three times in a row.",
        "Write it into another file and rename that.",
    ),
    text("reading it has panicked", "A bug; the ERROR line before it says where.", "Report it."),
];
