//! Files -> one [`Policy`]: settings and entries, the user list, TLS. Whole or not at all.
//!
//! Used at the start, by a reload, by SET and by `--check`. Never changes anything that runs.

use crate::auth::UserList;
use crate::config::{ConfigError, ConfigErrors, EntryProblem, Problem, Snapshot};
use crate::control::{ClientTls, Policy};
use crate::servers::iam::entry;
use crate::tls::client::TlsError;
use crate::tls::{EntryTlsError, ServersTls, client};
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
    let (client_tls, server_tls) = set_up_tls(&snapshot, before).map_err(|error| vec![error])?;
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
    if is_of_iam(key) {
        look_at_iam(&mut snapshot).map_err(|errors| errors.join("; "))?;
    }
    let (users, notes) = if snapshot.settings.auth_file == before.snapshot.settings.auth_file {
        (Arc::clone(&before.users), Vec::new())
    } else {
        let (users, notes) = read_users(&snapshot, Some(before))?;
        (Arc::new(users), notes)
    };
    let of_tls = key.starts_with("client_tls") || key.starts_with("server_tls");
    let tls = of_tls.then(|| set_up_tls(&snapshot, Some(before))).transpose();
    let (tls, why) = match tls {
        Ok(tls) => (tls, None),
        Err(error) => (None, Some(error)),
    };
    let (client_tls, server_tls) =
        tls.unwrap_or_else(|| (before.client_tls.clone(), before.server_tls.clone()));
    let policy = Policy { snapshot: Arc::new(snapshot), users, client_tls, server_tls };
    Ok((Loaded { policy, notes }, why))
}

/// Whether what logins by IAM go by, or what they are worth, hangs on the setting.
fn is_of_iam(key: &str) -> bool {
    key.starts_with("server_tls")
        || key.starts_with("iam")
        || matches!(key, "pool_mode" | "auth_user" | "auth_dbname")
}

/// What only the entry as a whole tells of logins by IAM.
///
/// # Errors
/// Everything that is wrong with it.
fn look_at_iam(snapshot: &mut Snapshot) -> Result<(), Vec<String>> {
    let found = entry::check(snapshot);
    snapshot.warnings.extend(found.warnings);
    let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// The key and the setting of the file with the authorities of servers' certificates.
const CA_FILE: &str = "server_tls_ca_file";

/// What handshakes need, with clients and with servers.
type Tls = (Option<ClientTls>, ServersTls);

fn set_up_tls(snapshot: &Snapshot, before: Option<&Policy>) -> Result<Tls, String> {
    let failed = |error: TlsError| format!("TLS setup failed: {error}");
    let before = before.and_then(|before| before.client_tls.as_ref()).map(|tls| &tls.acceptor);
    let acceptor = client::acceptor(&snapshot.settings).map_err(failed)?;
    let client = acceptor.map(|acceptor| ClientTls {
        mode: snapshot.settings.client_tls_sslmode,
        acceptor: acceptor.or_before(before),
    });
    let server = ServersTls::load(snapshot).map_err(|failed| entry_tls_error(snapshot, failed))?;
    Ok((client, server))
}

/// Names the key of the entry where its own is what is wrong; else the setting is, and the entry only what it was needed for.
fn entry_tls_error(snapshot: &Snapshot, EntryTlsError { database, error }: EntryTlsError) -> String {
    let placed = database.and_then(|name| {
        let entry = snapshot.databases.get(&name).or(snapshot.fallback.as_ref())?;
        Some((entry, snapshot.places.databases.get(&name)?))
    });
    let Some((entry, place)) = placed else { return format!("TLS setup failed: {error}") };
    let is_own = match error {
        TlsError::NoAuthorities { .. } => true,
        TlsError::File { setting, .. } => setting == CA_FILE && entry.server_tls_ca_file.is_some(),
        _ => false,
    };
    if !is_own {
        return format!("TLS setup failed: {error}; needed for database \"{}\" ({place})", entry.name);
    }
    let problem = EntryProblem::Unfit { key: CA_FILE, why: error.to_string() };
    let problem = Problem::Entry { kind: "database", name: entry.name.to_string(), problem };
    ConfigError { place: place.clone(), problem }.to_string()
}

/// `auth_file`. At the start one that cannot be read, or is broken, is told and not fatal, as with PgBouncer; a reload that
/// would lose users by it fails instead. Users that it no longer has keep existing with a password that never matches.
/// Source: PgBouncer, src/loader.c (load_auth_file()).
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(databases: &str, settings: &str) -> String {
        let text = format!("[databases]\n{databases}\n[pgbouncer]\n{settings}\n");
        let snapshot = Snapshot::load_with("p.ini", None, &|_| Ok(text.clone().into_bytes())).unwrap();
        from_snapshot(snapshot, None).map(|_| ()).expect_err("refused").join("\n")
    }

    #[test]
    fn what_a_set_makes_of_logins_by_iam_is_told() {
        let text = "[databases]\na = host=db.abc.eu-west-1.rds.amazonaws.com server_auth=rds_iam server_tls_ca_file=x\n\
                    [pgbouncer]\npool_mode = transaction\n";
        let snapshot = Snapshot::load_with("p.ini", None, &|_| Ok(text.as_bytes().to_vec())).unwrap();
        let before = Policy {
            snapshot: Arc::new(snapshot),
            users: Arc::default(),
            client_tls: None,
            server_tls: ServersTls::disabled(),
        };
        let warnings = |key, value| with_setting(&before, key, value).unwrap().0.warnings();
        let told = warnings("pool_mode", "session");
        assert!(told.len() == 1 && told[0].contains("\"a\": in session pooling"), "{told:?}");
        assert_eq!(warnings("pool_mode", "statement"), [""; 0]);
        assert_eq!(warnings("query_timeout", "5"), [""; 0]);
    }

    #[test]
    fn an_error_of_tls_is_told_with_what_is_wrong() {
        const RDS: &str = "a = host=db.abc.eu-west-1.rds.amazonaws.com server_auth=rds_iam";
        let own = refused(&format!("{RDS} server_tls_ca_file=/no/such.pem"), "");
        assert!(
            own.starts_with(
                "invalid parameter server_tls_ca_file of database \"a\" in configuration (p.ini:2)"
            ),
            "{own}"
        );
        let of_settings = refused(RDS, "server_tls_ca_file = /no/such.pem");
        assert!(
            of_settings.starts_with("TLS setup failed: server_tls_ca_file: /no/such.pem: "),
            "{of_settings}"
        );
        assert!(of_settings.ends_with("; needed for database \"a\" (p.ini:2)"), "{of_settings}");
        let versions = refused(&format!("{RDS} server_tls_ca_file=x"), "server_tls_protocols = tlsv1.0");
        assert_eq!(
            versions,
            "TLS setup failed: server_tls_protocols: only TLS 1.2 and 1.3 are available in this version; \
             needed for database \"a\" (p.ini:2)"
        );
    }
}
