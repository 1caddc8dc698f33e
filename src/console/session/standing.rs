//! Whether a client of the console may stay: asked before each command.
//!
//! Never ends a session itself.

use super::Session;
use crate::auth::Method;
use crate::config::{CONSOLE_DATABASE, OnExpired};
use crate::wire::Fault;

impl Session {
    /// Why its client may not stay. The account that we run as always may, so that somebody can put a list
    /// right.
    pub(super) fn may_not_stay(&self) -> Option<Fault> {
        let is_own =
            &*self.identity.user == CONSOLE_DATABASE && self.identity.proof.method == Method::Peer.word();
        if is_own {
            return None;
        }
        let denied = self.console.status.plane.deny_reason(&self.identity).map(Fault::from);
        denied.or_else(|| self.has_expired().then_some(Fault::TokenExpired))
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
