//! The proof of a client's identity, and what only one that has proven it may learn.
//!
//! The secret comes from where others keep it, from auth_file or auth_query. Never says which of user and
//! password was wrong. Source: PgBouncer, src/client.c (set_pool, finish_set_pool,
//! handle_auth_query_response).

use super::{LoginAttempt, gone};
use crate::auth::hba::{IdentMap, Origin, Visit};
use crate::auth::jwt::JwtOptions;
use crate::auth::ldap::LdapOptions;
use crate::auth::{Method, Question, Secret};
use crate::base::{Address, Proof, log_about};
use crate::clients::auth_query;
use crate::clients::authenticate::{ProofRules, Proven, prove};
use crate::clients::clients::Clients;
use crate::clients::greet::LoginEnd;
use crate::clients::stream::ClientStream;
use crate::clients::unauthenticated::Pace;
use crate::clients::verifiers::KeyDerivation;
use crate::config::{CONSOLE_DATABASE, Database};
use crate::control::{Checked, Phase, Policy, SecretsOfClients};
use crate::secrets::KeptSecret;
use crate::wire::Fault;
use std::sync::Arc;

/// What is known of a user.
#[derive(Default)]
pub(super) struct Found {
    /// What proves it, each by itself; nothing: there is no such user.
    secrets: Vec<Arc<Secret>>,
    /// Servers are logged in to with what has proven the client: no file has it.
    is_learnt: bool,
    /// The kept secret that names it, or might in another version.
    checked: Option<Checked>,
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
    /// A user of whom that is known.
    fn of(secret: Arc<Secret>) -> Self {
        Self { secrets: vec![secret], ..Self::default() }
    }

    /// What a kept secret says of `user`.
    fn kept(secret: &Arc<KeptSecret>, user: &str) -> Self {
        let checked = Checked::now(secret); // before it is read: a version in between is a newer one
        Self { secrets: secret.proofs(user), is_learnt: true, checked: Some(checked) }
    }

