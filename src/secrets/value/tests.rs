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

#[test]
fn users_are_a_map_or_one_of_rds() {
    let users = |text: &str| {
        let mut users: Vec<_> = read_users(text.as_bytes())?
            .into_iter()
            .map(|(name, secret)| format!("{name}:{}", secret.to_text().expose()))
            .collect();
        users.sort();
        Ok(users.join(" "))
    };
    assert_eq!(
        users(r#"{"app":"a","bob":"md54b5f41e8a9b1a0a1ee1ae5a2d5a2d5a2"}"#).as_deref(),
        Ok("app:a bob:md54b5f41e8a9b1a0a1ee1ae5a2d5a2d5a2")
    );
    assert_eq!(users(r#"{"username":"app","password":"p","port":1}"#).as_deref(), Ok("app:p"));
    assert_eq!(users(r#"{"username":"not one of RDS"}"#).as_deref(), Ok("username:not one of RDS"));
    assert_eq!(users(r#"{"app":7}"#), Err(Unreadable::NoUsers));
    assert_eq!(users("pencil"), Err(Unreadable::NoUsers));
    assert_eq!(users("{}"), Err(Unreadable::Empty));
    assert_eq!(users(r#"{"":"x"}"#), Err(Unreadable::BadUser));
}

#[test]
fn what_is_read_does_not_print() {
    let shown =
        format!("{:?}", Content::Login(Login::read(br#"{"username":"app","password":"pencil"}"#).unwrap()));
    assert!(shown.contains("app") && !shown.contains("pencil"), "{shown}");
    let shown = format!("{:?}", read_users(br#"{"app":"pencil"}"#).unwrap());
    assert!(!shown.contains("pencil"), "{shown}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (Login::read(&text), read_users(&text));
    }

    #[test]
    fn any_text_that_json_can_hold_comes_out_as_it_is(text in "[^\\x00\"\\\\\\x01-\\x1f]{1,80}") {
        prop_assert_eq!(login(&format!(r#"{{"password":"{text}"}}"#)), is("", &text));
    }
}
