//! Presigned requests by example, by known answers of AWS's own signers, and by property.

use super::*;
use crate::base::limits;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

/// 2024-08-26, 22:00:00 UTC.
const NOW: u64 = 1_724_709_600;

const HOST: &str = "sts.eu-west-1.amazonaws.com";

const RULES: CallerRules<'static> = CallerRules { scheme: "https", authority: HOST, region: "eu-west-1" };

/// Parameters as botocore puts them.
const QUERY: [&str; 9] = [
    "Action=GetCallerIdentity",
    "Version=2011-06-15",
    "X-Amz-Algorithm=AWS4-HMAC-SHA256",
    "X-Amz-Credential=ASIAEXAMPLE%2F20240826%2Feu-west-1%2Fsts%2Faws4_request",
    "X-Amz-Date=20240826T220000Z",
    "X-Amz-Expires=900",
    "X-Amz-SignedHeaders=host%3Bx-pgweir-server-id",
    "X-Amz-Security-Token=FwoGZXIvYXdzE%2F%2F%2F%3D",
    "X-Amz-Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
];

fn url(query: &[&str]) -> String {
    format!("https://{HOST}/?{}", query.join("&"))
}

/// The query with another parameter in the place of the one of that name.
fn with(name: &str, other: &str) -> String {
    let is_it = |parameter: &&str| parameter.starts_with(&format!("{name}="));
    assert!(QUERY.iter().any(&is_it), "{name}");
    url(&QUERY.map(|parameter| if is_it(&parameter) { other } else { parameter }))
}

fn caller(text: &str) -> Result<Signed, Refusal> {
    Caller::parse(text, RULES, NOW).map(|caller| caller.signed)
}

fn rds(text: &str, user: &str) -> Result<Signed, Refusal> {
    let rules =
        RdsRules { host: "db.abc.us-east-1.rds.amazonaws.com", port: 5432, region: "us-east-1", user };
    RdsToken::parse(text, rules, NOW).map(|token| token.signed)
}

#[test]
fn a_request_of_a_caller_is_taken_with_and_without_its_scheme_and_in_the_form_of_eks() {
    let url = url(&QUERY);
    let expected = Signed {
        key_id: "ASIAEXAMPLE".to_owned(),
        has_session: true,
        at_epoch_s: NOW,
        expires_at_epoch_s: NOW + 900,
    };
    let bare = url.strip_prefix("https://").unwrap();
    for text in [url.clone(), bare.to_owned()] {
        assert_eq!(caller(&text), Ok(expected.clone()), "{text}");
        let encoded = format!("{EKS_PREFIX}{}", URL_SAFE_NO_PAD.encode(&text));
        assert_eq!(caller(&encoded), Ok(expected.clone()), "{encoded}");
    }
    let parsed = Caller::parse(&url, RULES, NOW).unwrap();
    assert_eq!(parsed.expose_query(), QUERY.join("&"), "it is sent on as it came");
    let shown = format!("{parsed:?}");
    assert!(!shown.contains("0123456789abcdef") && !shown.contains("FwoG"), "{shown}");
}

