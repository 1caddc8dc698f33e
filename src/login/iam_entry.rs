//! What an entry says of logins by IAM, read as a whole: for the load of a configuration, and again for each login.
//!
//! Nothing is kept: reading costs a few microseconds, a login some milliseconds, and so what a login goes by is never older than
//! the configuration in force. Pure. All errors of an entry come out together.
//! Invariant: rules that come out are those of an entry whose servers are reached by verify-full TLS only.

use super::server_tls;
use crate::config::{
    BadValue, ConfigError, Database, EntryProblem, Host, IamIdentity, Place, Problem, ServerAuth, Snapshot,
    SslMode, Value,
};
use crate::iam::SourceKind;
use crate::iam::age::Lifetime;
use crate::iam::rules::{BadKey, Keys, Rules};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Where the certificates of RDS's authorities are found.
pub const RDS_AUTHORITIES: &str = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem";

/// Databases that one warning names.
const NAMED_MAX: usize = 3;

/// How servers of `database` are logged in to as `user`; `None` = not by IAM.
///
/// # Errors
/// Every key that is refused, or that does not go with logins by IAM.
pub fn rules(snapshot: &Snapshot, database: &Database, user: &str) -> Option<Result<Rules, Vec<BadKey>>> {
    let by_iam = snapshot.server_auth(database, user) == ServerAuth::RdsIam;
    by_iam.then(|| read(snapshot, database, user))
}

fn read(snapshot: &Snapshot, database: &Database, user: &str) -> Result<Rules, Vec<BadKey>> {
    let mut refused = unfit(snapshot, database);
    let identity = snapshot.iam_identity(database, user);
    let hosts: Vec<_> = database.hosts.iter().map(ToString::to_string).collect();
    let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
    let endpoint = &database.iam_endpoint;
    let keys = Keys {
        hosts: &hosts,
        port: database.port,
        iam_host: endpoint.host.as_deref(),
        iam_port: endpoint.port.as_deref(),
        iam_region: endpoint.region.as_deref(),
        iam_login_rate: endpoint.login_rate.as_deref(),
        ..keys_of(&identity)
    };
    match Rules::read(&keys) {
        Ok(rules) if refused.is_empty() => Ok(rules),
        Ok(_) => Err(refused),
        Err(more) => {
            let is_new = |bad: &BadKey| !refused.iter().any(|known| known.key == bad.key);
            let more: Vec<_> = more.into_iter().filter(is_new).collect();
            refused.extend(more);
            Err(refused)
        }
    }
}

fn keys_of(identity: &IamIdentity) -> Keys<'_> {
    Keys {
        iam_credential_source: identity.credential_source.as_deref(),
        iam_profile: identity.profile.as_deref(),
        iam_role_arn: identity.role_arn.as_deref(),
        iam_external_id: identity.external_id.as_ref().map(|id| id.expose()),
        iam_session_name: identity.session_name.as_deref(),
        iam_max_age: identity.max_age.as_deref(),
        iam_on_denied: identity.on_denied.as_deref(),
        lifetime: if identity.strict_lifetime == Some(true) { Lifetime::Strict } else { Lifetime::Lenient },
        ..Keys::default()
    }
}

/// Keys that have another meaning elsewhere, and do not go with logins by IAM.
fn unfit(snapshot: &Snapshot, database: &Database) -> Vec<BadKey> {
    let mut refused = Vec::new();
    let mut add = |key, why: String| refused.push(BadKey { key, why });
    if database.hosts.iter().any(|host| matches!(host, Host::UnixDir(_) | Host::DefaultUnixDir)) {
        add("host", "server_auth=rds_iam needs a TCP host: there is no TLS over Unix sockets".to_owned());
    }
    if !database.password.is_empty() {
        add("password", "it cannot stand beside server_auth=rds_iam".to_owned());
    }
    let weaker = |mode: SslMode| {
        let mode = mode.show().unwrap_or_default();
        format!("{mode} is too weak: a token is sent over verify-full only")
    };
    let settings = &snapshot.settings;
    match (database.server_tls_sslmode, snapshot.places.settings.get("server_tls_sslmode")) {
        (Some(SslMode::VerifyFull), _) | (None, None) => {}
        (Some(mode), _) => add("server_tls_sslmode", weaker(mode)),
        (None, Some(_)) if settings.server_tls_sslmode == SslMode::VerifyFull => {}
        (None, Some(place)) => {
            let why = weaker(settings.server_tls_sslmode);
            add(
                "server_auth",
                format!(
                    "server_tls_sslmode={why}; set verify-full there ({place}), or here for this entry alone"
                ),
            );
        }
    }
    let authorities = database.server_tls_ca_file.as_ref().unwrap_or(&settings.server_tls_ca_file);
    if authorities.is_empty() {
        add(
            "server_tls_ca_file",
            format!(
                "server_auth=rds_iam needs the certificates of RDS's authorities: fetch {RDS_AUTHORITIES} and name the file"
            ),
        );
    }
    refused
}

