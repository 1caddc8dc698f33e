//! What the audit log hears of a login, and the log of whom it has proven.
//!
//! Never a secret, and no principal that was not proven, or signed by its issuer.

use super::LoginAttempt;
use crate::audit::{Event, Login, RefusedLogin, Who};
use crate::base::{Micros, Principal, Proof, limits, log_about};
use crate::clients::clients::Clients;
use crate::core::ClientIdentity;
use std::fmt::Display;
use std::sync::{Arc, OnceLock};

/// The method of a client that has proven nothing yet.
pub(super) const NOT_PROVEN: &str = "none";

/// How far a proof has come; each is told once.
#[derive(Default)]
pub(super) struct Tried {
    method: OnceLock<&'static str>,
    principal: OnceLock<Arc<Principal>>,
    claimed_issuer: OnceLock<Arc<str>>,
    detail: OnceLock<Box<str>>,
}

impl Tried {
    /// The client is to prove who it is by this method.
    pub(super) fn by(&self, method: &'static str) {
        self.method.get_or_init(|| method);
    }

    /// The client has shown a token that says to be of this entry's issuer.
    pub(super) fn of_issuer(&self, name: &Arc<str>) {
        self.claimed_issuer.get_or_init(|| Arc::clone(name));
    }

    /// The issuer's signature is good: so the token does name this principal, whoever has shown it.
    pub(super) fn as_principal(&self, principal: Arc<Principal>) {
        self.principal.get_or_init(|| principal);
    }

    /// Why the proof fails, as the log tells it.
    pub(super) fn fails(&self, why: &impl Display) {
        self.detail.get_or_init(|| why.to_string().chars().take(limits::AUDIT_DETAIL_CHARS_MAX).collect());
    }
}

impl LoginAttempt {
    /// A client has logged in: to a worker, or to the console. Before it is handed over, so that nothing of
    /// it is recorded earlier.
    pub(super) fn record_login(&self, clients: &Clients, identity: &ClientIdentity) {
        let plane = &clients.plane;
        let Proof { method, principal } = &identity.proof;
        if let Some(principal) = principal
            && plane.policy.load().snapshot.settings.log_connections
        {
            log_about!(info, self.about(), "login proven by {method}: {principal}");
        }
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

    /// Waits until its refusal can be recorded (`audit_overflow = block`), for as long as a login may take:
    /// the client is told no sooner.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn wait_for_audit_room(&mut self, clients: &Clients) {
        if self.audit_room.is_some() {
            return;
        }
        let patience = clients.plane.policy.load().snapshot.settings.client_login_timeout.to_timeout();
        let left = patience.saturating_sub(self.age(clients).to_duration());
        self.audit_room = tokio::select! {
            biased;
            room = tokio::time::timeout(left, clients.plane.audit.room()) => room.unwrap_or_default(),
            () = self.login_slot.cut_off() => None,
        };
    }

    /// A client was refused.
    pub(super) fn record_refusal(&self, clients: &Clients, reason: &str) {
        clients.plane.audit.post(|| {
            let tried = &self.tried;
            let is_proven = self.proof != Proof::by(NOT_PROVEN);
            let proof = if is_proven {
                self.proof.clone()
            } else {
                let method = tried.method.get().copied().unwrap_or(NOT_PROVEN);
                Proof { method, principal: tried.principal.get().cloned() }
            };
            let claimed_issuer = tried.claimed_issuer.get().filter(|_| proof.principal.is_none()).cloned();
            let who = Who {
                session: self.id,
                database: self.database.clone(),
                user: self.user.clone(),
                proof,
                address: self.remote.clone(),
                tls: self.tls.as_str().into(),
            };
            let (reason, detail) = (reason.into(), tried.detail.get().cloned());
            Event::Refused(Box::new(RefusedLogin { who, is_proven, claimed_issuer, reason, detail }))
        });
    }

    fn age(&self, clients: &Clients) -> Micros {
        clients.plane.now().since(self.arrived)
    }
}
