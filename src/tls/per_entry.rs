//! TLS towards the servers of every database entry: what the settings say, or what an
//! entry says in its place.
//!
//! Each triple of mode, CA file and negotiation is made once, however many entries have it. Never opens a
//! connection. Invariant: what is given out for logins by IAM is `verify-full`. Source: PgBouncer,
//! doc/config.md ("TLS settings").

use super::authorities::LeftOut;
use super::files::TlsError;
use super::server::ServerTls;
use crate::base::limits;
use crate::config::{Database, ServerAuth, Settings, Snapshot, SslMode, TlsNegotiation};
use std::collections::HashMap;
use std::sync::Arc;

/// TLS towards the servers of every entry: what the settings say, and what entries say in its place.
#[derive(Clone, Debug)]
pub struct ServersTls {
    /// What the settings ask for, and what it comes to.
    of_settings: Wanted,
    common: ServerTls,
    own: HashMap<Wanted, ServerTls>,
}

/// What entries may say in the settings' place: mode, CA file, how it begins.
type Wanted = (SslMode, Arc<str>, TlsNegotiation);

/// Why an entry's TLS cannot be set up: whose it is, where that is an entry's own, and what is wrong.
#[derive(Debug)]
pub struct EntryTlsError {
    /// The entry; `None` = the settings.
    pub database: Option<Arc<str>>,
    /// What.
    pub error: TlsError,
}

impl ServersTls {
    /// No TLS at all.
    pub fn disabled() -> Self {
        Self::made_of("".into(), ServerTls::disabled())
    }

    /// The same towards everybody.
    #[cfg(test)]
    pub fn of_all(common: ServerTls) -> Self {
        Self::made_of("".into(), common)
    }

    fn made_of(ca_file: Arc<str>, common: ServerTls) -> Self {
        Self { of_settings: (common.mode, ca_file, common.negotiation), common, own: HashMap::new() }
    }

    /// Reads the files that settings and entries name, each once.
    ///
    /// # Errors
    /// What is wrong with the settings, and with each entry; the first `limits::CONFIG_ERRORS_MAX` of it.
    pub fn load(snapshot: &Snapshot) -> Result<Self, Vec<EntryTlsError>> {
        let settings = &snapshot.settings;
        let mut failed = Vec::new();
        let common = ServerTls::from_settings(settings).unwrap_or_else(|error| {
            failed.push(EntryTlsError { database: None, error });
            ServerTls::disabled()
        });
        let (mode, ca_file) = (settings.server_tls_sslmode, Arc::clone(&settings.server_tls_ca_file));
        let of_settings = (mode, ca_file, settings.server_tls_negotiation);
        let mut all = Self { of_settings, common, own: HashMap::new() };
        let by_user = snapshot.users.values().any(|user| user.server_auth.is_some_and(ServerAuth::is_by_iam));
        for entry in snapshot.databases.values().chain(&snapshot.fallback) {
            let by_iam = by_user || entry.server_auth.is_some_and(ServerAuth::is_by_iam);
            let of_iam = by_iam.then_some(ServerAuth::RdsIam);
            for auth in std::iter::once(ServerAuth::Password).chain(of_iam) {
                failed.extend(all.add(entry, auth, settings).err());
            }
            if failed.len() >= limits::CONFIG_ERRORS_MAX {
                break;
            }
        }
        if failed.is_empty() { Ok(all) } else { Err(failed) }
    }

    fn add(&mut self, entry: &Database, auth: ServerAuth, settings: &Settings) -> Result<(), EntryTlsError> {
        let wanted @ (mode, ca_file, negotiation) = &self.wanted(entry, auth);
        // Without authorities there are no logins by IAM: that is told where the entry's keys are read.
        let is_missing = auth.is_by_iam() && ca_file.is_empty();
        if is_missing || *wanted == self.of_settings || self.own.contains_key(wanted) {
            return Ok(());
        }
        let settings = Settings {
            server_tls_sslmode: *mode,
            server_tls_ca_file: Arc::clone(ca_file),
            server_tls_negotiation: *negotiation,
            ..settings.clone()
        };
        let failed = |error| EntryTlsError { database: Some(Arc::clone(&entry.name)), error };
        self.own.insert(wanted.clone(), ServerTls::from_settings(&settings).map_err(failed)?);
        Ok(())
    }

    /// TLS towards the servers of `entry` that are logged in to so: verify-full where that is by IAM,
    /// whatever is set. `None`: it was not set up.
    pub fn of(&self, entry: &Database, auth: ServerAuth) -> Option<&ServerTls> {
        let wanted = self.wanted(entry, auth);
        if wanted == self.of_settings { Some(&self.common) } else { self.own.get(&wanted) }
    }

    /// What of the files of the authorities is of no use, of each file as often as it was read.
    pub fn left_out(&self) -> impl Iterator<Item = &LeftOut> {
        std::iter::once(&self.common).chain(self.own.values()).flat_map(|tls| &tls.left_out)
    }

    fn wanted(&self, entry: &Database, auth: ServerAuth) -> Wanted {
        let (mode, ca_file, negotiation) = &self.of_settings;
        let mode = match auth {
            ServerAuth::Password | ServerAuth::SecretFile | ServerAuth::SecretsManager => {
                entry.server_tls_sslmode.unwrap_or(*mode)
            }
            ServerAuth::RdsIam | ServerAuth::DsqlIam => SslMode::VerifyFull,
        };
        let ca_file = entry.server_tls_ca_file.as_ref().unwrap_or(ca_file).clone();
        (mode, ca_file, entry.server_tls_negotiation.unwrap_or(*negotiation))
    }
}
