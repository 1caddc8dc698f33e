//! What credentials are fetched by: AWS, or what a test puts in its place.

use super::credentials::Credentials;
use super::failure::{FetchError, Reason};
use super::source::SourceKind;
use aws_credential_types::Credentials as AwsCredentials;
use std::pin::Pin;
use std::sync::Arc;

/// What a fetch brings.
pub struct Fetched {
    /// The credentials as the library holds them.
    pub credentials: AwsCredentials,
    /// The source that gave them; of `default`, the one of its chain that did.
    pub via: SourceKind,
    /// Whose they are, where the answer says so.
    pub principal: Option<String>,
}

/// A future that can wait in a task.
pub(crate) type Fetching<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Something that credentials can be fetched from: AWS, or what a test puts in its place.
pub trait Fetch: Send + Sync + 'static {
    /// Fetches once.
    ///
    /// # Errors
    /// Why nothing came.
    /// # Cancel safety
    /// Nothing is lost; a program that was started is ended.
    fn fetch(self: Arc<Self>) -> Fetching<Result<Fetched, FetchError>>;

    /// How many sessions of STS the next fetch asks for.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    fn sessions(self: Arc<Self>) -> Fetching<u32> {
        Box::pin(std::future::ready(0))
    }

    /// Asks whom `credentials` belong to: the principal's ARN.
    ///
    /// # Errors
    /// Why it is not known.
    fn identify(self: Arc<Self>, credentials: Arc<Credentials>) -> Fetching<Result<String, FetchError>>;
}

/// What a panic of the AWS library comes to.
pub(super) fn panicked() -> FetchError {
    FetchError::with(Reason::Garbage, "the AWS library has panicked")
}
