//! Proofs that somebody else gives: the authority that has signed a client's certificate, the kernel that
//! knows the account at the other end of a Unix socket.
//!
//! The client is asked for nothing. Source: PgBouncer, src/client.c (login_via_cert(),
//! login_as_unix_peer()), src/system.c (check_unix_peer_name()).

use super::LoginAttempt;
use crate::auth::hba::IdentMap;
use crate::base::{Address, log_about};
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
    ) -> Result<(), LoginEnd> {
        match self.certificate_problem(stream, map) {
            None => Ok(()),
            Some(problem) => {
                if self.may_log(clients) {
                    log_about!(error, self.about(), "{problem}");
                }
                Err(Fault::CertificateFailed.into())
            }
        }
    }

    fn certificate_problem(&self, stream: &ClientStream, map: Option<&IdentMap>) -> Option<Unproven> {
        if !stream.is_tls() {
            return Some(Unproven::NoTls);
        }
        match stream.certificate_names() {
            None => Some(Unproven::NoCertificate),
            Some(Err(why)) => Some(Unproven::Refused(why.to_string())),
            Some(Ok(names)) => match map {
                None if names.has(&self.user) => None,
                None => Some(Unproven::OtherName),
                Some(map) if map.lets(&self.user, |name| names.has(name)) => None,
                Some(map) => Some(Unproven::NotInMap(map.name.clone())),
            },
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
    ) -> Result<(), LoginEnd> {
        let account = match self.remote {
            Address::Unix { uid, .. } => account_name(clients, uid).await,
            Address::Tcp(_) => None,
        };
        let is_account = |name: &str| account.as_deref() == Some(name);
        match map {
            None if is_account(&self.user) => return Ok(()),
            None => {}
            Some(map) if map.lets(&self.user, is_account) => return Ok(()),
            Some(map) if self.may_log(clients) => {
                log_about!(error, self.about(), "ident map {} cannot be matched", map.name);
            }
            Some(_) => {}
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
