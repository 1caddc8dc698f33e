//! What fetches a secret, whatever keeps it.

use super::error::SecretError;
use super::schedule::TIMEOUT;
use super::value::Content;
use crate::config::FileStamp;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A future that can wait in a task.
pub type Fetching<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Which of a secret's versions. A rotation makes a pending one, gives its password to the database, then
/// makes it the current one; the one before stays as the previous. Source: AWS Secrets Manager User Guide,
/// "Rotation function".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// In force.
    Current,
    /// To be in force: a rotation is under way.
    Pending,
    /// In force before.
    Previous,
}

impl Stage {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Self; 3] = [Self::Current, Self::Pending, Self::Previous];

    /// As AWS labels it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Current => "AWSCURRENT",
            Self::Pending => "AWSPENDING",
            Self::Previous => "AWSPREVIOUS",
        }
    }
}

/// One version as it came.
pub struct Found {
    /// What it is called where it is kept; `None`: versions have no names there.
    pub id: Option<Arc<str>>,
    /// Since when it is there, where that is told.
    pub created_at: Option<SystemTime>,
    /// What it says.
    pub content: Content,
    /// What an operator should know of where it is kept.
    pub doubt: Option<Arc<str>>,
}

/// How the files of a secret look, one after the other; `None`: it is not there.
pub type Fingerprint = Vec<Option<FileStamp>>;

/// Something that a secret can be fetched from, or what a test puts in its place.
pub trait Fetch: Send + Sync + 'static {
    /// Fetches one version. `None`: there is none at that stage; of the current one that is an error.
    ///
    /// # Errors
    /// Why nothing came.
    /// # Cancel safety
    /// Nothing is lost.
    fn fetch(self: Arc<Self>, stage: Stage) -> Fetching<Result<Option<Found>, SecretError>>;

    /// The longest that one fetch takes; one that takes longer has had no answer. Longer than all that it
    /// waits for, where that can tell more.
    fn longest(&self) -> Duration {
        TIMEOUT
    }

    /// How what is kept looks from outside, where that can be watched without fetching.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    fn fingerprint(self: Arc<Self>) -> Fetching<Fingerprint> {
        Box::pin(std::future::ready(Fingerprint::new()))
    }

    /// Whether [`Self::fingerprint`] tells of changes.
    fn is_watched(&self) -> bool {
        false
    }
}
