//! What the audit log hears of a login.
//!
//! Never a secret, and nothing that was not said in the startup message or proven.

use super::LoginAttempt;
use crate::audit::{Event, Login, Who};
use crate::base::Micros;
use crate::clients::clients::Clients;
use crate::core::ClientIdentity;
use std::sync::Arc;

impl LoginAttempt {
    /// A client has logged in: to a worker, or to the console. Before it is handed over, so that nothing of
    /// it is recorded earlier.
    pub(super) fn record_login(&self, clients: &Clients, identity: &ClientIdentity) {
        let plane = &clients.plane;
        plane.audit.post(|| {
            Event::Login(Box::new(Login {
                who: identity.who(),
                pool_user: plane.pool_user(identity),
                application_name: Arc::clone(&self.application_name),
                took: self.age(clients),
                replication: identity.replication.text(),
                is_earlier: false,
            }))
        });
    }

    /// A client was refused.
    pub(super) fn record_refusal(&self, clients: &Clients, reason: &str) {
        clients.plane.audit.post(|| Event::Refused {
            who: Box::new(Who {
                session: self.id,
                database: self.database.clone(),
                user: self.user.clone(),
                proof: self.proof.clone(),
                address: self.remote.clone(),
                tls: self.tls.as_str().into(),
            }),
            reason: reason.into(),
        });
    }

    fn age(&self, clients: &Clients) -> Micros {
        clients.plane.now().since(self.arrived)
    }
}
