//! Tokens of clients: why one is refused, what is wrong with the keys of issuers and with maps of claims.

use super::{Message, NONE, text};

const FORGED: &str = "Who has sent it stands in front of the line; if it comes again, somebody tries.";
const OF_ISSUER: &str = "Compare the claim with the issuer's entry.";
const CORRECT: &str = "Correct the line.";
const CLIENT: &str = "Look at the driver, or at what sends in its place.";
const NO_TOKEN: &str = "What was sent in a token's place cannot be one, or not one that is read.";
const NOT_OURS: &str = "The key is not for us; the others of the set are used.";

/// Why a token is refused.
pub(super) const REFUSALS: &[Message] = &[
    text("the token is too long: at most {most} bytes", NO_TOKEN, "Have fewer claims put into it."),
    text("it is no signed JSON web token", NO_TOKEN, "Look at what the client sends: a password, perhaps."),
    text(
        "member {name} is in the token twice",
        "Two readers could read it differently, so that it is not read.",
        FORGED,
    ),
    text("values nest too deep in the token: at most {levels} levels", NO_TOKEN, FORGED),
    text("too many values are in the token: at most {most}", NO_TOKEN, "Have fewer claims put into it."),
    text(
        "the token's algorithm is not allowed: {alg}",
        "Its header names one that is not in the issuer's list. `none` and HMAC never are.",
        "If the issuer has changed its algorithm, change the list.",
    ),
    text(
        "the token's type (typ) is not that of a token for logins: {typ}",
        "The same keys sign tokens for other ends: reports of logouts, proofs of possession.",
        "Send an access token, or one that names its holder.",
    ),
    text(
        "the token's header has extensions that must be understood (crit, b64)",
        "None of them is.",
        "Have the issuer leave them out.",
    ),
    text(
        "the token does not say which key has signed it (kid)",
        "Without its id no key is tried.",
        "Have the issuer name its keys.",
    ),
    text(
        "the issuer has no key {kid} that can be used",
        "The set of keys that is known has none of that id, or it was left out.",
        "Look whether the issuer's keys can be fetched, and at the lines that say which are not used.",
    ),
    text(
        "key {kid} is not for algorithm {alg}",
        "It is of another kind, or for one algorithm alone.",
        FORGED,
    ),
    text("the token's signature is not that of key {kid}", "Somebody else has made or changed it.", FORGED),
    text(
        "claim {claim} is missing, or not of its form",
        "A claim that must be there is not; `iss` is one text, the audience a text or a list of texts.",
        OF_ISSUER,
    ),
    text("claim iss is not the issuer's: {iss}", "It must be the same to the letter.", OF_ISSUER),
    text(
        "claim {claim} is {found}, which is none of the audiences that are accepted",
        "The token was issued for somebody else.",
        "Have the client ask for a token for what `audience` of the issuer's entry says, or correct that.",
    ),
    text(
        "claim {claim} is no point in time",
        "It must be a number of seconds since 1970, not negative.",
        "Correct it at the issuer.",
    ),
    text(
        "the token expired {ago_s} s ago (exp)",
        "The leeway is over, too.",
        "Have the client fetch a token for each login; compare the clocks.",
    ),
    text("the token is not valid before {ahead_s} s from now (nbf)", "By our clock.", "Compare the clocks."),
    text(
        "the token says that it was issued {ahead_s} s from now (iat)",
        "By our clock.",
        "Compare the clocks.",
    ),
    text(
        "the token is valid for {lifetime_s} s, more than the {most_s} s of max_token_age",
        "A token that is stolen is good for as long.",
        "Have shorter ones issued, or raise `max_token_age` of the issuer's entry.",
    ),
    text("claim {claim} has none of the values that are required", "The entry wants one of them.", OF_ISSUER),
    text(
        "claim {claim} cannot name a principal: it must be printable, with 1 to {most} bytes",
        "It would not be one line of a log.",
        "Name another claim for the principal.",
    ),
];

/// What of OAUTHBEARER's messages cannot be read.
pub(super) const OAUTHBEARER: &[Message] = &[
    text("the client authenticates by another scheme than Bearer", "It fails as a wrong token does.", CLIENT),
    text("the bearer token is empty", "It fails as a wrong token does.", CLIENT),
    text("the bearer token has characters that none may have", "It fails as a wrong token does.", CLIENT),
    text("malformed OAUTHBEARER message: it is empty", "The login ends.", CLIENT),
    text("malformed OAUTHBEARER message: it is too long", "The login ends.", CLIENT),
    text("malformed OAUTHBEARER message: it has a zero byte", "The login ends.", CLIENT),
    text(
        "malformed OAUTHBEARER message: it binds a channel, and there is no binding for OAuth",
        "The login ends.",
        CLIENT,
    ),
    text("malformed OAUTHBEARER message: its header is not that of GS2", "The login ends.", CLIENT),
    text(
        "client uses authorization identity, but it is not supported",
        "The role is the startup packet's user.",
        CLIENT,
    ),
    text(
        "malformed OAUTHBEARER message: a pair of key and value is not terminated",
        "The login ends.",
        CLIENT,
    ),
    text("malformed OAUTHBEARER message: a key has no value", "The login ends.", CLIENT),
    text(
        "malformed OAUTHBEARER message: the name of a key is empty, or not of letters",
        "The login ends.",
        CLIENT,
    ),
    text("malformed OAUTHBEARER message: a value has bytes that none may have", "The login ends.", CLIENT),
    text("malformed OAUTHBEARER message: it has more than one auth value", "The login ends.", CLIENT),
    text("malformed OAUTHBEARER message: it has no auth value", "The login ends.", CLIENT),
    text("malformed OAUTHBEARER message: it has no final terminator", "The login ends.", CLIENT),
    text("malformed OAUTHBEARER message: something follows the final terminator", "The login ends.", CLIENT),
];

