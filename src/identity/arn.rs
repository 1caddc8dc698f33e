//! The ARN of a caller of AWS, brought to the form that permissions are given to: the role, not its session.
//!
//! STS names `arn:aws:sts::123456789012:assumed-role/ROLE/SESSION` whoever has assumed a role, under a name
//! that the caller itself has chosen; what is mapped to roles of databases is
//! `arn:aws:iam::123456789012:role/ROLE`, and the session stands beside it. (The role's path is not in what
//! STS says.) Source: IAM User Guide, "IAM identifiers"; AWS Security Token Service API Reference,
//! GetCallerIdentity.

use crate::base::limits;

/// Whom STS has named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerArn {
    /// What permissions are given to.
    pub arn: String,
    /// The account: twelve digits.
    pub account: String,
    /// The role's name, where one was assumed.
    pub role: Option<String>,
    /// The session's name: of an assumed role, or of a federated user. Chosen by the caller, unless the
    /// role's trust policy says otherwise.
    pub session: Option<String>,
}

/// A text that is no caller's ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no ARN of a caller")]
pub struct BadArn;

impl CallerArn {
    /// Reads what STS calls `Arn`.
    ///
    /// # Errors
    /// It is no ARN of STS or IAM: `arn:PARTITION:SERVICE::ACCOUNT:RESOURCE`.
    pub fn parse(text: &str) -> Result<Self, BadArn> {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\' | b'<');
        if text.len() > limits::ARN_BYTES_MAX || !text.bytes().all(is_plain) {
            return Err(BadArn);
        }
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let &["arn", partition, service, "", account, resource] = &*parts else { return Err(BadArn) };
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_partition = partition.starts_with("aws") && partition.bytes().all(is_word);
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        if !is_partition || !is_account {
            return Err(BadArn);
        }
        let named = |arn, role: Option<&str>, session: Option<&str>| Self {
            arn,
            account: account.to_owned(),
            role: role.map(str::to_owned),
            session: session.map(str::to_owned),
        };
        match (service, resource.split('/').collect::<Vec<_>>().as_slice()) {
            ("sts", ["assumed-role", role, session]) if are_names(&[role, session]) => {
                let arn = format!("arn:{partition}:iam::{account}:role/{role}");
                Ok(named(arn, Some(role), Some(session)))
            }
            ("sts", ["federated-user", session]) if are_names(&[session]) => {
                Ok(named(text.to_owned(), None, Some(session)))
            }
            ("iam", ["root"]) => Ok(named(text.to_owned(), None, None)),
            ("iam", ["user", path @ .., user]) if are_names(&[user]) && !path.contains(&"") => {
                Ok(named(text.to_owned(), None, None))
            }
            _ => Err(BadArn),
        }
    }
}

/// Whether each of these may be the name of a role, a user or a session (IAM User Guide, "IAM and AWS STS
/// quotas"): a name of another kind could pass for more of an ARN than it is.
fn are_names(parts: &[&str]) -> bool {
    let is_named = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
    parts.iter().all(|part| !part.is_empty() && part.bytes().all(is_named))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (String, Option<String>, Option<String>) {
        let CallerArn { arn, account, role, session } = CallerArn::parse(text).unwrap();
        assert_eq!(account, "123456789012");
        (arn, role, session)
    }

    #[test]
    fn an_assumed_role_is_the_role_and_its_session_stands_beside_it() {
        let (arn, role, session) = of("arn:aws:sts::123456789012:assumed-role/app-reader/i-0abc");
        assert_eq!(arn, "arn:aws:iam::123456789012:role/app-reader");
        assert_eq!((role.as_deref(), session.as_deref()), (Some("app-reader"), Some("i-0abc")));
        let (arn, ..) = of("arn:aws-us-gov:sts::123456789012:assumed-role/r/s@example.org");
        assert_eq!(arn, "arn:aws-us-gov:iam::123456789012:role/r");
    }

    #[test]
    fn users_and_the_account_itself_stay_as_they_are() {
        for text in [
            "arn:aws:iam::123456789012:user/alice",
            "arn:aws:iam::123456789012:user/division/team:1/alice",
            "arn:aws-cn:iam::123456789012:root",
            "arn:aws:sts::123456789012:federated-user/alice",
        ] {
            assert_eq!(of(text).0, text);
        }
    }

    #[test]
    fn what_is_no_caller_is_refused() {
        let long = format!("arn:aws:iam::123456789012:user/{}", "u".repeat(limits::ARN_BYTES_MAX));
        for text in [
            "",
            "arn:aws:iam::123456789012:role/app",
            "arn:aws:iam::12345678901:user/x",
            "arn:aws:iam::12345678901a:user/x",
            "arn:aws:iam:eu-west-1:123456789012:user/x",
            "arn:aws:sts::123456789012:assumed-role/app",
            "arn:aws:sts::123456789012:assumed-role//s",
            "arn:aws:sts::123456789012:assumed-role/a/",
            "arn:aws:sts::123456789012:assumed-role/a/b/c",
            "arn:aws:s3::123456789012:user/x",
            "arn:bws:iam::123456789012:user/x",
            "arn:AWS:iam::123456789012:user/x",
            "arn:aws:iam::123456789012:user/x\ny",
            "arn:aws:iam::123456789012:user/x y",
            "arn:aws:iam::123456789012:user/x'y",
            "arn:aws:iam::123456789012:user/x:y",
            "arn:aws:iam::123456789012:user/",
            "arn:aws:iam::123456789012:user//x",
            "arn:aws:sts::123456789012:assumed-role/a:assumed-role/s",
            "arn:aws:sts::123456789012:assumed-role/a/s*",
            "arn:aws:sts::123456789012:federated-user/a:b",
            &long,
        ] {
            assert_eq!(CallerArn::parse(text), Err(BadArn), "{text}");
        }
    }
}
