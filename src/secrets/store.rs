//! The secrets in use: one of each key, however many pools and entries name it.
//!
//! Starts what is named, forgets what nobody names any more. Never fetches itself.

use super::fetch::Fetch;
use super::keeper::{Common, KeptSecret};
use super::key::SecretKey;
use crate::audit::Audit;
use crate::iam::SystemClock;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The secrets in use.
#[derive(Default)]
pub struct Secrets {
    by_key: Mutex<HashMap<SecretKey, Arc<KeptSecret>>>,
    common: Arc<Common>,
}

impl Secrets {
    /// None yet; `audit` is told of each version, and of fetches that fail.
    pub fn recording_to(audit: Arc<Audit>) -> Self {
        Self { common: Arc::new(Common { audit: Some(audit), ..Common::default() }), ..Self::default() }
    }

    /// The secret of `key`; the first call starts its task, which fetches by what `make` makes. Call it
    /// within a tokio runtime.
    pub fn kept(&self, key: &SecretKey, make: impl FnOnce() -> Arc<dyn Fetch>) -> Arc<KeptSecret> {
        let mut by_key = self.by_key();
        if let Some(known) = by_key.get(key) {
            return Arc::clone(known);
        }
        let new =
            Arc::new(KeptSecret::start(key.clone(), make(), Arc::clone(&self.common), Arc::new(SystemClock)));
        by_key.insert(key.clone(), Arc::clone(&new));
        new
    }

    /// The secret of `key`, if it is in use.
    pub fn known(&self, key: &SecretKey) -> Option<Arc<KeptSecret>> {
        self.by_key().get(key).map(Arc::clone)
    }

    /// Every secret in use, in the order of SHOW SECRETS.
    pub fn all(&self) -> Vec<Arc<KeptSecret>> {
        let mut all: Vec<_> = self.by_key().values().map(Arc::clone).collect();
        all.sort_by_cached_key(|secret| (secret.key().to_string(), secret.key().purpose.name()));
        all
    }

    /// Forgets the secrets that `wanted` does not hold for: after a reload. Their tasks end when nobody holds
    /// them any more.
    pub fn retain(&self, wanted: impl Fn(&SecretKey) -> bool) {
        self.by_key().retain(|key, _| wanted(key));
    }

    /// Ends when a secret has another version, perhaps since before it was called. For one caller.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn changed(&self) {
        self.common.changed.notified().await;
    }

    /// Fetches that went well, and those that did not.
    pub fn fetches(&self) -> [u64; 2] {
        self.common.fetches.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    fn by_key(&self) -> MutexGuard<'_, HashMap<SecretKey, Arc<KeptSecret>>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