const SET: &str = "The keys that were known stay in force.";
const AT_ISSUER: &str = "Look at what the issuer's URL, or the file, has.";

/// What is wrong with a set of keys, or with one of them.
pub(super) const KEY_SETS: &[Message] = &[
    text("the set of keys is too long: at most {most} bytes", SET, AT_ISSUER),
    text("it is no JSON web key set", SET, AT_ISSUER),
    text("member {name} is in the set of keys twice", SET, AT_ISSUER),
    text("too many keys are in the set: at most {most}", SET, AT_ISSUER),
    text("the set of keys has too many values, or they nest too deep", SET, AT_ISSUER),
    text("key {kid} is in the set twice", "Which of them would be meant cannot be told.", AT_ISSUER),
    text(
        "key {kid} is a private key: whoever can read the set can sign tokens",
        "The set is not used at all.",
        "Have the issuer make new keys, and publish the public ones alone.",
    ),
    text("no key of the set can be used", "The keys that were known stay in force.", AT_ISSUER),
    text(
        "key {kid} of the set is not used: {why}",
        "One of the next rows; tokens that it signs are refused.",
        NONE,
    ),
    text("it is no object", NOT_OURS, NONE),
    text("it has no id, or a too long one", NOT_OURS, "Have the issuer name its keys."),
    text("it is not for verifying signatures", NOT_OURS, NONE),
    text("its kind or curve is not supported", NOT_OURS, NONE),
    text("its algorithm is not supported, or not one of its kind", NOT_OURS, NONE),
    text("it has fewer than 2048 bits, or more than 8192", NOT_OURS, "Have the issuer make a new one."),
    text("it is no valid key", NOT_OURS, AT_ISSUER),
];

/// What refuses `auth_claims_file`, or a claim's name in a setting.
pub(super) const CLAIMS_MAPS: &[Message] = &[
    text(
        "could not parse claims config line ({place}): {wrong}",
        "The line is wrong: one of the next rows, or of those of hba files.",
        CORRECT,
    ),
    text("a map, a claim, a value and a role are wanted", "A word is missing, or is a comma.", CORRECT),
    text("the name of a claim is missing", "It is empty.", CORRECT),
    text("the name of a claim is too long: at most {most} bytes", "No issuer has such a claim.", CORRECT),
    text("the name of a claim must be printable", "No issuer has such a claim.", CORRECT),
    text(
        "the pointer to a claim has a ~ that neither 0 nor 1 follows",
        "A name that begins with `/` is a pointer, in which `~1` stands for `/` and `~0` for `~`.",
        CORRECT,
    ),
    text(
        "all, +group, @file and /pattern do not stand for roles here: quoted they are names",
        "Each role that claims give is written out, or made of groups of the value.",
        CORRECT,
    ),
    text(
        "the role must be printable, and have 1 to {most} bytes",
        "PostgreSQL has no role of that name, or cuts it.",
        CORRECT,
    ),
    text(
        "the role has a \\ that no digit from 1 to 9 follows",
        "`\\1` to `\\9` stand for groups of the value; there is no other use of it.",
        CORRECT,
    ),
    text(
        "the role names group \\{number} of the value, which has none of that number",
        "The value is no pattern, or has fewer groups.",
        CORRECT,
    ),
    text("the pattern is empty", "The value is `/` and nothing else.", CORRECT),
    text(
        "the pattern is not a regular expression, or too large a one: {why}",
        "What is wrong stands behind it. A comma, a blank or a `#` must be inside of quotes.",
        CORRECT,
    ),
    text("unknown option: {word}", "`query_timeout` and `transaction_timeout` are known.", CORRECT),
    text("option {option} is there twice", "One of them would have no effect.", CORRECT),
    text("{option} is not accepted: {accepted}", "Its value is of another form.", CORRECT),
    text(
        "files cannot be included in a claims file",
        "The whole of it is one file.",
        "Put the lines into it.",
    ),
    text("too many lines: at most {most}", "Nothing behind that line is read.", "Use patterns with groups."),
    text("too many patterns: at most {most}", "Nothing behind that line is read.", "Use fewer."),
    text("the file is too long: at most {most} bytes", "Nothing of it is read.", "Shorten it."),
];
