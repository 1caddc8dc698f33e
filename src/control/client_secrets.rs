//! Secrets that others keep and that clients are proven by: whose counts for which client, and which users
//! they have named.
//!
//! Logins look here; the room `servers` says what there is, and fetches. Starts no task, waits for those of
//! others only. A user's own secret is all that counts for it; after it comes auth_file, after that the
//! database's or else the settings' list, at last auth_query. Invariant: what clients make us ask of others
//! is within the budgets of [`Allowance`], and none waits longer than
//! [`limits::CLIENT_SECRET_PATIENCE_MS`].

mod named_users;

use crate::auth::Secret;
use crate::base::limits;
use crate::config::{CONSOLE_DATABASE, Snapshot};
use crate::secrets::{Allowance, Budget, KeptSecret, Version};
use arc_swap::ArcSwap;
use named_users::NamedUsers;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The longest that a client waits for a secret.
const PATIENCE: Duration = Duration::from_millis(limits::CLIENT_SECRET_PATIENCE_MS);

/// Which secret is kept for whom.
#[derive(Default)]
pub struct SecretsOfClients {
    /// By user: those of `[users]`.
    pub users: HashMap<Arc<str>, Arc<KeptSecret>>,
    /// By database: those of `[databases]`.
    pub databases: HashMap<Arc<str>, Arc<KeptSecret>>,
    /// That of the entry `*`.
    pub fallback: Option<Arc<KeptSecret>>,
    /// That of the settings.
    pub all: Option<Arc<KeptSecret>>,
    /// Each of these has answered once; stays so.
    have_answered: AtomicBool,
    /// Each of these is known; stays so.
    are_known: AtomicBool,
}

impl SecretsOfClients {
    /// Whether nobody is proven by any.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.databases.is_empty() && self.fallback.is_none() && self.all.is_none()
    }

    /// Each with the user whose own it is; one that stands at several places comes several times.
    fn each(&self) -> impl Iterator<Item = (Option<&Arc<str>>, &Arc<KeptSecret>)> {
        let of_users = self.users.iter().map(|(user, secret)| (Some(user), secret));
        let lists = self.databases.values().chain(&self.fallback).chain(&self.all);
        of_users.chain(lists.map(|secret| (None, secret)))
    }

    /// The secret that alone proves this user.
    pub fn own(&self, user: &str) -> Option<&Arc<KeptSecret>> {
        self.users.get(user)
    }

    /// The list of users for clients of `database`, which may be the console's.
    pub fn list(&self, snapshot: &Snapshot, database: &str) -> Option<&Arc<KeptSecret>> {
        let has_entry = || database == CONSOLE_DATABASE || snapshot.databases.contains_key(database);
        let of_database = self.databases.get(database);
        let of_fallback = || self.fallback.as_ref().filter(|_| !has_entry());
        of_database.or_else(of_fallback).or(self.all.as_ref())
    }

    /// Every user that any of them names now, with what proves it.
    pub fn known(&self) -> Vec<(Arc<str>, Arc<Secret>)> {
        let mut known = Vec::new();
        for (owner, secret) in self.each() {
            let names: BTreeSet<_> = match owner {
                Some(owner) => BTreeSet::from([Arc::clone(owner)]),
                None => {
                    let versions: Vec<_> = secret.versions().collect();
                    let users = versions.iter().filter_map(|version| version.content.users());
                    users.flat_map(|users| users.named()).map(|(name, _)| Arc::clone(name)).collect()
                }
            };
            for name in names {
                known.extend(secret.proofs(&name).into_iter().map(|proof| (Arc::clone(&name), proof)));
            }
        }
        known
    }

    /// Which state [`Self::known`] would tell: another number, another answer.
    pub fn stamp(&self) -> u64 {
        self.each().next().map_or(0, |(_, secret)| secret.changes())
    }

    /// Whether one of them is not known: who is not proven may be right all the same.
    pub fn lacks_any(&self) -> bool {
        if self.are_known.load(Ordering::Relaxed) {
            return false;
        }
        let lacks = self.each().any(|(_, secret)| secret.current().is_none());
        self.are_known.store(!lacks, Ordering::Relaxed);
        lacks
    }

    /// Whether one of them was not asked for yet: for a while after the start, or after a reload.
    pub fn is_awaited(&self) -> bool {
        if self.have_answered.load(Ordering::Relaxed) {
            return false;
        }
        let is_awaited = self.each().any(|(_, secret)| !secret.has_answered());
        self.have_answered.store(!is_awaited, Ordering::Relaxed);
        is_awaited
    }

    /// Waits until each of them is known or could not be fetched: whoever the client says it is, so that the
    /// wait tells nobody who exists.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn first(&self) {
        let until = Instant::now() + PATIENCE;
        for (_, secret) in self.each() {
            secret.first(until.duration_since(Instant::now())).await;
        }
    }
}

