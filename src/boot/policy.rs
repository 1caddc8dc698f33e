//! Files -> one [`Policy`]: settings and entries, the user list, TLS. Whole or not at all.
//!
//! Used at the start, by a reload, by SET and by `--check`. Never changes anything that runs.

use crate::auth::UserList;
use crate::config::{ConfigError, ConfigErrors, EntryProblem, Place, Problem, Snapshot};
use crate::io::tls::{self, TlsError};
use crate::login::{ClientTls, EntryTlsError, Policy, ServersTls, iam_entry};
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

/// Reads everything that `path` names, with the keys of `overlay` added.
///
/// # Errors
/// Every error of the configuration files; otherwise the first of what they name.
pub(super) fn load_first(path: &Path, overlay: Option<&Path>) -> Result<Loaded, Vec<String>> {
    let snapshot = match overlay {
        Some(overlay) => Snapshot::load_overlaid(path, overlay),
        None => Snapshot::load(path, None),
    };
    from_snapshot(snapshot.map_err(|errors| lines(&errors))?, None)
}

/// Reads the same files again; `before` is what is in force.
///
/// # Errors
/// As [`load_first`].
pub(super) fn load_again(before: &Policy) -> Result<Loaded, Vec<String>> {
    let snapshot = Snapshot::load(&before.snapshot.path(), Some(&before.snapshot));
    from_snapshot(snapshot.map_err(|errors| lines(&errors))?, Some(before))
}

fn lines(errors: &ConfigErrors) -> Vec<String> {
    errors.to_string().lines().map(str::to_owned).collect()
}

/// Reads what a snapshot names.
///
/// # Errors
/// Everything that is wrong with logins by IAM; what is wrong with TLS; on a reload also what is wrong with `auth_file`.
fn from_snapshot(mut snapshot: Snapshot, before: Option<&Policy>) -> Result<Loaded, Vec<String>> {
    look_at_iam(&mut snapshot)?;
    let (users, notes) = read_users(&snapshot, before).map_err(|error| vec![error])?;
    let (client_tls, server_tls) = set_up_tls(&snapshot).map_err(|error| vec![error])?;
    let policy = Policy { snapshot: Arc::new(snapshot), users: Arc::new(users), client_tls, server_tls };
    Ok(Loaded { policy, notes })
}

/// What `SET key = value` makes of the policy in force, and why TLS stays as it was although the setting is one of its
/// own: the setting is kept all the same, since the next one may make the set whole.
///
/// # Errors
/// What is wrong with the setting, or with the `auth_file` that it names.
pub(super) fn with_setting(
    before: &Policy,
    key: &str,
    value: &str,
) -> Result<(Loaded, Option<String>), String> {
    let mut snapshot = before.snapshot.with_setting(key, value).map_err(|error| error.to_string())?;
    if key.starts_with("server_tls") || key.starts_with("iam") {
        look_at_iam(&mut snapshot).map_err(|errors| errors.join("; "))?;
    }
    let (users, notes) = if snapshot.settings.auth_file == before.snapshot.settings.auth_file {
        (Arc::clone(&before.users), Vec::new())
    } else {
        let (users, notes) = read_users(&snapshot, Some(before))?;
        (Arc::new(users), notes)
    };
    let of_tls = key.starts_with("client_tls") || key.starts_with("server_tls");
    let tls = of_tls.then(|| set_up_tls(&snapshot)).transpose();
    let (tls, why) = match tls {
        Ok(tls) => (tls, None),
        Err(error) => (None, Some(error)),
    };
    let (client_tls, server_tls) =
        tls.unwrap_or_else(|| (before.client_tls.clone(), before.server_tls.clone()));
    let policy = Policy { snapshot: Arc::new(snapshot), users, client_tls, server_tls };
    Ok((Loaded { policy, notes }, why))
}

/// What only the entry as a whole tells of logins by IAM.
///
/// # Errors
/// Everything that is wrong with it.
fn look_at_iam(snapshot: &mut Snapshot) -> Result<(), Vec<String>> {
    let found = iam_entry::check(snapshot);
    snapshot.warnings.extend(found.warnings);
    let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// What handshakes need, with clients and with servers.
type Tls = (Option<ClientTls>, ServersTls);

fn set_up_tls(snapshot: &Snapshot) -> Result<Tls, String> {
    let failed = |error: TlsError| format!("TLS setup failed: {error}");
    let config = tls::server_config(&snapshot.settings).map_err(failed)?;
    let client = config.map(|config| ClientTls { mode: snapshot.settings.client_tls_sslmode, config });
    let server = ServersTls::load(snapshot).map_err(|EntryTlsError { database, error }| {
        let Some((name, place)) =
            database.and_then(|name| Some((name.to_string(), place_of(snapshot, &name)?)))
        else {
            return failed(error);
        };
        let problem = EntryProblem::Unfit { key: "server_tls_ca_file", why: error.to_string() };
        ConfigError { place, problem: Problem::Entry { kind: "database", name, problem } }.to_string()
    })?;
    Ok((client, server))
}

/// Where the entry of a database stands in the files.
fn place_of(snapshot: &Snapshot, database: &str) -> Option<Place> {
    snapshot.places.databases.get(database).cloned()
}

/// `auth_file`. At the start one that cannot be read, or is broken, is told and not fatal, as with PgBouncer; a reload that
/// would lose users by it fails instead. Users that it no longer has keep existing with a password that never matches
/// (surface sections 2 and 5).
fn read_users(snapshot: &Snapshot, before: Option<&Policy>) -> Result<(UserList, Vec<String>), String> {
    let Some(path) = snapshot.settings.auth_file.as_ref() else { return Ok(Default::default()) };
    let (mut users, problem) = match std::fs::read(&**path) {
        Ok(text) => {
            let (users, broken) = UserList::parse(&text);
            (users, broken.map(|error| format!("{}: {error}", &**path)))
        }
        Err(error) => (UserList::default(), Some(format!("could not open auth_file {}: {error}", &**path))),
    };
    if let Some(before) = before {
        match problem {
            Some(problem) if before.users.count() > 0 => return Err(problem),
            _ => users.keep_users_of(&before.users),
        }
    }
    Ok((users, problem.into_iter().collect()))
}
