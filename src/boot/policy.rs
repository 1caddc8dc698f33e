//! Files -> one [`Policy`]: settings and entries, the user list, TLS. Whole or not at all.
//!
//! Used at the start, by a reload, by SET and by `--check`. Never changes anything that runs.

use crate::auth::UserList;
use crate::config::{Settings, Snapshot};
use crate::io::tls;
use crate::login::{ClientTls, Policy, ServerTls};
use std::path::Path;
use std::sync::Arc;

/// A policy that is not in force yet, and what is to be said about it.
pub(super) struct Loaded {
    /// The policy.
    pub policy: Policy,
    notes: Vec<String>,
}

impl Loaded {
    /// What the files say that has no effect, or not the effect that one may expect.
    pub fn warnings(&self) -> Vec<String> {
        self.policy
            .snapshot
            .warnings
            .iter()
            .map(ToString::to_string)
            .chain(self.notes.iter().cloned())
            .collect()
    }
}

/// Reads everything that `path` names; `before` is what is in force.
///
/// # Errors
/// Every error of the configuration files; otherwise the first of TLS.
pub(super) fn load(path: &Path, before: Option<&Policy>) -> Result<Loaded, Vec<String>> {
    let snapshot = Snapshot::load(path, before.map(|policy| &*policy.snapshot));
    let snapshot =
        snapshot.map_err(|errors| errors.to_string().lines().map(str::to_owned).collect::<Vec<_>>())?;
    from_snapshot(snapshot, before)
}

/// Reads what a snapshot names.
///
/// # Errors
/// What is wrong with TLS.
pub(super) fn from_snapshot(snapshot: Snapshot, before: Option<&Policy>) -> Result<Loaded, Vec<String>> {
    let mut notes = Vec::new();
    let users = Arc::new(read_users(&snapshot, before, &mut notes));
    let (client_tls, server_tls) = read_tls(&snapshot.settings).map_err(|error| vec![error])?;
    Ok(Loaded { policy: Policy { snapshot: Arc::new(snapshot), users, client_tls, server_tls }, notes })
}

/// What a snapshot names, after a SET of `key` made it from that of `before`. Settings of TLS are often whole only after several
/// SETs, so one that does not fit the others stays, TLS stays as it was, and what does not fit is the second value.
pub(super) fn from_set(snapshot: Snapshot, key: &str, before: &Policy) -> (Loaded, Option<String>) {
    let mut notes = Vec::new();
    let users = Arc::new(read_users(&snapshot, Some(before), &mut notes));
    let as_before = (before.client_tls.clone(), before.server_tls.clone());
    let is_of_tls = key.starts_with("client_tls") || key.starts_with("server_tls");
    let read = if is_of_tls { read_tls(&snapshot.settings) } else { Ok(as_before.clone()) };
    let error = read.as_ref().err().cloned();
    let (client_tls, server_tls) = read.unwrap_or(as_before);
    (Loaded { policy: Policy { snapshot: Arc::new(snapshot), users, client_tls, server_tls }, notes }, error)
}

/// TLS of both sides.
fn read_tls(settings: &Settings) -> Result<(Option<ClientTls>, ServerTls), String> {
    let read = || {
        let config = tls::server_config(settings)?;
        let client_tls = config.map(|config| ClientTls { mode: settings.client_tls_sslmode, config });
        Ok((client_tls, ServerTls::from_settings(settings)?))
    };
    read().map_err(|error: tls::TlsError| format!("TLS setup failed: {error}"))
}

/// `auth_file`: one that cannot be read, or is broken, is told and not fatal. Users that it no longer has keep existing with a
/// password that never matches; all users stay as they are where it cannot be read (PgBouncer behaviour, surface §2, §5).
fn read_users(snapshot: &Snapshot, before: Option<&Policy>, notes: &mut Vec<String>) -> UserList {
    let Some(path) = snapshot.settings.auth_file.as_ref() else { return UserList::default() };
    let mut users = match std::fs::read(&**path) {
        Ok(text) => {
            let (users, broken) = UserList::parse(&text);
            notes.extend(broken.map(|error| format!("{}: {error}", &**path)));
            users
        }
        Err(error) => {
            notes.push(format!("could not open auth_file {}: {error}", &**path));
            return before.map(|before| UserList::clone(&before.users)).unwrap_or_default();
        }
    };
    if let Some(before) = before {
        users.keep_users_of(&before.users);
    }
    users
}
