//! What an entry says of logins by IAM, read as a whole: for the load of a configuration ([`check`]),
//! and again for each login.
//!
//! Nothing is kept: reading costs a few microseconds, a login some milliseconds, and so what a login goes by
//! is never older than the configuration in force. Pure. All errors of an entry come out together. Invariant:
//! rules that come out are those of an entry whose servers are reached by verify-full TLS only.

mod findings;
mod foreseen;
mod role;

pub use findings::{Findings, check};
pub use foreseen::{foreseen, queriers, users_with_keys};

use crate::config::{
    Choice, DSQL_DATABASE, Database, Host, IamIdentity, ServerAuth, Snapshot, SslMode, Value,
};
use crate::iam::age::Lifetime;
use crate::iam::rules::{BadKey, Keys, Rules, read_source};
use crate::iam::{Region, Service, SourceKey, authorities};
use std::sync::Arc;

/// How servers of `database` are logged in to as `user`; `None` = not by IAM.
///
/// # Errors
/// Every key that is refused, or that does not go with logins by IAM.
pub fn rules(snapshot: &Snapshot, database: &Database, user: &str) -> Option<Result<Rules, Vec<BadKey>>> {
    let auth = snapshot.server_auth(database, user);
    service_of(auth).map(|service| read(snapshot, database, user, (auth, service)))
}

/// What takes the tokens; `None`: none are made.
fn service_of(auth: ServerAuth) -> Option<Service> {
    match auth {
        ServerAuth::Password | ServerAuth::SecretFile | ServerAuth::SecretsManager => None,
        ServerAuth::RdsIam => Some(Service::Rds),
        ServerAuth::DsqlIam => Some(Service::Dsql),
    }
}

fn read(
    snapshot: &Snapshot,
    database: &Database,
    user: &str,
    (auth, service): (ServerAuth, Service),
) -> Result<Rules, Vec<BadKey>> {
    let mut refused = unfit(snapshot, database, auth);
    let mut identity = snapshot.iam_identity(database, user);
    match fill_role(snapshot, database, user, &identity) {
        Ok(arn) => identity.role_arn = arn,
        Err(why) => refused.push(BadKey { key: "iam_role_arn", why }),
    }
    let hosts: Vec<_> = database.hosts.iter().map(ToString::to_string).collect();
    let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
    let endpoint = &database.iam_endpoint;
    let keys = Keys {
        service,
        hosts: &hosts,
        port: database.port,
        iam_host: endpoint.host.as_deref(),
        iam_port: endpoint.port.as_deref(),
        iam_region: endpoint.region.as_deref(),
        iam_login_rate: endpoint.login_rate.as_deref(),
        all_denied: snapshot.settings.iam_all_denied,
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

/// The source by whose credentials AWS is called for `user` of `database` in `region`, where that is not for
/// a token.
///
/// # Errors
/// Every key that is refused.
pub fn source(
    snapshot: &Snapshot,
    database: &Database,
    user: &str,
    region: &Region,
) -> Result<SourceKey, Vec<BadKey>> {
    let mut identity = snapshot.iam_identity(database, user);
    let arn = fill_role(snapshot, database, user, &identity);
    identity.role_arn = arn.map_err(|why| vec![BadKey { key: "iam_role_arn", why }])?;
    read_source(&keys_of(&identity), region)
}

/// The role of `user` in `database`, with the names that the files give.
fn fill_role(
    snapshot: &Snapshot,
    database: &Database,
    user: &str,
    identity: &IamIdentity,
) -> Result<Option<Arc<str>>, String> {
    let is_given = database.user.as_deref() == Some(user) || snapshot.users.contains_key(user);
    let names = role::Names {
        database: snapshot.databases.contains_key(&database.name).then_some(&*database.name),
        user: is_given.then_some(user),
    };
    identity.role_arn.as_deref().map(|template| role::fill(template, names).map(Arc::from)).transpose()
}

fn keys_of(identity: &IamIdentity) -> Keys<'_> {
    Keys {
        iam_credential_source: identity.credential_source.as_deref(),
        iam_profile: identity.profile.as_deref(),
        iam_role_arn: identity.role_arn.as_deref(),
        iam_external_id: identity.external_id.as_ref().map(|id| id.expose()),
        iam_session_name: identity.session_name.as_deref(),
        iam_sts_region: identity.sts_region.as_deref(),
        iam_max_age: identity.max_age.as_deref(),
        iam_on_denied: identity.on_denied.as_deref(),
        lifetime: if identity.strict_lifetime == Some(true) { Lifetime::Strict } else { Lifetime::Lenient },
        ..Keys::default()
    }
}

/// Keys that have another meaning elsewhere, and do not go with logins by IAM.
fn unfit(snapshot: &Snapshot, database: &Database, auth: ServerAuth) -> Vec<BadKey> {
    let mut refused = Vec::new();
    let mut add = |key, why: String| refused.push(BadKey { key, why });
    let server_auth = format!("server_auth={}", auth.word());
    if auth == ServerAuth::DsqlIam && *database.dbname != *DSQL_DATABASE {
        add(
            "dbname",
            format!("the one database of Aurora DSQL is {DSQL_DATABASE}: set dbname={DSQL_DATABASE}"),
        );
    }
    if database.hosts.iter().any(|host| matches!(host, Host::UnixDir(_) | Host::DefaultUnixDir)) {
        add("host", format!("{server_auth} needs a TCP host: there is no TLS over Unix sockets"));
    }
    if !database.password.is_empty() {
        add("password", format!("it cannot be combined with {server_auth}"));
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
                "{server_auth} needs the certificates of its servers' authorities: {} and name the file",
                if auth == ServerAuth::DsqlIam { OF_DSQL.to_owned() } else { what_to_fetch(database) }
            ),
        );
    }
    refused
}

/// Where the authority of Aurora DSQL's certificates is found. Source: Amazon Aurora DSQL User Guide,
/// "Configuring SSL/TLS certificates".
const OF_DSQL: &str = "fetch https://www.amazontrust.com/repository/AmazonRootCA1.pem";

/// What to fetch as the authorities of an entry whose other keys may be wrong, too.
fn what_to_fetch(database: &Database) -> String {
    let endpoint = &database.iam_endpoint;
    let given = endpoint.region.as_deref().and_then(|region| region.parse().ok());
    let hosts = database.hosts.iter().map(ToString::to_string);
    let mut hosts: Vec<_> = endpoint.host.as_deref().map(str::to_owned).into_iter().chain(hosts).collect();
    let region: Option<Region> = given.or_else(|| hosts.iter().find_map(|host| Region::of_host(host)));
    let bundle = match authorities(region.as_ref()) {
        Some(url) => format!("fetch {url}"),
        None => "fetch the bundle that the RDS documentation of that partition names".to_owned(),
    };
    hosts.retain(|host| host.contains(".proxy-"));
    let of_proxy = if hosts.is_empty() { "" } else { " (an RDS Proxy needs those of Amazon Trust Services)" };
    format!("{bundle}{of_proxy}")
}

/// The name that the certificate of `database`'s servers must be for, where that is not the host's.
pub fn server_name(database: &Database, auth: ServerAuth) -> Option<Arc<str>> {
    let of_iam = || database.iam_endpoint.host.clone().filter(|_| auth.is_by_iam());
    database.tls_server_name.clone().or_else(of_iam)
}

#[cfg(test)]
mod tests;
