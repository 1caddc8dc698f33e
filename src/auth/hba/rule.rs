//! One rule, and whether it fits a client.
//!
//! Pure. Source: PgBouncer, src/hba.c (hba_eval()).

use super::address::Addresses;
use super::ident::IdentMap;
use super::names::Names;
use crate::auth::Method;
use crate::auth::jwt::JwtOptions;
use crate::auth::ldap::LdapOptions;
use crate::config::Place;
use crate::wire::startup::Replication;
use std::net::IpAddr;
use std::sync::Arc;

/// From where a client comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A Unix socket.
    Local,
    /// Another machine, or this one's network.
    Tcp {
        /// The client's address.
        ip: IpAddr,
        /// Whether it has shaken hands.
        is_tls: bool,
    },
}

/// What is known of a client that is to prove who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit<'a> {
    /// From where it comes.
    pub origin: Origin,
    /// The database that it asks for.
    pub database: &'a str,
    /// Who it says it is.
    pub user: &'a str,
    /// Whether it asks for a replication connection.
    pub replication: Replication,
}

/// For which kind of connection a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `local`: Unix sockets.
    Local,
    /// `host`: TCP, with or without TLS.
    Host,
    /// `hostssl`: TCP with TLS.
    HostSsl,
    /// `hostnossl`: TCP without TLS.
    HostNoSsl,
}

impl Kind {
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "local" => Self::Local,
            "host" => Self::Host,
            "hostssl" => Self::HostSsl,
            "hostnossl" => Self::HostNoSsl,
            _ => return None,
        })
    }
}

/// For whom of those who come over TCP a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpWay {
    /// All.
    Any,
    /// Those within TLS.
    Tls,
    /// Those without.
    Open,
}

/// Behind a pointer of one word, since each rule has room for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClaimsMapName(pub(super) Arc<str>);

/// What stands behind a rule's method: one thing at the most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Options {
    None,
    Map(Arc<IdentMap>),
    Ldap(Arc<LdapOptions>),
    Jwt(Arc<JwtOptions>),
    ClaimsMap(Arc<ClaimsMapName>),
}

/// One rule of an hba file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where it stands.
    pub place: Place,
    /// How those for whom it is have to prove who they are.
    pub method: Method,
    pub(super) options: Options,
    pub(super) kind: Kind,
    pub(super) databases: Names,
    pub(super) users: Names,
    pub(super) addresses: Addresses,
}

impl Rule {
    /// Whether it is the rule for such a client, if none in front of it is.
    pub(super) fn fits(&self, visit: &Visit<'_>) -> bool {
        self.is_for_origin(visit.origin)
            && self.is_for_database(visit)
            && self.users.has(visit.user, visit.database)
    }

    /// Whether it is for those alone who come over TLS.
    pub fn is_for_tls(&self) -> bool {
        self.kind == Kind::HostSsl
    }

    /// Whether it is for some who ask for that database, as far as its own line tells.
    pub fn may_be_for(&self, database: &str) -> bool {
        self.databases.may_have(database)
    }

    /// For whom of those who come over TCP it is; `None`: for none of them.
    pub fn for_tcp(&self) -> Option<TcpWay> {
        match self.kind {
            Kind::Local => None,
            Kind::Host => Some(TcpWay::Any),
            Kind::HostSsl => Some(TcpWay::Tls),
            Kind::HostNoSsl => Some(TcpWay::Open),
        }
    }

    /// Whether it fits whomever `other` fits.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let is_of_kind = self.kind == other.kind || (self.kind == Kind::Host && other.kind != Kind::Local);
        is_of_kind
            && self.addresses.cover(&other.addresses)
            && self.databases.cover(&other.databases)
            && self.users.cover(&other.users)
    }

    /// Keeps options once that the rule in front has, too.
    pub(super) fn share_options(&mut self, last: &Self) {
        if self.options == last.options {
            self.options.clone_from(&last.options);
        }
    }

    /// Which users a proven name is good for; `None`: the one of that name.
    pub fn map(&self) -> Option<&Arc<IdentMap>> {
        if let Options::Map(map) = &self.options { Some(map) } else { None }
    }

    /// Which directory is asked; with [`Method::Ldap`] alone.
    pub fn ldap(&self) -> Option<&Arc<LdapOptions>> {
        if let Options::Ldap(options) = &self.options { Some(options) } else { None }
    }

    /// Whose tokens count; with [`Method::Jwt`] alone.
    pub fn jwt(&self) -> Option<&Arc<JwtOptions>> {
        if let Options::Jwt(options) = &self.options { Some(options) } else { None }
    }

    /// Which claims are good for which roles; with [`Method::IamCaller`] alone, `None`: those of
    /// `iam_caller_map`.
    pub fn claims_map(&self) -> Option<&Arc<str>> {
        if let Options::ClaimsMap(named) = &self.options { Some(&named.0) } else { None }
    }

    fn is_for_origin(&self, origin: Origin) -> bool {
        match (self.kind, origin) {
            (Kind::Local, Origin::Local) => true,
            (Kind::Local, Origin::Tcp { .. }) | (_, Origin::Local) => false,
            (Kind::HostSsl, Origin::Tcp { is_tls: false, .. }) => false,
            (Kind::HostNoSsl, Origin::Tcp { is_tls: true, .. }) => false,
            (Kind::Host | Kind::HostSsl | Kind::HostNoSsl, Origin::Tcp { ip, .. }) => self.addresses.has(ip),
        }
    }

    /// Physical replication is for no database: `all` does not mean it.
    fn is_for_database(&self, visit: &Visit<'_>) -> bool {
        match visit.replication {
            Replication::Physical => self.databases.is_replication,
            Replication::No | Replication::Logical => self.databases.has(visit.database, visit.user),
        }
    }
}
