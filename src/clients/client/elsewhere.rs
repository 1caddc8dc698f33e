//! Proofs by a password that somebody else checks: a directory, PAM.
//!
//! The client is asked for it in clear text; who has proven himself by it is logged in to servers with it.
//! Nobody needs to be listed anywhere. Source: PgBouncer, doc/config.md (`auth_type`: ldap, pam).

use super::{LoginAttempt, gone};
use crate::auth::Secret;
use crate::auth::ldap::LdapOptions;
use crate::base::{Password, log_about};
use crate::clients::authenticate::ask_password;
use crate::clients::clients::Clients;
use crate::clients::greet::LoginEnd;
use crate::clients::stream::ClientStream;
use crate::clients::unauthenticated::Pace;
use crate::clients::{ldap, pam};
use crate::config::Database;
use crate::control::Policy;
use crate::tasks;
use crate::wire::Fault;
use std::future::Future;
use std::sync::Arc;

/// Why what a client has sent for a password is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPassword {
    /// Longer than any may be: not read.
    TooLong,
    /// No text.
    NotUtf8,
}

impl NoPassword {
    /// What the client is told, who proves himself by a password to somebody else.
    fn fault(self, of_method: Fault) -> Fault {
        match self {
            Self::TooLong => Fault::PasswordWrong,
            Self::NotUtf8 => of_method,
        }
    }
}

impl LoginAttempt {
    /// By a password that a directory takes: that of a rule, or that of `auth_type`.
    ///
    /// # Cancel safety
    /// The directory may be asked all the same, within its bounds in time.
    pub(super) async fn prove_by_ldap(
        &self,
        clients: &Clients,
        policy: &Policy,
        database: Option<&Database>,
        of_rule: Option<Arc<LdapOptions>>,
        stream: &mut ClientStream,
    ) -> Result<(), LoginEnd> {
        let options = match of_rule {
            Some(options) => options,
            None => {
                self.may_ask_elsewhere(clients, database)?;
                policy.ldap.options.clone().ok_or(Fault::Config)?
            }
        };
        let password = self.clear_password(stream).await?;
        let password = password.map_err(|why| why.fault(Fault::LdapFailed))?;
        let (tls, user) = (policy.ldap.tls.config.clone(), Arc::clone(&self.user));
        let turns = clients.ldap_turns.of(&options.servers);
        let claim = ldap::Claim { options, tls, user, password: Arc::clone(&password) };
        let pace = stream.pace();
        let proof = async {
            let turn = turns.take(&self.remote, clients.plane.now()).await;
            let _waits_for_us = pace.as_ref().map(Pace::waits_for_us);
            let asking = async move {
                let outcome = claim.prove().await;
                drop(turn);
                outcome
            };
            // A task of its own: neither a handshake nor a panic of the library's is a worker's.
            tasks::spawn("an LDAP login", self.remote.to_string(), asking).await.ok().flatten()
        };
        let outcome = while_client_waits(stream, proof).await?;
        if let Some(Err(why)) = &outcome {
            self.tried.fails(why);
        }
        match outcome {
            Some(Ok(())) => {
                self.learn(clients, database, &password);
                return Ok(());
            }
            Some(Err(why)) if !self.may_log(clients) => drop(why),
            Some(Err(why)) if why.is_about_the_user() => {
                log_about!(info, self.about(), "LDAP login failed: {why}");
            }
            Some(Err(why)) => log_about!(warn, self.about(), "LDAP is of no use: {why}"),
            None => {} // its panic was told
        }
        Err(Fault::LdapFailed.into())
    }

    /// By a password that PAM takes.
    ///
    /// # Cancel safety
    /// PAM may be asked all the same, for as long as it takes; so long its turn is taken.
    pub(super) async fn prove_by_pam(
        &self,
        clients: &Clients,
        database: Option<&Database>,
        stream: &mut ClientStream,
    ) -> Result<(), LoginEnd> {
        self.may_ask_elsewhere(clients, database)?;
        let password = self.clear_password(stream).await?.map_err(|why| why.fault(Fault::PamFailed))?;
        let pace = stream.pace();
        let proof = async {
            let turn = clients.pam_turns.take(&self.remote, clients.plane.now()).await;
            let _waits_for_us = pace.as_ref().map(Pace::waits_for_us);
            let (user, password) = (Arc::clone(&self.user), Arc::clone(&password));
            let claim = pam::Claim { user, host: self.remote.host_text(), password };
            let asking = move || {
                let outcome = claim.prove();
                drop(turn);
                outcome
            };
            tasks::on_own_thread("pam", self.remote.to_string(), asking).await
        };
        let outcome = while_client_waits(stream, proof).await?;
        if let Some(Err(why)) = &outcome {
            self.tried.fails(why);
        }
        match outcome {
            Some(Ok(())) => {
                self.learn(clients, database, &password);
                return Ok(());
            }
            Some(Err(why)) if self.may_log(clients) => {
                log_about!(info, self.about(), "PAM login failed: {why}");
            }
            _ => {} // it is not heard, or was told
        }
        Err(Fault::PamFailed.into())
    }

    /// With `auth_type` users are whoever is let in: none is there for an `auth_user` to find.
    fn may_ask_elsewhere(&self, clients: &Clients, database: Option<&Database>) -> Result<(), LoginEnd> {
        if database.is_none_or(|database| database.auth_user.is_none()) {
            return Ok(());
        }
        if self.may_log(clients) {
            log_about!(error, self.about(), "auth_user of a database cannot be used with this auth_type");
        }
        Err(Fault::Config.into())
    }

    /// The client's password, or why there is none.
    pub(super) async fn clear_password(
        &self,
        stream: &mut ClientStream,
    ) -> Result<Result<Arc<Password>, NoPassword>, LoginEnd> {
        let Some(mut bytes) = ask_password(stream).await? else { return Ok(Err(NoPassword::TooLong)) };
        if std::str::from_utf8(&bytes).is_err() {
            return Ok(Err(NoPassword::NotUtf8));
        }
        // not copied: whoever waits for a turn makes us hold no more than it has sent
        let text = String::from_utf8(std::mem::take(&mut *bytes)).map_err(|_| NoPassword::NotUtf8);
        Ok(text.map(|text| Arc::new(Password::new(text))))
    }

    /// Servers are logged in to with the password that has proven the client.
    fn learn(&self, clients: &Clients, database: Option<&Database>, password: &Password) {
        if database.is_some() {
            // what it came in may have more room than it needs
            let password = Password::new(password.expose());
            clients.plane.secrets.learn(&self.database, &self.user, Arc::new(Secret::Plain(password)));
        }
    }
}

/// What comes of `proof`, unless the client leaves meanwhile.
pub(super) async fn while_client_waits<T>(
    stream: &mut ClientStream,
    proof: impl Future<Output = T>,
) -> Result<T, LoginEnd> {
    tokio::select! {
        biased;
        outcome = proof => Ok(outcome),
        end = gone(stream) => Err(end),
    }
}
