//! Proofs that somebody else gives: the authority that has signed a client's certificate, the kernel that
//! knows the account at the other end of a Unix socket.
//!
//! The client is asked for nothing. Source: PgBouncer, src/client.c (login_via_cert(),
//! login_as_unix_peer()), src/system.c (check_unix_peer_name()).

use super::LoginAttempt;
use crate::auth::Method;
use crate::auth::hba::IdentMap;
use crate::base::{Address, Proof, log_about};
use crate::clients::clients::Clients;
use crate::clients::greet::LoginEnd;
use crate::clients::stream::ClientStream;
use crate::wire::Fault;
use nix::unistd::{Uid, User};

impl LoginAttempt {
    /// By the names of the certificate that the client has shown, which is verified if there is one.
    pub(super) fn prove_by_certificate(
        &self,
        clients: &Clients,
        stream: &ClientStream,
        map: Option<&IdentMap>,
    ) -> Result<Proof, LoginEnd> {
        match self.certificate_name(stream, map) {
            Ok(name) => Ok(Proof::under_name(Method::Cert.word(), name, &self.user)),
            Err(problem) => {
                self.tried.fails(&problem);
                if self.may_log(clients) {
                    log_about!(error, self.about(), "{problem}");
                }
                Err(Fault::CertificateFailed.into())
            }
        }
    }

    /// The name of the certificate that is good for the user.
    fn certificate_name<'a>(
        &'a self,
        stream: &ClientStream,
        map: Option<&'a IdentMap>,
    ) -> Result<&'a str, Unproven> {
        if !stream.is_tls() {
            return Err(Unproven::NoTls);
        }
        let names = stream.certificate_names().ok_or(Unproven::NoCertificate)?;
        let names = names.map_err(|why| Unproven::Refused(why.to_string()))?;
        match map {
            None if names.has(&self.user) => Ok(&self.user),
            None => Err(Unproven::OtherName),
            Some(map) => {
                let name = map.name_for(&self.user, |name| names.has(name));
                name.ok_or_else(|| Unproven::NotInMap(map.name.clone()))
            }
        }
    }

    /// By the account of the process at the other end of the Unix socket.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn prove_by_account(
        &self,
        clients: &Clients,
        map: Option<&IdentMap>,
    ) -> Result<Proof, LoginEnd> {
        let account = match self.remote {
            Address::Unix { uid, .. } => account_name(clients, uid).await,
            Address::Tcp(_) => None,
        };
        let is_account = |name: &str| account.as_deref() == Some(name);
        let name = match map {
            None => Some(&*self.user).filter(|user| is_account(user)),
            Some(map) => map.name_for(&self.user, is_account),
        };
        if let Some(name) = name {
            return Ok(Proof::under_name(Method::Peer.word(), name, &self.user));
        }
        if let Some(map) = map
            && self.may_log(clients)
        {
            log_about!(error, self.about(), "ident map {} cannot be matched", map.name);
        }
        Err(Fault::PeerRejected.into())
    }
}

/// Why a certificate does not prove who the client is.
#[derive(Debug, thiserror::Error)]
enum Unproven {
    #[error("TLS connection required")]
    NoTls,
    #[error("TLS client certificate required")]
    NoCertificate,
    #[error("TLS client certificate refused: {0}")]
    Refused(String),
    #[error("TLS certificate name mismatch")]
    OtherName,
    #[error("ident map: {0} does not have a match")]
    NotInMap(Box<str>),
}

/// The name of an account of this machine. The system may ask elsewhere for it, and wait: a few at a time.
async fn account_name(clients: &Clients, uid: u32) -> Option<String> {
    let permit = clients.accounts.acquire(&uid.to_string()).await;
    let found = permit.compute(move || User::from_uid(Uid::from_raw(uid))).await?;
    match found {
        Ok(user) => user.map(|user| user.name),
        Err(error) => {
            tracing::warn!("could not look up the account with the number {uid}: {error}");
            None
        }
    }
}
