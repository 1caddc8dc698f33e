//! Logins by tokens: what refuses the configuration, how issuers' keys fare, why nobody is let in.

use super::identity;
use super::{Message, NONE, Section, debug, error, log, section, text, warning};

const CORRECT: &str = "Correct the entry.";
const OPTIONS: &str = "Correct the options.";
const ISSUER: &str = "Look at the issuer, and at the network on the way there.";
const CLIENT: &str = "Correct the client, or what it gets its token by.";

/// All of it.
pub(super) fn sections() -> Vec<Section> {
    let mut of_issuers = vec![
        section(
            "Errors of logins by tokens",
            "Each refuses the whole. Those of an entry stand behind `invalid parameter {key} of issuer …`, \
             those of a rule behind its file and line.",
            "",
            TOKEN_ERRORS,
        ),
        section("Warnings of issuers", "They are in force all the same.", "", ISSUER_WARNINGS),
        section("Issuers of tokens", "`{name}` is an entry of `[issuers]`.", "level", ISSUERS),
        section(
            "Why an issuer's keys do not come",
            "`{why}` of the lines above, and `last_error` of SHOW ISSUERS.",
            "",
            KEY_FAILURES,
        ),
        section("Why a token lets nobody in", "Behind `JWT login failed`.", "", TOKEN_REFUSALS),
        section(
            "Why tokens are refused",
            "What is wrong with a client's token, in the log alone. What is asked of one: \
             [identity.md](identity.md#what-is-asked-of-a-token).",
            "",
            identity::REFUSALS,
        ),
        section("Why messages of OAUTHBEARER are refused", "", "", identity::OAUTHBEARER),
        section(
            "Keys of issuers",
            "Of a set of keys as a whole, and of one key in it.",
            "",
            identity::KEY_SETS,
        ),
        section(
            "Errors of maps of claims",
            "Each refuses the whole, as any other error of the configuration. `{place}` is the file and the \
             line.",
            "",
            identity::CLAIMS_MAPS,
        ),
    ];
    of_issuers.extend(super::callers::sections());
    of_issuers
}

/// What refuses `[issuers]`, `auth_claims_file`, `auth_jwt_options` and rules with `jwt`.
const TOKEN_ERRORS: &[Message] = &[
    text(
        "logins by jwt need an issuer: [issuers] has no entry that holds",
        "`auth_type=jwt`, or a rule with `jwt`, and nobody is there whose tokens would count.",
        "Add an entry to `[issuers]`.",
    ),
    text(
        "auth_type={method} needs TLS: with client_tls_sslmode=disable tokens would come in clear text",
        "Whoever reads a token on its way can use it until it expires.",
        "Set `client_tls_sslmode` and its files, or listen on a Unix socket alone (`listen_addr` empty).",
    ),
    text(
        "tokens would come without TLS: {method} is for hostssl, local, or host where clients may have TLS",
        "A rule with `jwt`, `iam_caller` or `rds_iam` is `hostnossl`, or `host` where `client_tls_sslmode` \
         is `disable`.",
        "Write `hostssl`, and give clients TLS.",
    ),
    text(
        "[issuers] has no entry {name}",
        "`issuer=` of a rule or of `auth_jwt_options`.",
        "Correct the name.",
    ),
    text(
        "auth_claims_file is not set, which map {name} would stand in",
        "`map=` of a rule, of an entry of `[issuers]` or of `auth_jwt_options`, and there is no file of \
         maps.",
        "Set `auth_claims_file`.",
    ),
    text(
        "auth_claims_file has no map {name}",
        "`map=` of an entry, of a rule or of `auth_jwt_options`, or `iam_caller_map`.",
        "Add the map to the file, or correct the name.",
    ),
    text(
        "could not open auth_claims_file {file}: {why}",
        "The file cannot be read.",
        "Check the path, and the rights of the pooler's user.",
    ),
    text("auth_jwt_options: {why}", "The options are wrong: one of the next rows.", OPTIONS),
    text("an option of jwt is not in name=value format", "A word without `=`.", OPTIONS),
    text("unknown option of jwt: {name}", "There are `issuer`, `map` and `transport`.", OPTIONS),
    text("option {name} of jwt stands there twice", "Nobody knows which counts.", OPTIONS),
    text("option {name} of jwt has no value", "Nothing stands behind `=`.", OPTIONS),
    text(
        "invalid transport of jwt: {word}: accepted: password, oauthbearer",
        "A client sends its token as a password, or by SASL OAUTHBEARER.",
        OPTIONS,
    ),
    text("it must be given", "`issuer` of an entry of `[issuers]`.", CORRECT),
    text(
        "it must be given: tokens for others would be taken, too",
        "`audience` of an entry of `[issuers]`.",
        "Name what tokens for this database say in `aud`.",
    ),
    text(
        "it cannot be used together with jwks_url",
        "Keys are in a file or at an address.",
        "Leave one of the two out.",
    ),
    text("it cannot be used together with jwks_file", "A file needs no TLS.", "Leave `jwks_ca_file` out."),
    text(
        "it is no https address: jwks_url or jwks_file must say where the keys are",
        "Only of an address can the discovery document be asked for.",
        "Set `jwks_url` or `jwks_file`.",
    ),
    text("it is less than refresh", "Keys would be too old before they are fetched again.", CORRECT),
    text(
        "another entry has it, too: nobody could tell whose token it is",
        "Two entries of `[issuers]` have the same `issuer`.",
        "Make one of them: it may have several audiences.",
    ),
    text(
        "{kind} \"{name}\" is one too many in configuration ({place}): at most {most}",
        "There are more entries of `[issuers]` than are read.",
        "Leave some out.",
    ),
    text("{claim}: named twice", "`audit_claims` of an entry: a record has each claim once.", CORRECT),
    text(
        "{word} is none that is taken; accepted: {algorithms}",
        "`algorithms` of an entry: HMAC and `none` never are.",
        CORRECT,
    ),
];

