//! The claim of a pool that starves at a shared cap on a server of this one.

use super::PoolShare;
use crate::base::Micros;
use crate::base::sync::Ordering;
use crate::core::conn::CloseReason;
use crate::core::pool::claim::{Claim, goes_before};
use std::sync::Arc;

impl PoolShare {
    /// Whether a client of another pool claims a server of this one: looked at whenever one is free.
    #[inline]
    pub fn is_claimed(&self) -> bool {
        self.is_claimed.load(Ordering::Relaxed)
    }

    /// That claim.
    pub(in crate::core) fn claim(&self) -> Option<Arc<Claim>> {
        self.claim.load_full()
    }

    /// Why the free server at hand, which is connected to `endpoint`, is to be closed for another pool's
    /// client, if it is. Says so once for each claim.
    #[cold]
    pub(in crate::core) fn yields_server(&self, endpoint: &Arc<str>, now: Micros) -> Option<CloseReason> {
        let claim = self.claim().filter(|claim| self.has_in(claim.scope(), endpoint))?;
        let first_here = self.oldest_waiter().map_or(now, |(_, since)| since);
        (goes_before(claim.since(), first_here) && claim.take()).then(|| claim.scope().eviction())
    }

    /// Set by the ledger.
    pub(in crate::core) fn set_claim(&self, claim: Option<Arc<Claim>>) {
        self.is_claimed.store(claim.is_some(), Ordering::Relaxed);
        self.claim.store(claim);
    }
}
