//! What an operator should know of an entry that is no error: what cannot take effect as it stands. Pure.

use super::CONSOLE_DATABASE;
use super::choices::{Choice, SslMode};
use super::database::{Database, UserEntry};
use super::iam::ServerAuth;
use super::instances::Endpoints;
use super::snapshot::Snapshot;
use std::sync::Arc;

/// What may be doubted of an entry, a text each.
type Doubt = fn(&Database, &Snapshot) -> Vec<String>;

/// Every doubt, and the setting that it hangs on beside the entry's own keys.
const DOUBTS: [(&str, Doubt); 4] = [
    ("", asks_console),
    ("client_tls_sslmode", closed_to_tcp),
    ("server_tls_sslmode", verifies_nothing),
    ("application_name_add_host", names_twice),
];

/// Everything of that kind about the entries of `[databases]`, and about the other sections, a line each;
/// with `setting` only what hangs on that.
pub(super) fn all(snapshot: &Snapshot, setting: Option<&str>) -> Vec<String> {
    let entries = snapshot.databases.values().chain(&snapshot.fallback);
    let doubts = DOUBTS.iter().filter(|(on, _)| setting.is_none_or(|setting| setting == *on));
    let found = entries.flat_map(|entry| {
        let told = move |text: String| format!("database \"{}\": {text}", entry.name);
        doubts.clone().flat_map(move |(_, doubt)| doubt(entry, snapshot)).map(told)
    });
    let of_peers = setting.is_none_or(|setting| setting == "peer_id").then(|| peers_of_nobody(snapshot));
    let of_users = setting.is_none_or(|setting| setting == "auth_user").then(|| secrets_of_nobody(snapshot));
    let of_instances = setting.is_none().then(|| instances_of_nobody(snapshot));
    let of_others = of_users.into_iter().chain(of_instances).flatten();
    found.chain(of_peers.flatten()).chain(of_others).collect()
}

/// Servers that no entry reaches by any of their names: caps that bound nothing.
fn instances_of_nobody(snapshot: &Snapshot) -> Vec<String> {
    let entries = snapshot.databases.values().chain(&snapshot.fallback);
    let is_named = |endpoints: &Endpoints, entry: &Database| {
        snapshot.endpoints(entry).iter().any(|endpoint| endpoints.contains(endpoint))
    };
    let is_idle = |name: &&Arc<str>| {
        let own = snapshot.instances.endpoints(name);
        own.is_some_and(|own| !entries.clone().any(|entry| is_named(own, entry)))
    };
    let idle = snapshot.instances.entries().keys().filter(is_idle);
    idle.map(|name| format!("instance \"{name}\": no database has its host and port")).collect()
}

/// Secrets of users as whom no pool logs in to servers, since every entry names a user of its own.
fn secrets_of_nobody(snapshot: &Snapshot) -> Vec<String> {
    let entries = || snapshot.databases.values().chain(&snapshot.fallback);
    let may_be = |name: &Arc<str>, entry: &Database| match &entry.user {
        None => true,
        Some(user) => user == name || entry.auth_user.as_ref() == Some(name),
    };
    let is_by_secret = |user: &UserEntry| user.server_auth.is_some_and(ServerAuth::is_by_secret);
    let is_idle = |name: &Arc<str>| {
        let asks = snapshot.settings.auth_user.as_deref() == Some(&**name);
        !asks && entries().next().is_some() && !entries().any(|entry| may_be(name, entry))
    };
    let idle = snapshot.users.iter().filter(|(name, user)| is_by_secret(user) && is_idle(name));
    let tell = |(name, _): (&Arc<str>, _)| {
        format!("user \"{name}\": its secret is used by no database: each has user= of another")
    };
    idle.map(tell).collect()
}

fn peers_of_nobody(snapshot: &Snapshot) -> Option<String> {
    let is_idle = !snapshot.peers.is_empty() && snapshot.settings.peer_id.0 == 0;
    is_idle.then(|| "section [peers] has no effect without peer_id".to_owned())
}

fn asks_console(entry: &Database, _: &Snapshot) -> Vec<String> {
    let asks = entry.auth_dbname.as_deref() == Some(CONSOLE_DATABASE);
    asks.then(|| "auth_dbname is the console, where no auth_query runs".to_owned()).into_iter().collect()
}

/// TLS is demanded of clients where nobody offers it to them.
fn closed_to_tcp(entry: &Database, snapshot: &Snapshot) -> Vec<String> {
    const WHY: &str = "client_tls_required with client_tls_sslmode=disable refuses all TCP clients";
    let is_closed = entry.client_tls_required && snapshot.settings.client_tls_sslmode == SslMode::Disable;
    is_closed.then(|| WHY.to_owned()).into_iter().collect()
}

