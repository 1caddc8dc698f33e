//! One entry of `[databases]` or `[users]`, as the files have it: overrides that are not set are `None`.
//!
//! Values only; what is in force after the global settings is `rules.rs`. Source: PgBouncer, doc/config.md
//! ("Section `[databases]`", "Section `[users]`").

use super::choices::{LoadBalance, PoolMode, SessionState, SslMode, TimeoutAction, TlsNegotiation};
use super::iam::{AuthSecretPlace, IamEndpoint, IamIdentity, SecretPlace, ServerAuth};
use super::name_template::NameTemplate;
use super::value::{BadValue, Value, not_accepted};
use crate::base::{Micros, Password};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// One place where servers of a database run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name to look up.
    Name(Arc<str>),
    /// An address.
    Ip(IpAddr),
    /// Directory of a Unix socket; `@` first: in the abstract namespace.
    UnixDir(Arc<str>),
    /// The Unix socket in `unix_socket_dir`.
    DefaultUnixDir,
}

impl fmt::Display for Host {
    /// As the file has it; nothing for the default.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(text) | Self::UnixDir(text) => f.write_str(text),
            Self::Ip(address) => write!(f, "{address}"),
            Self::DefaultUnixDir => Ok(()),
        }
    }
}

/// A comma list of hosts; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hosts(pub(super) Vec<Host>);

impl Value for Hosts {
    fn parse(text: &str) -> Result<Self, BadValue> {
        let host = |text: &str| match text {
            "" => None,
            dir if dir.starts_with(['/', '@']) => Some(Host::UnixDir(dir.into())),
            text => match text.parse() {
                Ok(address) => Some(Host::Ip(address)),
                // A scoped address (fe80::1%eth0) is the resolver's to read.
                Err(_) if text.contains(':') && !text.contains('%') => None,
                Err(_) => Some(Host::Name(text.into())),
            },
        };
        let hosts: Option<Vec<_>> = text.split(',').map(str::trim).map(host).collect();
        hosts.map(Self).ok_or_else(not_accepted::<Self>)
    }
    fn show(&self) -> Option<String> {
        let texts: Vec<_> = self.0.iter().map(ToString::to_string).filter(|text| !text.is_empty()).collect();
        (!texts.is_empty()).then(|| texts.join(","))
    }
    fn accepted() -> String {
        "host names, IP addresses and Unix socket directories (/dir, @dir), separated by commas".to_owned()
    }
}

/// The one database of a cluster of Aurora DSQL.
pub(crate) const DSQL_DATABASE: &str = "postgres";

/// One entry of `[databases]`: where it is, who logs in there, and what it overrides.
#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    /// What clients ask for; `*` for the fallback entry itself.
    pub name: Arc<str>,
    /// The database's name on the server.
    pub dbname: Arc<str>,
    /// `dbname` was given; a fallback without it takes the name that was asked for.
    pub(super) dbname_given: bool,
    /// Where its servers are; never empty.
    pub hosts: Vec<Host>,
    /// Port of every host.
    pub port: u16,
    /// The user that all its servers log in as, whoever the client is.
    pub user: Option<Arc<str>>,
    /// The password for servers; empty = none given.
    pub password: Password,
    /// Overrides `auth_user`.
    pub auth_user: Option<Arc<str>>,
    /// Overrides `auth_dbname`.
    pub auth_dbname: Option<Arc<str>>,
    /// Overrides `auth_query`.
    pub auth_query: Option<Arc<str>>,
    /// Query run once after each server's login.
    pub connect_query: Option<Arc<str>>,
    /// Parameters of the server's StartupMessage beside user and database: (name, value).
    pub startup: Vec<(&'static str, Arc<str>)>,
    /// How new connections are spread over `hosts`.
    pub load_balance_hosts: LoadBalance,
    /// Overrides `pool_mode`.
    pub pool_mode: Option<PoolMode>,
    /// Overrides `session_state`.
    pub session_state: Option<SessionState>,
    /// Overrides `default_pool_size`; 0 = unlimited.
    pub pool_size: Option<u32>,
    /// Overrides `min_pool_size`.
    pub min_pool_size: Option<u32>,
    /// Overrides `reserve_pool_size`.
    pub reserve_pool_size: Option<u32>,
    /// Overrides `max_db_connections`.
    pub max_db_connections: Option<u32>,
    /// `prepared_statements_memory` of this database alone.
    pub prepared_statements_bytes: Option<usize>,
    /// Overrides `max_db_client_connections`.
    pub max_db_client_connections: Option<u32>,
    /// Overrides `server_lifetime`.
    pub server_lifetime: Option<Micros>,
    /// Overrides `query_wait_timeout`; zero = for ever.
    pub query_wait_timeout: Option<Micros>,
    /// Overrides `timeout_action`.
    pub timeout_action: Option<TimeoutAction>,
    /// Overrides `application_name_template`; empty: none.
    pub application_name_template: Option<NameTemplate>,
    /// Clients come in over TLS only, whatever `client_tls_sslmode` leaves open; over a Unix socket without.
    pub client_tls_required: bool,
    /// Overrides `server_tls_sslmode`.
    pub server_tls_sslmode: Option<SslMode>,
    /// Overrides `server_tls_ca_file`.
    pub server_tls_ca_file: Option<Arc<str>>,
    /// Overrides `server_tls_negotiation`.
    pub server_tls_negotiation: Option<TlsNegotiation>,
    /// The name that its servers' certificates must be for, in place of the host's.
    pub tls_server_name: Option<Arc<str>>,
    /// What proves the pooler to its servers.
    pub server_auth: Option<ServerAuth>,
    /// What tokens are made for.
    pub iam_endpoint: IamEndpoint,
    /// Who signs them.
    pub iam: IamIdentity,
    /// Where the secret for its servers is kept.
    pub secret: SecretPlace,
    /// Where that is kept which proves its clients.
    pub auth_secret: AuthSecretPlace,
}

