//! The secrets that servers are logged in to with: the order of their sources, and what
//! clients' logins have taught.
//!
//! Kept in memory only, never shown. Source: PgBouncer, doc/config.md (`auth_query`, "Authentication file
//! format").

use super::bounded_cache::{BoundedCache, Weight};
use crate::auth::{ScramKeys, Secret};
use crate::base::limits;
use std::sync::Arc;

/// What is stored of a password.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The password, or a verifier of it.
    pub secret: Arc<Secret>,
    /// Keys that a client of ours has proven to hold; of use only where `secret` is a SCRAM verifier.
    pub keys: Option<ScramKeys>,
}

/// (database entry, user).
type Account = (Arc<str>, Arc<str>);

/// What clients' logins have taught, to be used for logins to servers. What is forgotten comes again with the
/// next login.
pub struct ServerSecrets {
    /// Secrets that authenticated clients (auth_query's answers), by database entry and user.
    found: BoundedCache<Account, Found>,
    /// Keys proven by clients' SCRAM logins, by user.
    keys: BoundedCache<Arc<str>, Proven>,
}

impl Default for ServerSecrets {
    fn default() -> Self {
        let (entries, bytes) = (limits::FOUND_SECRETS_MAX, limits::FOUND_SECRETS_BYTES_MAX);
        Self { found: BoundedCache::new(entries, bytes), keys: BoundedCache::new(entries, bytes) }
    }
}

/// The last answer.
#[derive(Default)]
struct Found(Option<Arc<Secret>>);

impl Weight for Found {
    fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |secret| secret.bytes())
    }
}

/// Keys, each with the verifier that they were proven against.
#[derive(Default)]
struct Proven(Vec<(Arc<Secret>, ScramKeys)>);

impl Weight for Proven {
    fn bytes(&self) -> usize {
        self.0.iter().map(|(verifier, _)| size_of::<(Arc<Secret>, ScramKeys)>() + verifier.bytes()).sum()
    }
}

/// Verifiers of one user name whose keys are kept: the same name may have another secret in each database.
const VERIFIERS_MAX: usize = 16;

impl ServerSecrets {
    /// `secret` is what auth_query says of `user` for clients of `database`.
    pub fn learn(&self, database: &str, user: &str, secret: Arc<Secret>) {
        self.found.change((database.into(), user.into()), |found| found.0 = Some(secret));
    }

    /// What authenticated clients of `user` in `database` last.
    pub fn found(&self, database: &str, user: &str) -> Option<Arc<Secret>> {
        self.found.get(&(database.into(), user.into()), |found| found.0.clone()).flatten()
    }

    /// A client has logged in by SCRAM against the verifier `secret`, and shown that it holds `keys`.
    pub fn learn_keys(&self, user: &str, secret: &Arc<Secret>, keys: ScramKeys) {
        let is_newest = |Proven(kept): &Proven| kept.last().is_some_and(|(of, _)| Arc::ptr_eq(of, secret));
        if self.keys.get(&user.into(), is_newest) == Some(true) {
            return; // a verifier has one pair of keys
        }
        self.keys.change(user.into(), |Proven(kept)| {
            kept.retain(|(of, _)| of != secret);
            if kept.len() == VERIFIERS_MAX {
                kept.remove(0);
            }
            kept.push((Arc::clone(secret), keys));
        });
    }

    pub(super) fn keys(&self, user: &str, secret: &Secret) -> Option<ScramKeys> {
        let find =
            |Proven(kept): &Proven| kept.iter().find(|(of, _)| **of == *secret).map(|(_, keys)| keys.clone());
        self.keys.get(&user.into(), find).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::scram::derive_keys;

    #[test]
    fn keys_are_good_for_their_verifier_only() {
        let secrets = ServerSecrets::default();
        let verifier = |salt: &[u8]| {
            Arc::new(Secret::Scram(Arc::new(crate::auth::ScramSecret::derive(b"pencil", salt, 1))))
        };
        let (one, other) = (verifier(b"one"), verifier(b"other"));
        secrets.learn_keys("u", &one, derive_keys(b"pencil", b"one", 1));
        assert!(secrets.keys("u", &one).is_some());
        assert!(secrets.keys("u", &other).is_none() && secrets.keys("v", &one).is_none());
        for salt in 0..VERIFIERS_MAX as u8 {
            secrets.learn_keys("u", &verifier(&[salt]), derive_keys(b"pencil", &[salt], 1));
        }
        assert!(secrets.keys("u", &one).is_none(), "the oldest goes first");
    }

    #[test]
    fn long_secrets_are_kept_within_their_bytes() {
        let secrets = ServerSecrets::default();
        let long = "x".repeat(limits::AUTH_QUERY_MESSAGE_BYTES_MAX as usize);
        let keys = derive_keys(b"pencil", b"salt", 1);
        let fit = limits::FOUND_SECRETS_BYTES_MAX / long.len();
        let users: Vec<_> = (0..2 * fit).map(|number| number.to_string()).collect();
        for user in &users {
            let secret = Arc::new(Secret::parse(&long));
            secrets.learn("db", user, Arc::clone(&secret));
            secrets.learn_keys(user, &secret, keys.clone());
            assert!(secrets.found("db", user).is_some() && secrets.keys(user, &secret).is_some());
        }
        let kept = users.iter().filter(|user| secrets.found("db", user).is_some()).count();
        assert!(kept >= fit / 2 && kept <= fit, "{kept} of {fit}");
    }

    #[test]
    fn what_auth_query_said_is_kept_per_database() {
        let secrets = ServerSecrets::default();
        secrets.learn("db", "u", Arc::new(Secret::parse("x")));
        assert!(secrets.found("db", "u").is_some());
        assert!(secrets.found("other", "u").is_none() && secrets.found("db", "v").is_none());
    }
}
