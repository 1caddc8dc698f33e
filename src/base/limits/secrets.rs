//! Bounds of secrets that are kept outside of the configuration: of AWS Secrets Manager, and of files that
//! an orchestrator mounts.

/// Most bytes of one secret: AWS Secrets Manager's own bound.
pub const KEPT_SECRET_BYTES_MAX: usize = 65_536;

/// Most bytes of a file with users of clients: what Kubernetes lets a secret have.
pub const KEPT_USERS_BYTES_MAX: usize = 1 << 20;

/// Most bytes of what AWS Secrets Manager answers: a secret of which each byte is escaped, and what is
/// around it.
pub const SECRET_ANSWER_BYTES_MAX: usize = 6 * KEPT_SECRET_BYTES_MAX + 16_384;

/// Most bytes of one password or verifier in it: Amazon RDS takes 128, a SCRAM verifier has some 130.
pub const SECRET_FIELD_BYTES_MAX: usize = 4_096;

/// Objects and lists within one another in a secret's JSON: those that AWS writes are flat.
pub const SECRET_JSON_DEPTH_MAX: usize = 8;

/// Secrets that clients are proven by, of one configuration: each has a task and a fetch each five minutes.
/// Who has more users keeps them in lists.
pub const CLIENT_SECRETS_MAX: usize = 10_000;

/// For so long a client waits for a secret that is not known yet, or that is fetched anew because the client
/// has proven something else: longer than the pauses between such fetches, shorter than drivers wait.
pub const CLIENT_SECRET_PATIENCE_MS: u64 = 5_000;

/// Users gone from secrets that are remembered, so that their sessions can be ended: some MB.
pub const GONE_USERS_MAX: usize = 100_000;

/// Users that one secret of one login has named, one after the other, and that are still taken for its own:
/// alternating users are two.
pub const LOGIN_NAMES_MAX: usize = 8;
