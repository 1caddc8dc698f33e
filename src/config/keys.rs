//! Every key of a connection string: one row each, in one table per section.
//!
//! From a table come the reader, the reference and the list of accepted keys in errors. A new key is one row
//! here and one field in `database.rs`. Source: PgBouncer, doc/config.md ("Section `[databases]`").

use super::choices::{LoadBalance, PoolMode, SessionState, SslMode, TimeoutAction, TlsNegotiation};
use super::database::{Database, Hosts, UserEntry};
use super::iam::ServerAuth;
use super::instances::InstanceEntry;
use super::issuers::{IssuerEntry, Period, Seconds, WebAddress, Words};
use super::name_template::NameTemplate;
use super::peers::PeerEntry;
use super::value::{BadValue, Bytes, Limit, Size, Span, Value};
use crate::base::{Micros, Password};
use std::sync::Arc;

/// One row: a key that an entry of type `T` may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<T> {
    /// As it is written.
    pub name: &'static str,
    /// What it means, unit first.
    pub doc: &'static str,
    accepted: fn() -> String,
    set: fn(&mut T, &str) -> Result<(), BadValue>,
}

impl<T> Key<T> {
    /// What is accepted.
    pub(super) fn accepted(&self) -> String {
        (self.accepted)()
    }

    /// Reads `text` into its field of `entry`.
    ///
    /// # Errors
    /// `BadValue`; the field is as before.
    pub(super) fn set(&self, entry: &mut T, text: &str) -> Result<(), BadValue> {
        (self.set)(entry, text)
    }
}

/// Declares the keys of one section: name, type of the value, where it goes, documentation.
macro_rules! keys {
    ($type:ty: $( $name:literal: $value:ty, |$to:ident, $read:ident| $set:expr, $doc:literal; )*) => {
        &[ $( Key {
            name: $name,
            doc: $doc,
            accepted: <$value as Value>::accepted,
            set: |$to: &mut $type, text| {
                let $read: $value = Value::parse(text)?;
                $set;
                Ok(())
            },
        }, )* ]
    };
}

/// A text of a key.
type Text = Arc<str>;

