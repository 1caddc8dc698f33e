//! TLS towards the servers of a directory: what handshakes with them go by.
//!
//! Which authorities are trusted says the configuration of libldap, as for PostgreSQL and PgBouncer: the file
//! `ldap.conf` and the variables `LDAPTLS_CACERT` and `LDAPTLS_REQCERT`; without it, the system's. Reads no
//! environment itself. Source: OpenLDAP, ldap.conf(5), "TLS OPTIONS".

use super::authorities::LeftOut;
use super::files::{self, TlsError};
use super::server;
use crate::base::limits;
use crate::config::read_file;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use std::io;
use std::sync::Arc;

/// Where libldap looks for its configuration.
const FILES: [&str; 2] = ["/etc/ldap/ldap.conf", "/etc/openldap/ldap.conf"];

/// What TLS handshakes with directories need; `None` where none asks for TLS.
#[derive(Clone, Debug, Default)]
pub struct LdapTls {
    /// For handshakes.
    pub config: Option<Arc<ClientConfig>>,
    /// Whether whoever answers passes for the directory.
    pub is_unverified: bool,
    /// What of the file of the authorities is of no use.
    pub left_out: Vec<LeftOut>,
    /// What libldap would go by, and nobody does here.
    pub ignored: Vec<&'static str>,
}

/// Words of libldap's configuration without effect here: somebody may have meant to trust less by them.
const IGNORED: [&str; 8] = [
    "TLS_CACERTDIR",
    "TLS_CERT",
    "TLS_CIPHER_SUITE",
    "TLS_CRLCHECK",
    "TLS_CRLFILE",
    "TLS_KEY",
    "TLS_PROTOCOL_MIN",
    "TLS_REQSAN",
];

/// What libldap would verify certificates by.
#[derive(Debug, Default, PartialEq, Eq)]
struct Trust {
    /// `TLS_CACERT`.
    authorities: Option<String>,
    /// `TLS_REQCERT` says that certificates do not matter.
    is_unverified: bool,
    /// Of [`IGNORED`].
    ignored: Vec<&'static str>,
}