/// Both say what clients are called.
fn names_twice(entry: &Database, snapshot: &Snapshot) -> Vec<String> {
    const WHY: &str = "application_name_add_host has no effect with application_name_template";
    let settings = &snapshot.settings;
    let template = entry.application_name_template.as_ref().unwrap_or(&settings.application_name_template);
    let both = settings.application_name_add_host && !template.is_plain();
    both.then(|| WHY.to_owned()).into_iter().collect()
}

/// Keys that say what a server's certificate is verified against, where it is not. For
/// logins by IAM it always is.
fn verifies_nothing(entry: &Database, snapshot: &Snapshot) -> Vec<String> {
    let by_iam = |auth: Option<ServerAuth>| auth.is_some_and(ServerAuth::is_by_iam);
    if by_iam(entry.server_auth) || snapshot.users.values().any(|user| by_iam(user.server_auth)) {
        return Vec::new();
    }
    let mode = entry.server_tls_sslmode.unwrap_or(snapshot.settings.server_tls_sslmode);
    let name = mode.word();
    let mut told = Vec::new();
    if mode < SslMode::VerifyCa && entry.server_tls_ca_file.is_some() {
        told.push(format!(
            "server_tls_ca_file is not read with server_tls_sslmode={name}: set that to verify-ca or \
             verify-full"
        ));
    }
    if mode < SslMode::VerifyFull && entry.tls_server_name.is_some() {
        told.push(format!(
            "tls_server_name is not verified with server_tls_sslmode={name}: set that to verify-full"
        ));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(text: &str) -> Snapshot {
        Snapshot::load_with("p.ini", None, &|_| Ok(text.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn a_secret_of_a_user_is_told_where_no_database_logs_in_so() {
        const TOLD: &str = "user \"report\": its secret is used by no database: each has user= of another";
        let told = |databases: &str, more: &str| {
            let text = format!(
                "[databases]\n{databases}\n[users]\n\
                 report = server_auth=secret_file secret_file=/run/secrets/report\n\
                 other = pool_size=1\n[pgbouncer]\n{more}\n"
            );
            valid(&text).warnings
        };
        let named = "a = host=h user=app\nb = host=h user=leg";
        assert_eq!(told(named, ""), [TOLD]);
        assert_eq!(told("* = host=h user=app", ""), [TOLD]);
        for used in
            ["c = host=h", "c = host=h user=report", "* = host=h", "c = host=h user=app auth_user=report"]
        {
            assert_eq!(told(&format!("{named}\n{used}"), ""), [""; 0], "{used}");
        }
        assert_eq!(told(named, "auth_user = report"), [""; 0]);
        assert_eq!(told("", ""), [""; 0], "there is no database at all");
    }

    #[test]
    fn keys_that_verify_nothing_are_warned_about() {
        const CA: &str = "database \"a\": server_tls_ca_file is not read with server_tls_sslmode=";
        const NAME: &str = "database \"a\": tls_server_name is not verified with server_tls_sslmode=";
        let told = |entry: &str, settings: &str| {
            let text = format!("[databases]\na = host=h {entry}\nb = host=h\n[pgbouncer]\n{settings}\n");
            valid(&text).warnings
        };
        let both = "server_tls_ca_file=/nonexistent tls_server_name=db.example";
        for mode in ["disable", "allow", "prefer", "require"] {
            let told = told(&format!("{both} server_tls_sslmode={mode}"), "");
            assert_eq!(told.len(), 2, "{told:?}");
            assert!(told[0].starts_with(&format!("{CA}{mode}: set that to verify-ca or")), "{told:?}");
            assert!(told[1].starts_with(&format!("{NAME}{mode}: set that to verify-full")), "{told:?}");
        }
        let by_chain = told(both, "server_tls_sslmode = verify-ca");
        assert!(by_chain.len() == 1 && by_chain[0].starts_with(NAME), "{by_chain:?}");
        assert_eq!(told(both, "server_tls_sslmode = verify-full"), [""; 0]);
        assert_eq!(told(&format!("{both} server_auth=rds_iam"), ""), [""; 0], "that is verify-full");
        assert_eq!(told(both, "[users]\nu = server_auth=rds_iam"), [""; 0], "for that user it is");
        let full =
            valid(&format!("[databases]\na = {both}\n[pgbouncer]\nserver_tls_sslmode = verify-full\n"));
        assert_eq!(full.with_setting("server_tls_sslmode", "prefer").unwrap().warnings.len(), 2);
    }
}