#[test]
fn a_request_for_anybody_or_anything_else_is_refused() {
    let here = url(&QUERY);
    let swap = |from: &str, to: &str| here.replacen(from, to, 1);
    for (text, expected) in [
        (String::new(), Refusal::NotPresigned),
        ("secret".to_owned(), Refusal::NotPresigned),
        (format!("{here}\n"), Refusal::NotPresigned),
        (format!("{here}#x"), Refusal::NotPresigned),
        (format!("{here}&"), Refusal::NotPresigned),
        (format!("{here}&X-Amz-Date"), Refusal::NotPresigned),
        (swap("https", "http"), Refusal::OtherScheme),
        (swap("https", "HTTPS"), Refusal::OtherScheme),
        (swap("//sts.", "//sts.us-east-1."), Refusal::OtherHost),
        (swap("//", "//user@"), Refusal::OtherHost),
        (swap(".com/", ".com:443/"), Refusal::OtherHost),
        (swap(".com/", ".com./"), Refusal::OtherHost),
        (swap(".com/", ".com.example.org/"), Refusal::OtherHost),
        (swap("sts.eu", "STS.eu"), Refusal::OtherHost),
        (swap("https://", "//"), Refusal::OtherPath),
        (swap(".com/", ".com/x"), Refusal::OtherPath),
        (swap(".com/", ".com//"), Refusal::OtherPath),
        (swap(".com/", ".com\\"), Refusal::OtherPath),
        (format!("{here}&Foo=1"), Refusal::UnknownParameter),
        (swap("Action=", "action="), Refusal::UnknownParameter),
        (swap("Action=", "%41ction="), Refusal::UnknownParameter),
        (format!("{here}&DurationSeconds=1"), Refusal::UnknownParameter),
        (format!("{here}&Action=GetCallerIdentity"), Refusal::Duplicate("Action")),
        (format!("{here}&aCTION=AssumeRole"), Refusal::Duplicate("Action")),
        (format!("{here}&x-amz-date=20240826T220000Z"), Refusal::Duplicate("X-Amz-Date")),
        (with("Action", "Action=AssumeRole"), Refusal::OtherValue("Action")),
        (with("Action", "Action=GetCallerIdentity%20"), Refusal::OtherValue("Action")),
        (with("Action", "Action=GetCaller%49dentity"), Refusal::Encoding),
        (with("Version", "Version=2010-05-08"), Refusal::OtherValue("Version")),
        (swap("%2Fsts%2F", "%2Fiam%2F"), Refusal::OtherService),
        (swap("%2Feu-west-1%2F", "%2Fus-east-1%2F"), Refusal::OtherRegion),
        (swap("host%3Bx-pgweir-server-id", "host"), Refusal::OtherValue("X-Amz-SignedHeaders")),
        (swap("host%3Bx-pgweir", "host%3Bx-other"), Refusal::OtherValue("X-Amz-SignedHeaders")),
        (swap("host%3B", ""), Refusal::OtherValue("X-Amz-SignedHeaders")),
        (swap("HMAC-SHA256", "HMAC-SHA1"), Refusal::OtherValue("X-Amz-Algorithm")),
        (swap("%3Bx-pgweir", "%3bx-pgweir"), Refusal::Encoding),
        (swap("%3Bx-pgweir", ";x-pgweir"), Refusal::Encoding),
        (swap("FwoGZXIv", "Fwo+GZXIv"), Refusal::Encoding),
        (swap("FwoGZXIv", "FwoGZX%4"), Refusal::Encoding),
        (swap("FwoGZXIv", "FwoGZX%00"), Refusal::Encoding),
        (swap("FwoGZXIv", "FwoGZX%FF"), Refusal::Encoding),
        (with("X-Amz-Security-Token", "X-Amz-Security-Token="), Refusal::Malformed("X-Amz-Security-Token")),
        (swap("=0123", "=012"), Refusal::Malformed("X-Amz-Signature")),
        (swap("=0123", "=01234"), Refusal::Malformed("X-Amz-Signature")),
        (swap("=0123456789abcdef", "=0123456789ABCDEF"), Refusal::Malformed("X-Amz-Signature")),
        (swap("ASIAEXAMPLE", "ASIA-EXAMPLE"), Refusal::Malformed("X-Amz-Credential")),
        (swap("ASIAEXAMPLE", ""), Refusal::Malformed("X-Amz-Credential")),
        (swap("aws4_request", "aws4_request%2F"), Refusal::Malformed("X-Amz-Credential")),
        (swap("aws4_request", "aws4"), Refusal::Malformed("X-Amz-Credential")),
        (swap("%2F20240826", "%2F20240825"), Refusal::Malformed("X-Amz-Credential")),
        (format!("{EKS_PREFIX}{}", URL_SAFE_NO_PAD.encode("x")), Refusal::NotPresigned),
        (format!("{EKS_PREFIX}{}=", URL_SAFE_NO_PAD.encode(&here)), Refusal::NotPresigned),
        (format!("{EKS_PREFIX}{here}"), Refusal::NotPresigned),
    ] {
        assert_eq!(caller(&text), Err(expected), "{text}");
    }
}

