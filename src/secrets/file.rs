//! A secret in a file, or in a directory with the files `username` and `password`.
//!
//! Watched by what the system tells of it, so that the rename of a file is seen and so is that of the link
//! `..data`, by which Kubernetes changes all parts at once. What changes while it is read is read again:
//! parts of two versions are never put together. Never shows what it has read. Source: Kubernetes
//! documentation, "Secrets" ("Using Secrets as files from a Pod"); Docker documentation, "Manage sensitive
//! data".

use super::error::{Reason, SecretError};
use super::fetch::{Fetch, Fetching, Fingerprint, Found, Stage};
use super::key::Purpose;
use super::value::Content;
use crate::base::limits;
use crate::config::FileStamp;
use crate::iam::file::{Unread, read_wiped};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The parts of a directory's secret.
const PARTS: [&str; 2] = ["username", "password"];

/// Whoever has an account may read it.
const WORLD_READABLE: u32 = 0o004;

/// How often what changes while it is read is read again.
const READS_MAX: usize = 3;

/// A secret in the file system.
pub struct SecretFile {
    path: PathBuf,
    purpose: Purpose,
}

impl SecretFile {
    /// The one at `path`; nothing is read yet.
    pub fn new(path: &str, purpose: Purpose) -> Self {
        Self { path: path.into(), purpose }
    }

    /// A whole state of it: what was read between two looks that saw the same.
    async fn read_whole(&self) -> Result<Found, SecretError> {
        let mut seen = look(&self.path).await;
        for _ in 0..READS_MAX {
            let found = self.read(&seen).await;
            let now = look(&self.path).await;
            if now.fingerprint == seen.fingerprint {
                return found;
            }
            seen = now;
        }
        Err(SecretError::with(Reason::Unreadable, "it changes while it is read"))
    }

    async fn read(&self, seen: &Seen) -> Result<Found, SecretError> {
        let content = if !seen.is_directory {
            let text = read(&self.path, self.purpose.file_bytes_max()).await?;
            Content::read(self.purpose, &text)?
        } else {
            let bytes_max = limits::KEPT_SECRET_BYTES_MAX;
            let [user, password] = PARTS.map(|part| self.path.join(part));
            let user = match read(&user, bytes_max).await {
                Err(error) if error.reason == Reason::Missing => None,
                user => Some(user?),
            };
            let password = read(&password, bytes_max).await.map_err(|error| match error.reason {
                Reason::Missing => SecretError::with(Reason::Missing, "the directory has no file password"),
                _ => error,
            })?;
            Content::of_parts(self.purpose, user.as_ref().map(|user| user.as_slice()), &password)?
        };
        let doubt = seen.mode.filter(|mode| mode & WORLD_READABLE != 0);
        let doubt = doubt.map(|mode| format!("mode {:04o}", mode & 0o7777).into());
        Ok(Found { id: None, created_at: None, content, doubt })
    }
}

impl Fetch for SecretFile {
    fn fetch(self: Arc<Self>, stage: Stage) -> Fetching<Result<Option<Found>, SecretError>> {
        Box::pin(async move {
            match stage {
                Stage::Current => self.read_whole().await.map(Some),
                Stage::Pending | Stage::Previous => Ok(None),
            }
        })
    }

    fn fingerprint(self: Arc<Self>) -> Fetching<Fingerprint> {
        Box::pin(async move { look(&self.path).await.fingerprint })
    }

    fn is_watched(&self) -> bool {
        true
    }
}

/// What the system tells of a secret without reading it.
struct Seen {
    fingerprint: Fingerprint,
    is_directory: bool,
    /// Of the file with the password.
    mode: Option<u32>,
}

/// Looks through all links: what a link leads to is another file after a change.
async fn look(path: &Path) -> Seen {
    let about = tokio::fs::metadata(path).await.ok();
    let is_directory = about.as_ref().is_some_and(|about| about.is_dir());
    if !is_directory {
        let mode = about.as_ref().map(|about| about.mode());
        return Seen { fingerprint: vec![about.as_ref().map(FileStamp::of)], is_directory, mode };
    }
    let (mut fingerprint, mut mode) = (Fingerprint::new(), None);
    for part in PARTS {
        let about = tokio::fs::metadata(path.join(part)).await.ok();
        fingerprint.push(about.as_ref().map(FileStamp::of));
        mode = about.map(|about| about.mode());
    }
    Seen { fingerprint, is_directory, mode }
}

async fn read(path: &Path, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    read_wiped(path, bytes_max).await.map_err(|why| {
        let reason = match why {
            Unread::Missing => Reason::Missing,
            Unread::Unreadable | Unread::Irregular => Reason::Inaccessible,
            Unread::TooLong => return super::Unreadable::TooLong.into(),
        };
        match why {
            Unread::Irregular => SecretError::with(reason, "it is no regular file"),
            _ => SecretError::new(reason),
        }
    })
}

#[cfg(test)]
mod tests;