/// Keys of `[databases]`.
pub(super) const DATABASE_KEYS: &[Key<Database>] = keys! { Database:
    "dbname": Text, |db, text| { db.dbname = text; db.dbname_given = true; },
        "Name on the server; default: the entry's own.";
    "host": Hosts, |db, hosts| db.hosts = hosts.0,
        "Hosts, separated by commas: names, IP addresses, or Unix socket directories (/dir, @dir); default: \
         unix_socket_dir.";
    "port": u16, |db, port| db.port = port, "Port of every host; default 5432.";
    "user": Text, |db, text| db.user = Some(text),
        "User that all servers log in as; default: the client's own.";
    "password": Password, |db, secret| db.password = secret,
        "Secret for servers; default: auth_file's, or what the client proved itself with.";
    "auth_user": Text, |db, text| db.auth_user = Some(text), "Overrides the setting auth_user.";
    "auth_dbname": Text, |db, text| db.auth_dbname = Some(text), "Overrides the setting auth_dbname.";
    "auth_query": Text, |db, text| db.auth_query = Some(text), "Overrides the setting auth_query.";
    "client_encoding": Text, |db, text| db.set_startup("client_encoding", text),
        "Sent to servers when they are logged in to.";
    "datestyle": Text, |db, text| db.set_startup("datestyle", text),
        "Sent to servers when they are logged in to.";
    "timezone": Text, |db, text| db.set_startup("timezone", text),
        "Sent to servers when they are logged in to.";
    "application_name": Text, |db, text| db.set_startup("application_name", text),
        "Sent to servers when they are logged in to.";
    "connect_query": Text, |db, text| db.connect_query = Some(text),
        "Query run once on each new server; its errors are logged only.";
    "load_balance_hosts": LoadBalance, |db, way| db.load_balance_hosts = way,
        "How new connections are spread over several hosts; disable: stay on one until a connect fails.";
    "pool_mode": PoolMode, |db, mode| db.pool_mode = Some(mode), "Overrides the setting pool_mode.";
    "session_state": SessionState, |db, state| db.session_state = Some(state),
        "Overrides the setting session_state.";
    "pool_size": Size, |db, size| db.pool_size = size.0, "Servers per pool; overrides default_pool_size.";
    "min_pool_size": Size, |db, size| db.min_pool_size = size.0, "Overrides the setting min_pool_size.";
    "reserve_pool_size": Size, |db, size| db.reserve_pool_size = size.0,
        "Overrides the setting reserve_pool_size.";
    "reserve_pool": Size, |db, size| db.reserve_pool_size = size.0, "Older name of reserve_pool_size.";
    "max_db_connections": Limit, |db, limit| db.max_db_connections = limit.0,
        "Overrides the setting max_db_connections; 0: does not.";
    "prepared_statements_memory": Bytes, |db, bytes| db.prepared_statements_bytes = Some(bytes.0),
        "Bytes that the prepared statements of this database's clients may take, within the setting \
         prepared_statements_memory; default: no bound of its own.";
    "max_db_client_connections": Limit, |db, limit| db.max_db_client_connections = limit.0,
        "Overrides the setting max_db_client_connections; 0: does not.";
    "server_lifetime": Span, |db, span| db.server_lifetime = span.0,
        "Seconds; overrides the setting server_lifetime; 0: does not.";
    "query_wait_timeout": Micros, |db, span| db.query_wait_timeout = Some(span),
        "Seconds; overrides the setting query_wait_timeout; 0 for ever.";
    "client_tls_required": bool, |db, required| db.client_tls_required = required,
        "Refuses TCP clients without TLS where client_tls_sslmode leaves it to them; default 0.";
    "server_tls_sslmode": SslMode, |db, mode| db.server_tls_sslmode = Some(mode),
        "Overrides the setting server_tls_sslmode.";
    "server_tls_ca_file": Text, |db, file| db.server_tls_ca_file = Some(file),
        "Overrides the setting server_tls_ca_file.";
    "server_tls_negotiation": TlsNegotiation, |db, way| db.server_tls_negotiation = Some(way),
        "Overrides the setting server_tls_negotiation.";
    "tls_server_name": Text, |db, name| db.tls_server_name = Some(name),
        "Name that servers' certificates must be for, with verify-full; default: iam_host, else the host.";
    "server_auth": ServerAuth, |db, auth| db.server_auth = Some(auth),
        "How servers are logged in to; rds_iam: by a token of AWS IAM, made for each login; dsql_iam: the \
         same with Aurora DSQL. Both need verify-full and a server_tls_ca_file. secret_file: by what the \
         file secret_file says at present; secretsmanager: by what the secret secret_arn of AWS says.";
    "secret_arn": Text, |db, arn| db.secret.arn = Some(arn),
        "ARN of a secret of AWS Secrets Manager, for server_auth=secretsmanager: JSON with username and \
         password, called in the ARN's region by the credentials of iam_credential_source. Its user is whom \
         servers are logged in to as, in place of the pool's; its host, port and dbname are not looked at.";
    "secret_file": Text, |db, path| db.secret.file = Some(path),
        "File, or directory with the files username and password, for server_auth=secret_file: JSON with \
         username and password, or a password of one line. It is watched. Its user is whom servers are \
         logged in to as, in place of the pool's; its host, port and dbname are not looked at.";
    "auth_secret_arn": Text, |db, arn| db.auth_secret.arn = Some(arn),
        "ARN of a secret of AWS Secrets Manager that clients of this database prove themselves by, where \
         auth_file does not have their user; overrides the settings auth_secret_arn and auth_secret_file.";
    "auth_secret_file": Text, |db, path| db.auth_secret.file = Some(path),
        "The same as a file; overrides the settings auth_secret_file and auth_secret_arn.";
    "iam_host": Text, |db, host| db.iam_endpoint.host = Some(host),
        "RDS's own name of the endpoint, where host is an alias, an address or a tunnel; tokens are made for \
         it.";
    "iam_port": Text, |db, port| db.iam_endpoint.port = Some(port),
        "Port that RDS itself listens on, where port is another.";
    "iam_region": Text, |db, region| db.iam_endpoint.region = Some(region),
        "AWS region of the servers; default: the one in iam_host or host. Never guessed.";
    "iam_login_rate": Text, |db, rate| db.iam_endpoint.login_rate = Some(rate),
        "Logins a second to one endpoint, from 1 to 200, over all databases there; the smallest counts; \
         default 20.";
    "iam_credential_source": Text, |db, source| db.iam.credential_source = Some(source),
        "Where credentials come from; overrides the setting iam_credential_source.";
    "iam_profile": Text, |db, profile| db.iam.profile = Some(profile),
        "Profile of AWS's own files, for the sources default, profile and process.";
    "iam_role_arn": Text, |db, arn| db.iam.role_arn = Some(arn),
        "Role that the credentials assume before they sign; {database} and {user} in it stand for names that \
         the files give.";
    "iam_external_id": Password, |db, id| db.iam.external_id = Some(id),
        "External id that the role's trust policy asks for.";
    "iam_session_name": Text, |db, name| db.iam.session_name = Some(name),
        "Name in AWS's logs of sessions of a role (iam_role_arn, web_identity, a profile's); default pgweir.";
    "iam_sts_region": Text, |db, region| db.iam.sts_region = Some(region),
        "Region whose STS is called; overrides the setting iam_sts_region.";
    "iam_max_age": Text, |db, age| db.iam.max_age = Some(age),
        "Seconds, from 10 to 86400: no client is given a server whose login is older; default 900.";
    "iam_on_denied": Text, |db, action| db.iam.on_denied = Some(action),
        "What becomes of servers whose user is denied: drain (default; until iam_max_age), keep, drop_now.";
    "iam_strict_lifetime": bool, |db, strict| db.iam.strict_lifetime = Some(strict),
        "Overrides the setting iam_strict_lifetime.";
    "timeout_action": TimeoutAction, |db, action| db.timeout_action = Some(action),
        "Overrides the setting timeout_action.";
    "application_name_template": NameTemplate, |db, template| db.application_name_template = Some(template),
        "Overrides the setting application_name_template; %a: none.";
};

