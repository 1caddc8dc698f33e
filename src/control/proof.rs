//! What the next login to a server of a pool would send, and whether that is something
//! else than the last one did.

use super::last_failure::Sent;
use super::plane::Plane;
use super::policy::Policy;
use super::pool_entry::PoolEntry;
use super::server_secrets::Stored;
use crate::auth::Secret;
use crate::config::Database;
use crate::secrets::KeptSecret;
use std::sync::Arc;

impl Plane {
    /// `password=` of the entry, else what proves clients who are that user: a secret of its own, auth_file,
    /// a list, what authenticated the client.
    /// `None` = nothing is known.
    pub fn stored(&self, policy: &Policy, entry: &PoolEntry, config: &Database) -> Option<Stored> {
        let (database, user) = (&entry.share.database.name, &entry.share.user);
        let of_entry = (!config.password.is_empty() && entry.is_forced())
            .then(|| Arc::new(Secret::parse(config.password.expose())));
        let secret = of_entry.or_else(|| self.of_user(policy, database, user))?;
        let keys = self.secrets.keys(user, &secret);
        Some(Stored { secret, keys })
    }

    fn of_user(&self, policy: &Policy, database: &str, user: &str) -> Option<Arc<Secret>> {
        let is_plain = |secret: &Secret| matches!(secret, Secret::Plain(_));
        let kept = self.client_secrets.current();
        let proof = |secret: &Arc<KeptSecret>| secret.proofs(user).into_iter().next();
        let own = kept.own(user).and_then(proof);
        let of_file = || policy.users.secret(user).filter(|secret| !secret.is_empty()).cloned();
        let of_list = || kept.list(&policy.snapshot, database).and_then(proof);
        let of_file = own.or_else(of_file).or_else(of_list).filter(|secret| !secret.is_empty());
        let found = self.secrets.found(database, user);
        match (of_file, found) {
            // a hash may not prove what the server asks for; what a directory or PAM has taken does
            (Some(hash), Some(password))
                if is_plain(&password) && !is_plain(&hash) && self.secrets.keys(user, &hash).is_none() =>
            {
                Some(password)
            }
            (of_file, found) => of_file.or(found),
        }
    }

    /// What a login to a server of `entry` would send.
    pub fn would_send(&self, policy: &Policy, entry: &PoolEntry) -> Sent {
        let (config, secret) = (entry.config.load_full(), entry.secret.load_full());
        let version = secret.as_ref().and_then(|secret| Some(Arc::clone(&secret.next(&[])?.version.id)));
        let stored = if secret.is_some() { None } else { self.stored(policy, entry, &config) };
        Sent { stored, version, config }
    }

    /// Whether the next login of a pool whose logins fail would send something else than the last
    /// one: then it need not wait.
    pub fn ends_pause_for_change(&self, entry: &PoolEntry) -> bool {
        let policy = self.policy.load();
        let ends = entry.last_failure.end_for_change(|| self.would_send(&policy, entry));
        if ends {
            self.places.forget_failure(&entry.share);
        }
        ends
    }
}