/// What is told of issuers that are in force.
const ISSUER_WARNINGS: &[Message] = &[
    text(
        "section [issuers] has no effect without auth_type=jwt, or a rule with jwt",
        "Nobody is asked for a token.",
        "Set `auth_type`, or write rules with `jwt`.",
    ),
    text(
        "issuer \"{name}\": keys are fetched without TLS ({place}): whoever is on this machine may serve \
         them",
        "`http://` is taken of loopback addresses alone, for tests.",
        "Use `https://`.",
    ),
];

/// What the log tells of issuers.
const ISSUERS: &[Message] = &[
    log("issuer {name}: keys fetched ({count})", "The issuer's tokens can be verified from now on.", NONE),
    log(
        "issuer {name}: keys fetched again ({count})",
        "It has worked again after at least one failure.",
        NONE,
    ),
    debug(
        "issuer {name}, keys: {why}",
        "A key of the set that no token can be signed by, and why; told with the first fetch.",
        NONE,
    ),
    debug("issuer {name}: keys refreshed ({count})", "The usual fetch (`refresh`).", NONE),
    warning(
        "issuer {name}: fetching keys failed: {why}; the last ones count for {left}s more",
        "Logins go on by the keys that are known, up to `keys_max_age`; tried again each half minute. Told \
         once, then each ten minutes.",
        ISSUER,
    ),
    error(
        "issuer {name}: no keys: {why}; no token of it is taken",
        "No keys have come yet, or the last ones are older than `keys_max_age`. Told once, then each ten \
         minutes.",
        ISSUER,
    ),
    debug("issuer {name}: fetching keys failed again: {why}", "Between two reminders.", NONE),
    log(
        "JWT login failed: {why}",
        "A client's token is not taken: one of the reasons below. The token itself is in no line.",
        CLIENT,
    ),
    debug(
        "the client asks where to get a token",
        "OAUTHBEARER: it has come without one, is told the issuer, and comes again.",
        NONE,
    ),
];

/// Why an issuer's keys do not come.
const KEY_FAILURES: &[Message] = &[
    text(
        "{address}: {why}",
        "What is asked at that address, and why nothing came: one of the next rows.",
        ISSUER,
    ),
    text("discovery document {address}: {why}", "What came from there is of no use.", "Set `jwks_url`."),
    text("{place}: {why}", "What stands there is no set of keys that can be used.", ISSUER),
    text("the keys could not be read: a panic, which the log has", "A fault of the program.", "Report it."),
    text("the address cannot be asked", "It is no address of HTTP.", CORRECT),
    text(
        "the server's certificate was refused: its issuer is not trusted; jwks_ca_file must name a file that \
         has it",
        "The server of the keys is not who it should be, or has a certificate of an authority of one's own.",
        "Name that authority in `jwks_ca_file` of the entry.",
    ),
    text("no connection: {why}", "Nobody answers there, or not by TLS.", ISSUER),
    text("no answer in time", "The server, or somebody on the way, is silent.", ISSUER),
    text("the answer is HTTP {status}", "The server does not give the document.", ISSUER),
    text(
        "the answer is a redirect (HTTP {status}), and none is followed",
        "Keys count only from where the configuration says.",
        "Set `jwks_url` to where they are.",
    ),
    text("the answer is longer than {bytes} bytes", "No issuer has so many keys.", ISSUER),
    text("the answer has broken off", "The connection has ended before its last byte.", ISSUER),
    text("it is no JSON object", "A discovery document is one.", ISSUER),
    text("its issuer is not the one that was asked", "The document is for another `issuer`.", CORRECT),
    text(
        "its jwks_uri is no https address",
        "The document sends whoever reads it to an address without TLS, or to none.",
        "Set `jwks_url`.",
    ),
];

/// Why a token lets nobody in.
const TOKEN_REFUSALS: &[Message] = &[
    text(
        "issuer {issuer}: {why}",
        "The entry of `[issuers]` by which the token was judged, and why.",
        CLIENT,
    ),
    text(
        "no issuer in use has issued it: iss is {iss}",
        "No entry of `[issuers]` has that `issuer`, or the rule names another entry.",
        "Add the entry, where its tokens are to count.",
    ),
    text(
        "issuer {issuer}: claims of {principal} are in no line of map {map} for this role",
        "The token is good, and nothing says that its holder may be this role.",
        "Add a line to `auth_claims_file`, where it may.",
    ),
    text(
        "issuer {issuer}: the token is for the role {principal}",
        "Without a map the client may only be the role that `principal_claim` names, of 63 bytes at most.",
        "Correct the client's user, or give the issuer a map.",
    ),
    text(
        "issuer {issuer}: it could not be verified: a panic, which the log has",
        "A fault of the program.",
        "Report it.",
    ),
    text("no keys have come yet: {why}", "Since the start, or since the entry is there.", ISSUER),
    text(
        "the keys are {age} s old, more than keys_max_age, and no newer ones come: {why}",
        "The outage has lasted so long that a key may have been revoked meanwhile.",
        ISSUER,
    ),
];
