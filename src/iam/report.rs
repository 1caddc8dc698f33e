//! What operators see of a source of credentials. Never holds a secret: of a key the end of its id.

use super::credentials::CredentialState;
use super::failure::{FetchError, Reason};
use super::source::SourceKind;
use crate::stats::Ages;
use std::sync::Arc;
use std::time::SystemTime;

/// What SHOW IAM and the metrics tell of a source.
#[derive(Clone, Debug)]
pub struct SourceReport {
    /// How its credentials stand.
    pub state: CredentialState,
    /// What gave them; of `default`, the one of its chain that did.
    pub via: Option<SourceKind>,
    /// The ARN that they belong to, once it is known.
    pub principal: Option<Arc<str>>,
    /// Why the principal is not known, where AWS was asked.
    pub unidentified: Option<FetchError>,
    /// The end of the access key's id.
    pub key_tail: Option<String>,
    /// When they expire; `None` also if they do not.
    pub expires_at: Option<SystemTime>,
    /// The last fetch that went well.
    pub refreshed_at: Option<SystemTime>,
    /// When the next fetch begins; `None` while one is under way.
    pub next_refresh_at: Option<SystemTime>,
    /// The failure of the last fetch, and since when all have failed.
    pub failure: Option<(FetchError, SystemTime)>,
    /// Fetches that went well.
    pub loads: u64,
    /// Fetches that failed, by reason, in the order of [`Reason::ALL`].
    pub failures: [u64; Reason::ALL.len()],
    /// How old the tokens that it has signed were as they were sent.
    pub token_age: Ages,
}

impl SourceReport {
    /// `refresh_total` by (result, reason).
    pub fn refreshes(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let failed = Reason::ALL.into_iter().zip(self.failures);
        std::iter::once(("ok", "", self.loads))
            .chain(failed.map(|(reason, count)| ("failed", reason.name(), count)))
    }
}