/// The rules of every pool by IAM that the files foresee: of each entry, and of each user that has keys of its own.
pub fn foreseen(snapshot: &Snapshot) -> impl Iterator<Item = Rules> {
    let own: Vec<&Arc<str>> = users_with_keys(snapshot).map(|(name, _)| name).collect();
    entries(snapshot).flat_map(move |database| {
        let users = match database.user.as_deref() {
            Some(forced) => vec![forced],
            None => own.iter().map(|name| &***name).chain([""]).collect(),
        };
        let found: Vec<_> =
            users.into_iter().filter_map(|user| rules(snapshot, database, user)?.ok()).collect();
        found
    })
}

fn entries(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<Database>> {
    snapshot.databases.values().chain(&snapshot.fallback)
}

/// Users that have keys of their own for logins by IAM.
pub(super) fn users_with_keys(
    snapshot: &Snapshot,
) -> impl Iterator<Item = (&Arc<str>, &crate::config::UserEntry)> {
    let none = IamIdentity::default();
    snapshot.users.iter().filter(move |(_, user)| user.server_auth.is_some() || user.iam != none)
}

/// What is found when a configuration is looked at as a whole.
#[derive(Debug, Default)]
pub struct Findings {
    /// What is wrong, in the order of the files.
    pub errors: Vec<ConfigError>,
    /// What an operator should know of it.
    pub warnings: Vec<String>,
}

/// Looks at everything that a configuration says of logins by IAM and of servers' names in TLS.
pub fn check(snapshot: &Snapshot) -> Findings {
    let mut findings = Findings::default();
    findings.check_settings(snapshot);
    for database in entries(snapshot) {
        findings.check_database(snapshot, database);
    }
    for (name, user) in users_with_keys(snapshot) {
        findings.check_user(snapshot, name, user.server_auth, &user.iam);
    }
    findings.compare_rates(snapshot);
    findings.errors.sort_by_key(|error| (Arc::clone(&error.place.file), error.place.line));
    findings
}

impl Findings {
    fn check_settings(&mut self, snapshot: &Snapshot) {
        const KEY: &str = "iam_credential_source";
        let text = &snapshot.settings.iam_credential_source;
        if let Err(why) = text.parse::<SourceKind>() {
            let problem = Problem::BadSetting {
                key: KEY,
                value: text.to_string(),
                why: BadValue::Refused(why.to_string()),
            };
            self.errors
                .push(ConfigError { place: place(snapshot, snapshot.places.settings.get(KEY)), problem });
        }
    }

    fn check_database(&mut self, snapshot: &Snapshot, database: &Database) {
        let at = snapshot.places.databases.get(&database.name);
        let mut refuse = |bad: BadKey| {
            let problem = EntryProblem::Unfit { key: bad.key, why: bad.why };
            let problem = Problem::Entry { kind: "database", name: database.name.to_string(), problem };
            self.errors.push(ConfigError { place: place(snapshot, at), problem });
        };
        if let Some(Err(why)) = database.tls_server_name.as_deref().map(server_tls::check_name) {
            refuse(BadKey { key: "tls_server_name", why });
        }
        match rules(snapshot, database, database.user.as_deref().unwrap_or_default()) {
            Some(Ok(rules)) => {
                let doubts = rules.endpoints.iter().flat_map(|endpoint| {
                    endpoint.doubts().map(move |doubt| format!("{}: {doubt}", endpoint.host()))
                });
                let doubts: BTreeSet<_> = doubts.collect();
                let name = &database.name;
                self.warnings.extend(doubts.iter().map(|doubt| format!("database \"{name}\": {doubt}")));
            }
            Some(Err(refused)) => refused.into_iter().for_each(refuse),
            None => self.warn_of_idle_keys(snapshot, database),
        }
    }

    /// Keys that do nothing are no error, since a user may bring them to life; but they are told.
    fn warn_of_idle_keys(&mut self, snapshot: &Snapshot, database: &Database) {
        let has_keys = database.iam_endpoint != Default::default() || database.iam != IamIdentity::default();
        let by_user = snapshot.users.values().any(|user| user.server_auth == Some(ServerAuth::RdsIam));
        if has_keys && !by_user {
            let name = &database.name;
            self.warnings
                .push(format!("database \"{name}\": iam_* keys have no effect without server_auth=rds_iam"));
        }
    }

    fn check_user(
        &mut self,
        snapshot: &Snapshot,
        name: &Arc<str>,
        auth: Option<ServerAuth>,
        identity: &IamIdentity,
    ) {
        const ANY_HOST: &str = "db.any.us-east-1.rds.amazonaws.com";
        let whole = snapshot.iam_identity(&Database::new("any".into()), name);
        let keys = Keys { hosts: &[ANY_HOST], port: 5432, ..keys_of(&whole) };
        for bad in Rules::read(&keys).err().into_iter().flatten() {
            let problem = EntryProblem::Unfit { key: bad.key, why: bad.why };
            let problem = Problem::Entry { kind: "user", name: name.to_string(), problem };
            let at = snapshot.places.users.get(name);
            self.errors.push(ConfigError { place: place(snapshot, at), problem });
        }
        let by_database = entries(snapshot).any(|entry| entry.server_auth == Some(ServerAuth::RdsIam));
        if auth != Some(ServerAuth::RdsIam) && *identity != IamIdentity::default() && !by_database {
            self.warnings
                .push(format!("user \"{name}\": iam_* keys have no effect without server_auth=rds_iam"));
        }
        if auth == Some(ServerAuth::RdsIam) {
            self.warn_of_closed_databases(snapshot, name);
        }
    }

    /// Databases where a user that logs in by IAM cannot: no error, since it need not ever go there.
    fn warn_of_closed_databases(&mut self, snapshot: &Snapshot, user: &Arc<str>) {
        let closed = entries(snapshot).filter(|entry| entry.user.is_none() && entry.server_auth.is_none());
        let mut closed = closed.filter_map(|entry| {
            let refused = rules(snapshot, entry, user)?.err()?;
            Some((&entry.name, refused.first()?.to_string()))
        });
        let named: Vec<_> =
            closed.by_ref().take(NAMED_MAX).map(|(name, why)| format!("\"{name}\" ({why})")).collect();
        if !named.is_empty() {
            let more = match closed.count() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let named = named.join(", ");
            self.warnings.push(format!(
                "user \"{user}\": server_auth=rds_iam cannot log in to database {named}{more}"
            ));
        }
    }

    fn compare_rates(&mut self, snapshot: &Snapshot) {
        let mut rates: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        for rules in foreseen(snapshot) {
            for endpoint in &rules.endpoints {
                rates.entry(endpoint.to_string()).or_default().insert(rules.login_rate);
            }
        }
        for (endpoint, rates) in rates.iter().filter(|(_, rates)| rates.len() > 1) {
            let least = rates.first().copied().unwrap_or_default();
            self.warnings
                .push(format!("entries differ in iam_login_rate for {endpoint}: the least, {least}, counts"));
        }
    }
}

/// The place of something that may not stand in any file.
fn place(snapshot: &Snapshot, at: Option<&Place>) -> Place {
    let whole = || Place { file: snapshot.path().to_string_lossy().into(), line: 0 };
    at.cloned().unwrap_or_else(whole)
}

/// The name that the certificate of `database`'s servers must be for, where that is not the host's.
pub fn server_name(database: &Database, auth: ServerAuth) -> Option<Arc<str>> {
    let of_iam = || database.iam_endpoint.host.clone().filter(|_| auth == ServerAuth::RdsIam);
    database.tls_server_name.clone().or_else(of_iam)
}

#[cfg(test)]
mod tests;
