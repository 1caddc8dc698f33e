//! Options by example, as rules have them.

use super::*;
use crate::base::limits;
use crate::config::{Setting, Settings};
use proptest::prelude::*;

fn options(text: &str) -> LdapOptions {
    LdapOptions::parse(text.as_bytes()).unwrap()
}

fn refused(text: &str) -> String {
    LdapOptions::parse(text.as_bytes()).unwrap_err().to_string()
}

fn search(text: &str) -> LdapSearch {
    match options(text).lookup {
        LdapLookup::Search(search) => search,
        LdapLookup::Direct { .. } => panic!("not a search: {text}"),
    }
}

fn servers(options: &LdapOptions) -> Vec<(&str, u16)> {
    options.servers.iter().map(|server| (&*server.host, server.port)).collect()
}

#[test]
fn a_simple_bind_puts_the_name_between_prefix_and_suffix() {
    let direct = options(r#"ldapserver=127.0.0.1 ldapport=1389 ldapprefix="uid=" ldapsuffix=",dc=x,dc=y""#);
    assert_eq!(servers(&direct), [("127.0.0.1", 1389)]);
    assert_eq!(direct.encryption, LdapEncryption::None);
    let LdapLookup::Direct { prefix, suffix } = &direct.lookup else { panic!("a search") };
    assert_eq!(direct_name(prefix, suffix, "alice").as_deref(), Some("uid=alice,dc=x,dc=y"));
    let inserted = direct_name(prefix, suffix, "alice,ou=boss");
    assert_eq!(inserted.as_deref(), Some("uid=alice\\2cou\\3dboss,dc=x,dc=y"));
}

#[test]
fn names_that_are_no_dns_take_no_user_who_looks_like_one() {
    assert_eq!(direct_name("", "@example.net", "al.ice").as_deref(), Some("al.ice@example.net"));
    assert_eq!(direct_name("EXAMPLE\\", "", "alice").as_deref(), Some("EXAMPLE\\alice"));
    for user in ["cn=admin,dc=x", "x\\y", "a;b", "a\0", "a/b", "<a>"] {
        assert_eq!(direct_name("", "@example.net", user), None, "{user:?}");
    }
}

#[test]
fn a_search_has_a_base_a_scope_and_a_filter() {
    let plain = search(r#"ldapserver=x ldapbasedn="dc=example,dc=net""#);
    assert_eq!((&*plain.base, plain.scope), ("dc=example,dc=net", LdapScope::Subtree));
    assert_eq!(plain.searcher, None);
    assert_eq!(plain.filter_for("a*(b)"), "(uid=a\\2a\\28b\\29)");
    let named = search("ldapserver=x ldapbasedn=dc=x ldapsearchattribute=mail");
    assert_eq!(named.filter_for("a@b"), "(mail=a@b)");
    let both = r#"ldapserver=x ldapbasedn=dc=x ldapsearchfilter="(|(uid=$username)(mail=$username))""#;
    assert_eq!(search(both).filter_for(")("), "(|(uid=\\29\\28)(mail=\\29\\28))");
    let own = search("ldapserver=x ldapbasedn=dc=x ldapbinddn=cn=s ldapbindpasswd=p=w");
    let (name, password) = own.searcher.unwrap();
    assert_eq!((&*name, password.expose()), ("cn=s", "p=w"));
    for half in ["ldapbinddn=cn=s", "ldapbindpasswd=x", "ldapbinddn=cn=s ldapbindpasswd=\"\""] {
        assert_eq!(search(&format!("ldapserver=x ldapbasedn=dc=x {half}")).searcher, None, "{half}");
    }
}

#[test]
fn a_url_says_most_at_once() {
    let url = options(r#"ldapurl="ldap://127.0.0.1:12345/dc=example,dc=net?uid?sub""#);
    assert_eq!(servers(&url), [("127.0.0.1", 12345)]);
    let LdapLookup::Search(found) = &url.lookup else { panic!("no search") };
    assert_eq!((&*found.base, found.scope), ("dc=example,dc=net", LdapScope::Subtree));
    assert_eq!(found.filter_for("a"), "(uid=a)");
    let url = options(r#"ldapurl="ldaps://[::1]/dc=x%20y??one?(|(uid=$username)(mail=$username))""#);
    assert_eq!((servers(&url), url.encryption), (vec![("::1", 636)], LdapEncryption::Tls));
    let LdapLookup::Search(found) = &url.lookup else { panic!("no search") };
    assert_eq!((&*found.base, found.scope), ("dc=x y", LdapScope::One));
    assert_eq!(found.filter_for("a"), "(|(uid=a)(mail=a))");
    assert_eq!(search("ldapurl=ldap://x/dc=y").scope, LdapScope::Base);
    for (url, why) in [
        ("x", "it has no scheme"),
        ("ldapi://x/y", "its scheme is neither ldap nor ldaps"),
        ("ldap://x:y/z", "its port is no number from 1 to 65535"),
        ("ldap://x:99999/z", "its port is no number from 1 to 65535"),
        ("ldap://x:0/z", "its port is no number from 1 to 65535"),
        ("ldap://[::1/z", "its address is not closed"),
        ("ldap://x/y??tree", "its scope is none of base, one, sub"),
        ("ldap://x/%zz", "its percent-encoding is wrong"),
        ("ldap://x/%+1", "its percent-encoding is wrong"),
        ("ldap://x/%ff", "its percent-encoding is wrong"),
        ("ldap://x/y????!bindname=cn=z", "it has an extension that is critical and unknown"),
    ] {
        assert_eq!(refused(&format!("ldapurl=\"{url}\"")), format!("invalid ldapurl: {why}"));
    }
}

#[test]
fn words_are_divided_and_quoted_as_in_rules() {
    let text = "\"ldapport\"=7 ldapserver=\"a b\" ,ldapbasedn=\"dc=\"\"x\"\"\"  \t# ldapport=8";
    let read = options(text);
    assert_eq!(servers(&read), [("a", 7), ("b", 7)]);
    assert_eq!(search(text).base, "dc=\"x\"");
    assert_eq!(servers(&options("ldapserver=a ldapserver=[::1] ldapprefix=x")), [("::1", 389)]);
    let encryption = |more: &str| options(&format!("ldapserver=a ldapprefix=x {more}")).encryption;
    assert_eq!(encryption("ldaptls=1"), LdapEncryption::StartTls);
    assert_eq!(encryption("ldapscheme=ldaps"), LdapEncryption::Tls);
    assert_eq!(encryption("ldapscheme=ldaps ldaptls=1"), LdapEncryption::Both);
    assert_eq!(encryption("ldaptls=1 ldaptls=0"), LdapEncryption::None);
}

#[test]
fn what_is_wrong_is_told_and_no_password_with_it() {
    let base = "ldapserver=x ldapbasedn=dc=x";
    for (text, why) in [
        ("", "LDAP needs ldapserver, or an ldapurl with a host"),
        ("ldapurl=ldap:///dc=x", "LDAP needs ldapserver, or an ldapurl with a host"),
        ("ldapserver=[] ldapprefix=x", "LDAP needs ldapserver, or an ldapurl with a host"),
        ("ldapserver=x", "LDAP needs ldapprefix or ldapsuffix, or ldapbasedn"),
        (
            "ldapserver=x ldapprefix=a ldapbasedn=b",
            "options of a search cannot be used with ldapprefix and \
          ldapsuffix",
        ),
        (
            "ldapserver=x ldapprefix=a ldapbindpasswd=b",
            "options of a search cannot be used with ldapprefix and \
          ldapsuffix",
        ),
        (
            &format!("{base} ldapsearchattribute=a ldapsearchfilter=b"),
            "ldapsearchattribute cannot be used \
          together with ldapsearchfilter",
        ),
        (&format!("{base} ldapsearchattribute=\"a)(b\""), "invalid ldapsearchattribute value: a)(b"),
        (&format!("{base} ldapport=0"), "invalid ldapport value: 0"),
        (&format!("{base} ldaptls=yes"), "invalid ldaptls value: yes"),
        (&format!("{base} ldapscheme=http"), "invalid ldapscheme value: http"),
        (&format!("{base} ldapbinddpasswd=sEcReT"), "unknown LDAP option: ldapbinddpasswd"),
        (&format!("{base} sEcReT"), "an LDAP option is not in name=value format"),
        (&format!("{base} ldapbindpasswd=\"sEcReT"), "quote is not closed"),
        (&format!("{base} ldapbindpasswd=\0"), "zero bytes are not allowed"),
        (
            &format!("{base} ldapsearchfilter={}", "(!".repeat(40)),
            "ldapsearchfilter is too long, or nested too \
          deep",
        ),
    ] {
        assert_eq!(refused(text), why, "{text}");
    }
    let long = format!("{base} ldapsearchfilter={}", "x".repeat(limits::LDAP_FILTER_BYTES_MAX + 1));
    assert!(refused(&long).starts_with("ldapsearchfilter is too long"));
    assert_eq!(LdapOptions::parse(b"ldapserver=\xff"), Err(LdapOptionsError::NotUtf8));
    let shown = format!("{:?}", options(&format!("{base} ldapbinddn=cn=x ldapbindpasswd=sEcReT")));
    assert!(!shown.contains("sEcReT"), "{shown}");
}

/// What SHOW CONFIG has of them.
fn shown(text: &str) -> String {
    let row = Setting::named("auth_ldap_options").unwrap();
    let mut settings = Settings::default();
    row.set(&mut settings, text).unwrap();
    row.show(&settings).unwrap()
}

/// `word` with quotes around those of its letters that `is_quoted` says, and around those that need them.
fn with_quotes(word: &str, is_quoted: &[bool]) -> String {
    let (mut text, mut was_quoted) = (String::new(), false);
    for (letter, wish) in word.chars().zip(is_quoted.iter().cycle()) {
        let is_quoted = *wish || " ,#".contains(letter);
        if is_quoted != was_quoted {
            text.push('"');
        }
        text.push(letter);
        was_quoted = is_quoted;
    }
    if was_quoted {
        text.push('"');
    }
    text
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = LdapOptions::parse(&text);
        let _ = LdapOptions::parse(&[b"ldapurl=ldap://", &text[..]].concat());
    }
    /// The letters of the secret stand in no other word.
    #[test]
    fn what_is_read_as_a_password_is_not_shown(
        secret in "[Zé ,#]{0,8}Z",
        is_quoted in proptest::collection::vec(any::<bool>(), 1..30),
        behind in "( ldapport=1|,ldaptls=1|\t| # ldapbindpasswd=)?",
    ) {
        let front = "ldapserver=x ldapbinddn=a ldapbasedn=\"b ldap\"";
        let word = with_quotes(&format!("ldapbindpasswd={secret}"), &is_quoted);
        let text = format!("{front} {word}{behind}");
        let (_, password) = search(&text).searcher.unwrap();
        prop_assert_eq!(password.expose(), &*secret);
        let shown = shown(&text);
        prop_assert!(shown.starts_with(front) && !shown.contains(['Z', 'é', '#']), "{}", shown);
    }
}
