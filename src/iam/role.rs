//! A role on the way from the first credentials to those that sign.

/// A role to assume.
pub(super) struct RoleToAssume {
    /// Its ARN.
    pub arn: String,
    /// What its trust policy asks for.
    pub external_id: Option<String>,
    /// What CloudTrail calls the session.
    pub session_name: Option<String>,
}