/// Keys of `[users]`.
pub(super) const USER_KEYS: &[Key<UserEntry>] = keys! { UserEntry:
    "pool_mode": PoolMode, |user, mode| user.pool_mode = Some(mode),
        "Overrides pool_mode of the settings and of the database.";
    "session_state": SessionState, |user, state| user.session_state = Some(state),
        "Overrides session_state of the settings and of the database.";
    "pool_size": Size, |user, size| user.pool_size = size.0,
        "Servers per pool; overrides default_pool_size, and pool_size of the database.";
    "reserve_pool_size": Size, |user, size| user.reserve_pool_size = size.0,
        "Overrides reserve_pool_size of the settings and of the database.";
    "max_user_connections": Limit, |user, limit| user.max_user_connections = limit.0,
        "Overrides the setting max_user_connections; 0: does not.";
    "max_user_client_connections": Limit, |user, limit| user.max_user_client_connections = limit.0,
        "Overrides the setting max_user_client_connections; 0: does not.";
    "query_timeout": Span, |user, span| user.query_timeout = span.0,
        "Seconds; overrides the setting query_timeout; 0: does not.";
    "query_wait_timeout": Micros, |user, span| user.query_wait_timeout = Some(span),
        "Seconds; overrides query_wait_timeout of the settings and of the database; 0 for ever.";
    "idle_transaction_timeout": Span, |user, span| user.idle_transaction_timeout = span.0,
        "Seconds; overrides the setting idle_transaction_timeout; 0: does not.";
    "transaction_timeout": Span, |user, span| user.transaction_timeout = span.0,
        "Seconds; overrides the setting transaction_timeout; 0: does not.";
    "client_idle_timeout": Span, |user, span| user.client_idle_timeout = span.0,
        "Seconds; overrides the setting client_idle_timeout; 0: does not.";
    "server_auth": ServerAuth, |user, auth| user.server_auth = Some(auth),
        "How servers are logged in to as this user; overrides server_auth of the database.";
    "secret_arn": Text, |user, arn| user.secret.arn = Some(arn),
        "Overrides secret_arn of the database.";
    "secret_file": Text, |user, path| user.secret.file = Some(path),
        "Overrides secret_file of the database.";
    "auth_secret_arn": Text, |user, arn| user.auth_secret.arn = Some(arn),
        "ARN of the secret of AWS Secrets Manager that clients prove themselves by who log in as this user; \
         nothing else proves them. It is called by the credentials of iam_credential_source.";
    "auth_secret_file": Text, |user, path| user.auth_secret.file = Some(path),
        "The same as a file, or as a directory with the file password: JSON with password and perhaps \
         username, which must be this user then, or a password of one line. It is watched.";
    "iam_credential_source": Text, |user, source| user.iam.credential_source = Some(source),
        "Overrides iam_credential_source of the settings and of the database.";
    "iam_profile": Text, |user, profile| user.iam.profile = Some(profile),
        "Overrides iam_profile of the database.";
    "iam_role_arn": Text, |user, arn| user.iam.role_arn = Some(arn),
        "Overrides iam_role_arn of the database; a template as there.";
    "iam_external_id": Password, |user, id| user.iam.external_id = Some(id),
        "External id for this user's iam_role_arn.";
    "iam_session_name": Text, |user, name| user.iam.session_name = Some(name),
        "Overrides iam_session_name of the database.";
    "iam_sts_region": Text, |user, region| user.iam.sts_region = Some(region),
        "Overrides iam_sts_region of the settings and of the database.";
    "iam_max_age": Text, |user, age| user.iam.max_age = Some(age),
        "Seconds; overrides iam_max_age of the database.";
    "iam_on_denied": Text, |user, action| user.iam.on_denied = Some(action),
        "Overrides iam_on_denied of the database.";
    "iam_strict_lifetime": bool, |user, strict| user.iam.strict_lifetime = Some(strict),
        "Overrides iam_strict_lifetime of the settings and of the database.";
    "client_query_timeout": Span, |user, span| user.client_query_timeout = span.0,
        "Seconds that a query of a client who logs in as this user may take, whoever its servers log in as; \
         the shorter of this and query_timeout counts.";
    "client_transaction_timeout": Span, |user, span| user.client_transaction_timeout = span.0,
        "Seconds that a transaction of a client who logs in as this user may take, whoever its servers log \
         in as; the shorter of this and transaction_timeout counts.";
    "timeout_action": TimeoutAction, |user, action| user.timeout_action = Some(action),
        "Overrides timeout_action of the settings and of the database.";
};

