//! A secret of AWS Secrets Manager.
//!
//! What AWS answers is told by its reason and by what to do; never by what it says of the secret. Source: AWS
//! Secrets Manager API Reference, "GetSecretValue" (Errors).

use super::error::{Reason, SecretError};
use super::fetch::{Fetch, Fetching, Found, Stage};
use super::key::Purpose;
use super::value::Content;
use crate::iam::{self, CallError, SecretsApi};
use std::sync::Arc;
use std::time::Duration;

/// A secret at AWS.
pub struct AwsSecret {
    manager: SecretsApi,
    arn: Arc<str>,
    purpose: Purpose,
}

impl AwsSecret {
    /// The one of that ARN; nothing is called yet.
    pub fn new(manager: SecretsApi, arn: Arc<str>, purpose: Purpose) -> Self {
        Self { manager, arn, purpose }
    }

    async fn get(&self, stage: Stage) -> Result<Option<Found>, SecretError> {
        let value = match self.manager.get(&self.arn, stage.label()).await {
            Ok(value) => value,
            Err(error) if stage != Stage::Current && is_missing(&error) => return Ok(None),
            Err(error) => return Err(read(&error)),
        };
        let text = value.text.as_bytes();
        let content = Content::read(self.purpose, text)?;
        Ok(Some(Found { id: Some(value.version), created_at: value.created_at, content, doubt: None }))
    }
}

impl Fetch for AwsSecret {
    fn fetch(self: Arc<Self>, stage: Stage) -> Fetching<Result<Option<Found>, SecretError>> {
        Box::pin(async move { self.get(stage).await })
    }

    /// Its own bounds tell what there is no answer from.
    fn longest(&self) -> Duration {
        self.manager.longest() + Duration::from_secs(1)
    }
}

fn is_missing(error: &CallError) -> bool {
    error.code.as_deref() == Some("ResourceNotFound")
}

/// What AWS, or the way to it, has against it; where there are no credentials AWS was not asked, whatever
/// that is for.
fn read(CallError { code, error }: &CallError) -> SecretError {
    let reason = match code.as_deref() {
        _ if error.is_of_base() => Reason::Credentials,
        Some("ResourceNotFound") => Reason::Missing,
        Some("DecryptionFailure") => Reason::Decryption,
        Some("InvalidRequest") => Reason::Deleted,
        Some(code) if code.starts_with("AccessDenied") => Reason::Denied,
        _ => match error.reason {
            iam::Reason::Throttled => Reason::Throttled,
            iam::Reason::Service | iam::Reason::Garbage => Reason::Service,
            iam::Reason::Unreachable => Reason::Unreachable,
            iam::Reason::Timeout => Reason::Timeout,
            iam::Reason::NotConfigured
            | iam::Reason::Misconfigured
            | iam::Reason::Denied
            | iam::Reason::Clock
            | iam::Reason::Identity
            | iam::Reason::ExpiredFromSource => Reason::Credentials,
        },
    };
    SecretError::with(reason, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iam::FetchError;

    #[test]
    fn each_answer_of_aws_has_its_reason_and_its_advice() {
        for (code, reason, advice) in [
            ("ResourceNotFoundException", Reason::Missing, "secret_arn"),
            ("AccessDeniedException", Reason::Denied, "secretsmanager:GetSecretValue"),
            ("DecryptionFailure", Reason::Decryption, "kms:Decrypt"),
            ("InvalidRequestException", Reason::Deleted, "RestoreSecret"),
            ("ThrottlingException", Reason::Throttled, ""),
            ("InternalServiceError", Reason::Service, ""),
            ("UnrecognizedClientException", Reason::Credentials, "credentials"),
            ("ExpiredTokenException", Reason::Credentials, "credentials"),
        ] {
            let status = if code == "InternalServiceError" { 500 } else { 400 };
            let error = FetchError::of_answer(Some(code), Some("SECRET"), Some(status));
            let code = code.strip_suffix("Exception").unwrap_or(code);
            let read = read(&CallError { code: Some(code.into()), error });
            assert_eq!(read.reason, reason, "{code}");
            assert!(reason.advice().contains(advice), "{code}: {}", reason.advice());
            assert!(!read.to_string().contains("SECRET") || reason == Reason::Denied);
        }
        let away = CallError::from(FetchError::new(iam::Reason::Unreachable));
        assert_eq!(read(&away).reason, Reason::Unreachable);
    }
}
