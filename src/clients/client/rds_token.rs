//! Proof by a token of RDS that the client has made for itself (`rds_iam`): the endpoint that it is for lets
//! it in, or does not.
//!
//! The client sends the token as its password, within TLS; whoever logs in to servers shows it on. Whom the
//! token is signed for AWS does not tell: the principal is the access key's id.

use super::LoginAttempt;
use super::caller::login_expiry;
use super::elsewhere::{NoPassword, while_client_waits};
use super::standing::{Fallen, Proven};
use crate::auth::Method;
use crate::base::{Expiry, Principal, Proof, log_about};
use crate::clients::clients::Clients;
use crate::clients::greet::LoginEnd;
use crate::clients::stream::ClientStream;
use crate::clients::unauthenticated::Pace;
use crate::control::{LauncherEvent, Policy, TokenProven, TokenRefused, TokenRequest};
use crate::identity::KeptClaims;
use crate::identity::presigned::Refusal;
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
        policy: &Policy,
        stream: &mut ClientStream,
    ) -> Result<Proof, LoginEnd> {
        self.may_show_token(stream)?;
        let token = match self.clear_password(stream).await? {
            Ok(token) => token,
            Err(why) => return Err(self.rds_token_refused(clients, unfit(why))),
        };
        let (answer, answered) = oneshot::channel();
        let (database, user) = (Arc::clone(&self.database), Arc::clone(&self.user));
        let request = TokenRequest { database, user, client: self.remote.clone(), token, answer };
        clients.plane.launcher.say(LauncherEvent::JudgeToken(Box::new(request)));
        let pace = stream.pace();
        let judged = async {
            let _waits_for_us = pace.as_ref().map(Pace::waits_for_us);
            answered.await
        };
        let why = match while_client_waits(stream, judged).await? {
            Ok(Ok(token)) => {
                let proven = proven(token, login_expiry(clients));
                match self.stand(clients, policy, stream, proven).await {
                    Ok(proof) => return Ok(proof),
                    Err(Fallen::Lapsed(lapse)) => TokenRefused { why: lapse.to_string(), is_ours: false },
                    Err(Fallen::Panicked) => return Err(Fault::RdsTokenFailed.into()),
                }
            }
            Ok(Err(refused)) => refused,
            Err(_) => return Err(Fault::RdsTokenFailed.into()), // its panic was told
        };
        Err(self.rds_token_refused(clients, why))
    }

    /// What the client is told; the log and the audit log hear why.
    fn rds_token_refused(&self, clients: &Clients, why: TokenRefused) -> LoginEnd {
        self.tried.fails(&why.why);
        match why {
            _ if !self.may_log(clients) => {}
            TokenRefused { why, is_ours: true } => {
                log_about!(warn, self.about(), "RDS tokens cannot be judged: {why}");
            }
            TokenRefused { why, .. } => log_about!(info, self.about(), "RDS token login failed: {why}"),
        }
        Fault::RdsTokenFailed.into()
    }
}

fn unfit(why: NoPassword) -> TokenRefused {
    let why = match why {
        NoPassword::TooLong => Refusal::TooLong,
        NoPassword::NotUtf8 => Refusal::NotPresigned,
    };
    let why = format!("what the client has sent is no token of RDS for this entry and role: {why}");
    TokenRefused { why, is_ours: false }
}

/// AWS says nothing of who it is but whose key has signed.
fn proven(TokenProven { key_id, has_session }: TokenProven, expiry: Option<Expiry>) -> Proven {
    let kind = if has_session { "temporary" } else { "long-term" };
    let claims = Box::new([("access_key".into(), kind.into())]);
    let principal = Principal { claims, expiry, ..Principal::named(&key_id) };
    Proven { method: Method::RdsIam, principal, claims: KeptClaims::none() }
}
