//! What the next login to a server of a pool would send, and whether that is something
//! else than the last one did.

use super::last_failure::Sent;
use super::plane::Plane;
use super::policy::Policy;
use super::pool_entry::PoolEntry;
use super::server_secrets::Stored;
use crate::auth::Secret;
use crate::config::{Database, ServerAuth};
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
        let config = entry.config.load_full();
        let auth = policy.snapshot.server_auth(&config, &entry.share.user);
        let kept = entry.secret.load();
        let secret = kept.as_ref().map(|secret| {
            let names = secret.next(&[]).map(|choice| choice.names());
            (secret.kept.key().clone(), names)
        });
        // a token is of none of these, nor is a secret that others keep
        let by_stored = auth == ServerAuth::Password;
        let stored = if by_stored { self.stored(policy, entry, &config) } else { None };
        Sent { config, auth, stored, secret }
    }

    /// Whether the next login of a pool whose logins fail would send something else than the last
    /// one: then it need not wait.
    pub fn ends_pause_for_change(&self, entry: &PoolEntry) -> bool {
        let policy = self.policy.load();
        let ends = entry.end_for_change(|| self.would_send(&policy, entry));
        if ends {
            self.forget_failures(entry);
        }
        ends
    }

    /// The servers of `entry` answer, as something else than a login has shown: the next login need not wait
    /// for its retry. Where logins by a secret or by IAM are put off, it is not for want of an answer.
    pub fn endpoint_answers(&self, entry: &PoolEntry) {
        if !entry.is_put_off() {
            self.places.forget_failure(&entry.share);
        }
    }

    /// The one door by which all goes that failed logins of `entry` have left: why they fail, what stands in
    /// their way, what clients are answered meanwhile, and the pause. For what has made that untrue, whatever
    /// it was: a reload, an order, another version of a secret.
    pub fn forget_failures(&self, entry: &PoolEntry) {
        self.places.forget_failure(&entry.share);
        // in this order, so that nobody takes a failure for a denial (`PoolShare::refusal`)
        entry.forget_failures();
    }
}
