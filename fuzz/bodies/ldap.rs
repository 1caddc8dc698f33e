//! What must hold for any bytes as options of LDAP, and as an `ldapurl`: what is read can be asked, no user's
//! name leaves its place, and SHOW CONFIG has nothing of the password.

use pgweir::auth::ldap::{LdapLookup, LdapOptions, direct_name};
use pgweir::config::{Setting, Settings};

/// The first line of `data` is who logs in, the rest is options; then it is a URL.
pub fn run(data: &[u8]) {
    let cut = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (user, text) = (String::from_utf8_lossy(&data[..cut]), data.get(cut + 1..).unwrap_or_default());
    read(&user, text);
    read(&user, &[b"ldapurl=\"ldap://", text, b"\" ldapbinddn=s ldapbindpasswd=ZZZ"].concat());
}

fn read(user: &str, text: &[u8]) {
    let options = match LdapOptions::parse(text) {
        Ok(options) => options,
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "an error is one line");
            return;
        }
    };
    assert!(!options.servers.is_empty());
    for server in &options.servers {
        assert!(server.port > 0 && !server.host.is_empty(), "{server:?} is nowhere");
    }
    look_up(&options.lookup, user);
    if let Ok(text) = std::str::from_utf8(text) {
        show(&options, text);
    }
}

/// A user's name is one value, whatever is in it.
fn look_up(lookup: &LdapLookup, user: &str) {
    match lookup {
        LdapLookup::Direct { prefix, suffix } => {
            let Some(name) = direct_name(prefix, suffix, user) else { return };
            let value = name.strip_prefix(&**prefix).and_then(|rest| rest.strip_suffix(&**suffix));
            let value = value.expect("prefix and suffix stay as they are");
            assert!(!value.contains([',', '=', '+', '"', ';', '<', '>', '\0']), "{value:?}");
        }
        LdapLookup::Search(search) => {
            let marks = |name: &str| search.filter_for(name).matches(['(', ')', '*', '\0']).count();
            assert_eq!(marks(user), marks("a"));
            let searcher = search.searcher.as_ref();
            assert!(!search.base.is_empty());
            assert!(searcher.is_none_or(|(name, password)| !name.is_empty() && !password.is_empty()));
        }
    }
}

/// What is shown and the password have no more of a letter between them than the whole text has.
fn show(options: &LdapOptions, text: &str) {
    let LdapLookup::Search(search) = &options.lookup else { return };
    let Some((_, password)) = &search.searcher else { return };
    let row = Setting::named("auth_ldap_options").expect("a setting");
    let mut settings = Settings::default();
    row.set(&mut settings, text).expect("any text is one");
    let shown = row.show(&settings).expect("it is set");
    for letter in password.expose().chars() {
        let count = |text: &str| text.matches(letter).count();
        // What stands in the password's place has letters of its own.
        let own = count("ldapbindpasswd=…");
        assert!(count(&shown) + count(password.expose()) <= count(text) + own, "{shown:?} of {text:?}");
    }
}
