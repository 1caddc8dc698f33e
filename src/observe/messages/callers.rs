//! Logins by what clients have signed for AWS: what is wrong with settings, and why nobody is let in.

use super::{Message, NONE, Section, log, section, text, warning};

const CORRECT: &str = "Correct the setting.";
const CLIENT: &str = "Look at how the client signs: docs/identity.md, \"AWS callers\".";
const RDS_CLIENT: &str =
    "Look at how the client makes its token: docs/identity.md, \"RDS tokens of clients\".";
const SIGNER: &str =
    "Look at how the client signs: docs/identity.md, \"AWS callers\", or \"RDS tokens of clients\".";

/// What the page has of them.
pub(super) fn sections() -> Vec<Section> {
    vec![
        section("Errors of settings of iam_caller", "Each refuses the whole.", "", CALLER_SETTINGS),
        section("Warnings of iam_caller", "", "", CALLER_WARNINGS),
        section("Logins of callers of AWS", "", "level", CALLERS),
        section(
            "Why a caller of AWS is not let in",
            "Behind `IAM caller login failed` and `IAM callers cannot log in`.",
            "",
            CALLER_REFUSALS,
        ),
        section("Logins by tokens of RDS", "", "level", RDS_TOKENS),
        section(
            "Why a token of RDS lets nobody in",
            "Behind `RDS token login failed` and `RDS tokens cannot be judged`.",
            "",
            RDS_TOKEN_REFUSALS,
        ),
        section(
            "Why a presigned request is shown to nobody",
            "Behind `what the client has sent is no request of a caller` and `what the client has sent is no \
             token of RDS for this entry and role`.",
            "",
            PRESIGNED,
        ),
    ]
}

/// What is wrong with the settings of `iam_caller`.
const CALLER_SETTINGS: &[Message] = &[
    text(
        "iam_caller needs iam_caller_endpoint, the URL of AWS STS that clients sign for",
        "Nobody knows whom to ask who has signed.",
        "Set it, such as `https://sts.eu-west-1.amazonaws.com`.",
    ),
    text(
        "iam_caller_endpoint is not of the form https://HOST[:PORT]",
        "It has a path, a user, or no scheme.",
        CORRECT,
    ),
    text(
        "iam_caller_endpoint must begin with https://: http:// is for an address of this machine only",
        "Whoever is between could answer in the place of AWS.",
        CORRECT,
    ),
    text(
        "no region in iam_caller_endpoint: set iam_sts_region to the one that clients sign for",
        "The endpoint has a name of its own, a proxy's for instance.",
        "Set `iam_sts_region`.",
    ),
    text(
        "iam_caller needs iam_caller_server_id, printable and at most 256 bytes: the value of the header \
         x-pgweir-server-id that clients sign",
        "Without a name of its own what clients sign for any other service would be good here.",
        "Set it, to the DNS name of the pooler for instance.",
    ),
    text(
        "iam_caller needs iam_caller_map, or map= in its rule: no ARN is the name of a role",
        "Nothing says which roles callers may be.",
        "Name a map of `auth_claims_file`.",
    ),
    text("iam_caller needs auth_claims_file", "Nothing says which roles callers may be.", "Name the file."),
    text(
        "rds_iam shows each client's token to its endpoint: allow that by client_iam_mode=pass_through",
        "A rule, or `auth_type`, asks clients for tokens of RDS.",
        "Set it, or take the method out.",
    ),
];

/// Warnings at load.
const CALLER_WARNINGS: &[Message] = &[text(
    "iam_caller_endpoint is http: requests of callers go to it in clear, for tests only",
    "It is an address of this machine; a program there is taken for AWS.",
    "Use AWS's own endpoint.",
)];

/// Lines of the log.
const CALLERS: &[Message] = &[
    log(
        "IAM caller login failed: {why}",
        "The client has not proven who it is, or may not be the role that it wants to be: one of the next \
         rows.",
        NONE,
    ),
    warning(
        "IAM callers cannot log in: {why}",
        "AWS STS cannot be asked. Those whom it has named within the last 15 minutes are let in with the \
         same token.",
        "See the reason; [why credentials cannot be fetched](#why-credentials-cannot-be-fetched) has its \
         words.",
    ),
];

/// Lines of the log about tokens of RDS.
const RDS_TOKENS: &[Message] = &[
    log(
        "RDS token login failed: {why}",
        "The client's token is not for this endpoint and role, or the endpoint does not take it: one of the \
         next rows.",
        NONE,
    ),
    warning(
        "RDS tokens cannot be judged: {why}",
        "The endpoint has given no verdict: it was not reached, or has not answered within \
         `iam_login_timeout`. Those are let in whose tokens it has taken within `iam_client_cache_ttl`.",
        "See the reason; [why logins to servers fail](#why-logins-to-servers-fail) has its words.",
    ),
];