/// What is kept of clients' secrets for as long as the process lives.
pub struct ClientSecrets {
    current: ArcSwap<SecretsOfClients>,
    /// Fetches that clients may cause, of all secrets together.
    budget: Mutex<Budget>,
    /// Told when users may have come or gone.
    changed: Notify,
    /// Told when it is settled who is gone.
    settled: Notify,
    named: Mutex<NamedUsers>,
    /// Chooses what is asked for those who do not exist.
    chance: RandomState,
}

impl Default for ClientSecrets {
    fn default() -> Self {
        Self {
            current: ArcSwap::default(),
            budget: Mutex::new(Budget::new(Allowance::OF_ALL_CLIENTS, Instant::now())),
            changed: Notify::new(),
            settled: Notify::new(),
            named: Mutex::default(),
            chance: RandomState::new(),
        }
    }
}

/// What a client's answer is held against: if it does not fit, something newer may be there.
#[derive(Clone)]
pub struct Checked {
    /// The secret that may name its user.
    pub secret: Arc<KeptSecret>,
    version: Option<Arc<Version>>,
}

impl Checked {
    /// As it is now.
    pub fn now(secret: &Arc<KeptSecret>) -> Self {
        Self { secret: Arc::clone(secret), version: secret.current() }
    }
}

impl ClientSecrets {
    /// What there is now.
    pub fn current(&self) -> Arc<SecretsOfClients> {
        self.current.load_full()
    }

    /// From now on these count.
    pub fn adopt(&self, secrets: SecretsOfClients) {
        self.current.store(Arc::new(secrets));
        self.tell_changed();
    }

    /// A secret has another version.
    pub fn tell_changed(&self) {
        self.changed.notify_one();
    }

    /// Ends when users may have come or gone, perhaps since before it was called. For one caller.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// It is settled who is gone.
    pub(super) fn tell_settled(&self) {
        self.settled.notify_waiters();
    }

    /// Waits until `is_settled`, which is looked at each time that it is settled who is gone.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn until_settled(&self, is_settled: impl Fn() -> bool) {
        let settling = async {
            loop {
                let settled = self.settled.notified();
                if is_settled() {
                    return;
                }
                settled.await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, settling).await;
    }

    /// The client has proven something else than `checked` says: waits until what there is now has been
    /// fetched, if it may be. Where no secret says anything of `user` another one is fetched in its place, so
    /// that a refusal takes as long whoever is refused.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn look_again(&self, secrets: &SecretsOfClients, user: &str, checked: Option<&Checked>) {
        let stand_in = || {
            let at = self.chance.hash_one(user) % secrets.each().count().max(1) as u64;
            let (_, secret) = secrets.each().nth(at as usize)?;
            Some(Checked::now(secret))
        };
        let own = checked.cloned();
        let Some(Checked { secret, version }) = own.or_else(stand_in) else { return };
        let may_ask = |now| self.budget.lock().unwrap_or_else(PoisonError::into_inner).take(now);
        secret.mistaken(version.as_deref(), PATIENCE, may_ask).await;
    }

    /// The users that secrets name now, and those that they named when this was asked for last.
    pub(super) fn named(&self) -> [BTreeSet<Arc<str>>; 2] {
        let current = self.current();
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let before = named.all();
        named.update(current.each());
        [named.all(), before]
    }
}

#[cfg(test)]
mod tests;
