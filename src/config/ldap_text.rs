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
        // Quotes may stand anywhere in a word, and are no part of it.
        let letters = self.0.char_indices().filter(|(_, letter)| *letter != '"');
        let (places, letters): (Vec<_>, String) = letters.map(|(at, c)| (at, c.to_ascii_lowercase())).unzip();
        let Some(found) = letters.find(PASSWORD) else { return Some(self.0.to_string()) };
        let letters_before = letters[..found].chars().count();
        let before = &self.0[..places[letters_before]];
        let word = before.rfind(char::is_whitespace).map_or(0, |space| space + 1);
        Some(format!("{}{PASSWORD}=…", &before[..word]))
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
