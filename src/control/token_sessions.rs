//! The sessions that were let in by a token, from the end of the proof to the end of the session, and what a
//! reload finds about them.
//!
//! A short lock for each such login and its end; a pass over all takes them some at a time. Sessions with the
//! same token share its claims. Invariant: whoever is let in by a policy that is not in force any more is
//! either here when the newer one's pass comes by, or is told so by [`TokenSessions::hold`]'s caller, who
//! looks behind it.

use super::grounds::Grounds;
use crate::base::limits;
use crate::identity::KeptClaims;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All of them.
#[derive(Clone, Default)]
pub(crate) struct TokenSessions(Arc<Shared>);

#[derive(Default)]
struct Shared {
    table: Mutex<Table>,
    has_lapsed: AtomicBool,
}

#[derive(Default)]
struct Table {
    /// By socket id.
    sessions: BTreeMap<u64, Arc<Grounds>>,
    /// How many of them have these claims.
    claims: BTreeMap<KeptClaims, usize>,
}

impl Table {
    fn enter(&mut self, mut grounds: Grounds) -> Arc<Grounds> {
        if let Some((shared, _)) = self.claims.get_key_value(&grounds.claims) {
            grounds.claims = shared.clone();
        }
        *self.claims.entry(grounds.claims.clone()).or_default() += 1;
        let grounds = Arc::new(grounds);
        self.sessions.insert(grounds.socket_id, Arc::clone(&grounds));
        grounds
    }

    fn leave(&mut self, socket_id: u64) {
        let Some(grounds) = self.sessions.remove(&socket_id) else { return };
        let Some(count) = self.claims.get_mut(&grounds.claims) else { return };
        *count -= 1;
        if *count == 0 {
            self.claims.remove(&grounds.claims);
        }
    }
}

/// One of them; it is no more when this is dropped.
pub(crate) struct SessionHold {
    sessions: TokenSessions,
    grounds: Arc<Grounds>,
}

impl SessionHold {
    /// On what it stands.
    pub(crate) fn grounds(&self) -> &Arc<Grounds> {
        &self.grounds
    }
}

impl Drop for SessionHold {
    fn drop(&mut self) {
        self.sessions.table().leave(self.grounds.socket_id);
    }
}

impl TokenSessions {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody has proven who he is by a token. From now on passes come by; one that has done so already is
    /// the caller's to notice.
    pub(crate) fn hold(&self, grounds: Grounds) -> SessionHold {
        let grounds = self.table().enter(grounds);
        SessionHold { sessions: self.clone(), grounds }
    }

    /// How many sessions there are, and how many claims they have.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        let table = self.table();
        (table.sessions.len(), table.claims.len())
    }

    /// Whether any session has lost its grounds yet.
    pub(super) fn has_lapsed(&self) -> bool {
        self.0.has_lapsed.load(Ordering::Acquire)
    }

    /// One has.
    pub(super) fn has_lost_one(&self) {
        self.0.has_lapsed.store(true, Ordering::Release);
    }

    /// Some of them, by their numbers, behind `last`.
    pub(super) fn behind(&self, last: u64) -> Vec<Arc<Grounds>> {
        let table = self.table();
        let behind = table.sessions.range((Bound::Excluded(last), Bound::Unbounded));
        behind.take(limits::JUDGED_TOKENS_MAX).map(|(_, grounds)| Arc::clone(grounds)).collect()
    }
}
