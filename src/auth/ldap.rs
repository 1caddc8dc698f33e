//! LDAP: what the options of a rule say, and what is asked of a directory about a user.
//!
//! Pure: no socket, no file. A user's name is never a part of a DN or a filter but as a value: what has a
//! meaning there is escaped. Sources: PostgreSQL documentation, "LDAP Authentication"; PgBouncer,
//! doc/config.md (`auth_ldap_options`); RFC 4513, 4514 (DNs), 4515 (filters), 4516 (URLs).

mod escape;
mod options;
#[cfg(test)]
mod tests;
mod url;

pub use options::LdapOptionsError;

use crate::base::Password;

/// Stands for the user's name in `ldapsearchfilter`.
const USERNAME: &str = "$username";

/// How users are looked up in which directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapOptions {
    /// Its servers, tried in this order; at least one.
    pub servers: Vec<LdapServer>,
    /// How connections to them are encrypted.
    pub encryption: LdapEncryption,
    /// How a user's name becomes an entry.
    pub lookup: LdapLookup,
}

/// One server of a directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LdapServer {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// How a connection to a directory is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LdapEncryption {
    /// Not at all.
    None,
    /// By a request within LDAP, before anything else (`ldaptls=1`).
    StartTls,
    /// From the first byte (`ldapscheme=ldaps`).
    Tls,
    /// By both, which no server grants: every login fails, as with PgBouncer.
    Both,
}

/// How a user's name becomes an entry of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LdapLookup {
    /// It stands between these two.
    Direct {
        /// `ldapprefix`.
        prefix: String,
        /// `ldapsuffix`.
        suffix: String,
    },
    /// It is searched for.
    Search(LdapSearch),
}

/// A search for a user's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapSearch {
    /// `ldapbasedn`.
    pub base: String,
    /// Who searches: `ldapbinddn` and `ldapbindpasswd`; `None`: anybody.
    pub searcher: Option<(String, Password)>,
    /// How far below the base.
    pub scope: LdapScope,
    filter: String,
}

/// How far a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LdapScope {
    /// The base itself.
    Base,
    /// One level below it.
    One,
    /// Everything below it.
    Subtree,
}

impl LdapOptions {
    /// Reads options as a rule of an hba file has them behind its method, and `auth_ldap_options`.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub fn parse(text: &[u8]) -> Result<Self, LdapOptionsError> {
        options::parse(text)
    }
}

impl LdapSearch {
    /// The filter for the entry of `user`.
    pub fn filter_for(&self, user: &str) -> String {
        self.filter.replace(USERNAME, &escape::filter_value(user))
    }
}

/// The name to log in with as `user`, which stands between prefix and suffix: a DN, or a name of another kind
/// (`EXAMPLE\user`, `user@example.net`). `None`: there is no way to write such a user there.
pub fn direct_name(prefix: &str, suffix: &str, user: &str) -> Option<String> {
    if prefix.contains('=') || suffix.contains('=') {
        return Some(format!("{prefix}{}{suffix}", escape::dn_value(user)));
    }
    // nothing can be escaped there, and a server may take what looks like a DN for one
    let is_plain = |one: char| !one.is_control() && !r#"=,;+<>"\/#"#.contains(one);
    user.chars().all(is_plain).then(|| format!("{prefix}{user}{suffix}"))
}
