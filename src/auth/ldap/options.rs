//! The options of LDAP: `name=value` words.
//!
//! The last of a name counts. Sources: PostgreSQL documentation, "LDAP Authentication" and "The pg_hba.conf
//! File"; PgBouncer, doc/config.md (`auth_ldap_options`).

use super::{LdapEncryption, LdapLookup, LdapOptions, LdapScope, LdapSearch, LdapServer, USERNAME, url};
use crate::auth::option_words::{BadWord, word};
use crate::base::{Password, limits};
use crate::config::{keyword_shown, shown};
use std::fmt::Write as _;

/// Ports of LDAP and of LDAP within TLS.
const PORTS: [u16; 2] = [389, 636];

/// What is wrong with options of LDAP. Never shows `ldapbindpasswd`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is told by its text")]
pub enum LdapOptionsError {
    #[error("quote is not closed")]
    QuoteNotClosed,
    #[error("text must be UTF-8")]
    NotUtf8,
    #[error("zero bytes are not allowed")]
    ZeroByte,
    #[error("an LDAP option is not in name=value format")]
    NoValue,
    #[error("unknown LDAP option: {0}")]
    Unknown(String),
    #[error("invalid {name} value: {value}")]
    BadValue { name: &'static str, value: String },
    #[error("invalid ldapurl: {0}")]
    BadUrl(&'static str),
    #[error("ldapsearchfilter is too long, or nested too deep")]
    BadFilter,
    #[error("LDAP needs ldapserver, or an ldapurl with a host")]
    NoServer,
    #[error("LDAP needs ldapprefix or ldapsuffix, or ldapbasedn")]
    NoLookup,
    #[error("options of a search cannot be used with ldapprefix and ldapsuffix")]
    TwoLookups,
    #[error("ldapsearchattribute cannot be used together with ldapsearchfilter")]
    TwoFilters,
}

/// The options as they are written.
#[derive(Default)]
struct Written {
    servers: Vec<String>,
    port: Option<u16>,
    is_tls: bool,
    starts_tls: bool,
    prefix: Option<String>,
    suffix: Option<String>,
    base: Option<String>,
    searcher: Option<String>,
    password: Option<Password>,
    scope: Option<LdapScope>,
    attribute: Option<String>,
    filter: Option<String>,
}

pub(super) fn parse(text: &[u8]) -> Result<LdapOptions, LdapOptionsError> {
    let mut written = Written::default();
    let mut rest = text;
    while let Some((word, behind)) = word(rest)? {
        rest = behind;
        let (name, value) = word.split_once('=').ok_or(LdapOptionsError::NoValue)?;
        written.take(name, value)?;
    }
    written.options()
}

impl From<BadWord> for LdapOptionsError {
    fn from(bad: BadWord) -> Self {
        match bad {
            BadWord::QuoteNotClosed => Self::QuoteNotClosed,
            BadWord::NotUtf8 => Self::NotUtf8,
            BadWord::ZeroByte => Self::ZeroByte,
        }
    }
}

impl Written {
    fn take(&mut self, name: &str, value: &str) -> Result<(), LdapOptionsError> {
        let bad = |name| Err(LdapOptionsError::BadValue { name, value: shown(value) });
        let text = || Some(value.to_owned());
        match name {
            "ldapserver" => self.servers = value.split_ascii_whitespace().map(str::to_owned).collect(),
            "ldapport" => match value.parse() {
                Ok(port @ 1..) => self.port = Some(port),
                _ => return bad("ldapport"),
            },
            "ldapscheme" => match value {
                "ldap" => self.is_tls = false,
                "ldaps" => self.is_tls = true,
                _ => return bad("ldapscheme"),
            },
            "ldaptls" => match value {
                "0" => self.starts_tls = false,
                "1" => self.starts_tls = true,
                _ => return bad("ldaptls"),
            },
            "ldapprefix" => self.prefix = text(),
            "ldapsuffix" => self.suffix = text(),
            "ldapbasedn" => self.base = text(),
            "ldapbinddn" => self.searcher = text(),
            "ldapbindpasswd" => self.password = Some(Password::new(value)),
            "ldapsearchattribute" => self.attribute = text(),
            "ldapsearchfilter" => self.filter = text(),
            "ldapurl" => self.take_url(value)?,
            _ => return Err(LdapOptionsError::Unknown(keyword_shown(name))),
        }
        Ok(())
    }

    fn take_url(&mut self, value: &str) -> Result<(), LdapOptionsError> {
        let url = url::parse(value).map_err(LdapOptionsError::BadUrl)?;
        self.is_tls = url.is_tls;
        self.servers = Some(url.host).filter(|host| !host.is_empty()).into_iter().collect();
        self.port = url.port;
        self.base = Some(url.base);
        self.scope = Some(url.scope);
        self.attribute = url.attribute.or(self.attribute.take());
        self.filter = url.filter.or(self.filter.take());
        Ok(())
    }

    fn options(mut self) -> Result<LdapOptions, LdapOptionsError> {
        let port = self.port.unwrap_or(PORTS[usize::from(self.is_tls)]);
        let host = |text: String| text.trim_start_matches('[').trim_end_matches(']').to_owned();
        let servers = std::mem::take(&mut self.servers).into_iter();
        let hosts = servers.map(host).filter(|host| !host.is_empty());
        let servers: Vec<_> = hosts.map(|host| LdapServer { host, port }).collect();
        let encryption = match (self.is_tls, self.starts_tls) {
            (false, false) => LdapEncryption::None,
            (false, true) => LdapEncryption::StartTls,
            (true, false) => LdapEncryption::Tls,
            (true, true) => LdapEncryption::Both,
        };
        if servers.is_empty() {
            return Err(LdapOptionsError::NoServer);
        }
        Ok(LdapOptions { servers, encryption, lookup: self.lookup()? })
    }

    fn lookup(self) -> Result<LdapLookup, LdapOptionsError> {
        let base = self.base.filter(|base| !base.is_empty());
        if self.prefix.is_some() || self.suffix.is_some() {
            let searches = base.is_some()
                || self.searcher.is_some()
                || self.password.is_some()
                || self.attribute.is_some()
                || self.filter.is_some();
            if searches {
                return Err(LdapOptionsError::TwoLookups);
            }
            let (prefix, suffix) = (self.prefix.unwrap_or_default(), self.suffix.unwrap_or_default());
            return Ok(LdapLookup::Direct { prefix, suffix });
        }
        let base = base.ok_or(LdapOptionsError::NoLookup)?;
        let filter = match (self.attribute, self.filter) {
            (Some(_), Some(_)) => return Err(LdapOptionsError::TwoFilters),
            (None, Some(filter)) => filter,
            (attribute, None) => {
                let attribute = attribute.as_deref().unwrap_or("uid");
                if !attribute.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-;.".contains(&byte)) {
                    let value = shown(attribute);
                    return Err(LdapOptionsError::BadValue { name: "ldapsearchattribute", value });
                }
                let mut filter = String::new();
                let _ = write!(filter, "({attribute}={USERNAME})");
                filter
            }
        };
        if filter.len() > limits::LDAP_FILTER_BYTES_MAX || depth(&filter) > limits::LDAP_DEPTH_MAX {
            return Err(LdapOptionsError::BadFilter);
        }
        // without a password the server would take it for a login of nobody in particular
        let searcher = match (self.searcher, self.password) {
            (Some(name), Some(password)) if !name.is_empty() && !password.is_empty() => {
                Some((name, password))
            }
            _ => None,
        };
        let scope = self.scope.unwrap_or(LdapScope::Subtree);
        Ok(LdapLookup::Search(LdapSearch { base, searcher, scope, filter }))
    }
}

/// How deep parentheses stand in one another.
fn depth(filter: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for byte in filter.bytes() {
        match byte {
            b'(' => now += 1,
            b')' => now = now.saturating_sub(1),
            _ => {}
        }
        most = most.max(now);
    }
    most
}
