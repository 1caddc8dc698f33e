//! Users that no secret names any more: known as gone, like those that auth_file does not have any more.
//!
//! Called by one task, between two policies: what it makes of the policy in force must not be put in the
//! place of a newer one.

use super::plane::Plane;
use super::policy::Policy;
use crate::base::limits;
use std::sync::Arc;

impl Plane {
    /// A secret vouches for a user that may be known as gone: waits until it is not.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn until_back(&self, user: &str) {
        let is_back = || !self.policy.load().users.is_gone(user);
        self.client_secrets.until_settled(is_back).await;
    }

    /// Brings the users that are known as gone to what secrets name now. Returns whether anything has
    /// changed: then sessions are to be judged.
    pub fn settle_users(&self) -> bool {
        let [mut now, before] = self.client_secrets.named();
        let policy = self.policy.load_full();
        let mut gone = Vec::new();
        if policy.snapshot.asks_databases_for_users() {
            // auth_query may know them: their sessions stay.
            now.extend(policy.users.gone_from_elsewhere().cloned());
        } else {
            gone.extend(before.difference(&now).cloned());
        }
        let Some(users) = policy.users.settled(&now, &gone, limits::GONE_USERS_MAX) else { return false };
        self.policy.store(Arc::new(Policy { users: Arc::new(users), ..Policy::clone(&policy) }));
        self.client_secrets.tell_settled();
        true
    }
}