#[test]
fn a_request_of_a_caller_that_is_too_long_is_refused() {
    let here = url(&QUERY);
    for text in ["x".repeat(70_000), format!("{here}{}", "&".repeat(limits::CALLER_TOKEN_BYTES_MAX))] {
        assert_eq!(caller(&text), Err(Refusal::TooLong), "{}", text.len());
    }
}

#[test]
fn each_parameter_but_the_session_is_needed() {
    for left_out in QUERY {
        let (name, _) = left_out.split_once('=').unwrap();
        let kept: Vec<_> = QUERY.into_iter().filter(|parameter| *parameter != left_out).collect();
        match caller(&url(&kept)) {
            Ok(signed) => assert!(!signed.has_session && name == "X-Amz-Security-Token"),
            Err(refusal) => assert_eq!(refusal, Refusal::Missing(name)),
        }
    }
}

#[test]
fn a_request_lives_from_five_minutes_before_its_date_to_its_end() {
    let text = |expires: &str| with("X-Amz-Expires", &format!("X-Amz-Expires={expires}"));
    let at = |text: &str, now| Caller::parse(text, RULES, now).map(|_| ());
    let whole = text("900");
    for (now, expected) in [
        (NOW - 301, Err(Refusal::InFuture)),
        (NOW - 300, Ok(())),
        (NOW + 899, Ok(())),
        (NOW + 900, Err(Refusal::Expired)),
        (u64::MAX, Err(Refusal::Expired)),
        (0, Err(Refusal::InFuture)),
    ] {
        assert_eq!(at(&whole, now), expected, "{now}");
    }
    assert_eq!(at(&text("60"), NOW + 59), Ok(()));
    assert_eq!(at(&text("60"), NOW + 60), Err(Refusal::Expired));
    for expires in ["0", "901", "-1", "+60", "060", "1e2", "", "99999999999999999999", "60%20"] {
        assert_eq!(at(&text(expires), NOW), Err(Refusal::Lifetime), "{expires}");
    }
    for date in [
        "20240826T220000",
        "20240826220000Z",
        "2024-08-26T22:00:00Z",
        "20240230T220000Z",
        "20241326T220000Z",
        "20240826T250000Z",
        "20240826T220060Z",
        "+0240826T220000Z",
        "19691231T235959Z",
        "",
    ] {
        let text = with("X-Amz-Date", &format!("X-Amz-Date={date}"));
        assert_eq!(at(&text, NOW), Err(Refusal::Malformed("X-Amz-Date")), "{date}");
    }
}

#[test]
fn known_tokens_of_rds_are_taken_for_their_own_endpoint_and_user_only() {
    let vectors = include_str!("../../../tests/data/rds-iam-tokens.tsv");
    let mut seen = 0;
    for line in vectors.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [key, _, session, seconds, region, host, port, user, token] = fields[..] else {
            panic!("nine fields: {line}");
        };
        let (now, port) = (seconds.parse::<u64>().unwrap(), port.parse().unwrap());
        let host = &*host.to_ascii_lowercase();
        let rules = RdsRules { host, port, region, user };
        let signed = RdsToken::parse(token, rules, now).unwrap().signed;
        assert_eq!((&*signed.key_id, signed.has_session), (key, session != "-"));
        assert_eq!((signed.at_epoch_s, signed.expires_at_epoch_s), (now, now + 900));
        for (other, expected) in [
            (RdsRules { host: "other.abc.us-east-1.rds.amazonaws.com", ..rules }, Refusal::OtherHost),
            (RdsRules { port: port ^ 1, ..rules }, Refusal::OtherHost),
            (RdsRules { user: "other", ..rules }, Refusal::OtherUser),
            (RdsRules { region: "eu-west-9", ..rules }, Refusal::OtherRegion),
        ] {
            assert_eq!(RdsToken::parse(token, other, now), Err(expected));
        }
        assert_eq!(RdsToken::parse(token, rules, now + 900), Err(Refusal::Expired));
        seen += 1;
    }
    assert_eq!(seen, 13);
}

