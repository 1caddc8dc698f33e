//! Messages of clients, and answers.

use super::*;
use Malformed as Wrong;

fn parsed(message: &str) -> Result<Initial, Malformed> {
    Initial::parse(message.as_bytes())
}

fn token(text: &str) -> Result<Initial, Malformed> {
    Ok(Initial::Token(Password::new(text)))
}

#[test]
fn a_token_is_found() {
    assert_eq!(parsed("n,,\x01auth=Bearer abc.DEF-_~+/9==\x01\x01"), token("abc.DEF-_~+/9=="));
    assert_eq!(parsed("y,,\x01auth=bEaReR   abc\x01\x01"), token("abc"), "as RFC 7628, section 4 wants it");
    let others = "n,,\x01host=db.example.org\x01port=5432\x01auth=Bearer abc\x01x=\x01\x01";
    assert_eq!(parsed(others), token("abc"));
    assert_eq!(parsed("n,,\x01AUTH=x\x01auth=Bearer a\x01\x01"), token("a"), "keys have their case");
    assert_eq!(parsed("n,,\x01auth=\x01\x01"), Ok(Initial::Discovery));
}

#[test]
fn what_is_no_token_fails_as_one_that_is_wrong() {
    for (value, why) in [
        ("Basic YWxpY2U6c2VjcmV0", NoToken::OtherScheme),
        ("Bearer", NoToken::OtherScheme),
        ("Bearerabc", NoToken::OtherScheme),
        (" Bearer abc", NoToken::OtherScheme),
        ("Bearer\tabc", NoToken::OtherScheme),
        ("Bearer ", NoToken::Empty),
        ("Bearer    ", NoToken::Empty),
        ("Bearer a b", NoToken::Form),
        ("Bearer abc ", NoToken::Form),
        ("Bearer a=b", NoToken::Form),
        ("Bearer a,b", NoToken::Form),
        ("Bearer a\r\nb", NoToken::Form),
        ("Bearer a\"", NoToken::Form),
    ] {
        let message = format!("n,,\x01auth={value}\x01\x01");
        assert_eq!(parsed(&message), Ok(Initial::NoToken(why)), "{value:?}");
    }
}

#[test]
fn what_cannot_be_read_ends_the_login() {
    for (message, why) in [
        ("", Wrong::Empty),
        ("p=tls-unique,,\x01auth=Bearer a\x01\x01", Wrong::ChannelBinding),
        ("n,a=alice,\x01auth=Bearer a\x01\x01", Wrong::AuthorizationIdentity),
        ("x,,\x01auth=Bearer a\x01\x01", Wrong::Header),
        ("n", Wrong::Header),
        ("n,", Wrong::Header),
        ("n,,", Wrong::Header),
        ("n,,auth=Bearer a\x01\x01", Wrong::Header),
        ("n,b=c,\x01auth=Bearer a\x01\x01", Wrong::Header),
        ("\x01", Wrong::Header),
        ("n,,\x01", Wrong::NotTerminated),
        ("n,,\x01auth=Bearer a", Wrong::PairNotTerminated),
        ("n,,\x01auth=Bearer a\x01", Wrong::NotTerminated),
        ("n,,\x01\x01", Wrong::NoAuth),
        ("n,,\x01host=a\x01\x01", Wrong::NoAuth),
        ("n,,\x01auth=Bearer a\x01auth=Bearer a\x01\x01", Wrong::AuthTwice),
        ("n,,\x01auth=\x01auth=\x01\x01", Wrong::AuthTwice),
        ("n,,\x01auth=Bearer a\x01\x01\x01", Wrong::Excess),
        ("n,,\x01auth=Bearer a\x01\x01more", Wrong::Excess),
        ("n,,\x01auth\x01\x01", Wrong::NoValue),
        ("n,,\x01=Bearer a\x01\x01", Wrong::BadKey),
        ("n,,\x01au th=Bearer a\x01\x01", Wrong::BadKey),
        ("n,,\x01auth1=Bearer a\x01\x01", Wrong::BadKey),
        ("n,,\x01auth=Bearer é\x01\x01", Wrong::BadValue),
        ("n,,\x01x=\x7f\x01auth=Bearer a\x01\x01", Wrong::BadValue),
        ("n,,\x01auth=Bearer a\0\x01\x01", Wrong::ZeroByte),
        ("n,,\x01auth=Bearer a\x01\x01\0", Wrong::ZeroByte),
    ] {
        assert_eq!(parsed(message), Err(why), "{message:?}");
        assert_eq!(why.is_unsupported(), why == Wrong::AuthorizationIdentity);
    }
    assert_eq!(Initial::parse(b"n,,\x01auth=Bearer \xff\x01\x01"), Err(Wrong::BadValue));
}

#[test]
fn a_message_is_so_long_and_no_longer() {
    let of_length = |bytes: usize| {
        let (before, behind) = ("n,,\x01auth=Bearer ", "\x01\x01");
        format!("{before}{}{behind}", "a".repeat(bytes - before.len() - behind.len()))
    };
    assert!(parsed(&of_length(limits::PASSWORD_MESSAGE_BYTES_MAX)).is_ok());
    assert_eq!(parsed(&of_length(limits::PASSWORD_MESSAGE_BYTES_MAX + 1)), Err(Wrong::TooLong));
}

#[test]
fn a_failure_says_where_to_get_a_token() {
    let answer = failure("https://issuer.example.org", "openid db");
    assert_eq!(
        answer,
        "{\"status\":\"invalid_token\",\"openid-configuration\":\
         \"https://issuer.example.org/.well-known/openid-configuration\",\"scope\":\"openid db\"}"
    );
    let of = |issuer: &str| {
        let answer: Value = serde_json::from_str(&failure(issuer, "a\"b\n\\")).unwrap();
        assert_eq!(answer["scope"], "a\"b\n\\");
        answer["openid-configuration"].as_str().unwrap().to_owned()
    };
    assert_eq!(of("https://a.example.org/"), "https://a.example.org/.well-known/openid-configuration");
    let own = "https://a.example.org/.well-known/oauth-authorization-server/x";
    assert_eq!(of(own), own);
    assert!(is_end_of_failure(b"\x01"));
    for other in [&b""[..], b"\x01\x01", b"n,,\x01auth=\x01\x01", b"\0"] {
        assert!(!is_end_of_failure(other));
    }
}

#[test]
fn a_token_is_never_shown() {
    let initial = parsed("n,,\x01auth=Bearer secret-token\x01\x01").unwrap();
    assert_eq!(format!("{initial:?}"), "Token(Password(***))");
}
