//! The proof of a client's identity, and what only one that has proven it may learn.
//!
//! The secret comes from auth_file or auth_query. Never says which of user and password was wrong. Source:
//! PgBouncer, src/client.c (set_pool, finish_set_pool, handle_auth_query_response).

use super::{LoginAttempt, gone};
use crate::auth::hba::{IdentMap, Origin, Visit};
use crate::auth::jwt::JwtOptions;
use crate::auth::ldap::LdapOptions;
use crate::auth::{Method, Question, ScramKeys, Secret};
use crate::base::{Address, Proof, log_about};
use crate::clients::auth_query;
use crate::clients::authenticate::{ProofRules, prove};
use crate::clients::clients::Clients;
use crate::clients::greet::LoginEnd;
use crate::clients::stream::ClientStream;
use crate::clients::unauthenticated::Pace;
use crate::clients::verifiers::KeyDerivation;
use crate::config::{CONSOLE_DATABASE, Database};
use crate::control::{Phase, Policy};
use crate::wire::Fault;
use std::sync::Arc;

/// What is known of a user.
pub(super) struct Found {
    /// `None`: there is no such user.
    secret: Option<Arc<Secret>>,
    /// auth_query said so: servers are logged in to with it once it has proven the client.
    is_from_query: bool,
}

/// What a client has to do to be let in.
struct Demand {
    method: Method,
    map: Option<Arc<IdentMap>>,
    /// Of a rule.
    ldap: Option<Arc<LdapOptions>>,
    /// Of a rule.
    jwt: Option<Arc<JwtOptions>>,
    claims_map: Option<Arc<str>>,
}

impl Found {
    pub(super) fn nothing() -> Self {
        Self { secret: None, is_from_query: false }
    }
}

impl LoginAttempt {
    /// Lets the client prove that it is who it says it is.
    pub(super) async fn prove(
        &self,
        clients: &Clients,
        policy: &Policy,
        database: Option<&Database>,
        stream: &mut ClientStream,
    ) -> Result<Proof, LoginEnd> {
        let Demand { method, map, ldap, jwt, claims_map } = self.demand(clients, policy, stream)?;
        self.tried.by(method.word());
        match method {
            Method::Any => return Ok(Proof::by(method.word())),
            Method::Reject => return Err(Fault::LoginRejected.into()), // before anybody is asked for a secret
            Method::Jwt => return Box::pin(self.prove_by_token(clients, policy, jwt, stream)).await,
            Method::Ldap => {
                Box::pin(self.prove_by_ldap(clients, policy, database, ldap, stream)).await?;
                return Ok(Proof::by(method.word()));
            }
            Method::Pam => {
                Box::pin(self.prove_by_pam(clients, database, stream)).await?;
                return Ok(Proof::by(method.word()));
            }
            Method::IamCaller => {
                return Box::pin(self.prove_by_caller(clients, policy, claims_map, stream)).await;
            }
            Method::RdsIam => return Box::pin(self.prove_by_rds_token(clients, policy, stream)).await,
            _ => {}
        }
        let found = self.secret(clients, policy, database, stream).await?;
        let mut proof = Proof::by(method.word());
        let keys = match (method, &found.secret) {
            (Method::Any | Method::Reject | Method::Jwt | Method::Ldap | Method::Pam, _) => None,
            (Method::IamCaller | Method::RdsIam, _) => None,
            (Method::Trust, Some(_)) => None,
            (Method::Trust, None) => return Err(Fault::TrustFailed.into()),
            (Method::Asked(question), secret) => {
                self.ask(clients, policy, question, secret.as_ref(), stream).await?
            }
            (Method::Cert, None) => return Err(Fault::CertificateFailed.into()),
            (Method::Cert, Some(_)) => {
                proof = self.prove_by_certificate(clients, stream, map.as_deref())?;
                None
            }
            (Method::Peer, None) => return Err(Fault::PeerRejected.into()),
            (Method::Peer, Some(_)) => {
                proof = Box::pin(self.prove_by_account(clients, map.as_deref())).await?;
                None
            }
        };
        if let Some(secret) = found.secret.as_ref().filter(|_| found.is_from_query) {
            clients.plane.secrets.learn(&self.database, &self.user, Arc::clone(secret));
        }
        if let (Some(keys), Some(secret)) = (keys, &found.secret) {
            clients.plane.secrets.learn_keys(&self.user, secret, keys);
        }
        Ok(proof)
    }

    /// Turns away who is denied, whatever has proven who that is.
    pub(super) fn may_be_here(&self, clients: &Clients) -> Result<(), LoginEnd> {
        if !clients.plane.is_denied(&self.user, &self.proof) {
            return Ok(());
        }
        if self.may_log(clients) {
            let name = self.proof.principal.as_ref().map_or(&*self.user, |principal| &principal.name);
            log_about!(warn, self.about(), "principal {name} is denied (deny_principals)");
        }
        Err(Fault::LoginDenied.into())
    }