impl LdapTls {
    /// Reads the configuration of libldap; `variable` gives those of the environment.
    ///
    /// # Errors
    /// That configuration, or the file of the authorities, cannot be read, or that has none.
    pub(crate) fn load(variable: impl Fn(&str) -> Option<String>) -> Result<Self, TlsError> {
        let trust = trust(variable, &configuration)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let (verifier, left_out) = if trust.is_unverified {
            (server::anyone(Arc::clone(&provider)), Vec::new())
        } else {
            server::verified("TLS_CACERT", trust.authorities.as_deref().unwrap_or_default(), &provider, true)?
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .map_err(|error| files::refused("LDAP", &error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Self {
            config: Some(Arc::new(config)),
            is_unverified: trust.is_unverified,
            left_out,
            ignored: trust.ignored,
        })
    }
}

/// The text of a configuration of libldap; `None`: there is none. One that cannot be read is no such case:
/// it may say whom not to trust.
fn configuration(file: &str) -> Result<Option<String>, TlsError> {
    match read_file(file, limits::LDAP_CONF_BYTES_MAX) {
        Ok(text) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(files::bad_file("ldap.conf", file, &error)),
    }
}

/// Reads a file's text, if there is such a file.
type ReadText<'a> = &'a dyn Fn(&str) -> Result<Option<String>, TlsError>;

fn trust(variable: impl Fn(&str) -> Option<String>, read: ReadText<'_>) -> Result<Trust, TlsError> {
    let mut trust = Trust::default();
    if variable("LDAPNOINIT").is_some() {
        return Ok(trust);
    }
    let text = match variable("LDAPCONF") {
        Some(file) => read(&file)?,
        None => match read(FILES[0])? {
            Some(text) => Some(text),
            None => read(FILES[1])?,
        },
    };
    for line in text.iter().flat_map(|text| text.lines()) {
        let mut words = line.split_ascii_whitespace();
        if let (Some(key), Some(value)) = (words.next(), words.next()) {
            trust.take(key, value);
        }
    }
    for key in ["TLS_CACERT", "TLS_REQCERT"].into_iter().chain(IGNORED) {
        if let Some(value) = variable(&format!("LDAP{key}")) {
            trust.take(key, &value);
        }
    }
    Ok(trust)
}

impl Trust {
    fn take(&mut self, key: &str, value: &str) {
        let key = key.to_ascii_uppercase();
        match key.as_str() {
            "TLS_CACERT" => self.authorities = Some(value.to_owned()),
            "TLS_REQCERT" => self.is_unverified = ["never", "allow"].contains(&&*value.to_ascii_lowercase()),
            _ => {
                let known = IGNORED.into_iter().find(|known| *known == key);
                self.ignored.extend(known.filter(|known| !self.ignored.contains(known)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)], files: &[(&str, &str)]) -> Trust {
        let find = |pairs: &[(&str, &str)], name: &str| {
            pairs.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
        };
        trust(|name| find(variables, name), &|name| Ok(find(files, name))).unwrap()
    }

    fn trusts(authorities: Option<&str>, is_unverified: bool) -> Trust {
        Trust { authorities: authorities.map(str::to_owned), is_unverified, ignored: Vec::new() }
    }

    #[test]
    fn the_configuration_of_libldap_says_whom_to_trust() {
        let etc = ("/etc/ldap/ldap.conf", "# x\nBASE dc=x\ntls_cacert\t/a.pem\nTLS_REQCERT demand\n");
        let other = ("/o", "TLS_REQCERT never\n");
        assert_eq!(of(&[], &[]), Trust::default());
        assert_eq!(of(&[], &[etc, other]), trusts(Some("/a.pem"), false));
        assert_eq!(of(&[("LDAPCONF", "/o")], &[etc, other]), trusts(None, true));
        assert_eq!(of(&[("LDAPCONF", "/none")], &[etc]), Trust::default(), "a file that is named counts");
        let variables = [("LDAPTLS_CACERT", "/b.pem"), ("LDAPTLS_REQCERT", "Allow")];
        assert_eq!(of(&variables, &[etc]), trusts(Some("/b.pem"), true));
        assert_eq!(of(&[("LDAPTLS_REQCERT", "hard")], &[other]), Trust::default());
        assert_eq!(of(&[("LDAPNOINIT", ""), ("LDAPTLS_REQCERT", "never")], &[etc]), Trust::default());
    }

    #[test]
    fn words_that_have_no_effect_are_named_once() {
        let etc = ("/etc/ldap/ldap.conf", "URI ldap://x\ntls_cacertdir /etc/certs\nTLS_CRLCHECK all\n");
        let found = of(&[("LDAPTLS_CRLCHECK", "peer"), ("LDAPTLS_KEY", "/k")], &[etc]);
        assert_eq!(found.ignored, ["TLS_CACERTDIR", "TLS_CRLCHECK", "TLS_KEY"]);
    }

    #[test]
    fn authorities_that_cannot_be_read_are_refused() {
        let missing = |name: &str| (name == "LDAPTLS_CACERT").then(|| "/no/such.pem".to_owned());
        let why = LdapTls::load(missing).map(|_| ()).unwrap_err().to_string();
        assert!(why.starts_with("TLS_CACERT: /no/such.pem: "), "{why}");
    }

    #[test]
    fn a_configuration_that_cannot_be_read_is_refused() {
        for (file, why) in [("/dev/zero", "it is a device, not a file"), ("/", "it is a directory")] {
            let named = |name: &str| (name == "LDAPCONF").then(|| file.to_owned());
            let told = LdapTls::load(named).map(|_| ()).unwrap_err().to_string();
            assert_eq!(told, format!("ldap.conf: {file}: {why}"));
        }
    }
}
