//! What the audit log hears of a login to a server.

use super::Attempt;
use crate::audit::Event;
use crate::core::ServerLogin;
use std::sync::Arc;

impl Attempt {
    /// It has succeeded. Before the server is handed over, so that nothing of it is recorded earlier.
    pub(super) fn record_login(&self, login: &ServerLogin) {
        let plane = &self.servers.plane;
        plane.audit.post(|| Event::ServerLogin {
            server: Box::new(login.identity.facts()),
            authorized_until: login.authorization.map(|authorization| authorization.hard_at),
            generation: login.generation,
            took: Some(plane.now().since(login.connected_at)),
            credential: login.identity.credential.clone(),
        });
    }

    /// It has failed, or what it has come to is of no use.
    pub(super) fn record_refusal(&self, reason: &str) {
        let share = &self.entry.share;
        self.servers.plane.audit.post(|| Event::ServerRefused {
            database: Arc::clone(&share.database.name),
            user: Arc::clone(&share.user),
            reason: reason.into(),
        });
    }
}
