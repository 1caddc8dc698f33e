//! What is read of the cache and of the portal's answers.

use super::*;
use proptest::prelude::*;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn role(cached_as: &str) -> SsoRole {
    SsoRole {
        cached_as: cached_as.to_owned(),
        region: "eu-west-1".parse().unwrap(),
        account: "123456789012".to_owned(),
        role: "Ops+a@b".to_owned(),
    }
}

#[test]
fn the_cache_lies_where_the_cli_puts_it() {
    // sha1("dev"), by sha1sum(1)
    let expected = "/me/.aws/sso/cache/34c6fceca75e456f25e7e99531e2425c6c1de443.json";
    assert_eq!(role("dev").file("/me"), PathBuf::from(expected));
}

#[test]
fn names_are_escaped_for_the_portal() {
    let url = role("dev").url();
    let path = "/federation/credentials?role_name=Ops%2Ba%40b&account_id=123456789012";
    assert_eq!(url, format!("https://portal.sso.eu-west-1.amazonaws.com{path}"));
    let in_china = SsoRole { region: "cn-north-1".parse().unwrap(), ..role("dev") };
    assert!(in_china.url().starts_with("https://portal.sso.cn-north-1.amazonaws.com.cn/"));
}

#[test]
fn a_cached_token_is_good_until_it_expires() {
    let text = r#"{"startUrl": "https://x", "accessToken": "t\u002f", "expiresAt": "1970-01-01T00:10:00Z",
                   "more": {"accessToken": "other"}}"#;
    let token = |now| cached_token(text.as_bytes(), at(now)).map(|token| token.to_string());
    assert_eq!(token(599).as_deref(), Ok("t/"));
    let error = token(600).unwrap_err();
    assert_eq!(error.reason, Reason::Identity);
    assert!(error.to_string().contains("run aws sso login"), "{error}");
    for text in [
        "",
        "[]",
        "{}",
        r#"{"accessToken": "t"}"#,
        r#"{"expiresAt": "1970-01-01T00:10:00Z"}"#,
        r#"{"accessToken": "t", "expiresAt": "soon"}"#,
        r#"{"accessToken": "t", "expiresAt": "1970-01-01T00:10:00Z""#,
    ] {
        assert_eq!(cached_token(text.as_bytes(), at(0)).unwrap_err().reason, Reason::Misconfigured, "{text}");
    }
}

#[test]
fn what_the_portal_gives_is_read() {
    let text = r#"{"roleCredentials": {"accessKeyId": "A", "secretAccessKey": "s", "sessionToken": "t",
                   "expiration": 1700000000123}}"#;
    let given = credentials(text.as_bytes()).unwrap();
    assert_eq!(
        (given.access_key_id(), given.secret_access_key(), given.session_token()),
        ("A", "s", Some("t"))
    );
    assert_eq!(given.expiry(), Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123)));
    for text in [
        "",
        "{}",
        r#"{"accessKeyId": "A", "secretAccessKey": "s", "sessionToken": "t", "expiration": 1}"#,
        r#"{"roleCredentials": {"accessKeyId": "A", "secretAccessKey": "s", "expiration": 1}}"#,
        r#"{"roleCredentials": {"accessKeyId": "A", "secretAccessKey": "s", "sessionToken": "t",
            "expiration": -1}}"#,
        r#"{"roleCredentials": {"accessKeyId": "A", "secretAccessKey": "s", "sessionToken": "t",
            "expiration": "x"}}"#,
    ] {
        assert_eq!(
            credentials(text.as_bytes()).err().map(|error| error.reason),
            Some(Reason::Garbage),
            "{text}"
        );
    }
}

#[test]
fn refusals_of_the_portal_have_their_reasons() {
    for (code, status, reason) in [
        (Some("UnauthorizedException"), 401, Reason::Identity),
        (None, 401, Reason::Identity),
        (Some("ForbiddenException"), 403, Reason::Denied),
        (None, 403, Reason::Denied),
        (Some("ResourceNotFoundException"), 404, Reason::Misconfigured),
        (None, 404, Reason::Misconfigured),
        (Some("TooManyRequestsException"), 429, Reason::Throttled),
        (None, 429, Reason::Throttled),
        (None, 500, Reason::Service),
        (None, 400, Reason::Misconfigured),
    ] {
        assert_eq!(refusal(code, status).reason, reason, "{code:?} {status}");
    }
}

proptest! {
    #[test]
    fn anything_is_read_or_refused(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (cached_token(&text, at(0)), credentials(&text));
    }
}

#[tokio::test]
async fn a_cache_that_is_no_file_is_not_read() {
    for (path, reason, word) in [
        ("/dev/zero", Reason::Misconfigured, "is no regular file"),
        ("/", Reason::Misconfigured, "is no regular file"),
        ("/nowhere/at/all", Reason::Identity, "run aws sso login"),
    ] {
        let error = read_cache(path.as_ref()).await.unwrap_err();
        assert_eq!(error.reason, reason, "{path}");
        assert!(error.to_string().contains(word), "{error}");
    }
}
