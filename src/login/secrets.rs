//! What servers are logged in to with: the order of sources, and what clients' logins have taught.
//!
//! Kept in memory only, never shown. Source: PgBouncer, doc/config.md (`auth_query`, "Authentication file
//! format").

use super::credential::{Credential, Stored};
use super::iam::{NoToken, Signer};
use super::plane::{Plane, Policy};
use super::registry::PoolEntry;
use crate::auth::{ScramKeys, Secret};
use crate::base::limits;
use crate::config::Database;
use dashmap::DashMap;
use std::hash::Hash;
use std::sync::Arc;

/// (database entry, user).
type Account = (Arc<str>, Arc<str>);

/// What clients' logins have taught, to be used for logins to servers.
#[derive(Default)]
pub struct ServerSecrets {
    /// Secrets that authenticated clients (auth_query's answers), by database entry and user.
    found: DashMap<Account, Arc<Secret>>,
    /// Keys proven by clients' SCRAM logins, by user, with the verifier that they were proven against.
    keys: DashMap<Arc<str>, Vec<(Arc<Secret>, ScramKeys)>>,
}

/// Verifiers of one user name whose keys are kept: the same name may have another secret in each database.
const VERIFIERS_MAX: usize = 16;

impl ServerSecrets {
    /// `secret` is what auth_query says of `user` for clients of `database`.
    pub fn learn(&self, database: &str, user: &str, secret: Arc<Secret>) {
        forget_one_of(&self.found);
        self.found.insert((database.into(), user.into()), secret);
    }

    /// What authenticated clients of `user` in `database` last.
    pub fn found(&self, database: &str, user: &str) -> Option<Arc<Secret>> {
        self.found.get(&(database.into(), user.into())).map(|entry| Arc::clone(entry.value()))
    }

    /// A client has logged in by SCRAM against the verifier `secret`, and shown that it holds `keys`.
    pub fn learn_keys(&self, user: &str, secret: &Arc<Secret>, keys: ScramKeys) {
        if !self.keys.contains_key(user) {
            forget_one_of(&self.keys);
        }
        let mut kept = self.keys.entry(user.into()).or_default();
        kept.retain(|(of, _)| of != secret);
        if kept.len() == VERIFIERS_MAX {
            kept.remove(0);
        }
        kept.push((Arc::clone(secret), keys));
    }

    fn keys(&self, user: &str, secret: &Secret) -> Option<ScramKeys> {
        let kept = self.keys.get(user)?;
        kept.iter().find(|(of, _)| **of == *secret).map(|(_, keys)| keys.clone())
    }
}

/// Makes room for one more where the bound is reached: whoever loses something brings it again with the next login.
fn forget_one_of<K: Clone + Eq + Hash, V>(kept: &DashMap<K, V>) {
    if kept.len() >= limits::FOUND_SECRETS_MAX {
        let any = kept.iter().next().map(|entry| entry.key().clone());
        any.map(|key| kept.remove(&key));
    }
}

impl Plane {
    /// What proves the pool's user to its servers: a token of `signer` where logins are by IAM, and then nothing else; else
    /// `password=` of the entry, else auth_file, else what authenticated the client. `None` = nothing is known.
    ///
    /// # Errors
    /// Why there is no token.
    pub(super) fn credential(
        &self,
        policy: &Policy,
        entry: &PoolEntry,
        config: &Database,
        signer: Option<&Signer>,
    ) -> Result<Option<Credential>, NoToken> {
        let user = &entry.share.user;
        match signer {
            Some(signer) => signer.mint(user).map(|proof| Some(Credential::Token(proof))),
            None => Ok(self.stored(policy, entry, config).map(Credential::Stored)),
        }
    }

    pub(super) fn stored(&self, policy: &Policy, entry: &PoolEntry, config: &Database) -> Option<Stored> {
        let (database, user) = (&entry.share.database.name, &entry.share.user);
        let of_entry = (!config.password.is_empty() && entry.is_forced())
            .then(|| Arc::new(Secret::parse(config.password.expose())));
        let of_file = || policy.users.secret(user).filter(|secret| !secret.is_empty()).cloned();
        let secret = of_entry.or_else(of_file).or_else(|| self.secrets.found(database, user))?;
        let keys = self.secrets.keys(user, &secret);
        Some(Stored { secret, keys })
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
    fn so_many_are_kept_and_no_more() {
        let secrets = ServerSecrets::default();
        let none = Arc::new(Secret::none());
        let keys = derive_keys(b"pencil", b"salt", 1);
        for number in 0..limits::FOUND_SECRETS_MAX + 3 {
            let user = number.to_string();
            secrets.learn("db", &user, Arc::clone(&none));
            secrets.learn_keys(&user, &none, keys.clone());
        }
        assert_eq!(secrets.found.len(), limits::FOUND_SECRETS_MAX);
        assert_eq!(secrets.keys.len(), limits::FOUND_SECRETS_MAX);
        let last = (limits::FOUND_SECRETS_MAX + 2).to_string();
        assert!(secrets.found("db", &last).is_some() && secrets.keys(&last, &none).is_some());
    }

    #[test]
    fn what_auth_query_said_is_kept_per_database() {
        let secrets = ServerSecrets::default();
        secrets.learn("db", "u", Arc::new(Secret::parse("x")));
        assert!(secrets.found("db", "u").is_some());
        assert!(secrets.found("other", "u").is_none() && secrets.found("db", "v").is_none());
    }
}