/// Keys of `[peers]`.
pub(super) const PEER_KEYS: &[Key<PeerEntry>] = keys! { PeerEntry:
    "host": Hosts, |peer, hosts| peer.hosts = hosts.0,
        "Where the peer, and no other process, listens; must be given.";
    "port": u16, |peer, port| peer.port = port, "Its port; default 6432.";
    "pool_size": Size, |peer, size| peer.pool_size = size.0,
        "Cancel requests on their way to it at a time; overrides default_pool_size; 0 unlimited.";
};

/// Keys of `[instances]`.
pub(super) const INSTANCE_KEYS: &[Key<InstanceEntry>] = keys! { InstanceEntry:
    "host": Hosts, |entry, hosts| entry.hosts = hosts.0,
        "The names, addresses or socket directories by which entries of [databases] reach one server, \
         separated by commas; must be given.";
    "port": u16, |entry, port| entry.port = port, "Its port; default 5432.";
    "max_server_connections": Size, |entry, size| entry.max_server_connections = size.0,
        "Overrides the setting max_server_connections; 0 unlimited.";
};

/// Keys of `[issuers]`.
pub(super) const ISSUER_KEYS: &[Key<IssuerEntry>] = keys! { IssuerEntry:
    "issuer": Text, |entry, text| entry.issuer = text,
        "What tokens say in the claim iss, to the letter; must be given.";
    "audience": Words, |entry, words| entry.audiences = words,
        "One of them must stand in a token's audience_claim; must be given.";
    "audience_claim": Text, |entry, name| entry.audience_claim = name,
        "Claim that says for whom a token is; default aud. (Amazon Cognito's access tokens have client_id.)";
    "jwks_file": Text, |entry, file| entry.keys.file = Some(file),
        "File of the issuer's keys (a JSON Web Key Set), read anew when it changes.";
    "jwks_url": WebAddress, |entry, url| entry.keys.url = Some(url),
        "Where the issuer's keys are fetched from; default, without jwks_file: the jwks_uri of the document \
         /.well-known/openid-configuration behind issuer.";
    "jwks_ca_file": Text, |entry, file| entry.ca_file = Some(file),
        "Authorities that vouch for the server of the keys; default: the system's.";
    "algorithms": Words, |entry, words| entry.algorithms = words,
        "Signatures that count: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA; default \
         RS256,ES256.";
    "clock_skew": Seconds, |entry, span| entry.clock_skew = span,
        "Seconds by which the issuer's clock may differ; default 30.";
    "max_token_age": Seconds, |entry, span| entry.max_token_age = span,
        "Seconds that a token may be good for in all, from iat to exp; 0: no bound; default 3600.";
    "required_claims": Words, |entry, words| entry.required_claims = words,
        "Claims that a token must have, separated by commas: NAME, or NAME=VALUE|VALUE with one of the \
         values. A name that begins with / is a JSON pointer.";
    "principal_claim": Text, |entry, name| entry.principal_claim = name,
        "Claim that says who the client is: in the log, and where there is no map, the role; default sub.";
    "audit_claims": Words, |entry, words| entry.audit_claims = words,
        "Claims that are kept with the session for the audit log, separated by commas.";
    "map": Text, |entry, name| entry.map = Some(name),
        "Map of auth_claims_file that says which roles a token is good for; default: the role that \
         principal_claim names.";
    "scope": Text, |entry, text| entry.scope = Some(text),
        "What clients by OAUTHBEARER are told to ask the issuer for, separated by spaces.";
    "keys_max_age": Period, |entry, span| entry.keys_max_age = span.0,
        "Seconds for which the last keys count while no newer ones can be fetched; default 86400.";
    "refresh": Period, |entry, span| entry.refresh = span.0,
        "Seconds between two fetches of the keys; default 300.";
};
