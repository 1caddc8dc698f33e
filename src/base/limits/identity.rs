//! Bounds of tokens, of the keys that they are verified with, and of the file that maps claims to roles.

/// Longest JSON web token that is looked at. Those of real issuers have one to four kB, with hundreds of
/// groups some ten; what carries them in a header of HTTP ends at eight or sixteen.
pub const JWT_BYTES_MAX: usize = 16_384;

/// How deep values may nest in a token: claims that real issuers nest end at the fourth level.
pub const JWT_DEPTH_MAX: usize = 8;

/// Most values in a token, those inside of others counted: each is compared with the lines of a map.
pub const JWT_VALUES_MAX: usize = 1_024;

/// Longest name of a claim, or pointer to one, in a setting or a map.
pub const CLAIM_NAME_BYTES_MAX: usize = 256;

/// Longest id of a key: thumbprints have 43 bytes, some issuers use names.
pub const KEY_ID_BYTES_MAX: usize = 256;

/// Longest name of a principal: ARNs of roles end at some 100 bytes, with their sessions at some 200.
pub const PRINCIPAL_BYTES_MAX: usize = 256;

/// Of a claim's text so much is shown, in a log or the audit; then it is cut.
pub const CLAIM_SHOWN_BYTES_MAX: usize = 256;

/// Most bytes of an issuer's set of keys: a key with a chain of certificates has some 6 kB.
pub const JWKS_BYTES_MAX: usize = 256 * 1024;

/// Most keys in a set, those that are not for signatures among them: issuers have two to ten.
pub const JWKS_KEYS_MAX: usize = 100;

/// Most values in a set of keys, members of keys counted, and how deep they may nest.
pub const JWKS_VALUES_MAX: usize = 4_096;
/// See [`JWKS_VALUES_MAX`].
pub const JWKS_DEPTH_MAX: usize = 8;

/// Most bytes of the file that maps claims to roles, and most lines of it: some 100 bytes each.
pub const CLAIMS_MAP_BYTES_MAX: usize = 4 << 20;
/// See [`CLAIMS_MAP_BYTES_MAX`].
pub const CLAIMS_MAP_LINES_MAX: usize = 10_000;

/// Most regular expressions in it: a token with [`JWT_VALUES_MAX`] values is compared with each by a login.
pub const CLAIMS_MAP_PATTERNS_MAX: usize = 1_000;

/// Memory of one of them, and of what is remembered while it runs: a name of 63 letters takes some 20 kB.
pub const CLAIMS_PATTERN_BYTES_MAX: usize = 65_536;

/// Longest role that claims give: what PostgreSQL keeps of a name (NAMEDATALEN without the zero byte).
pub const ROLE_BYTES_MAX: usize = 63;

/// Most lines of the file of principals that are denied; who has many of one kind writes a pattern.
pub const DENY_LINES_MAX: usize = 100_000;

/// Most regular expressions among them. All are looked for at once, so what counts is their memory.
pub const DENY_PATTERNS_MAX: usize = 1_000;

/// Memory of the regular expressions of one issuer or method, and of what is remembered while they run.
pub const DENY_PATTERNS_BYTES_MAX: usize = 16 << 20;

/// Most bytes of that file.
pub const DENY_BYTES_MAX: u64 = 16 << 20;

/// Between two looks whether that file has changed.
pub const DENY_WATCH_MS: u64 = 1_000;

/// Clients of which a worker looks up in one turn whether they may stay: a regular expression or two for
/// each, so that queries wait less than some milliseconds for it.
pub const JUDGED_CLIENTS_MAX: usize = 1_024;

/// Longest presigned GetCallerIdentity of a client, in whichever form: AWS's session tokens have some 2 KB,
/// and its endpoints take no request line of more than 16 KB.
pub const CALLER_TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Verdicts on tokens that are kept, some 400 bytes each: of acceptances as many as principals of a large
/// organisation send within 15 minutes, of refusals enough to answer who tries the same one again.
pub const TOKENS_ACCEPTED_MAX: usize = 10_000;
/// See [`TOKENS_ACCEPTED_MAX`].
pub const TOKENS_REFUSED_MAX: usize = 1_000;

/// Addresses whose pace of sending tokens is known, some 100 bytes each.
pub const TOKEN_SOURCES_MAX: usize = 10_000;

/// For how long a refused token is refused without a question, in milliseconds: no longer, since what looks
/// like a refusal may be AWS's throttling.
pub const TOKEN_REFUSED_MS: u64 = 5_000;

/// Tokens that AWS, or one endpoint, is asked about at a time, in all and from one network.
pub const TOKENS_JUDGED_MAX: usize = 16;
/// See [`TOKENS_JUDGED_MAX`].
pub const TOKENS_JUDGED_EACH_MAX: usize = 8;

/// Longest answer of STS to GetCallerIdentity: it has some 500 bytes.
pub const STS_ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Longest ARN of a caller, and longest unique id: a path has 512 bytes, a name 64 (IAM User Guide, "IAM and
/// AWS STS quotas").
pub const ARN_BYTES_MAX: usize = 1_024;
/// Sessions by tokens that a reload's pass takes at a time to judge them again: logins and ends of sessions
/// wait for as long as it takes to copy that many pointers.
pub const JUDGED_TOKENS_MAX: usize = 256;