#[test]
fn a_token_of_rds_is_no_caller_and_the_other_way_round() {
    let token = "db.abc.us-east-1.rds.amazonaws.com:5432/?Action=connect&DBUser=app&X-Amz-Algorithm=\
        AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20240826%2Fus-east-1%2Frds-db%2Faws4_request&\
        X-Amz-Date=20240826T220000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Signature=\
        0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    assert!(rds(token, "app").is_ok());
    assert_eq!(rds(&format!("https://{token}"), "app"), Err(Refusal::OtherPath));
    assert_eq!(rds(&format!("{token}&DBUser=app"), "app"), Err(Refusal::Duplicate("DBUser")));
    assert_eq!(rds(&format!("{token}&dbuser=root"), "app"), Err(Refusal::Duplicate("DBUser")));
    assert_eq!(rds(&token.replace(":5432", ""), "app"), Err(Refusal::OtherHost));
    assert_eq!(rds(&token.replace(":5432", ":05432"), "app"), Err(Refusal::OtherHost));
    assert_eq!(rds(&token.replace("=connect", "=DbConnect"), "app"), Err(Refusal::OtherValue("Action")));
    assert_eq!(rds(&token.replace("rds-db", "dsql"), "app"), Err(Refusal::OtherService));
    assert_eq!(rds(&"x".repeat(70_000), "app"), Err(Refusal::TooLong));
    assert_eq!(caller(token), Err(Refusal::UnknownParameter));
    assert_eq!(rds(&url(&QUERY), "app"), Err(Refusal::OtherPath));
}

proptest! {
    #[test]
    fn no_text_makes_a_panic_and_no_refusal_shows_it(text in ".{0,300}", at in 0_usize..400) {
        let whole = url(&QUERY);
        let at = (0..=at.min(whole.len())).rev().find(|at| whole.is_char_boundary(*at)).unwrap_or(0);
        for text in [text.clone(), format!("{}{text}{}", &whole[..at], &whole[at..])] {
            if let Err(refusal) = caller(&text) {
                prop_assert!(!refusal.to_string().contains("0123456789"), "{}", refusal);
            }
            let _ = rds(&text, "app");
        }
    }

    /// The one spelling: what differs in one byte of anything but names, scope and values is no request, or
    /// says something else.
    #[test]
    fn another_byte_anywhere_is_refused_or_says_something_else(at in 0_usize..600, byte in 0x21_u8..0x7f) {
        let whole = url(&QUERY);
        let at = at % whole.len();
        let mut other = whole.clone().into_bytes();
        prop_assume!(other[at] != byte);
        other[at] = byte;
        let other = String::from_utf8(other).unwrap();
        if let Ok(request) = Caller::parse(&other, RULES, NOW) {
            let begin = format!("https://{HOST}/?Action=GetCallerIdentity&");
            prop_assert!(other.starts_with(&begin));
            prop_assert_ne!(request.expose_query(), QUERY.join("&"));
        }
    }

    /// What is encoded as Signature Version 4 has it comes out as it was; any other spelling does not.
    #[test]
    fn the_encoding_has_an_inverse(text in "[^\\x00]{0,40}") {
        let mut encoded = String::new();
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                encoded += &format!("%{byte:02X}");
            }
        }
        prop_assert_eq!(decode(&encoded).unwrap(), &*text);
        let lower = encoded.to_ascii_lowercase();
        prop_assert!(lower == encoded || decode(&lower).map_or(true, |decoded| decoded != text));
    }

    /// Days and times agree with a count of seconds.
    #[test]
    fn dates_are_read_as_they_are_written(seconds in 0_u64..253_402_300_800) {
        let at = jiff::Timestamp::from_second(seconds as i64).unwrap();
        prop_assert_eq!(epoch_s(&at.strftime("%Y%m%dT%H%M%SZ").to_string()), Some(seconds));
    }
}