impl Database {
    /// The entry that an empty connection string makes.
    pub fn new(name: Arc<str>) -> Self {
        Self {
            dbname: name.clone(),
            name,
            dbname_given: false,
            hosts: vec![Host::DefaultUnixDir],
            port: 5432,
            user: None,
            password: Password::default(),
            auth_user: None,
            auth_dbname: None,
            auth_query: None,
            connect_query: None,
            startup: Vec::new(),
            load_balance_hosts: LoadBalance::default(),
            pool_mode: None,
            session_state: None,
            pool_size: None,
            min_pool_size: None,
            reserve_pool_size: None,
            max_db_connections: None,
            prepared_statements_bytes: None,
            max_db_client_connections: None,
            server_lifetime: None,
            query_wait_timeout: None,
            timeout_action: None,
            application_name_template: None,
            client_tls_required: false,
            server_tls_sslmode: None,
            server_tls_ca_file: None,
            server_tls_negotiation: None,
            tls_server_name: None,
            server_auth: None,
            iam_endpoint: IamEndpoint::default(),
            iam: IamIdentity::default(),
            secret: SecretPlace::default(),
            auth_secret: AuthSecretPlace::default(),
        }
    }

    /// The entry that this one, the fallback, makes for clients that ask for `name`.
    pub fn named(&self, name: &str) -> Self {
        let name: Arc<str> = name.into();
        Self { name, ..self.clone() }.with_dbname()
    }

    /// The same, with the name at the server that goes without saying: the entry's own, and with Aurora DSQL
    /// that of its one database.
    #[must_use]
    pub(super) fn with_dbname(self) -> Self {
        let dbname = match self.server_auth {
            _ if self.dbname_given => self.dbname,
            Some(ServerAuth::DsqlIam) => DSQL_DATABASE.into(),
            _ => self.name.clone(),
        };
        Self { dbname, ..self }
    }

    /// The `host` column of SHOW DATABASES: the hosts as configured, `None` for the default Unix socket.
    pub fn host_text(&self) -> Option<String> {
        Hosts(self.hosts.clone()).show()
    }

    /// Its hosts and port, in a form of its own: entries with the same one have the same servers.
    pub fn endpoint(&self) -> Arc<str> {
        format!("{}:{}", self.host_text().unwrap_or_default(), self.port).into()
    }

