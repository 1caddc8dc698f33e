//! Proof by a token of RDS that the client has made for itself (`rds_iam`): the endpoint that it is for lets
//! it in, or does not.
//!
//! The client sends the token as its password, within TLS; whoever logs in to servers shows it on. Whom the
//! token is signed for AWS does not tell: the principal is the access key's id.

use super::LoginAttempt;
use super::caller::login_expiry;
use super::elsewhere::while_client_waits;
use crate::auth::Method;
use crate::base::{Expiry, Principal, Proof, log_about};
use crate::clients::clients::Clients;
use crate::clients::greet::LoginEnd;
use crate::clients::stream::ClientStream;
use crate::clients::unauthenticated::Pace;
use crate::control::{LauncherEvent, TokenProven, TokenRequest};
use crate::wire::Fault;
use std::sync::Arc;
use tokio::sync::oneshot;

impl LoginAttempt {
    /// By a token that the endpoint of the client's database takes.
    ///
    /// # Cancel safety
    /// A token that is being shown is judged all the same, and what came of it is kept.
    pub(super) async fn prove_by_rds_token(
        &self,
        clients: &Clients,
        stream: &mut ClientStream,
    ) -> Result<Proof, LoginEnd> {
        self.may_show_token(stream)?;
        let token = self.clear_password(stream).await?.ok_or(Fault::RdsTokenFailed)?;
        let (answer, answered) = oneshot::channel();
        let (database, user) = (Arc::clone(&self.database), Arc::clone(&self.user));
        let request = TokenRequest { database, user, client: self.remote.clone(), token, answer };
        clients.plane.launcher.say(LauncherEvent::JudgeToken(Box::new(request)));
        let pace = stream.pace();
        let judged = async {
            let _waits_for_us = pace.as_ref().map(Pace::waits_for_us);
            answered.await
        };
        match while_client_waits(stream, judged).await? {
            Ok(Ok(proven)) => return Ok(proof(proven, login_expiry(clients))),
            Ok(Err(_)) if !self.may_log(clients) => {}
            Ok(Err(refused)) if refused.is_ours => {
                log_about!(warn, self.about(), "RDS tokens cannot be judged: {}", refused.why);
            }
            Ok(Err(refused)) => log_about!(info, self.about(), "RDS token login failed: {}", refused.why),
            Err(_) => {} // its panic was told
        }
        Err(Fault::RdsTokenFailed.into())
    }
}

fn proof(TokenProven { key_id, has_session }: TokenProven, expiry: Option<Expiry>) -> Proof {
    let kind = if has_session { "temporary" } else { "long-term" };
    let principal = Principal {
        name: (*key_id).into(),
        issuer: Box::default(),
        claims: Box::new([("access_key".into(), kind.into())]),
        expiry,
        timeouts: Default::default(),
    };
    Proof { method: Method::RdsIam.word(), principal: Some(Arc::new(principal)) }
}
