//! Texts of secrets: those of RDS and of Kubernetes, and those that are broken.

use super::*;
use proptest::prelude::*;

fn login(text: &str) -> Result<(Option<String>, String), Unreadable> {
    let Login { user, secret } = Login::read(text.as_bytes())?;
    Ok((user.map(|user| user.to_string()), secret.to_text().expose().to_owned()))
}

fn is(user: &str, password: &str) -> Result<(Option<String>, String), Unreadable> {
    Ok(((!user.is_empty()).then(|| user.to_owned()), password.to_owned()))
}

#[test]
fn a_secret_of_rds_gives_user_and_password_and_nothing_else() {
    let text = r#"{"engine":"postgres","host":"db.example.org","username":"app","password":"p\"w\u00e4",
        "dbname":"app","port":5432,"masterarn":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:m",
        "tags":{"a":["b",{"password":"deep"}]}}"#;
    assert_eq!(login(text), is("app", "p\"wä"));
    assert_eq!(login(r#"{"password":"x","port":"5432"}"#), is("", "x"), "a port may be a text");
    assert_eq!(login(r#" {"username":"rds!a","password":"x"} "#), is("rds!a", "x"));
    let verifier = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
                    wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    assert_eq!(login(&format!(r#"{{"password":"{verifier}"}}"#)), is("", verifier), "it is a password");
    let read = Login::read(format!(r#"{{"password":"{verifier}"}}"#).as_bytes()).unwrap();
    assert!(matches!(*read.secret, Secret::Plain(_)), "servers are proven to by a password only");
}

#[test]
fn a_password_of_one_line_may_end_with_a_line_end() {
    for text in ["pencil", "pencil\n", "pencil\r\n"] {
        assert_eq!(login(text), is("", "pencil"), "{text:?}");
    }
    assert_eq!(login(" pen cil "), is("", " pen cil "), "blanks are of the password");
    assert_eq!(login("[1]"), is("", "[1]"));
    for (text, why) in [
        ("", Unreadable::Empty),
        ("\n", Unreadable::Empty),
        ("  \n", Unreadable::Empty),
        ("a\nb", Unreadable::ManyLines),
        ("a\n\n", Unreadable::ManyLines),
        ("a\rb", Unreadable::ManyLines),
        ("a\0b", Unreadable::BadPassword),
    ] {
        assert_eq!(login(text), Err(why), "{text:?}");
    }
    assert_eq!(Login::read(b"\xff"), Err(Unreadable::NotUtf8));
}

#[test]
fn broken_json_is_never_taken_for_a_password() {
    for (text, why) in [
        ("{", Unreadable::NotJson),
        (r#"{"username":"app","passw"#, Unreadable::NotJson),
        (r#"{"username":"app","password":"x"}}"#, Unreadable::NotJson),
        (r#"{"username":"app","password":"x"} {}"#, Unreadable::NotJson),
        (r#"{"username":"app"}"#, Unreadable::NoPassword),
        (r#"{"username":"app","password":""}"#, Unreadable::NoPassword),
        (r#"{"username":"app","password":null}"#, Unreadable::NoPassword),
        (r#"{"username":"app","Password":"x"}"#, Unreadable::NoPassword),
        (r#"{"password":"a","password":"b"}"#, Unreadable::Twice),
        (r#"{"username":7,"password":"x"}"#, Unreadable::BadUser),
        (r#"{"username":"","password":"x"}"#, Unreadable::BadUser),
        (r#"{"username":"a\nb","password":"x"}"#, Unreadable::BadUser),
        (r#"{"username":"a","password":"x\u0000"}"#, Unreadable::BadPassword),
        ("{}", Unreadable::NoPassword),
    ] {
        assert_eq!(login(text), Err(why), "{text}");
    }
}

#[test]
fn all_that_a_secret_holds_is_bounded() {
    let json = |user: usize, password: usize| {
        login(&format!(r#"{{"username":"{}","password":"{}"}}"#, "u".repeat(user), "p".repeat(password)))
    };
    let (user, password) = (limits::NAME_BYTES_MAX, limits::SECRET_FIELD_BYTES_MAX);
    assert!(json(user, password).is_ok());
    assert_eq!(json(user + 1, 1), Err(Unreadable::BadUser));
    assert_eq!(json(1, password + 1), Err(Unreadable::BadPassword));
    assert_eq!(login(&"p".repeat(limits::KEPT_SECRET_BYTES_MAX + 1)), Err(Unreadable::TooLong));
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        login(&format!(r#"{{"password":"x","more":{open}{close}}}"#))
    };
    assert!(nested(limits::SECRET_JSON_DEPTH_MAX).is_ok());
    assert_eq!(nested(limits::SECRET_JSON_DEPTH_MAX + 1), Err(Unreadable::TooDeep));
    assert_eq!(nested(20_000), Err(Unreadable::TooDeep));
}

#[test]
fn parts_are_two_files() {
    let parts = |user: Option<&str>, password: &str| {
        let login = Login::of_parts(user.map(str::as_bytes), password.as_bytes())?;
        let user = login.user.map(|user| user.to_string());
        Ok((user, login.secret.to_text().expose().to_owned()))
    };
    assert_eq!(parts(Some("app\n"), "pw\n"), is("app", "pw"));
    assert_eq!(parts(None, "{not json}"), is("", "{not json}"));
    assert_eq!(parts(Some(""), "pw"), Err(Unreadable::Empty));
    assert_eq!(parts(Some("a\nb"), "pw"), Err(Unreadable::BadUser));
}

/// The users of a text, each with its secret, in the order of their names; `-` is nobody's own.
fn users_for(purpose: Purpose, text: &str) -> Result<String, Unreadable> {
    let content = Content::read(purpose, text.as_bytes())?;
    let users = content.users().expect("they are asked for");
    let mut all: Vec<_> = users.named().iter().map(|(name, secret)| shown(name, secret)).collect();
    if let Users::One(Login { user: None, secret }) = users {
        all.push(shown("-", secret));
    }
    all.sort();
    assert_eq!(all.len(), users.count());
    Ok(all.join(" "))
}

fn shown(name: &str, secret: &Secret) -> String {
    let kind = match secret {
        Secret::Plain(_) => "plain",
        Secret::Md5(_) => "md5",
        Secret::Scram(_) => "scram",
    };
    format!("{name}:{kind}:{}", secret.to_text().expose())
}

const HASH: &str = "md54b5f41e8a9b1a0a1ee1ae5a2d5a2d5a2";

#[test]
fn users_are_one_login_or_a_list() {
    let users = |text: &str| users_for(Purpose::Clients, text);
    let is = |text: &str| Ok(text.to_owned());
    assert_eq!(users(r#"{"username":"app","password":"p","port":1}"#), is("app:plain:p"));
    assert_eq!(
        users(&format!(r#"{{"username":"app","password":"{HASH}"}}"#)),
        is(&format!("app:md5:{HASH}"))
    );
    let list = format!(r#"{{"note":"x","users":{{"app":"a","bob":"{HASH}","eve":""}}}}"#);
    assert_eq!(users(&list), is(&format!("app:plain:a bob:md5:{HASH} eve:plain:")));
    assert_eq!(users(r#"{"users":{}}"#), is(""), "a list of nobody is a list");
    let lines = format!("; comment\n\"app\" \"a\"\n\"bob\" \"{HASH}\" more\n\"app\" \"b\"\n");
    assert_eq!(
        users(&lines),
        is(&format!("app:plain:b bob:md5:{HASH}")),
        "as in auth_file the last one counts"
    );
    assert_eq!(users("; nobody\n"), is(""));
    for (text, why) in [
        ("pencil", Unreadable::NoUser),
        (r#"{"password":"x"}"#, Unreadable::NoUser),
        (r#"{"app":"x"}"#, Unreadable::NoPassword),
        (r#"{"username":"app","host":"h"}"#, Unreadable::NoPassword),
        (r#"{"users":{"app":7}}"#, Unreadable::BadUsers),
        (r#"{"users":{"":"x"}}"#, Unreadable::BadUser),
        (r#"{"users":{"app":"x","app":"y"}}"#, Unreadable::Twice),
        (r#"{"users":{"app":"x\u0000"}}"#, Unreadable::BadPassword),
        ("\"a\" \"1\"\n\"b\" \"2\n", Unreadable::BadLine { line: 2 }),
        ("\"a\" \"1\"\ngarbage", Unreadable::BadLine { line: 2 }),
        (" \n", Unreadable::Empty),
    ] {
        assert_eq!(users(text), Err(why), "{text}");
    }
}

#[test]
fn what_one_user_is_proven_by_need_not_name_it() {
    let users = |text: &str| users_for(Purpose::User, text);
    assert_eq!(users("pencil\n").as_deref(), Ok("-:plain:pencil"));
    assert_eq!(users(HASH), Ok(format!("-:md5:{HASH}")));
    assert_eq!(users(r#"{"password":"x","host":"h"}"#).as_deref(), Ok("-:plain:x"));
    assert_eq!(users(r#"{"users":{"app":"a","bob":"b"}}"#).as_deref(), Ok("app:plain:a bob:plain:b"));
    let parts = |user: Option<&[u8]>, purpose| Content::of_parts(purpose, user, b"pw\n").map(|_| ());
    assert_eq!(parts(None, Purpose::User), Ok(()));
    assert_eq!(parts(None, Purpose::Clients), Err(Unreadable::NoUser));
    assert_eq!(parts(Some(b"app"), Purpose::Clients), Ok(()));
}

#[test]
fn a_secret_proves_whom_it_names_and_nobody_else() {
    let secret = |text: &str, user: &str| {
        let content = Content::read(Purpose::User, text.as_bytes()).unwrap();
        content.users().unwrap().secret(user).map(|secret| secret.to_text().expose().to_owned())
    };
    let named = r#"{"username":"app","password":"p"}"#;
    assert_eq!((secret(named, "app").as_deref(), secret(named, "bob")), (Some("p"), None));
    assert_eq!(secret("p", "whoever").as_deref(), Some("p"));
    let list = "\"app\" \"a\"\n\"bob\" \"b\"\n";
    assert_eq!((secret(list, "bob").as_deref(), secret(list, "eve")), (Some("b"), None));
}

#[test]
fn a_list_of_users_is_bounded() {
    let lines = |bytes: usize| {
        let line = format!("\"{}\" \"{}\"\n", "u".repeat(100), "s".repeat(100));
        let text = line.repeat(bytes / line.len());
        let text = format!("{text}{}", " ".repeat(bytes - text.len()));
        users_for(Purpose::Clients, &text).map(|_| ())
    };
    assert_eq!(lines(limits::KEPT_USERS_BYTES_MAX), Ok(()));
    assert_eq!(lines(limits::KEPT_USERS_BYTES_MAX + 1), Err(Unreadable::TooLong));
    let line = |user: usize, secret: usize| {
        users_for(Purpose::Clients, &format!("\"{}\" \"{}\"", "u".repeat(user), "s".repeat(secret)))
            .map(|_| ())
    };
    let (user, secret) = (limits::NAME_BYTES_MAX, limits::SECRET_FIELD_BYTES_MAX);
    assert_eq!(line(user, secret), Ok(()));
    assert_eq!(line(user + 1, secret), Err(Unreadable::BadLine { line: 1 }));
    assert_eq!(line(user, secret + 1), Err(Unreadable::BadPassword));
}

#[test]
fn what_is_read_does_not_print() {
    let shown =
        format!("{:?}", Content::Login(Login::read(br#"{"username":"app","password":"pencil"}"#).unwrap()));
    assert!(shown.contains("app") && !shown.contains("pencil"), "{shown}");
    let list = Content::read(Purpose::Clients, br#"{"users":{"app":"pencil"}}"#).unwrap();
    assert!(!format!("{list:?}").contains("pencil"), "{list:?}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (Login::read(&text), Content::read(Purpose::User, &text));
    }

    #[test]
    fn any_text_that_json_can_hold_comes_out_as_it_is(text in "[^\\x00\"\\\\\\x01-\\x1f]{1,80}") {
        prop_assert_eq!(login(&format!(r#"{{"password":"{text}"}}"#)), is("", &text));
    }
}
