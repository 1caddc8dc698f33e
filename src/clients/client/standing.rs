//! Who has proven himself by what AWS or an issuer vouches for is kept, so that a reload can judge the
//! session again.
//!
//! A reload that has come meanwhile is asked at once. Never decides who is let in: that is the proof's.

use super::LoginAttempt;
use crate::auth::Method;
use crate::base::{Principal, Proof};
use crate::clients::clients::Clients;
use crate::clients::stream::ClientStream;
use crate::control::{Grounds, Lapse, Policy};
use crate::identity::KeptClaims;
use std::sync::Arc;

/// Who has proven what.
pub(super) struct Proven {
    /// By which method.
    pub method: Method,
    /// Who it is.
    pub principal: Principal,
    /// What is said of it.
    pub claims: KeptClaims,
}

/// Why a proof that was good does not stand any more.
#[derive(Debug)]
pub(super) enum Fallen {
    /// By what a reload has changed meanwhile.
    Lapsed(Lapse),
    /// It could not be judged, which the log has told.
    Panicked,
}

impl LoginAttempt {
    /// The proof, from now on judged by each reload; one that has come meanwhile is asked now.
    ///
    /// # Errors
    /// It would not be let in any more.
    /// # Cancel safety
    /// It is forgotten with the login.
    pub(super) async fn stand(
        &self,
        clients: &Clients,
        policy: &Policy,
        stream: &ClientStream,
        proven: Proven,
    ) -> Result<Proof, Fallen> {
        let Proven { method, principal, claims } = proven;
        let principal = Arc::new(principal);
        let hold = clients.plane.token_sessions.hold(Grounds {
            socket_id: self.id,
            database: Arc::clone(&self.database),
            user: Arc::clone(&self.user),
            remote: self.remote.clone(),
            is_tls: stream.is_tls(),
            replication: self.replication,
            method,
            claims,
            principal: Arc::clone(&principal),
        });
        if !clients.plane.is_in_force(policy) {
            let (plane, grounds) = (Arc::clone(&clients.plane), Arc::clone(hold.grounds()));
            let permit = plane.key_derivation.acquire_for_client(&self.remote).await;
            match permit.compute(move || plane.judge_grounds(&grounds)).await {
                Some(Ok(())) => {}
                Some(Err(lapse)) => {
                    self.tried.as_principal(principal);
                    return Err(Fallen::Lapsed(lapse));
                }
                None => return Err(Fallen::Panicked),
            }
        }
        // It is empty: a client proves who it is once.
        drop(self.hold.set(hold));
        Ok(Proof { method: method.word(), principal: Some(principal) })
    }
}
