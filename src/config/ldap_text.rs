//! The value of `auth_ldap_options`, which is shown without the password in it.
//!
//! What its words mean is `auth::ldap`'s. Source: PostgreSQL documentation, "LDAP Authentication".

use super::value::{BadValue, Value};
use std::fmt;
use std::sync::Arc;

/// Options of LDAP, which may hold a password: what stands from it on is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct LdapText(Arc<str>);

impl LdapText {
    /// As the file has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LdapText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show().unwrap_or_default())
    }
}

impl Value for LdapText {
    fn parse(text: &str) -> Result<Self, BadValue> {
        Ok(Self(text.into()))
    }
    fn show(&self) -> Option<String> {
        const PASSWORD: &str = "ldapbindpasswd";
        // Quotes may stand anywhere in a word.
        let is_password = |at: &usize| {
            let letters = self.0[*at..].chars().filter(|letter| *letter != '"');
            letters.take(PASSWORD.len()).map(|letter| letter.to_ascii_lowercase()).eq(PASSWORD.chars())
        };
        Some(match self.0.char_indices().map(|(at, _)| at).find(is_password) {
            Some(at) => format!("{}{PASSWORD}=…", &self.0[..at]),
            None => self.0.to_string(),
        })
    }
    fn accepted() -> String {
        "text".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_not_shown() {
        let shown = |text: &str| LdapText::parse(text).unwrap().show().unwrap();
        let plain = "ldapserver=ldap.example.com ldapprefix=\"cn=\"";
        assert_eq!(shown(plain), plain);
        let secrets = [
            "ldapbindpasswd=s3cret",
            "ldapbindpasswd=\"s3cret word\"",
            "\"LDAPbindpasswd=s3cret\"",
            "ldapbind\"passwd\"=s3cret",
            "\"\"l\"dapbindpassw\"d=s3cret",
        ];
        for secret in secrets {
            let text = format!("{plain} {secret} ldapbasedn=dc=x");
            let told = [shown(&text), format!("{:?}", LdapText::parse(&text))].concat();
            assert!(told.contains(plain) && !told.contains("s3cret") && !told.contains("word\""), "{told}");
            assert_eq!(LdapText::parse(&text).unwrap().as_str(), text);
        }
    }
}
