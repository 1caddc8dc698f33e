//! The configuration in force, with all that was made from its files.
//!
//! A value: replaced whole by a reload, never changed.

use super::tokens::Tokens;
use crate::audit::TextDigest;
use crate::auth::UserList;
use crate::auth::hba::Hba;
use crate::auth::ldap::LdapOptions;
use crate::config::{Settings, Snapshot, SslMode};
use crate::iam::caller::CallerEndpoint;
use crate::io::options::TcpOptions;
use crate::tls::ServersTls;
use crate::tls::client::Acceptor;
use crate::tls::ldap::LdapTls;
use std::collections::BTreeMap;
use std::sync::Arc;

/// TLS towards clients as it is in force: the settings may be ahead of it, after a SET
/// that is not complete yet.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// `client_tls_sslmode`.
    pub mode: SslMode,
    /// For handshakes.
    pub acceptor: Acceptor,
}

/// What logins by LDAP go by.
#[derive(Clone, Debug, Default)]
pub struct Ldap {
    /// `auth_ldap_options`, where `auth_type` is ldap; rules of an hba file have their own.
    pub options: Option<Arc<LdapOptions>>,
    /// What TLS handshakes with directories need.
    pub tls: LdapTls,
}

/// What logins by presigned requests of callers go by (`iam_caller`).
#[derive(Clone, Debug)]
pub struct CallerPolicy {
    /// Where the requests are shown.
    pub endpoint: Arc<CallerEndpoint>,
    /// `iam_caller_map`, for rules that name no map.
    pub map: Arc<str>,
}

/// The configuration in force, with all that was made from its files. Replaced whole by a reload.
#[derive(Clone)]
pub struct Policy {
    /// The files' settings and entries.
    pub snapshot: Arc<Snapshot>,
    /// `auth_file`, and who is gone from it or from secrets.
    pub users: Arc<UserList>,
    /// `auth_hba_file`, where `auth_type` is hba.
    pub hba: Arc<Hba>,
    /// Directories that tell who a client is.
    pub ldap: Ldap,
    /// What logins by tokens go by.
    pub tokens: Tokens,
    /// What logins by presigned requests of callers go by; `None`: there are none.
    pub callers: Option<Arc<CallerPolicy>>,
    /// What TLS handshakes with clients need; `None` = no TLS.
    pub client_tls: Option<ClientTls>,
    /// What TLS handshakes with servers need.
    pub server_tls: ServersTls,
    /// What stood in the files that settings name, by setting; a file that could not be read is not there.
    pub files: BTreeMap<&'static str, FileText>,
}

/// What stood in a file, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileText {
    /// Its digest.
    pub digest: TextDigest,
    /// It may hold a secret: then not even that is shown, since who knows the rest could guess by it.
    pub may_hold_secret: bool,
}

impl Policy {
    /// Of `snapshot`, with no users and no TLS: for tests and rehearsals.
    pub fn without_tls(snapshot: Snapshot) -> Self {
        Self {
            snapshot: Arc::new(snapshot),
            users: Arc::default(),
            hba: Arc::default(),
            ldap: Ldap::default(),
            tokens: Tokens::default(),
            callers: None,
            client_tls: None,
            server_tls: ServersTls::disabled(),
            files: BTreeMap::new(),
        }
    }
}

/// The options of clients' TCP sockets (servers' are the same).
pub(crate) fn tcp_options(settings: &Settings) -> TcpOptions {
    TcpOptions {
        keepalive: settings.tcp_keepalive,
        keepalive_idle_s: settings.tcp_keepidle,
        keepalive_interval_s: settings.tcp_keepintvl,
        keepalive_probes: settings.tcp_keepcnt,
        user_timeout_ms: settings.tcp_user_timeout,
        buffer_bytes: settings.tcp_socket_buffer,
    }
}
