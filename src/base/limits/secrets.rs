//! Bounds of secrets that are kept outside of the configuration: of AWS Secrets Manager, and of files that
//! an orchestrator mounts.

/// Most bytes of one secret: AWS Secrets Manager's own bound.
pub const KEPT_SECRET_BYTES_MAX: usize = 65_536;

/// Most bytes of what AWS Secrets Manager answers: a secret of which each byte is escaped, and what is
/// around it.
pub const SECRET_ANSWER_BYTES_MAX: usize = 6 * KEPT_SECRET_BYTES_MAX + 16_384;

/// Most bytes of one password or verifier in it: Amazon RDS takes 128, a SCRAM verifier has some 130.
pub const SECRET_FIELD_BYTES_MAX: usize = 4_096;

/// Objects and lists within one another in a secret's JSON: those that AWS writes are flat.
pub const SECRET_JSON_DEPTH_MAX: usize = 8;
