//! Whether a client of the console may stay, and as what: asked before each command.
//!
//! Never ends a session itself, and never gives a right that its login did not.

use super::Session;
use crate::auth::Method;
use crate::clients::Rights;
use crate::config::{CONSOLE_DATABASE, OnExpired, Recheck};
use crate::wire::Fault;

impl Session {
    /// Why its client may not stay. The account that we run as always may, so that somebody can put a list
    /// right.
    pub(super) fn may_not_stay(&mut self) -> Option<Fault> {
        let is_own =
            &*self.identity.user == CONSOLE_DATABASE && self.identity.proof.method == Method::Peer.word();
        if is_own {
            return None;
        }
        let denied = self.console.status.plane.deny_reason(&self.identity).map(Fault::from);
        let expired = || self.has_expired().then_some(Fault::TokenExpired);
        denied.or_else(expired).or_else(|| self.has_lost_its_rights().then_some(Fault::NotAllowed))
    }

    /// Whether a reload has taken it off `admin_users` and `stats_users`; off the first alone, it may look
    /// from now on. As in PgBouncer that concerns new logins, but where sessions are judged again.
    fn has_lost_its_rights(&mut self) -> bool {
        let policy = self.console.status.plane.policy.load();
        let settings = &policy.snapshot.settings;
        if self.identity.proof.principal.is_none() && settings.identity_recheck == Recheck::Off {
            return false;
        }
        match Rights::of(settings, &self.identity.user) {
            None => return true,
            Some(Rights::Show) => self.rights = Rights::Show,
            Some(Rights::Admin) => {}
        }
        false
    }

    /// Whether its proof has come to its end, where that ends sessions.
    fn has_expired(&self) -> bool {
        let plane = &self.console.status.plane;
        let policy = plane.policy.load();
        let settings = &policy.snapshot.settings;
        let expiry = self.identity.proof.principal.as_ref().and_then(|principal| principal.expiry);
        settings.identity_on_expired == OnExpired::Drain
            && expiry.is_some_and(|expiry| expiry.at + settings.identity_expiry_grace <= plane.now())
    }
}
