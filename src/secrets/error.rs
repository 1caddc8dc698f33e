//! Why a secret was not fetched, and what to do about it.
//!
//! Shows names, codes and words of ours; never a text of a secret.

use super::value::Unreadable;
use std::fmt;

/// Why a secret was not fetched. The name is a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// There is no such secret, or no such file.
    Missing,
    /// It is there, and says nothing that can be used.
    Unreadable,
    /// The file cannot be read, or is none.
    Inaccessible,
    /// AWS says that this identity may not.
    Denied,
    /// AWS cannot decrypt it.
    Decryption,
    /// It is to be deleted, or is in no state to be read.
    Deleted,
    /// AWS asks for fewer calls.
    Throttled,
    /// There are no credentials to ask AWS with, or AWS does not take them.
    Credentials,
    /// AWS failed.
    Service,
    /// No connection.
    Unreachable,
    /// No answer in time.
    Timeout,
}

impl Reason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Missing,
        Self::Unreadable,
        Self::Inaccessible,
        Self::Denied,
        Self::Decryption,
        Self::Deleted,
        Self::Throttled,
        Self::Credentials,
        Self::Service,
        Self::Unreachable,
        Self::Timeout,
    ];

    /// The label of metrics and the word of SHOW SECRETS.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
            Self::Inaccessible => "inaccessible",
            Self::Denied => "denied",
            Self::Decryption => "decryption",
            Self::Deleted => "deleted",
            Self::Throttled => "throttled",
            Self::Credentials => "credentials",
            Self::Service => "service",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
        }
    }

    /// In words.
    fn text(self) -> &'static str {
        match self {
            Self::Missing => "there is no such secret",
            Self::Unreadable => "it says nothing that can be used",
            Self::Inaccessible => "it cannot be read",
            Self::Denied => "AWS denies reading it",
            Self::Decryption => "AWS cannot decrypt it",
            Self::Deleted => "it is to be deleted, or cannot be read at present",
            Self::Throttled => "AWS asks for fewer calls",
            Self::Credentials => "there are no credentials that AWS takes",
            Self::Service => "the service failed",
            Self::Unreachable => "no connection",
            Self::Timeout => "no answer in time",
        }
    }

    /// What to do about it.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Missing => {
                "create it, or correct the key that names it: secret_file, secret_arn; of clients \
                 auth_secret_file, auth_secret_arn"
            }
            Self::Unreadable => {
                "write JSON with username and password, or a password of one line, whole: into another file, \
                 then rename that; of clients {\"users\": {\"NAME\": \"PASSWORD\"}}, or lines as in auth_file"
            }
            Self::Inaccessible => "let the user that the pooler runs as read it",
            Self::Denied => {
                "allow the principal secretsmanager:GetSecretValue on the ARN, in its policy and in that of \
                 the secret; where a key of KMS encrypts it, kms:Decrypt on that key, too"
            }
            Self::Decryption => {
                "allow the principal kms:Decrypt on the secret's key, and see that it is enabled"
            }
            Self::Deleted => "restore it (RestoreSecret), or name another one",
            Self::Throttled => "it is asked again later, less often",
            Self::Credentials => "see the lines about the source of credentials, and SHOW IAM",
            Self::Service => "it is asked again",
            Self::Unreachable => {
                "let the pooler reach secretsmanager.REGION.amazonaws.com, or a VPC endpoint for it"
            }
            Self::Timeout => "see what holds up the way to AWS, or the file system",
        }
    }
}

/// One fetch that has failed. `Display` is fit for logs and SHOW.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretError {
    /// Why.
    pub reason: Reason,
    detail: Option<Box<str>>,
}

impl SecretError {
    /// A failure without more to say.
    pub fn new(reason: Reason) -> Self {
        Self { reason, detail: None }
    }

    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        self.reason.advice()
    }

    /// A failure with words of ours, in which nothing is secret.
    pub fn with(reason: Reason, detail: impl Into<Box<str>>) -> Self {
        Self { reason, detail: Some(detail.into()) }
    }
}

impl From<Unreadable> for SecretError {
    fn from(why: Unreadable) -> Self {
        Self::with(Reason::Unreadable, why.to_string())
    }
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.text())?;
        self.detail.as_deref().map_or(Ok(()), |detail| write!(f, " ({detail})"))
    }
}

impl std::error::Error for SecretError {}
