//! One fetch of an issuer's keys: from its file, from an address, or by its discovery document.
//!
//! Never on a login's path, and never logs. What comes is bounded in bytes, time and number before it is
//! read, and read on a thread where nobody waits behind it.

use super::discovery::{self, BadDiscovery};
use crate::base::limits;
use crate::config::{FileStamp, IssuerEntry, read_file};
use crate::iam::web::{WebError, document};
use crate::identity::{BadKeySet, KeySet};
use crate::tasks;
use std::sync::Arc;

/// Why no keys came. Fit for logs and SHOW.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeysError {
    #[error("{address}: {why}")]
    Unfetched { address: Arc<str>, why: WebError },
    #[error("discovery document {address}: {why}")]
    Discovery { address: Arc<str>, why: BadDiscovery },
    #[error("{place}: {why}")]
    BadKeys { place: Arc<str>, why: BadKeySet },
    #[error("could not read {file}: {why}")]
    Unreadable { file: Arc<str>, why: String },
    #[error("the keys could not be read: a panic, which the log has")]
    Panicked,
}

/// What a fetch brings.
pub(super) enum Fetched {
    /// Keys, and what tells whether their file is another one.
    Keys(Arc<KeySet>, Option<FileStamp>),
    /// The file is as it was.
    Same,
}

/// The keys of `entry`, whose file was `last` the last time.
///
/// # Errors
/// Why none came.
/// # Cancel safety
/// Nothing is lost.
pub(super) async fn keys(entry: &IssuerEntry, last: Option<FileStamp>) -> Result<Fetched, KeysError> {
    if let Some(file) = &entry.keys.file {
        return of_file(Arc::clone(file), last).await;
    }
    let address = match &entry.keys.url {
        Some(url) => Arc::clone(&url.0),
        None => discovered(entry).await?,
    };
    let ca_file = entry.ca_file.as_deref();
    let fetched = document(&address, ca_file, limits::JWKS_BYTES_MAX).await;
    let bytes = fetched.map_err(|why| KeysError::Unfetched { address: Arc::clone(&address), why })?;
    parsed(address, bytes).await.map(|keys| Fetched::Keys(keys, None))
}

async fn discovered(entry: &IssuerEntry) -> Result<Arc<str>, KeysError> {
    let address: Arc<str> = discovery::address(&entry.issuer).into();
    let fetched = document(&address, entry.ca_file.as_deref(), limits::DISCOVERY_BYTES_MAX).await;
    let text = fetched.map_err(|why| KeysError::Unfetched { address: Arc::clone(&address), why })?;
    let found = discovery::keys_address(&text, &entry.issuer);
    found.map(|url| url.0).map_err(|why| KeysError::Discovery { address, why })
}

async fn of_file(file: Arc<str>, last: Option<FileStamp>) -> Result<Fetched, KeysError> {
    let name = Arc::clone(&file);
    let look = move || {
        let stamp = FileStamp::of(&std::fs::metadata(&*name)?);
        if last == Some(stamp) {
            return Ok(None);
        }
        read_file(&name, limits::JWKS_BYTES_MAX as u64).map(|bytes| Some((bytes, stamp)))
    };
    let read = tasks::blocking("a look at keys", Arc::clone(&file), look).await;
    let unreadable =
        |why: std::io::Error| KeysError::Unreadable { file: Arc::clone(&file), why: why.to_string() };
    match read.ok_or(KeysError::Panicked)?.map_err(unreadable)? {
        None => Ok(Fetched::Same),
        Some((bytes, stamp)) => parsed(file, bytes).await.map(|keys| Fetched::Keys(keys, Some(stamp))),
    }
}

async fn parsed(place: Arc<str>, bytes: Vec<u8>) -> Result<Arc<KeySet>, KeysError> {
    let parsed =
        tasks::blocking("keys of an issuer", Arc::clone(&place), move || KeySet::parse(&bytes)).await;
    let keys = parsed.ok_or(KeysError::Panicked)?;
    keys.map(Arc::new).map_err(|why| KeysError::BadKeys { place, why })
}
