//! What tells one secret from another: where it is kept, and what it is for.

use crate::base::limits;
use crate::iam::{Region, SourceKey};
use std::fmt;
use std::sync::Arc;

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A file, or a directory of its parts (`secret_file`, `auth_secret_file`).
    File(Arc<str>),
    /// AWS Secrets Manager (`secret_arn`, `auth_secret_arn`).
    Aws {
        /// Its ARN.
        arn: Arc<str>,
        /// Where it is called.
        region: Region,
        /// By whose credentials.
        source: SourceKey,
    },
}

/// The region of a secret, by its ARN.
///
/// # Errors
/// What an ARN of a secret looks like, where it is none.
pub fn region_of_arn(arn: &str) -> Result<Region, &'static str> {
    const ARN: &str =
        "accepted: the ARN of a secret, arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-AbCdEf";
    let parts: Vec<_> = arn.splitn(7, ':').collect();
    let ["arn", partition, "secretsmanager", region, account, "secret", name] = parts[..] else {
        return Err(ARN);
    };
    let is_partition = partition == "aws" || partition.starts_with("aws-");
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let is_of_names = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-!".contains(&byte);
    let is_name = (1..=519).contains(&name.len()) && name.bytes().all(is_of_names);
    let is_plain = partition.len() <= 32 && partition.bytes().all(is_of_names);
    if !(is_partition && is_account && is_name && is_plain) {
        return Err(ARN);
    }
    region.parse().map_err(|_| ARN)
}

/// What a secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Servers are logged in to with it.
    Servers,
    /// Clients are proven by it, whom it names.
    Clients,
    /// Clients of the one user at whose entry it stands are proven by it; it need not name that.
    User,
}

impl Purpose {
    /// Whether what it says is looked at when clients log in.
    pub fn is_of_clients(self) -> bool {
        matches!(self, Self::Clients | Self::User)
    }

    /// The most bytes of a file that is kept for it.
    pub(super) fn file_bytes_max(self) -> usize {
        match self {
            Self::Servers => limits::KEPT_SECRET_BYTES_MAX,
            Self::Clients | Self::User => limits::KEPT_USERS_BYTES_MAX,
        }
    }

    /// The word of SHOW SECRETS.
    pub fn name(self) -> &'static str {
        match self {
            Self::Servers => "servers",
            Self::Clients => "clients",
            Self::User => "user",
        }
    }
}

/// One secret. Two entries whose keys are equal share its memory and its fetches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretKey {
    /// Where it is kept.
    pub place: Place,
    /// What it is for.
    pub purpose: Purpose,
}

impl fmt::Display for SecretKey {
    /// As SHOW SECRETS and logs name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File(path) => f.write_str(path),
            Place::Aws { arn, .. } => f.write_str(arn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_read_of_arns_of_secrets() {
        for (arn, region) in [
            ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:app-AbCdEf", "eu-west-1"),
            ("arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!cluster-1a-AbCdEf", "us-east-1"),
            ("arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:a/b_c+d=e.f@g-AbCdEf", "cn-north-1"),
        ] {
            assert_eq!(region_of_arn(arn).unwrap().as_str(), region);
        }
        for arn in [
            "",
            "app",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:",
            "arn:aws:secretsmanager::123456789012:secret:a",
            "arn:aws:secretsmanager:eu-west-1:12345:secret:a",
            "arn:aws:secretsmanager:EU:123456789012:secret:a",
            "arn:aws:ssm:eu-west-1:123456789012:parameter:a",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a\"b",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a b",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a:b",
        ] {
            assert!(region_of_arn(arn).is_err(), "{arn}");
        }
    }
}
