//! What every call for credentials goes by: the environment, and how long a call may take.

use super::failure::{FetchError, Reason};
use aws_config::timeout::TimeoutConfig;
use std::time::Duration;

/// To connect to STS, a metadata service or a container's endpoint.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// For one call of STS, or of the portal of IAM Identity Center, and its answer.
pub(super) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// The same for the AWS library's calls.
pub(super) fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build()
}

/// A variable of the environment that must be set.
pub(super) fn env(name: &str) -> Result<String, FetchError> {
    let value = std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    value.ok_or_else(|| FetchError::with(Reason::NotConfigured, format!("{name} is not set")))
}
