//! The sources in use: one of each key, however many entries name it, and one that all the roles on it share.
//!
//! Starts what an entry names, forgets what none does any more. Never fetches itself:
//! that is [`super::keeper`]'s.

use super::aws_source::AwsSource;
use super::clock::WallClock;
use super::endpoint::Region;
use super::http::Http;
use super::keeper::{Common, Source, StaticStability};
use super::secrets_manager::SecretsApi;
use super::skew::Skew;
use super::source::SourceKey;
use crate::audit::Audit;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::Notify;

/// The sources in use.
pub struct Sources {
    http: Http,
    skew: Skew,
    common: Common,
    by_key: Mutex<HashMap<SourceKey, Arc<Source>>>,
    /// Those whose credentials assume roles, whether or not an entry names them, too.
    bases: Mutex<HashMap<SourceKey, Weak<Source>>>,
}

impl Sources {
    /// No source yet; nothing is called before one is asked for.
    pub fn new(clock: Arc<dyn WallClock>, stability: StaticStability) -> Self {
        let skew = Skew::default();
        let http = Http::telling(skew.clone());
        let common = Common { clock, stability, arrived: Arc::default(), pace: Arc::default(), audit: None };
        Self { http, skew, common, by_key: Mutex::default(), bases: Mutex::default() }
    }

    /// Has `arrived` notified whenever a source without usable credentials has got some.
    #[must_use]
    pub fn announcing_to(self, arrived: Arc<Notify>) -> Self {
        Self { common: Common { arrived, ..self.common.clone() }, ..self }
    }

    /// Has `audit` told of each fetch.
    #[must_use]
    pub fn recording_to(self, audit: Option<Arc<Audit>>) -> Self {
        Self { common: Common { audit, ..self.common.clone() }, ..self }
    }

    /// The source of `key`; the first call starts its task and with it the first fetch. `near` is a region of
    /// its databases. Call it within a tokio runtime.
    pub fn source(&self, key: &SourceKey, near: &Region) -> Arc<Source> {
        if let Some(known) = self.known(key) {
            return known;
        }
        let source = match key.base() {
            Some(base) => Arc::new(self.start(key, near, Some(self.base(&base, near)))),
            None => self.base(key, near),
        };
        source.show();
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(by_key.entry(key.clone()).or_insert(source))
    }

    /// A source without a role, which lives as long as somebody holds it.
    fn base(&self, key: &SourceKey, near: &Region) -> Arc<Source> {
        let mut bases = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = bases.get(key).and_then(Weak::upgrade) {
            return known;
        }
        bases.retain(|_, source| source.strong_count() > 0);
        let new = Arc::new(self.start(key, near, None));
        bases.insert(key.clone(), Arc::downgrade(&new));
        new
    }

    fn start(&self, key: &SourceKey, near: &Region, base: Option<Arc<Source>>) -> Source {
        let clock = Arc::clone(&self.common.clock);
        let fetch = AwsSource::new(key.clone(), near.clone(), clock, self.http.clone()).on(base.clone());
        Source::start_with(key.clone(), Arc::new(fetch), base, self.common.clone())
    }

    /// Secrets Manager of `region`, called by the source of `key`. Call it within a tokio runtime.
    pub fn secrets_manager(&self, key: &SourceKey, region: &Region) -> SecretsApi {
        SecretsApi {
            region: region.clone(),
            source: self.source(key, region),
            clock: Arc::clone(&self.common.clock),
            http: self.http.clone(),
        }
    }

    /// The source of `key`, if it is in use.
    pub fn known(&self, key: &SourceKey) -> Option<Arc<Source>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner).get(key).map(Arc::clone)
    }

    /// Every source, in the order of SHOW IAM.
    pub fn all(&self) -> Vec<Arc<Source>> {
        let by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = by_key.values().map(Arc::clone).collect();
        all.sort_by_cached_key(|source| source.key().to_string());
        all
    }

    /// How far our clock is from AWS's, as far as its answers told.
    pub fn skew(&self) -> &Skew {
        &self.skew
    }

    /// Forgets the sources that `wanted` does not hold for: after a reload. Their tasks end when nobody holds
    /// them any more.
    pub fn retain(&self, wanted: impl Fn(&SourceKey) -> bool) {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| wanted(key));
    }
}
