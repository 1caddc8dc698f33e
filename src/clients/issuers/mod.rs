//! Issuers of tokens: their keys, kept fresh in the background, and what is counted of each.
//!
//! The rules that tokens are judged by are the policy's; here is what lasts longer than one: keys, counts.
//! Never on a query's path.

mod discovery;
mod fetch;
mod keeper;
mod report;
mod schedule;

pub(crate) use keeper::{Keeper, NoKeys};
pub(crate) use report::IssuerReport;

use crate::config::IssuerEntry;
use crate::control::Policy;
use crate::io::Clock;
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One issuer: its keys, and how logins by its tokens ended.
pub(crate) struct Issuer {
    /// Its keys.
    pub keeper: Arc<Keeper>,
    /// Counts that outlast a change of the entry.
    pub logins: Arc<TokenLogins>,
}

/// How logins by tokens of one issuer ended.
#[derive(Debug, Default)]
pub(crate) struct TokenLogins {
    accepted: AtomicU64,
    refused: AtomicU64,
}

impl TokenLogins {
    /// One more.
    pub(crate) fn count(&self, is_accepted: bool) {
        let count = if is_accepted { &self.accepted } else { &self.refused };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// The issuers of the policy in force, by the names of their entries.
pub(crate) struct Issuers {
    clock: Clock,
    all: ArcSwap<BTreeMap<Arc<str>, Issuer>>,
}

impl Issuers {
    /// None yet.
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, all: ArcSwap::default() }
    }

    /// Starts to keep the keys of those that `policy` names, and ends to keep those of others. Whose entry
    /// says the same of its keys keeps them. Within the runtime, one call at a time.
    pub(crate) fn adopt(&self, policy: &Policy) {
        let before = self.all.load();
        let of = |(name, entry): (&Arc<str>, &IssuerEntry)| {
            let known = before.get(name);
            let keeper = match known.filter(|known| known.keeper.is_for(entry)) {
                Some(known) => {
                    known.keeper.reload();
                    Arc::clone(&known.keeper)
                }
                None => Arc::new(Keeper::start(Arc::clone(name), entry.clone(), self.clock)),
            };
            let logins = known.map_or_else(Arc::default, |known| Arc::clone(&known.logins));
            (Arc::clone(name), Issuer { keeper, logins })
        };
        let next =
            policy.tokens.issuers.iter().map(|issuer| of((&issuer.rules.name, &issuer.entry))).collect();
        self.all.store(Arc::new(next));
    }

    /// The keys of an issuer, and its counts. `None`: it is no longer there.
    pub(crate) fn named(&self, name: &str) -> Option<(Arc<Keeper>, Arc<TokenLogins>)> {
        let all = self.all.load();
        all.get(name).map(|issuer| (Arc::clone(&issuer.keeper), Arc::clone(&issuer.logins)))
    }
}