    fn is_somebody(&self) -> bool {
        !self.secrets.is_empty()
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
        let kept = clients.plane.client_secrets.current();
        if kept.is_awaited() {
            let _waits_for_us = stream.waits_for_us();
            Box::pin(kept.first()).await;
        }
        let found = self.secret(clients, policy, (database, &kept), stream).await?;
        let mut proof = Proof::by(method.word());
        match method {
            Method::Any | Method::Reject | Method::Jwt | Method::Ldap | Method::Pam => {}
            Method::IamCaller | Method::RdsIam => {}
            Method::Trust if found.is_somebody() => {}
            Method::Trust => return Err(Fault::TrustFailed.into()),
            Method::Asked(question) => {
                self.ask(clients, policy, question, (&found, &kept), stream).await?;
            }
            Method::Cert if found.is_somebody() => {
                proof = self.prove_by_certificate(clients, stream, map.as_deref())?;
            }
            Method::Cert => return Err(Fault::CertificateFailed.into()),
            Method::Peer if found.is_somebody() => {
                proof = Box::pin(self.prove_by_account(clients, map.as_deref())).await?;
            }
            Method::Peer => return Err(Fault::PeerRejected.into()),
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

    /// Asks the client for a proof of its secret, and keeps what that is good for.
    async fn ask(
        &self,
        clients: &Clients,
        policy: &Policy,
        question: Question,
        (found, kept): (&Found, &Arc<SecretsOfClients>),
        stream: &mut ClientStream,
    ) -> Result<(), LoginEnd> {
        let settings = &policy.snapshot.settings;
        let scram_iterations = settings.scram_iterations.get();
        let permits = &clients.plane.key_derivation;
        let is_due_to_all = question == Question::ScramSha256
            && !clients.verifiers.prepare((&policy.users, kept), scram_iterations, permits);
        let rules = ProofRules {
            question,
            user: &self.user,
            secrets: &found.secrets,
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
        let newer = async { Box::pin(self.newer(clients, found, kept)).await };
        let proven = prove(stream, &rules, newer).await;
        let Proven { secret, keys } = proven.map_err(|end| unless_unknown(end, kept))?;
        let of_kept = found.checked.is_some();
        if of_kept && clients.plane.policy.load().users.is_gone(&self.user) {
            Box::pin(clients.plane.until_back(&self.user)).await;
        }
        let servers = &clients.plane.secrets;
        if let Some(keys) = keys {
            servers.learn_keys(&self.user, &secret, keys);
        }
        if found.is_learnt || !found.secrets.contains(&secret) {
            servers.learn(&self.database, &self.user, secret);
        }
        Ok(())
    }

    /// What has become known of the user since `found`, after kept secrets were fetched anew.
    async fn newer(&self, clients: &Clients, found: &Found, kept: &SecretsOfClients) -> Vec<Arc<Secret>> {
        if kept.is_empty() {
            return Vec::new();
        }
        let checked = found.checked.as_ref();
        clients.plane.client_secrets.look_again(kept, &self.user, checked).await;
        let now = checked.map(|checked| checked.secret.proofs(&self.user)).unwrap_or_default();
        now.into_iter().filter(|secret| !found.secrets.contains(secret)).collect()
    }

    /// The secrets of the client's user: its own kept secret, else from auth_file, from the list that holds
    /// for its database, from auth_query; none that anything proves for the user that the database entry
    /// names. Nothing: no such user; an entry of `[users]` says what holds for a user, not that there is one.
    async fn secret(
        &self,
        clients: &Clients,
        policy: &Policy,
        (database, kept): (Option<&Database>, &SecretsOfClients),
        stream: &mut ClientStream,
    ) -> Result<Found, LoginEnd> {
        if let Some(own) = kept.own(&self.user) {
            let found = Found::kept(own, &self.user);
            self.tell_unknown(clients, &found);
            return Ok(found);
        }
        let list = kept.list(&policy.snapshot, &self.database).map(|list| Found::kept(list, &self.user));
        let is_listed = list.as_ref().is_some_and(Found::is_somebody);
        let is_gone = policy.users.is_gone(&self.user);
        let of_file = policy.users.secret(&self.user);
        if let Some(secret) = of_file.filter(|_| !is_gone) {
            return Ok(Found::of(Arc::clone(secret)));
        }
        if is_listed && let Some(list) = list {
            return Ok(list);
        }
        let checked = list.and_then(|list| list.checked);
        if let Some(secret) = of_file {
            return Ok(Found { checked, ..Found::of(Arc::clone(secret)) }); // nothing proves who is gone
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
            return match found {
                Some(secret) => Ok(Found { is_learnt: true, checked, ..Found::of(secret) }),
                // the list may name it by now
                None if checked.is_some() => Ok(Found { checked, ..Found::default() }),
                None => Err(Fault::NoSuchUser.into()),
            };
        }
        let is_forced = database.is_some_and(|database| database.user.as_ref() == Some(&self.user));
        if is_forced {
            return Ok(Found { checked, ..Found::of(Arc::new(Secret::none())) });
        }
        let found = Found { checked, ..Found::default() };
        self.tell_unknown(clients, &found);
        Ok(found)
    }

    fn tell_unknown(&self, clients: &Clients, found: &Found) {
        if !found.is_somebody() && self.may_log(clients) {
            log_about!(info, self.about(), "no such user: {}", self.user);
        }
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

/// How a login ends whose proof is wrong while not all is known that proofs are held against: the same for
/// whoever it may be, since that tells who exists.
fn unless_unknown(end: LoginEnd, kept: &SecretsOfClients) -> LoginEnd {
    match end {
        LoginEnd::Fault(Fault::PasswordWrong | Fault::SaslFailed) if kept.lacks_any() => {
            Fault::SecretsUnknown.into()
        }
        end => end,
    }
}