    /// What the client has to do: what `auth_type` says, or the first rule of the hba file that fits.
    fn demand(&self, clients: &Clients, policy: &Policy, stream: &ClientStream) -> Result<Demand, LoginEnd> {
        if let Some(method) = Method::of_setting(policy.snapshot.settings.auth_type) {
            return Ok(Demand { method, map: None, ldap: None, jwt: None, claims_map: None });
        }
        let origin = match self.remote {
            Address::Tcp(address) => Origin::Tcp { ip: address.ip(), is_tls: stream.is_tls() },
            Address::Unix { .. } => Origin::Local,
        };
        let (database, user) = (&*self.database, &*self.user);
        let visit = Visit { origin, database, user, replication: self.replication };
        let rule = policy.hba.rule_for(&visit).ok_or(Fault::NoMethod)?;
        if self.may_log(clients) {
            log_about!(debug, self.about(), "hba line {} is matched", rule.place);
        }
        let (map, ldap, jwt) = (rule.map().cloned(), rule.ldap().cloned(), rule.jwt().cloned());
        Ok(Demand { method: rule.method, map, ldap, jwt, claims_map: rule.claims_map().cloned() })
    }

    /// Asks the client for a proof of its secret; gives the keys that it has shown to hold.
    async fn ask(
        &self,
        clients: &Clients,
        policy: &Policy,
        question: Question,
        secret: Option<&Arc<Secret>>,
        stream: &mut ClientStream,
    ) -> Result<Option<ScramKeys>, LoginEnd> {
        let settings = &policy.snapshot.settings;
        let scram_iterations = settings.scram_iterations.get();
        let permits = &clients.plane.key_derivation;
        let is_due_to_all = question == Question::ScramSha256
            && !clients.verifiers.prepare(&policy.users, scram_iterations, permits);
        let rules = ProofRules {
            question,
            user: &self.user,
            secret,
            scram_iterations,
            random: &clients.random,
            verifiers: &clients.verifiers,
            key_derivation: KeyDerivation {
                semaphore: permits,
                client: &self.remote,
                iterations_max: settings.max_scram_iterations.get(),
                is_due_to_all,
            },
        };
        prove(stream, &rules).await
    }

    /// The secret of the client's user: from auth_file, from auth_query; none that anything proves for the
    /// user that the database entry names. `None`: no such user; an entry of `[users]` says what holds for a
    /// user, not that there is one.
    pub(super) async fn secret(
        &self,
        clients: &Clients,
        policy: &Policy,
        database: Option<&Database>,
        stream: &mut ClientStream,
    ) -> Result<Found, LoginEnd> {
        if let Some(secret) = policy.users.secret(&self.user) {
            return Ok(Found { secret: Some(secret.clone()), is_from_query: false });
        }
        let settings = &policy.snapshot.settings;
        let has_query = match database {
            Some(database) => database.auth_query_user(settings).is_some(),
            None => &*self.database == CONSOLE_DATABASE && settings.auth_user.is_some(),
        };
        if has_query {
            let pace = stream.pace();
            let begin = || pace.as_ref().map(Pace::waits_for_us);
            let found = tokio::select! {
                biased;
                found = Box::pin(auth_query::lookup(clients, &self.database, &self.user, begin)) => found?,
                end = gone(stream) => return Err(end),
            };
            let secret = found.ok_or(Fault::NoSuchUser)?;
            return Ok(Found { secret: Some(secret), is_from_query: true });
        }
        let is_forced = database.is_some_and(|database| database.user.as_ref() == Some(&self.user));
        if is_forced {
            return Ok(Found { secret: Some(Arc::new(Secret::none())), is_from_query: false });
        }
        if self.may_log(clients) {
            log_about!(info, self.about(), "no such user: {}", self.user);
        }
        Ok(Found::nothing())
    }

    /// What only a client that has proved who it is may learn: whether its database is there for it.
    pub(super) fn may_enter(
        &self,
        clients: &Clients,
        policy: &Policy,
        database: Option<Arc<Database>>,
    ) -> Result<Arc<Database>, LoginEnd> {
        // Whoever is here over TCP has come before: those sockets are closed.
        if clients.plane.phase() != Phase::Running && matches!(self.remote, Address::Unix { .. }) {
            return Err(Fault::ShuttingDown.into());
        }
        let name = || self.database.to_string();
        let database = database.ok_or_else(|| Fault::NoSuchDatabase { name: name() })?;
        match clients.plane.registry.database(&policy.snapshot, &self.database) {
            Some(share) if share.is_disabled() => Err(Fault::DatabaseDisabled { name: name() }.into()),
            Some(_) => Ok(database),
            None => Err(Fault::NoSuchDatabase { name: name() }.into()),
        }
    }
}
