//! Contexts by example and by property.

use super::*;
use proptest::prelude::*;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn keys() -> ContextKeys {
    ContextKeys::read("traceparent, x-amzn-trace-id,route").unwrap().unwrap()
}

fn of_comments(sql: &str) -> Vec<(String, String)> {
    let mut context = RequestContext::default();
    context.take_comments(&keys(), sql.as_bytes(), true);
    context.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[test]
fn keys_have_an_end() {
    let of_bytes = |bytes: usize| ContextKeys::read(&"k".repeat(bytes)).map(|keys| keys.is_some());
    assert_eq!(of_bytes(limits::CONTEXT_KEY_BYTES_MAX), Ok(true));
    assert!(of_bytes(limits::CONTEXT_KEY_BYTES_MAX + 1).is_err());
    let of_number = |number: usize| ContextKeys::read(&"k,".repeat(number)).map(|keys| keys.is_some());
    assert_eq!(of_number(limits::CONTEXT_KEYS_MAX), Ok(true));
    assert!(of_number(limits::CONTEXT_KEYS_MAX + 1).is_err());
}

#[test]
fn comments_are_read_at_both_ends() {
    let behind = format!("select 1 /*controller='x',traceparent='{TRACE}',tracestate='a%3D1'*/");
    assert_eq!(of_comments(&behind), [pair("traceparent", TRACE)]);
    assert_eq!(of_comments(&format!("{behind} ; \0")), [pair("traceparent", TRACE)]);
    let before = format!(" /* route='%2Forders%2F%7Bid%7D' , TraceParent='{TRACE}'*/ select 1");
    assert_eq!(of_comments(&before), [pair("route", "/orders/{id}"), pair("traceparent", TRACE)]);
    assert_eq!(of_comments("/*route='a'*/ select 1 /*route='b'*/"), [pair("route", "b")], "the last counts");
    assert_eq!(of_comments(r"select 1 /*route='it\'s \\ ok'*/"), [pair("route", r"it's \ ok")]);
}

#[test]
fn what_is_no_comment_of_that_kind_is_nothing() {
    let none: [(String, String); 0] = [];
    for sql in [
        "",
        "select '/*route=''a''*/'",
        "select 1 /*route=a*/",
        "select 1 /*route='a*/",
        "select 1 /*a note*/",
        "/*",
        "*/",
        "/*/",
        "select /*route='a'*/ 1",
        "select 1 /*route='a%zz'*/",
        "select 1 /*route='a%0Ab'*/",
        "select 1 /*route='%ff'*/",
        "select 1 /*route=''*/",
        "select 1 /*other='a'*/",
    ] {
        assert_eq!(of_comments(sql), none, "{sql}");
    }
}

#[test]
fn what_is_too_long_or_too_much_is_left_out() {
    let most = "x".repeat(limits::CONTEXT_VALUE_BYTES_MAX);
    assert_eq!(of_comments(&format!("/*route='{most}'*/")), [pair("route", &most)]);
    assert!(of_comments(&format!("/*route='{most}x'*/")).is_empty());
    let many = "a='b',".repeat(limits::CONTEXT_PAIRS_MAX);
    assert!(of_comments(&format!("/*{many}route='a'*/")).is_empty(), "nobody looks for ever");
    let long = " ".repeat(limits::CONTEXT_COMMENT_BYTES_MAX);
    assert!(of_comments(&format!("/*route='a'{long}*/")).is_empty());
    let part = b"/*route='a'*/ select 1 /*route='b'*/";
    let mut context = RequestContext::default();
    context.take_comments(&keys(), part, false);
    assert_eq!(context.value("route"), Some("a"), "the end has not come");
}

#[test]
fn keys_are_names_and_few() {
    assert_eq!(ContextKeys::read(" , "), Ok(None));
    assert_eq!(keys().text(), "traceparent, x-amzn-trace-id, route");
    let bad = ["a b", "a='", "ä", &"x".repeat(65), "1,2,3,4,5,6,7,8,9"];
    for text in bad {
        assert!(ContextKeys::read(text).is_err(), "{text}");
    }
}

#[test]
fn startup_parameters_carry_one_key_or_several() {
    let taken = |name: &str, value: &str| {
        let mut context = RequestContext::default();
        let is_taken = context.take_parameter(&keys(), name, value);
        let pairs: Vec<_> = context.iter().map(|(key, value)| format!("{key}={value}")).collect();
        is_taken.then(|| pairs.join("|"))
    };
    assert_eq!(taken("pgweir.traceparent", TRACE), Some(format!("traceparent={TRACE}")));
    assert_eq!(taken("pgweir.x_amzn_trace_id", "Root=1-2"), Some("x-amzn-trace-id=Root=1-2".to_owned()));
    let pairs = "route=a%2Cb, x-amzn-trace-id=Root=1-2;Sampled=1,other=3";
    let both = "route=a,b|x-amzn-trace-id=Root=1-2;Sampled=1";
    assert_eq!(taken("PGWEIR.Context", pairs).as_deref(), Some(both));
    assert_eq!(taken("pgweir.other", "1"), None);
    assert_eq!(taken("traceparent", TRACE), None);
    assert_eq!(taken("pgweir.route", "a\nb").as_deref(), Some(""));
}

/// As SQLCommenter writes it.
fn encoded(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    value.bytes().map(one).collect()
}

proptest! {
    #[test]
    fn nothing_panics_and_what_is_taken_is_bounded(
        sql in "[ /*='\\\\,;%a-c0\\PC]{0,80}",
        is_whole in any::<bool>(),
    ) {
        let mut context = RequestContext::default();
        context.take_comments(&keys(), sql.as_bytes(), is_whole);
        context.take_pairs(&keys(), &sql);
        for (key, value) in context.iter() {
            prop_assert!(keys().find(key).is_some() && value.len() <= limits::CONTEXT_VALUE_BYTES_MAX);
            prop_assert!(!value.chars().any(char::is_control));
        }
    }

    #[test]
    fn what_is_written_is_read(value in "[^\\p{Cc}]{1,60}", ahead in "select [a-z0-9 ]{0,20}") {
        prop_assume!(value.len() <= limits::CONTEXT_VALUE_BYTES_MAX);
        let comment = format!("/*action='x',route='{}'*/", encoded(&value));
        prop_assert_eq!(of_comments(&format!("{ahead} {comment}")), [pair("route", &value)]);
        prop_assert_eq!(of_comments(&format!("{comment} {ahead}")), [pair("route", &value)]);
        let set = format!("SET pgweir.context = 'route={}'", encoded(&value));
        let said = SaidBySql::read(set.as_bytes()).expect("a set");
        let Some(SetContext::Session(pairs)) = said.alone() else { panic!("{set}") };
        let mut context = RequestContext::default();
        context.take_pairs(&keys(), pairs);
        prop_assert_eq!(context.value("route"), Some(&*value));
    }
}