    /// Whether servers of both are the same servers: what differs otherwise takes effect without closing any,
    /// unless [`super::Snapshot::proves_as_before`] says no.
    pub fn reaches_same(&self, other: &Self) -> bool {
        self.dbname == other.dbname
            && self.hosts == other.hosts
            && self.port == other.port
            && self.user == other.user
            && self.connect_query == other.connect_query
            && self.auth_dbname == other.auth_dbname
            && self.auth_query == other.auth_query
            && self.load_balance_hosts == other.load_balance_hosts
            && self.server_tls_sslmode == other.server_tls_sslmode
            && self.server_tls_ca_file == other.server_tls_ca_file
            && self.server_tls_negotiation == other.server_tls_negotiation
            && self.tls_server_name == other.tls_server_name
            && self.server_auth == other.server_auth
            && self.iam_endpoint.host == other.iam_endpoint.host
            && self.iam_endpoint.port == other.iam_endpoint.port
            && self.iam_endpoint.region == other.iam_endpoint.region
    }

    pub(super) fn set_startup(&mut self, name: &'static str, value: Arc<str>) {
        self.startup.retain(|(have, _)| *have != name);
        self.startup.push((name, value));
    }
}

/// One entry of `[users]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserEntry {
    /// Overrides `pool_mode`, for the pool user.
    pub pool_mode: Option<PoolMode>,
    /// Overrides `session_state`, for the pool user.
    pub session_state: Option<SessionState>,
    /// Overrides `default_pool_size`, for the pool user; 0 = unlimited.
    pub pool_size: Option<u32>,
    /// Overrides `reserve_pool_size`, for the pool user.
    pub reserve_pool_size: Option<u32>,
    /// Overrides `max_user_connections`, for the pool user.
    pub max_user_connections: Option<u32>,
    /// Overrides `max_user_client_connections`, for the login user.
    pub max_user_client_connections: Option<u32>,
    /// Overrides `query_timeout`, for the pool user.
    pub query_timeout: Option<Micros>,
    /// Overrides `idle_transaction_timeout`, for the pool user.
    pub idle_transaction_timeout: Option<Micros>,
    /// Overrides `transaction_timeout`, for the pool user.
    pub transaction_timeout: Option<Micros>,
    /// Overrides `query_wait_timeout`, for the login user; zero = for ever.
    pub query_wait_timeout: Option<Micros>,
    /// Overrides `client_idle_timeout`, for the login user.
    pub client_idle_timeout: Option<Micros>,
    /// Beside `query_timeout` of the pool user, for the login user.
    pub client_query_timeout: Option<Micros>,
    /// Beside `transaction_timeout` of the pool user, for the login user.
    pub client_transaction_timeout: Option<Micros>,
    /// Overrides `timeout_action`, for the login user, else for the pool user.
    pub timeout_action: Option<TimeoutAction>,
    /// What proves the pooler to servers, for the pool user.
    pub server_auth: Option<ServerAuth>,
    /// Who signs its tokens, for the pool user.
    pub iam: IamIdentity,
    /// Where the secret for its servers is kept, for the pool user.
    pub secret: SecretPlace,
    /// Where that is kept which proves clients who log in as this user.
    pub auth_secret: AuthSecretPlace,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_apart() {
        let hosts = Hosts::parse("db.example, 10.0.0.1,::1,/run/pg,@pg,fe80::1%eth0").unwrap();
        let expected = [
            Host::Name("db.example".into()),
            Host::Ip([10, 0, 0, 1].into()),
            Host::Ip("::1".parse().unwrap()),
            Host::UnixDir("/run/pg".into()),
            Host::UnixDir("@pg".into()),
            Host::Name("fe80::1%eth0".into()),
        ];
        assert_eq!(hosts.0, expected);
        assert_eq!(hosts.show().as_deref(), Some("db.example,10.0.0.1,::1,/run/pg,@pg,fe80::1%eth0"));
        assert!(Hosts::parse("a,,b").is_err() && Hosts::parse("host:5432").is_err());
        assert_eq!(Database::new("x".into()).host_text(), None);
    }

    #[test]
    fn a_fallback_takes_the_name_asked_for() {
        let mut fallback = Database::new("*".into());
        assert_eq!((&*fallback.named("x").name, &*fallback.named("x").dbname), ("x", "x"));
        (fallback.dbname, fallback.dbname_given) = ("one".into(), true);
        assert_eq!((&*fallback.named("x").name, &*fallback.named("x").dbname), ("x", "one"));
    }
}