/// Why a token of RDS lets nobody in.
const RDS_TOKEN_REFUSALS: &[Message] = &[
    text(
        "what the client has sent is no token of RDS for this entry and role: {why}",
        "Nobody was shown it; why is one of [these](#why-a-presigned-request-is-shown-to-nobody).",
        "Have the client make its token for `iam_host`, `iam_port`, the region and the role of the entry.",
    ),
    text(
        "{endpoint} does not let it in: {why}",
        "The endpoint's own words, or why it has not answered. RDS does not say why it refuses a token: its \
         log `iam-db-auth-error` does.",
        "See there, and whether the principal has `rds-db:connect` for the role.",
    ),
    text(
        "tokens of RDS are for databases, not for the console",
        "Administrators prove themselves in another way.",
        "Put a rule for the database `pgbouncer` in front.",
    ),
    text("there is no such database", "No entry of `[databases]` has that name.", NONE),
    text(
        "client_iam_mode is off",
        "A reload has changed it while the client was asked.",
        "Set `client_iam_mode=pass_through`.",
    ),
    text(
        "the database has no server_auth=rds_iam, so that no endpoint can take the token",
        "Only RDS can verify a token, and the entry's servers are logged in to by something else.",
        "Use another method for clients of this database.",
    ),
    text(
        "the entry logs in to its servers as a user of its own, not as the client's",
        "`user=` of the entry: a token of one role must not lead to servers of another.",
        "Remove `user=`, or use another method for clients of this database.",
    ),
];

/// Why a caller is not let in.
const CALLER_REFUSALS: &[Message] = &[
    text(
        "what the client has sent is no request of a caller: {why}",
        "Its password is not a presigned GetCallerIdentity for this pooler; AWS was not asked.",
        CLIENT,
    ),
    text(
        "map {map} does not let {arn} be this role",
        "AWS has named the client, and no line of the map gives it the role. The console takes a line that \
         has the role letter by letter.",
        "Add a line to `auth_claims_file`, where it is to be let in.",
    ),
    text(
        "AWS STS refuses it: {error}",
        "AWS's error code. `SignatureDoesNotMatch`: the key is wrong, or the client has signed another \
         `x-pgweir-server-id` than `iam_caller_server_id`.",
        CLIENT,
    ),
    text(
        "AWS STS cannot tell: {error}",
        "It was not reached, was too busy, or has answered what is no answer of its.",
        "Look at the network and at `iam_caller_endpoint`.",
    ),
    text(
        "the request cannot be sent",
        "In brackets: what the client has signed, or the endpoint's address, makes no request of HTTP.",
        CLIENT,
    ),
    text("the pooler cannot ask", "It has no randomness, or the question has panicked.", NONE),
    text("it is no ARN of a caller", "Part of an answer of AWS's that is none.", NONE),
    text("it is no answer to GetCallerIdentity", "Something else than AWS STS has answered.", NONE),
];

/// What is wrong with a presigned request.
const PRESIGNED: &[Message] = &[
    text("it is too long", "16 KB are the most of a caller's, 65,530 bytes of a token of RDS.", SIGNER),
    text("it is no presigned request", "A password, for instance, or base64 with padding.", SIGNER),
    text("its scheme is not the endpoint's", "`https://`, or none.", SIGNER),
    text("it is for another host", "The host is compared letter by letter.", SIGNER),
    text("its path is not /", "Nothing stands between host and `?` but a slash.", SIGNER),
    text(
        "it has a parameter that is not allowed",
        "Those of Signature Version 4 and of the action are.",
        SIGNER,
    ),
    text("it has {name} twice", "Whatever the case of its letters.", SIGNER),
    text("it has no {name}", "A parameter is missing.", SIGNER),
    text(
        "its percent encoding is not the one of Signature Version 4",
        "Capitals, and only for what must be encoded.",
        SIGNER,
    ),
    text(
        "its {name} is not the one that is asked for",
        "Another action, algorithm or list of headers.",
        SIGNER,
    ),
    text("its {name} is malformed", "A date, a scope or a signature.", SIGNER),
    text("it is for another user", "`DBUser` is not the role of the login.", RDS_CLIENT),
    text("it is signed for another region", "The region of the endpoint is wanted.", SIGNER),
    text("it is signed for another service", "`sts`, or `rds-db`.", SIGNER),
    text("X-Amz-Expires is not 1 to 900 seconds", "No token lives longer than 15 minutes.", SIGNER),
    text("it has expired", "Its time is over.", "Have the client sign for each connection."),
    text(
        "it was signed in the future: a clock is wrong",
        "More than five minutes ahead of this machine's clock.",
        "Synchronise the clocks.",
    ),
];
